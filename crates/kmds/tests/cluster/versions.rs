//! Nodes of other versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use kmds_lab::Lab;
use serde_json::json;

use super::harness::{Folder, Kmds, Setup};
use super::nats::Nats;
use super::{acquainted, door, held_song, known_by, node, times_fetched};

/// A binary of an earlier version; `None`, and a line on standard error, where there is none.
fn earlier() -> Option<PathBuf> {
    let binary = std::env::var_os("KMDS_OLD_BIN");
    if binary.is_none() {
        eprintln!(
            "SKIPPED: there is no earlier kmds (KMDS_OLD_BIN), built with the feature cluster"
        );
    }
    binary.map(PathBuf::from)
}

/// The node run by this binary, with the settings that the binary knows.
fn by(binary: &Path, setup: Setup) -> Setup {
    let example = Command::new(binary)
        .args(["config", "example"])
        .env_clear()
        .output();
    let example = example.expect("the binary runs").stdout;
    let knows_drives = String::from_utf8_lossy(&example).contains("shared_drive");
    let setup = setup.by(binary.to_owned());
    if knows_drives {
        setup
    } else {
        setup.without("KMDS_CLUSTER__SHARED_DRIVE")
    }
}

async fn is_ready(node: &Kmds) {
    let ready = node.get("/readyz").await;
    let (status, text) = (ready.status(), ready.text().await.expect("a body"));
    assert_eq!(status, 200, "{text}");
}

/// Each node brings songs that no other was asked for, and the songs of the others, whole and once.
async fn bring_songs(lab: &Lab, nodes: &[&Kmds]) {
    for (at, first) in nodes.iter().enumerate() {
        let songs = [
            lab.bandcamp()
                .track(&format!("by-{at}"))
                .seconds(20.0)
                .publish(),
            lab.youtube()
                .video(&format!("by{at}songid00"))
                .seconds(20.0)
                .publish(),
        ];
        for song in &songs {
            assert!(first.download(&song.link()).await == song.bytes());
            for other in nodes {
                assert!(other.download(&song.link()).await == song.bytes());
            }
            let fetched = times_fetched(lab, song);
            assert!(fetched < 1.5, "the site sent it {fetched} times");
        }
        // The first version does not tell which formats SoundCloud has of a song that it knows: another node may ask it
        // for another form, which is then made from a second download.
        let two_forms = lab
            .soundcloud()
            .track(&format!("by-{at}"))
            .seconds(20.0)
            .publish();
        assert!(first.download(&two_forms.link()).await == two_forms.bytes());
        for other in nodes {
            assert!(other.download(&two_forms.link()).await.len() > 100_000);
        }
        let held = held_song(lab, &format!("held-by-{at}"), 100_000);
        let (status, reply) = first.fetch(&held.link()).await;
        assert_eq!(status, 200, "{reply}");
        let mut heard = Vec::new();
        for node in nodes {
            let (_, reply) = node.fetch(&held.link()).await;
            let mut grown = node.get(&reply.songs[0].stream()).await;
            let first = grown.chunk().await.expect("bytes").expect("bytes").to_vec();
            heard.push((grown, first));
        }
        held.release();
        for (mut grown, mut bytes) in heard {
            while let Some(chunk) = grown.chunk().await.expect("it is not cut") {
                bytes.extend_from_slice(&chunk);
            }
            assert!(bytes == held.bytes());
        }
        let fetched = times_fetched(lab, &held);
        assert!(fetched < 1.5, "the site sent it {fetched} times");
    }
}

#[tokio::test]
async fn a_node_of_an_earlier_version_works_beside_this_one_on_a_drive_each_and_on_one() {
    let (Some(binary), Some(nats)) = (earlier(), Nats::start()) else {
        return;
    };
    for shares in [false, true] {
        let (lab, drive) = (Lab::start().await, Folder::new());
        let on = |setup: Setup| {
            let named = setup.set("KMDS_CLUSTER__NAME", if shares { "one" } else { "each" });
            if !shares {
                return named;
            }
            let named = named.set("KMDS_CLUSTER__SHARED_DRIVE", "true");
            named.set("KMDS_CACHE__DIR", &drive.0.display().to_string())
        };
        let old = by(&binary, on(node(&lab, &nats, 1))).start();
        let new = on(node(&lab, &nats, 2)).start();
        let door = on(door(&lab, &nats)).start();
        acquainted(&[&old, &new, &door]).await;
        bring_songs(&lab, &[&old, &new, &door]).await;
        for node in [&old, &new, &door] {
            is_ready(node).await;
            let log = node.whole_log().await;
            for line in log
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            {
                eprintln!("shared {shares}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn beside_an_earlier_version_that_signs_otherwise_a_node_works_alone_and_says_so() {
    let (Some(binary), Some(nats)) = (earlier(), Nats::start()) else {
        return;
    };
    let (lab, files) = (Lab::start().await, Folder::new());
    let token = files.path("cluster.token");
    std::fs::write(&token, "the-secret-of-all-nodes\n").expect("a file");
    let with = |setup: Setup| setup.set("KMDS_CLUSTER__TOKEN_FILE", &token.display().to_string());
    let old = by(&binary, with(node(&lab, &nats, 1))).start();
    let new = with(node(&lab, &nats, 2)).start();
    new.until("it says so", async || {
        new.log().contains("of an earlier version")
    })
    .await;
    for (at, node) in [&old, &new].into_iter().enumerate() {
        assert!(known_by(node).await.is_empty());
        is_ready(node).await;
        let song = lab
            .bandcamp()
            .track(&format!("alone-{at}"))
            .seconds(20.0)
            .publish();
        for listener in [&old, &new] {
            assert!(listener.download(&song.link()).await == song.bytes());
        }
    }
    let log = new.whole_log().await;
    assert_eq!(log.matches("of an earlier version").count(), 1, "once");
}

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
