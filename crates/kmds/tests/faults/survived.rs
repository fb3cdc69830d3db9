//! Faults that pass: no client notices them.

use super::cell::{FIFTH, Stage, Wanted, injection};
use super::harness::Setup;
use super::place::{PLACES, Place, SITES};
use super::table::run;
use kmds_lab::{Fault, Lab, Song, mib};
use serde_json::Value;

/// Faults of the first requests that three tries of a page outlast, and how many of them.
const OF_PAGES: &[(&str, u32)] = &[
    ("reset", 2),
    ("short_body", 2),
    ("cut_gzip", 2),
    ("status:500", 2),
    ("status:503,1", 2),
    ("endless_headers", 2),
    ("tls_error", 2),
    ("dns_failure", 2),
    ("no_answer", 1),
    ("stall", 1),
    ("slow_loris", 1),
];

/// The same of audio.
const OF_MEDIA: &[(&str, u32)] = &[
    ("reset", 3),
    ("short_body", 3),
    ("cut_gzip", 3),
    ("status:500", 3),
    ("status:503", 3),
    ("endless_headers", 3),
    ("tls_error", 3),
    ("dns_failure", 3),
    ("no_answer", 1),
    ("stall", 1),
    ("stall:100000", 1),
    ("slow_loris", 1),
    ("status:403", 3),
    ("status:404", 1),
    ("status:410", 1),
    ("status:429,1", 2),
    ("empty_200", 1),
    ("html_instead", 1),
    ("wrong_bytes", 1),
    ("wrong_length", 1),
    ("huge", 1),
];

async fn stage(place: Place, fault: &str) -> Stage {
    let silences = ["no_answer", "stall", "slow_loris"];
    if silences.iter().any(|silence| fault.starts_with(silence)) {
        Stage::set(place).await
    } else {
        Stage::without_silence(place).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_the_first_pages_is_not_noticed() {
    let mut cells = Vec::new();
    for (fault, most) in OF_PAGES {
        for count in 1..=*most {
            for place in SITES {
                let cell = async move {
                    let stage = Stage::set(place).await;
                    stage
                        .lab
                        .inject(injection(fault, Fault::on_pages).first(count));
                    stage.pages(Wanted::Ready, 8).await
                };
                cells.push((place, format!("{fault} ×{count}"), cell));
            }
        }
    }
    run("Faults of the first pages", cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_the_first_audio_requests_is_not_noticed() {
    let mut cells = Vec::new();
    for (fault, most) in OF_MEDIA {
        for count in [1, *most].into_iter().take(if *most > 1 { 2 } else { 1 }) {
            for place in PLACES {
                let cell = async move {
                    let stage = stage(place, fault).await;
                    stage
                        .lab
                        .inject(injection(fault, Fault::on_media).first(count));
                    // Sockets take some megabytes of what is refused.
                    stage.media(Wanted::Ready, 24, mib(8)).await
                };
                cells.push((place, format!("{fault} ×{count}"), cell));
            }
        }
    }
    run("Faults of the first audio requests", cells).await;
}

/// In the middle of a file: what arrived stays, and little is asked for twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_the_middle_of_a_file_costs_next_to_no_bytes_twice() {
    let mut cells = Vec::new();
    for fault in ["expired_at:700000", "reset", "short_body", "stall:300000"] {
        for place in [
            Place::YouTube,
            Place::SoundCloudFile,
            Place::Bandcamp,
            Place::SoundCloudHls,
        ] {
            let cell = async move {
                let stage = stage(place, fault).await;
                let all = injection(fault, Fault::on_media);
                stage.lab.inject(if fault.starts_with("expired_at") {
                    all
                } else {
                    all.first(1)
                });
                // A segment is the least that a join asks for again; an MP4's index is patched once more.
                // A reset takes with it what the socket had not handed over yet.
                let lost = fault == "reset";
                let twice = if place == Place::SoundCloudHls || lost {
                    768 << 10
                } else {
                    64 << 10
                };
                let most = stage.song.len() + twice;
                stage.media(Wanted::Ready, 16, most).await
            };
            cells.push((place, fault.to_owned(), cell));
        }
    }
    run("Faults in the middle of a file", cells).await;
}

/// A file that is re-wrapped while it arrives is asked for anew like one that is kept as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_middle_of_a_rewrapped_file_is_not_noticed() {
    for fault in ["wrong_bytes", "changed_etag:700000"] {
        let lab = Lab::start().await;
        let song = webm_opus(&lab);
        let kmds = Setup::of(&lab).recipes(FIFTH).start();
        let all = injection(fault, Fault::on_media);
        lab.inject(match fault {
            "wrong_bytes" => all.after(1).first(1),
            _ => all.first(1),
        });
        let (status, reply) = kmds.fetch_with(as_opus(&song)).await;
        assert_eq!(status, 200, "{fault}: {reply}");
        let got = kmds.whole(&reply.songs[0]).await;
        assert!(kmds.partials().is_empty(), "{fault}: {:?}", kmds.partials());
        lab.clear_faults();
        assert!(got == rewrapped(&lab, &song).await, "{fault}: wrong bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrapped_song_that_failed_for_its_bytes_is_downloaded_anew_by_the_next_fetch() {
    let lab = Lab::start().await;
    let song = webm_opus(&lab);
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    // The second range of both tries. What meets the first fault is not counted by the second.
    for passed in [1, 2] {
        lab.inject(Fault::WrongBytes.on_media().after(passed).first(1));
    }
    let (status, reply) = kmds.fetch_with(as_opus(&song)).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = format!("{}&wait=60", reply.songs[0].tunnel);
    let failed = kmds.get(&tunnel).await;
    assert_eq!(failed.status(), 500);
    let failure = failed.text().await.expect("a failure");
    assert!(failure.contains("\"truncated\""), "{failure}");
    assert!(kmds.partials().is_empty(), "{:?}", kmds.partials());
    lab.clear_faults();
    let (status, reply) = kmds.fetch_with(as_opus(&song)).await;
    assert_eq!(status, 200, "{reply}");
    let got = kmds.whole(&reply.songs[0]).await;
    assert!(got == rewrapped(&lab, &song).await, "wrong bytes");
}

/// Two ranges, in one encoding.
fn webm_opus(lab: &Lab) -> Song {
    lab.youtube()
        .video("Ordinary Days")
        .seconds(95.0)
        .formats(&[251])
        .without_muxed()
        .publish()
}

fn as_opus(song: &Song) -> Value {
    serde_json::json!({ "URL": song.link(), "Accept": ["opus"] })
}

/// What a service makes of the song that meets no fault.
async fn rewrapped(lab: &Lab, song: &Song) -> Vec<u8> {
    let kmds = Setup::of(lab).recipes(FIFTH).start();
    let (_, reply) = kmds.fetch_with(as_opus(song)).await;
    let bytes = kmds.whole(&reply.songs[0]).await;
    assert!(bytes.starts_with(b"OggS"));
    bytes
}
