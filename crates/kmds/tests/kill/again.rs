//! A song that a client asks for again at the moment when its job ends is not forgotten, although no client asks for
//! its audio. And a copy without its original, which a kill in the middle of a removal leaves, ends.

use std::time::Duration;

use kmds_lab::{Fault, Lab};
use serde_json::Value;

use super::harness::{Kmds, Setup};

const QUICK: &str = "[time]\nretry_pauses = [0.0]\naudio_pauses = [0.0]\naudio_tries = 1\n[bandcamp.hosts]\npace = 0.0\n";

/// Checks without asking for audio, since that would repair the tested state.
async fn comes(kmds: &Kmds, id: &str) {
    kmds.until("the song is ready", async || {
        let answer = kmds.get(&format!("/api/v1/tracks/bandcamp/{id}")).await;
        let track: Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(20)).await;
        track["state"] == "ready"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_song_removed_and_asked_for_again_at_once_comes() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Removed").seconds(20.0).publish();
    song.drip_at(4_000_000);
    let kmds = Setup::of(&lab).recipes(QUICK).start();
    for _ in 0..20 {
        assert_eq!(kmds.fetch(&song.link()).await.0, 200);
        let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}", song.id()));
        assert!(
            kmds.http
                .delete(path)
                .send()
                .await
                .expect("an answer")
                .status()
                .is_success()
        );
        assert_eq!(kmds.fetch(&song.link()).await.0, 200);
        comes(&kmds, song.id()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_song_asked_for_again_while_it_fails_comes_when_it_can() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Failing").seconds(20.0).publish();
    let kmds = Setup::of(&lab).recipes(QUICK).start();
    for _ in 0..5 {
        lab.inject(Fault::Status(500, None).on_media());
        for _ in 0..40 {
            assert_eq!(kmds.fetch(&song.link()).await.0, 200);
        }
        lab.clear_faults();
        assert_eq!(kmds.fetch(&song.link()).await.0, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(kmds.fetch(&song.link()).await.0, 200);
        comes(&kmds, song.id()).await;
        let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}", song.id()));
        kmds.http.delete(path).send().await.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_original_was_removed_when_the_service_was_killed_is_removed_too() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Half removed").seconds(5.0).publish();
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    kmds.download(&song.link()).await;
    let track = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let copy = kmds.get(&format!("{track}/audio?tags=true&wait=60")).await;
    assert_eq!(copy.status(), 200);
    kmds.kill();
    let catalog = rusqlite::Connection::open(kmds.folder.path("state/kmds.db")).expect("open");
    for (state, rendition) in [("deleted", "mp3"), ("queued", "original-tagged.r")] {
        let set = "UPDATE renditions SET state = ?1 WHERE rendition = ?2";
        assert_eq!(catalog.execute(set, [state, rendition]), Ok(1));
    }
    drop(catalog);
    std::fs::remove_dir_all(kmds.folder.path("cache/bandcamp")).expect("removed");

    let kmds = setup.start();
    kmds.until("the copy is removed", async || {
        kmds.get(&track).await.status() == 404
    })
    .await;
}
