//! A job from its queue to its end: waited for, removed, refused, killed and resumed.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, kib};
use serde_json::{Value, json};

use super::harness::replies::{Refused, Track};
use super::harness::{Kmds, PATIENCE, Setup};

#[tokio::test]
async fn work_goes_on_after_a_kill_and_keeps_its_bytes() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Long")
        .seconds(600.0)
        .holds_at(kib(3000))
        .publish();
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    let tunnel = entry.tunnel.clone();
    kmds.until("3 MB arrive", async || {
        kmds.body::<Refused>(&tunnel).await.1.received >= kib(2900)
    })
    .await;
    kmds.kill();
    song.release();
    let kmds = setup.start();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    let sent = lab.media_bytes_sent(song.id());
    assert!(
        sent < song.len() + kib(1200),
        "{sent} bytes were sent of a song of {}",
        song.len()
    );
}

/// The format of a song in a list is not known beforehand: M4A is expected, and MP3 arrives.
#[tokio::test]
async fn a_name_that_a_reply_gives_while_a_song_arrives_leads_to_it() {
    let lab = Lab::start().await;
    let held = lab
        .soundcloud()
        .track("held-song")
        .formats(&[Format::Mp3Progressive]);
    let song = held.holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    let (status, list) = kmds.v1_fetch(json!({"url": "scsearch2:held"})).await;
    assert_eq!(status, 200, "{list}");
    kmds.until("its bytes arrive", async || {
        let path = format!("/api/v1/tracks/soundcloud/{}", song.id());
        let (_, track) = kmds.body::<Value>(&path).await;
        track["received_bytes"].as_u64() > Some(0)
    })
    .await;
    let (_, reply) = kmds.fetch("scsearch2:held").await;
    let entry = &reply.songs[0];
    assert!(entry.tunnel.ends_with(".mp3"), "{}", entry.tunnel);
    assert_eq!(kmds.get(&entry.tunnel).await.status(), 418);
    song.release();
    assert_eq!(kmds.whole(entry).await, song.bytes());
}

#[tokio::test]
async fn the_tunnel_tells_what_it_is_waiting_for() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Held").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.get("/tunnel").await.status(), 400);
    assert_eq!(
        kmds.get("/tunnel?file=youtube-M4gD1WSo5mA.m4a")
            .await
            .status(),
        404
    );
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply.songs[0].tunnel.clone();
    let answer = kmds.get(&tunnel).await;
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(
        kmds.get(&tunnel.replace(".mp3", ".exe")).await.status(),
        404
    );
    let posted = kmds
        .http
        .post(kmds.at(&tunnel))
        .send()
        .await
        .expect("an answer");
    assert_eq!(posted.status(), 405);
    assert!(posted.headers().contains_key("allow"));
    song.release();
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
    let partial = kmds
        .http
        .get(kmds.at(&tunnel))
        .header("range", "bytes=10-19")
        .send()
        .await
        .expect("an answer");
    assert_eq!(partial.status(), 206);
    assert_eq!(
        partial.bytes().await.expect("a body"),
        song.bytes().slice(10..20)
    );
}

