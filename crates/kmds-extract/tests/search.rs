//! What the sites find for words: their recorded answers (`KMDS_RECORDINGS`), and made-up ones.

use std::future::{Future, ready};
use std::sync::Mutex;
use std::time::Duration;

use kmds_extract::origin::{OriginError, Page, PageRequest, Remembered, RenewGuard};
use kmds_extract::search;
use kmds_extract::search::{Hit, HitKind, SearchSite, as_list};
use kmds_extract::{Entry, ExtractError, Origin, Recipes};
use serde_json::{Value, json};

/// A site that answers everything with one page.
struct One {
    status: u16,
    body: String,
    asked: Mutex<Vec<PageRequest>>,
}

impl One {
    fn says(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            asked: Mutex::default(),
        }
    }

    /// The recorded answer of a case; `None`, loudly, where there are no recordings.
    fn recorded(case: &str) -> Option<Self> {
        let Some(folder) = std::env::var_os("KMDS_RECORDINGS") else {
            eprintln!("SKIPPED: KMDS_RECORDINGS is not set, the recorded searches are NOT tested");
            return None;
        };
        let file = std::path::Path::new(&folder).join(case);
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let recorded: Value = serde_json::from_str(&text).expect("a recording is JSON");
        Some(Self::says(
            recorded["response"]["body"].as_str().expect("a body"),
        ))
    }

    async fn finds(&self, at: SearchSite, words: &str) -> Result<Vec<Hit>, ExtractError> {
        search(at, words, self, &Recipes::built_in()).await
    }

    fn request(&self) -> PageRequest {
        let asked = self.asked.lock().expect("not poisoned");
        assert_eq!(asked.len(), 1, "one request a search");
        asked[0].clone()
    }
}

impl Origin for One {
    fn send(&self, request: PageRequest) -> impl Future<Output = Result<Page, OriginError>> + Send {
        let page = Page {
            status: self.status,
            final_url: request.url.clone(),
            headers: Vec::new(),
            body: self.body.clone().into_bytes(),
        };
        self.asked.lock().expect("not poisoned").push(request);
        ready(Ok(page))
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        (key == "soundcloud.client_id").then(|| Remembered {
            value: "a".repeat(32),
            stored_unix: 1,
        })
    }

    fn remember(&self, _: &str, _: &str) {}

    fn renewing(&self, _: &str) -> impl Future<Output = RenewGuard> + Send {
        ready(RenewGuard::holding(()))
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        1_780_900_000
    }

