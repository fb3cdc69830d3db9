//! What of a list is queued at once, and what only when it comes near.

use kmds_lab::{Fault, Lab, Song};
use serde_json::{Value, json};

use super::harness::Kmds;
use super::harness::replies::{Entry, Track};
use super::{patient, tunnel};

/// Songs of a lane that wait or run.
async fn queued(kmds: &Kmds, site: &str) -> u64 {
    let text = kmds.get("/api/v1/stats").await.text().await;
    let stats: Value = serde_json::from_str(&text.expect("a body")).expect("JSON");
    let lanes = stats["queues"].as_array().expect("lanes");
    let lane = lanes.iter().find(|lane| lane["site"] == site);
    let lane = lane.expect("the site's lane");
    lane["waiting"].as_u64().expect("a number") + lane["running"].as_u64().expect("a number")
}

async fn idle(kmds: &Kmds, site: &str) {
    kmds.until("nothing waits or runs", async || {
        queued(kmds, site).await == 0
    })
    .await;
}

fn arrived(lab: &Lab, songs: &[Song]) -> Vec<usize> {
    let was_asked = |song: &Song| lab.media_requests(song.id()) > 0;
    (0..songs.len())
        .filter(|place| was_asked(&songs[*place]))
        .collect()
}

async fn state(kmds: &Kmds, site: &str, id: &str) -> String {
    let path = format!("/api/v1/tracks/{site}/{id}");
    kmds.body::<Track>(&path).await.1.state.clone()
}

async fn listen(kmds: &Kmds, site: &str, song: &Song, ext: &str) {
    let path = format!("/tunnel?file={}-{}.{ext}&stream=1", site, song.id());
    let audio = kmds.get(&path).await.bytes().await.expect("audio");
    assert_eq!(audio, song.bytes());
}

