//! Long lists: they never starve one song, and are fetched as far ahead as a client wants.

use kmds_lab::{Lab, Site, Song};
use serde_json::json;

use super::{fetched, patient, started, tunnel};

#[tokio::test]
async fn a_list_of_500_delays_a_single_song_by_one_turn_of_a_slot_at_most() {
    let lab = Lab::start().await;
    let held: Vec<Song> = (0..500)
        .map(|n| {
            lab.youtube()
                .video(&format!("Listed {n}"))
                .seconds(1.0)
                .holds_at(0)
                .publish()
        })
        .collect();
    let list = lab.youtube().playlist(0).songs(&held).publish();
    let single = lab.youtube().video("Wanted now").seconds(1.0).publish();
    let later = lab.youtube().video("Wanted too").seconds(1.0).publish();
    // Two slots, both taken by the list.
    let kmds = patient(&lab)
        .set("KMDS_YOUTUBE__MAX_DOWNLOADS", "2")
        .start();
    let (status, reply) = kmds.fetch(&list.link()).await;
    assert_eq!((status, reply.songs.len()), (200, 500));
    kmds.until("both slots are taken", async || {
        started(&lab, Site::YouTube).len() == 2
    })
    .await;
    // One is listened to, the other only queued.
    let entry = fetched(&kmds, &single.link()).await;
    assert_eq!(
        kmds.get(&tunnel(&entry)).await.status(),
        418,
        "its turn has not come"
    );
    fetched(&kmds, &later.link()).await;
    assert_eq!(
        started(&lab, Site::YouTube).len(),
        2,
        "nothing overtakes the limit"
    );
    let running = |number: usize| {
        let id = started(&lab, Site::YouTube)[number].clone();
        held.iter()
            .find(|song| song.id() == id)
            .expect("of the list")
            .clone()
    };
    running(0).release();
    assert_eq!(kmds.whole(&entry).await, single.bytes());
    assert_eq!(
        started(&lab, Site::YouTube)[2],
        single.id(),
        "the very next one: a client waits for it"
    );
    // A client that only queued a song shares the turns with the list: one song of each.
    for turn in 1..4 {
        kmds.until("the next turn", async || {
            started(&lab, Site::YouTube).len() > turn + 2
        })
        .await;
        if started(&lab, Site::YouTube).contains(&later.id().to_owned()) {
            break;
        }
        let id = started(&lab, Site::YouTube)
            .last()
            .cloned()
            .expect("started");
        held.iter()
            .filter(|song| song.id() == id)
            .for_each(Song::release);
    }
    let place = started(&lab, Site::YouTube)
        .iter()
        .position(|id| id == later.id());
    assert!(
        place.is_some_and(|place| place <= 4),
        "it came at {place:?}"
    );
}

#[tokio::test]
async fn a_list_is_fetched_as_far_ahead_of_the_song_being_read_as_was_asked() {
    let lab = Lab::start().await;
    let kmds = patient(&lab).start();
    for (ahead, after_fetch, after_second) in [
        (json!("none"), 0, 1),
        (json!(2), 2, 4),
        (json!("all"), 6, 6),
    ] {
        let album = lab.bandcamp().album(6).seconds(1.0).publish();
        let (status, reply) = kmds
            .v1_fetch(json!({"url": album.link(), "prefetch": ahead}))
            .await;
        assert_eq!(status, 200, "{reply}");
        let arrived = || {
            album
                .songs()
                .iter()
                .filter(|song| lab.hits(*song) > 0)
                .count()
        };
        let settled = async |count: usize| {
            kmds.until("the window is there", async || {
                let text = kmds
                    .get("/api/v1/stats")
                    .await
                    .text()
                    .await
                    .expect("a body");
                let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                let queues = stats["queues"].as_array().expect("queues");
                let idle =
                    |queue: &serde_json::Value| queue["running"] == 0 && queue["waiting"] == 0;
                queues.iter().all(idle) && arrived() >= count
            })
            .await;
        };
        settled(after_fetch).await;
        assert_eq!(arrived(), after_fetch, "after the fetch with {ahead}");
        let second = &album.songs()[1];
        let path = format!("/tunnel?file=bandcamp-{}.mp3&stream=1", second.id());
        assert_eq!(
            kmds.get(&path).await.bytes().await.expect("audio"),
            second.bytes()
        );
        settled(after_second).await;
        assert_eq!(
            arrived(),
            after_second,
            "after the second song with {ahead}"
        );
    }
}

#[tokio::test]
async fn a_fans_playlist_of_bandcamp_is_one_page_and_arrives_song_by_song() {
    let lab = Lab::start().await;
    let songs = ["Ebb", "Flow"].map(|title| {
        let track = lab.bandcamp().track(title).artist(&format!("By {title}"));
        track.seconds(10.0).publish()
    });
    let link = lab
        .bandcamp()
        .playlist("somefan", "late-nights", "Late nights", &songs.each_ref());
    let kmds = patient(&lab).start();
    let (status, reply) = kmds.fetch(&link).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        lab.count(|seen| seen.path.contains("/playlist/")),
        1,
        "one page for the list"
    );
    for (entry, song) in reply.songs.iter().zip(&songs) {
        assert_eq!(entry.metadata.title, song.title());
        assert_eq!(entry.metadata.artist.as_deref(), Some(song.artist()));
        assert_eq!(kmds.whole(entry).await, song.bytes());
    }
}
