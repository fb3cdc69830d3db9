//! From a link to its metadata, beside yt-dlp.
//!
//! Owns both ways: a service that runs and has its connections, and a program that is started for each link, since that
//! is how each of them is used.

use std::path::Path;
use std::time::Instant;

use kmds_lab::Lab;

use super::{ROUNDS, run, yt_dlp};
use crate::SITES;
use crate::own::fresh_song;
use crate::service::{Folder, Service};
use crate::table::{Goal, Table};

/// Links of one turn: one alone is less than a tick of the clock that counts processor time.
const SONGS: usize = 40;
const SETS: usize = 10;
const IN_A_SET: usize = 50;

/// Seconds and processor seconds of each turn, for one link.
#[derive(Default)]
struct Turns {
    clock: Vec<f64>,
    processor: Vec<f64>,
}

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    let folder = Folder::new();
    if yt_dlp(lab, &folder).is_none() {
        return table.skip("metadata", "KMDS_TEST_YTDLP names no yt-dlp");
    }
    let service = Service::start(binary, lab, &[]);
    for site in SITES {
        let name = site.name();
        let (mut ours, mut theirs) = (Turns::default(), Turns::default());
        service
            .fetch(&fresh_song(lab, site, "opens-connections"))
            .await;
        for round in 0..ROUNDS {
            let song = |number| fresh_song(lab, site, &format!("metadata-{round}-{number}")).link();
            asked(&service, (0..SONGS).map(song).collect(), &mut ours).await;
            other(lab, &folder, &song(SONGS), &mut theirs).await;
        }
        show(table, &format!("{name}, a song"), &ours, &theirs, 20.0);
    }
    let (mut ours, mut theirs) = (Turns::default(), Turns::default());
    for _ in 0..ROUNDS {
        let set = || lab.soundcloud().set(IN_A_SET).publish().link();
        asked(&service, (0..SETS).map(|_| set()).collect(), &mut ours).await;
        other(lab, &folder, &set(), &mut theirs).await;
    }
    show(table, "soundcloud, a set of 50", &ours, &theirs, 30.0);
}

fn show(table: &mut Table, what: &str, ours: &Turns, theirs: &Turns, times: f64) {
    table.compare(
        &format!("{what}: time to metadata"),
        &ours.clock,
        ("yt-dlp", &theirs.clock),
        "s",
        Some(Goal::AtMost(0.1)),
    );
    table.compare(
        &format!("{what}: processor time to metadata"),
        &ours.processor,
        ("yt-dlp", &theirs.processor),
        "s",
        Some(Goal::AtMost(1.0 / times)),
    );
}

async fn asked(service: &Service, links: Vec<String>, turns: &mut Turns) {
    let (begun, before) = (Instant::now(), service.cpu_seconds());
    let number = links.len() as f64;
    for link in links {
        // Nothing is downloaded: the other program downloads nothing either.
        let body = serde_json::json!({ "URL": link, "Prefetch": "none" }).to_string();
        service.body(&service.post(&body)).await;
    }
    turns.clock.push(begun.elapsed().as_secs_f64() / number);
    turns
        .processor
        .push((service.cpu_seconds() - before) / number);
}

async fn other(lab: &Lab, folder: &Path, link: &str, turns: &mut Turns) {
    let Some(mut command) = yt_dlp(lab, folder) else {
        return;
    };
    let cost = run(command.args(["--dump-single-json", link])).await;
    turns.clock.push(cost.seconds);
    turns.processor.push(cost.processor);
}
