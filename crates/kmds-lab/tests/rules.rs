//! The lab's rules, seen by a client that knows nothing but HTTP.

mod client;

use client::{Client, aac_url, call, client_id, format_url};
use kmds_lab::bandcamp::Lock;
use kmds_lab::script::{Dialect, PlayerScript};
use kmds_lab::soundcloud::Format;
use kmds_lab::youtube::{Layout, Refusal};
use kmds_lab::{Fault, Kind, Lab, Site, kib, mib};
use serde_json::{Value, json};

#[tokio::test]
async fn plain_requests_and_other_ports_are_refused_and_counted() {
    let lab = Lab::start().await;
    let client = Client::of(&lab);
    assert_eq!(
        client
            .plain("GET http://www.youtube.com/ HTTP/1.1\r\nHost: www.youtube.com\r\n\r\n")
            .await,
        403
    );
    assert_eq!(
        client
            .plain("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n")
            .await,
        403
    );
    assert_eq!(
        lab.refused(),
        ["http://www.youtube.com/", "169.254.169.254:80"]
    );
    assert_eq!(client.get("https://example.org/").await.status, 404);
}

#[tokio::test]
async fn googlevideo_serves_bounded_ranges_of_its_own_urls_and_nothing_else() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Rules").size(mib(2)).publish();
    let client = Client::of(&lab);
    let url = aac_url(&client, &song).await;
    let first = client.get_range(&url, "bytes=0-1048575").await;
    assert_eq!(
        (first.status, first.header("content-range")),
        (206, Some("bytes 0-1048575/2097152"))
    );
    let rest = client.get_range(&url, "bytes=1048576-9999999").await;
    assert_eq!(
        [first.body, rest.body].concat(),
        song.bytes(),
        "the ranges joined are the song"
    );
    for (what, status) in [
        (client.get(&url).await, 403),
        (client.get_range(&url, "bytes=0-").await, 403),
        (client.get_range(&url, "bytes=-100").await, 403),
        (client.get_range(&url, "bytes=0-10485760").await, 403),
        (client.get_range(&url, "bytes=2097152-2097153").await, 416),
        (
            client
                .get_range(&url.replace("itag=140", "itag=139"), "bytes=0-9")
                .await,
            403,
        ),
        (
            client
                .get_range(&url.replace("expire=", "expire=9"), "bytes=0-9")
                .await,
            403,
        ),
        (client.head(&url).await, 403),
        (client.get(&format!("{url}&range=0-99")).await, 200),
    ] {
        assert_eq!(what.status, status);
    }
    lab.youtube().range_limit(mib(1));
    assert_eq!(client.get_range(&url, "bytes=0-1048576").await.status, 403);
    assert_eq!(client.get_range(&url, "bytes=0-1048575").await.status, 206);
    lab.advance(std::time::Duration::from_secs(21_601));
    assert_eq!(
        client.get_range(&url, "bytes=0-9").await.status,
        403,
        "its time is over"
    );
}

#[tokio::test]
async fn only_visionos_is_told_urls_and_the_reel_call_plays_what_is_made_for_kids() {
    let lab = Lab::start().await;
    let kids = lab.youtube().video("For kids").for_kids().publish();
    let plain = lab.youtube().video("For all").publish();
    let private = lab
        .youtube()
        .video("For me")
        .refused(Refusal::Private)
        .publish();
    let client = Client::of(&lab);
    let player = "https://youtubei.googleapis.com/youtubei/v1/player";
    let web = client
        .post(
            player,
            &call("WEB", "2.2026", json!({"videoId": plain.id()})),
        )
        .await
        .json();
    assert!(
        web["streamingData"]["adaptiveFormats"][1]["url"].is_null(),
        "SABR only"
    );
    let refused = client
        .post(
            player,
            &call("VISIONOS", "1.02", json!({"videoId": kids.id()})),
        )
        .await
        .json();
    assert_eq!(
        refused["playabilityStatus"]["reason"],
        "This video is not available"
    );
    assert_eq!(refused["videoDetails"]["title"], "For kids");
    let private = client
        .post(
            player,
            &call("VISIONOS", "1.02", json!({"videoId": private.id()})),
        )
        .await
        .json();
    assert!(private["videoDetails"].is_null());
    assert_eq!(
        client
            .post(
                player,
                &call("VISIONOS", "0.1", json!({"videoId": plain.id()}))
            )
            .await
            .status,
        400
    );
    let missing = client
        .post(
            player,
            &call("VISIONOS", "1.02", json!({"videoId": "AAAAAAAAAAA"})),
        )
        .await
        .json();
    assert_eq!(missing["playabilityStatus"]["status"], "ERROR");
    let reel =
        "https://youtubei.googleapis.com/youtubei/v1/reel/reel_item_watch?$fields=playerResponse";
    let body = call(
        "ANDROID",
        "21.03.36",
        json!({"playerRequest": {"videoId": kids.id()}}),
    );
    let answer = client.post(reel, &body).await.json();
    let muxed = &answer["playerResponse"]["streamingData"]["formats"][0];
    let url = muxed["url"].as_str().expect("itag 18 has a URL");
    let file = client.get_range(url, "bytes=0-9999999").await;
    assert_eq!(file.body, kids.stream_bytes("18").expect("a muxed stream"));
    assert_eq!(
        lab.count(|seen| seen.client_name.as_deref() == Some("ANDROID")),
        1
    );
}

