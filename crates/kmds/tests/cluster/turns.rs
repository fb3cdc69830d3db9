//! Fetches that take turns, and listeners that come first, on every node and wherever they asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use kmds_lab::{Kind, Lab, Song};
use serde_json::Value;

use super::harness::{Kmds, Setup};
use super::nats::Nats;
use super::{acquainted, address, door, node, times_fetched};

/// Songs of a list, none of which waits for a reader.
fn with_whole_lists(setup: Setup) -> Setup {
    setup.set("KMDS_LISTS__PREFETCH", "1000")
}

/// A node that fetches one song at a time.
fn narrow_node(lab: &Lab, nats: &Nats, number: u8) -> Setup {
    with_whole_lists(node(lab, nats, number)).set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
}

fn door_named(lab: &Lab, nats: &Nats, name: &str) -> Setup {
    with_whole_lists(door(lab, nats)).set("KMDS_CLUSTER__NODE", name)
}

/// How many songs of the site wait at the node.
async fn waiting(node: &Kmds) -> u64 {
    let (_, stats) = node.body::<Value>("/api/v1/stats").await;
    let queues = stats["queues"].as_array().cloned().unwrap_or_default();
    let of_site = queues.iter().find(|queue| queue["site"] == "bandcamp");
    of_site.map_or(0, |queue| queue["waiting"].as_u64().unwrap_or(0))
}

/// For each address the songs in the order in which it asked for their audio.
fn orders(lab: &Lab) -> BTreeMap<IpAddr, Vec<String>> {
    let mut orders: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for seen in lab.requests() {
        if let (Kind::Media, Some(song)) = (seen.kind, seen.song) {
            let order = orders.entry(seen.from).or_default();
            if !order.contains(&song) {
                order.push(song);
            }
        }
    }
    orders
}

/// The places of these songs in the first node's order, once it has fetched so many songs.
async fn places(lab: &Lab, songs: &[Song], all: usize) -> Vec<usize> {
    let order = || orders(lab).remove(&address(1)).unwrap_or_default();
    let is_done = |_: &[kmds_lab::Seen]| order().len() == all;
    lab.until(is_done).await;
    let order = order();
    let place = |song: &Song| order.iter().position(|id| id == song.id());
    let places = songs.iter().map(|song| place(song).expect("fetched") + 1);
    places.collect()
}

#[tokio::test]
async fn a_short_list_is_not_behind_a_long_one_of_the_same_door() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let long = lab.bandcamp().album(12).seconds(1.0).publish();
    let short = lab.bandcamp().album(2).seconds(1.0).publish();
    let one = narrow_node(&lab, &nats, 1).start();
    let door = door_named(&lab, &nats, "door").start();
    acquainted(&[&one, &door]).await;
    // Whichever of them comes first keeps the node's place.
    long.songs().iter().for_each(|song| song.hold_at(0));
    assert_eq!(door.fetch(&long.link()).await.0, 200);
    one.until("the door has asked for all it may", async || {
        waiting(&one).await == 7
    })
    .await;
    assert_eq!(door.fetch(&short.link()).await.0, 200);
    long.songs().iter().for_each(|song| song.release());
    let places = places(&lab, short.songs(), 14).await;
    assert!(places.iter().all(|place| *place < 10), "{places:?}");
}

#[tokio::test]
async fn short_lists_are_not_behind_a_long_one_of_another_door() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let long = lab.bandcamp().album(12).seconds(1.0).publish();
    let [short, own] = [2, 2].map(|count| lab.bandcamp().album(count).seconds(1.0).publish());
    let one = narrow_node(&lab, &nats, 1).start();
    let doors = ["door-1", "door-2"].map(|name| door_named(&lab, &nats, name).start());
    acquainted(&[&one, &doors[0], &doors[1]]).await;
    // Whichever of them comes first keeps the node's place.
    long.songs().iter().for_each(|song| song.hold_at(0));
    assert_eq!(doors[0].fetch(&long.link()).await.0, 200);
    let all_wait = async |count: u64| {
        one.until("all wait", async || waiting(&one).await == count)
            .await;
    };
    all_wait(7).await;
    assert_eq!(doors[1].fetch(&short.link()).await.0, 200);
    assert_eq!(one.fetch(&own.link()).await.0, 200);
    all_wait(11).await;
    long.songs().iter().for_each(|song| song.release());
    let songs = [short.songs(), own.songs()].concat();
    let places = places(&lab, &songs, 16).await;
    assert!(places.iter().all(|place| *place < 9), "{places:?}");
}

