//! Nodes with one cache folder.

use std::process::{Command, Output};

use kmds_lab::{Kind, Lab, Song};

use super::nats::Nats;
use super::{acquainted, address, asked_from, door, held_song, node};
use crate::harness::{Folder, Kmds, Setup};

/// The same node with its cache in this folder.
pub fn on(drive: &Folder, setup: Setup) -> Setup {
    setup
        .set("KMDS_CLUSTER__SHARED_DRIVE", "true")
        .set("KMDS_CACHE__DIR", &drive.0.display().to_string())
}

/// The audio and the sidecars of a site, and all partial files.
pub fn files(drive: &Folder) -> Vec<String> {
    let list = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut files: Vec<String> = list(drive.path("bandcamp")).collect();
    for instance in list(drive.path(".kmds-work")) {
        files.extend(
            list(drive.path(".kmds-work").join(instance)).filter(|name| name.ends_with(".part")),
        );
    }
    files.sort();
    files
}

/// ETag and SHA-256 of a finished song, as a node tells them.
async fn told(node: &Kmds, song: &Song) -> (String, String) {
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let (_, track) = node.body::<serde_json::Value>(&path).await;
    let audio = node.get(&format!("{path}/audio")).await;
    let etag = audio.headers()["etag"].to_str().expect("text").to_owned();
    (etag, track["sha256"].as_str().expect("ready").to_owned())
}

fn media_from(lab: &Lab, number: u8) -> usize {
    lab.count(|seen| seen.kind == Kind::Media && seen.from == address(number))
}

#[tokio::test]
async fn a_song_on_the_drive_of_all_nodes_is_served_by_each_as_its_own() {
    let Some(nats) = Nats::start() else { return };
    let (lab, drive) = (Lab::start().await, Folder::new());
    let early = lab.bandcamp().track("early").seconds(20.0).publish();
    let late = held_song(&lab, "late", 200_000);
    let one = on(&drive, node(&lab, &nats, 1)).start();
    let door = on(&drive, door(&lab, &nats)).start();
    acquainted(&[&one, &door]).await;
    assert!(one.download(&early.link()).await == early.bytes());
    let asked = media_from(&lab, 1);
    assert!(door.download(&early.link()).await == early.bytes());
    assert_eq!(media_from(&lab, 1), asked);
    // The door hears the second one while it arrives at the node.
    let (_, reply) = door.fetch(&late.link()).await;
    let mut grown = door.get(&reply.songs[0].stream()).await;
    let mut heard = grown.chunk().await.expect("bytes").expect("bytes").to_vec();
    late.release();
    while let Some(chunk) = grown.chunk().await.expect("it is not cut") {
        heard.extend_from_slice(&chunk);
    }
    assert!(heard == late.bytes());
    assert!(door.whole(&reply.songs[0]).await == late.bytes());
    for song in [&early, &late] {
        assert!(one.download(&song.link()).await == song.bytes());
        let seen = told(&door, song).await;
        assert_eq!(told(&one, song).await, seen);
        assert_eq!(
            nats.entry(song).await["finished"]["sha256"],
            seen.1.as_str()
        );
    }
    assert_eq!(files(&drive).len(), 4, "{:?}", files(&drive));
    assert!(!door.whole_log().await.contains("is copied"));
}

