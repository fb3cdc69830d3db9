//! What is asked of one node and concerns all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kmds_lab::soundcloud::Format::Mp3Progressive;
use kmds_lab::{Fault, Lab, Song};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::nats::Nats;
use super::{acquainted, door, node, signal, times_fetched};
use crate::harness::Kmds;
use crate::harness::replies::Reply;

fn path(song: &Song) -> String {
    format!("/api/v1/tracks/bandcamp/{}", song.id())
}

async fn state(node: &Kmds, song: &Song) -> String {
    let (_, track) = node.body::<Value>(&path(song)).await;
    track["state"].as_str().unwrap_or("unknown").to_owned()
}

#[tokio::test]
async fn a_song_that_is_removed_at_one_node_is_gone_at_all() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("removed").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    assert!(door.download(&song.link()).await == song.bytes());
    assert_eq!((one.published().len(), door.published().len()), (2, 2));
    let removed = door.http.delete(door.at(&path(&song))).send().await;
    assert_eq!(removed.expect("an answer").status(), 204);
    for node in [&one, &door] {
        assert_eq!(node.get(&path(&song)).await.status(), 404);
        assert_eq!(node.published(), [""; 0]);
    }
    assert_eq!(nats.entry(&song).await, Value::Null);
    assert!(one.download(&song.link()).await == song.bytes());
}

#[tokio::test]
async fn what_one_node_gave_out_is_served_by_another() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("named").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let [first, second] = ["door", "door-2"].map(|name| {
        let door = door(&lab, &nats).set("KMDS_CLUSTER__NODE", name);
        door.start()
    });
    acquainted(&[&one, &first, &second]).await;
    let (status, reply) = first.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert!(second.whole(&reply.songs[0]).await == song.bytes());
    let cover = one.get(&format!("{}/cover", path(&song))).await.status();
    assert_eq!(
        second.get(&format!("{}/cover", path(&song))).await.status(),
        cover
    );
    assert_eq!(state(&one, &song).await, "ready");
    assert_eq!(
        first.get(&format!("{}/audio", path(&song))).await.status(),
        200
    );
    let nothing = second.get("/api/v1/tracks/bandcamp/1-2").await;
    assert_eq!(nothing.status(), 404);
}

#[tokio::test]
async fn a_song_gets_the_form_in_which_another_node_has_it() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    // Most songs of the site are M4A as well.
    let song = lab.soundcloud().track("mp3").formats(&[Mp3Progressive]);
    let song = song.seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    // Node 1 knows the song, for another request only, and not what the site has of it.
    let asked = json!({ "url": song.link(), "accept": ["opus"], "prefetch": "none" });
    assert_eq!(one.v1_fetch(asked).await.0, 200);
    let (status, at_two) = two.fetch(&song.link()).await;
    assert_eq!(status, 200, "{at_two}");
    assert!(two.whole(&at_two.songs[0]).await == song.bytes());
    let (status, at_one) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{at_one}");
    assert!(one.whole(&at_one.songs[0]).await == song.bytes());
    let name = |reply: &Reply| reply.songs[0].url.rsplit('=').next().map(str::to_owned);
    assert_eq!(name(&at_one), name(&at_two));
    assert!(times_fetched(&lab, &song) < 1.5);
}

#[tokio::test]
async fn a_client_that_asks_for_an_unknown_song_waits_shortly_for_a_node_that_is_away() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    signal(&one, Signal::STOP);
    let unknown = "/api/v1/tracks/bandcamp/1-2";
    let asked_twice = async {
        door.get(unknown).await;
        door.get(unknown).await.status()
    };
    let first = tokio::select! {
        answer = asked_twice => Some(answer.as_u16()),
        // The node would have to remove it: it is waited for longer.
        _ = door.http.delete(door.at(unknown)).send() => None,
    };
    signal(&one, Signal::CONT);
    assert_eq!(first, Some(404), "before the song is removed");
}