/// A player call as the Samsung television, with this timestamp of the player script.
fn television(song: &kmds_lab::Song, timestamp: u32) -> Value {
    let playback = json!({"contentPlaybackContext": {"signatureTimestamp": timestamp}});
    let mut body = call(
        "TVHTML5",
        "5.20260707",
        json!({"videoId": song.id(), "playbackContext": playback}),
    );
    body["context"]["client"]["deviceMake"] = json!("Samsung");
    body
}

#[tokio::test]
async fn the_television_is_told_challenges_and_media_refuses_or_throttles_an_n_as_it_was_given() {
    let lab = Lab::start().await;
    let script = PlayerScript {
        dialect: Dialect::Plain,
        seed: 6,
    };
    lab.youtube().plays_script(script);
    let song = lab.youtube().video("By script").aac_only().publish();
    let client = Client::of(&lab);
    let player = "https://www.youtube.com/youtubei/v1/player";
    let timestamp = script.signature_timestamp();
    let other = client.post(player, &television(&song, timestamp + 1)).await;
    assert!(
        other.json()["streamingData"]["adaptiveFormats"][1]["url"].is_null(),
        "another player's timestamp"
    );
    let answer = client
        .post(player, &television(&song, timestamp))
        .await
        .json();
    let formats = answer["streamingData"]["adaptiveFormats"]
        .as_array()
        .expect("formats");
    assert!(
        formats
            .iter()
            .any(|format| format["signatureCipher"].is_string()),
        "some have a cipher"
    );
    let given = formats
        .iter()
        .filter(|format| format["itag"] != 137)
        .find_map(|format| format["url"].as_str())
        .expect("some have a URL");
    let n = url::Url::parse(given)
        .expect("a URL")
        .query_pairs()
        .find_map(|(name, value)| (name == "n").then(|| value.into_owned()))
        .expect("an n");
    let transformed = given.replace(&format!("&n={n}"), &format!("&n={}", script.n(&n)));
    assert_eq!(client.get_range(given, "bytes=0-9").await.status, 403);
    assert_eq!(
        client.get_range(&transformed, "bytes=0-9").await.status,
        206
    );
    lab.youtube().paces_given_n(100);
    let slow = std::time::Instant::now();
    assert_eq!(client.get_range(given, "bytes=0-49").await.body.len(), 50);
    assert!(slow.elapsed() > std::time::Duration::from_millis(100));
}

#[tokio::test]
async fn the_clients_without_a_script_can_be_refused_or_told_of_sabr_only() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Song").publish();
    let client = Client::of(&lab);
    let player = "https://youtubei.googleapis.com/youtubei/v1/player";
    let body = call("VISIONOS", "1.04", json!({"videoId": song.id()}));
    lab.youtube().gives_visionos_sabr_only();
    let streaming = client.post(player, &body).await.json()["streamingData"].clone();
    assert!(streaming["serverAbrStreamingUrl"].is_string());
    assert!(
        streaming["adaptiveFormats"]
            .as_array()
            .expect("formats")
            .iter()
            .all(|format| format["url"].is_null() && format["signatureCipher"].is_null())
    );
    lab.youtube().closes_visionos();
    assert_eq!(client.post(player, &body).await.status, 400);
}

