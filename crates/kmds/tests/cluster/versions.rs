//! Nodes of other versions.

use kmds_lab::Lab;
use serde_json::json;

use super::nats::Nats;
use super::{known_by, node};

#[tokio::test]
async fn a_node_of_another_version_is_passed_by_and_told_of_once() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("alone").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    one.until("it is connected", async || {
        one.log().contains("one node of the cluster")
    })
    .await;
    let site = json!({ "site": "bandcamp", "free": 999, "limited_seconds": null });
    let report = |node: &str, protocol: u32| {
        json!({
            "node": node, "instance": "x", "protocol": protocol, "version": "9.9", "colour": "red",
            "address": "http://127.0.0.1:1", "sites": [site],
        })
        .to_string()
    };
    let tell = |last: &str| {
        nats.publish("kmds.nodes", report("older", 0).as_bytes());
        nats.publish("kmds.nodes", report("newer", 9).as_bytes());
        nats.publish("kmds.nodes", report(last, 1).as_bytes());
    };
    one.until("it hears", async || {
        tell("beside");
        known_by(&one).await == ["beside"]
    })
    .await;
    tell("last");
    one.until("the last one is known", async || {
        known_by(&one).await.contains(&"last".to_owned())
    })
    .await;
    let log = one.whole_log().await;
    assert_eq!(log.matches("update that node").count(), 1, "{log}");
    assert_eq!(log.matches("update this one").count(), 1, "{log}");
    assert!(one.download(&song.link()).await == song.bytes());
}

#[tokio::test]
async fn what_a_later_version_has_noted_of_a_song_is_kept() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("noted").seconds(20.0).publish();
    let later = json!({ "node": "gone", "finished": null, "colour": "red" });
    nats.note(&format!("bandcamp.{}.mp3", song.id()), &later)
        .await;
    let one = node(&lab, &nats, 1).start();
    assert!(one.download(&song.link()).await == song.bytes());
    one.until("it is told", async || {
        !nats.entry(&song).await["finished"].is_null()
    })
    .await;
    let entry = nats.entry(&song).await;
    assert_eq!(
        (&entry["node"], &entry["colour"]),
        (&json!("node-1"), &json!("red"))
    );
    assert_eq!(entry["finished"]["size"], song.bytes().len());
}
