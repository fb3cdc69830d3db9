//! The drive: full, shrunk, read-only, changed behind our back.

use std::path::PathBuf;
use std::process::Command;

use kmds_lab::{Lab, Song, mib};
use serde_json::Value;

use super::harness::{Kmds, Setup, read};

/// A file system of its own; `None`, said loudly, where mounting is refused.
struct Mount(PathBuf);

impl Mount {
    fn of(setup: &Setup, megabytes: u64) -> Option<Self> {
        let path = setup.folder.path("cache");
        std::fs::create_dir_all(&path).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "kmds-test"])
            .arg(&path)
            .output()
            .is_ok_and(|out| out.status.success());
        if !mounted {
            eprintln!("SKIPPED: no file system can be mounted here; run as root to try full and read-only drives");
        }
        mounted.then_some(Self(path))
    }

    fn remount(&self, option: &str) -> bool {
        Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.0)
            .output()
            .is_ok_and(|out| out.status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn track(lab: &Lab, name: &str, seconds: f64) -> Song {
    lab.bandcamp().track(name).seconds(seconds).publish()
}

async fn end_of(kmds: &Kmds, reply: &Value) -> (u16, Value) {
    let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel").to_owned();
    let answer = kmds.get(&format!("{tunnel}&wait=40")).await;
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_drive_fails_with_numbers_evicts_nothing_in_vain_and_recovers() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 8) else { return };
    let small = track(&lab, "Small", 60.0);
    // 16 MB of MP3: more than the drive has.
    let large = track(&lab, "Large", 1000.0);
    let kmds = setup.start();
    kmds.download(&small.link()).await;
    let (status, reply) = kmds.fetch(&large.link()).await;
    if status == 200 {
        let (status, failure) = end_of(&kmds, &reply).await;
        assert_eq!((status, failure["Kind"].as_str()), (500, Some("disk_full")), "{failure}");
        let sentence = failure["Error"].as_str().unwrap_or_default();
        assert!(sentence.chars().any(|letter| letter.is_ascii_digit()), "numbers: {sentence}");
    } else {
        assert_eq!((status, reply["Kind"].as_str()), (507, Some("disk_full")), "{reply}");
    }
    assert!(kmds.published().iter().all(|path| !path.contains(large.id())), "{:?}", kmds.published());
    assert_eq!(kmds.get("/healthz").await.status(), 200);
    // What fits is still taken.
    let other = track(&lab, "Other", 60.0);
    assert_eq!(kmds.download(&other.link()).await, other.bytes());
    assert!(mount.remount("size=64m"));
    let (status, reply) = kmds.fetch(&large.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.whole(&reply["Songs"][0]).await, large.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_someone_else_fills_in_mid_download_breaks_nothing() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 8) else { return };
    let song = lab.bandcamp().track("Half").seconds(250.0).holds_at(mib(1)).publish();
    let kmds = setup.start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.until("a mebibyte arrives", async || {
        kmds.partials().iter().any(|part| read(&mount.0.join(part)).len() as u64 >= mib(1) - 1)
    })
    .await;
    // Someone else's file takes all that is left.
    let _ = std::fs::write(mount.0.join("hog"), vec![0_u8; 8 << 20]);
    song.release();
    let (status, failure) = end_of(&kmds, &reply).await;
    assert_eq!((status, failure["Kind"].as_str()), (500, Some("disk_full")), "{failure}\n{}", kmds.log());
    assert_eq!(failure["Retryable"], true);
    std::fs::remove_file(mount.0.join("hog")).expect("removed");
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let published: Vec<String> = kmds.published();
    assert_eq!(published.len(), 2, "{published:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_turns_read_only_is_told_and_used_again_when_it_may_be_written() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 16) else { return };
    let (first, second) = (track(&lab, "First", 60.0), track(&lab, "Second", 60.0));
    let kmds = setup.start();
    let entry = kmds.fetch(&first.link()).await.1["Songs"][0].clone();
    kmds.whole(&entry).await;
    if !mount.remount("ro") {
        eprintln!("SKIPPED: the drive cannot be made read-only while it is in use");
        return;
    }
    assert_eq!(kmds.whole(&entry).await, first.bytes(), "reading goes on");
    let (status, reply) = kmds.fetch(&second.link()).await;
    if status == 200 {
        let (status, failure) = end_of(&kmds, &reply).await;
        assert_eq!(status, 500, "{failure}");
    }
    assert_eq!(kmds.get("/readyz").await.status(), 503);
    assert_eq!(kmds.get("/healthz").await.status(), 200);
    assert!(mount.remount("rw"));
    assert_eq!(kmds.download(&second.link()).await, second.bytes());
    assert_eq!(kmds.get("/readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_someone_removed_is_fetched_again_and_one_that_changed_is_never_served() {
    let lab = Lab::start().await;
    let (removed, cut, swapped) =
        (track(&lab, "Removed", 30.0), track(&lab, "Cut", 40.0), track(&lab, "Swapped", 50.0));
    let kmds = Kmds::start(&lab);
    let mut entries = Vec::new();
    for song in [&removed, &cut, &swapped] {
        let entry = kmds.fetch(&song.link()).await.1["Songs"][0].clone();
        kmds.whole(&entry).await;
        entries.push(entry);
    }
    let file = |place: usize| kmds.folder.path("cache").join(entries[place]["Cache_Path"].as_str().expect("a path"));
    std::fs::remove_file(file(0)).expect("removed");
    std::fs::write(file(1), &cut.bytes()[..100_000]).expect("cut");
    let mut other = swapped.bytes().to_vec();
    other.reverse();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(file(2), other).expect("swapped");
    for (song, entry) in [&removed, &cut, &swapped].into_iter().zip(&entries) {
        assert_eq!(kmds.whole(entry).await, song.bytes(), "{}", song.title());
        assert_eq!(read(&kmds.folder.path("cache").join(entry["Cache_Path"].as_str().expect("a path"))), song.bytes());
        assert_eq!(lab.hits(song), 2, "{} is downloaded once more", song.title());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_is_kept_by_what_was_not_heard_for_longest_and_never_by_what_is_being_read() {
    let lab = Lab::start().await;
    let songs: Vec<Song> = (0..5).map(|place| track(&lab, &format!("Song {place}"), 60.0)).collect();
    // Room for three of 960 KB.
    let kmds = Setup::of(&lab).set("KMDS_CACHE__MAX_BYTES", "3100000").start();
    let mut entries = Vec::new();
    for song in &songs[..3] {
        let entry = kmds.fetch(&song.link()).await.1["Songs"][0].clone();
        kmds.whole(&entry).await;
        entries.push(entry);
    }
    // The oldest is being read: somebody took its head and listens slowly.
    let tunnel = entries[0]["Tunnel_URL"].as_str().expect("a tunnel");
    let mut reader = kmds.get(tunnel).await;
    let mut heard = reader.chunk().await.expect("bytes").expect("bytes").to_vec();
    for song in &songs[3..] {
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
    }
    while let Some(chunk) = reader.chunk().await.expect("it is read to its end") {
        heard.extend_from_slice(&chunk);
    }
    assert_eq!(heard, songs[0].bytes());
    let total: u64 = kmds
        .published()
        .iter()
        .filter(|path| !path.ends_with(".json"))
        .map(|path| std::fs::metadata(kmds.folder.path("cache").join(path)).map_or(0, |file| file.len()))
        .sum();
    assert!(total <= 3_100_000, "{total} bytes on the drive: {:?}", kmds.published());
    assert!(kmds.published().iter().any(|path| path.contains(songs[4].id())), "the newest stays");
}
