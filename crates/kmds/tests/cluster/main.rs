//! Several hosts as one: nodes as processes, each with an address of its own at the sites, and a real NATS between
//! them.

#[path = "../networks/cable.rs"]
mod cable;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../sick_drive/drive.rs"]
mod sick;

mod apart;
mod away;
mod bucket;
mod credentials;
mod drive;
mod everywhere;
mod gate;
mod guarded;
mod kills;
mod limits;
mod line;
mod midway;
mod nats;
mod pauses;
mod relayed;
mod replicas;
mod room;
mod shown;
mod turns;
mod versions;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use gate::Gate;
use harness::{Kmds, Setup};
use kmds_lab::{Fault, Lab, Song};
use nats::Nats;
use rustix::process::Signal;
use serde_json::Value;

/// The node's address at the sites.
fn address(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 7, number])
}

fn among(setup: Setup, urls: &str, name: &str) -> Setup {
    let recipes = harness::unhurried_recipes();
    setup
        .recipes(&recipes)
        .set("KMDS_CLUSTER__NATS", urls)
        .set("KMDS_CLUSTER__NODE", name)
        .set("KMDS_CLUSTER__SHARED_DRIVE", "false")
}

/// A node that fetches from all sites, by this address.
fn node(lab: &Lab, nats: &Nats, number: u8) -> Setup {
    node_at(lab, &nats.url(), number)
}

/// The same, where these servers are NATS.
fn node_at(lab: &Lab, urls: &str, number: u8) -> Setup {
    among(Setup::of(lab), urls, &format!("node-{number}"))
        .set("KMDS_EGRESS__SOURCE_ADDRESS", &address(number).to_string())
}

/// A node that fetches from no site.
fn door(lab: &Lab, nats: &Nats) -> Setup {
    door_of(Setup::of(lab), &nats.url())
}

fn door_of(setup: Setup, urls: &str) -> Setup {
    ["YOUTUBE", "SOUNDCLOUD", "BANDCAMP"]
        .iter()
        .fold(among(setup, urls, "door"), |setup, site| {
            setup.set(&format!("KMDS_{site}__ENABLED"), "false")
        })
}

fn signal(node: &Kmds, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(node.pid().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, signal).expect("it takes signals");
}

/// Waits until each of these nodes knows all others.
async fn acquainted(nodes: &[&Kmds]) {
    for node in nodes {
        node.until("all nodes are there", async || {
            known_by(node).await.len() == nodes.len() - 1
        })
        .await;
    }
}

async fn known_by(node: &Kmds) -> Vec<String> {
    let (_, stats) = node.body::<Value>("/api/v1/stats").await;
    let nodes = stats["cluster"]["nodes"].as_array().cloned();
    nodes
        .unwrap_or_default()
        .iter()
        .filter_map(|node| node["node"].as_str().map(str::to_owned))
        .collect()
}

fn seen_from(lab: &Lab) -> BTreeSet<IpAddr> {
    lab.requests().iter().map(|seen| seen.from).collect()
}

/// Bytes of audio that a site sent for the song, in songs.
fn times_fetched(lab: &Lab, song: &Song) -> f64 {
    lab.media_bytes_sent(song.id()) as f64 / song.bytes().len() as f64
}

/// A song of a minute whose bytes stop at this place until it is released.
fn held_song(lab: &Lab, title: &str, after: u64) -> Song {
    let song = lab.bandcamp().track(title).seconds(60.0);
    song.holds_at(after).publish()
}

#[tokio::test]
async fn a_door_serves_songs_that_other_nodes_fetch_and_is_seen_at_no_site() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let songs = [
        lab.bandcamp().track("one").seconds(20.0).publish(),
        lab.soundcloud().track("two").seconds(20.0).publish(),
        lab.youtube().video("thr33songid").seconds(20.0).publish(),
    ];
    let one = node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    for song in &songs {
        let (status, reply) = door.fetch(&song.link()).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply.songs[0].metadata.title, song.title());
        let grown = door.get(&reply.songs[0].stream()).await;
        assert_eq!(grown.status(), 200);
        assert!(grown.bytes().await.expect("whole") == song.bytes());
        assert!(door.whole(&reply.songs[0]).await == song.bytes());
        let cover = door
            .get(&format!("/api/v1/tracks/{}/cover", reply.songs[0].url))
            .await;
        drop(cover);
    }
    let own: BTreeSet<IpAddr> = [address(1), address(2)].into();
    let seen = seen_from(&lab);
    assert!(seen.is_subset(&own), "{seen:?}");
    assert_eq!(door.published().len(), 6, "each song with its sidecar");
}

