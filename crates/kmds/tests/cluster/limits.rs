//! Addresses that a site limits or challenges, and requesters that take turns.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use kmds_lab::{Fault, Kind, Lab, Song};
use serde_json::Value;

use super::nats::Nats;
use super::{acquainted, address, asked_from, door, node, seen_from, times_fetched};

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

/// Five lists, of which each node is asked for one or two: `KMDS_LONG` makes them a thousand songs.
#[tokio::test]
async fn lists_of_five_requesters_come_once_each_and_in_turn_on_every_node() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let count = if std::env::var_os("KMDS_LONG").is_some() {
        200
    } else {
        5
    };
    let lists: Vec<_> = (0..5)
        .map(|_| lab.bandcamp().album(count).seconds(1.0).publish())
        .collect();
    let start = |number| {
        node(&lab, &nats, number)
            .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
            .set("KMDS_LISTS__PREFETCH", "1000")
            .start()
    };
    let nodes = [1, 2, 3].map(start);
    acquainted(&nodes.iter().collect::<Vec<_>>()).await;
    // The first of each node's songs keeps its place until both lists wait.
    let firsts: Vec<_> = lists.iter().map(|list| list.songs()[0].clone()).collect();
    firsts.iter().for_each(|song| song.hold_at(0));
    let replies = join_all(lists.iter().enumerate().map(async |(number, list)| {
        let (status, reply) = nodes[number % 3].fetch(&list.link()).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }))
    .await;
    firsts.iter().for_each(|song| song.release());
    for (number, (reply, list)) in replies.iter().zip(&lists).enumerate() {
        for (entry, song) in reply.songs.iter().zip(list.songs()) {
            assert!(nodes[number % 3].whole(entry).await == song.bytes());
        }
    }
    for song in lists.iter().flat_map(|list| list.songs()) {
        let times = times_fetched(&lab, song);
        assert!(times < 1.5, "{}: {times} times", song.title());
    }
    let mut asked: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for seen in lab
        .requests()
        .iter()
        .filter(|seen| seen.kind == Kind::Media)
    {
        let is_seen = |song: &Song| Some(song.id()) == seen.song.as_deref();
        if let Some(list) = lists
            .iter()
            .position(|list| list.songs().iter().any(is_seen))
        {
            asked.entry(seen.from).or_default().push(list);
        }
    }
    // A node with two lists has begun the second one long before the end of the first.
    for node in [1, 2] {
        let order = &asked[&address(node)];
        let begun = &order[..order.len().min(4)];
        assert!(begun.iter().any(|list| list != &begun[0]), "{order:?}");
    }
}
