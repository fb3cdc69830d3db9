//! Addresses that a site limits or challenges.

use std::collections::BTreeSet;

use kmds_lab::{Fault, Kind, Lab};
use serde_json::Value;

use super::harness::{Kmds, unhurried_recipes};
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

/// What a listener is told instead of the song: the kind, and the pause in seconds.
async fn not_sent(node: &Kmds, song: &kmds_lab::Song) -> (String, u64) {
    let path = format!("/api/v1/tracks/soundcloud/{}/audio?stream=true", song.id());
    let answer = node.get(&path).await;
    let pause = answer.headers().get("retry-after");
    let pause = pause.and_then(|pause| pause.to_str().ok()?.parse().ok());
    let text = answer.text().await.expect("a body");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let kind = told["kind"].as_str().unwrap_or_default().to_owned();
    (kind, pause.unwrap_or_default())
}

#[tokio::test]
async fn where_all_addresses_are_challenged_for_long_a_song_that_none_asks_for_is_told_so_too() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let recipes = unhurried_recipes().replace("[time]\n", "[time]\nlimit_wait = 5.0\n");
    let one = node(&lab, &nats, 1).recipes(&recipes).start();
    let two = node(&lab, &nats, 2).recipes(&recipes).start();
    let door = door(&lab, &nats).recipes(&recipes).start();
    acquainted(&[&one, &two, &door]).await;
    let known = async |node: &Kmds, name: &str| {
        let song = lab.soundcloud().track(name).seconds(5.0).publish();
        let asked = serde_json::json!({ "url": song.link(), "prefetch": "none" });
        assert_eq!(node.v1_fetch(asked).await.0, 200);
        song
    };
    let challenged = known(&door, "challenged").await;
    let later = known(&door, "later").await;
    let own = known(&one, "own").await;
    lab.inject(Fault::BotCheck.on_pages());
    lab.forget_requests();
    assert_eq!(not_sent(&door, &challenged).await.0, "bot_check");
    let both = [address(1), address(2)].into();
    assert_eq!(seen_from(&lab), both, "each was challenged");
    lab.forget_requests();
    for (asked, song) in [(&door, &later), (&one, &own)] {
        let (kind, pause) = not_sent(asked, song).await;
        assert_eq!(kind, "bot_check", "{}", song.title());
        assert!((500..=601).contains(&pause), "{pause} s");
    }
    assert_eq!(seen_from(&lab), [].into(), "no address asks again");
}

#[tokio::test]
async fn a_node_without_others_that_is_challenged_asks_for_the_next_song_as_a_single_host_does() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = |id: &str| lab.youtube().video(id).seconds(5.0).publish();
    let (challenged, next) = (song("cha11enged1"), song("n3xts0ngid1"));
    let one = node(&lab, &nats, 1).start();
    lab.inject(Fault::BotCheck.on_pages().of(&challenged));
    let (status, told) = one.fetch(&challenged.link()).await;
    assert_eq!((status, &told["Kind"]), (429, &"bot_check".into()));
    assert!(one.download(&next.link()).await == next.bytes());
}
