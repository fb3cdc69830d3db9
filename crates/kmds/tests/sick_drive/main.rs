//! A drive that fails, is busy, or cannot do what others can: what it refuses to take or to give fails with a reason,
//! leaves nothing behind, and is forgotten when the drive is well again.
//!
//! The service runs with a library preloaded that lets chosen calls on chosen files fail (`shim.c`).

#[path = "../harness/mod.rs"]
mod harness;

mod drive;

use drive::Drive;
use harness::replies::{Refusal, Refused};
use harness::{Kmds, Setup};
use kmds_lab::{Lab, Song, kib};

/// What lies in the work folder of this instance: nothing, once nothing is under way.
fn work(kmds: &Kmds) -> Vec<String> {
    let folders = std::fs::read_dir(kmds.folder.path("cache").join(".kmds-work"))
        .into_iter()
        .flatten()
        .flatten();
    let files = folders.flat_map(|folder| {
        std::fs::read_dir(folder.path())
            .into_iter()
            .flatten()
            .flatten()
    });
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

fn track(lab: &Lab, name: &str) -> Song {
    lab.bandcamp().track(name).seconds(60.0).publish()
}

async fn end_of(kmds: &Kmds, song: &Song) -> (u16, Refusal) {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.body(&format!("{}&wait=40", reply.songs[0].tunnel))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_drive_refuses_on_the_way_fails_the_song_with_a_reason_and_leaves_nothing() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let kmds = drive.under(Setup::of(&lab)).start();
    for (rule, deed) in [
        ("write 0 .part", "write a partial file"),
        ("write 300000 .part", "write a partial file"),
        ("write 0 .note", "note a partial file"),
        ("rename 0 .note", "note a partial file"),
        ("read 500000 .part", "read a file back"),
        ("sync 0 .part", "flush a finished file"),
        ("write 0 .staged", "stage a sidecar"),
        ("sync 0 .staged", "stage a sidecar"),
        ("rename 0 .part", "publish a file"),
        ("rename 0 .staged$", "publish a sidecar"),
    ] {
        let song = track(&lab, rule);
        drive.fails(rule);
        let (status, failure) = end_of(&kmds, &song).await;
        assert_eq!(
            (status, &*failure.kind),
            (500, "internal"),
            "{rule}: {failure}\n{}",
            kmds.log()
        );
        let sentence = &failure.error;
        assert!(
            sentence.contains(deed) && sentence.contains("os error 5"),
            "{rule}: {sentence}"
        );
        assert!(
            sentence.contains("drive"),
            "{rule}: where to look: {sentence}"
        );
        assert!(failure.retryable, "{rule}");
        assert!(
            kmds.published()
                .iter()
                .all(|path| !path.contains(song.id())),
            "{rule}: {:?}",
            kmds.published()
        );
        let left = work(&kmds)
            .into_iter()
            .filter(|name| name.contains(song.id()) && !name.contains("-new"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new(), "{rule}");
        assert_eq!(kmds.get("/healthz").await.status(), 200);
        drive.is_well();
        assert_eq!(kmds.download(&song.link()).await, song.bytes(), "{rule}");
    }
    assert_eq!(work(&kmds), Vec::<String>::new(), "nothing lies about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_file_that_cannot_be_read_cuts_its_listener_and_is_kept() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let song = track(&lab, "Kept");
    let kmds = drive.under(Setup::of(&lab)).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    drive.fails(&format!("read 300000 {}.mp3", song.id()));
    let mut answer = kmds.get(&entry.tunnel).await;
    assert_eq!(
        answer.content_length(),
        Some(song.len()),
        "what is there is begun"
    );
    let mut heard = Vec::new();
    let cut = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => heard.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(
        cut,
        "a clean end after {} of {} bytes",
        heard.len(),
        song.len()
    );
    assert_eq!(heard, song.bytes()[..heard.len()], "true bytes up to there");
    drive.is_well();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    assert_eq!(
        lab.hits(&song),
        1,
        "the site is not asked again for what the drive has"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growing_file_that_cannot_be_read_for_a_moment_cuts_its_listener_and_still_arrives() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Growing")
        .seconds(60.0)
        .holds_at(kib(400))
        .publish();
    let kmds = drive
        .under(Setup::of(&lab))
        .recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n")
        .start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    drive.fails("read 100000 .part");
    let mut answer = kmds.get(&format!("{}&stream=1", entry.tunnel)).await;
    let mut heard = 0;
    while let Ok(chunk) = answer.chunk().await {
        heard += chunk.expect("no clean end").len();
    }
    assert!(heard <= 100_000, "{heard}");
    drive.is_well();
    song.release();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    assert_eq!(lab.hits(&song), 1);
}

/// A drive that could not be read at the start was taken for one full of broken files, which were removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_read_at_a_start_are_left_alone() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let (song, other) = (track(&lab, "Unreadable"), track(&lab, "Other"));
    let setup = drive.under(Setup::of(&lab));
    let mut kmds = setup.start();
    for song in [&song, &other] {
        kmds.download(&song.link()).await;
    }
    let before = kmds.published();
    kmds.terminate();
    // The catalog is lost: the start has to read what lies there. Nothing tells whose the audio without a sidecar is.
    std::fs::remove_dir_all(kmds.folder.path("state")).expect("removed");
    std::fs::remove_file(
        kmds.folder
            .path("cache")
            .join(format!("bandcamp/{}.mp3.json", other.id())),
    )
    .expect("removed");
    // What lies there for long is no other instance's work under way.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    for path in kmds.published() {
        let file = std::fs::File::options()
            .write(true)
            .open(kmds.folder.path("cache").join(path))
            .expect("a file");
        file.set_modified(old).expect("aged");
    }
    let before: Vec<String> = before
        .into_iter()
        .filter(|path| !path.ends_with(&format!("{}.mp3.json", other.id())))
        .collect();
    drive.fails("read 0 /cache/bandcamp/");
    let mut kmds = setup.start();
    kmds.until("it has looked at the drive", async || {
        kmds.log().contains("catalog and drive agree")
    })
    .await;
    kmds.terminate();
    drive.is_well();
    let kmds = setup.start();
    kmds.until("the one is known again", async || {
        kmds.get("/api/v1/tracks?state=ready")
            .await
            .text()
            .await
            .expect("a list")
            .contains(song.id())
    })
    .await;
    kmds.until("the other is named", async || {
        kmds.log().contains(&format!("bandcamp/{}.mp3", other.id()))
    })
    .await;
    assert_eq!(kmds.published(), before);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(lab.hits(&song), 1);
}

/// VirtualBox shares and some FUSE drives: nothing could be published on them, though the start only warned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn songs_are_published_on_a_drive_that_cannot_flush_and_the_start_says_so() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    for error in ["EINVAL", "EOPNOTSUPP", "ENOSYS"] {
        drive.fails(&format!("sync={error} 0 /cache/"));
        // Long enough to be flushed on the way: 8 MiB.
        let song = lab.bandcamp().track(error).seconds(560.0).publish();
        let mut kmds = drive.under(Setup::of(&lab)).start();
        assert_eq!(kmds.download(&song.link()).await, song.bytes(), "{error}");
        kmds.until("the start warns", async || {
            kmds.log().contains("does not flush on request")
        })
        .await;
        assert_eq!(kmds.get("/readyz").await.status(), 200);
        kmds.kill();
    }
}

