//! The service beside what users would run instead, in one run and in turn.
//!
//! Owns running the other programs and telling what they cost. What is not installed is skipped, loudly. On a machine
//! that does other work too, processor time is compared, and of clocks only the ratio of two that ran one after the
//! other.

mod convert;
mod distance;
mod fetching;
mod finished;
mod listeners;
mod metadata;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use kmds_lab::{Kind, Lab, Seen, Song};
use tokio::process::Command;

use crate::service::processor;
use crate::table::Table;

/// Turns of which the median counts.
const ROUNDS: usize = 5;

pub async fn measure(part: &str, binary: &Path, lab: &Lab, table: &mut Table) {
    println!("\n{part}:");
    match part {
        "metadata" => metadata::measure(binary, lab, table).await,
        "fetching" => fetching::measure(binary, lab, table).await,
        "distance" => distance::measure(binary, lab, table).await,
        "finished" => finished::measure(binary, lab, table).await,
        "listeners" => listeners::measure(binary, lab, table).await,
        _ => convert::measure(binary, lab, table).await,
    }
}

/// What a program took.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    processor: f64,
}

/// Runs a program to its end.
async fn run(command: &mut Command) -> Cost {
    let (_, before) = processor("self");
    let begun = Instant::now();
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a program that was found starts")
        .wait_with_output()
        .await
        .expect("it ends");
    let seconds = begun.elapsed().as_secs_f64();
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Cost {
        seconds,
        processor: processor("self").1 - before,
    }
}

/// Where a program is installed.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The real yt-dlp of the tests (`KMDS_TEST_YTDLP`), told to ask the lab.
fn yt_dlp(lab: &Lab, folder: &Path) -> Option<Command> {
    let program = std::env::var_os("KMDS_TEST_YTDLP").filter(|path| !path.is_empty())?;
    let mut command = Command::new(program);
    command
        .args(["--ignore-config", "--no-cache-dir", "--no-warnings"])
        .args(["--compat-options", "no-certifi", "--quiet"])
        // The lab has no watch page.
        .args([
            "--extractor-args",
            "youtube:player_skip=webpage,initial_data",
        ])
        .args(["--proxy", &lab.proxy_url()])
        .env("SSL_CERT_FILE", lab.ca_file())
        .env("HOME", folder)
        .stdout(Stdio::null());
    Some(command)
}

/// The requests for a song's audio, in their order.
fn media(lab: &Lab, song: &Song) -> Vec<Seen> {
    let is_its = |seen: &Seen| seen.kind == Kind::Media && seen.song.as_deref() == Some(song.id());
    lab.requests().into_iter().filter(is_its).collect()
}

/// `curl` that makes the same requests, over one connection, into one file.
fn curl(lab: &Lab, requests: &[Seen], folder: &Path) -> Command {
    let proxy = lab.proxy_url();
    let each: Vec<String> = requests
        .iter()
        .map(|seen| {
            let range = seen
                .range
                .as_deref()
                .map_or_else(String::new, |range| format!("header = \"Range: {range}\"\n"));
            format!(
                "silent\nfail\nhttp1.1\ncacert = \"{}\"\nproxy = \"{proxy}\"\nuser-agent = \"{}\"\n{range}url = \"{}\"\n",
                lab.ca_file().display(),
                seen.user_agent,
                url(seen)
            )
        })
        .collect();
    let config = folder.join("curl.conf");
    std::fs::write(&config, each.join("next\n")).expect("a file");
    let mut command = Command::new("curl");
    command
        .arg("-K")
        .arg(config)
        .stdout(File::create(folder.join("curl.out")).expect("a file"));
    command
}

fn url(seen: &Seen) -> String {
    format!("https://{}{}?{}", seen.host, seen.path, seen.query)
        .trim_end_matches('?')
        .to_owned()
}

/// A port of loopback that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .to_string()
}
