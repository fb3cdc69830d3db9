//! Fans' playlists (section 19).

use super::*;

const PLAYLIST: &str = "https://bandcamp.com/somefan/playlist/late-nights";

fn listed() -> Value {
    json!({"appData": {"title": "Late nights", "tracklist": {"tracks": [
        {"id": 4, "title": "Ebb", "artistName": "Tin Harbour", "album": {"id": 9, "title": "Low Tide"},
            "bandId": 1_196_681_540_u64, "artId": 76_513_327, "duration": 95.5, "url": TRACK},
        {"id": "5", "title": "Flow", "artistName": "Other", "album": null, "bandId": 7, "artId": null,
            "duration": "long", "url": "https://own-domain.example/track/flow"},
        {"title": "Gone"},
    ]}}})
}

fn page_with(blob: &Value) -> Answer {
    let escaped = |value: &Value| {
        value
            .to_string()
            .replace('&', "&amp;")
            .replace('"', "&quot;")
    };
    let menu = escaped(&json!({"appData": {"user": 1}}));
    let html = format!(
        "<html><div id=\"menu\" data-blob=\"{menu}\"></div><div id=\"app\" data-blob=\"{}\"></div></html>",
        escaped(blob)
    );
    page(200, &html)
}

#[tokio::test]
async fn a_fans_playlist_is_one_page_and_its_songs_audio_is_asked_for_later() {
    let site = Site::new().with("/playlist/", page_with(&listed()));
    let Ok(Resolved::Collection(list)) = ask(&site, PLAYLIST).await else {
        panic!("a list")
    };
    assert_eq!(site.urls(), [PLAYLIST]);
    assert_eq!(
        (list.title.as_deref(), list.link.as_str(), list.truncated),
        (Some("Late nights"), PLAYLIST, false)
    );
    assert_eq!(kinds(&list), [None, None, Some(Kind::PageChanged)]);
    let [
        Entry::Track(first),
        Entry::Track(second),
        Entry::Unavailable(gone),
    ] = list.entries.as_slice()
    else {
        panic!("{:?}", list.entries)
    };
    assert_eq!(
        (
            first.title.as_str(),
            first.artist.as_deref(),
            first.album.as_deref()
        ),
        ("Ebb", Some("Tin Harbour"), Some("Low Tide"))
    );
    assert_eq!((first.number, first.total), (Some(1), Some(3)));
    assert_eq!(first.duration, Some(Duration::from_millis(95_500)));
    assert_eq!(
        first.cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a0076513327_10.jpg")
    );
    assert!(first.streams.is_empty());
    assert_eq!((first.link.as_str(), second.duration), (TRACK, None));
    assert_eq!(
        second.source,
        Source::Bandcamp(BandcampSource {
            page: None,
            track_id: 5,
            band_id: Some(7)
        })
    );
    assert_eq!((gone.title.as_deref(), gone.number), (Some("Gone"), 3));
}

#[tokio::test]
async fn a_playlists_song_gets_its_audio_from_the_mobile_answer_with_its_own_band() {
    let site = Site::new().with(
        "/api/mobile/22/tralbum_details",
        page(200, &mobile(4).to_string()),
    );
    let source = Source::Bandcamp(BandcampSource {
        page: Some(TRACK.to_owned()),
        track_id: 4,
        band_id: Some(1_196_681_540),
    });
    let fresh = refresh(&source, Lack::Streams, &site, &Recipes::built_in())
        .await
        .expect("a song");
    assert_eq!(fresh.track.streams.len(), 1);
    assert_eq!(
        site.urls(),
        [
            "https://bandcamp.com/api/mobile/22/tralbum_details?band_id=1196681540&tralbum_id=4&tralbum_type=t"
        ]
    );
}

#[tokio::test]
async fn what_is_no_playlist_has_its_kind() {
    for (answer, kind) in [
        (page(404, ""), Kind::NotFound),
        (challenge(), Kind::BotCheck),
        (page(406, ""), Kind::BotCheck),
        (page(200, "<html></html>"), Kind::PageChanged),
        (
            page_with(&json!({"appData": {"tracklist": 7}})),
            Kind::PageChanged,
        ),
        (
            page_with(&json!({"appData": {"tracklist": {"tracks": {}}}})),
            Kind::PageChanged,
        ),
        (
            redirected("https://elsewhere.example/x", "<html></html>"),
            Kind::UnsupportedLink,
        ),
    ] {
        assert_eq!(refusal(PLAYLIST, answer).await.kind(), kind);
    }
}
