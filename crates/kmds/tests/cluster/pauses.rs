//! What a node waits for: its site, another node, or a place.

use kmds_lab::{Fault, Lab};
use serde_json::Value;

use super::harness::{Kmds, unhurried_recipes};
use super::nats::Nats;
use super::{
    acquainted, address, asked_from, door, held_song, node, roomy_node, seen_from, times_fetched,
};

/// How long the client is told to wait.
async fn retry_after(node: &Kmds, link: &str) -> u64 {
    let body = serde_json::json!({ "URL": link }).to_string();
    let answer = node.http.post(node.at("/fetch")).body(body).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 429);
    let told = answer.headers().get("retry-after").expect("a pause");
    told.to_str().expect("text").parse().expect("seconds")
}

#[tokio::test]
async fn when_each_address_is_limited_the_shortest_pause_counts() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let link = lab.bandcamp().track("link").seconds(5.0).publish().link();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    let song = lab.soundcloud().track("song").seconds(20.0).publish();
    let of_song = |seconds| Fault::Status(429, Some(seconds)).on_media().of(&song);
    lab.inject(of_song(2).only_from(address(1)).first(1));
    lab.inject(of_song(300).only_from(address(2)));
    assert!(one.download(&song.link()).await == song.bytes());
    lab.clear_faults();
    let limited = |seconds| Fault::Status(429, Some(seconds)).on_pages();
    lab.inject(limited(600).only_from(address(1)));
    lab.inject(limited(9).only_from(address(2)));
    for _ in 0..2 {
        let told = retry_after(&door, &link).await;
        assert!(told <= 10, "{told} s");
    }
}

/// What the client is told instead of a song: the kind, and whether it names a pause.
async fn refused(node: &Kmds, link: &str) -> (String, bool) {
    let body = serde_json::json!({ "URL": link }).to_string();
    let answer = node.http.post(node.at("/fetch")).body(body).send().await;
    let answer = answer.expect("an answer");
    let has_pause = answer.headers().contains_key("retry-after");
    let told: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    (
        told["Kind"].as_str().unwrap_or_default().to_owned(),
        has_pause,
    )
}

#[tokio::test]
async fn an_address_that_is_refused_a_page_is_asked_for_no_song_and_no_page_until_its_pause_ends() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = |name: &str| lab.bandcamp().track(name).seconds(5.0).publish();
    let one = roomy_node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    let limit = |seconds| {
        Fault::Status(429, Some(seconds))
            .on_pages()
            .only_from(address(1))
    };
    lab.inject(limit(600).first(1));
    let first = song("first");
    assert!(door.download(&first.link()).await == first.bytes());
    assert!(asked_from(2)(&lab.requests()) && !asked_from(1)(&lab.requests()));
    lab.forget_requests();
    let own = song("own");
    assert!(one.download(&own.link()).await == own.bytes());
    assert!(!seen_from(&lab).contains(&address(1)), "its pause goes on");
}

#[tokio::test]
async fn an_address_that_was_refused_a_page_is_asked_again_after_its_pause() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let limit = Fault::Status(429, Some(2)).on_pages();
    lab.inject(limit.only_from(address(1)).first(1));
    let mut number = 0;
    one.until("it is asked again", async || {
        number += 1;
        let song = lab.bandcamp().track(&format!("song-{number}"));
        let song = song.seconds(1.0).publish();
        assert!(one.download(&song.link()).await == song.bytes());
        asked_from(1)(&lab.requests())
    })
    .await;
    assert!(number > 1, "not before its pause");
}

#[tokio::test]
async fn where_a_site_challenges_each_address_once_the_challenge_is_told_and_no_address_asks_again()
{
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    lab.inject(Fault::BotCheck.on_pages());
    let told = ("bot_check".to_owned(), true);
    let song = |name: &str| lab.bandcamp().track(name).seconds(5.0).publish();
    assert_eq!(refused(&door, &song("first").link()).await, told);
    assert_eq!(seen_from(&lab), [address(1), address(2)].into());
    lab.forget_requests();
    for asked in [&door, &one] {
        let name = format!("of-{}", asked.at(""));
        assert_eq!(refused(asked, &song(&name).link()).await, told);
    }
    assert_eq!(seen_from(&lab), [].into(), "the pauses go on");
}

