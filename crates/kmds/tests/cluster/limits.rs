//! Addresses that a site limits or challenges.

use std::collections::BTreeSet;

use kmds_lab::{Fault, Kind, Lab};
use serde_json::Value;

use super::nats::Nats;
use super::{acquainted, address, asked_from, door, node, seen_from};

#[tokio::test]
async fn an_address_that_was_limited_is_asked_again_after_its_pause() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let song = lab.bandcamp().track("limited").seconds(10.0).publish();
    let fault = Fault::Status(429, Some(2)).on_media();
    lab.inject(fault.only_from(address(1)).first(1));
    lab.forget_requests();
    assert!(one.download(&song.link()).await == song.bytes());
    let seen = lab.requests();
    let media = seen.iter().filter(|seen| seen.kind == Kind::Media);
    let from: Vec<_> = media.map(|seen| seen.from).collect();
    assert_eq!(
        from,
        [address(1), address(2)],
        "no other request lies between"
    );
    let mut number = 0;
    one.until("it is asked again", async || {
        number += 1;
        lab.forget_requests();
        let next = lab
            .bandcamp()
            .track(&format!("next-{number}"))
            .seconds(1.0)
            .publish();
        assert!(one.download(&next.link()).await == next.bytes());
        asked_from(1)(&lab.requests())
    })
    .await;
}

#[tokio::test]
async fn where_all_addresses_are_refused_each_was_tried_and_the_kind_and_the_time_are_told() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("refused").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    lab.inject(Fault::Status(429, Some(77)).on_pages());
    for asked in [&door, &one] {
        let body = serde_json::json!({ "URL": song.link() }).to_string();
        let answer = asked.http.post(asked.at("/fetch")).body(body).send().await;
        let answer = answer.expect("an answer");
        let wait = answer.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse::<u64>();
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (status.as_u16(), &told["Kind"]),
            (429, &Value::from("rate_limited"))
        );
        assert!((70..=77).contains(&wait.expect("seconds")), "{text}");
    }
    let from: BTreeSet<_> = [address(1), address(2)].into();
    assert_eq!(seen_from(&lab), from, "each address was tried");
    let text = door.get("/metrics").await.text().await.expect("a body");
    for line in ["kmds_cluster_connected 1", "kmds_cluster_nodes 2"] {
        assert!(text.contains(line), "{text}");
    }
}
