//! Clients that take too much: connections, event streams, and covers that never end.

use std::net::SocketAddr;

use kmds_lab::{Fault, Kind, Lab, kib};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Kmds, PATIENCE, Setup};

/// Another machine, as far as addresses tell.
const NEIGHBOUR: &str = "127.0.0.2:0";
const ONE: &str = "127.0.0.1:0";

/// Asks from an address of this machine; the connection and the status.
async fn ask(kmds: &Kmds, from: &str, path: &str) -> (TcpStream, u16) {
    let to: SocketAddr = kmds
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(from.parse().expect("an address"))
        .expect("bound");
    let mut stream = socket.connect(to).await.expect("connected");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await
        .expect("sent");
    let mut start = [0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut start))
        .await
        .expect("an answer in time");
    read.expect("an answer");
    let status = std::str::from_utf8(&start[9..])
        .expect("ASCII")
        .parse()
        .expect("a status");
    (stream, status)
}

#[tokio::test]
async fn the_event_streams_of_one_client_keep_no_other_client_out() {
    let kmds = Setup::new()
        .set("KMDS_SERVER__MAX_CONNECTIONS", "32")
        .start();
    let mut held = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let (stream, status) = ask(&kmds, ONE, "/api/v1/events").await;
        held.push(stream);
        statuses.push(status);
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        24,
        "three quarters of all connections"
    );
    assert!(
        statuses[24..].iter().all(|status| *status == 503),
        "{statuses:?}"
    );
    for from in [ONE, NEIGHBOUR] {
        assert_eq!(ask(&kmds, from, "/healthz").await.1, 200, "{from}");
        assert_eq!(ask(&kmds, from, "/api/v1/stats").await.1, 200, "{from}");
    }
    assert_eq!(ask(&kmds, NEIGHBOUR, "/api/v1/events").await.1, 200);
    // Those that end may be had again.
    drop(held);
    kmds.until("a stream is free", async || {
        ask(&kmds, ONE, "/api/v1/events").await.1 == 200
    })
    .await;
}

#[tokio::test]
async fn the_memory_of_a_crowd_goes_back_when_it_leaves() {
    let kmds = Setup::new().start();
    let mut crowd = Vec::new();
    for _ in 0..600 {
        crowd.push(ask(&kmds, ONE, "/healthz").await.0);
    }
    let told = "many connections ended; their memory goes back";
    assert!(!kmds.log().contains(told), "all are here");
    drop(crowd);
    kmds.until("the memory goes back", async || kmds.log().contains(told))
        .await;
}

#[tokio::test]
async fn one_address_that_holds_all_it_can_leaves_room_for_others_and_for_health_checks() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Waited for")
        .holds_at(kib(64))
        .publish();
    let setup =
        Setup::of(&lab).recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n");
    let kmds = setup.set("KMDS_SERVER__MAX_CONNECTIONS", "32").start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = format!("{}&stream=1", reply.songs[0].tunnel);
    let mut held = Vec::new();
    let mut listening = 0;
    for _ in 0..60 {
        let (stream, status) = ask(&kmds, ONE, &path).await;
        assert!([200, 503].contains(&status), "{status}");
        listening += u16::from(status == 200);
        held.push(stream);
    }
    assert!(
        (27..=28).contains(&listening),
        "seven eighths, one of them the client that fetched: {listening}"
    );
    assert_eq!(
        ask(&kmds, ONE, "/api/v1/stats").await.1,
        503,
        "it has its share and more"
    );
    for (from, path) in [
        (ONE, "/healthz"),
        (ONE, "/readyz"),
        (ONE, "/metrics"),
        (NEIGHBOUR, "/healthz"),
    ] {
        assert_eq!(ask(&kmds, from, path).await.1, 200, "{from} {path}");
    }
    let mut neighbours = Vec::new();
    for _ in 0..3 {
        let (stream, status) = ask(&kmds, NEIGHBOUR, &path).await;
        assert_eq!(status, 200, "the rest is for others");
        neighbours.push(stream);
    }
    song.release();
    kmds.until("room comes back", async || {
        ask(&kmds, ONE, "/api/v1/stats").await.1 == 200
    })
    .await;
}

#[tokio::test]
async fn who_is_turned_away_is_told_what_to_do() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Waited for")
        .holds_at(kib(64))
        .publish();
    let setup =
        Setup::of(&lab).recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n");
    let kmds = setup.set("KMDS_SERVER__MAX_CONNECTIONS", "1").start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = format!("{}&stream=1", reply.songs[0].tunnel);
    // The place is free as soon as the service knows that the client which fetched asks no more. The client that gets
    // it keeps it.
    let mut held = None;
    kmds.until("the one place is taken", async || {
        let (stream, status) = ask(&kmds, ONE, &path).await;
        held = (status == 200).then_some(stream);
        held.is_some()
    })
    .await;
    for (path, kind) in [("/fetch", "Kind"), ("/api/v1/fetch", "kind")] {
        // Each on a connection of its own: the one of the fetch has made room.
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let asked = client
            .post(kmds.at(path))
            .body("x".repeat(10_000))
            .timeout(PATIENCE)
            .send()
            .await;
        let answer = asked.expect("an answer, not a reset");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let reply: serde_json::Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(reply[kind], "queue_full", "{reply}");
    }
    song.release();
}

