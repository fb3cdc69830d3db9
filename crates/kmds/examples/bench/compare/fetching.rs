//! 100 MB over TLS to the drive, beside curl, aria2c and yt-dlp.
//!
//! Owns the same bytes by the same requests: those that the service made are read from the lab's log. The service also
//! hashes the file, walks its container and flushes it; the others do none of it. openssl, which uses the processor's
//! own instructions, then hashes the file that curl wrote: less than the two nothing can cost that hashes.

use std::path::Path;

use kmds_lab::{Lab, Site, Song};
use tokio::process::Command;

use super::{ROUNDS, curl, media, program, run, url, yt_dlp};
use crate::service::{Folder, Service};
use crate::table::{Goal, Table};

const SIZE_BYTES: u64 = 100_000_000;
const GIGABYTE: f64 = 1e9;
/// Songs of one turn.
const SONGS: usize = 2;

/// Processor seconds for a gigabyte, of each turn.
#[derive(Default)]
struct Turns {
    ours: Vec<f64>,
    curl: Vec<f64>,
    hashed: Vec<f64>,
    aria: Vec<f64>,
    yt_dlp: Vec<f64>,
}

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    for (name, why) in [("curl", "fetching"), ("aria2c", "fetching beside aria2c")] {
        if program(name).is_none() {
            table.skip(why, &format!("there is no {name}"));
        }
    }
    for site in [Site::YouTube, Site::Bandcamp] {
        let service = Service::start(binary, lab, &[]);
        let folder = Folder::new();
        let mut turns = Turns::default();
        for round in 0..ROUNDS {
            turn(&service, lab, site, round, &folder, &mut turns).await;
        }
        for (name, theirs, goal) in [
            ("curl", &turns.curl, Some(Goal::AtMost(1.15))),
            ("curl, openssl dgst", &turns.hashed, None),
            ("aria2c", &turns.aria, None),
            ("yt-dlp", &turns.yt_dlp, None),
        ] {
            if !theirs.is_empty() {
                let what = format!("{}, 100 MB to the drive: processor time", site.name());
                table.compare(&what, &turns.ours, (name, theirs), "s/GB", goal);
            }
        }
    }
}

async fn turn(
    service: &Service,
    lab: &Lab,
    site: Site,
    round: usize,
    folder: &Path,
    turns: &mut Turns,
) {
    let songs: Vec<Song> = (0..SONGS)
        .map(|number| large(lab, site, &format!("large-{round}-{number}"), SIZE_BYTES))
        .collect();
    // Made before the clock runs.
    let bytes: u64 = songs.iter().map(Song::len).sum();
    let gigabytes = bytes as f64 / GIGABYTE;
    lab.forget_requests();
    let before = service.cpu_seconds();
    for song in &songs {
        service.whole(song).await;
    }
    turns
        .ours
        .push((service.cpu_seconds() - before) / gigabytes);
    let (mut by_curl, mut hashed) = (Vec::new(), Vec::new());
    let (mut by_aria, mut by_yt_dlp) = (Vec::new(), Vec::new());
    for song in &songs {
        let requests = media(lab, song);
        if program("curl").is_some() {
            by_curl.push(run(&mut curl(lab, &requests, folder)).await.processor);
            let file = std::fs::metadata(folder.join("curl.out"));
            assert_eq!(file.map_or(0, |file| file.len()), song.len(), "curl");
            if program("openssl").is_some() {
                let mut command = Command::new("openssl");
                command.args(["dgst", "-sha256", "-out", "/dev/null"]);
                let hash = run(command.arg(folder.join("curl.out"))).await.processor;
                hashed.push(hash + by_curl.last().copied().unwrap_or_default());
            }
        }
        // It asks for the whole file first, which YouTube's hosts refuse.
        if site == Site::Bandcamp && program("aria2c").is_some() {
            let mut command = aria(lab, &url(&requests[0]), folder);
            by_aria.push(run(&mut command).await.processor);
        }
        if let Some(mut command) = yt_dlp(lab, folder) {
            let file = folder.join("yt-dlp.out");
            command.arg("--force-overwrites").arg("-o").arg(&file);
            command.args(["-f", "140/mp3-128", "--fixup", "never"]);
            by_yt_dlp.push(run(command.arg(song.link())).await.processor);
        }
        song.let_go();
    }
    for (of, all) in [
        (by_curl, &mut turns.curl),
        (hashed, &mut turns.hashed),
        (by_aria, &mut turns.aria),
        (by_yt_dlp, &mut turns.yt_dlp),
    ] {
        if !of.is_empty() {
            all.push(of.iter().sum::<f64>() / gigabytes);
        }
    }
}

pub fn large(lab: &Lab, site: Site, name: &str, bytes: u64) -> Song {
    match site {
        Site::YouTube => lab.youtube().video(name).size(bytes).publish(),
        Site::SoundCloud => lab.soundcloud().track(name).size(bytes).publish(),
        Site::Bandcamp => lab.bandcamp().track(name).size(bytes).publish(),
    }
}

fn aria(lab: &Lab, url: &str, folder: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command
        .args(["--quiet", "--no-conf", "--allow-overwrite=true", "-x1"])
        .args(["--file-allocation=none", "--all-proxy", &lab.proxy_url()])
        .arg("--ca-certificate")
        .arg(lab.ca_file())
        .arg("-d")
        .arg(folder)
        .args(["-o", "aria2c.out", url]);
    command
}