#[tokio::test]
async fn a_song_that_a_hundred_clients_ask_three_nodes_for_at_once_is_fetched_once() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("wanted").seconds(60.0).publish();
    let nodes = [1, 2, 3].map(|number| node(&lab, &nats, number).start());
    acquainted(&nodes.iter().collect::<Vec<_>>()).await;
    let link = song.link();
    let clients = (0..100).map(|client| {
        let node = &nodes[client % nodes.len()];
        node.download(&link)
    });
    for bytes in futures_util::future::join_all(clients).await {
        assert!(bytes == song.bytes());
    }
    let fetched = times_fetched(&lab, &song);
    assert!(fetched < 1.5, "the site sent it {fetched} times");
    let from: BTreeSet<IpAddr> = lab
        .requests()
        .iter()
        .filter(|seen| seen.kind == kmds_lab::Kind::Media)
        .map(|seen| seen.from)
        .collect();
    assert_eq!(from.len(), 1, "one node asked for its audio");
}

#[tokio::test]
async fn a_song_goes_on_by_another_node_when_the_one_that_fetches_it_is_killed() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = held_song(&lab, "long", 100_000);
    let mut nodes = [1, 2].map(|number| node(&lab, &nats, number).start());
    let door = door(&lab, &nats).start();
    acquainted(&[&nodes[0], &nodes[1], &door]).await;
    let (status, reply) = door.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let mut grown = door.get(&reply.songs[0].stream()).await;
    let mut heard = grown.chunk().await.expect("bytes").expect("bytes").to_vec();
    let media = |seen: &&kmds_lab::Seen| seen.kind == kmds_lab::Kind::Media;
    let first = lab.requests().iter().find(media).expect("asked").from;
    let killed = usize::from(first == address(2));
    nodes[killed].kill();
    song.release();
    while let Ok(Some(chunk)) = grown.chunk().await {
        heard.extend_from_slice(&chunk);
    }
    // It was heard to its end, or cut: never a wrong byte, never a clean end before the last one.
    assert!(song.bytes().starts_with(&heard));
    assert!(door.whole(&reply.songs[0]).await == song.bytes());
    let last = lab.requests().iter().rfind(media).expect("asked").from;
    assert_ne!(first, last, "the other node fetched the rest");
}

#[tokio::test]
async fn a_song_that_one_address_is_refused_comes_by_another_one() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    for (fault, name) in [
        (Fault::BotCheck.anywhere(), "challenged"),
        (Fault::Status(429, Some(60)).anywhere(), "limited"),
        (Fault::Status(429, Some(60)).on_media(), "limited-audio"),
    ] {
        lab.clear_faults();
        lab.inject(fault.only_from(address(1)));
        let song = lab.bandcamp().track(name).seconds(20.0).publish();
        let one = node(&lab, &nats, 1).start();
        let two = node(&lab, &nats, 2).start();
        acquainted(&[&one, &two]).await;
        lab.forget_requests();
        let begun = std::time::Instant::now();
        assert!(one.download(&song.link()).await == song.bytes(), "{name}");
        eprintln!("{name}: {:?}", begun.elapsed());
        let seen = seen_from(&lab);
        assert!(
            seen.contains(&address(1)) && seen.contains(&address(2)),
            "{name}: {seen:?}"
        );
        let refused = lab.count(|seen| seen.from == address(1));
        // Its pause is kept: the next song is not asked for from there.
        let next = lab
            .bandcamp()
            .track(&format!("{name}-next"))
            .seconds(20.0)
            .publish();
        assert!(one.download(&next.link()).await == next.bytes(), "{name}");
        let media = lab.count(|seen| seen.from == address(1) && seen.kind == kmds_lab::Kind::Media);
        assert!(
            media <= 1,
            "{name}: {media} requests for audio, {refused} in all"
        );
    }
}

#[tokio::test]
async fn without_nats_finished_songs_are_served_and_a_door_says_when_to_ask_again() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("early").seconds(20.0).publish();
    let late = lab.bandcamp().track("late").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    let (_, reply) = door.fetch(&song.link()).await;
    assert!(door.whole(&reply.songs[0]).await == song.bytes());
    nats.kill();
    door.until("it is noticed", async || {
        let (_, stats) = door.body::<Value>("/api/v1/stats").await;
        stats["cluster"]["connected"] == false
    })
    .await;
    assert!(door.whole(&reply.songs[0]).await == song.bytes());
    let request = door.http.post(door.at("/fetch"));
    let body = serde_json::json!({ "URL": late.link() }).to_string();
    let answer = request.body(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let text = answer.text().await.expect("a body");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["Kind"], "cluster_unavailable", "{told}");
    let ready = door.get("/readyz").await;
    assert_eq!(ready.status(), 503, "it can do no work");
    assert_eq!(one.get("/readyz").await.status(), 200, "it works alone");
    assert!(one.download(&late.link()).await == late.bytes());
    nats.restart();
    acquainted(&[&one, &door]).await;
    assert!(door.download(&late.link()).await == late.bytes());
}

