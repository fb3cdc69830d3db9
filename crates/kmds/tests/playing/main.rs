//! Play while it arrives: many listeners, long lists, other forms, and the tools that people really use.

#[path = "../harness/mod.rs"]
mod harness;

mod crowd;
mod ended;
mod forms;
mod library;
mod lists;
mod near;
mod players;
mod search;
mod tools;

use std::collections::HashSet;

use harness::replies::Entry;
use harness::{Kmds, PATIENCE, Setup};
use kmds_lab::{Kind, Lab, Site};
use reqwest::Response;

/// As the fast recipes, for songs that the lab holds back on purpose: silence is no fault there.
const PATIENT_RECIPES: &str = r#"
[time]
metadata_request = 10.0
retry_pauses = [0.02, 0.02, 0.02]
audio_stall = 50.0
audio_pauses = [0.02, 0.02, 0.02, 0.02, 0.02]
connect = 10.0
[bandcamp.hosts]
pace = 0.0
"#;

fn patient(lab: &Lab) -> Setup {
    Setup::of(lab).recipes(PATIENT_RECIPES)
}

fn tunnel(song: &Entry) -> String {
    song.tunnel.clone()
}

/// The only song of a link, as `/fetch` shows it.
async fn fetched(kmds: &Kmds, link: &str) -> Entry {
    let (status, reply) = kmds.fetch(link).await;
    assert_eq!(status, 200, "{reply}");
    reply.songs[0].clone()
}

fn header(answer: &Response, name: &str) -> String {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("ASCII"))
        .to_owned()
}

/// Reads until at least `count` bytes of the body are there.
async fn first_bytes(answer: &mut Response, count: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < count {
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk())
            .await
            .expect("in time")
            .expect("bytes");
        received.extend_from_slice(&chunk.expect("more bytes"));
    }
    received
}

/// Songs whose audio was asked of a site, in the order of their first requests.
fn started(lab: &Lab, site: Site) -> Vec<String> {
    let mut known = HashSet::new();
    let media = lab
        .requests()
        .into_iter()
        .filter(|seen| seen.kind == Kind::Media && seen.site == Some(site));
    media
        .filter_map(|seen| seen.song)
        .filter(|song| known.insert(song.clone()))
        .collect()
}
