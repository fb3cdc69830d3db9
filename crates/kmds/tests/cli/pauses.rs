//! A site that wants a pause: every place for operators shows it.

use kmds_lab::{Fault, Lab};
use serde_json::Value;

use super::Person;
use super::harness::{FAST_RECIPES, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_site_wants_is_in_stats_metrics_status_and_top() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Limited").seconds(30.0).publish();
    let kmds = Setup::of(&lab).recipes(FAST_RECIPES).start();
    let stats = async || {
        let text = kmds.get("/api/v1/stats").await.text().await;
        let stats: Value = serde_json::from_str(&text.expect("a body")).expect("JSON");
        let lanes = stats["lanes"].as_array().expect("lanes").clone();
        let lane = lanes.into_iter().find(|lane| lane["site"] == "bandcamp");
        lane.expect("Bandcamp's lane")["paused_until"].clone()
    };
    assert_eq!(stats().await, Value::Null);
    lab.inject(Fault::Status(429, Some(240)).on_media());
    kmds.fetch(&song.link()).await;
    kmds.until("the site's pause is kept", async || {
        stats().await.is_string()
    })
    .await;
    let until: jiff::Timestamp = stats()
        .await
        .as_str()
        .expect("a time")
        .parse()
        .expect("RFC 3339");
    let left = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((120..=241).contains(&left), "{left} s");
    let metrics = kmds.get("/metrics").await.text().await.expect("a body");
    let of = |site: &str| {
        let name = format!("kmds_queue_paused_seconds{{site=\"{site}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|value| value.parse::<u64>().ok())
            .expect("a number")
    };
    assert!((120..=241).contains(&of("bandcamp")), "{metrics}");
    assert_eq!(of("youtube"), 0);
    let person = Person::alone();
    for command in ["status", "top"] {
        let said = person.runs(&[command, "--server", &kmds.url]).with(0);
        assert!(said.out.contains("paused for "), "{said:?}");
    }
}