#[tokio::test]
async fn a_node_shows_the_clusters_token_and_a_stranger_is_kept_out() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("guarded").seconds(20.0).publish();
    let files = harness::Folder::new();
    let write = |name: &str, text: &str| {
        std::fs::write(files.path(name), text).expect("a file");
        files.path(name).display().to_string()
    };
    let secret = "the-secret-of-all-nodes";
    let token = write("cluster.token", &format!("{secret}\n"));
    let tokens = write("tokens", "the-secret-of-a-client\n");
    let one = node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__TOKEN_FILE", &token)
        .set("KMDS_SERVER__TOKENS_FILE", &tokens)
        .start();
    let door = door(&lab, &nats)
        .set("KMDS_CLUSTER__TOKEN_FILE", &token)
        .start();
    door.until("the node is there", async || {
        !known_by(&door).await.is_empty()
    })
    .await;
    assert!(door.download(&song.link()).await == song.bytes());
    assert_eq!(one.get("/api/v1/stats").await.status(), 401);
    let shown = |method: reqwest::Method, path: &str| {
        let request = one.http.request(method, one.at(path));
        request.bearer_auth(bearer_of(secret)).send()
    };
    let reads = shown(reqwest::Method::GET, "/api/v1/stats").await;
    assert_eq!(reads.expect("an answer").status(), 200);
    let request = one.http.get(one.at("/api/v1/stats")).bearer_auth(secret);
    let by_secret = request.send().await.expect("an answer");
    assert_eq!(by_secret.status(), 401, "the secret itself is never sent");
    let removes = shown(
        reqwest::Method::DELETE,
        &format!("/api/v1/tracks/bandcamp/{}", song.id()),
    );
    assert_eq!(removes.await.expect("an answer").status(), 401);
}

/// What nodes with this secret show each other by HTTP.
fn bearer_of(secret: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, b"kmds cluster: bearer token");
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Whether this node has asked for audio.
fn asked_from(number: u8) -> impl Fn(&[kmds_lab::Seen]) -> bool {
    let is_media = move |seen: &kmds_lab::Seen| {
        seen.kind == kmds_lab::Kind::Media && seen.from == address(number)
    };
    move |seen| seen.iter().any(is_media)
}

/// A node that is asked before all others.
fn roomy_node(lab: &Lab, nats: &Nats, number: u8) -> Setup {
    node(lab, nats, number).set("KMDS_BANDCAMP__MAX_DOWNLOADS", "20")
}

#[tokio::test]
async fn two_nodes_never_wait_for_each_others_audio() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("both").seconds(20.0).publish();
    let one = node(&lab, &nats, 1).recipes(harness::FAST_RECIPES).start();
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    lab.inject(Fault::NoAnswer.on_media().only_from(address(1)));
    let (status, reply) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    lab.until(asked_from(1)).await;
    let (status, other) = two.fetch(&song.link()).await;
    assert_eq!(status, 200, "{other}");
    // Two waits for one's audio; one is refused before its first byte, and asks two.
    lab.clear_faults();
    lab.inject(
        Fault::Status(429, Some(60))
            .on_media()
            .only_from(address(1)),
    );
    let (first, second) = tokio::join!(one.whole(&reply.songs[0]), two.whole(&other.songs[0]));
    assert!(first == song.bytes() && second == song.bytes());
}

#[tokio::test]
async fn a_client_of_a_node_hears_a_song_that_the_node_is_refused_while_it_makes_it_for_another() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("shared").seconds(20.0).publish();
    let one = roomy_node(&lab, &nats, 1)
        .recipes(harness::FAST_RECIPES)
        .start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    lab.inject(Fault::NoAnswer.on_media().only_from(address(1)));
    let (status, reply) = door.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    lab.until(asked_from(1)).await;
    let (status, own) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{own}");
    lab.clear_faults();
    lab.inject(
        Fault::Status(429, Some(60))
            .on_media()
            .only_from(address(1)),
    );
    let (first, second) = tokio::join!(one.whole(&own.songs[0]), door.whole(&reply.songs[0]));
    assert!(first == song.bytes() && second == song.bytes());
}