#[tokio::test]
async fn a_failed_song_is_tried_again_by_whichever_node_is_asked() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("retried").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    lab.inject(Fault::Status(500, None).on_media());
    let (status, reply) = door.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    door.until("it fails", async || state(&door, &song).await == "failed")
        .await;
    lab.clear_faults();
    let retry = two.at(&format!("{}/retry", path(&song)));
    let retried = two.http.post(retry).send().await.expect("an answer");
    assert_eq!(retried.status(), 202);
    two.until("it is ready", async || state(&two, &song).await == "ready")
        .await;
    assert!(door.whole(&reply.songs[0]).await == song.bytes());
}

#[tokio::test]
async fn a_list_that_is_cancelled_at_one_node_ends_at_all() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let list = lab.bandcamp().album(6).seconds(20.0).publish();
    list.songs().iter().for_each(|song| song.hold_at(0));
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    let (status, reply) = door.fetch(&list.link()).await;
    assert_eq!(status, 200, "{reply}");
    lab.until(super::asked_from(1)).await;
    let id = reply["ID"].as_str().expect("an id");
    let cancel = one.at(&format!("/api/v1/collections/{id}"));
    let cancelled = one.http.delete(cancel).send().await.expect("an answer");
    assert_eq!(cancelled.status(), 200);
    for node in [&one, &door] {
        node.until("nothing waits or runs", async || {
            let (_, stats) = node.body::<Value>("/api/v1/stats").await;
            let queues = stats["queues"].as_array().expect("queues");
            queues
                .iter()
                .all(|lane| lane["waiting"] == 0 && lane["running"] == 0)
        })
        .await;
    }
    assert_eq!(door.get(&path(&list.songs()[5])).await.status(), 404);
}

/// A receiver that counts its calls.
async fn receiver() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut sent = vec![0; 16 << 10];
            let read = client.read(&mut sent).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&sent[..read]);
            assert!(text.contains("track.ready"), "{text}");
            count.fetch_add(1, Ordering::Relaxed);
            let _ = client
                .write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")
                .await;
        }
    });
    (url, calls)
}

/// The states that a client is told of a song, until it is ready and after it once more has been.
async fn told(mut events: reqwest::Response, last: &Song) -> Vec<(String, String)> {
    let mut text = String::new();
    let end = format!("\"{}\"", last.id());
    while !text
        .lines()
        .any(|line| line.contains(&end) && line.contains("\"ready\""))
    {
        let chunk = events.chunk().await.expect("events").expect("more");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let mut named = text
        .lines()
        .filter(|line| line.starts_with("event:") || line.starts_with("data:"));
    let mut told = Vec::new();
    while let (Some(name), Some(data)) = (named.next(), named.next()) {
        let data: Value =
            serde_json::from_str(data.trim_start_matches("data:").trim()).expect("JSON");
        if name.contains("track") {
            let word = |key: &str| data[key].as_str().expect("a word").to_owned();
            told.push((word("id"), word("state")));
        }
    }
    told
}

#[tokio::test]
async fn who_listens_at_one_node_hears_of_the_songs_of_all_and_of_each_end_once() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let [first, through, last] =
        ["first", "through", "last"].map(|name| lab.bandcamp().track(name).seconds(20.0).publish());
    // One of the two makes the song that is asked for at the door.
    let [(url_of_one, calls_of_one), (url_of_two, calls_of_two)] =
        [receiver().await, receiver().await];
    let one = node(&lab, &nats, 1)
        .set("KMDS_WEBHOOK__URL", &url_of_one)
        .start();
    let two = node(&lab, &nats, 2)
        .set("KMDS_WEBHOOK__URL", &url_of_two)
        .start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    let heard = [
        two.get("/api/v1/events").await,
        door.get("/api/v1/events").await,
    ];
    assert!(one.download(&first.link()).await == first.bytes());
    assert!(door.download(&through.link()).await == through.bytes());
    assert!(one.download(&last.link()).await == last.bytes());
    for events in heard {
        let told = told(events, &last).await;
        for song in [&first, &through, &last] {
            let of_song = told.iter().filter(|(id, _)| id == song.id());
            let ends = of_song.filter(|(_, state)| state == "ready" || state == "failed");
            assert_eq!(ends.count(), 1, "{told:?}");
        }
    }
    for calls in [calls_of_one, calls_of_two] {
        two.until("the webhook is called", async || {
            calls.load(Ordering::Relaxed) >= 3
        })
        .await;
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }
}