#[tokio::test]
async fn a_list_of_250_is_three_pages_in_both_layouts() {
    let lab = Lab::start().await;
    for layout in [Layout::Old, Layout::Lockup] {
        let list = lab
            .youtube()
            .playlist(250)
            .layout(layout)
            .private_at(3)
            .publish();
        let client = Client::of(&lab);
        let browse = "https://www.youtube.com/youtubei/v1/browse?prettyPrint=false";
        let whole = client
            .post(
                browse,
                &call("WEB", "2", json!({"browseId": format!("VL{}", list.id())})),
            )
            .await
            .json();
        let mut page = whole.to_string();
        let mut items = count_items(&page);
        let mut pages = 1;
        while let Some((_, rest)) = page.split_once("\"token\":\"") {
            let token = rest.split('"').next().unwrap_or_default().to_owned();
            page = client
                .post(browse, &call("WEB", "2", json!({"continuation": token})))
                .await
                .json()
                .to_string();
            items += count_items(&page);
            pages += 1;
        }
        assert_eq!((items, pages), (251, 3), "{layout:?}");
    }
    let gone = call(
        "WEB",
        "2",
        json!({"browseId": "VLPL00000000000000000000000000000000"}),
    );
    let alert = Client::of(&lab)
        .post("https://www.youtube.com/youtubei/v1/browse", &gone)
        .await;
    assert!(alert.text().contains("The playlist does not exist."));
}

fn count_items(page: &str) -> usize {
    page.matches("\"playlistVideoRenderer\":").count()
        + page.matches("\"lockupViewModel\":").count()
}

#[tokio::test]
async fn soundcloud_wants_the_current_client_id() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("ordinary-days").publish();
    let client = Client::of(&lab);
    let id = client_id(&client).await;
    let resolve = |id: &str| {
        format!(
            "https://api-v2.soundcloud.com/resolve?url={}&client_id={id}",
            song.link()
        )
    };
    assert_eq!(client.get(&resolve(&id)).await.status, 200);
    lab.soundcloud().rotate_client_id();
    assert_eq!(client.get(&resolve(&id)).await.status, 401);
    assert_eq!(
        client.get(&resolve(&client_id(&client).await)).await.status,
        200
    );
}

#[tokio::test]
async fn hls_pieces_joined_are_the_progressive_file() {
    let lab = Lab::start().await;
    let song = lab.soundcloud().track("slices").seconds(45.0).publish();
    let client = Client::of(&lab);
    let id = client_id(&client).await;
    let whole = client
        .get(&format_url(&client, &song, &id, "progressive").await)
        .await;
    assert_eq!(whole.body, song.bytes());
    let playlist = client
        .get(&format_url(&client, &song, &id, "hls").await)
        .await
        .text();
    let mut joined = Vec::new();
    for line in playlist.lines().filter(|line| line.starts_with("https://")) {
        joined.extend_from_slice(&client.get(line).await.body);
    }
    assert_eq!(joined, song.bytes());
    assert_eq!(song.media_hits(), lab.hits(&song));
    let segment = playlist
        .lines()
        .find(|line| line.contains("/media/"))
        .expect("a segment");
    song.expire_urls();
    assert_eq!(client.get(segment).await.status, 403);
}

#[tokio::test]
async fn an_aac_song_is_its_pieces_with_three_durations_written_in() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("fragments")
        .seconds(25.0)
        .formats(&[Format::AacHls])
        .publish();
    let client = Client::of(&lab);
    let id = client_id(&client).await;
    let playlist = client
        .get(&format_url(&client, &song, &id, "hls").await)
        .await
        .text();
    let (_, rest) = playlist.split_once("URI=\"").expect("a map");
    let mut joined = client
        .get(rest.split('"').next().expect("a URL"))
        .await
        .body;
    for line in playlist.lines().filter(|line| line.starts_with("https://")) {
        joined.extend_from_slice(&client.get(line).await.body);
    }
    let wanted = song.bytes();
    assert_eq!(joined.len(), wanted.len());
    let differing = joined
        .iter()
        .zip(wanted.iter())
        .filter(|(a, b)| a != b)
        .count();
    assert!(
        (1..=12).contains(&differing),
        "three fields of four bytes, not {differing}"
    );
}

