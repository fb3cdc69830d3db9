//! Bandcamp's pages, refusals and failures, row by row of the field notes (sections 6, 8, 13, 14 and 17).

mod bandcamp_site;

use std::time::Duration;

use bandcamp_site::{
    Answer, EXPIRY_UNIX, NOW_UNIX, Site, album, album_page, challenge, file_url, html, locked, mobile, page, player,
    redirected, song, track, track_page, with_header,
};
use kmds_extract::error::{ExtractError, Kind};
use kmds_extract::link::Link;
use kmds_extract::origin::OriginError;
use kmds_extract::stream::{Codec, Container, Delivery};
use kmds_extract::track::{BandcampSource, Collection, Entry, Lack, Refreshed, Resolved, Source, Track};
use kmds_extract::{Recipes, refresh, resolve};
use serde_json::{Value, json};

const ALBUM: &str = "https://tinharbour.bandcamp.com/album/low-tide";
const TRACK: &str = "https://tinharbour.bandcamp.com/track/song-4";
const PLAYER_TRACK: &str = "https://bandcamp.com/EmbeddedPlayer/v=2/track=4/size=large/";
const PLAYER_ALBUM: &str = "https://bandcamp.com/EmbeddedPlayer/album=9/";

async fn ask(site: &Site, link: &str) -> Result<Resolved, ExtractError> {
    resolve(&Link::parse(link).expect("a link"), site, &Recipes::built_in()).await
}

/// Of a site that answers everything alike.
async fn answered(link: &str, answer: Answer) -> Result<Resolved, ExtractError> {
    ask(&Site::new().with("", answer), link).await
}

async fn one(link: &str, answer: Answer) -> Track {
    match answered(link, answer).await {
        Ok(Resolved::Track(track)) => *track,
        other => panic!("{other:?}"),
    }
}

async fn many(link: &str, answer: Answer) -> Collection {
    match answered(link, answer).await {
        Ok(Resolved::Collection(collection)) => collection,
        other => panic!("{other:?}"),
    }
}

async fn refusal(link: &str, answer: Answer) -> ExtractError {
    answered(link, answer).await.expect_err("a refusal")
}

fn songs(collection: &Collection) -> Vec<&Track> {
    collection
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(track) => track.as_ref(),
            Entry::Unavailable(missing) => panic!("{missing:?}"),
        })
        .collect()
}

fn kinds(collection: &Collection) -> Vec<Option<Kind>> {
    collection
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(_) => None,
            Entry::Unavailable(missing) => Some(missing.error.kind()),
        })
        .collect()
}

fn url(track: &Track) -> &str {
    match &track.streams[0].delivery {
        Delivery::File { url } => url,
        other => panic!("{other:?}"),
    }
}

// What one page gives.

#[tokio::test]
async fn an_album_of_any_length_is_one_request() {
    for length in [1, 3, 62] {
        let songs = (1..=length).map(|number| song(100 + number, number, "Ebb")).collect();
        let site = Site::new().with("/album/", album_page(&album(songs)));
        let Ok(Resolved::Collection(collection)) = ask(&site, ALBUM).await else { panic!("an album") };
        assert_eq!(collection.entries.len() as u64, length);
        assert_eq!(site.urls(), [ALBUM]);
    }
}

#[tokio::test]
async fn requests_carry_a_browsers_headers_and_no_cookie() {
    let site = Site::new().with("", track_page(&track(song(4, 4, "Ebb"))));
    ask(&site, TRACK).await.expect("a track");
    let requests = site.requests();
    let names: Vec<_> = requests[0].headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["User-Agent", "Accept-Language"]);
    assert!(requests[0].headers[0].1.starts_with("Mozilla/5.0"));
    assert_eq!(requests[0].max_bytes, 8 << 20);
}

