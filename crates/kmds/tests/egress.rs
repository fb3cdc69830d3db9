//! KMDS sends only requests that a client asked for, to the sites alone, from an address that the operator allows.

mod harness;

#[path = "harness/exit.rs"]
mod exit;

use exit::{Exit, says};
use harness::{Kmds, Setup};
use kmds_lab::{Lab, Site, kib};
use serde_json::Value;
use tokio::net::TcpListener;

/// The hosts of the three sites, as far as the lab has them; nothing else may ever be asked.
const SITES_HOSTS: [&str; 11] = [
    "youtube.com",
    "youtubei.googleapis.com",
    "googlevideo.com",
    "ytimg.com",
    "ggpht.com",
    "googleusercontent.com",
    "soundcloud.com",
    "soundcloud.cloud",
    "sndcdn.com",
    "bandcamp.com",
    "bcbits.com",
];

/// A service with this way out, and the addresses that the sites must not see.
fn leaving_by(exit: &Exit, lab: &Lab) -> Setup {
    Setup::of(lab)
        .set("KMDS_EGRESS__PROXY", &exit.url)
        .set("KMDS_EGRESS__FORBID", "203.0.113.0/24")
        .set("KMDS_EGRESS__CHECK_EVERY", "1")
}

const CHECK: (&str, &str) = ("KMDS_EGRESS__CHECK_URL", "http://outside.test/ip");

async fn json(kmds: &Kmds, path: &str) -> Value {
    serde_json::from_slice(&kmds.get(path).await.bytes().await.expect("a body")).expect("JSON")
}

async fn is_open(kmds: &Kmds, site: &str) -> bool {
    let stats = json(kmds, "/api/v1/stats").await;
    let rows = stats["sites"].as_array().expect("sites").clone();
    let row = rows
        .iter()
        .find(|row| row["site"] == site)
        .expect("the site");
    assert_eq!(
        row["open"].as_bool(),
        Some(row["reason"].is_null()),
        "{row}"
    );
    row["open"] == true
}

#[tokio::test]
async fn nothing_is_contacted_at_the_start_and_only_the_sites_hosts_after_that() {
    let lab = Lab::start().await;
    let links = lab.publish_demo_world();
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.get("/readyz").await.status(), 200);
    kmds.get("/metrics").await;
    kmds.get("/api/v1/stats").await;
    assert!(
        lab.connections().is_empty() && lab.refused().is_empty(),
        "{:?}",
        lab.connections()
    );
    for (_, link) in links {
        let (_, reply) = kmds.fetch(&link).await;
        for song in reply.songs.iter().take(1) {
            kmds.get(&format!("{}&wait=20", song.tunnel)).await;
        }
    }
    let hosts = lab.connections();
    assert!(hosts.len() > 3, "{hosts:?}");
    for connection in hosts {
        let is_known = |known: &&str| {
            connection.host == **known || connection.host.ends_with(&format!(".{known}"))
        };
        assert!(SITES_HOSTS.iter().any(is_known), "{}", connection.host);
    }
    // Other songs of the lists may still be on their way.
    kmds.until("the requests are counted", async || {
        let metrics = kmds.get("/metrics").await.text().await.expect("a body");
        [Site::YouTube, Site::SoundCloud].iter().all(|site| {
            let row = format!(
                "kmds_origin_requests_total{{site=\"{}\",kind=\"page\"}} {}\n",
                site.name(),
                lab.page_requests(*site)
            );
            metrics.contains(&row)
        })
    })
    .await;
    let metrics = kmds.get("/metrics").await.text().await.expect("a body");
    assert!(
        metrics.contains("kmds_http_requests_total{route=\"/fetch\",status=\"200\"}"),
        "{metrics}"
    );
    assert!(
        lab.refused().is_empty(),
        "nothing but https to port 443: {:?}",
        lab.refused()
    );
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_read() {
    let trap = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", trap.local_addr().expect("bound"));
    let mut setup = Setup::new();
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        setup = setup.set(name, &url);
    }
    let kmds = setup.start();
    // Without a way out of its own it asks directly: it may find the site or not, but never by the trap.
    let fetched = kmds.fetch("https://soundcloud.com/klaus-veen/ordinary-days");
    tokio::select! {
        _ = fetched => {}
        caught = trap.accept() => panic!("went through the environment's proxy: {caught:?}"),
    }
}

#[tokio::test]
async fn a_forbidden_outside_address_closes_the_sites_until_it_is_gone() {
    let lab = Lab::start().await;
    let (one, two) = (
        lab.bandcamp().track("One").publish(),
        lab.bandcamp().track("Two").publish(),
    );
    let exit = Exit::before(&lab, "198.51.100.7").await;
    let kmds = leaving_by(&exit, &lab).set(CHECK.0, CHECK.1).start();
    assert_eq!(kmds.download(&one.link()).await, one.bytes());
    assert!(
        exit.asked() >= 1,
        "asked before the first request to a site"
    );
    exit.is_seen_at("203.0.113.9");
    kmds.until("the site is closed", async || {
        !is_open(&kmds, "bandcamp").await
    })
    .await;
    let before = lab.connections().len();
    let (status, reply) = kmds.fetch(&two.link()).await;
    assert_eq!((status, &*reply.kind), (502, "origin_failed"), "{reply}");
    let sentence = &reply.error;
    assert!(
        sentence.contains("203.0.113.9") && sentence.contains("egress.forbid"),
        "{sentence}"
    );
    assert_eq!(
        kmds.whole(&kmds.fetch(&one.link()).await.1.songs[0]).await,
        one.bytes(),
        "what is there is served"
    );
    let ready = kmds.get("/readyz").await;
    assert_eq!(ready.status(), 503, "no site is left to ask");
    let problems = ready.text().await.expect("a body");
    assert!(
        problems.contains("bandcamp: ") && problems.contains("203.0.113.9"),
        "{problems}"
    );
    let metrics = kmds.get("/metrics").await.text().await.expect("a body");
    assert!(
        metrics.contains("kmds_site_open{site=\"bandcamp\"} 0"),
        "{metrics}"
    );
    assert_eq!(lab.connections().len(), before, "no connection was made");
    exit.is_seen_at("198.51.100.7");
    kmds.until("the site is open", async || {
        is_open(&kmds, "bandcamp").await
    })
    .await;
    assert_eq!(kmds.download(&two.link()).await, two.bytes());
}

