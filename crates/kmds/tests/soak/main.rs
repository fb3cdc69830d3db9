//! Everything at once for a long time: what is taken is given back.
//!
//! New songs all the time, listeners who stay, leave and dawdle, lists, copies, removals, strangers at the door, and
//! sites that fail in every way. In the end the service holds the files and threads it held at the start, no partial
//! file is left, and in the long form its memory does not grow.
//!
//! `cargo test -p kmds --test soak -- --ignored --nocapture` is the long form: half an hour, or `KMDS_SOAK_MINUTES`.
//! `KMDS_BIN=PATH` names another binary (the release build, for figures), `KMDS_SEED=N` throws the same dice again.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../load/mod.rs"]
mod load;

mod acts;
mod crowd;
mod gauge;

use std::time::{Duration, Instant};

use gauge::{Gauge, Sample};
use harness::replies::{Track, V1Fetched};
use harness::{Kmds, PATIENCE, Setup};
use kmds_lab::Lab;
use load::{Dice, seed};

const SHORT: Duration = Duration::from_secs(12);
const LONG_MINUTES: u64 = 30;

/// Faults are over in the time of a test; a site's pauses are no part of the load.
const RECIPES: &str = r#"
[time]
metadata_request = 1.0
retry_pauses = [0.02, 0.05]
audio_stall = 1.0
idle = 1.0
audio_pauses = [0.02, 0.05]
limit_pause = 0.2
connect = 1.0
[youtube]
limited_wait = 0.2
quota_wait = 0.2
bot_check_wait = 0.2
[soundcloud]
limit_pause = 0.2
[bandcamp]
limit_pause = 0.2
[bandcamp.hosts]
pace = 0.0
"#;

fn start(lab: &Lab) -> Kmds {
    start_with(lab, RECIPES)
}

fn start_with(lab: &Lab, recipes: &str) -> Kmds {
    Setup::of(lab)
        .recipes(recipes)
        .set("PATH", &std::env::var("PATH").unwrap_or_default())
        // Room for some twenty songs: eviction is part of the load.
        .set("KMDS_CACHE__MAX_BYTES", "16000000")
        .set("KMDS_LOG", "warn")
        .start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_busy_service_takes_it_gives_back() {
    let seed = seed();
    let lab = Lab::start().await;
    let kmds = start(&lab);
    let before = quiet(&kmds, &lab).await;
    let done = crowd::run(&kmds, &lab, Dice(seed), SHORT, &mut async || {}).await;
    println!("KMDS_SEED={seed} {done}");
    gives_back(&kmds, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour; see the head of this file"]
async fn memory_files_and_threads_stay_flat_for_half_an_hour() {
    let minutes = std::env::var("KMDS_SOAK_MINUTES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(LONG_MINUTES);
    let seed = seed();
    let lab = Lab::start().await;
    let kmds = start(&lab);
    let before = quiet(&kmds, &lab).await;
    println!(
        "KMDS_SEED={seed}\n{}\n{}",
        Sample::HEAD,
        before.row("before")
    );
    let begun = Instant::now();
    let mut gauge = Gauge::default();
    let time = Duration::from_secs(60 * minutes);
    let done = crowd::run(&kmds, &lab, Dice(seed), time, &mut async || {
        gauge.look(&kmds).await
    })
    .await;
    let after = gives_back(&kmds, &before).await;
    println!(
        "{}\n{} s: {done}",
        after.row("quiet again"),
        begun.elapsed().as_secs()
    );
    gauge.is_flat();
}

/// Songs of a long list, clients that ask for it at once, and clients that hold a connection open meanwhile.
const LONG_LIST: usize = 3000;
const ASKERS: usize = 30;
const HOLDERS: usize = 800;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_long_lists_crowds_and_copies_took_is_given_back() {
    let lab = Lab::start().await;
    // The page of the list is large.
    let kmds = start_with(
        &lab,
        &RECIPES.replace("metadata_request = 1.0", "metadata_request = 30.0"),
    );
    let list = lab.bandcamp().album(LONG_LIST).seconds(1.0).publish();
    let mix = lab.bandcamp().track("A Mix").seconds(60.0).publish();
    let before = quiet(&kmds, &lab).await;
    kmds.download(&mix.link()).await;
    // Nothing of it is downloaded: the list is what is looked at.
    let ask = serde_json::json!({"url": list.link(), "prefetch": 0});

    let replies =
        futures_util::future::join_all((0..ASKERS).map(|_| kmds.v1_fetch(ask.clone()))).await;
    for (status, reply) in replies {
        assert_eq!((status, reply.tracks.len()), (200, LONG_LIST));
    }
    let mut held = Vec::new();
    for _ in 0..HOLDERS {
        let Ok(mut stream) =
            tokio::net::TcpStream::connect(kmds.url.trim_start_matches("http://")).await
        else {
            break;
        };
        let request = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request)
            .await
            .expect("taken");
        held.push(stream);
    }
    let copy = format!(
        "/api/v1/tracks/bandcamp/{}/audio?rendition=original&tags=true&wait=30",
        mix.id()
    );
    assert_eq!(kmds.get(&copy).await.status(), 200);
    let peak = Sample::most_resident(&kmds);
    drop(held);

    kmds.until("memory is given back", async || {
        Sample::of(&kmds).resident_bytes * 3 <= before.resident_bytes * 4
    })
    .await;
    let mib = |bytes: u64| bytes >> 20;
    let now = Sample::of(&kmds).resident_bytes;
    println!(
        "resident: {} MiB before, {} at most, {} after",
        mib(before.resident_bytes),
        mib(peak),
        mib(now)
    );
    assert!(
        peak < before.resident_bytes + MOST_ABOVE_REST,
        "{} MiB at most",
        mib(peak)
    );
}

/// What all of that together may take at once, in bytes.
const MOST_ABOVE_REST: u64 = 40 << 20;

/// The service when it has just done its first song.
async fn quiet(kmds: &Kmds, lab: &Lab) -> Sample {
    let song = lab.bandcamp().track("The first").publish();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    Sample::of(kmds).with_tasks(kmds).await
}

/// Files, threads and tasks of before; no partial file. Idle connections to the sites are given back after a
/// second, by the recipes above, and idle threads after ten.
async fn gives_back(kmds: &Kmds, before: &Sample) -> Sample {
    kmds.until(
        "no partial file is left but those of failed songs",
        async || {
            let mut left = kmds.partials();
            for song in failed(kmds).await {
                left.retain(|path| !path.contains(&song));
            }
            left.is_empty()
        },
    )
    .await;
    // A copy that was asked for at the end is still made.
    let end = Instant::now() + 5 * PATIENCE;
    loop {
        let mut now = Sample::of(kmds);
        if now.files <= before.files && now.threads <= before.threads {
            now = now.with_tasks(kmds).await;
            if now.tasks <= before.tasks {
                return now;
            }
        }
        assert!(
            Instant::now() < end,
            "held for ever: {now:?}, before: {before:?}\n{}",
            kmds.open_files().join("\n")
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// As work files begin: `{site}-{id}.`.
async fn failed(kmds: &Kmds) -> Vec<String> {
    let path = "/api/v1/tracks?state=failed&limit=500";
    let (_, list) = kmds.body::<V1Fetched>(path).await;
    let name = |track: &Track| format!("{}-{}.", track.site, track.id);
    list.tracks.iter().map(name).collect()
}