#[tokio::test]
async fn an_album_page_tells_everything_about_its_songs() {
    let collection = many(ALBUM, album_page(&album(vec![song(11, 1, "It's <Ebb>"), song(12, 2, "Flow - Live")]))).await;
    assert_eq!(collection.id, "2833347880");
    assert_eq!(collection.link, ALBUM);
    assert_eq!(collection.title.as_deref(), Some("Low Tide & Rain"));
    assert_eq!(collection.artist.as_deref(), Some("Tin Harbour"));
    let cover = Some("https://f4.bcbits.com/img/a3697716070_10.jpg");
    assert_eq!(collection.cover_url.as_deref(), cover);
    assert!(!collection.truncated && !collection.endless);

    let songs = songs(&collection);
    let first = songs[0];
    assert_eq!(first.id.to_string(), "bandcamp-11");
    assert_eq!(first.title, "It's <Ebb>");
    assert_eq!(first.artist.as_deref(), Some("Tin Harbour"));
    assert_eq!(first.album.as_deref(), Some("Low Tide & Rain"));
    assert_eq!(first.album_artist.as_deref(), Some("Tin Harbour"));
    assert_eq!((first.number, first.total), (Some(1), Some(2)));
    assert_eq!(first.duration, Some(Duration::from_secs_f64(95.1733)));
    assert_eq!(first.cover_url.as_deref(), cover);
    assert_eq!(first.date.as_deref(), Some("2019-11-01"));
    assert_eq!(first.link, "https://tinharbour.bandcamp.com/track/song-1");
    assert_eq!(
        first.source,
        Source::Bandcamp(BandcampSource { page: Some(ALBUM.to_owned()), track_id: 11, band_id: Some(1_196_681_540) })
    );
    assert_eq!(songs[1].title, "Flow - Live");
    assert_eq!(songs[1].number, Some(2));
}

#[tokio::test]
async fn the_stream_is_the_mp3_that_needs_no_conversion() {
    let track = one(TRACK, track_page(&track(song(4, 4, "Ebb")))).await;
    let [stream] = track.streams.as_slice() else { panic!("one stream") };
    assert_eq!((stream.container, stream.codec), (Container::Mp3, Codec::Mp3));
    assert_eq!(stream.bitrate_bps, Some(128_000));
    assert_eq!(stream.size_bytes, None);
    assert_eq!(stream.approximate_size(), Some(1_522_773));
    assert_eq!(stream.expires_unix, Some(EXPIRY_UNIX));
    assert_eq!(stream.validator, "bandcamp 4 mp3-128");
    assert!(!stream.bounded_ranges && !stream.muxed);
    assert_eq!(url(&track), file_url(4));
    assert!(!format!("{stream:?}").contains("token"), "signatures are not printed");
}

#[tokio::test]
async fn a_song_asked_for_alone_has_its_album_and_number_but_no_total() {
    let track = one(TRACK, track_page(&track(song(3_486_455_278, 4, "Ebb")))).await;
    assert_eq!(track.id.id(), "3486455278");
    assert_eq!(track.album.as_deref(), Some("Low Tide"));
    assert_eq!((track.number, track.total), (Some(4), None));
    assert_eq!(track.cover_url.as_deref(), Some("https://f4.bcbits.com/img/a0076513327_10.jpg"));
    assert_eq!(track.date.as_deref(), Some("2020-01-01"));
    assert_eq!(track.link, TRACK);
}

#[tokio::test]
async fn the_releases_own_words_win_over_those_of_the_shop() {
    let mut tralbum = track(song(4, 4, "Ebb"));
    tralbum["current"]["track_number"] = json!(7);
    tralbum["current"]["artist"] = json!("Some Label");
    tralbum["current"]["art_id"] = json!(1);
    let track = one(TRACK, track_page(&tralbum)).await;
    assert_eq!((track.number, track.artist.as_deref()), (Some(7), Some("Tin Harbour")));
    assert_eq!(track.cover_url.as_deref(), Some("https://f4.bcbits.com/img/a0076513327_10.jpg"));
}

#[tokio::test]
async fn the_album_of_a_track_comes_from_the_embed_then_from_linked_data() {
    let tralbum = track(song(4, 4, "Ebb"));
    let linked = json!({"name": "Ebb", "inAlbum": {"name": "From Linked"}});
    for (embed, linked, album) in [
        (json!({"album_title": "From Embed"}), linked.clone(), Some("From Embed")),
        (json!({}), linked.clone(), Some("From Linked")),
        (json!("broken"), linked, Some("From Linked")),
        (json!({}), json!({"inAlbum": 7}), None),
        (json!({}), json!([]), None),
    ] {
        let track = one(TRACK, page(200, &html(&tralbum, &embed, &linked))).await;
        assert_eq!(track.album.as_deref(), album, "{embed} {linked}");
    }
}

#[tokio::test]
async fn a_single_has_neither_album_nor_number() {
    let mut single = track(song(4, 1, "Ebb"));
    for key in ["album_id", "track_number", "release_date"] {
        single["current"][key] = Value::Null;
    }
    single["album_url"] = Value::Null;
    single["album_release_date"] = Value::Null;
    single["trackinfo"][0]["track_num"] = Value::Null;
    let embed = json!({"title": "Ebb", "numtracks": 1});
    let linked = json!({"name": "Ebb", "inAlbum": {"name": "Ebb"}});
    let track = one(TRACK, page(200, &html(&single, &embed, &linked))).await;
    assert_eq!((track.album, track.number, track.total), (None, None, None));
    assert_eq!(track.date.as_deref(), Some("2019-03-10"));
}

