//! Songs put into the operator's music library (`library.dir`), which other programs watch and people sort.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use kmds_lab::{Fault, Lab, Song};
use serde_json::{Value, json};

use crate::harness::{Kmds, Setup, read, tool};
use crate::patient;

fn with_library(lab: &Lab) -> (Setup, PathBuf) {
    let setup = patient(lab);
    let music = setup.folder.path("music");
    std::fs::create_dir(&music).expect("a music folder");
    let setup = setup.set("KMDS_LIBRARY__DIR", &music.display().to_string());
    (setup, music)
}

async fn ask(kmds: &Kmds, body: Value) -> (u16, Value) {
    let request = kmds.http.post(kmds.at("/api/v1/library"));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

/// Puts the songs of a link into the library, and waits until no more come.
async fn put(kmds: &Kmds, link: &str) -> Value {
    let (status, begun) = ask(kmds, json!({ "url": link })).await;
    assert_eq!(status, 202, "{begun}");
    let id = begun["id"].as_str().expect("an id").to_owned();
    let mut run = begun;
    kmds.until("the run ends", async || {
        let answer = kmds.get(&format!("/api/v1/library/{id}")).await;
        run = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        run["state"] != "running"
    })
    .await;
    run
}

fn counts(run: &Value) -> [u64; 4] {
    ["songs", "placed", "present", "failed"].map(|key| run[key].as_u64().expect("a number"))
}

/// All files below a folder, those whose names begin with a dot too.
fn files(folder: &Path) -> Vec<String> {
    let listed = tool(
        "find",
        &[
            folder.to_str().expect("a path"),
            "-type",
            "f",
            "-printf",
            "%P\n",
        ],
    );
    let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_songs_of_a_list_get_into_the_library_tagged_each_once() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer")
        .song("Hello, Checksum", 4.0)
        .song("../Divide by One", 4.0)
        .publish();
    let single = lab
        .youtube()
        .video("Words")
        .artist("Ada Loopback")
        .seconds(4.0)
        .publish();
    let (setup, music) = with_library(&lab);
    let kmds = setup.start();

    let run = put(&kmds, &album.link()).await;
    assert_eq!(
        (&run["state"], counts(&run)),
        (&json!("done"), [2, 2, 0, 0]),
        "{run}"
    );
    assert_eq!(run["path"], "Mac Layer/Coming of Port");
    let names = [
        "Mac Layer/Coming of Port/01 Hello, Checksum.mp3",
        "Mac Layer/Coming of Port/02 .._Divide by One.mp3",
    ];
    assert_eq!(files(&music), names, "whole files, and nothing beside them");
    let first = music.join(names[0]);
    let asked = [
        "-v",
        "error",
        "-show_entries",
        "format_tags=album",
        "-of",
        "default=nw=1:nk=1",
    ];
    let album_tag = tool(
        "ffprobe",
        &[&asked[..], &[first.to_str().expect("a path")]].concat(),
    );
    assert_eq!(album_tag.trim(), "Coming of Port");

    let inode = std::fs::metadata(&first).expect("a file").ino();
    let again = put(&kmds, &album.link()).await;
    assert_eq!(counts(&again), [2, 0, 2, 0], "what is there stays: {again}");
    assert_eq!(std::fs::metadata(&first).expect("a file").ino(), inode);

    let one = put(&kmds, &single.link()).await;
    assert_eq!(
        (counts(&one), &one["path"]),
        ([1, 1, 0, 0], &json!("Ada Loopback - Words.m4a"))
    );
    assert_eq!(files(&music).len(), 3);
}

#[tokio::test]
async fn a_file_of_another_program_stays_in_the_library_and_the_song_stands_beside_it() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Words")
        .artist("Ada Loopback")
        .seconds(4.0)
        .publish();
    let (setup, music) = with_library(&lab);
    let kmds = setup.start();
    let taken = music.join("Ada Loopback - Words.m4a");
    std::fs::write(&taken, "a person's own recording").expect("written");
    let pipe = music.join("Ada Loopback - Words (2).m4a");
    tool("mkfifo", &[pipe.to_str().expect("a path")]);
    let run = put(&kmds, &song.link()).await;
    assert_eq!(run["path"], "Ada Loopback - Words (3).m4a", "{run}");
    assert_eq!(read(&taken), b"a person's own recording");

    // A tool for tags may write into it: it is still the same song.
    let ours = music.join("Ada Loopback - Words (3).m4a");
    let mut longer = read(&ours);
    longer.extend([0, 0, 0, 8, b'f', b'r', b'e', b'e']);
    std::fs::write(&ours, &longer).expect("written");
    let run = put(&kmds, &song.link()).await;
    assert_eq!(counts(&run), [1, 0, 1, 0], "{run}");
    assert_eq!(read(&ours), longer);
}

#[tokio::test]
async fn no_link_leads_out_of_the_library_and_the_other_songs_of_the_list_get_there() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .title("Coming of Port")
        .artist("Mac Layer")
        .song("One", 4.0)
        .publish();
    let (setup, music) = with_library(&lab);
    let outside = setup.folder.path("outside");
    std::fs::create_dir(&outside).expect("a folder");
    symlink(&outside, music.join("Mac Layer")).expect("a link");
    let kmds = setup.start();
    let run = put(&kmds, &album.link()).await;
    assert_eq!(
        (&run["state"], counts(&run)),
        (&json!("done"), [1, 0, 0, 1]),
        "{run}"
    );
    let why = run["failures"][0]["reason"].as_str().expect("a reason");
    assert!(
        why.contains("`Mac Layer` in library.dir is no folder"),
        "{why}"
    );
    assert_eq!(files(&outside), Vec::<String>::new());
}