#[tokio::test]
async fn batches_are_shuffled_limited_to_fifty_and_silent_about_what_is_gone() {
    let lab = Lab::start().await;
    let set = lab.soundcloud().set(60).deleted_at(7).publish();
    let client = Client::of(&lab);
    let id = client_id(&client).await;
    let page = client
        .get(&format!(
            "https://api-v2.soundcloud.com/resolve?url={}&client_id={id}",
            set.link()
        ))
        .await
        .json();
    let tracks = page["tracks"].as_array().expect("tracks");
    assert_eq!(tracks.len(), 61);
    assert_eq!(
        tracks
            .iter()
            .filter(|track| track.get("title").is_some())
            .count(),
        5
    );
    let ids: Vec<String> = tracks
        .iter()
        .skip(5)
        .take(50)
        .map(|track| track["id"].to_string())
        .collect();
    let batch = |ids: &[String]| {
        format!(
            "https://api-v2.soundcloud.com/tracks?ids={}&client_id={id}",
            ids.join(",")
        )
    };
    let answer = client.get(&batch(&ids)).await.json();
    let got: Vec<String> = answer
        .as_array()
        .expect("an array")
        .iter()
        .map(|track| track["id"].to_string())
        .collect();
    assert_eq!(got.len(), 49, "the deleted one is left out");
    let asked: Vec<String> = ids.iter().filter(|id| got.contains(id)).cloned().collect();
    assert_ne!(got, asked, "in another order");
    let more: Vec<String> = tracks
        .iter()
        .take(51)
        .map(|track| track["id"].to_string())
        .collect();
    assert_eq!(client.get(&batch(&more)).await.json(), json!([]));
}

#[tokio::test]
async fn an_album_page_has_every_song_and_its_urls_die_after_a_day() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).locked_at(1, Lock::Paid).publish();
    let client = Client::of(&lab);
    let page = client.get(&album.link()).await.text();
    let (_, rest) = page.split_once("data-tralbum=\"").expect("the attribute");
    let attribute = rest
        .split('"')
        .next()
        .unwrap_or_default()
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<");
    let tralbum: Value = serde_json::from_str(&attribute).expect("JSON");
    let songs = tralbum["trackinfo"].as_array().expect("songs");
    assert_eq!(songs.len(), 3);
    assert!(songs[1]["file"].is_null());
    let url = songs[0]["file"]["mp3-128"].as_str().expect("a URL");
    assert_eq!(client.get(url).await.body, album.songs()[0].bytes());
    let part = client.get_range(url, "bytes=100-199").await;
    assert_eq!((part.status, part.body.len()), (206, 100));
    lab.advance(std::time::Duration::from_secs(86_401));
    assert_eq!(client.get(url).await.status, 403);
    assert_eq!(
        client
            .get("https://lab-band.bandcamp.com/album/nothing")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_held_song_stops_until_it_is_released() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Hold on")
        .size(mib(1))
        .holds_at(kib(256))
        .publish();
    let client = Client::of(&lab);
    let page = client.get(&song.link()).await.text();
    let (_, rest) = page.split_once("mp3-128&quot;:&quot;").expect("a URL");
    let url = rest
        .split("&quot;")
        .next()
        .unwrap_or_default()
        .replace("&amp;", "&");
    let listening = tokio::spawn({
        let client = Client::of(&lab);
        async move { client.get(&url).await }
    });
    lab.until(|seen| {
        seen.iter()
            .any(|seen| seen.kind == Kind::Media && seen.sent_bytes == kib(256))
    })
    .await;
    assert!(!listening.is_finished());
    song.release();
    assert_eq!(listening.await.expect("heard").body, song.bytes());
    assert_eq!(lab.media_bytes_sent(song.id()), mib(1));
}

#[tokio::test]
async fn each_fault_shows_as_what_it_is() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Broken").size(kib(200)).publish();
    let client = Client::of(&lab);
    let page = client.get(&song.link()).await.text();
    let (_, rest) = page.split_once("mp3-128&quot;:&quot;").expect("a URL");
    let url = rest
        .split("&quot;")
        .next()
        .unwrap_or_default()
        .replace("&amp;", "&");
    let whole = song.bytes();
    let meets = |fault: Fault| {
        lab.clear_faults();
        lab.inject(fault.on_media().of(&song));
        let (client, url) = (Client::of(&lab), url.clone());
        async move { client.try_get(&url).await }
    };
    let short = meets(Fault::ShortBody).await.expect("a head");
    assert_eq!((short.body.len(), short.is_whole), (whole.len() / 2, false));
    let reset = meets(Fault::Reset).await.expect("a head");
    assert_eq!((reset.body.len(), reset.is_whole), (whole.len() / 2, false));
    let wrong = meets(Fault::WrongBytes).await.expect("an answer");
    assert_eq!(wrong.body.len(), whole.len());
    assert_ne!(wrong.body, whole);
    let less = meets(Fault::WrongLength).await.expect("an answer");
    assert_eq!((less.body.len(), less.is_whole), (whole.len() - 1000, true));
    assert_eq!(
        meets(Fault::Empty200).await.expect("an answer").body.len(),
        0
    );
    assert_eq!(
        meets(Fault::HtmlInstead)
            .await
            .expect("an answer")
            .header("content-type"),
        Some("text/html; charset=UTF-8")
    );
    let busy = meets(Fault::Status(503, Some(7))).await.expect("an answer");
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("7")));
    let sent = meets(Fault::RedirectTo("http://169.254.169.254/".into()))
        .await
        .expect("an answer");
    assert_eq!(
        (sent.status, sent.header("location")),
        (302, Some("http://169.254.169.254/"))
    );
    let dead = meets(Fault::ExpiredAt(kib(64))).await.expect("a head");
    assert_eq!((dead.body.len() as u64, dead.is_whole), (kib(64), false));
    assert_eq!(client.get_range(&url, "bytes=65536-").await.status, 403);
    lab.clear_faults();
    for (fault, host) in [
        (Fault::TlsError, "t4.bcbits.com"),
        (Fault::DnsFailure, "t4.bcbits.com"),
    ] {
        lab.clear_faults();
        lab.inject(fault.anywhere().at_host(host));
        assert!(Client::of(&lab).try_get(&url).await.is_none());
        assert_eq!(
            client.get(&song.link()).await.status,
            200,
            "other hosts are well"
        );
    }
}