#[tokio::test]
async fn a_hundred_songs_of_a_long_list_are_queued_unless_the_client_or_the_settings_say_another_number()
 {
    let lab = Lab::start().await;
    let held: Vec<Song> = (0..130)
        .map(|n| {
            let video = lab.youtube().video(&format!("Held {n}")).seconds(1.0);
            video.holds_at(0).publish()
        })
        .collect();
    let link = lab.youtube().playlist(0).songs(&held).publish().link();
    for (ask, songs) in [
        (json!({"URL": link}), 100),
        (json!({"URL": link, "Prefetch": 110}), 110),
        (json!({"URL": link, "prefetch": 115}), 115),
        (json!({"URL": link, "Prefetch": "all"}), 130),
        (json!({"URL": link, "Prefetch": "none"}), 0),
    ] {
        let kmds = patient(&lab).start();
        let (status, reply) = kmds.fetch_with(ask.clone()).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply.songs.len(), 130, "all are told of");
        let is_pending = |song: &&Entry| ["queued", "downloading"].contains(&&*song.state);
        let pending = reply.songs.iter().filter(is_pending);
        assert_eq!(pending.count(), 130, "{ask}");
        assert_eq!(queued(&kmds, "youtube").await, songs, "{ask}");
    }
    let kmds = patient(&lab).set("KMDS_LISTS__PREFETCH", "7").start();
    let (status, _) = kmds.v1_fetch(json!({"url": link})).await;
    assert_eq!((status, queued(&kmds, "youtube").await), (200, 7));
    let query = format!("/fetch?prefetch=9&url={link}").replace("https://", "https%3A%2F%2F");
    assert_eq!(
        kmds.get(&query.replace("?list", "%3Flist")).await.status(),
        200
    );
    assert_eq!(queued(&kmds, "youtube").await, 9);
    let bad = kmds.get(&query.replace("=9&", "=some&")).await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn a_song_beyond_the_window_comes_first_when_it_is_asked_for_and_those_behind_it_follow() {
    let lab = Lab::start().await;
    let kmds = patient(&lab).set("KMDS_LISTS__PREFETCH", "2").start();
    let album = lab.bandcamp().album(8).seconds(1.0).publish();
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    idle(&kmds, "bandcamp").await;
    assert_eq!(arrived(&lab, album.songs()), [0, 1]);
    let fifth = &reply.songs[4];
    assert_eq!(fifth.state, "queued");
    assert_eq!(kmds.get(&tunnel(fifth)).await.status(), 418, "never 404");
    assert_eq!(kmds.whole(fifth).await, album.songs()[4].bytes());
    idle(&kmds, "bandcamp").await;
    assert_eq!(arrived(&lab, album.songs()), [0, 1, 4, 5, 6]);
    // A copy of a song is that song.
    let path = format!(
        "/api/v1/tracks/bandcamp/{}/audio?tags=1&wait=60",
        album.songs()[6].id()
    );
    assert_eq!(kmds.get(&path).await.status(), 200);
    idle(&kmds, "bandcamp").await;
    assert_eq!(arrived(&lab, album.songs()), [0, 1, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_window_moves_by_the_form_that_a_song_is_known_in_whatever_the_list_expected() {
    let lab = Lab::start().await;
    let songs: Vec<Song> = (0..3)
        .map(|n| {
            let video = lab.youtube().video(&format!("No Opus {n}")).seconds(1.0);
            video.aac_only().publish()
        })
        .collect();
    let link = lab.youtube().playlist(0).songs(&songs).publish().link();
    let kmds = patient(&lab).start();
    let accept = json!(["opus", "m4a"]);
    let alone = json!({"url": songs[0].link(), "accept": accept});
    assert_eq!(kmds.v1_fetch(alone).await.0, 200);
    idle(&kmds, "youtube").await;
    let (status, reply) = kmds
        .v1_fetch(json!({"url": link, "accept": accept, "prefetch": 1}))
        .await;
    assert_eq!((status, &*reply.tracks[0].state), (200, "ready"));
    listen(&kmds, "youtube", &songs[0], "m4a").await;
    idle(&kmds, "youtube").await;
    assert_eq!(arrived(&lab, &songs), [0, 1]);
}

#[tokio::test]
async fn a_list_that_is_refused_leaves_no_window() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(6).seconds(1.0).publish();
    let kmds = patient(&lab).set("KMDS_QUEUE__MAX_SONGS", "3").start();
    let known = json!({"url": album.link(), "prefetch": "none"});
    assert_eq!(kmds.v1_fetch(known).await.0, 200);
    let (status, reply) = kmds
        .v1_fetch(json!({"url": album.link(), "prefetch": 4}))
        .await;
    assert_eq!((status, &*reply.problem.kind), (503, "queue_full"));
    listen(&kmds, "bandcamp", &album.songs()[0], "mp3").await;
    assert_eq!(
        state(&kmds, "bandcamp", album.songs()[1].id()).await,
        "evicted"
    );
}

#[tokio::test]
async fn a_song_that_is_known_but_not_here_is_told_with_its_length() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Known").seconds(2.0).publish();
    let kmds = patient(&lab).start();
    let bytes = kmds.download(&song.link()).await;
    std::fs::remove_file(
        kmds.folder
            .path(&format!("cache/bandcamp/{}.mp3", song.id())),
    )
    .expect("it was there");
    let (status, reply) = kmds.v1_fetch(json!({"url": song.link()})).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["tracks"][0]["total_bytes"], bytes.len(), "{reply}");
}

#[tokio::test]
async fn several_links_take_no_longer_together_than_one_list_may() {
    let lab = Lab::start().await;
    let [silent, fine] = ["Silent", "Fine"].map(|title| lab.bandcamp().track(title).publish());
    let kmds = patient(&lab)
        .recipes("[time]\nmetadata_request = 60.0\nfetch_list = 1.0\nretry_pauses = [0.02, 0.02, 0.02]\n[bandcamp.hosts]\npace = 0.0\n")
        .start();
    lab.inject(Fault::NoAnswer.on_pages().of(&silent));
    let (status, reply) = kmds
        .v1_fetch(json!({"urls": [silent.link(), fine.link()]}))
        .await;
    assert_eq!(
        (status, &reply["kind"]),
        (504, &json!("timeout")),
        "{reply}"
    );
    assert_eq!(lab.hits(&fine), 0, "there is no time left for it");
}
