//! How long a queue lasts: its time, restarts, and songs that leave it.

use kmds_lab::{Lab, Song};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    arrived, ask_for, end, is_on_drive, links, listen, one_at_a_time, put, queue, room_for,
    settled, songs, states,
};
use crate::harness::Kmds;
use crate::{ask, v1_fetch, without_encoder};

#[tokio::test]
async fn a_queue_that_is_not_written_again_ends_after_an_hour_or_the_time_that_its_client_names() {
    let lab = Lab::start().await;
    let [near, more] = ["Near", "More"].map(|name| songs(&lab, name, 4));
    let all = [near.clone(), more.clone()].concat();
    let kmds = room_for(without_encoder(&lab), 4, &all).start();
    let before = jiff::Timestamp::now();
    let reply = put(&kmds, "q", json!({"songs": links(&near[..1])})).await;
    let until: jiff::Timestamp = reply["until"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .expect("a time");
    let hour = until.duration_since(before).as_secs();
    assert!((3599..3660).contains(&hour), "{hour}");
    settled(&kmds, "q", &[0]).await;
    put(&kmds, "q", json!({"songs": links(&near[..1]), "hold": 1})).await;
    kmds.until("the queue has ended", async || {
        ask(&kmds, Method::GET, "/api/v1/queues/q").await.status() == 404
    })
    .await;
    for song in &more {
        kmds.download(&song.link()).await;
    }
    assert!(!is_on_drive(&kmds, &near[0]), "it was let go");
}

#[tokio::test]
async fn a_queue_survives_a_restart_in_mid_song() {
    let lab = Lab::start().await;
    let [near, more] = ["Near", "More"].map(|name| songs(&lab, name, 5));
    near[1].hold_at(2_000);
    let all = [near.clone(), more.clone()].concat();
    let setup = room_for(one_at_a_time(&lab), 4, &all);
    let mut kmds = setup.start();
    let mut sent = links(&near);
    sent[2] = format!("bandcamp/{}", near[2].id());
    put(&kmds, "q", json!({"songs": sent, "ahead": 2})).await;
    kmds.until("the second song runs", async || {
        lab.media_requests(near[1].id()) > 0
    })
    .await;
    let before = queue(&kmds, "q").await;
    kmds.kill();
    near[1].release();
    let kmds = setup.start();
    let now = settled(&kmds, "q", &[0, 1]).await;
    assert_eq!(now["until"], before["until"]);
    assert_eq!(lab.media_requests(near[0].id()), 1);
    for song in &more {
        kmds.download(&song.link()).await;
    }
    assert!(near[..2].iter().all(|song| is_on_drive(&kmds, song)));
    listen(&kmds, &now, 0).await;
    let now = settled(&kmds, "q", &[0, 1, 2]).await;
    assert_eq!(now["begun"], 1);
    assert_eq!(arrived(&lab, &near), [0, 1, 2]);
    assert_eq!(end(&kmds, "q").await, 204);
    drop(kmds);
    let kmds = setup.start();
    assert_eq!(end(&kmds, "q").await, 404, "ended for good");
}

#[tokio::test]
async fn a_song_that_was_fetched_too_comes_although_its_queue_ends_after_a_restart() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 3);
    all[0].hold_at(2_000);
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    put(&kmds, "q", json!({"songs": links(&all)})).await;
    kmds.until("all wait", async || {
        queue(&kmds, "q").await["songs"][2]["track"].is_object()
    })
    .await;
    let (_, reply) = v1_fetch(&kmds, json!({"url": all[2].link()})).await;
    assert_eq!(reply["tracks"][0]["state"], "queued");
    kmds.kill();
    let kmds = setup.start();
    kmds.until("the first song runs again", async || {
        states(&queue(&kmds, "q").await)[0] == "downloading"
    })
    .await;
    assert_eq!(end(&kmds, "q").await, 204);
    all[0].release();
    kmds.until("the fetched one comes", async || {
        is_on_drive(&kmds, &all[2])
    })
    .await;
    assert_eq!(arrived(&lab, &all), [0, 2]);
}

#[tokio::test]
async fn the_end_of_a_list_of_an_earlier_run_ends_no_song_of_another_list() {
    let lab = Lab::start().await;
    let [old, new] = [2, 3].map(|count| lab.bandcamp().album(count).seconds(2.0).publish());
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    let fetch = async |kmds: &Kmds, link: String| {
        let (status, reply) = kmds.fetch(&link).await;
        assert_eq!(status, 200, "{reply}");
        reply["ID"].as_str().expect("an id").to_owned()
    };
    let id = fetch(&kmds, old.link()).await;
    kmds.until("the old list is here", async || {
        old.songs().iter().all(|song| is_on_drive(&kmds, song))
    })
    .await;
    kmds.kill();
    let kmds = setup.start();
    new.songs()[0].hold_at(2_000);
    fetch(&kmds, new.link()).await;
    let path = format!("/api/v1/collections/{id}");
    let ended = ask(&kmds, Method::DELETE, &path).await;
    assert_eq!(ended.status(), 200);
    new.songs()[0].release();
    kmds.until("the new list is here", async || {
        new.songs().iter().all(|song| is_on_drive(&kmds, song))
    })
    .await;
}

#[tokio::test]
async fn a_song_that_a_client_deletes_stays_away_through_a_restart_until_its_queue_is_written_again()
 {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 5);
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    let ask = json!({"songs": links(&all), "ahead": 2});
    // Known, and not near.
    kmds.download(&all[3].link()).await;
    put(&kmds, "q", ask.clone()).await;
    settled(&kmds, "q", &[0, 1]).await;
    for song in [&all[0], &all[3]] {
        let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
        assert_eq!(ask_for(&kmds, Method::DELETE, &path).await, 204);
    }
    settled(&kmds, "q", &[1, 2]).await;
    kmds.kill();
    let kmds = setup.start();
    // Ready by the catalog at once; with its links when the queue has looked at its songs.
    let mut now = Value::Null;
    kmds.until("the queue has looked at its songs", async || {
        now = queue(&kmds, "q").await;
        now["songs"][1]["track"].is_object()
    })
    .await;
    listen(&kmds, &now, 1).await;
    settled(&kmds, "q", &[1, 2, 4]).await;
    let fetched = |song: &Song| lab.media_requests(song.id());
    assert_eq!((fetched(&all[0]), fetched(&all[3])), (1, 1));
    assert!(!is_on_drive(&kmds, &all[0]) && !is_on_drive(&kmds, &all[3]));
    put(&kmds, "q", ask).await;
    settled(&kmds, "q", &[0, 1]).await;
    assert!(is_on_drive(&kmds, &all[0]), "the queue names it anew");
}