#[tokio::test]
async fn what_a_killed_node_has_written_on_the_drive_is_gone_on_with() {
    let Some(nats) = Nats::start() else { return };
    let (lab, drive) = (Lab::start().await, Folder::new());
    let song = held_song(&lab, "long", 300_000);
    let mut one = on(&drive, node(&lab, &nats, 1)).start();
    let two = on(&drive, node(&lab, &nats, 2)).start();
    acquainted(&[&one, &two]).await;
    let (status, reply) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    one.until("it has arrived so far", async || {
        let (_, track) = one.body::<serde_json::Value>(&path).await;
        track["received_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes >= 300_000)
    })
    .await;
    one.kill();
    song.release();
    assert!(two.download(&song.link()).await == song.bytes());
    assert!(asked_from(2)(&lab.requests()));
    let sent = lab.media_bytes_sent(song.id());
    let most = song.bytes().len() as u64 + 100_000;
    assert!(
        sent <= most,
        "the site sent {sent} bytes of {}",
        song.bytes().len()
    );
}

/// Waits until the note of a node says that it needs this song.
async fn is_noted(drive: &Folder, node: &Kmds, song: &Song) {
    let instance = node.folder.path("state").join("instance");
    let instance = std::fs::read_to_string(instance).expect("the node's own name");
    let note = drive
        .path(".kmds-work")
        .join(instance.trim())
        .join("needed");
    node.until("it is noted", async || {
        std::fs::read_to_string(&note).is_ok_and(|text| text.contains(song.id()))
    })
    .await;
}

#[tokio::test]
async fn what_another_node_holds_or_has_just_read_is_not_evicted_and_what_is_gone_comes_again() {
    let Some(nats) = Nats::start() else { return };
    let (lab, drive) = (Lab::start().await, Folder::new());
    let song = |number| {
        let title = format!("song {number}");
        lab.bandcamp().track(&title).seconds(4.0).publish()
    };
    let songs: Vec<Song> = (0..7).map(song).collect();
    let largest = songs.iter().map(Song::len).max().expect("songs");
    let room = (largest * 3 + 1000).to_string();
    let start = |number| {
        let setup = on(&drive, node(&lab, &nats, number));
        setup.set("KMDS_CACHE__MAX_BYTES", &room).start()
    };
    let (one, two) = (start(1), start(2));
    acquainted(&[&one, &two]).await;
    for song in &songs[..3] {
        assert!(one.download(&song.link()).await == song.bytes());
    }
    let [held, read, other] = [&songs[0], &songs[1], &songs[2]];
    let (_, reply) = two.fetch(&held.link()).await;
    assert_eq!(reply.songs.len(), 1);
    let path = format!("/api/v1/tracks/bandcamp/{}/mp3?wait=60&hold=600", held.id());
    assert_eq!(two.get(&path).await.status(), 200);
    assert!(two.download(&read.link()).await == read.bytes());
    for needed in [held, read] {
        is_noted(&drive, &two, needed).await;
    }
    // The second node knows this one, and has not read it.
    let (_, reply) = two.fetch(&other.link()).await;
    let path = format!("/api/v1/tracks/bandcamp/{}", other.id());
    two.until("it is ready there", async || {
        let (_, track) = two.body::<serde_json::Value>(&path).await;
        track["state"] == "ready"
    })
    .await;
    for song in &songs[3..] {
        assert!(one.download(&song.link()).await == song.bytes());
    }
    let left = files(&drive);
    let is_left = |song: &Song| left.iter().any(|name| name.contains(song.id()));
    assert!(is_left(held) && is_left(read), "{left:?}");
    assert!(!is_left(other), "{left:?}");
    assert!(two.whole(&reply.songs[0]).await == other.bytes());
    for (song, times) in [(held, 1), (read, 1), (other, 2)] {
        assert!(two.download(&song.link()).await == song.bytes());
        assert_eq!(lab.media_requests(song.id()), times, "{}", song.title());
    }
}

fn check(nats: &Nats, drive: &Folder, shared: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kmds"))
        .args(["config", "check"])
        .env_clear()
        .env("KMDS_STATE__DIR", drive.path("state"))
        .env("KMDS_CACHE__DIR", &drive.0)
        .env("KMDS_CLUSTER__NATS", nats.url())
        .env("KMDS_CLUSTER__NODE", "new")
        .env("KMDS_CLUSTER__SHARED_DRIVE", shared)
        .output()
        .expect("it runs")
}

#[tokio::test]
async fn a_folder_that_is_not_the_drive_of_the_other_nodes_is_refused() {
    let Some(nats) = Nats::start() else { return };
    let (lab, drive, other) = (Lab::start().await, Folder::new(), Folder::new());
    let one = on(&drive, node(&lab, &nats, 1)).start();
    one.until("it is connected", async || {
        one.log().contains("connected to NATS")
    })
    .await;
    let good = check(&nats, &drive, "true");
    assert!(good.status.success(), "{good:?}");
    let refused = check(&nats, &other, "true");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("node-1"),
        "{said}"
    );
    assert!(said.contains("cluster.shared_drive"), "{said}");
    assert!(check(&nats, &other, "false").status.success());
    for folder in [&drive, &other] {
        let names = std::fs::read_dir(&folder.0).expect("the folder").flatten();
        let left = names.filter(|entry| entry.file_name().to_string_lossy().contains("probe"));
        assert_eq!(left.count(), 0);
    }
}