#[tokio::test]
async fn a_song_that_cannot_be_had_is_named_and_costs_the_others_nothing() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).seconds(4.0).publish();
    lab.inject(Fault::Status(404, None).on_media().of(&album.songs()[1]));
    let (setup, music) = with_library(&lab);
    let kmds = setup.start();
    let run = put(&kmds, &album.link()).await;
    assert_eq!(
        (&run["state"], counts(&run)),
        (&json!("done"), [3, 2, 0, 1]),
        "{run}"
    );
    assert!(
        run["failures"][0]["reason"]
            .as_str()
            .is_some_and(|why| why.len() > 20),
        "{run}"
    );
    assert_eq!(files(&music).len(), 2);
}

#[tokio::test]
async fn without_a_library_or_its_folder_the_request_says_what_to_set() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Words").seconds(4.0).publish();
    let kmds = patient(&lab).start();
    let (status, told) = ask(&kmds, json!({ "url": song.link() })).await;
    assert_eq!(
        (status, &told["kind"]),
        (404, &json!("not_found")),
        "{told}"
    );
    assert!(
        told["detail"]
            .as_str()
            .is_some_and(|why| why.contains("library.dir")),
        "{told}"
    );
    drop(kmds);

    let (setup, music) = with_library(&lab);
    let kmds = setup.start();
    for (body, wanted) in [
        (json!({}), 400),
        (json!({ "url": 1 }), 400),
        (json!({ "url": song.link(), "into": "/etc" }), 400),
        (json!({ "url": "no link at all://" }), 400),
    ] {
        let (status, told) = ask(&kmds, body.clone()).await;
        assert_eq!(status, wanted, "{body}: {told}");
    }
    std::fs::remove_dir(&music).expect("removed");
    let (status, told) = ask(&kmds, json!({ "url": song.link() })).await;
    let why = told["detail"].as_str().expect("a sentence");
    assert_eq!(status, 500, "{told}");
    assert!(
        why.contains("library.dir is not there; mount its drive"),
        "{why}"
    );
    assert!(!music.exists(), "nothing is made under a mount point");
    let unknown = kmds.get("/api/v1/library/0123456789abcdef").await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn a_full_library_drive_ends_the_run_with_a_sentence_and_leaves_no_piece() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(4).seconds(20.0).publish();
    let (setup, music) = with_library(&lab);
    let path = music.to_str().expect("a path");
    let size = format!("size={}", album.songs()[0].bytes().len() * 5 / 2);
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs", path])
        .output();
    if !mounted.as_ref().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: mounting a tmpfs is refused here: {mounted:?}");
        return;
    }
    let kmds = setup.start();
    let run = put(&kmds, &album.link()).await;
    let there = files(&music);
    drop(kmds.get("/healthz").await);
    tool("umount", &[path]);
    assert_eq!(
        (&run["state"], &run["kind"]),
        (&json!("failed"), &json!("disk_full")),
        "{run}"
    );
    assert!(
        run["reason"]
            .as_str()
            .is_some_and(|why| why.contains("make room there")),
        "{run}"
    );
    assert_eq!(run["placed"], there.len(), "{there:?}");
    assert!((1..4).contains(&there.len()), "{there:?}");
    assert!(there.iter().all(|name| name.ends_with(".mp3")), "{there:?}");

    // The drive is away now, and what is under its mount point is no library.
    let (status, told) = ask(&kmds, json!({ "url": album.link() })).await;
    assert_eq!(status, 500, "{told}");
    assert!(
        told["detail"]
            .as_str()
            .is_some_and(|why| why.contains("is not mounted")),
        "{told}"
    );
    assert_eq!(files(&music), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_finds_no_place_among_the_runs_asks_no_site() {
    let lab = Lab::start().await;
    let (setup, _) = with_library(&lab);
    let kmds = setup.start();
    let held = |n: usize| {
        let song = lab.bandcamp().track(&format!("Held {n}")).seconds(4.0);
        song.holds_at(0).publish()
    };
    let songs: Vec<Song> = (0..9).map(held).collect();
    let (running, last) = (&songs[..8], &songs[8]);
    let mut ids = Vec::new();
    for song in running {
        let (status, run) = ask(&kmds, json!({ "url": song.link() })).await;
        assert_eq!((status, &run["state"]), (202, &json!("running")), "{run}");
        ids.push(run["id"].clone());
    }
    let (status, told) = ask(&kmds, json!({ "url": last.link() })).await;
    assert_eq!(
        (status, &told["kind"]),
        (503, &json!("queue_full")),
        "{told}"
    );
    let asked = lab.requests();
    let of_last = asked
        .iter()
        .filter(|seen| seen.song.as_deref() == Some(last.id()));
    assert_eq!(of_last.count(), 0);
    let known = kmds
        .get(&format!("/api/v1/tracks/bandcamp/{}", last.id()))
        .await;
    assert_eq!(known.status(), 404, "it was not fetched");

    let (status, run) = ask(&kmds, json!({ "url": running[3].link() })).await;
    assert_eq!(
        (status, &run["id"]),
        (202, &ids[3]),
        "a link under way: {run}"
    );
    songs[0].release();
    kmds.until("a run ends, and its place is free", async || {
        let (status, _) = ask(&kmds, json!({ "url": last.link() })).await;
        status == 202
    })
    .await;
}