#[tokio::test]
async fn a_song_is_at_the_front_of_a_node_once_a_client_listens_at_a_door() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let long = lab.bandcamp().album(8).seconds(1.0).publish();
    let short = lab.bandcamp().album(4).seconds(1.0).publish();
    let one = narrow_node(&lab, &nats, 1).start();
    let doors = ["door-1", "door-2"].map(|name| door_named(&lab, &nats, name).start());
    acquainted(&[&one, &doors[0], &doors[1]]).await;
    // Whichever of them comes first keeps the node's place.
    long.songs().iter().for_each(|song| song.hold_at(0));
    assert_eq!(doors[0].fetch(&long.link()).await.0, 200);
    let all_wait = async |count: u64| {
        one.until("all wait", async || waiting(&one).await == count)
            .await;
    };
    all_wait(7).await;
    let (status, reply) = doors[1].fetch(&short.link()).await;
    assert_eq!(status, 200, "{reply}");
    all_wait(11).await;
    let last = &short.songs()[3];
    let listens = async { doors[1].get(&reply.songs[3].stream()).await.bytes().await };
    let released = async {
        one.until("it is told", async || {
            one.log().contains("a client of another node")
        })
        .await;
        long.songs().iter().for_each(|song| song.release());
    };
    let (heard, ()) = tokio::join!(listens, released);
    assert!(heard.expect("whole") == last.bytes());
    let places = places(&lab, std::slice::from_ref(last), 12).await;
    assert_eq!(places, [2], "in its turn it would be the eighth");
}

#[tokio::test]
async fn a_song_with_a_listener_at_a_door_passes_those_that_only_wait_at_other_nodes() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let list = lab.bandcamp().album(3).seconds(1.0).publish();
    let song = lab.bandcamp().track("heard").seconds(1.0).publish();
    list.songs().iter().for_each(|song| song.hold_at(0));
    let nodes = [1, 2].map(|number| narrow_node(&lab, &nats, number).start());
    let door = door_named(&lab, &nats, "door").set("KMDS_QUEUE__MAX_DOWNLOADS", "3");
    let door = door.start();
    acquainted(&[&nodes[0], &nodes[1], &door]).await;
    assert_eq!(door.fetch(&list.link()).await.0, 200);
    door.until("all places are taken", async || {
        waiting(&nodes[0]).await + waiting(&nodes[1]).await == 1
    })
    .await;
    let link = song.link();
    let listens = door.download(&link);
    let released = async {
        door.until("the node is told of it", async || {
            let told = |node: &Kmds| node.log().contains("a client of another node");
            nodes.iter().any(told)
        })
        .await;
        list.songs().iter().for_each(|song| song.release());
    };
    let (heard, ()) = tokio::join!(listens, released);
    assert!(heard == song.bytes());
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
    let nodes = [1, 2, 3].map(|number| narrow_node(&lab, &nats, number).start());
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
    let songs = || lists.iter().flat_map(|list| list.songs());
    let is_begun = |_: &[kmds_lab::Seen]| {
        let begun = orders(&lab).into_values().map(|order| order.len());
        begun.sum::<usize>() >= 5 * count
    };
    lab.until(is_begun).await;
    for (number, (reply, list)) in replies.iter().zip(&lists).enumerate() {
        for (entry, song) in reply.songs.iter().zip(list.songs()) {
            assert!(nodes[number % 3].whole(entry).await == song.bytes());
        }
    }
    for song in songs() {
        let times = times_fetched(&lab, song);
        assert!(times < 1.5, "{}: {times} times", song.title());
    }
    let list_of = |id: &String| {
        let has =
            |list: &kmds_lab::bandcamp::Album| list.songs().iter().any(|song| song.id() == *id);
        lists.iter().position(has).expect("of a list")
    };
    for (address, order) in orders(&lab) {
        let order: Vec<usize> = order.iter().map(list_of).collect();
        assert_in_turn(&order, address);
    }
}

/// As long as songs of several lists wait, none of the lists is two songs ahead of another.
fn assert_in_turn(order: &[usize], address: IpAddr) {
    let all = |list: usize| order.iter().filter(|one| **one == list).count();
    let mut done: BTreeMap<usize, usize> = order.iter().map(|list| (*list, 0)).collect();
    for list in order {
        *done.entry(*list).or_default() += 1;
        let left = done.iter().filter(|(list, done)| **done < all(**list));
        let counts: Vec<usize> = left.map(|(_, done)| *done).collect();
        let (most, least) = (counts.iter().max(), counts.iter().min());
        let ahead = most.zip(least).map_or(0, |(most, least)| most - least);
        assert!(ahead <= 2, "{address}: {order:?}");
    }
}
