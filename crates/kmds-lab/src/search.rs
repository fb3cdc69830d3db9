//! Searches: each site finds its own songs.
//!
//! Owns the shapes of results, as the sites had them in 2026: YouTube lists a channel and a live stream before its
//! videos, Bandcamp a band before its songs. A song is found by words of its title and artist. A search finds no song
//! that has its own secret.

use serde_json::{Value, json};

use crate::wire::{Reply, Request};
use crate::world::{Shared, Site, Song};

/// The songs of a site that have all the words, in the order of their titles.
fn found(shared: &Shared, site: Site, words: &str) -> Vec<Song> {
    let words = words.to_lowercase();
    let mut songs = shared.songs();
    songs.retain(|song| {
        let text = format!("{} {}", song.title(), song.artist()).to_lowercase();
        song.site() == site && words.split_whitespace().all(|word| text.contains(word))
    });
    songs.sort_by(|a, b| a.title().cmp(b.title()));
    songs
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

pub fn youtube(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request.json().filter(|body| body["query"].is_string()) else {
        return Reply::refusal(400);
    };
    let songs = found(
        shared,
        Site::YouTube,
        body["query"].as_str().unwrap_or_default(),
    );
    match (
        request.host.as_str(),
        body["context"]["client"]["clientName"].as_str(),
    ) {
        ("www.youtube.com", Some("WEB")) => Reply::json(&videos(&songs)),
        ("music.youtube.com", Some("WEB_REMIX")) => Reply::json(&music(&songs)),
        _ => Reply::refusal(400),
    }
}

fn videos(songs: &[Song]) -> Value {
    let byline = |name: &str| json!({"runs": [{"text": name, "navigationEndpoint": {"browseEndpoint": {"browseId": "UClab"}}}]});
    let mut contents = vec![
        json!({"channelRenderer": {"channelId": "UClab", "title": {"simpleText": "A channel"}}}),
        json!({"videoRenderer": {"videoId": "liveliveliv", "title": {"runs": [{"text": "Live now"}]},
            "badges": [{"metadataBadgeRenderer": {"style": "BADGE_STYLE_TYPE_LIVE_NOW", "label": "LIVE"}}],
            "ownerText": byline("A channel"), "shortBylineText": byline("A channel")}}),
    ];
    contents.extend(songs.iter().map(|song| {
        let cover = format!("https://i.ytimg.com/vi/{}/hq720.jpg?sqp=lab", song.id());
        json!({"videoRenderer": {"videoId": song.id(), "title": {"runs": [{"text": song.title()}]},
            "thumbnail": {"thumbnails": [{"url": cover, "width": 720, "height": 404}]},
            "lengthText": {"simpleText": clock(song.seconds())}, "ownerText": byline(song.artist()),
            "longBylineText": byline(song.artist()), "shortBylineText": byline(song.artist()),
            "publishedTimeText": {"simpleText": "9 months ago"}, "viewCountText": {"simpleText": "9 views"}}})
    }));
    if songs.is_empty() {
        contents = vec![
            json!({"backgroundPromoRenderer": {"title": {"runs": [{"text": "No results found"}]}}}),
        ];
    }
    json!({"estimatedResults": songs.len().to_string(), "contents": {"twoColumnSearchResultsRenderer": {"primaryContents":
        {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": contents}}]}}}}})
}

fn music(songs: &[Song]) -> Value {
    let column = |runs: Value| json!({"musicResponsiveListItemFlexColumnRenderer": {"text": {"runs": runs}}});
    let leads = |id: &str| json!({"browseEndpoint": {"browseId": id}});
    let items = songs.iter().map(|song| {
        let line = json!([{"text": song.artist(), "navigationEndpoint": leads("UClab")}, {"text": " • "},
            {"text": "Lab album", "navigationEndpoint": leads("MPREb_lab")}, {"text": " • "}, {"text": clock(song.seconds())}]);
        json!({"musicResponsiveListItemRenderer": {"playlistItemData": {"videoId": song.id()},
            "flexColumns": [column(json!([{"text": song.title()}])), column(line)]}})
    });
    let shelf = json!({"musicShelfRenderer": {"contents": items.collect::<Vec<_>>()}});
    json!({"contents": {"tabbedSearchResultsRenderer": {"tabs": [{"tabRenderer": {"content":
        {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": []}}, shelf]}}}}]}}})
}

pub fn soundcloud(shared: &Shared, request: &Request) -> Reply {
    let limit = request
        .param("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(10);
    let songs = found(
        shared,
        Site::SoundCloud,
        &request.param("q").unwrap_or_default(),
    );
    let tracks = shared.soundcloud.tracks.lock();
    let open = songs
        .iter()
        .filter_map(|song| tracks.get(&song.id().parse().ok()?));
    let open = open
        .filter(|track| track.secret_token.is_none() && !track.deleted)
        .take(limit);
    let found: Vec<&Value> = open.map(|track| &track.object).collect();
    Reply::json(&json!({"collection": found, "total_results": found.len(), "next_href": null}))
}

pub fn bandcamp(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request
        .json()
        .filter(|body| request.method == "POST" && body["search_text"].is_string())
    else {
        return Reply::refusal(400);
    };
    let words = body["search_text"].as_str().unwrap_or_default();
    let songs = found(shared, Site::Bandcamp, words);
    let mut results = vec![
        json!({"type": "b", "id": 1, "name": "A band", "item_url_root": "https://a.bandcamp.com"}),
    ];
    results.extend(songs.iter().map(|song| {
        json!({"type": "t", "id": song.id().parse::<u64>().unwrap_or(0), "art_id": 1_234_567_890, "name": song.title(),
            "band_id": 77, "band_name": song.artist(), "album_name": null, "item_url_path": song.link()})
    }));
    let lower = words.to_lowercase();
    let releases = shared.bandcamp.mobile.lock();
    let albums = releases.iter().filter(|((kind, _), release)| {
        let title = release["title"].as_str().unwrap_or_default().to_lowercase();
        *kind == 'a' && lower.split_whitespace().all(|word| title.contains(word))
    });
    results.extend(albums.map(|((_, id), release)| {
        json!({"type": "a", "id": id, "art_id": release["art_id"], "name": release["title"], "band_id": 77,
            "band_name": release["tralbum_artist"], "item_url_path": release["bandcamp_url"]})
    }));
    Reply::json(&json!({"auto": {"results": results, "time_ms": 1}}))
}
