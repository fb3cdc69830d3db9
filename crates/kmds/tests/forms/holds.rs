//! A held file stays on the drive; a hold ends by itself, with the song, or when its client releases it.

use std::process::Command;

use kmds_lab::{Lab, Song};
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Kmds, PATIENCE, Setup};
use super::{ask, call, classic_fetch, fetched, file, get, link, ready, v1_fetch, without_encoder};

/// The size of each song; the drive has room for three.
const SECONDS: f64 = 4.0;

fn small(lab: &Lab, songs: &[Song]) -> Setup {
    let largest = songs.iter().map(Song::len).max().expect("songs");
    without_encoder(lab).set("KMDS_CACHE__MAX_BYTES", &(largest * 3 + 1000).to_string())
}

fn songs(lab: &Lab, count: usize) -> Vec<Song> {
    let song = |number| {
        let title = format!("Song {number}");
        lab.bandcamp().track(&title).seconds(SECONDS).publish()
    };
    (0..count).map(song).collect()
}

/// Evicts everything but held files.
async fn storm(kmds: &Kmds, songs: &[Song]) {
    for song in songs {
        kmds.download(&song.link()).await;
    }
}

async fn track(kmds: &Kmds, song: &Song) -> Value {
    fetched(kmds, &song.link(), json!(["mp3"])).await
}

fn is_on_drive(kmds: &Kmds, track: &Value) -> bool {
    let path = track["path"].as_str().expect("a path").to_owned();
    kmds.published().contains(&path)
}

#[tokio::test]
async fn a_held_file_stays_through_an_eviction_storm_and_is_shown() {
    let lab = Lab::start().await;
    let all = songs(&lab, 8);
    let kmds = small(&lab, &all).start();
    let first = track(&kmds, &all[0]).await;
    let held = ready(&kmds, &first, "&hold=600").await;
    assert_eq!(held["pinned"], false);
    assert!(held["held_until"].is_string(), "{held}");
    let next = track(&kmds, &all[1]).await;
    ready(&kmds, &next, "").await;
    storm(&kmds, &all[2..]).await;
    assert_eq!(file(&kmds, &held), all[0].bytes());
    assert!(!is_on_drive(&kmds, &next), "one that is not held left");
    let stats = get(&kmds, "/api/v1/stats").await;
    assert_eq!(
        stats["holds"],
        json!({"files": 1, "bytes": all[0].len(), "pinned": 0})
    );
    let listed = get(&kmds, "/api/v1/tracks?q=Song+0").await;
    assert_eq!(listed["tracks"][0]["held_until"], held["held_until"]);
    assert_eq!(lab.media_requests(all[0].id()), 1, "it was never away");
}

#[tokio::test]
async fn the_hold_of_a_client_that_was_killed_ends_in_its_time() {
    let lab = Lab::start().await;
    let all = songs(&lab, 4);
    let kmds = small(&lab, &all).start();
    let held = track(&kmds, &all[0]).await;
    let address = kmds.at(&format!("{}?wait=60&hold=2", link(&held, "self")));
    let script = format!("curl -sf '{address}' && echo && exec sleep 600");
    let mut client = Command::new("sh")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a client");
    let mut said = String::new();
    let mut out = std::io::BufReader::new(client.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut out, &mut said).expect("it says so");
    let told: Value = serde_json::from_str(&said).expect("the track");
    assert!(told["held_until"].is_string(), "{told}");
    client.kill().expect("killed");
    client.wait().expect("it ended");
    let at = link(&held, "self").to_owned();
    kmds.until("the hold has ended", async || {
        get(&kmds, &at).await["held_until"].is_null()
    })
    .await;
    storm(&kmds, &all[1..]).await;
    assert!(!is_on_drive(&kmds, &held));
}

