//! What an operator sees of the nodes.

use std::process::Command;

use kmds_lab::{Fault, Lab};

use super::harness::{Folder, Kmds};
use super::nats::Nats;
use super::{acquainted, door, node};

/// What a command of the program says.
fn says(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_kmds"))
        .args(arguments)
        .env_clear()
        .env("HOME", &folder.0)
        .env("KMDS_STATE__DIR", folder.path("state"))
        .env("KMDS_CACHE__DIR", folder.path("cache"))
        .envs(settings.iter().copied())
        .output()
        .expect("the program starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn status_top_metrics_and_doctor_show_the_nodes() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    lab.inject(Fault::Status(429, Some(500)).on_media());
    let song = lab.bandcamp().track("limited").publish();
    assert_eq!(one.fetch(&song.link()).await.0, 200);
    let limited = r#"kmds_cluster_node_limited_seconds{node="node-1",site="bandcamp"}"#;
    let mut text = String::new();
    door.until("the limit is told", async || {
        text = door.get("/metrics").await.text().await.expect("a body");
        let line = text.lines().find_map(|line| line.strip_prefix(limited));
        line.is_some_and(|seconds| seconds.trim() != "0")
    })
    .await;
    has(
        &text,
        &[
            "kmds_cluster_connected 1",
            "kmds_cluster_nodes 1",
            r#"kmds_cluster_node_free{node="node-1",site="youtube"} "#,
        ],
    );
    for command in ["status", "top"] {
        let told = says(&[command, "--server", &door.url], &[]);
        has(
            &told,
            &[
                "node-1",
                &one.url,
                env!("CARGO_PKG_VERSION"),
                "bandcamp limited for",
            ],
        );
    }
    let url = nats.url();
    let settings = [("KMDS_CLUSTER__NATS", url.as_str())];
    has(
        &says(&["doctor"], &settings),
        &[
            "with JetStream; kmds status",
            &format!(
                "node-1 is version {}, {}: reached",
                env!("CARGO_PKG_VERSION"),
                one.url
            ),
            "door is version",
        ],
    );
    nats.kill();
    has(
        &says(&["doctor"], &settings),
        &["does not answer", "cluster.nats"],
    );
}

#[tokio::test]
async fn a_host_of_its_own_tells_nothing_of_nodes() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for path in ["/metrics", "/api/v1/stats"] {
        let text = kmds.get(path).await.text().await.expect("a body");
        assert!(!text.contains("cluster"), "{path}: {text}");
    }
    for command in [&["status", "--server", &kmds.url][..], &["doctor"]] {
        let told = says(command, &[]);
        assert!(!told.contains("node") && !told.contains("nats"), "{told}");
    }
}