#[tokio::test]
async fn what_is_not_needed_may_be_missing_or_of_another_type() {
    let mut bare = song(4, 4, "Ebb");
    bare["duration"] = json!(0.0);
    bare["title_link"] = Value::Null;
    bare["track_num"] = json!("x");
    let mut tralbum = album(vec![bare]);
    tralbum["art_id"] = json!(0);
    tralbum["current"]["art_id"] = Value::Null;
    tralbum["is_preorder"] = json!({"odd": 1});
    tralbum["current"]["release_date"] = json!("soon");
    tralbum["album_release_date"] = json!(5);
    tralbum["current"]["publish_date"] = Value::Null;
    let collection = many(ALBUM, album_page(&tralbum)).await;
    let songs = songs(&collection);
    assert_eq!((songs[0].duration, songs[0].cover_url.as_deref(), songs[0].date.as_deref()), (None, None, None));
    assert_eq!(songs[0].number, Some(1));
    assert_eq!(songs[0].link, "https://bandcamp.com/EmbeddedPlayer/track=4");
}

#[tokio::test]
async fn an_unreadable_song_costs_its_place_and_not_the_album() {
    for odd in [Value::Null, json!("song"), json!(7), json!([])] {
        let collection = many(ALBUM, album_page(&album(vec![song(11, 1, "Ebb"), odd, song(13, 3, "Flow")]))).await;
        assert_eq!(kinds(&collection), [None, Some(Kind::PageChanged), None]);
        let Entry::Unavailable(missing) = &collection.entries[1] else { panic!("unreadable") };
        assert_eq!(missing.number, 2);
    }
}

// Section 6: artists.

#[tokio::test]
async fn a_song_with_its_own_artist_loses_exactly_that_prefix() {
    let mut guest = song(12, 2, "Mara Quill - Flow");
    guest["artist"] = json!("Mara Quill");
    let collection = many(ALBUM, album_page(&album(vec![song(11, 1, "Mara Quill - Ebb"), guest]))).await;
    let songs = songs(&collection);
    assert_eq!((songs[0].title.as_str(), songs[0].artist.as_deref()), ("Mara Quill - Ebb", Some("Tin Harbour")));
    assert_eq!((songs[1].title.as_str(), songs[1].artist.as_deref()), ("Flow", Some("Mara Quill")));
    assert_eq!(songs[1].album_artist.as_deref(), Some("Tin Harbour"));
}

#[tokio::test]
async fn a_compilations_titles_are_split_only_when_various_artists_made_it() {
    let mut tralbum = album(vec![song(11, 1, "Mara Quill - Ebb"), song(12, 2, "Ann - Sea - Live")]);
    tralbum["artist"] = json!("Various Artists");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    let songs = songs(&collection);
    assert_eq!((songs[0].title.as_str(), songs[0].artist.as_deref()), ("Ebb", Some("Mara Quill")));
    assert_eq!((songs[1].title.as_str(), songs[1].artist.as_deref()), ("Ann - Sea - Live", Some("Various Artists")));
    assert_eq!(songs[0].album_artist.as_deref(), Some("Various Artists"));
}

#[tokio::test]
async fn a_compilation_song_asked_for_alone_has_its_bare_title() {
    let mut tralbum = track(song(4, 4, "Mara Quill - Flow"));
    tralbum["artist"] = json!("Mara Quill");
    let linked = json!({"name": "Flow", "byArtist": {"name": "Mara Quill"}});
    let track = one(TRACK, page(200, &html(&tralbum, &json!({}), &linked))).await;
    assert_eq!((track.title.as_str(), track.artist.as_deref()), ("Flow", Some("Mara Quill")));
}

// Section 8 and 17: other encodings.