#[tokio::test]
async fn a_song_that_waits_while_the_site_limits_all_nodes_waits_no_longer_than_they_do() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let list = lab.bandcamp().album(5).seconds(1.0).publish();
    let recipes = unhurried_recipes().replace("limit_pause = 0.2", "limit_pause = 60.0");
    let one = node(&lab, &nats, 1).recipes(&recipes).start();
    // More songs at once than one window lets through: each window most of them are refused.
    let door = door(&lab, &nats)
        .recipes(&recipes)
        .set("KMDS_QUEUE__MAX_DOWNLOADS", "4")
        .set("KMDS_LISTS__PREFETCH", "1000")
        .start();
    acquainted(&[&one, &door]).await;
    lab.limit_each_address(1, std::time::Duration::from_secs(1));
    let (status, reply) = door.fetch(&list.link()).await;
    assert_eq!(status, 200, "{reply}");
    for (entry, song) in reply.songs.iter().zip(list.songs()) {
        assert!(door.whole(entry).await == song.bytes());
    }
}

#[tokio::test]
async fn a_song_waits_for_a_node_that_the_site_limits_before_it_fails_for_what_another_was_told() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = |name: &str| lab.soundcloud().track(name).seconds(5.0).publish();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let (first, second) = (song("first"), song("second"));
    let refusal = |status, wait| Fault::Status(status, wait).on_media();
    lab.inject(refusal(429, Some(5)).of(&first).only_from(address(2)));
    lab.inject(refusal(403, None).of(&second).only_from(address(1)));
    assert!(two.download(&first.link()).await == first.bytes());
    assert!(one.download(&second.link()).await == second.bytes());
}

#[tokio::test]
async fn a_song_that_every_address_is_refused_fails_although_their_pauses_never_end_together() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = |name: &str| lab.soundcloud().track(name).seconds(5.0).publish();
    let recipes = unhurried_recipes().replace("[time]\n", "[time]\nlimit_wait = 5.0\n");
    let one = node(&lab, &nats, 1).recipes(&recipes).start();
    let two = node(&lab, &nats, 2).recipes(&recipes).start();
    let door = door(&lab, &nats).recipes(&recipes).start();
    acquainted(&[&one, &two, &door]).await;
    let (before, refused) = (song("before"), song("refused"));
    let limited = |seconds| Fault::Status(429, Some(seconds)).on_media();
    lab.inject(limited(2).of(&before).only_from(address(2)));
    lab.inject(limited(4).of(&refused));
    // The pause of the second address begins first: from now on one of the two always waits.
    assert!(two.download(&before.link()).await == before.bytes());
    let (status, reply) = door.fetch(&refused.link()).await;
    assert_eq!(status, 200, "{reply}");
    let track = format!("/api/v1/tracks/soundcloud/{}", refused.id());
    door.until("the song has failed", async || {
        let (_, told) = door.body::<Value>(&track).await;
        told["state"] == "failed" && told["failure"]["kind"] == "rate_limited"
    })
    .await;
}

#[tokio::test]
async fn a_link_that_a_site_answers_late_is_asked_from_one_address() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("late").seconds(5.0).publish();
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    lab.inject(Fault::NoAnswer.on_pages().first(1));
    let asking = async { door.fetch(&song.link()).await };
    let late = async {
        lab.until(|seen| !seen.is_empty()).await;
        // Longer than another node is left out of a song.
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        seen_from(&lab).len()
    };
    tokio::select! {
        reply = asking => panic!("it waits for the site: {reply:?}"),
        seen = late => assert_eq!(seen, 1, "one address asked"),
    }
}

/// Whether one song of the node waits or runs in this lane.
async fn is_in(node: &Kmds, lane: &str, how: &str) -> bool {
    let (_, stats) = node.body::<Value>("/api/v1/stats").await;
    let queues = stats["queues"].as_array().cloned().unwrap_or_default();
    queues
        .iter()
        .any(|queue| queue["site"] == lane && queue[how] == 1)
}

#[tokio::test]
async fn a_song_that_waits_for_a_place_at_one_node_is_not_waited_for_by_others() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let long = held_song(&lab, "long", 100_000);
    let song = lab.bandcamp().track("wanted").seconds(20.0).publish();
    song.hold_at(50_000);
    let one = node(&lab, &nats, 1)
        .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
        .start();
    let mut two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    assert_eq!(two.fetch(&song.link()).await.0, 200);
    lab.until(asked_from(2)).await;
    assert_eq!(one.fetch(&song.link()).await.0, 200);
    one.until("it waits for two", async || {
        is_in(&one, "relays", "running").await
    })
    .await;
    assert_eq!(one.fetch(&long.link()).await.0, 200);
    lab.until(asked_from(1)).await;
    two.kill();
    song.release();
    one.until("it waits for a place", async || {
        is_in(&one, "bandcamp", "waiting").await
    })
    .await;
    let three = node(&lab, &nats, 3).start();
    acquainted(&[&one, &three]).await;
    assert!(three.download(&song.link()).await == song.bytes());
    assert!(times_fetched(&lab, &song) < 2.5);
    long.release();
}
