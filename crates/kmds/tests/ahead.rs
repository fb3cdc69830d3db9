//! The connection to the host that comes next is opened while the one before is asked; and nothing else is.

mod harness;
mod scripted;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use harness::{Kmds, PATIENCE, Setup};
use kmds_extract::{Origin, PageRequest, Recipes, Site as OfSite};
use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Injection, Lab, Site, Song};
use scripted::{Answer, Scripted, fast_recipes};
use tokio::sync::watch;

const HOME: &str = "soundcloud.com";
const API: &str = "api-v2.soundcloud.com";

fn page(host: &str) -> PageRequest {
    PageRequest::get(OfSite::SoundCloud, "page", format!("https://{host}/"))
}

/// No request counts as late, also on a busy machine.
fn patient_recipes() -> Recipes {
    let mut recipes = fast_recipes();
    recipes.time.metadata_request = PATIENCE;
    recipes
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let looking = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// A site whose home page answers once it is told to.
async fn patient_site() -> (Scripted, watch::Sender<bool>) {
    let (release, held) = watch::channel(false);
    let site = Scripted::start_async(move |_, asked| {
        let mut held = held.clone();
        Box::pin(async move {
            if asked.url == format!("https://{HOME}/") {
                drop(held.wait_for(|released| *released).await);
            }
            Answer::new(200, "")
        })
    })
    .await;
    (site, release)
}

#[tokio::test]
async fn the_next_host_is_connected_to_while_the_first_is_asked_and_its_connection_is_used() {
    let (site, release) = patient_site().await;
    let source = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let client = site.client_from(&patient_recipes(), Some(source));
    let connected = async {
        until("the API is connected to", || {
            site.hosts().iter().any(|host| host == API)
        })
        .await;
        assert!(
            !site.asked().iter().any(|asked| asked.url.contains(API)),
            "connected to, and not asked"
        );
        release.send_replace(true);
    };
    let (answer, ()) = tokio::join!(client.send(page(HOME).before(API)), connected);
    assert_eq!(answer.expect("a page").status, 200);
    for _ in 0..2 {
        assert_eq!(client.send(page(API)).await.expect("a page").status, 200);
    }
    assert_eq!(site.asked().len(), 3);
    let mut connections = site.connections();
    connections.sort();
    assert_eq!(
        connections,
        [(API.to_owned(), source), (HOME.to_owned(), source)],
        "one each, from the address set"
    );
}

#[tokio::test]
async fn a_host_that_was_asked_or_connected_to_lately_is_not_connected_to_again() {
    let site = Scripted::start(|_, _| Answer::new(200, "")).await;
    let client = site.client(&patient_recipes());
    assert!(client.send(page(API)).await.is_ok());
    for _ in 0..2 {
        assert!(client.send(page(HOME).before(API)).await.is_ok());
    }
    assert!(
        client
            .send(page(HOME).before("cf-media.sndcdn.com"))
            .await
            .is_ok()
    );
    until("the media host is connected to", || site.hosts().len() == 3).await;
    assert!(
        client
            .send(page(HOME).before("cf-media.sndcdn.com"))
            .await
            .is_ok()
    );
    assert!(client.send(page(API)).await.is_ok());
    assert_eq!(site.hosts(), [API, HOME, "cf-media.sndcdn.com"]);
}

#[tokio::test]
async fn a_connection_that_no_request_takes_is_closed_without_a_word() {
    let mut recipes = patient_recipes();
    recipes.time.connect = Duration::from_secs(1);
    let (site, release) = patient_site().await;
    let client = site.client(&recipes);
    let opened = async {
        until("the API is connected to", || site.open() == 2).await;
        release.send_replace(true);
    };
    let (answer, ()) = tokio::join!(client.send(page(HOME).before(API)), opened);
    assert!(answer.is_ok());
    until("only the home page's own is left", || site.open() == 1).await;
    assert_eq!(site.asked().len(), 1);
    assert!(client.send(page(API)).await.is_ok());
    assert_eq!(site.asked().len(), 2);
    assert!(site.hosts().len() > 2, "that request connected for itself");
}

#[tokio::test]
async fn a_connection_that_the_site_has_closed_is_not_used() {
    let (site, release) = patient_site().await;
    site.hang_up_on(Some(API));
    let client = site.client(&patient_recipes());
    let closed = async {
        until("the API hung up", || {
            site.hosts().len() == 2 && site.open() == 1
        })
        .await;
        site.hang_up_on(None);
        release.send_replace(true);
    };
    let (answer, ()) = tokio::join!(client.send(page(HOME).before(API)), closed);
    assert!(answer.is_ok());
    assert!(
        client
            .send(PageRequest {
                insist: false,
                ..page(API)
            })
            .await
            .is_ok(),
        "at the first try"
    );
    assert_eq!((site.hosts().len(), site.asked().len()), (3, 2));
}

#[tokio::test]
async fn only_hosts_of_the_site_are_connected_to() {
    let site = Scripted::start(|_, _| Answer::new(200, "")).await;
    let client = site.client(&patient_recipes());
    for stranger in [
        "evil.example",
        "169.254.169.254",
        "www.youtube.com",
        "evil.example/x.sndcdn.com",
        "me@evil.example",
        "localhost:22",
        "",
    ] {
        assert!(
            client.send(page(HOME).before(stranger)).await.is_ok(),
            "{stranger}"
        );
    }
    // The last request in line: all earlier ones have arrived by now.
    assert!(client.send(page(HOME)).await.is_ok());
    assert_eq!(site.hosts(), [HOME]);
}

fn format_of(lab: &Lab, format: Format) -> Song {
    lab.soundcloud()
        .track("ordinary-days")
        .formats(&[format])
        .publish()
}

#[tokio::test]
async fn each_site_has_its_next_host_connected_to_before_it_is_known_for_sure() {
    let mute =
        |host: &str, path: &str| Injection::from(Fault::NoAnswer).at_host(host).at_path(path);
    type Publish = fn(&Lab) -> Song;
    let cases: [(Publish, Injection, &str); 4] = [
        (
            |lab| lab.youtube().video("V").publish(),
            mute("www.youtube.com", "/youtubei/v1/visitor_id"),
            "youtubei.googleapis.com",
        ),
        (|lab| format_of(lab, Format::AacHls), mute(HOME, "/"), API),
        (
            |lab| format_of(lab, Format::AacHls),
            mute(API, "/media/"),
            "playback.media-streaming.soundcloud.cloud",
        ),
        (
            |lab| format_of(lab, Format::Mp3Progressive),
            mute(API, "/media/"),
            "cf-media.sndcdn.com",
        ),
    ];
    for (publish, silence, next) in cases {
        let lab = Lab::start().await;
        let song = publish(&lab);
        lab.inject(silence);
        let kmds = Setup::of(&lab)
            .recipes("[time]\nmetadata_request = 600.0\n")
            .start();
        tokio::select! {
            () = until(next, || lab.connections().iter().any(|connection| connection.host == next)) => {}
            never = async { kmds.fetch(&song.link()).await; std::future::pending::<()>().await } => never,
        }
        assert_eq!(lab.hits(next), 0, "{next}");
    }
}

#[tokio::test]
async fn a_song_takes_one_connection_a_host() {
    let lab = Lab::start().await;
    let songs = [
        lab.youtube().video("Video").publish(),
        format_of(&lab, Format::Mp3Progressive),
        lab.bandcamp().track("Track").publish(),
    ];
    for song in songs {
        lab.forget_requests();
        let kmds = Kmds::start(&lab);
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        let mut connected: Vec<String> = lab
            .connections()
            .into_iter()
            .map(|connection| connection.host)
            .collect();
        let mut asked: Vec<String> = lab.requests().into_iter().map(|seen| seen.host).collect();
        connected.sort();
        asked.sort();
        asked.dedup();
        assert_eq!(connected, asked, "{song:?}");
    }
}

#[tokio::test]
async fn a_connection_ahead_that_fails_is_not_noticed() {
    for fault in [Fault::DnsFailure, Fault::TlsError] {
        let lab = Lab::start().await;
        let song = format_of(&lab, Format::Mp3Progressive);
        lab.inject(Injection::from(fault).at_host(API).first(1));
        let kmds = Kmds::start(&lab);
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        let metrics = kmds.get("/metrics").await.text().await.expect("a body");
        assert!(
            metrics.contains("kmds_origin_retries_total{site=\"soundcloud\"} 0"),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn nothing_is_connected_to_for_a_site_that_is_switched_off() {
    let lab = Lab::start().await;
    let song = format_of(&lab, Format::Mp3Progressive);
    let kmds = Setup::of(&lab)
        .set("KMDS_SOUNDCLOUD__ENABLED", "false")
        .start();
    assert_ne!(kmds.fetch(&song.link()).await.0, 200);
    assert!(
        lab.connections().is_empty() && lab.hits(&Site::SoundCloud) == 0,
        "{:?}",
        lab.connections()
    );
}
