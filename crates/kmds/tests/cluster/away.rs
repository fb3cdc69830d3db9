//! NATS is away for a while, under load, and comes back.

use std::time::{Duration, Instant};

use kmds_lab::{Lab, Song, kib};
use serde_json::Value;

use super::harness::Kmds;
use super::harness::replies::Entry;
use super::nats::Nats;
use super::{acquainted, door, node, times_fetched};

/// How long NATS is away. `KMDS_AWAY=30` is the long run.
fn away() -> Duration {
    let told = std::env::var("KMDS_AWAY").ok();
    Duration::from_secs(told.and_then(|text| text.parse().ok()).unwrap_or(3))
}

async fn is_noticed(nodes: &[&Kmds]) {
    for node in nodes {
        node.until("it is noticed", async || {
            let (_, stats) = node.body::<Value>("/api/v1/stats").await;
            stats["cluster"]["connected"] == false
        })
        .await;
    }
}

async fn accepted(node: &Kmds, song: &Song) -> Entry {
    let (status, reply) = node.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    reply.songs[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nats_is_away_clients_are_served_and_all_is_told_when_it_is_back() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let publish = |title: &str| lab.bandcamp().track(title).seconds(60.0).publish();
    let nodes = [1, 2].map(|number| node(&lab, &nats, number).start());
    let door = door(&lab, &nats).start();
    let all = [&nodes[0], &nodes[1], &door];
    acquainted(&all).await;
    let finished = publish("finished");
    let mut served = Vec::new();
    for node in all {
        served.push(accepted(node, &finished).await);
    }
    for (node, entry) in all.iter().zip(&served) {
        assert!(node.whole(entry).await == finished.bytes());
    }
    let running = publish("running");
    running.hold_at(kib(200));
    let mut listeners = Vec::new();
    for node in all {
        let entry = accepted(node, &running).await;
        let mut grown = node.get(&entry.stream()).await;
        let first = grown.chunk().await.expect("bytes").expect("bytes");
        listeners.push((grown, first.to_vec()));
    }
    nats.kill();
    is_noticed(&all).await;
    let end = Instant::now() + away();
    let (mut served_times, mut refused_times) = (0, 0);
    while Instant::now() < end {
        for (node, entry) in all.iter().zip(&served) {
            assert!(node.whole(entry).await == finished.bytes());
            served_times += 1;
        }
        let body = serde_json::json!({ "URL": "https://www.youtube.com/watch?v=nevernever1" });
        let asked = door.http.post(door.at("/fetch")).body(body.to_string());
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let text = answer.text().await.expect("a body");
        assert!(text.contains("cluster_unavailable"), "{text}");
        refused_times += 1;
    }
    eprintln!(
        "away for {:?}: {served_times} songs served, {refused_times} links refused",
        away()
    );
    running.release();
    for (mut grown, mut heard) in listeners {
        while let Some(chunk) = grown.chunk().await.expect("it is not cut") {
            heard.extend_from_slice(&chunk);
        }
        assert!(heard == running.bytes());
    }
    let alone = publish("alone");
    assert!(nodes[0].download(&alone.link()).await == alone.bytes());
    nats.restart();
    acquainted(&all).await;
    is_told(&nodes[0], &alone).await;
    for node in all {
        assert!(node.download(&alone.link()).await == alone.bytes());
    }
    for song in [&finished, &running, &alone] {
        let fetched = times_fetched(&lab, song);
        assert!(fetched < 1.5, "{song:?} was fetched {fetched} times");
    }
}

/// Waits until the node has told that it has the song.
async fn is_told(node: &Kmds, song: &Song) {
    let line = format!("bandcamp.{}", song.id());
    node.until("it is told", async || {
        let log = node.log();
        log.lines()
            .any(|text| text.contains("told NATS") && text.contains(&line))
    })
    .await;
}
