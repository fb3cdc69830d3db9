//! A queue that a bot plays from: operators see it wherever they look.

use kmds_lab::{Lab, Song};
use serde_json::{Value, json};

use super::Person;
use super::harness::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_a_bot_is_a_row_of_stats_metrics_status_and_top() {
    let lab = Lab::start().await;
    let songs: Vec<Song> = (0..4)
        .map(|number| lab.bandcamp().track(&format!("Song {number}")).publish())
        .collect();
    let links: Vec<String> = songs.iter().map(Song::link).collect();
    let kmds = Setup::of(&lab).start();
    let person = Person::alone();
    let status = person.runs(&["status", "--server", &kmds.url]).with(0);
    assert!(!status.out.contains("plays"), "{status:?}");
    let body = json!({"songs": links, "ahead": 2}).to_string();
    let queue = kmds.at("/api/v1/queues/guild-1");
    let asking = kmds.http.put(&queue).body(body);
    let asking = asking.header("content-type", "application/json");
    assert_eq!(asking.send().await.expect("an answer").status(), 200);
    let mut row = Value::Null;
    kmds.until("two songs are ready", async || {
        let text = kmds.get("/api/v1/stats").await.text().await;
        let mut stats: Value = serde_json::from_str(&text.expect("a body")).expect("JSON");
        row = stats["play_queues"][0].take();
        row["ready"] == 2
    })
    .await;
    assert!(row["until"].is_string());
    row.as_object_mut().expect("a row").remove("until");
    assert_eq!(
        row,
        json!({"name": "guild-1", "begun": 0, "total": 4, "ahead": 2, "ready": 2})
    );
    let metrics = async || kmds.get("/metrics").await.text().await.expect("a body");
    let text = metrics().await;
    for line in [
        "kmds_play_queue_left{queue=\"guild-1\"} 4\n",
        "kmds_play_queue_ready{queue=\"guild-1\"} 2\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for command in ["status", "top"] {
        let said = person.runs(&[command, "--server", &kmds.url]).with(0);
        let row = said.out.lines().find(|line| line.contains("guild-1"));
        let words: Vec<&str> = row.expect("a row").split_whitespace().collect();
        assert_eq!(words, ["guild-1", "0", "of", "4", "2", "of", "2"]);
    }
    let ending = kmds.http.delete(&queue).send().await;
    assert_eq!(ending.expect("an answer").status(), 204);
    assert!(!metrics().await.contains("guild-1"));
}
