//! From a link to a file: the main job, site by site, as a client sees it.

mod harness;

use harness::{Kmds, PATIENCE, Setup, read};
use kmds_lab::soundcloud::Format;
use kmds_lab::youtube::Refusal;
use kmds_lab::{Fault, Lab, Site, kib};
use serde_json::Value;

#[tokio::test]
async fn a_youtube_video_arrives_whole_and_its_metadata_at_once() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Ordinary Days")
        .artist("Klaus Veen")
        .seconds(61.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let entry = &reply["Songs"][0];
    assert_eq!(entry["Metadata"]["Title"], "Ordinary Days");
    assert_eq!(entry["Metadata"]["Artist"], "Klaus Veen");
    assert_eq!(entry["Metadata"]["Approximate_Size"], song.len());
    assert_eq!(entry["Metadata"]["Track_Number"], 0);
    assert!(entry["Metadata"]["Track_Total"].is_null());
    assert_eq!(entry["File_Name"], "Klaus Veen - Ordinary Days.m4a");
    assert_eq!(kmds.whole(entry).await, song.bytes());
    // On the drive too, under an id, with a sidecar beside it.
    let path = entry["Cache_Path"].as_str().expect("a path");
    assert_eq!(read(&kmds.folder.path("cache").join(path)), song.bytes());
    assert_eq!(kmds.published(), [path.to_owned(), format!("{path}.json")]);
    assert!(kmds.partials().is_empty());
}

#[tokio::test]
async fn the_ranges_of_a_long_video_come_over_one_connection() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for number in 0..3 {
        // 40 MB: eleven ranges.
        let video = lab
            .youtube()
            .video(&format!("long {number}"))
            .seconds(2500.0)
            .aac_only()
            .publish();
        let song = kmds.fetch(&video.link()).await.1["Songs"][0].clone();
        assert_eq!(kmds.whole(&song).await.len() as u64, video.len());
    }
    let media: Vec<_> = lab
        .connections()
        .into_iter()
        .filter(|one| one.host.ends_with("googlevideo.com"))
        .collect();
    assert_eq!(media.len(), 1, "{media:?}");
}

#[tokio::test]
async fn a_soundcloud_song_joined_from_segments_arrives_whole() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .seconds(45.0)
        .publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn soundcloud_aac_as_one_file_is_taken_where_it_is_listed() {
    let lab = Lab::start().await;
    let formats = [
        Format::AacHls,
        Format::Mp3Progressive,
        Format::AacProgressive,
    ];
    let song = lab
        .soundcloud()
        .track("one-file")
        .seconds(12.0)
        .formats(&formats)
        .publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let media = lab
        .requests()
        .into_iter()
        .filter(|seen| seen.kind == kmds_lab::Kind::Media);
    assert!(
        media
            .map(|seen| seen.path)
            .all(|path| path.ends_with(".160.m4a"))
    );
}

#[tokio::test]
async fn a_bandcamp_album_arrives_whole_in_order() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    let songs = reply["Songs"].as_array().expect("songs");
    for (place, (entry, song)) in songs.iter().zip(album.songs()).enumerate() {
        assert_eq!(entry["Metadata"]["Track_Number"], place + 1);
        assert_eq!(entry["Metadata"]["Track_Total"], 3);
        assert_eq!(kmds.whole(entry).await, song.bytes());
    }
    assert_eq!(
        lab.page_requests(Site::Bandcamp),
        1,
        "one page for the whole album"
    );
}

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
                let reply: Value =
                    serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
                let tunnel = reply["Songs"][0]["Tunnel_URL"]
                    .as_str()
                    .expect("a tunnel")
                    .to_owned();
                let audio = http
                    .get(format!("{url}{tunnel}&stream=1"))
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
    let tunnel = format!(
        "{}&stream=1",
        reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel")
    );
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
async fn work_goes_on_after_a_kill_and_keeps_its_bytes() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Long")
        .seconds(600.0)
        .holds_at(kib(3000))
        .publish();
    let setup = Setup::of(&lab);
    let mut kmds = setup.start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply["Songs"][0].clone();
    let tunnel = entry["Tunnel_URL"].as_str().expect("a tunnel").to_owned();
    kmds.until("3 MB arrive", async || {
        let answer = kmds.get(&tunnel).await;
        let body: Value =
            serde_json::from_slice(&answer.bytes().await.expect("body")).unwrap_or_default();
        body["Received"].as_u64().unwrap_or(0) >= kib(2900)
    })
    .await;
    kmds.kill();
    song.release();
    let kmds = setup.start();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    let sent = lab.media_bytes_sent(song.id());
    assert!(
        sent < song.len() + kib(1200),
        "{sent} bytes were sent of a song of {}",
        song.len()
    );
}

