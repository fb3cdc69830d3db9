//! Audio as clients take it: in ranges, under conditions, while it grows, as a playlist, as an archive.

#[path = "../harness/mod.rs"]
mod harness;

mod events;
mod growing;
mod loudness;
mod ranges;
mod several;
mod v1_waits;
mod waits;

use harness::{Kmds, PATIENCE};
use kmds_lab::Song;
use reqwest::Response;

/// A finished song of the lab, and where it is served.
async fn ready(kmds: &Kmds, song: &Song) -> String {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.whole(&reply.songs[0]).await;
    reply.songs[0].tunnel.clone()
}

/// Where v1 serves what a tunnel serves.
fn v1_audio(tunnel: &str) -> String {
    let name = tunnel.strip_prefix("/tunnel?file=").expect("a tunnel");
    let (site, id) = name.split_once('-').expect("a site");
    format!(
        "/api/v1/tracks/{site}/{}/audio",
        id.rsplit_once('.').expect("an extension").0
    )
}

async fn ask(kmds: &Kmds, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = kmds.http.get(kmds.at(path)).timeout(PATIENCE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn header<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("ASCII"))
}
