//! NATS answers, and its bucket of songs does not.

use kmds_lab::Lab;
use serde_json::Value;

use super::harness::Kmds;
use super::nats::Nats;
use super::{acquainted, node, times_fetched};

async fn is_alone(node: &Kmds) {
    node.until("it is noticed", async || {
        let (_, stats) = node.body::<Value>("/api/v1/stats").await;
        stats["cluster"]["connected"] == false
    })
    .await;
}

#[tokio::test]
async fn when_nats_has_lost_its_data_a_song_is_still_fetched_once_and_the_loss_is_told() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let nodes = [1, 2].map(|number| node(&lab, &nats, number).start());
    acquainted(&[&nodes[0], &nodes[1]]).await;
    let before = lab.bandcamp().track("before").seconds(20.0).publish();
    for node in &nodes {
        assert!(node.download(&before.link()).await == before.bytes());
    }
    nats.kill();
    nats.forget();
    for node in &nodes {
        is_alone(node).await;
    }
    nats.restart();
    acquainted(&[&nodes[0], &nodes[1]]).await;
    let after = lab.bandcamp().track("after").seconds(20.0).publish();
    for node in &nodes {
        assert!(node.download(&after.link()).await == after.bytes());
    }
    // The one that was asked first has made the bucket again.
    nodes[0]
        .until("it is told", async || {
            nodes[0].log().contains("does not know the bucket of songs")
        })
        .await;
    for song in [&before, &after] {
        let fetched = times_fetched(&lab, song);
        assert!(fetched < 1.5, "{song:?} was fetched {fetched} times");
    }
}

#[tokio::test]
async fn a_silent_jetstream_keeps_no_place_of_a_site_and_is_told_once() {
    // What a client may not publish NATS does not answer.
    let deny = |_: &_| {
        r#"
            authorization {
                users: [{ user: node, password: n, permissions: { publish: { deny: ["$JS.>", "$KV.>"] } } }]
            }
            no_auth_user: node
        "#
        .to_owned()
    };
    let Some(nats) = Nats::start_with(deny) else {
        return;
    };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1)
        .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
        .start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    // Each song that waited for JetStream would keep the one place for seconds: this would take minutes.
    let songs: Vec<_> = (0..12)
        .map(|number| {
            let track = lab.bandcamp().track(&format!("silent-{number}"));
            track.seconds(5.0).publish()
        })
        .collect();
    let links: Vec<String> = songs.iter().map(kmds_lab::Song::link).collect();
    let all = links.iter().map(|link| one.download(link));
    for (bytes, song) in futures_util::future::join_all(all).await.iter().zip(&songs) {
        assert!(*bytes == song.bytes());
    }
    let ready = one.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    let text = ready.text().await.expect("a body");
    assert!(text.contains("JetStream"), "{text}");
    let told = one
        .log()
        .matches("JetStream of NATS does not answer")
        .count();
    assert_eq!(told, 1, "once");
}
