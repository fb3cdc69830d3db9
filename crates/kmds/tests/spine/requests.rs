//! The number of requests to a site, for any behaviour of clients.

use kmds_lab::soundcloud::Format;
use kmds_lab::youtube::Refusal;
use kmds_lab::{Fault, Lab, Site, kib};

use super::harness::replies::{Entry, Reply};
use super::harness::{Kmds, PATIENCE, Setup};

#[tokio::test]
async fn the_site_is_asked_as_seldom_as_it_allows() {
    let lab = Lab::start().await;
    let video = lab.youtube().video("One").publish();
    let other = lab.youtube().video("Two").publish();
    let list = lab.youtube().playlist(150).publish();
    let track = lab.soundcloud().track("one").publish();
    let set = lab.soundcloud().set(60).full(5).publish();
    // Metadata alone is counted: nothing is downloaded.
    let kmds = Setup::of(&lab)
        .set("KMDS_YOUTUBE__MAX_DOWNLOADS", "1")
        .start();
    let pages = async |link: &str, site| {
        let before = lab.page_requests(site);
        let (status, reply) = kmds
            .v1_fetch(serde_json::json!({ "url": link, "prefetch": "none" }))
            .await;
        assert_eq!(status, 200, "{reply}");
        lab.page_requests(site) - before
    };
    assert_eq!(
        pages(&video.link(), Site::YouTube).await,
        2,
        "the visitor id and the player"
    );
    assert_eq!(
        pages(&other.link(), Site::YouTube).await,
        1,
        "the visitor id is kept"
    );
    assert_eq!(
        pages(&other.link(), Site::YouTube).await,
        0,
        "a known song is not asked for again"
    );
    assert_eq!(
        pages(&list.link(), Site::YouTube).await,
        2,
        "one a hundred songs"
    );
    assert_eq!(
        pages(&track.link(), Site::SoundCloud).await,
        2,
        "the client id and the song"
    );
    assert_eq!(
        pages(&set.link(), Site::SoundCloud).await,
        3,
        "the set, and 55 stubs in batches of 50"
    );
}

#[tokio::test]
async fn a_link_that_many_paste_at_once_is_resolved_once() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for number in 0..12 {
        let plays = lab
            .youtube()
            .video(&format!("plays {number}"))
            .seconds(2.0)
            .publish();
        let refused = lab
            .youtube()
            .video(&format!("private {number}"))
            .refused(Refusal::Private)
            .publish();
        for (song, wanted) in [(plays, 200), (refused, 403)] {
            lab.forget_requests();
            let link = song.link();
            let replies = futures_util::future::join_all((0..25).map(|_| kmds.fetch(&link))).await;
            assert!(
                replies.iter().all(|(status, _)| *status == wanted),
                "{replies:?}"
            );
            let asked = lab
                .count(|seen| seen.kind == kmds_lab::Kind::Page && seen.path.ends_with("/player"));
            assert_eq!(asked, 1, "{wanted}, round {number}");
        }
    }
}

#[tokio::test]
async fn a_hundred_clients_cause_one_download_and_get_the_same_bytes() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("wanted")
        .formats(&[Format::Mp3Progressive])
        .publish();
    let kmds = Kmds::start(&lab);
    let (link, wanted) = (song.link(), song.bytes());
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let (http, url, link, wanted) = (
                kmds.http.clone(),
                kmds.url.clone(),
                link.clone(),
                wanted.clone(),
            );
            tokio::spawn(async move {
                let body = serde_json::json!({ "URL": link }).to_string();
                let reply = http
                    .post(format!("{url}/fetch"))
                    .body(body)
                    .send()
                    .await
                    .expect("an answer");
                let (_, reply) = Reply::of(reply).await;
                let audio = http
                    .get(format!("{url}{}", reply.songs[0].stream()))
                    .timeout(PATIENCE)
                    .send()
                    .await
                    .expect("audio");
                assert_eq!(audio.status(), 200);
                assert_eq!(audio.bytes().await.expect("whole"), wanted);
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    assert_eq!(lab.hits(&song), 1, "the origin is asked once");
}

#[tokio::test]
async fn a_late_listener_joins_the_download_in_progress() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Slow")
        .seconds(60.0)
        .holds_at(kib(256))
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = format!("{}&stream=1", reply.songs[0].tunnel);
    let mut first = kmds.get(&tunnel).await;
    let mut received = Vec::new();
    while received.len() < kib(200) as usize {
        received.extend_from_slice(&first.chunk().await.expect("bytes").expect("more"));
    }
    let second = kmds.get(&tunnel).await;
    song.release();
    while let Some(chunk) = first.chunk().await.expect("bytes") {
        received.extend_from_slice(&chunk);
    }
    assert_eq!(received, song.bytes());
    assert_eq!(second.bytes().await.expect("whole"), song.bytes());
    assert_eq!(lab.hits(&song), 1);
}

#[tokio::test]
async fn a_site_that_says_now_again_and_again_is_not_hammered() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Limited").publish();
    lab.inject(Fault::Status(429, Some(0)).on_media().of(&song));
    // A pause of 60 s that doubles, taken short three times.
    let kmds = Setup::of(&lab)
        .recipes("[bandcamp.hosts]\npace = 0.0\n[time]\nlimit_pause = 60.0\n")
        .start();
    assert_eq!(kmds.fetch(&song.link()).await.0, 200);
    lab.until(|seen| {
        seen.iter()
            .filter(|one| one.kind == kmds_lab::Kind::Media)
            .count()
            >= 2
    })
    .await;
    kmds.until("its wait is told", async || kmds.log().contains("wait_s="))
        .await;
    let log = kmds.log();
    assert!(!log.contains("wait_s=0"), "{log}");
}

#[tokio::test]
async fn a_bot_check_gives_the_site_a_rest() {
    let lab = Lab::start().await;
    let tracks: Vec<_> = (0..3)
        .map(|place| lab.soundcloud().track(&format!("song-{place}")).publish())
        .collect();
    lab.inject(
        Fault::BotCheck
            .on_pages()
            .of_site(Site::SoundCloud)
            .at_host("api-v2.soundcloud.com"),
    );
    let kmds = Kmds::start(&lab);
    for track in &tracks {
        let (status, reply) = kmds.fetch(&track.link()).await;
        assert_eq!((status, &*reply.kind), (429, "bot_check"), "{reply}");
    }
    assert_eq!(
        lab.count(|seen| seen.host == "api-v2.soundcloud.com"),
        1,
        "it blocks this address, whatever is asked"
    );
}

#[tokio::test]
async fn a_song_known_already_keeps_its_name_its_size_and_its_file() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("mp3-only").seconds(30.0).publish();
    let kmds = Kmds::start(&lab);
    let (_, first) = kmds.fetch(&song.link()).await;
    kmds.whole(&first.songs[0]).await;
    let (_, second) = kmds.fetch(&song.link()).await;
    let (first, second) = (&first.songs[0], &second.songs[0]);
    assert_eq!(second.state, "ready");
    let names = |entry: &Entry| {
        (
            entry.file_name.clone(),
            entry.tunnel.clone(),
            entry.path.clone(),
        )
    };
    assert_eq!(names(first), names(second));
    assert!(second.metadata.bytes.is_some());
    assert_eq!(lab.hits(&song), 1);
}