#[tokio::test]
async fn a_removed_song_is_gone_at_once_for_those_who_wait_for_it() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Unwanted").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply.songs[0].tunnel.clone();
    let waiting = {
        let (http, url) = (kmds.http.clone(), kmds.at(&format!("{tunnel}&wait=300")));
        tokio::spawn(async move {
            http.get(url)
                .timeout(PATIENCE)
                .send()
                .await
                .expect("an answer")
                .status()
                .as_u16()
        })
    };
    lab.until(|seen| seen.iter().any(|one| one.kind == kmds_lab::Kind::Media))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let removed = kmds
        .http
        .delete(kmds.at(&path))
        .timeout(PATIENCE)
        .send()
        .await
        .expect("an answer");
    assert!(removed.status().is_success());
    assert_eq!(waiting.await.expect("a client"), 404);
    assert_eq!(kmds.get(&tunnel).await.status(), 404);
    assert!(kmds.partials().is_empty() && kmds.published().is_empty());
    // A new fetch brings it back.
    song.release();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn a_deleted_song_leaves_nothing_on_the_drive() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Short Lease").seconds(30.0).publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    assert_eq!(kmds.published().len(), 2, "audio and sidecar");
    let path = format!("/api/v1/tracks/youtube/{}", song.id());
    let answer = reqwest::Client::new()
        .delete(kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(kmds.published(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_queue_refuses_new_songs_only() {
    let lab = Lab::start().await;
    let known = lab.bandcamp().track("Known").publish();
    let set = lab.soundcloud().set(5).publish();
    let one = set.songs()[4].clone();
    set.songs().iter().for_each(|song| song.hold_at(kib(16)));
    let kmds = Setup::of(&lab)
        .set("KMDS_QUEUE__MAX_SONGS", "5")
        .set("KMDS_SOUNDCLOUD__MAX_DOWNLOADS", "1")
        .start();
    kmds.download(&known.link()).await;
    let (status, reply) = kmds.fetch(&set.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.fetch(&known.link()).await.0, 200, "it is ready");
    assert_eq!(kmds.fetch(&one.link()).await.0, 200, "it waits already");
    let more = lab.bandcamp().album(2).publish();
    let answer = kmds
        .http
        .post(kmds.at("/fetch"))
        .body(serde_json::json!({ "URL": more.link() }).to_string());
    let answer = answer.timeout(PATIENCE).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_song_that_waits_is_told_alike_by_both_faces() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("mp3-only")
        .seconds(30.0)
        .formats(&[Format::Mp3Progressive]);
    let song = song.holds_at(0).publish();
    let kmds = Kmds::start(&lab);
    let (_, first) = kmds.fetch(&song.link()).await;
    let (_, second) = kmds.fetch(&song.link()).await;
    assert_eq!(first.songs[0].metadata, second.songs[0].metadata);
    let path = format!("/api/v1/tracks/soundcloud/{}", song.id());
    let (_, track) = kmds.body::<Track>(&path).await;
    assert_eq!(track.approximate_bytes, first.songs[0].metadata.bytes);
    song.release();
}

#[tokio::test]
async fn a_song_that_is_fetched_while_a_list_with_it_is_cancelled_still_comes() {
    let lab = Lab::start().await;
    let set = lab.soundcloud().set(6).seconds(2.0).publish();
    let kmds = Setup::of(&lab)
        .set("KMDS_SOUNDCLOUD__MAX_DOWNLOADS", "1")
        .start();
    let blocker = set.songs()[0].clone();
    for round in 0..12 {
        blocker.hold_at(1_000);
        let (status, reply) = kmds.fetch(&set.link()).await;
        assert_eq!(status, 200, "{reply}");
        let list = kmds.at(&format!(
            "/api/v1/collections/{}",
            reply["ID"].as_str().expect("an id")
        ));
        let song = &set.songs()[1 + round % 5];
        let cancel = kmds.http.delete(&list).timeout(PATIENCE).send();
        let late = async {
            tokio::time::sleep(std::time::Duration::from_micros(300 * round as u64)).await;
            kmds.fetch(&song.link()).await
        };
        let (cancelled, (status, reply)) = tokio::join!(cancel, late);
        assert_eq!(cancelled.expect("an answer").status(), 200);
        assert_eq!(status, 200, "{reply}");
        blocker.release();
        assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
        for song in set.songs() {
            let path = format!("/api/v1/tracks/soundcloud/{}", song.id());
            let removal = kmds.http.delete(kmds.at(&path)).timeout(PATIENCE).send();
            removal.await.expect("an answer");
        }
    }
}

#[tokio::test]
async fn a_fetch_beside_a_removal_never_promises_what_is_gone() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Contested").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}", song.id()));
    for _ in 0..20 {
        let (removal, link) = (
            kmds.http.delete(&path).timeout(PATIENCE).send(),
            song.link(),
        );
        let (_, (status, reply)) = tokio::join!(removal, kmds.fetch(&link));
        assert_eq!(status, 200, "{reply}");
        let tunnel = format!("{}&wait=60", reply.songs[0].tunnel);
        // Removed after it was asked for, or there: never stuck, never failed.
        let answer = kmds.get(&tunnel).await.status().as_u16();
        assert!([200, 404].contains(&answer), "{answer}");
    }
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}