#[tokio::test]
async fn the_tunnel_tells_what_it_is_waiting_for() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Held").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.get("/tunnel").await.status(), 400);
    assert_eq!(
        kmds.get("/tunnel?file=youtube-M4gD1WSo5mA.m4a")
            .await
            .status(),
        404
    );
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a tunnel")
        .to_owned();
    let answer = kmds.get(&tunnel).await;
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(
        kmds.get(&tunnel.replace(".mp3", ".exe")).await.status(),
        404
    );
    let posted = kmds
        .http
        .post(kmds.at(&tunnel))
        .send()
        .await
        .expect("an answer");
    assert_eq!(posted.status(), 405);
    assert!(posted.headers().contains_key("allow"));
    song.release();
    assert_eq!(kmds.whole(&reply["Songs"][0]).await, song.bytes());
    let partial = kmds
        .http
        .get(kmds.at(&tunnel))
        .header("range", "bytes=10-19")
        .send()
        .await
        .expect("an answer");
    assert_eq!(partial.status(), 206);
    assert_eq!(
        partial.bytes().await.expect("a body"),
        song.bytes().slice(10..20)
    );
}

#[tokio::test]
async fn a_removed_song_is_gone_at_once_for_those_who_wait_for_it() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Unwanted").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a tunnel")
        .to_owned();
    let waiting = {
        let (http, url) = (kmds.http.clone(), kmds.at(&format!("{tunnel}&wait=300")));
        tokio::spawn(async move {
            http.get(url)
                .timeout(PATIENCE)
                .send()
                .await
                .expect("an answer")
                .status()
                .as_u16()
        })
    };
    lab.until(|seen| seen.iter().any(|one| one.kind == kmds_lab::Kind::Media))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let removed = kmds
        .http
        .delete(kmds.at(&path))
        .timeout(PATIENCE)
        .send()
        .await
        .expect("an answer");
    assert!(removed.status().is_success());
    assert_eq!(waiting.await.expect("a client"), 404);
    assert_eq!(kmds.get(&tunnel).await.status(), 404);
    assert!(kmds.partials().is_empty() && kmds.published().is_empty());
    // A new fetch brings it back.
    song.release();
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn a_deleted_song_leaves_nothing_on_the_drive() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Short Lease").seconds(30.0).publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    assert_eq!(kmds.published().len(), 2, "audio and sidecar");
    let path = format!("/api/v1/tracks/youtube/{}", song.id());
    let answer = reqwest::Client::new()
        .delete(kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(kmds.published(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_queue_refuses_new_songs_only() {
    let lab = Lab::start().await;
    let known = lab.bandcamp().track("Known").publish();
    let set = lab.soundcloud().set(5).publish();
    let one = set.songs()[4].clone();
    set.songs().iter().for_each(|song| song.hold_at(kib(16)));
    let kmds = Setup::of(&lab)
        .set("KMDS_QUEUE__MAX_SONGS", "5")
        .set("KMDS_SOUNDCLOUD__MAX_DOWNLOADS", "1")
        .start();
    kmds.download(&known.link()).await;
    let (status, reply) = kmds.fetch(&set.link()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kmds.fetch(&known.link()).await.0, 200, "it is ready");
    assert_eq!(kmds.fetch(&one.link()).await.0, 200, "it waits already");
    let more = lab.bandcamp().album(2).publish();
    let answer = kmds
        .http
        .post(kmds.at("/fetch"))
        .body(serde_json::json!({ "URL": more.link() }).to_string());
    let answer = answer.timeout(PATIENCE).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
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
        assert_eq!(
            (status, &reply["Kind"]),
            (429, &"bot_check".into()),
            "{reply}"
        );
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
    kmds.whole(&first["Songs"][0]).await;
    let (_, second) = kmds.fetch(&song.link()).await;
    let (first, second) = (&first["Songs"][0], &second["Songs"][0]);
    assert_eq!(second["State"], "ready");
    for name in ["File_Name", "Tunnel_URL", "Cache_Path"] {
        assert_eq!(first[name], second[name], "{name}");
    }
    assert!(second["Metadata"]["Approximate_Size"].is_u64());
    assert_eq!(lab.hits(&song), 1);
}

#[tokio::test]
async fn a_song_that_waits_is_told_alike_by_both_faces() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("mp3-only")
        .seconds(30.0)
        .formats(&[Format::Mp3Progressive]);
    let song = song.holds_at(0).publish();
    let kmds = Kmds::start(&lab);
    let (_, first) = kmds.fetch(&song.link()).await;
    let (_, second) = kmds.fetch(&song.link()).await;
    assert_eq!(
        first["Songs"][0]["Metadata"],
        second["Songs"][0]["Metadata"]
    );
    let answer = kmds
        .get(&format!("/api/v1/tracks/soundcloud/{}", song.id()))
        .await;
    let track: Value =
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a track");
    assert_eq!(
        track["approximate_bytes"],
        first["Songs"][0]["Metadata"]["Approximate_Size"]
    );
    song.release();
}

#[tokio::test]
async fn a_page_sent_for_a_cover_is_no_cover_and_is_not_kept() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Pictured").publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let cover = format!("/api/v1/tracks/bandcamp/{}/cover", song.id());
    lab.inject(Fault::HtmlInstead.on_covers());
    assert_eq!(kmds.get(&cover).await.status(), 502);
    lab.clear_faults();
    let answer = kmds.get(&cover).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
}

#[tokio::test]
async fn a_fetch_beside_a_removal_never_promises_what_is_gone() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Contested").seconds(5.0).publish();
    let kmds = Kmds::start(&lab);
    let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}", song.id()));
    for _ in 0..20 {
        let (removal, link) = (
            kmds.http.delete(&path).timeout(PATIENCE).send(),
            song.link(),
        );
        let (_, (status, reply)) = tokio::join!(removal, kmds.fetch(&link));
        assert_eq!(status, 200, "{reply}");
        let tunnel = format!(
            "{}&wait=60",
            reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel")
        );
        // Removed after it was asked for, or there: never stuck, never failed.
        let answer = kmds.get(&tunnel).await.status().as_u16();
        assert!([200, 404].contains(&answer), "{answer}");
    }
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
}