#[tokio::test]
async fn a_fault_meets_only_those_it_is_meant_for() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Picky").publish();
    let client = Client::of(&lab);
    let body = call("VISIONOS", "1.02", json!({"videoId": song.id()}));
    let native = "https://youtubei.googleapis.com/youtubei/v1/player";
    let other = "https://www.youtube.com/youtubei/v1/player";
    lab.inject(
        Fault::BotCheck
            .on_pages()
            .only_client("VISIONOS")
            .at_host("youtubei.googleapis.com")
            .first(2),
    );
    for (url, status) in [
        (native, "LOGIN_REQUIRED"),
        (other, "OK"),
        (native, "LOGIN_REQUIRED"),
        (native, "OK"),
    ] {
        assert_eq!(
            client.post(url, &body).await.json()["playabilityStatus"]["status"],
            status
        );
    }
    lab.inject(Fault::ChangedPage.on_pages().of(&song));
    assert!(client.post(native, &body).await.json()["videoDetails"].is_null());
    assert_eq!(lab.page_requests(Site::YouTube), 5);
}

#[tokio::test]
async fn a_song_that_changes_has_another_validator_and_other_bytes_from_then_on() {
    let lab = Lab::start().await;
    let video = lab
        .youtube()
        .video("Before")
        .size(kib(300))
        .fault(Fault::ChangedEtag(kib(100)))
        .publish();
    let before = video.bytes();
    let client = Client::of(&lab);
    let url = aac_url(&client, &video).await;
    let cut = client.get_range(&url, "bytes=0-204799").await;
    assert_eq!((cut.body.len() as u64, cut.is_whole), (kib(100), false));
    assert_eq!(
        client.get_range(&url, "bytes=102400-204799").await.status,
        403,
        "the old URL is of the old file"
    );
    let now = aac_url(&client, &video).await;
    let modified = |url: &str| {
        url.split("lmt=")
            .nth(1)
            .and_then(|rest| rest.split('&').next().map(str::to_owned))
    };
    assert_ne!(modified(&url), modified(&now));
    let whole = client.get_range(&now, "bytes=0-999999").await.body;
    assert_eq!(whole, video.bytes());
    assert_ne!(whole, before);
}

#[tokio::test]
async fn a_round_trip_takes_the_time_it_is_told_to() {
    let lab = Lab::start().await;
    let client = Client::of(&lab);
    lab.delay_ms(40);
    let start = std::time::Instant::now();
    client.get("https://soundcloud.com/").await;
    let took = start.elapsed();
    assert!(
        took >= std::time::Duration::from_millis(80),
        "one for the connection, one for the request: {took:?}"
    );
    assert_eq!(lab.connections().len(), 1);
}

#[tokio::test]
async fn labs_do_not_know_each_other() {
    let (one, two) = (Lab::start().await, Lab::start().await);
    let song = one.youtube().video("Mine").id("LabLabLab01").publish();
    let twin = two.youtube().video("Mine").id("LabLabLab01").publish();
    let (first, second) = (Client::of(&one), Client::of(&two));
    let url = aac_url(&first, &song).await;
    aac_url(&second, &twin).await;
    assert_eq!(
        second.get_range(&url, "bytes=0-9").await.status,
        403,
        "another lab's signature"
    );
    assert_eq!((one.hits(&song), two.hits(&twin)), (0, 1));
    assert_eq!(two.hits("youtubei.googleapis.com"), 1);
}
