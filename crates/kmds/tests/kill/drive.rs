//! The drive: full, shrunk, read-only, changed by other programs.

use kmds_lab::{Lab, Song, mib};

use super::harness::replies::{Entry, Refusal, Reply};
use super::harness::{Kmds, Setup, read};
use super::mount::{Bind, Mount};

fn track(lab: &Lab, name: &str, seconds: f64) -> Song {
    lab.bandcamp().track(name).seconds(seconds).publish()
}

/// Fetches a song and waits for its file; the reply's entry.
async fn arrived(kmds: &Kmds, song: &Song) -> Entry {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.whole(&reply.songs[0]).await;
    reply.songs[0].clone()
}

/// The first bytes that a listener gets, who then keeps the song open.
async fn head_of(listener: &mut reqwest::Response) -> Vec<u8> {
    let chunk = listener.chunk().await.expect("bytes");
    chunk.expect("bytes").to_vec()
}

async fn rest_of(mut heard: Vec<u8>, mut listener: reqwest::Response) -> Vec<u8> {
    while let Some(chunk) = listener.chunk().await.expect("read to its end") {
        heard.extend_from_slice(&chunk);
    }
    heard
}

async fn end_of(kmds: &Kmds, reply: &Reply) -> (u16, Refusal) {
    kmds.body(&format!("{}&wait=40", reply.songs[0].tunnel))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_drive_fails_with_numbers_evicts_nothing_in_vain_and_recovers() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 8) else {
        return;
    };
    let small = track(&lab, "Small", 60.0);
    // 16 MB of MP3: more than the drive has.
    let large = track(&lab, "Large", 1000.0);
    let kmds = setup.start();
    kmds.download(&small.link()).await;
    let (status, reply) = kmds.fetch(&large.link()).await;
    assert_eq!((status, &*reply.kind), (507, "disk_full"), "{reply}");
    assert_eq!(kmds.published().len(), 2, "the small one stays");
    assert!(
        kmds.published()
            .iter()
            .all(|path| !path.contains(large.id())),
        "{:?}",
        kmds.published()
    );
    assert_eq!(kmds.get("/healthz").await.status(), 200);
    // A song that fits is still taken.
    let other = track(&lab, "Other", 60.0);
    assert_eq!(kmds.download(&other.link()).await, other.bytes());
    assert!(mount.remount("size=64m"));
    let (status, reply) = kmds.fetch(&large.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.whole(&reply.songs[0]).await, large.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_another_program_fills_in_mid_download_breaks_nothing() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 8) else {
        return;
    };
    let song = lab
        .bandcamp()
        .track("Half")
        .seconds(250.0)
        .holds_at(mib(1))
        .publish();
    let kmds = setup.start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.until("a mebibyte arrives", async || {
        kmds.partials()
            .iter()
            .any(|part| read(&mount.0.join(part)).len() as u64 >= mib(1) - 1)
    })
    .await;
    // Another program's file takes all that is left.
    let _ = std::fs::write(mount.0.join("hog"), vec![0_u8; 8 << 20]);
    song.release();
    let (status, failure) = end_of(&kmds, &reply).await;
    assert_eq!(
        (status, &*failure.kind),
        (500, "disk_full"),
        "{failure}\n{}",
        kmds.log()
    );
    assert!(failure.retryable);
    std::fs::remove_file(mount.0.join("hog")).expect("removed");
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let published: Vec<String> = kmds.published();
    assert_eq!(published.len(), 2, "{published:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_turns_read_only_is_told_and_used_again_when_it_may_be_written() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::of(&setup, 16) else {
        return;
    };
    let (first, second) = (track(&lab, "First", 60.0), track(&lab, "Second", 60.0));
    let kmds = setup.start();
    let entry = arrived(&kmds, &first).await;
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
async fn a_file_that_was_removed_is_fetched_again_and_one_that_changed_is_never_served() {
    let lab = Lab::start().await;
    let (removed, cut, swapped) = (
        track(&lab, "Removed", 30.0),
        track(&lab, "Cut", 40.0),
        track(&lab, "Swapped", 50.0),
    );
    let kmds = Kmds::start(&lab);
    let mut entries = Vec::new();
    for song in [&removed, &cut, &swapped] {
        let entry = arrived(&kmds, song).await;
        entries.push(entry);
    }
    let file = |place: usize| kmds.folder.path("cache").join(&entries[place].path);
    std::fs::remove_file(file(0)).expect("removed");
    std::fs::write(file(1), &cut.bytes()[..100_000]).expect("cut");
    let mut other = swapped.bytes().to_vec();
    other.reverse();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(file(2), other).expect("swapped");
    for (song, entry) in [&removed, &cut, &swapped].into_iter().zip(&entries) {
        assert_eq!(kmds.whole(entry).await, song.bytes(), "{}", song.title());
        assert_eq!(
            read(&kmds.folder.path("cache").join(&entry.path)),
            song.bytes()
        );
        assert_eq!(
            lab.hits(song),
            2,
            "{} is downloaded once more",
            song.title()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_is_kept_by_what_was_not_heard_for_longest_and_never_by_what_is_being_read() {
    let lab = Lab::start().await;
    let songs: Vec<Song> = (0..5)
        .map(|place| track(&lab, &format!("Song {place}"), 60.0))
        .collect();
    // Room for three of 960 KB.
    let kmds = Setup::of(&lab)
        .set("KMDS_CACHE__MAX_BYTES", "3100000")
        .start();
    let mut entries = Vec::new();
    for song in &songs[..3] {
        let entry = arrived(&kmds, song).await;
        entries.push(entry);
    }
    // The oldest is being read: a listener took its head and listens slowly.
    let tunnel = &entries[0].tunnel;
    let mut reader = kmds.get(tunnel).await;
    let head = head_of(&mut reader).await;
    for song in &songs[3..] {
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
    }
    assert_eq!(rest_of(head, reader).await, songs[0].bytes());
    let total: u64 = kmds
        .published()
        .iter()
        .filter(|path| !path.ends_with(".json"))
        .map(|path| {
            std::fs::metadata(kmds.folder.path("cache").join(path)).map_or(0, |file| file.len())
        })
        .sum();
    assert!(
        total <= 3_100_000,
        "{total} bytes on the drive: {:?}",
        kmds.published()
    );
    assert!(
        kmds.published()
            .iter()
            .any(|path| path.contains(songs[4].id())),
        "the newest stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn songs_wait_for_the_room_that_others_take_while_they_arrive() {
    let lab = Lab::start().await;
    let mut album = lab.bandcamp().album(0);
    for place in 0..5 {
        album = album.song(&format!("Song {place}"), 60.0);
    }
    let album = album.publish();
    // Room for one of 960 KB; three are downloaded at once.
    let kmds = Setup::of(&lab)
        .set("KMDS_CACHE__MAX_BYTES", "1500000")
        .start();
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    for (place, song) in album.songs().iter().enumerate() {
        assert_eq!(
            kmds.whole(&reply.songs[place]).await,
            song.bytes(),
            "{}",
            song.title()
        );
    }
}

/// A `cache.min_free_bytes` that no drive can have free.
const MORE_THAN_THERE_IS: &str = "1000000000000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_that_cannot_be_kept_is_told_at_once_with_numbers_and_what_is_there_is_served() {
    let lab = Lab::start().await;
    let (there, new) = (track(&lab, "There", 60.0), track(&lab, "New", 60.0));
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    kmds.download(&there.link()).await;
    kmds.terminate();
    let mut kmds = setup
        .set("KMDS_CACHE__MIN_FREE_BYTES", MORE_THAN_THERE_IS)
        .start();
    let (status, reply) = kmds.fetch(&new.link()).await;
    assert_eq!((status, &*reply.kind), (507, "disk_full"), "{reply}");
    let sentence = &reply.error;
    // 60 s at 128 kbit/s.
    let numbers = "960000 bytes are needed, 0 can be had above cache.min_free_bytes";
    assert!(sentence.contains(numbers), "{sentence}");
    let (status, problem) = kmds
        .v1_fetch(serde_json::json!({ "url": new.link() }))
        .await;
    assert_eq!(
        (status, &problem["kind"], &problem["retryable"]),
        (507, &"disk_full".into(), &true.into()),
        "{problem}"
    );
    assert_eq!(lab.hits(&new), 0, "no audio is asked for");
    assert_eq!(
        kmds.get(&format!("/api/v1/tracks/bandcamp/{}", new.id()))
            .await
            .status(),
        404,
        "nothing was accepted"
    );
    assert_eq!(kmds.download(&there.link()).await, there.bytes());
    // Metadata alone needs no room.
    let (status, reply) = kmds
        .v1_fetch(serde_json::json!({ "url": new.link(), "prefetch": "none" }))
        .await;
    assert_eq!(status, 200, "{reply}");
    kmds.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_taken_when_one_of_its_songs_can_have_room_and_the_others_fail_by_themselves() {
    let lab = Lab::start().await;
    let long = track(&lab, "Long", 120.0);
    let album = lab
        .bandcamp()
        .album(0)
        .song("Short one", 10.0)
        .song("Long one", 120.0)
        .publish();
    let kmds = Setup::of(&lab)
        .set("KMDS_CACHE__MAX_BYTES", "1000000")
        .start();
    let (status, reply) = kmds.fetch(&long.link()).await;
    assert_eq!((status, &*reply.kind), (507, "disk_full"), "{reply}");
    assert!(reply.error.contains("cache.max_bytes"), "{reply}");
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.whole(&reply.songs[0]).await, album.songs()[0].bytes());
    let tunnel = &reply.songs[1].tunnel;
    let answer = kmds.get(&format!("{tunnel}&wait=40")).await;
    assert_eq!(answer.status(), 500);
    assert!(answer.text().await.expect("a body").contains("disk_full"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_is_kept_by_what_was_not_heard_for_longest() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab).set("KMDS_CACHE__MIN_FREE_BYTES", "8000000");
    let Some(mount) = Mount::of(&setup, 16) else {
        return;
    };
    // 3.2 MB each: two fit above the floor.
    let songs: Vec<Song> = (0..5)
        .map(|place| track(&lab, &format!("Song {place}"), 200.0))
        .collect();
    let kmds = setup.start();
    for song in &songs {
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        let drive = rustix::fs::statvfs(&mount.0).expect("a drive");
        assert!(
            drive.f_bavail * drive.f_frsize >= 8_000_000,
            "{} bytes are free",
            drive.f_bavail * drive.f_frsize
        );
    }
    let kept: Vec<String> = kmds
        .published()
        .into_iter()
        .filter(|path| !path.ends_with(".json"))
        .collect();
    let newest = songs[3..]
        .iter()
        .map(|song| format!("bandcamp/{}.mp3", song.id()));
    assert_eq!(kept, newest.collect::<Vec<_>>());
    assert_eq!(
        kmds.download(&songs[0].link()).await,
        songs[0].bytes(),
        "asked for again, it comes again"
    );
    assert_eq!(lab.hits(&songs[0]), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_song_that_was_not_heard_for_long_leaves_and_comes_again_when_asked_for() {
    let lab = Lab::start().await;
    let (old, read) = (track(&lab, "Old", 20.0), track(&lab, "Read", 30.0));
    let kmds = Setup::of(&lab).set("KMDS_CACHE__MAX_AGE", "2").start();
    kmds.download(&old.link()).await;
    let entry = arrived(&kmds, &read).await;
    // A listener has it open.
    let mut listener = kmds.get(&entry.tunnel).await;
    let head = head_of(&mut listener).await;
    let mut number = 0;
    kmds.until("the old one is gone", async || {
        number += 1;
        // Room for a new song is when age is looked at.
        kmds.download(&track(&lab, &format!("New {number}"), 10.0).link())
            .await;
        kmds.published().iter().all(|path| !path.contains(old.id()))
    })
    .await;
    assert_eq!(rest_of(head, listener).await, read.bytes());
    assert_eq!(kmds.download(&old.link()).await, old.bytes());
    assert_eq!(lab.hits(&old), 2);
}

async fn problems(kmds: &Kmds) -> (u16, String) {
    let answer = kmds.get("/readyz").await;
    (
        answer.status().as_u16(),
        answer.text().await.expect("a body"),
    )
}

/// Songs were written beneath the mount point, on a disk that no client sees, and called ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_is_unmounted_under_the_service_is_missed_and_used_again_when_it_is_back() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(bind) = Bind::of(&setup) else { return };
    let (there, new) = (track(&lab, "There", 60.0), track(&lab, "New", 60.0));
    let half = lab
        .bandcamp()
        .track("Half")
        .seconds(60.0)
        .holds_at(mib(1) / 4)
        .publish();
    let kmds = setup
        .recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n")
        .start();
    let entry = arrived(&kmds, &there).await;
    let arriving = kmds.fetch(&half.link()).await.1;
    kmds.until("a part of it is there", async || {
        !kmds.partials().is_empty()
    })
    .await;
    bind.unmount();
    let (status, sentence) = problems(&kmds).await;
    assert_eq!(status, 503, "{sentence}");
    assert!(
        sentence.contains("the drive of cache.dir is not there") && sentence.contains("mount"),
        "{sentence}"
    );
    let reply = kmds.fetch(&new.link()).await.1;
    for reply in [&reply, &arriving] {
        half.release();
        let (status, failure) = end_of(&kmds, reply).await;
        assert_eq!((status, failure.retryable), (500, true), "{failure}");
    }
    let tunnel = &entry.tunnel;
    assert_ne!(
        kmds.get(tunnel).await.status(),
        200,
        "what is on it cannot be served"
    );
    assert_eq!(
        kmds.fetch(&there.link()).await.1.songs[0].state,
        "ready",
        "and is not taken for lost"
    );
    assert_eq!(
        bind.beneath(),
        Vec::<String>::new(),
        "nothing is written beneath the mount point"
    );
    assert!(bind.mount());
    assert_eq!(problems(&kmds).await.0, 200, "{}", kmds.log());
    for line in [
        "the drive of cache.dir is away",
        "the drive of cache.dir is back",
    ] {
        let told = async || kmds.log().matches(line).count() == 1;
        kmds.until("the log says so, once", told).await;
    }
    for song in [&there, &new, &half] {
        assert_eq!(
            kmds.download(&song.link()).await,
            song.bytes(),
            "{}",
            song.title()
        );
    }
    assert_eq!(lab.hits(&there), 1, "it was not downloaded again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_is_not_mounted_at_a_start_is_waited_for() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(bind) = Bind::of(&setup) else { return };
    let (there, new) = (track(&lab, "There", 60.0), track(&lab, "New", 60.0));
    let mut kmds = setup.start();
    kmds.download(&there.link()).await;
    kmds.terminate();
    bind.unmount();
    let kmds = setup.start();
    let (status, sentence) = problems(&kmds).await;
    assert_eq!(status, 503, "{sentence}");
    let reply = kmds.fetch(&new.link()).await.1;
    assert_eq!(end_of(&kmds, &reply).await.0, 500);
    assert_eq!(
        kmds.fetch(&there.link()).await.1.songs[0].state,
        "ready",
        "it is not taken for lost"
    );
    assert_eq!(
        bind.beneath(),
        Vec::<String>::new(),
        "nothing is written beneath the mount point"
    );
    assert!(bind.mount());
    assert_eq!(problems(&kmds).await.0, 200, "without a restart");
    for song in [&there, &new] {
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
    }
    assert_eq!(lab.hits(&there), 1, "it was not downloaded again");
}

/// The sentence spoke of the drive of the songs, which had room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_drive_of_the_catalog_is_named_and_nothing_is_accepted_meanwhile() {
    let lab = Lab::start().await;
    let setup = Setup::of(&lab);
    let Some(mount) = Mount::on(setup.folder.path("state"), 8) else {
        return;
    };
    let kmds = setup.start();
    let mut album = lab.bandcamp().album(0);
    for place in 0..300 {
        album = album.song(&format!("{} {place}", "x".repeat(150)), 1.0);
    }
    let album = album.publish();
    let hog = mount.0.join("hog");
    let mut file = std::fs::File::create(&hog).expect("a file");
    while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
    drop(file);
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!((status, &*reply.kind), (507, "disk_full"), "{reply}");
    assert!(reply.error.contains("state.dir"), "{reply}");
    let (status, sentence) = problems(&kmds).await;
    assert!(
        status == 503 && sentence.contains("state.dir"),
        "{status} {sentence}"
    );
    std::fs::remove_file(&hog).expect("removed");
    assert_eq!(problems(&kmds).await.0, 200);
    assert_eq!(kmds.fetch(&album.link()).await.0, 200);
}
