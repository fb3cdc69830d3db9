//! What the service costs, measured on the release build against the lab on loopback: `./bench` runs it.
//!
//! Owns the names of the parts and their order. Prints tables of figures with the goals of the design, and fails when a
//! goal is missed. Never leaves this machine. Interrupted, it ends what it started and removes its folders.

mod compare;
mod growth;
mod hosts;
mod hour;
mod own;
mod service;
mod table;

use std::path::Path;
use std::process::ExitCode;

use kmds_lab::{Lab, Site};
use tokio::signal::unix::{SignalKind, signal};

use table::Table;

/// Runs of which the median counts.
const RUNS: usize = 5;
const MEGABYTE: f64 = 1e6;
const SITES: [Site; 3] = [Site::YouTube, Site::SoundCloud, Site::Bandcamp];

/// A name, and what is measured under it.
const PARTS: [(&str, &str); 14] = [
    ("idle", "memory of a service that does nothing"),
    ("crowded", "memory with 8 downloads and 200 slow listeners"),
    ("first", "link to first audio, in round trips"),
    (
        "serving",
        "processor time to download a song and to serve it",
    ),
    (
        "growth",
        "a catalog of 100,000 songs; growth=1000000 makes a million",
    ),
    (
        "hour",
        "memory as in crowded, for an hour; hour=10: ten minutes; only when it is named",
    ),
    (
        "hosts",
        "1, 2, 3, 8 and 20 nodes at sites that limit each address; only where it is named",
    ),
    ("compares", "all of the following"),
    (
        "metadata",
        "metadata of a song and of a set of 50, beside yt-dlp",
    ),
    (
        "fetching",
        "100 MB over TLS to the drive, beside curl, aria2c and yt-dlp",
    ),
    (
        "distance",
        "50 MB at round trips of 40 ms, beside curl with the same ranges",
    ),
    (
        "finished",
        "a file of 150 MB for 1, 16 and 64 clients, beside nginx and aiohttp",
    ),
    (
        "listeners",
        "200 listeners of a growing file, beside 200 of a finished one",
    ),
    ("convert", "an Opus-only song, beside ffmpeg alone"),
];
/// Where the parts of `compares` begin.
const COMPARES: usize = 7;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if given.iter().any(|word| word == "--help") {
        for (name, what) in PARTS {
            println!("  {name:<10} {what}");
        }
        return ExitCode::SUCCESS;
    }
    let Some((binary, asked)) = given.split_first() else {
        eprintln!("usage: bench PATH/TO/kmds [PART...]");
        return ExitCode::from(2);
    };
    if let Some(unknown) = asked.iter().find(|part| !is_part(part)) {
        eprintln!("no part is called {unknown}; ./bench --help names them");
        return ExitCode::from(2);
    }
    let (Ok(mut interrupted), Ok(mut ended)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        eprintln!("this system gives no signals");
        return ExitCode::from(2);
    };
    // What is dropped ends its programs and removes its folders.
    tokio::select! {
        code = measure(Path::new(binary), asked) => code,
        _ = interrupted.recv() => ExitCode::from(130),
        _ = ended.recv() => ExitCode::from(143),
    }
}

fn is_part(asked: &str) -> bool {
    let name = asked.split('=').next().unwrap_or_default();
    PARTS.iter().any(|(part, _)| *part == name)
}

async fn measure(binary: &Path, asked: &[String]) -> ExitCode {
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|part| part == name);
    let mut table = Table::default();
    let size = std::fs::metadata(binary).map_or(f64::NAN, |of| of.len() as f64);
    // A build for several hosts is larger, and nothing is promised of it.
    let most = (asked != ["hosts"]).then_some(12.0);
    table.row("size of the binary", size / MEGABYTE, "MB", most);
    let lab = Lab::start().await;
    if is_asked("idle") {
        own::idle(binary, &lab, &mut table).await;
    }
    if is_asked("crowded") {
        own::crowded(binary, &lab, &mut table).await;
    }
    if is_asked("first") {
        for site in SITES {
            own::first_byte(binary, &lab, site, &mut table).await;
        }
    }
    if is_asked("serving") {
        own::serving(binary, &lab, &mut table).await;
    }
    let minutes = asked.iter().find_map(|part| part.strip_prefix("hour="));
    if minutes.is_some() || asked.iter().any(|part| part == "hour") {
        let minutes = minutes.and_then(|minutes| minutes.parse().ok());
        hour::measure(binary, &lab, minutes.unwrap_or(60.0), &mut table).await;
    }
    let songs = asked.iter().find_map(|part| part.strip_prefix("growth="));
    if songs.is_some() || is_asked("growth") {
        let songs = songs.and_then(|songs| songs.parse().ok());
        growth::measure(binary, &lab, songs.unwrap_or(100_000), &mut table).await;
    }
    // It needs a build with the client of NATS.
    if asked.iter().any(|part| part == "hosts") {
        hosts::measure(binary, &lab, &mut table).await;
    }
    for (name, _) in &PARTS[COMPARES + 1..] {
        if is_asked("compares") || is_asked(name) {
            compare::measure(name, binary, &lab, &mut table).await;
        }
    }
    table.verdict()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
