//! Room on a drive: what is evicted for a song while a drive of all nodes is slow, and what songs that wait leave to
//! others.

use std::path::Path;

use kmds_lab::{Fault, Lab, Song};
use serde_json::Value;

use super::drive::{files, on};
use super::midway::{HELD_AT, Listener, hasty_node, meets_a_limit};
use super::nats::Nats;
use super::sick::Drive;
use super::{acquainted, address, held_song, node};
use crate::harness::{Folder, Kmds};

/// Whether the service has this file open.
fn has_open(node: &Kmds, file: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("a process");
    open.flatten()
        .any(|one| std::fs::read_link(one.path()).is_ok_and(|path| path == file))
}

#[tokio::test]
async fn clients_are_answered_while_a_slow_drive_gives_the_note_of_another_node() {
    let Some(nats) = Nats::start() else { return };
    let Some(sick) = Drive::make() else { return };
    let (lab, drive) = (Lab::start().await, Folder::new());
    let song = |number| {
        let title = format!("song {number}");
        lab.bandcamp().track(&title).seconds(4.0).publish()
    };
    let songs = [0, 1, 2, 3].map(song);
    let largest = songs.iter().map(Song::len).max().expect("songs");
    let one = sick
        .under(on(&drive, node(&lab, &nats, 1)))
        .set("KMDS_CACHE__MAX_BYTES", &(largest * 3 + 1000).to_string())
        .start();
    for song in &songs[..3] {
        assert!(one.download(&song.link()).await == song.bytes());
    }
    // Another node holds the oldest.
    let note = drive.path(".kmds-work/another/needed");
    std::fs::create_dir_all(note.parent().expect("a folder")).expect("made");
    let held = format!("kept 99999999999 bandcamp-{}\n", songs[0].id());
    std::fs::write(&note, held).expect("written");
    sick.fails("read=HANGS 0 /another/needed$");
    let (status, waits) = one.fetch(&songs[3].link()).await;
    assert_eq!(status, 200, "{waits}");
    one.until("the note is read", async || has_open(&one, &note))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", songs[2].id());
    let (status, told) = one.body::<Value>(&path).await;
    assert_eq!((status, &told["state"]), (200, &Value::from("ready")));
    let (status, known) = one.fetch(&songs[1].link()).await;
    assert_eq!(status, 200, "{known}");
    assert!(has_open(&one, &note), "the drive is still slow");
    sick.is_well();
    assert!(one.whole(&waits.songs[0]).await == songs[3].bytes());
    let left = files(&drive);
    let is_left = |song: &Song| left.iter().any(|name| name.contains(song.id()));
    assert_eq!(
        songs.each_ref().map(is_left),
        [true, false, true, true],
        "{left:?}"
    );
}

#[tokio::test]
async fn a_song_that_waits_in_mid_file_leaves_the_room_that_it_has_not_filled_to_others() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let waits = held_song(&lab, "waits", HELD_AT as u64);
    let other = lab.soundcloud().track("other").seconds(60.0).publish();
    let room = waits.len() + other.len() - 100_000;
    let one = hasty_node(&lab, &nats)
        .set("KMDS_CACHE__MAX_BYTES", &room.to_string())
        .start();
    let two = node(&lab, &nats, 2)
        .set("KMDS_SOUNDCLOUD__ENABLED", "false")
        .start();
    acquainted(&[&one, &two]).await;
    let mut listener = Listener::of(&one, &waits).await;
    listener.hears(HELD_AT).await;
    let limit = |seconds| Fault::Status(429, Some(seconds)).on_media().of(&waits);
    lab.inject(limit(2).only_from(address(2)));
    meets_a_limit(&lab, limit(50)).await;
    waits.release();
    assert!(one.download(&other.link()).await == other.bytes());
    let path = format!("/api/v1/tracks/bandcamp/{}", waits.id());
    let (_, told) = one.body::<Value>(&path).await;
    assert_ne!(told["state"], "ready", "the limits go on");
    // The second node may ask again, and the room is taken again.
    lab.clear_faults();
    listener.hears_all_of(&waits).await;
}