#[tokio::test]
async fn without_the_usual_encoding_the_first_one_on_an_allowed_host_is_taken() {
    let rows = [
        (
            json!({"aac-hi": "https://t4.bcbits.com/a", "flac": "https://t4.bcbits.com/b"}),
            Some("m4a"),
            "https://t4.bcbits.com/a",
        ),
        (
            json!({"vorbis": "https://evil.example/a", "flac": "https://t4.bcbits.com/b"}),
            Some("flac"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"ogg-96": "http://t4.bcbits.com/a", "mp3-v0": "//t4.bcbits.com/b"}),
            Some("mp3"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"zip-1": "https://t4.bcbits.com/a", "opus-64": "https://t4.bcbits.com/b"}),
            Some("opus"),
            "https://t4.bcbits.com/b",
        ),
        (
            json!({"aac-hi": "https://t4.bcbits.com/a", "mp3-128": "//t4.bcbits.com/b"}),
            Some("mp3"),
            "https://t4.bcbits.com/b",
        ),
        (json!({"mp3-128": "https://bcbits.com.evil.example/a"}), None, ""),
        (json!({"mp3-128": "https://u@t4.bcbits.com/a"}), None, ""),
    ];
    for (file, extension, want) in rows {
        let mut other = song(4, 4, "Ebb");
        other["file"] = file.clone();
        match (answered(TRACK, track_page(&track(other))).await, extension) {
            (Ok(Resolved::Track(track)), Some(extension)) => {
                assert_eq!((track.streams[0].extension(), url(&track)), (extension, want), "{file}");
            }
            (Err(error), None) => assert_eq!(error.kind(), Kind::PageChanged, "{file}"),
            (other, _) => panic!("{file}: {other:?}"),
        }
    }
}

// Section 14: what cannot be played.

#[tokio::test]
async fn a_paid_track_is_refused_with_its_title() {
    let error = refusal(TRACK, track_page(&track(locked(4, 4, "Mix")))).await;
    assert_eq!((error.kind(), error.title()), (Kind::PaidOnly, Some("Mix")));
}

#[tokio::test]
async fn an_album_that_hides_all_its_songs_is_paid_only() {
    let error = refusal(ALBUM, album_page(&album(Vec::new()))).await;
    assert_eq!((error.kind(), error.title()), (Kind::PaidOnly, Some("Low Tide & Rain")));
}

#[tokio::test]
async fn locked_songs_keep_their_places_and_say_why() {
    let mut unreleased = locked(12, 2, "Later");
    unreleased["unreleased_track"] = json!(true);
    let mut preordered = locked(13, 3, "Soon");
    preordered["album_preorder"] = json!(true);
    preordered["title_link"] = Value::Null;
    let mut preordered_with_page = locked(14, 4, "Page");
    preordered_with_page["album_preorder"] = json!(true);
    let songs = vec![song(11, 1, "Ebb"), unreleased, preordered, preordered_with_page, locked(15, 5, "Paid")];
    let collection = many(ALBUM, album_page(&album(songs))).await;
    assert_eq!(
        kinds(&collection),
        [None, Some(Kind::Unreleased), Some(Kind::Unreleased), Some(Kind::PaidOnly), Some(Kind::PaidOnly)]
    );
    let Entry::Unavailable(missing) = &collection.entries[4] else { panic!("locked") };
    assert_eq!((missing.number, missing.title.as_deref()), (5, Some("Paid")));
    let Entry::Track(first) = &collection.entries[0] else { panic!("playable") };
    assert_eq!(first.total, Some(5));
}

