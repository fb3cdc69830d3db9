//! Limits of a site: requests are told to wait, jobs wait.

use std::time::{Duration, Instant};

use super::cell::{FIFTH, Stage, fetch};
use super::harness::Setup;
use super::place::Place;
use kmds_lab::{Fault, Lab};

#[tokio::test]
async fn a_limit_on_metadata_is_told_with_the_sites_own_wait() {
    for place in [Place::YouTube, Place::SoundCloudFile, Place::Bandcamp] {
        let stage = Stage::set(place).await;
        stage.lab.inject(Fault::Status(429, Some(77)).on_pages());
        let got = stage.fetch().await;
        // Longer than a fetch may take: a wait that is slept away ends as `timeout`.
        assert_eq!(
            (got.status, got.retry_after),
            (429, Some(77)),
            "{place:?}: {}",
            got.body
        );
        assert_eq!(got.body.kind, "rate_limited");
    }
}

#[tokio::test]
async fn a_client_gets_its_answer_while_a_site_is_still_silent() {
    for place in [Place::YouTube, Place::SoundCloudFile, Place::Bandcamp] {
        let lab = Lab::start().await;
        let song = place.song(&lab);
        let recipes = "[time]\nmetadata_request = 600.0\nfetch_song = 0.5\n";
        let kmds = Setup::of(&lab).recipes(recipes).start();
        lab.inject(Fault::NoAnswer.on_pages());
        let got = fetch(&kmds, &song.link()).await;
        let told = (got.status, &*got.body.kind);
        assert_eq!(told, (504, "timeout"), "{place:?}: {}", got.body);
        assert_eq!(lab.page_requests(place.site()), 1, "{place:?}");
    }
}

#[tokio::test]
async fn a_limit_on_audio_is_waited_out_with_418_and_keeps_the_bytes() {
    for place in [
        Place::YouTube,
        Place::SoundCloudFile,
        Place::SoundCloudHls,
        Place::Bandcamp,
    ] {
        let lab = Lab::start().await;
        let song = place.song(&lab);
        let kmds = Setup::of(&lab)
            .recipes(&FIFTH.replace("limit_wait = 3.0", "limit_wait = 900.0"))
            .start();
        lab.inject(Fault::Status(429, Some(1)).on_media().first(2));
        let got = fetch(&kmds, &song.link()).await;
        assert_eq!(got.status, 200, "{}", got.body);
        let tunnel = got.body.songs[0].tunnel.clone();
        let begun = Instant::now();
        kmds.until("the song comes", async || {
            let answer = kmds.get(&tunnel).await;
            let status = answer.status();
            let bytes = answer.bytes().await.expect("bytes");
            assert!(
                status == 418 || bytes == song.bytes(),
                "{place:?}: {status}"
            );
            status == 200
        })
        .await;
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "{place:?}: the site's wait was kept"
        );
    }
}

#[tokio::test]
async fn songs_that_wait_for_a_pause_of_their_site_are_told_its_real_length() {
    let lab = Lab::start().await;
    let [limited, behind] = ["Limited", "Behind it"].map(|title| {
        let song = lab.bandcamp().track(title);
        song.seconds(30.0).publish()
    });
    let kmds = Setup::of(&lab)
        .recipes(&FIFTH.replace("limit_wait = 3.0", "limit_wait = 900.0"))
        .start();
    lab.inject(Fault::Status(429, Some(40)).on_media());
    for song in [&limited, &behind] {
        let got = fetch(&kmds, &song.link()).await;
        let tunnel = got.body.songs[0].tunnel.clone();
        kmds.until("it says for how long it waits", async || {
            let answer = kmds.get(&tunnel).await;
            assert_eq!(answer.status(), 418);
            let told = answer.headers()["retry-after"].to_str();
            let told = told.expect("ASCII").to_owned();
            let body = answer.text().await.expect("a body");
            let waits = told.parse::<u64>().expect("seconds");
            assert!(waits <= 40, "{waits} s");
            waits > 1 && body.contains(&format!("again in {told} seconds"))
        })
        .await;
    }
}
