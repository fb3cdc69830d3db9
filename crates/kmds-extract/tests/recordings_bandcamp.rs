//! Recorded exchanges with Bandcamp, where they are: every case resolves to what the site really said.
//!
//! Reads the folder that `KMDS_RECORDINGS` names and says loudly when it is not set.

#[allow(dead_code, reason = "each test crate uses a part of the made-up site")]
mod bandcamp_site;

use std::path::PathBuf;
use std::time::Duration;

use bandcamp_site::{Site, challenge, page, redirected};
use kmds_extract::link::Link;
use kmds_extract::track::{BandcampSource, Entry, Lack, Resolved, Source, Track};
use kmds_extract::{Recipes, refresh, resolve};
use serde_json::Value;

/// The `response` of a recording; `None`, loudly, without recordings.
fn recorded(case: &str) -> Option<(String, String)> {
    let Some(folder) = std::env::var_os("KMDS_RECORDINGS") else {
        eprintln!("SKIPPED: {case} was not checked, KMDS_RECORDINGS is not set");
        return None;
    };
    let file = PathBuf::from(folder).join("bandcamp").join(case);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let exchange: Value = serde_json::from_str(&text).expect("a recording is JSON");
    let text_at = |pointer: &str| {
        exchange
            .pointer(pointer)
            .and_then(Value::as_str)
            .expect("a text")
            .to_owned()
    };
    Some((text_at("/response/final_url"), text_at("/response/body")))
}

async fn resolved(site: &Site, link: &str) -> Resolved {
    resolve(
        &Link::parse(link).expect("a link"),
        site,
        &Recipes::built_in(),
    )
    .await
    .expect("resolved")
}

/// Metadata of the recorded track, whichever door it came through.
fn is_the_halibut(track: &Track) {
    assert_eq!(track.id.to_string(), "bandcamp-3486455278");
    assert_eq!(track.title, "Just for the Halibut");
    assert_eq!(track.artist.as_deref(), Some("Teaganbear"));
    assert_eq!(track.album.as_deref(), Some("Old Singles"));
    assert_eq!(track.album_artist.as_deref(), Some("Teaganbear"));
    assert_eq!((track.number, track.total), (Some(4), None));
    assert_eq!(track.duration, Some(Duration::from_millis(124_800)));
    assert_eq!(
        track.cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0076513327_10.jpg")
    );
    assert_eq!(track.date.as_deref(), Some("2020-01-01"));
    assert_eq!(
        track.link,
        "https://teaganbear.bandcamp.com/track/just-for-the-halibut"
    );
    assert_eq!(
        track.source,
        Source::Bandcamp(BandcampSource {
            page: Some("https://teaganbear.bandcamp.com/track/just-for-the-halibut".to_owned()),
            track_id: 3_486_455_278,
            band_id: Some(3_877_364_987),
        })
    );
    assert_eq!(track.streams.len(), 1);
    assert_eq!(track.streams[0].validator, "bandcamp 3486455278 mp3-128");
    assert_eq!(track.streams[0].approximate_size(), Some(1_996_800));
}

#[tokio::test]
async fn the_recorded_album_is_one_request_with_all_its_songs() {
    let Some((url, body)) = recorded("album-coming-of-age/page.json") else {
        return;
    };
    let site = Site::new().with("/album/coming-of-age", redirected(&url, &body));
    let Resolved::Collection(album) = resolved(
        &site,
        "http://macbenson.bandcamp.com/album/coming-of-age#buy",
    )
    .await
    else {
        panic!("an album")
    };
    assert_eq!(
        site.urls(),
        ["https://macbenson.bandcamp.com/album/coming-of-age"]
    );
    assert_eq!(album.id, "2833347880");
    assert_eq!(album.title.as_deref(), Some("Coming of Age"));
    assert_eq!(album.artist.as_deref(), Some("mac benson"));
    let songs: Vec<&Track> = album
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(track) => track.as_ref(),
            Entry::Unavailable(missing) => panic!("{missing:?}"),
        })
        .collect();
    let titles: Vec<&str> = songs.iter().map(|song| song.title.as_str()).collect();
    assert_eq!(
        titles[..4],
        ["Coming of Age", "Home with Me", "Bedsheets", "Divine"]
    );
    assert_eq!(songs.len(), 5);
    let seconds: f64 = songs
        .iter()
        .filter_map(|song| song.duration)
        .map(|length| length.as_secs_f64())
        .sum();
    assert!((seconds - 877.184).abs() < 0.001, "{seconds}");
    for (place, song) in (1..).zip(&songs) {
        assert_eq!((song.number, song.total), (Some(place), Some(5)));
        assert_eq!(song.album.as_deref(), Some("Coming of Age"));
        assert_eq!(song.artist.as_deref(), Some("mac benson"));
        assert_eq!(song.date.as_deref(), Some("2019-11-01"));
        assert_eq!(
            song.cover_url.as_deref(),
            Some("https://f4.bcbits.com/img/a3697716070_10.jpg")
        );
        assert_eq!(song.streams[0].expires_unix, Some(1_779_820_513));
        assert!(
            song.link
                .starts_with("https://macbenson.bandcamp.com/track/"),
            "{}",
            song.link
        );
    }
}

#[tokio::test]
async fn the_recorded_track_is_the_same_song_through_its_page_and_its_id() {
    let Some((url, body)) = recorded("track-halibut/page.json") else {
        return;
    };
    let site = Site::new().with("/track/just-for-the-halibut", redirected(&url, &body));
    let Resolved::Track(track) =
        resolved(&site, "teaganbear.bandcamp.com/track/just-for-the-halibut/").await
    else {
        panic!("a track")
    };
    is_the_halibut(&track);
    assert_eq!(track.streams[0].expires_unix, Some(1_779_820_541));

    let Some((_, answer)) = recorded("track-halibut/mobile-json.json") else {
        return;
    };
    let site = Site::new().with("tralbum_id=3486455278&tralbum_type=t", page(200, &answer));
    let link = "https://bandcamp.com/EmbeddedPlayer/v=2/track=3486455278/size=large/";
    let Resolved::Track(track) = resolved(&site, link).await else {
        panic!("a track")
    };
    is_the_halibut(&track);
    assert_eq!(site.urls().len(), 1);
}

#[tokio::test]
async fn the_recorded_track_is_refreshed_by_either_door() {
    let Some((url, body)) = recorded("track-halibut/page.json") else {
        return;
    };
    let Some((_, answer)) = recorded("track-halibut/mobile-json.json") else {
        return;
    };
    let source = Source::Bandcamp(BandcampSource {
        page: Some(url.clone()),
        track_id: 3_486_455_278,
        band_id: Some(3_877_364_987),
    });
    let doors = [
        (Site::new().with("/api/", page(200, &answer)), 1),
        (
            Site::new()
                .with("/api/", challenge())
                .with("/track/", redirected(&url, &body)),
            2,
        ),
    ];
    for (site, requests) in doors {
        let fresh = refresh(&source, Lack::Streams, &site, &Recipes::built_in())
            .await
            .expect("a track");
        is_the_halibut(&fresh.track);
        assert_eq!(site.urls().len(), requests);
    }
}