#[tokio::test]
async fn a_download_under_way_stops_when_the_address_becomes_a_forbidden_one() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Long")
        .seconds(60.0)
        .holds_at(kib(64))
        .publish();
    let exit = Exit::before(&lab, "198.51.100.7").await;
    let setup = leaving_by(&exit, &lab)
        .set(CHECK.0, CHECK.1)
        .recipes("[bandcamp.hosts]\npace = 0.0\n");
    // Another engine would be seen from the same address.
    let (tool, mark) = (setup.folder.path("yt-dlp"), setup.folder.path("was-run"));
    std::fs::write(&tool, format!("#!/bin/sh\ntouch {}\n", mark.display())).expect("a tool");
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&tool, executable).expect("executable");
    let tool = tool.display().to_string();
    let kmds = setup
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .set("KMDS_ENGINES__YTDLP__COMMAND", &tool)
        .start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply.songs[0].tunnel.clone();
    lab.until(|seen| {
        seen.iter()
            .any(|seen| seen.kind == kmds_lab::Kind::Media && seen.sent_bytes >= kib(64))
    })
    .await;
    exit.is_seen_at("203.0.113.9");
    kmds.until("the site is closed", async || {
        !is_open(&kmds, "bandcamp").await
    })
    .await;
    let before = lab.connections().len();
    song.release();
    let answer = kmds.get(&format!("{tunnel}&wait=30")).await;
    assert_eq!(answer.status(), 500);
    let body = answer.text().await.expect("a body");
    assert!(body.contains("203.0.113.9"), "{body}");
    assert_eq!(lab.connections().len(), before);
    assert!(!mark.exists(), "yt-dlp was run");
}

#[tokio::test]
async fn an_answer_that_tells_no_address_closes_the_way_out() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("one").publish();
    let exit = Exit::before(&lab, "203.0.113.9").await;
    let kmds = leaving_by(&exit, &lab).set(CHECK.0, CHECK.1).start();
    for (answer, word) in [
        (says("203.0.113.9"), "203.0.113.9"),
        (
            says("<html>please sign in</html>"),
            "did not answer with an address",
        ),
        (says(""), "did not answer with an address"),
        (
            "HTTP/1.1 500 Oh\r\nContent-Length: 12\r\n\r\n198.51.100.7".to_owned(),
            "HTTP 500",
        ),
        (
            "HTTP/1.1 302 Go\r\nLocation: http://outside.test/other\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            "HTTP 302",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n198.51.100.7".to_owned(),
            "cannot be read",
        ),
        (String::new(), "cannot be asked"),
    ] {
        exit.answers(&answer);
        kmds.until(word, async || {
            let (status, reply) = kmds.fetch(&song.link()).await;
            assert_eq!(status, 502, "{reply}");
            reply.error.contains(word)
        })
        .await;
    }
    assert!(lab.connections().is_empty(), "{:?}", lab.connections());
}

#[tokio::test]
async fn one_site_is_closed_while_the_others_go_on() {
    let lab = Lab::start().await;
    let video = lab.youtube().video("Video").publish();
    let song = lab.bandcamp().track("Song").publish();
    let exit = Exit::before(&lab, r#"{"ip": "203.0.113.9"}"#).await;
    let setup = Setup::of(&lab)
        .set("KMDS_YOUTUBE__EGRESS__PROXY", &exit.url)
        .set("KMDS_YOUTUBE__EGRESS__FORBID", "203.0.113.9")
        .set("KMDS_YOUTUBE__EGRESS__CHECK_URL", CHECK.1);
    let kmds = setup.start();
    assert_eq!(kmds.fetch(&video.link()).await.0, 502);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert!(!is_open(&kmds, "youtube").await && is_open(&kmds, "bandcamp").await);
    let ready = kmds.get("/readyz").await;
    assert_eq!(ready.status(), 200, "there is work that can be done");
    assert!(
        ready.text().await.expect("a body").contains("youtube: "),
        "and the problem is told all the same"
    );
    assert_eq!(lab.hits(&Site::YouTube), 0);
}

#[tokio::test]
async fn the_check_may_be_https_of_any_host_and_leaves_by_the_sites_own_way() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab)
        .set(CHECK.0, "https://outside.test/ip?key=s3cret")
        .start();
    kmds.until("the check was made", async || !lab.connections().is_empty())
        .await;
    assert!(
        lab.connections()
            .iter()
            .all(|connection| connection.host == "outside.test")
    );
    let (status, reply) = kmds
        .fetch("https://soundcloud.com/klaus-veen/ordinary-days")
        .await;
    assert_eq!(status, 502);
    let sentence = &reply.error;
    assert!(
        sentence.contains("https://outside.test") && !sentence.contains("s3cret"),
        "{sentence}"
    );
    assert!(
        !kmds.whole_log().await.contains("s3cret"),
        "a key of the page is not logged"
    );
}