#[tokio::test]
async fn a_cover_that_drips_holds_up_no_other() {
    let lab = Lab::start().await;
    let [slow, fast] = ["Slow", "Fast"].map(|title| lab.bandcamp().track(title).publish());
    let kmds = Setup::of(&lab)
        .recipes("[time]\nmetadata_request = 60.0\n[bandcamp.hosts]\npace = 0.0\n")
        .start();
    for song in [&slow, &fast] {
        assert_eq!(
            kmds.v1_fetch(json!({ "url": song.link(), "prefetch": "none" }))
                .await
                .0,
            200
        );
    }
    let _drips = lab.inject(Fault::Slow(10).on_covers().first(1));
    let cover = |id: &str| {
        kmds.http
            .get(kmds.at(&format!("/api/v1/tracks/bandcamp/{id}/cover")))
            .send()
    };
    let dripping = tokio::spawn(cover(slow.id()));
    lab.until(|seen| seen.iter().any(|seen| seen.kind == Kind::Cover))
        .await;
    assert_eq!(cover(fast.id()).await.expect("an answer").status(), 200);
    assert!(!dripping.is_finished(), "it still drips");
    dripping.abort();
}

#[tokio::test]
async fn a_cover_that_cannot_be_had_is_asked_for_once_by_all_who_want_it_at_a_time() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Uncovered").publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(
        kmds.v1_fetch(json!({ "url": song.link(), "prefetch": "none" }))
            .await
            .0,
        200
    );
    let _silent = lab.inject(Fault::NoAnswer.on_covers());
    let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}/cover", song.id()));
    let all: Vec<_> = (0..12)
        .map(|_| tokio::spawn(kmds.http.get(&path).send()))
        .collect();
    for one in all {
        assert_eq!(
            one.await.expect("no panic").expect("an answer").status(),
            502
        );
    }
    assert!(
        lab.count(|seen| seen.kind == Kind::Cover) <= 2,
        "those who came late may ask once more"
    );
}

/// Asks for a list and takes no more of the answer than its head, which it returns with the connection.
async fn ask_for_a_list(kmds: &Kmds, link: &str, prefetch: usize) -> (TcpStream, String) {
    let to: SocketAddr = kmds
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(to).await.expect("connected");
    let body = json!({"url": link, "prefetch": prefetch}).to_string();
    let request = super::asking(
        "POST /api/v1/fetch",
        "Content-Type: application/json\r\n",
        &body,
    );
    stream.write_all(&request).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(read.expect("an answer in time").expect("an answer"));
    }
    (stream, String::from_utf8_lossy(&head).to_lowercase())
}

#[tokio::test]
async fn a_client_that_gets_no_place_for_a_long_list_is_told_when_to_come_back() {
    let lab = Lab::start().await;
    // More than the buffers of a connection take.
    let artist = "Long ".repeat(2000);
    let list = lab
        .bandcamp()
        .album(600)
        .artist(&artist)
        .band("long")
        .seconds(1.0)
        .publish();
    let unhurried = "[bandcamp.hosts]\npace = 0.0\n";
    let kmds = Setup::of(&lab).recipes(unhurried).start();
    let known = json!({"url": list.link(), "prefetch": 0});
    assert_eq!(kmds.v1_fetch(known).await.0, 200);
    // The page of a long list takes a busy machine longer than a client is to wait for a place.
    let hurried = format!("[time]\nfetch_list = 8.0\n{unhurried}");
    std::fs::write(kmds.folder.path("recipes.toml"), hurried).expect("recipes");
    let reloaded = kmds.http.post(kmds.at("/api/v1/recipes/reload")).send();
    assert_eq!(reloaded.await.expect("an answer").status(), 200);
    let link = list.link();
    // One round on an idle machine; where the lists themselves take too long, clients are told so, and ask again.
    kmds.until("clients get no place", async || {
        // Each asks for something else, and holds its place until it has read its reply.
        let asking = (0..8).map(|ahead| ask_for_a_list(&kmds, &link, 2 * ahead));
        let answers = futures_util::future::join_all(asking).await;
        let refused = answers.iter().filter(|(_, head)| is_without_place(head));
        refused.count() > 0
    })
    .await;
}

/// A refusal because no place is free, with the time to wait.
fn is_without_place(head: &str) -> bool {
    match head.split(' ').nth(1).unwrap_or_default() {
        "503" => {
            assert!(head.contains("\r\nretry-after: 10\r\n"), "{head}");
            true
        }
        "200" | "504" => false,
        _ => panic!("{head}"),
    }
}