#[tokio::test]
async fn a_node_that_others_do_not_reach_is_passed_by_and_told_of() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let nowhere = "http://127.0.0.1:1";
    let one = roomy_node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__ADDRESS", nowhere)
        .start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    for name in ["first", "second"] {
        let song = lab.bandcamp().track(name).seconds(20.0).publish();
        assert!(door.download(&song.link()).await == song.bytes());
    }
    door.until("it is told", async || door.log().contains(nowhere))
        .await;
    let told = door
        .log()
        .lines()
        .filter(|line| line.contains(nowhere))
        .count();
    assert_eq!(told, 1, "once");
}

#[tokio::test]
async fn a_node_with_a_broken_line_costs_no_song() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let one = roomy_node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    let faults = [
        Fault::Status(500, None).on_pages(),
        Fault::Status(500, None).on_media(),
        Fault::Status(451, None).on_media(),
        Fault::DnsFailure.anywhere(),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        lab.clear_faults();
        lab.inject(fault.only_from(address(1)));
        for (asked, who) in [(&door, "door"), (&one, "own")] {
            let name = format!("broken-{number}-{who}");
            let song = lab.bandcamp().track(&name).seconds(20.0).publish();
            assert!(asked.download(&song.link()).await == song.bytes(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_cut_connection_to_the_node_that_fetches_a_song_makes_no_second_fetch() {
    let is_cut = |gate: &Gate| gate.has_cut.load(Ordering::Relaxed);
    comes_once_through_a_gate(false, "the connection is cut", is_cut).await;
}

#[tokio::test]
async fn a_song_of_which_a_node_sends_a_later_part_than_it_was_asked_for_has_no_gap() {
    let has_skipped = |gate: &Gate| !gate.skips.load(Ordering::Relaxed);
    comes_once_through_a_gate(true, "another part is asked for", has_skipped).await;
}

/// One node fetches a song, and another has it from there through a gate that does harm. `skips`: what harm.
async fn comes_once_through_a_gate(skips: bool, what: &str, has_done_harm: fn(&Gate) -> bool) {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = held_song(&lab, "gate", 200_000);
    let mut gate = Gate::new().await;
    gate.skips.store(skips, Ordering::Relaxed);
    let one = node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__ADDRESS", &gate.url)
        .start();
    gate.open(one.at("").trim_start_matches("http://").to_owned(), 50_000);
    let two = node(&lab, &nats, 2).start();
    acquainted(&[&one, &two]).await;
    let (status, reply) = one.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    lab.until(asked_from(1)).await;
    let (status, reply) = two.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    two.until(what, async || has_done_harm(&gate)).await;
    song.release();
    assert!(two.whole(&reply.songs[0]).await == song.bytes());
    assert!(!asked_from(2)(&lab.requests()), "it was fetched twice");
}

#[tokio::test]
async fn a_node_that_does_not_answer_costs_no_link() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("silent").seconds(20.0).publish();
    let one = roomy_node(&lab, &nats, 1).start();
    let two = node(&lab, &nats, 2).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &two, &door]).await;
    signal(&one, Signal::STOP);
    let heard = door.download(&song.link()).await;
    signal(&one, Signal::CONT);
    assert!(heard == song.bytes());
}

#[tokio::test]
async fn the_password_of_nats_is_in_no_log() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let secret = "the-password-of-nats";
    let url = nats
        .url()
        .replace("nats://", &format!("nats://me:{secret}@"));
    let one = node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__NATS", &url)
        .set("KMDS_LOG", "debug")
        .start();
    one.until("it is connected", async || {
        one.log().contains("connected to NATS")
    })
    .await;
    let log = one.log();
    assert!(log.contains(nats.url().as_str()), "{log}");
    assert!(!log.contains(secret), "{log}");
}