#[tokio::test]
async fn a_soundcloud_set_plays_what_is_known_while_its_batches_fail_and_all_of_it_afterwards() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for fault in [
        Fault::Status(500, None),
        Fault::Status(400, None),
        Fault::ShortBody,
        Fault::HtmlInstead,
        Fault::Empty200,
    ] {
        let set = lab.soundcloud().set(8).seconds(2.0).publish();
        lab.inject(
            fault
                .clone()
                .on_pages()
                .at_path("/tracks")
                .at_host("api-v2.soundcloud.com"),
        );
        let (status, reply) = kmds.fetch(&set.link()).await;
        assert_eq!(status, 200, "{fault}: {reply}");
        let numbers = |list: &str, number: fn(&Value) -> &Value| -> Vec<u64> {
            reply[list]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|song| number(song).as_u64())
                .collect()
        };
        assert_eq!(
            numbers("Songs", |song| &song["Metadata"]["Track_Number"]),
            [1, 2, 3, 4, 5],
            "{fault}"
        );
        assert_eq!(
            numbers("Unavailable", |song| &song["Track_Number"]),
            [6, 7, 8],
            "{fault}"
        );
        for untold in reply["Unavailable"].as_array().into_iter().flatten() {
            assert!(
                untold["Reason"]
                    .as_str()
                    .is_some_and(|reason| reason.len() > 20),
                "{fault}: {untold}"
            );
            assert_ne!(untold["Kind"], "not_found", "{fault}");
        }
        lab.clear_faults();
        let (_, reply) = kmds.fetch(&set.link()).await;
        assert_eq!(
            reply["Songs"].as_array().map(Vec::len),
            Some(8),
            "{fault}: what was not told is asked for again"
        );
    }
}