#[tokio::test]
async fn a_hold_survives_a_restart_of_the_service() {
    let lab = Lab::start().await;
    let all = songs(&lab, 6);
    let setup = small(&lab, &all);
    let mut kmds = setup.start();
    let first = track(&kmds, &all[0]).await;
    let held = ready(&kmds, &first, "&hold=600").await;
    kmds.kill();
    let kmds = setup.start();
    storm(&kmds, &all[1..]).await;
    assert_eq!(file(&kmds, &held), all[0].bytes());
    let now = get(&kmds, link(&held, "self")).await;
    assert_eq!(now["held_until"], held["held_until"]);
}

#[tokio::test]
async fn a_drive_whose_rest_is_held_is_507_with_the_numbers_until_a_hold_ends() {
    let lab = Lab::start().await;
    let all = songs(&lab, 4);
    let kmds = small(&lab, &all).start();
    let mut held = Vec::new();
    for song in &all[..3] {
        held.push(ready(&kmds, &track(&kmds, song).await, "&hold=600").await);
    }
    let sum: u64 = all[..3].iter().map(Song::len).sum();
    let numbers = [" bytes are needed", &format!("{sum} more are held")];
    let (status, problem) = v1_fetch(&kmds, json!({"url": all[3].link()})).await;
    assert_eq!(
        (status, &problem["kind"]),
        (507, &"disk_full".into()),
        "{problem}"
    );
    let sentence = problem["detail"].as_str().expect("a sentence");
    for number in numbers {
        assert!(sentence.contains(number), "{number}: {sentence}");
    }
    let (status, reply) = classic_fetch(&kmds, &all[3].link()).await;
    assert_eq!((status, &reply["Kind"]), (507, &"disk_full".into()));
    let hold = format!("{}/hold", link(&held[0], "self"));
    for _ in 0..2 {
        let answer = ask(&kmds, Method::DELETE, &hold).await;
        assert_eq!(answer.status(), 204, "ended, or there was none");
    }
    assert_eq!(kmds.download(&all[3].link()).await, all[3].bytes());
    assert!(!is_on_drive(&kmds, &held[0]) && is_on_drive(&kmds, &held[1]));
}

#[tokio::test]
async fn a_pinned_file_stays_for_good_until_it_is_unpinned() {
    let lab = Lab::start().await;
    let all = songs(&lab, 8);
    let mut kmds = small(&lab, &all).start();
    let first = track(&kmds, &all[0]).await;
    ready(&kmds, &first, "").await;
    let pin = format!("{}/pin", link(&first, "self"));
    let (status, pinned) = call(&kmds, Method::POST, &pin).await;
    assert_eq!(status, 200, "{pinned}");
    assert_eq!(
        (&pinned["pinned"], &pinned["held_until"]),
        (&true.into(), &Value::Null)
    );
    storm(&kmds, &all[1..5]).await;
    assert!(is_on_drive(&kmds, &pinned));
    let stats = get(&kmds, "/api/v1/stats").await;
    assert_eq!(stats["holds"]["pinned"], 1);
    let shown = Command::new(env!("CARGO_BIN_EXE_kmds"))
        .args(["cache", "ls", "Song", "0"])
        .env("KMDS_CACHE__DIR", kmds.folder.path("cache"))
        .env("KMDS_STATE__DIR", kmds.folder.path("state"))
        .output()
        .expect("kmds cache ls");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("ready, pinned"), "{shown}");
    assert_eq!(ask(&kmds, Method::DELETE, &pin).await.status(), 204);
    storm(&kmds, &all[5..]).await;
    assert!(!is_on_drive(&kmds, &pinned));
    kmds.kill();
}

