//! Another program is told when a song is ready or failed.

use std::time::Duration;

use crate::harness::{PATIENCE, Setup};
use kmds_lab::{Fault, Lab};
use ring::hmac;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A receiver that answers with these statuses in turn, the last one for ever; gives heads and bodies.
async fn receiver(
    statuses: &'static [u16],
) -> (String, mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "http://{}/hook?key=s3cret",
        listener.local_addr().expect("bound")
    );
    let (calls, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.expect("a head"));
            }
            let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next());
            let mut body = vec![0; length.expect("a length").trim().parse().expect("a number")];
            client.read_exact(&mut body).await.expect("a body");
            let status = statuses[number.min(statuses.len() - 1)];
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = calls.send((head, body));
        }
    });
    (url, received)
}

async fn next(
    received: &mut mpsc::UnboundedReceiver<(String, Vec<u8>)>,
) -> (String, Vec<u8>, Value) {
    let (head, body) = tokio::time::timeout(PATIENCE, received.recv())
        .await
        .expect("in time")
        .expect("a call");
    let json = serde_json::from_slice(&body).expect("JSON");
    (head, body, json)
}

#[tokio::test]
async fn a_ready_and_a_failed_song_are_told_signed_and_not_by_the_sites_way_out() {
    let lab = Lab::start().await;
    let good = lab.bandcamp().track("Good").publish();
    let bad = lab.soundcloud().track("bad").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&bad));
    let (url, mut received) = receiver(&[204]).await;
    let setup = Setup::of(&lab).set("KMDS_WEBHOOK__URL", &url);
    let secret = setup.folder.path("secret");
    std::fs::write(&secret, "sesame\n").expect("a secret");
    let kmds = setup
        .set("KMDS_WEBHOOK__SECRET_FILE", &secret.display().to_string())
        .start();
    let (_, reply) = kmds.fetch(&good.link()).await;
    let (head, body, call) = next(&mut received).await;
    assert_eq!(
        (&call["event"], &call["state"]),
        (&"track.ready".into(), &"ready".into()),
        "{call}"
    );
    assert_eq!(
        (&call["site"], &call["title"]),
        (&"bandcamp".into(), &"Good".into())
    );
    assert_eq!(call["path"], reply.songs[0].path);
    assert_eq!(call["form"], "mp3");
    assert!(
        call["at"].as_str().is_some_and(|at| at.ends_with('Z')) && call.get("kind").is_none(),
        "{call}"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"sesame");
    let signed: String = hmac::sign(&key, &body)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(
        head.contains(&format!("x-kmds-signature: sha256={signed}")),
        "{head}"
    );
    kmds.fetch(&bad.link()).await;
    let (_, _, call) = next(&mut received).await;
    assert_eq!(
        (&call["event"], &call["path"]),
        (&"track.failed".into(), &Value::Null),
        "{call}"
    );
    assert!(
        call["kind"].is_string() && call["reason"].is_string(),
        "{call}"
    );
    assert!(
        lab.refused().is_empty(),
        "it did not go through the proxy of the sites"
    );
    assert!(
        !kmds.whole_log().await.contains("s3cret"),
        "the URL's own key is not logged"
    );
}

#[tokio::test]
async fn a_ready_song_is_told_with_its_loudness() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Quiet").seconds(2.0).publish();
    let (url, mut received) = receiver(&[204]).await;
    let kmds = Setup::of(&lab).set("KMDS_WEBHOOK__URL", &url).start();
    kmds.fetch(&song.link()).await;
    let (_, _, call) = next(&mut received).await;
    assert_eq!(call["loudness_db"], -3.5, "{call}");
}

#[tokio::test]
async fn a_call_that_was_not_taken_is_tried_again_and_no_job_waits_for_it() {
    let lab = Lab::start().await;
    let (one, two) = (
        lab.bandcamp().track("One").publish(),
        lab.bandcamp().track("Two").publish(),
    );
    let (url, mut received) = receiver(&[500, 200]).await;
    let kmds = Setup::of(&lab).set("KMDS_WEBHOOK__URL", &url).start();
    assert_eq!(kmds.download(&one.link()).await, one.bytes());
    let (head, first, _) = next(&mut received).await;
    assert!(!head.contains("x-kmds-signature"), "nothing to sign with");
    let song = tokio::time::timeout(Duration::from_secs(20), kmds.download(&two.link())).await;
    assert_eq!(
        song.expect("a download does not wait for the webhook"),
        two.bytes()
    );
    let (_, again, _) = next(&mut received).await;
    assert_eq!(first, again, "the same call");
    assert_eq!(next(&mut received).await.2["title"], "Two");
}

#[tokio::test]
async fn a_receiver_that_is_away_stops_nothing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("One").publish();
    let kmds = Setup::of(&lab)
        .set("KMDS_WEBHOOK__URL", "http://127.0.0.1:1/")
        .start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(kmds.get("/readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_song_that_waits_for_the_next_start_is_not_told_to_have_failed() {
    let lab = Lab::start().await;
    let song = |title: &str| lab.bandcamp().track(title).holds_at(1_000).publish();
    let (runs, waits) = (song("Runs"), song("Waits"));
    let (url, mut received) = receiver(&[200]).await;
    let setup = Setup::of(&lab)
        .patient()
        .set("KMDS_WEBHOOK__URL", &url)
        .set("KMDS_QUEUE__MAX_DOWNLOADS", "1");
    let mut kmds = setup.start();
    let mut events = kmds.get("/api/v1/events").await;
    for song in [&runs, &waits] {
        let (status, _) = kmds.fetch(&song.link()).await;
        assert_eq!(status, 200);
    }
    kmds.until("the first one downloads", async || {
        lab.media_requests(runs.id()) == 1
    })
    .await;
    let stopping = tokio::task::spawn_blocking(move || kmds.terminate());
    let mut told = String::new();
    while let Ok(Some(piece)) = events.chunk().await {
        told.push_str(&String::from_utf8_lossy(&piece));
    }
    assert_eq!(stopping.await.expect("joined"), Some(0));
    assert!(
        told.contains("downloading") && !told.contains("failed"),
        "{told}"
    );
    runs.release();
    waits.release();
    let _kmds = setup.start();
    let mut titles = Vec::new();
    for _ in 0..2 {
        let (_, _, call) = next(&mut received).await;
        assert_eq!(call["event"], "track.ready", "{call}");
        titles.push(call["title"].as_str().expect("a title").to_owned());
    }
    titles.sort();
    assert_eq!(titles, ["Runs", "Waits"]);
}