#[tokio::test]
async fn one_bad_value_in_every_page_costs_no_song_of_any_site() {
    let lab = Lab::start().await;
    let links = [
        lab.youtube().video("One").seconds(2.0).publish().link(),
        lab.youtube().playlist(3).publish().link(),
        lab.soundcloud().track("one").seconds(2.0).publish().link(),
        lab.soundcloud().set(8).seconds(2.0).publish().link(),
        lab.bandcamp().track("One").seconds(2.0).publish().link(),
        lab.bandcamp().album(3).publish().link(),
        lab.bandcamp().album(2).publish().embed_link(),
    ];
    lab.inject(Fault::OddValue.on_pages());
    let kmds = Kmds::start(&lab);
    for (link, songs) in links.iter().zip([1, 3, 1, 8, 1, 3, 2]) {
        let (status, reply) = kmds.fetch(link).await;
        assert_eq!(status, 200, "{link}: {reply}");
        assert_eq!(
            reply["Songs"].as_array().map(Vec::len),
            Some(songs),
            "{link}: {reply}"
        );
    }
    kmds.download(&links[2]).await;
}

#[tokio::test]
async fn songs_of_a_bandcamp_album_are_numbered_by_place_where_its_numbers_do_not_count_them() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for numbers in [
        [Some(1); 3],
        [None, Some(1), Some(12)],
        [None; 3],
        [Some(1), Some(2), Some(1)],
    ] {
        let album = lab
            .bandcamp()
            .album(3)
            .numbered(&numbers)
            .locked_at(1, kmds_lab::bandcamp::Lock::Paid)
            .publish();
        let (_, reply) = kmds.fetch(&album.link()).await;
        let shown = [
            &reply["Songs"][0]["Metadata"],
            &reply["Unavailable"][0],
            &reply["Songs"][1]["Metadata"],
        ];
        assert_eq!(
            shown.map(|song| song["Track_Number"].as_u64()),
            [Some(1), Some(2), Some(3)],
            "{numbers:?}: {reply}"
        );
    }
}

#[tokio::test]
async fn a_link_out_of_a_chat_is_taken_on_every_site_and_of_two_none_is_dropped() {
    let lab = Lab::start().await;
    let links = [
        lab.youtube().video("One").seconds(2.0).publish().link(),
        lab.soundcloud().track("one").seconds(2.0).publish().link(),
        lab.bandcamp().track("One").seconds(2.0).publish().link(),
    ];
    let kmds = Kmds::start(&lab);
    for link in &links {
        let wanted = kmds.fetch(link).await.1["Songs"][0]["Cache_Path"].clone();
        for (before, after) in [
            ("<", ">"),
            ("(", ")."),
            ("||", "||"),
            ("[a song](", ")"),
            ("listen to ", ", please"),
            ("\u{feff}", "\u{200b}"),
        ] {
            let (status, reply) = kmds.fetch(&format!("{before}{link}{after}")).await;
            assert_eq!(
                (status, &reply["Songs"][0]["Cache_Path"]),
                (200, &wanted),
                "{before}{link}{after}: {reply}"
            );
        }
        for second in &links {
            for between in [" ", ",", "\n", " and "] {
                let (status, reply) = kmds.fetch(&format!("{link}{between}{second}")).await;
                assert_eq!(
                    (status, reply["Kind"].as_str()),
                    (400, Some("unsupported_link")),
                    "{reply}"
                );
                assert!(
                    reply["Error"]
                        .as_str()
                        .is_some_and(|sentence| sentence.contains("two links")),
                    "{reply}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_id_is_found_where_neither_the_home_page_nor_its_last_script_has_it() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("one").seconds(2.0).publish();
    lab.inject(Fault::ChangedPage.on_pages().at_host("soundcloud.com"));
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let scripts =
        lab.count(|seen| seen.host == "a-v2.sndcdn.com" && seen.kind == kmds_lab::Kind::Page);
    assert_eq!(scripts, 2, "the last, and the one that has it");
}