#[tokio::test]
async fn a_preordered_album_marks_songs_without_a_page_as_unreleased() {
    let mut hidden = locked(12, 2, "Later");
    hidden["title_link"] = Value::Null;
    let mut tralbum = album(vec![song(11, 1, "Ebb"), hidden, locked(13, 3, "Has a page")]);
    tralbum["is_preorder"] = json!(true);
    tralbum["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    assert_eq!(kinds(&collection), [None, Some(Kind::Unreleased), Some(Kind::PaidOnly)]);
}

#[tokio::test]
async fn a_release_of_the_future_is_unreleased_and_names_its_day() {
    let mut tralbum = album(vec![locked(11, 1, "Ebb"), locked(12, 2, "Flow")]);
    tralbum["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let collection = many(ALBUM, album_page(&tralbum)).await;
    for entry in &collection.entries {
        let Entry::Unavailable(missing) = entry else { panic!("locked") };
        assert_eq!(missing.error.kind(), Kind::Unreleased);
        assert!(missing.error.to_string().contains("2026-12-24"), "{}", missing.error);
    }
    // Put off: the old day stands in one of the two fields.
    tralbum["current"]["release_date"] = json!("01 Nov 2019 00:00:00 GMT");
    tralbum["album_release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    tralbum["trackinfo"] = json!([]);
    let error = refusal(ALBUM, album_page(&tralbum)).await;
    assert_eq!(error.kind(), Kind::Unreleased);
    assert!(error.to_string().contains("2026-12-24"), "{error}");

    let mut single = track(locked(4, 4, "Ebb"));
    single["current"]["release_date"] = json!("24 Dec 2026 00:00:00 GMT");
    let error = refusal(TRACK, track_page(&single)).await;
    assert_eq!(error.kind(), Kind::Unreleased);
    assert!(error.to_string().contains("2026-12-24"), "{error}");
}

#[tokio::test]
async fn subscribers_only_is_members_only() {
    let mut tralbum = album(vec![locked(11, 1, "Ebb")]);
    tralbum["tralbum_subscriber_only"] = json!(true);
    assert_eq!(refusal(ALBUM, album_page(&tralbum)).await.kind(), Kind::MembersOnly);
    let mut tralbum = track(locked(11, 1, "Ebb"));
    tralbum["tralbum_subscriber_only"] = json!(true);
    assert_eq!(refusal(TRACK, track_page(&tralbum)).await.kind(), Kind::MembersOnly);
}

// Section 17: the failure table.

#[tokio::test]
async fn every_failing_answer_has_its_kind_and_is_asked_for_once() {
    let tralbum = album(vec![song(11, 1, "Ebb")]);
    let mut no_current = tralbum.clone();
    no_current["current"] = Value::Null;
    let mut no_songs = tralbum.clone();
    no_songs["trackinfo"] = Value::Null;
    let broken = html(&tralbum, &json!({}), &json!({})).replace("&quot;trackinfo&quot;:", "&quot;trackinfo&quot;");
    let cut = html(&tralbum, &json!({}), &json!({})).split("trackinfo").next().unwrap_or_default().to_owned();
    let good = html(&tralbum, &json!({}), &json!({}));
    let rows: Vec<(&str, Answer, Kind)> = vec![
        ("challenge", challenge(), Kind::BotCheck),
        ("challenge by its assets", page(200, "<script src=\"/_fs-ch-9/x\">"), Kind::BotCheck),
        ("Varnish", page(403, "<?xml?><h1>Error 54113</h1>"), Kind::BotCheck),
        ("limit", page(429, ""), Kind::RateLimited),
        ("limit with a challenge's words", page(429, "Client Challenge"), Kind::RateLimited),
        ("gone", page(404, "Sorry"), Kind::NotFound),
        ("moved away, followed", redirected("https://evil.example/album/x", &good), Kind::UnsupportedLink),
        (
            "moved to the site itself",
            redirected("https://bandcamp.com/signup?new_domain=x", &good),
            Kind::UnsupportedLink,
        ),
        (
            "moved to a look-alike",
            redirected("https://x.bandcamp.com.evil.example/album/x", &good),
            Kind::UnsupportedLink,
        ),
        ("moved away, refused", Err(OriginError::NotAllowed("evil.example".to_owned())), Kind::UnsupportedLink),
        ("band page without releases", page(200, "<script data-band=\"{}\">"), Kind::UnsupportedLink),
        ("neither", page(200, "<html>hello</html>"), Kind::PageChanged),
        (
            "linked data only",
            page(200, "<script type=\"application/ld+json\">{\"name\":\"x\"}</script>"),
            Kind::PageChanged,
        ),
        ("band page", album_page(&no_current), Kind::UnsupportedLink),
        ("band page's other shape", album_page(&json!({"url": "https://x.bandcamp.com"})), Kind::UnsupportedLink),
        ("broken JSON", page(200, &broken), Kind::PageChanged),
        ("cut page", page(200, &cut), Kind::PageChanged),
        ("no trackinfo", album_page(&no_songs), Kind::PageChanged),
        ("failing", page(503, "try later"), Kind::OriginFailed),
        ("cut off", Err(OriginError::Failed("connection reset".to_owned())), Kind::OriginFailed),
        ("silent", Err(OriginError::Timeout), Kind::Timeout),
        ("endless", Err(OriginError::TooLarge(8 << 20)), Kind::PageChanged),
        ("must wait", Err(OriginError::Wait(Duration::from_secs(9))), Kind::RateLimited),
        ("refused", page(401, ""), Kind::OriginRefused),
    ];
    for (name, answer, kind) in rows {
        let site = Site::new().with("", answer);
        let error = ask(&site, ALBUM).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(site.urls().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_changed_page_names_what_is_missing() {
    let mut tralbum = album(vec![song(11, 1, "Ebb")]);
    tralbum.as_object_mut().expect("an object").remove("trackinfo");
    assert!(refusal(ALBUM, album_page(&tralbum)).await.to_string().contains("trackinfo"));
    assert!(refusal(ALBUM, page(200, "<html></html>")).await.to_string().contains("data-tralbum"));
}

#[tokio::test]
async fn limits_and_challenges_say_how_long_to_wait_if_the_site_does() {
    for (answer, seconds) in [
        (page(429, ""), None),
        (with_header(page(429, ""), "retry-after", "17"), Some(17)),
        (with_header(page(429, ""), "retry-after", "soon"), None),
        (with_header(page(429, ""), "retry-after", "Mon, 25 May 2026 18:37:11 GMT"), Some(90)),
        (challenge(), Some(300)),
        (page(403, ""), Some(300)),
    ] {
        assert_eq!(refusal(ALBUM, answer).await.retry_after(), seconds.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_long_page_that_mentions_a_challenge_is_no_challenge() {
    let tralbum = album(vec![song(11, 1, "Client Challenge")]);
    assert_eq!(songs(&many(ALBUM, album_page(&tralbum)).await)[0].title, "Client Challenge");
}

#[tokio::test]
async fn after_a_redirect_the_page_that_answered_counts() {
    let body = html(&album(vec![song(11, 1, "Ebb")]), &json!({}), &json!({}));
    let collection = many(TRACK, redirected("https://newname.bandcamp.com/album/moved?from=x", &body)).await;
    assert_eq!(collection.link, "https://newname.bandcamp.com/album/moved");
    assert_eq!(songs(&collection)[0].link, "https://newname.bandcamp.com/track/song-1");
}

// Section 11: band pages.

const BAND: &str = "https://tinharbour.bandcamp.com/";

#[tokio::test]
async fn a_band_page_that_leads_to_a_release_is_that_release() {
    let body = html(&album(vec![song(11, 1, "Ebb")]), &json!({}), &json!({}));
    for asked in [BAND, "https://tinharbour.bandcamp.com/music", "https://tinharbour.bandcamp.com/releases"] {
        let site = Site::new().with("", redirected(ALBUM, &body));
        let Ok(Resolved::Collection(collection)) = ask(&site, asked).await else { panic!("{asked}: an album") };
        assert_eq!((collection.link.as_str(), site.urls()), (ALBUM, vec![asked.to_owned()]));
    }
}

#[tokio::test]
async fn a_band_page_that_shows_its_only_release_is_that_release() {
    let mut tralbum = album(vec![song(11, 1, "Ebb")]);
    for url in [ALBUM, "https://tinharbour.example/album/low-tide"] {
        tralbum["url"] = json!(url);
        assert_eq!(many(BAND, album_page(&tralbum)).await.link, ALBUM);
    }
}

#[tokio::test]
async fn a_band_page_with_many_releases_names_the_newest() {
    let grid = "<script data-band=\"{}\"></script><a href=\"/music\">music</a><ol data-x=\"1\" id=\"music-grid\">\
        <li data-item-id=\"album-2\"><a href=\"/album/low-tide\"></a></li><li><a href=\"/album/older\"></a></li></ol>";
    let refused = refusal(BAND, page(200, grid)).await;
    assert_eq!(refused.kind(), Kind::UnsupportedLink);
    assert!(refused.to_string().contains(&format!("its newest is {ALBUM}")), "{refused}");
    let refused = refusal(BAND, page(200, "<script data-band=\"{}\">")).await.to_string();
    assert!(refused.contains("give the link") && !refused.contains("newest"), "{refused}");
}

// Sections 9 and 13: bare ids.

#[tokio::test]
async fn a_bare_track_id_is_one_mobile_answer() {
    let site = Site::new().with("/api/mobile/22/tralbum_details", page(200, &mobile(4).to_string()));
    let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else { panic!("a track") };
    assert_eq!(
        site.urls(),
        ["https://bandcamp.com/api/mobile/22/tralbum_details?band_id=1&tralbum_id=4&tralbum_type=t"]
    );
    assert_eq!((track.title.as_str(), track.artist.as_deref()), ("Ebb", Some("Tin Harbour")));
    assert_eq!((track.album.as_deref(), track.number, track.total), (Some("Low Tide"), Some(4), None));
    assert_eq!(track.date.as_deref(), Some("2020-01-01"));
    assert_eq!(track.cover_url.as_deref(), Some("https://f4.bcbits.com/img/a0076513327_10.jpg"));
    assert_eq!(track.link, TRACK);
    assert_eq!(track.streams[0].validator, "bandcamp 4 mp3-128");
    assert!(track.streams[0].expires_unix.is_some_and(|at| at > NOW_UNIX), "its ts is the time of asking");
    assert_eq!(
        track.source,
        Source::Bandcamp(BandcampSource { page: Some(TRACK.to_owned()), track_id: 4, band_id: Some(1_196_681_540) })
    );
}

#[tokio::test]
async fn a_bare_album_id_gives_its_songs_with_their_own_covers() {
    let mut answer = mobile(4);
    answer["type"] = json!("a");
    answer["id"] = json!(9);
    answer["title"] = json!("Low Tide");
    answer["bandcamp_url"] = json!(ALBUM);
    answer["tracks"][0]["art_id"] = json!(5);
    answer["tracks"][0]["track_num"] = json!(1);
    let site = Site::new().with("tralbum_id=9&tralbum_type=a", page(200, &answer.to_string()));
    let Ok(Resolved::Collection(collection)) = ask(&site, PLAYER_ALBUM).await else { panic!("an album") };
    assert_eq!((collection.id.as_str(), collection.link.as_str()), ("9", ALBUM));
    let songs = songs(&collection);
    assert_eq!(songs[0].cover_url.as_deref(), Some("https://f4.bcbits.com/img/a0000000005_10.jpg"));
    assert_eq!((songs[0].number, songs[0].total, songs[0].album.as_deref()), (Some(1), Some(1), Some("Low Tide")));
}

#[tokio::test]
async fn the_players_page_is_the_second_door_of_bare_ids() {
    let tracks = json!([{"id": 4, "title": "Ebb", "artist": "Tin Harbour", "duration": 124.8, "file": {"mp3-128": file_url(4)}}]);
    for first in [challenge(), page(403, ""), page(404, ""), page(200, "<html>"), page(200, "{}"), page(500, "")] {
        let site = Site::new().with("/api/", first).with("/EmbeddedPlayer/track=4", player(&tracks, TRACK));
        let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else { panic!("a track") };
        assert_eq!(site.urls().len(), 2);
        assert_eq!(
            (track.title.as_str(), track.album.as_deref(), track.link.as_str()),
            ("Ebb", Some("Low Tide"), TRACK)
        );
        assert_eq!(url(&track), file_url(4));
    }
}

#[tokio::test]
async fn bare_ids_fail_in_the_words_of_the_door_that_knows() {
    let error = |message: &str| page(200, &json!({"error": true, "error_message": message}).to_string());
    let mut paid = mobile(4);
    paid["tracks"][0]["streaming_url"] = Value::Null;
    let paid = page(200, &paid.to_string());
    for (mobile, player, kind, requests) in [
        (error("band_id 0 not found"), page(500, ""), Kind::NotFound, 1),
        (error("tralbum 4 not found"), page(500, ""), Kind::NotFound, 1),
        (error("band_id 1 not found"), page(404, ""), Kind::NotFound, 2),
        (error("try again"), page(404, ""), Kind::NotFound, 2),
        (paid, page(500, ""), Kind::PaidOnly, 1),
        (page(429, ""), page(500, ""), Kind::RateLimited, 1),
        (challenge(), challenge(), Kind::BotCheck, 2),
        (challenge(), page(200, "<html>"), Kind::BotCheck, 2),
        (page(200, "[]"), page(200, "<html>"), Kind::PageChanged, 2),
        (page(200, "[]"), Err(OriginError::Timeout), Kind::Timeout, 2),
    ] {
        let site = Site::new().with("/api/", mobile).with("/EmbeddedPlayer/", player);
        let error = ask(&site, PLAYER_TRACK).await.expect_err("a failure");
        assert_eq!((error.kind(), site.urls().len()), (kind, requests), "{error}");
    }
}

// Fresh stream URLs.

fn source(page: Option<&str>, band_id: Option<u64>) -> Source {
    Source::Bandcamp(BandcampSource { page: page.map(str::to_owned), track_id: 4, band_id })
}

async fn fresh(site: &Site, page: Option<&str>, band_id: Option<u64>) -> Result<Track, ExtractError> {
    asked_again(site, page, band_id, Lack::Streams).await.map(|fresh| fresh.track)
}

async fn asked_again(
    site: &Site,
    page: Option<&str>,
    band_id: Option<u64>,
    lack: Lack,
) -> Result<Refreshed, ExtractError> {
    refresh(&source(page, band_id), lack, site, &Recipes::built_in()).await
}

#[tokio::test]
async fn a_fresh_url_of_a_lone_track_costs_one_small_answer_where_the_band_is_known() {
    let site = Site::new().with("band_id=77&tralbum_id=4&tralbum_type=t", page(200, &mobile(4).to_string()));
    let track = fresh(&site, Some(TRACK), Some(77)).await.expect("a track");
    assert_eq!(site.urls().len(), 1);
    assert_eq!(track.streams[0].validator, "bandcamp 4 mp3-128");
}

#[tokio::test]
async fn an_albums_page_brings_the_streams_of_all_its_songs() {
    let songs = vec![song(3, 1, "Ebb"), song(4, 2, "Flow"), locked(5, 3, "Surge"), song(6, 4, "Slack")];
    let site = Site::new().with("/album/", album_page(&album(songs)));
    let fresh = asked_again(&site, Some(ALBUM), Some(77), Lack::Streams).await.expect("a track");
    assert_eq!(site.urls(), [ALBUM]);
    assert_eq!((fresh.track.id.id(), url(&fresh.track)), ("4", file_url(4).as_str()));
    let beside: Vec<_> = fresh.beside.iter().map(|track| (track.id.id(), url(track))).collect();
    assert_eq!(beside, [("3", file_url(3).as_str()), ("6", file_url(6).as_str())]);
}

#[tokio::test]
async fn what_did_not_work_is_replaced_from_the_page() {
    let site = Site::new()
        .with("/api/", page(200, &mobile(4).to_string()))
        .with("/track/", track_page(&track(song(4, 4, "Ebb"))));
    let first = fresh(&site, Some(TRACK), Some(7)).await.expect("a track");
    assert!(url(&first).contains("stream_redirect"));
    let next = asked_again(&site, Some(TRACK), Some(7), Lack::GoodStreams).await.expect("a track").track;
    assert_eq!(url(&next), file_url(4));
    assert_eq!(next.streams[0].validator, first.streams[0].validator, "the bytes so far are kept");
    assert_eq!(site.urls().len(), 2);
}

#[tokio::test]
async fn each_door_stands_in_for_the_other() {
    let body = track_page(&track(song(4, 4, "Ebb")));
    let failures = [
        challenge(),
        page(403, ""),
        page(404, ""),
        page(500, ""),
        page(200, "{\"error\":true}"),
        page(200, "{\"error\":true,\"error_message\":\"tralbum 4 not found\"}"),
        Err(OriginError::Timeout),
    ];
    for failure in failures.clone() {
        let site = Site::new().with("/api/", failure).with("/track/", body.clone());
        assert_eq!(fresh(&site, Some(TRACK), Some(7)).await.expect("a track").id.id(), "4");
        assert_eq!(site.urls().len(), 2);
    }
    for failure in [challenge(), page(403, ""), page(500, ""), page(200, "<html>")] {
        let site = Site::new().with("/album/", failure).with("/api/", page(200, &mobile(4).to_string()));
        assert_eq!(fresh(&site, Some(ALBUM), None).await.expect("a track").id.id(), "4");
        assert_eq!(site.urls().len(), 2);
    }
    let site = Site::new().with("", challenge());
    assert_eq!(fresh(&site, Some(TRACK), Some(7)).await.expect_err("challenged").kind(), Kind::BotCheck);
    let site = Site::new().with("", page(429, ""));
    assert_eq!(fresh(&site, Some(TRACK), Some(7)).await.expect_err("limited").kind(), Kind::RateLimited);
    assert_eq!(site.urls().len(), 1);
}

#[tokio::test]
async fn a_song_may_be_called_client_challenge() {
    let mut answer = mobile(4);
    answer["tracks"][0]["title"] = json!("Client Challenge");
    let site = Site::new().with("/api/", page(200, &answer.to_string()));
    let Ok(Resolved::Track(track)) = ask(&site, PLAYER_TRACK).await else { panic!("a track") };
    assert_eq!(track.title, "Client Challenge");
}

#[tokio::test]
async fn a_track_that_left_its_album_is_not_found() {
    let site = Site::new().with("/album/", album_page(&album(vec![song(3, 1, "Ebb")])));
    assert_eq!(fresh(&site, Some(ALBUM), None).await.expect_err("gone").kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_track_without_a_page_is_asked_for_by_its_id() {
    let site = Site::new().with("band_id=1&tralbum_id=4&tralbum_type=t", page(200, &mobile(4).to_string()));
    assert_eq!(fresh(&site, None, None).await.expect("a track").title, "Ebb");
    let site = Site::new().with("", page(404, ""));
    assert_eq!(
        fresh(&site, Some("https://evil.example/track/x"), None).await.expect_err("gone").kind(),
        Kind::NotFound
    );
    assert!(site.urls().iter().all(|url| url.starts_with("https://bandcamp.com/")), "a stored page is checked again");
}