#[tokio::test]
async fn holders_with_names_do_not_end_each_others_holds_and_none_is_shortened() {
    let lab = Lab::start().await;
    let all = songs(&lab, 8);
    let kmds = small(&lab, &all).start();
    let first = track(&kmds, &all[0]).await;
    let long = ready(&kmds, &first, "&hold=3600&holder=bot-1").await;
    let hold = format!("{}/hold", link(&first, "self"));
    let (status, short) = call(&kmds, Method::POST, &format!("{hold}?hold=1&holder=bot-1")).await;
    assert_eq!((status, &short["held_until"]), (200, &long["held_until"]));
    let (_, other) = call(&kmds, Method::POST, &format!("{hold}?holder=bot-2")).await;
    assert_eq!(
        other["held_until"], long["held_until"],
        "the last end is shown"
    );
    let release = async |holder: &str| {
        let path = format!("{hold}?holder={holder}");
        assert_eq!(ask(&kmds, Method::DELETE, &path).await.status(), 204);
    };
    release("bot-1").await;
    storm(&kmds, &all[1..4]).await;
    assert!(is_on_drive(&kmds, &long), "the other one holds it");
    release("bot-2").await;
    storm(&kmds, &all[4..]).await;
    assert!(!is_on_drive(&kmds, &long));
}

#[tokio::test]
async fn the_classic_face_waits_and_holds_without_the_bytes() {
    let lab = Lab::start().await;
    let all = songs(&lab, 5);
    let kmds = small(&lab, &all).start();
    let (_, reply) = classic_fetch(&kmds, &all[0].link()).await;
    let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel");
    let answer = ask(&kmds, Method::HEAD, &format!("{tunnel}&wait=60&hold=600")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-length"], all[0].len().to_string());
    storm(&kmds, &all[1..]).await;
    let path = json!({"path": reply["Songs"][0]["Cache_Path"]});
    assert_eq!(file(&kmds, &path), all[0].bytes());
    let answer = ask(&kmds, Method::HEAD, &format!("{tunnel}&hold=week")).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn a_deleted_song_leaves_whoever_holds_it_and_its_holds_end() {
    let lab = Lab::start().await;
    let all = songs(&lab, 5);
    let kmds = small(&lab, &all).start();
    let first = track(&kmds, &all[0]).await;
    ready(&kmds, &first, "&hold=600").await;
    let pin = format!("{}/pin", link(&first, "self"));
    assert_eq!(ask(&kmds, Method::POST, &pin).await.status(), 200);
    let answer = ask(&kmds, Method::DELETE, link(&first, "track")).await;
    assert_eq!(answer.status(), 204);
    assert!(!is_on_drive(&kmds, &first));
    let again = track(&kmds, &all[0]).await;
    let again = ready(&kmds, &again, "").await;
    assert_eq!(
        (&again["held_until"], &again["pinned"]),
        (&Value::Null, &false.into())
    );
}

#[tokio::test]
async fn a_song_that_is_still_coming_is_held_from_when_it_is_there() {
    let lab = Lab::start().await;
    let slow = lab
        .bandcamp()
        .track("Slow")
        .seconds(SECONDS)
        .holds_at(2_000)
        .publish();
    let all = songs(&lab, 4);
    let setup = small(&lab, &all).patient();
    let kmds = setup.start();
    let first = track(&kmds, &slow).await;
    let path = format!("{}/hold?hold=600", link(&first, "self"));
    let (status, held) = call(&kmds, Method::POST, &path).await;
    assert_eq!(
        (status, &held["path_final"]),
        (200, &false.into()),
        "{held}"
    );
    assert!(held["held_until"].is_string());
    slow.release();
    ready(&kmds, &first, "").await;
    storm(&kmds, &all).await;
    assert_eq!(file(&kmds, &first), slow.bytes());
}

#[tokio::test]
async fn a_page_of_another_site_holds_nothing() {
    let lab = Lab::start().await;
    let all = songs(&lab, 1);
    let kmds = small(&lab, &all).start();
    let first = track(&kmds, &all[0]).await;
    let now = ready(&kmds, &first, "").await;
    for path in [
        format!("{}?hold=60", link(&first, "self")),
        format!("{}?hold=60", link(&first, "track")),
        format!("{}&hold=60", link(&first, "tunnel")),
    ] {
        let answer = kmds
            .http
            .get(kmds.at(&path))
            .header("sec-fetch-site", "cross-site")
            .timeout(PATIENCE)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 403, "{path}");
    }
    let after = get(&kmds, link(&first, "self")).await;
    assert_eq!(after["held_until"], now["held_until"]);
}