#[tokio::test]
async fn a_client_of_nats_without_the_secret_is_no_node() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("own").seconds(20.0).publish();
    let files = harness::Folder::new();
    let token = files.path("cluster.token");
    std::fs::write(&token, "# of all nodes\nthe-secret-of-all-nodes\n").expect("a file");
    let token = token.display().to_string();
    let one = node(&lab, &nats, 1)
        .set("KMDS_CLUSTER__TOKEN_FILE", &token)
        .start();
    let door = door(&lab, &nats)
        .set("KMDS_CLUSTER__TOKEN_FILE", &token)
        .start();
    acquainted(&[&one, &door]).await;
    let site = serde_json::json!({ "site": "bandcamp", "free": 999, "limited_seconds": null });
    let report = serde_json::json!({
        "node": "stranger", "instance": "x", "protocol": 1, "version": "1",
        "address": "http://127.0.0.1:1", "sites": [site],
    });
    nats.publish("kmds.nodes", report.to_string().as_bytes());
    nats.publish("kmds.ask.node-1", b"a question");
    door.until("the report is passed by", async || {
        door.log().contains("the secret of cluster.token_file")
    })
    .await;
    assert_eq!(known_by(&door).await, ["node-1"]);
    assert!(door.download(&song.link()).await == song.bytes());
}

#[tokio::test]
async fn a_song_between_two_nodes_goes_on_while_nats_is_away() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let lab = Lab::start().await;
    let song = held_song(&lab, "between", 200_000);
    let one = node(&lab, &nats, 1).start();
    let door = door(&lab, &nats).start();
    acquainted(&[&one, &door]).await;
    let (status, reply) = door.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let mut grown = door.get(&reply.songs[0].stream()).await;
    let mut heard = grown.chunk().await.expect("bytes").expect("bytes").to_vec();
    nats.kill();
    for node in [&door, &one] {
        node.until("it is noticed", async || {
            let (_, stats) = node.body::<Value>("/api/v1/stats").await;
            stats["cluster"]["connected"] == false
        })
        .await;
    }
    // Longer than a node may be silent that is there.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    song.release();
    while let Some(chunk) = grown.chunk().await.expect("it is not cut") {
        heard.extend_from_slice(&chunk);
    }
    assert!(heard == song.bytes());
    let fetched = times_fetched(&lab, &song);
    assert!(fetched < 1.5, "the site sent it {fetched} times");
}

#[tokio::test]
async fn of_two_nodes_with_one_name_one_works_alone_and_says_so() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let nodes = [1, 2].map(|number| {
        node(&lab, &nats, number)
            .set("KMDS_CLUSTER__NODE", "twin")
            .start()
    });
    let is_alone = async |node: &Kmds| {
        let text = node.get("/readyz").await.text().await.expect("a body");
        text.contains("cluster.node")
    };
    nodes[0]
        .until("one says so", async || {
            is_alone(&nodes[0]).await || is_alone(&nodes[1]).await
        })
        .await;
    let mut told = Vec::new();
    for node in &nodes {
        let log = node.log();
        told.push((
            is_alone(node).await,
            log.matches("has the same name").count(),
        ));
    }
    told.sort_unstable();
    assert_eq!(told, [(false, 0), (true, 1)]);
}

#[tokio::test]
async fn a_door_is_ready_when_a_node_fetches_for_it() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    let door = door(&lab, &nats).start();
    door.until("it is connected", async || {
        let (_, stats) = door.body::<Value>("/api/v1/stats").await;
        stats["cluster"]["connected"] == true
    })
    .await;
    let ready = door.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let text = ready.text().await.expect("a body");
    assert!(text.contains("no node"), "{text}");
    let one = node(&lab, &nats, 1).start();
    acquainted(&[&one, &door]).await;
    assert_eq!(door.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn two_nodes_whose_places_are_all_taken_by_songs_of_the_other_go_on() {
    let Some(nats) = Nats::start() else { return };
    let lab = Lab::start().await;
    // Each node is refused the songs that it is asked for, and has one place for downloads.
    let songs = |number: u8| {
        let refused = |at: u8| {
            let name = format!("of-{number}-{at}");
            let song = lab.bandcamp().track(&name).seconds(20.0).publish();
            let fault = Fault::Status(500, None).on_media().of(&song);
            lab.inject(fault.only_from(address(number)));
            song
        };
        [0, 1, 2].map(refused)
    };
    let start = |number| {
        node(&lab, &nats, number)
            .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
            .set("KMDS_QUEUE__MAX_DOWNLOADS", "1")
            .start()
    };
    let (of_one, of_two) = (songs(1), songs(2));
    let nodes = [start(1), start(2)];
    acquainted(&[&nodes[0], &nodes[1]]).await;
    let all = of_one.iter().map(|song| (&nodes[0], song));
    let all = all.chain(of_two.iter().map(|song| (&nodes[1], song)));
    let all = all.map(|(node, song)| async { node.download(&song.link()).await == song.bytes() });
    let whole = futures_util::future::join_all(all).await;
    assert_eq!(whole, [true; 6]);
}
