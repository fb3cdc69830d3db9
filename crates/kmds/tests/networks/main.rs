//! The source addresses of requests to the sites, seen by the sites themselves: with real addresses, routes and names,
//! in networks made for the test.

#[path = "../harness/mod.rs"]
mod harness;

mod cable;

use std::collections::BTreeSet;
use std::net::IpAddr;

use cable::{ADDRESS_PAGE, Cable, everywhere};
use harness::Kmds;
use kmds_lab::{Lab, Song};
use serde_json::Value;

fn bandcamp(lab: &Lab, name: &str) -> Song {
    lab.bandcamp().track(name).seconds(20.0).publish()
}

fn sources(cable: &Cable, host: impl Fn(&str) -> bool) -> Vec<String> {
    let callers = cable.callers();
    let from: BTreeSet<IpAddr> = callers
        .iter()
        .filter(|it| host(&it.host))
        .map(|it| it.from)
        .collect();
    from.iter().map(ToString::to_string).collect()
}

fn is_youtube(host: &str) -> bool {
    host.contains("google") || host.contains("youtube")
}

async fn site(kmds: &Kmds, name: &str) -> Value {
    let answer = kmds.get("/api/v1/stats").await;
    let stats: Value =
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    stats["sites"]
        .as_array()
        .expect("sites")
        .iter()
        .find(|row| row["site"] == name)
        .expect("the site")
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_site_is_asked_from_the_address_its_setting_names() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    for address in ["198.51.100.7/24", "198.51.100.8/24", "198.51.100.9/24"] {
        cable.has(address);
    }
    let (song, video) = (
        bandcamp(&lab, "Song"),
        lab.youtube().video("Video").seconds(20.0).publish(),
    );
    everywhere(&cable, &song, false);
    let setup = cable.setup(&lab);
    let setup = setup.set("KMDS_EGRESS__SOURCE_ADDRESS", "198.51.100.8");
    let kmds = setup
        .set("KMDS_YOUTUBE__EGRESS__SOURCE_ADDRESS", "198.51.100.9")
        .start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(kmds.download(&video.link()).await, video.bytes());
    let cover = kmds
        .get(&format!("/api/v1/tracks/youtube/{}", video.id()))
        .await;
    assert_eq!(cover.status(), 200);
    assert_eq!(
        sources(&cable, |host| !is_youtube(host)),
        ["198.51.100.8"],
        "pages and audio alike"
    );
    assert_eq!(sources(&cable, is_youtube), ["198.51.100.9"]);
    assert!(
        cable.callers().iter().any(|it| it.host == "t4.bcbits.com"),
        "{:?}",
        cable.callers()
    );
    assert!(
        cable
            .callers()
            .iter()
            .any(|it| it.host.ends_with("googlevideo.com")),
        "{:?}",
        cable.callers()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_gone_is_not_replaced_by_another() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    cable.has("198.51.100.7/24");
    cable.has("198.51.100.8/24");
    let (first, second) = (bandcamp(&lab, "First"), bandcamp(&lab, "Second"));
    everywhere(&cable, &first, false);
    let kmds = cable
        .setup(&lab)
        .set("KMDS_EGRESS__SOURCE_ADDRESS", "198.51.100.8")
        .start();
    assert_eq!(kmds.download(&first.link()).await, first.bytes());
    cable.has_no_more("198.51.100.8/24");
    let (status, reply) = kmds.fetch(&second.link()).await;
    assert!(matches!(status, 502 | 504), "{reply}");
    assert!(!reply.error.is_empty(), "{reply}");
    assert_eq!(sources(&cable, |_| true), ["198.51.100.8"]);
    cable.has("198.51.100.8/24");
    assert_eq!(
        kmds.download(&second.link()).await,
        second.bytes(),
        "it is used again when it is back"
    );
    assert_eq!(sources(&cable, |_| true), ["198.51.100.8"]);
}

/// The reason for this setting: a tunnel goes down, and the sites would see the machine's own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_tunnel_is_down_the_sites_are_closed_until_it_is_up() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    cable.has("198.51.100.7/24");
    cable.has("203.0.113.9/24");
    cable.leaves_from("198.51.100.7");
    let (first, second) = (bandcamp(&lab, "First"), bandcamp(&lab, "Second"));
    everywhere(&cable, &first, false);
    cable.host(ADDRESS_PAGE, &["45.77.2.1"]);
    let setup = cable
        .setup(&lab)
        .set("KMDS_EGRESS__FORBID", "203.0.113.0/24");
    let setup = setup.set("KMDS_EGRESS__CHECK_URL", &format!("http://{ADDRESS_PAGE}/"));
    let kmds = setup.set("KMDS_EGRESS__CHECK_EVERY", "1").start();
    assert_eq!(kmds.download(&first.link()).await, first.bytes());
    cable.leaves_from("203.0.113.9");
    kmds.until("the sites are closed", async || {
        site(&kmds, "bandcamp").await["open"] == false
    })
    .await;
    let reason = site(&kmds, "bandcamp").await["reason"].to_string();
    assert!(
        reason.contains("203.0.113.9") && reason.contains("egress.forbid"),
        "{reason}"
    );
    let before = cable.callers().len();
    let (status, reply) = kmds.fetch(&second.link()).await;
    assert_eq!((status, &*reply.kind), (502, "origin_failed"), "{reply}");
    assert!(reply.error.contains("203.0.113.9"), "{reply}");
    assert_eq!(cable.callers().len(), before, "no site was called");
    cable.leaves_from("198.51.100.7");
    kmds.until("the sites are open", async || {
        site(&kmds, "bandcamp").await["open"] == true
    })
    .await;
    assert_eq!(kmds.download(&second.link()).await, second.bytes());
    assert_eq!(sources(&cable, |_| true), ["198.51.100.7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_family_whose_address_was_looked_at_is_used() {
    for (page, source) in [
        ("45.77.2.1", "198.51.100.7"),
        ("2a01:4f8::99", "2001:db8::7"),
    ] {
        let lab = Lab::start().await;
        let Some(cable) = Cable::lay(&lab) else {
            return;
        };
        cable.has("198.51.100.7/24");
        cable.has("2001:db8::7/64");
        let song = bandcamp(&lab, "Song");
        everywhere(&cable, &song, true);
        cable.host(ADDRESS_PAGE, &[page]);
        let setup = cable
            .setup(&lab)
            .set("KMDS_EGRESS__FORBID", "203.0.113.0/24");
        let kmds = setup
            .set("KMDS_EGRESS__CHECK_URL", &format!("http://{ADDRESS_PAGE}/"))
            .start();
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        assert_eq!(sources(&cable, |_| true), [source], "by {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_address_of_one_family_is_never_left_for_the_other() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    cable.has("198.51.100.7/24");
    cable.has("2001:db8::7/64");
    let song = bandcamp(&lab, "Song");
    everywhere(&cable, &song, true);
    let kmds = cable
        .setup(&lab)
        .set("KMDS_EGRESS__SOURCE_ADDRESS", "198.51.100.7")
        .start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    assert_eq!(sources(&cable, |_| true), ["198.51.100.7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sites_name_that_leads_to_a_private_address_is_not_followed() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    cable.has("198.51.100.7/24");
    let video = lab.youtube().video("Video").publish();
    // One public address beside it makes it no better.
    for host in ["www.youtube.com", "youtubei.googleapis.com"] {
        cable.host(host, &["45.77.1.1", "10.9.9.9"]);
    }
    let kmds = cable.setup(&lab).start();
    let (status, reply) = kmds.fetch(&video.link()).await;
    assert_eq!((status, &*reply.kind), (502, "origin_failed"), "{reply}");
    assert!(reply.error.contains("10.9.9.9"), "{reply}");
    assert_eq!(cable.callers(), []);
}

/// A separate yt-dlp for this service, unchanged or with other arguments; `None`, with a message, if there is none.
fn with_ytdlp(setup: harness::Setup, arguments: &str) -> Option<harness::Setup> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(ytdlp) = std::env::var("KMDS_TEST_YTDLP")
        .ok()
        .filter(|path| !path.is_empty())
    else {
        eprintln!("SKIPPED: KMDS_TEST_YTDLP does not name a yt-dlp to test with");
        return None;
    };
    let script = setup.folder.path("yt-dlp");
    std::fs::write(&script, format!("#!/bin/sh\nexec '{ytdlp}' {arguments}\n")).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let setup = setup.set("KMDS_ENGINES__YTDLP__ENABLED", "true");
    Some(setup.set(
        "KMDS_ENGINES__YTDLP__COMMAND",
        &script.display().to_string(),
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yt_dlp_leaves_from_the_address_its_sites_setting_names() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    for address in ["198.51.100.7/24", "198.51.100.9/24"] {
        cable.has(address);
    }
    let song = bandcamp(&lab, "Song");
    everywhere(&cable, &song, false);
    let setup = cable
        .setup(&lab)
        .set("KMDS_BANDCAMP__EGRESS__SOURCE_ADDRESS", "198.51.100.9");
    let Some(setup) = with_ytdlp(setup, "\"$@\"") else {
        return;
    };
    // Our own engine does not understand the page.
    lab.inject(
        kmds_lab::Fault::ChangedPage
            .on_pages()
            .of_site(kmds_lab::Site::Bandcamp)
            .only_agent("rv:153.0"),
    );
    let kmds = setup.start();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let metrics = kmds.get("/metrics").await.text().await.expect("metrics");
    assert!(
        metrics.contains("kmds_ytdlp_runs_total 1"),
        "{}",
        kmds.log()
    );
    assert_eq!(
        sources(&cable, |_| true),
        ["198.51.100.9"],
        "{:?}",
        cable.callers()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_inside_is_not_followed_by_yt_dlp_either() {
    let lab = Lab::start().await;
    let Some(cable) = Cable::lay(&lab) else {
        return;
    };
    cable.has("198.51.100.7/24");
    cable.host("media.elsewhere.example", &["45.77.1.50"]);
    cable.host("inside.elsewhere.example", &["10.9.9.9"]);
    cable.host("both.elsewhere.example", &["45.77.1.51", "10.9.9.10"]);
    for astray in [
        "http://inside.elsewhere.example/",
        "https://both.elsewhere.example/",
        "http://10.9.9.9/",
    ] {
        let setup = cable.setup(&lab).set("KMDS_ENGINES__YTDLP__SITES", "any");
        let Some(setup) = with_ytdlp(setup, &format!("-q -J {astray}")) else {
            return;
        };
        let kmds = setup.start();
        let (status, reply) = kmds.fetch("https://media.elsewhere.example/clip/7").await;
        assert_eq!(
            (status, &*reply.kind),
            (400, "unsupported_link"),
            "{astray}: {reply}"
        );
        assert!(
            cable.callers().is_empty(),
            "{astray}: {:?}",
            cable.callers()
        );
    }
}