/// SMB names no file that is open, and needs a moment after it was closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_is_busy_for_a_moment_is_tried_again() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let kmds = drive.under(Setup::of(&lab)).start();
    for rule in [
        "rename=EBUSY*3 0 .part",
        "rename=EACCES*2 0 .part",
        "rename=ETXTBSY*1 0 .part",
        "rename=EBUSY*2 0 .staged$",
        "rename=EBUSY*2 0 -new",
        "rename=EBUSY@open 0 /cache/",
    ] {
        let song = track(&lab, rule);
        drive.fails(rule);
        assert_eq!(kmds.download(&song.link()).await, song.bytes(), "{rule}");
        drive.is_well();
        let entry = kmds.fetch(&song.link()).await.1.songs[0].clone();
        assert_eq!(entry.state, "ready", "{rule}");
        let sidecar = kmds
            .folder
            .path("cache")
            .join(format!("{}.json", entry.path));
        assert!(sidecar.exists(), "{rule}");
    }
    assert_eq!(work(&kmds), Vec::<String>::new(), "nothing lies about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_hear_on_while_the_file_is_closed_to_get_its_name() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Named")
        .seconds(60.0)
        .holds_at(kib(400))
        .publish();
    let kmds = drive
        .under(Setup::of(&lab))
        .recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n")
        .start();
    let entry = kmds.fetch(&song.link()).await.1.songs[0].clone();
    let tunnel = format!("{}&stream=1", entry.tunnel);
    let mut answers = [kmds.get(&tunnel).await, kmds.get(&tunnel).await];
    let mut heard = Vec::new();
    for answer in &mut answers {
        heard.push(
            answer
                .chunk()
                .await
                .expect("bytes")
                .expect("bytes")
                .to_vec(),
        );
    }
    drive.fails("rename=EBUSY@open 0 .part");
    song.release();
    for (answer, heard) in answers.iter_mut().zip(&mut heard) {
        while let Some(chunk) = answer.chunk().await.expect("it goes on to its end") {
            heard.extend_from_slice(&chunk);
        }
        assert_eq!(*heard, song.bytes());
    }
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    assert_eq!(lab.hits(&song), 1);
}