    fn pause(&self, _: Duration) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

fn told(hit: &Hit) -> (&str, &str, Option<&str>, Option<&str>, Option<f64>) {
    let length = hit.duration.map(|length| length.as_secs_f64());
    (
        hit.id.id(),
        &hit.title,
        hit.artist.as_deref(),
        hit.album.as_deref(),
        length,
    )
}

#[tokio::test]
async fn recorded_videos_are_the_sites_titles_ids_and_lengths() {
    let Some(site) = One::recorded("youtube/search-videos/search.json") else {
        return;
    };
    let hits = site
        .finds(SearchSite::YouTube, "test")
        .await
        .expect("found");
    assert_eq!(hits.len(), 20);
    let first = "Blind Test TOUT GENRE | 140 extraits";
    assert_eq!(
        told(&hits[0]),
        (
            "Z8KYabgkMbw",
            first,
            Some("Blind Test & Chill"),
            None,
            Some(2840.0)
        )
    );
    assert_eq!(hits[0].link, "https://www.youtube.com/watch?v=Z8KYabgkMbw");
    assert_eq!(
        hits[0].cover_url.as_deref(),
        Some("https://i.ytimg.com/vi/Z8KYabgkMbw/maxresdefault.jpg")
    );
    assert_eq!(told(&hits[2]).4, Some(4663.0));
    let body: Value = serde_json::from_slice(&site.request().body.expect("a body")).expect("JSON");
    assert_eq!(
        (&body["query"], &body["params"]),
        (&json!("test"), &json!("EgIQAfABAQ%3D%3D"))
    );
    let Some(site) = One::recorded("youtube/search-one/search.json") else {
        return;
    };
    let hits = site
        .finds(SearchSite::YouTube, "Nxk6aRHi664")
        .await
        .expect("found");
    assert_eq!(
        hits.iter().map(|hit| hit.id.id()).collect::<Vec<_>>(),
        ["Nxk6aRHi664"]
    );
    assert_eq!(hits[0].duration, Some(Duration::from_secs(1331)));
}

#[tokio::test]
async fn recorded_songs_of_youtube_music_have_artist_album_and_length() {
    let Some(site) = One::recorded("youtube/search-music-songs/search.json") else {
        return;
    };
    let hits = site
        .finds(SearchSite::YouTubeMusic, "mocromaniac")
        .await
        .expect("found");
    assert_eq!(hits.len(), 20);
    let maniac = Some("MocroManiac");
    assert_eq!(
        told(&hits[0]),
        (
            "HhQGHxWZCd0",
            "Boom Boom Boom",
            maniac,
            Some("Boom Boom Boom"),
            Some(171.0)
        )
    );
    assert_eq!(
        told(&hits[1]),
        ("D5VXlD_IJNo", "Maniac", maniac, Some("MANIAC"), Some(164.0))
    );
    let two = Some("D-Double & MocroManiac");
    assert_eq!(
        told(&hits[14]),
        (
            "_Ssr7C57qec",
            "Zes",
            two,
            Some("Capo Di Tutti"),
            Some(150.0)
        )
    );
    assert!(
        hits[0]
            .cover_url
            .as_deref()
            .is_some_and(|url| url.starts_with("https://lh3.googleusercontent.com/"))
    );
    assert!(
        site.request()
            .url
            .starts_with("https://music.youtube.com/youtubei/v1/search")
    );
}

#[tokio::test]
async fn recorded_songs_of_soundcloud_tell_their_whole_length_and_which_cannot_be_played() {
    let Some(site) = One::recorded("soundcloud/search-tracks/search.json") else {
        return;
    };
    let hits = site
        .finds(SearchSite::SoundCloud, "cirque du soleil")
        .await
        .expect("found");
    assert_eq!(hits.len(), 10);
    let first = "Cirque Du Soleil: Alegria - Alegria Mega Mashup";
    assert_eq!(
        told(&hits[0]),
        (
            "301182326",
            first,
            Some("Matthew Sibley 1"),
            None,
            Some(310.076)
        )
    );
    let album = Some("Le Best Of Cirque du Soleil");
    assert_eq!(
        told(&hits[2]),
        (
            "1895244552",
            "Alegria",
            Some("Cirque Du Soleil"),
            album,
            Some(348.604)
        )
    );
    assert!(
        hits[0].source.is_some() && hits[2].source.is_none(),
        "a preview is not played"
    );
    let list = as_list(
        &hits,
        SearchSite::SoundCloud,
        "cirque du soleil",
        "scsearch3:x".to_owned(),
        3,
    );
    let ids = list.entries.iter().map(|entry| match entry {
        Entry::Track(track) => (track.id.id().to_owned(), track.number, track.total),
        Entry::Unavailable(gone) => panic!("{gone:?}"),
    });
    let wanted = ["301182326", "1924564643", "2263613477"];
    assert!(
        ids.eq((1..)
            .zip(wanted)
            .map(|(number, id)| (id.to_owned(), Some(number), Some(3))))
    );
    assert!(
        site.request()
            .url
            .contains("/search/tracks?q=cirque%20du%20soleil&limit=25&offset=0&client_id=")
    );
}

#[tokio::test]
async fn recorded_suggestions_of_bandcamp_are_songs_then_albums_and_no_bands() {
    let Some(site) = One::recorded("bandcamp/search/autocomplete.json") else {
        return;
    };
    let hits = site
        .finds(SearchSite::Bandcamp, "c418")
        .await
        .expect("found");
    assert_eq!(hits.len(), 25);
    let album = Some("2 years of failure");
    assert_eq!(
        told(&hits[0]),
        ("1123940537", "stranger_think", Some("C418"), album, None)
    );
    assert_eq!(
        hits[0].link,
        "https://c418.bandcamp.com/track/stranger-think"
    );
    assert_eq!(
        hits[0].cover_url.as_deref(),
        Some("https://f4.bcbits.com/img/a2851259844_10.jpg")
    );
    assert_eq!(
        hits.iter().filter(|hit| hit.kind == HitKind::Song).count(),
        23
    );
    assert_eq!(
        told(&hits[23]),
        ("1694776990", "one", Some("C418"), None, None)
    );
    assert_eq!(hits[23].link, "https://c418.bandcamp.com/album/one");
}

fn videos(contents: &Value) -> String {
    json!({"contents": {"twoColumnSearchResultsRenderer": {"primaryContents": {"sectionListRenderer": {"contents": [
        {"itemSectionRenderer": {"contents": contents}}, {"continuationItemRenderer": {}}]}}}}})
    .to_string()
}

#[tokio::test]
async fn channels_live_streams_and_what_is_to_come_are_no_results() {
    let video = |id: &str, more: Value| {
        let mut video = json!({"videoId": id, "title": {"runs": [{"text": "椎名林檎 — 丸ノ内"}]},
            "shortBylineText": {"runs": [{"text": "A - Topic", "navigationEndpoint": {"browseEndpoint": {"browseId": "UCx"}}}]}});
        if let (Some(video), Value::Object(more)) = (video.as_object_mut(), more) {
            video.extend(more);
        }
        json!({ "videoRenderer": video })
    };
    let site = One::says(videos(&json!([
        {"channelRenderer": {"channelId": "UCxxxxxxxxxxxxxxxxxxxxxx", "title": "A"}},
        {"playlistRenderer": {"playlistId": "PLx", "title": "A"}},
        {"adSlotRenderer": {}}, 7, null, {"videoRenderer": "odd"},
        video("aaaaaaaaaaa", json!({"badges": [{"metadataBadgeRenderer": {"style": "BADGE_STYLE_TYPE_LIVE_NOW"}}]})),
        video("bbbbbbbbbbb", json!({"upcomingEventData": {"startTime": "1"}})),
        video("no id", json!({"lengthText": {"simpleText": "1:00"}})),
        {"shelfRenderer": {"content": {"verticalListRenderer": {"items": [video("ccccccccccc", json!({}))]}}}},
        video("ddddddddddd", json!({"lengthText": {"simpleText": "1:02:03"}})),
        video("eeeeeeeeeee", json!({"lengthText": 5, "shortBylineText": {"simpleText": "B"}})),
    ])));
    let hits = site.finds(SearchSite::YouTube, "x").await.expect("found");
    let all: Vec<_> = hits.iter().map(told).collect();
    let title = "椎名林檎 — 丸ノ内";
    let wanted = [
        ("ddddddddddd", title, Some("A"), None, Some(3723.0)),
        ("eeeeeeeeeee", title, Some("B"), None, None),
    ];
    assert_eq!(all, wanted);
}

#[tokio::test]
async fn nothing_found_is_an_empty_list_and_another_page_is_a_changed_one() {
    let music = json!({"contents": {"tabbedSearchResultsRenderer": {"tabs": [{"tabRenderer": {"content":
        {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": [{"messageRenderer": {}}]}}]}}}}]}}});
    for (at, empty) in [
        (
            SearchSite::YouTube,
            videos(&json!([{"backgroundPromoRenderer": {}}])),
        ),
        (SearchSite::YouTubeMusic, music.to_string()),
        (
            SearchSite::SoundCloud,
            json!({"collection": [], "total_results": 0}).to_string(),
        ),
        (
            SearchSite::Bandcamp,
            json!({"auto": {"results": []}}).to_string(),
        ),
    ] {
        assert_eq!(
            One::says(empty).finds(at, "x").await,
            Ok(Vec::new()),
            "{at}"
        );
        for other in [
            "",
            "{}",
            "[]",
            "null",
            "<html>",
            r#"{"contents": 1, "collection": 2, "auto": 3}"#,
        ] {
            let read = One::says(other).finds(at, "x").await;
            assert!(
                matches!(read, Err(ExtractError::PageChanged { .. })),
                "{at} {other}: {read:?}"
            );
        }
        let refused = One {
            status: 429,
            ..One::says("")
        }
        .finds(at, "x")
        .await;
        assert!(
            matches!(refused, Err(ExtractError::RateLimited { .. })),
            "{at}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn words_reach_the_site_as_they_are_and_change_nothing_else_of_the_request() {
    for words in [
        "a&limit=1#x?",
        "\"}, \"params\": \"x",
        "../../tracks/1",
        "شجریان",
        "%41%00",
    ] {
        for at in SearchSite::ALL {
            let site = One::says("");
            let _ = site.finds(at, words).await;
            let request = site.request();
            let got = match request.body {
                Some(body) => {
                    let body: Value = serde_json::from_slice(&body).expect("JSON");
                    let key = if at == SearchSite::Bandcamp {
                        "search_text"
                    } else {
                        "query"
                    };
                    body[key].as_str().expect("words").to_owned()
                }
                None => {
                    let url = url::Url::parse(&request.url).expect("a URL");
                    assert_eq!(
                        (url.path(), url.query_pairs().count()),
                        ("/search/tracks", 4)
                    );
                    url.query_pairs().next().expect("q").1.into_owned()
                }
            };
            assert_eq!(got, words, "{at}");
        }
    }
}