/// The sidecar had gone, the audio not, and the row said ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_fails_halfway_leaves_the_song_as_it_was() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let (old, new) = (track(&lab, "Old"), track(&lab, "New"));
    // Room for one of 960 KB.
    let kmds = drive
        .under(Setup::of(&lab))
        .set("KMDS_CACHE__MAX_BYTES", "1500000")
        .start();
    let entry = kmds.fetch(&old.link()).await.1.songs[0].clone();
    assert_eq!(kmds.whole(&entry).await, old.bytes());
    let before = kmds.published();
    drive.fails("unlink 0 .mp3$");
    let (status, reply) = kmds.fetch(&new.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = &reply.songs[0].tunnel;
    let (_, failure) = kmds.body::<Refused>(&format!("{tunnel}&wait=40")).await;
    assert_eq!(failure.kind, "disk_full", "{failure}");
    assert_eq!(
        kmds.published(),
        before,
        "audio and sidecar are where they were"
    );
    assert_eq!(kmds.fetch(&old.link()).await.1.songs[0].state, "ready");
    assert_eq!(kmds.whole(&entry).await, old.bytes());
    assert_eq!(lab.hits(&old), 1);
    // A removal by hand is told to have failed, and done when it is asked for again.
    let path = format!("/api/v1/tracks/bandcamp/{}", old.id());
    let remove = async || {
        kmds.http
            .delete(kmds.at(&path))
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    assert_eq!(remove().await, 500);
    drive.is_well();
    assert_eq!(remove().await, 204);
    assert_eq!(kmds.published(), Vec::<String>::new());
    assert_eq!(kmds.download(&new.link()).await, new.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_trouble_of_a_drive_is_told_by_its_name_and_over_when_it_is_over() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let kmds = drive.under(Setup::of(&lab)).start();
    for (error, kind, word) in [
        ("ESTALE", "internal", "check it"),
        ("ENOTCONN", "internal", "check it"),
        ("EROFS", "internal", "read-only"),
        ("EDQUOT", "disk_full", "full"),
    ] {
        let song = track(&lab, error);
        drive.fails(&format!("write={error} 300000 .part"));
        let (_, failure) = end_of(&kmds, &song).await;
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            (kind, true),
            "{error}: {failure}"
        );
        assert!(failure.error.contains(word), "{error}: {failure}");
        drive.fails(&format!("write={error} 0 probe-"));
        assert_eq!(kmds.get("/readyz").await.status(), 503, "{error}");
        drive.is_well();
        assert_eq!(kmds.get("/readyz").await.status(), 200, "{error}");
        assert_eq!(kmds.download(&song.link()).await, song.bytes(), "{error}");
    }
}

/// Asks for a song to be put into the music library.
async fn into_library(kmds: &Kmds, link: &str) -> reqwest::Response {
    let request = kmds.http.post(kmds.at("/api/v1/library"));
    let request = request.header("content-type", "application/json");
    let body = serde_json::json!({ "url": link }).to_string();
    let answer = request.body(body).timeout(harness::PATIENCE).send().await;
    answer.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_drive_that_hangs_takes_nothing_else_with_it() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let song = track(&lab, "Heard meanwhile");
    let music = drive.folder.path("music");
    std::fs::create_dir(&music).expect("a music folder");
    let setup = drive.under(Setup::of(&lab));
    let setup = setup.set("KMDS_LIBRARY__DIR", &music.display().to_string());
    let kmds = setup.start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());

    drive.fails("unlink=HANGS 0 /music/");
    // More than there are threads for what waits for a drive.
    let link = song.link();
    let asked = (0..12).map(|_| into_library(&kmds, &link));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let told = answer.text().await.expect("a body");
        assert!(told.contains("queue_full"), "{told}");
    }
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());

    drive.is_well();
    kmds.until("the library takes songs again", async || {
        into_library(&kmds, &link).await.status() == 202
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_library_drive_does_not_take_costs_the_other_songs_nothing() {
    let Some(drive) = Drive::make() else { return };
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).seconds(4.0).publish();
    let music = drive.folder.path("music");
    std::fs::create_dir(&music).expect("a music folder");
    let setup = drive.under(Setup::of(&lab));
    let setup = setup.set("KMDS_LIBRARY__DIR", &music.display().to_string());
    let kmds = setup.start();
    for error in ["ENAMETOOLONG", "EINVAL"] {
        drive.fails(&format!("write={error}*1 0 /music/"));
        let begun = into_library(&kmds, &album.link()).await;
        assert_eq!(begun.status(), 202);
        let run: serde_json::Value =
            serde_json::from_str(&begun.text().await.expect("a body")).expect("JSON");
        let path = format!("/api/v1/library/{}", run["id"].as_str().expect("an id"));
        let mut run = run;
        kmds.until("the run ends", async || {
            let answer = kmds.get(&path).await;
            run = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
            run["state"] != "running"
        })
        .await;
        assert_eq!(
            (&run["state"], &run["failed"]),
            (&"done".into(), &1.into()),
            "{run}"
        );
        assert_eq!(
            run["placed"],
            if error == "EINVAL" { 0 } else { 2 },
            "{run}"
        );
    }
}
