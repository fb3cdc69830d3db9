//! Section 4: lists, albums and mixes.

use std::time::Duration;

use kmds_extract::link::youtube::VideoId;
use kmds_extract::origin::Page;
use kmds_extract::{Collection, Entry, Kind, Link, Recipes, Resolved, Rest, Track, youtube};
use serde_json::{Value, json};

use crate::fake::{Fake, VIDEO, good, ok, page};

pub const LIST: &str = "https://www.youtube.com/playlist?list=PL1";

fn id(number: usize) -> String {
    let id = format!("v{number:010}");
    assert!(VideoId::parse(&id).is_some());
    id
}

fn song(number: usize) -> Value {
    json!({"playlistVideoRenderer": {"videoId": id(number), "title": {"runs": [{"text": format!("Song {number}")}]},
        "shortBylineText": {"runs": [{"text": "Band - Topic"}]}, "lengthSeconds": "187", "isPlayable": true}})
}

pub fn lockup(number: usize, badge: &str) -> Value {
    json!({"lockupViewModel": {"contentId": id(number), "contentType": "LOCKUP_CONTENT_TYPE_VIDEO",
        "metadata": {"lockupMetadataViewModel": {"title": {"content": format!("Song {number}")}, "metadata": {"contentMetadataViewModel":
            {"metadataRows": [{"metadataParts": [{"text": {"content": "Band"}}]}]}}}},
        "contentImage": {"thumbnailViewModel": {"image": {"sources": []}, "overlays": [{"thumbnailBottomOverlayViewModel":
            {"badges": [{"thumbnailBadgeViewModel": {"text": badge}}]}}]}}}})
}

pub fn more(token: &str) -> Value {
    json!({"continuationItemRenderer": {"continuationEndpoint": {"continuationCommand": {"token": token}}}})
}

fn sidebar(title: &str, count: &str) -> Value {
    json!({"playlistSidebarRenderer": {"items": [
        {"playlistSidebarPrimaryInfoRenderer": {"title": {"runs": [{"text": title}]},
            "stats": [{"runs": [{"text": count}, {"text": " videos"}]}, {"simpleText": "9 views"}]}},
        {"playlistSidebarSecondaryInfoRenderer": {"videoOwner": {"videoOwnerRenderer": {"title": {"runs": [{"text": "by Owner"}]}}}}},
    ]}})
}

pub fn first(items: Vec<Value>, title: &str, count: &str) -> Page {
    ok(
        json!({"onResponseReceivedActions": [{"other": {}}, {"reloadContinuationItemsCommand": {"continuationItems": items}}],
        "sidebar": sidebar(title, count)}),
    )
}

fn next(items: Vec<Value>) -> Page {
    ok(
        json!({"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}),
    )
}

pub fn songs(range: std::ops::RangeInclusive<usize>) -> Vec<Value> {
    range.map(song).collect()
}

fn alert(text: &str) -> Page {
    ok(
        json!({"alerts": [{"alertRenderer": {"type": "ERROR", "text": {"runs": [{"text": text}]}}}]}),
    )
}

fn tracks(list: &Collection) -> Vec<&Track> {
    let tracks = list.entries.iter().filter_map(|entry| match entry {
        Entry::Track(track) => Some(track.as_ref()),
        Entry::Unavailable(_) => None,
    });
    tracks.collect()
}

#[tokio::test]
async fn a_list_takes_one_call_a_page_and_ends_with_the_missing_token() {
    let mut page_1 = songs(1..=100);
    page_1.push(more("two"));
    let mut page_2 = songs(101..=199);
    page_2.push(
        json!({"continuationItemRenderer": {"continuationEndpoint": {"commandExecutorCommand":
        {"commands": [{"other": 1}, {"continuationCommand": {"token": "three"}}]}}}}),
    );
    let mut page_3 = songs(200..=250);
    page_3.push(json!({"continuationItemViewModel": {"continuationCommand": {"innertubeCommand": {"continuationCommand": {"token": "four"}}}}}));
    let fake = Fake::list([
        first(page_1, "A List", "260"),
        next(page_2),
        next(page_3),
        next(songs(251..=260)),
    ]);
    let list = fake.collection(LIST).await;
    assert_eq!((list.entries.len(), list.truncated), (260, false));
    assert_eq!(
        (list.title.as_deref(), list.artist.as_deref()),
        (Some("A List"), Some("Owner"))
    );
    let tokens: Vec<String> = fake.asked()[1..]
        .iter()
        .map(|(.., body)| body["continuation"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(tokens, ["two", "three", "four"]);
    let tracks = tracks(&list);
    assert_eq!(
        (tracks[259].number, tracks[259].total),
        (Some(260), Some(260))
    );
    assert_eq!(
        (tracks[0].artist.as_deref(), tracks[0].album.as_deref()),
        (Some("Band"), None)
    );
    assert_eq!(
        tracks[0].cover_url,
        Some(format!("https://i.ytimg.com/vi/{}/hqdefault.jpg", id(1)))
    );
    assert_eq!(
        youtube::estimated_size(tracks[0].duration, &Recipes::built_in()),
        Some(3_031_738)
    );
}

#[tokio::test]
async fn a_repeated_token_or_page_ends_the_list_as_truncated() {
    let with = |mut items: Vec<Value>, token: &str| {
        items.push(more(token));
        items
    };
    let fake = Fake::list([
        first(with(songs(1..=2), "a"), "L", "9"),
        next(with(songs(3..=4), "a")),
    ]);
    let list = fake.collection(LIST).await;
    assert_eq!(
        (
            list.entries.len(),
            list.truncated,
            fake.count("list answer")
        ),
        (4, true, 2)
    );
    let fake = Fake::list([
        first(with(songs(1..=2), "a"), "L", "2"),
        next(with(songs(1..=2), "b")),
    ]);
    let list = fake.collection(LIST).await;
    assert_eq!(
        (
            list.entries.len(),
            list.truncated,
            fake.count("list answer")
        ),
        (2, true, 2)
    );
}

#[tokio::test]
async fn a_token_that_leads_nowhere_costs_no_song_that_is_known() {
    for status in [400, 404] {
        let mut items = songs(1..=2);
        items.push(more("a"));
        let list = Fake::list([first(items, "L", "9"), page(status, "{}")])
            .collection(LIST)
            .await;
        assert_eq!((list.entries.len(), list.truncated), (2, true));
    }
}

#[tokio::test]
async fn a_later_page_that_fails_costs_no_song_that_was_read_before() {
    let items = |mut items: Vec<Value>, token: &str| {
        items.push(more(token));
        items
    };
    for failing in [
        page(503, ""),
        page(429, ""),
        page(403, ""),
        page(401, ""),
        page(200, "<html>"),
        alert("An unknown error occurred."),
    ] {
        let status = failing.status;
        let pages = [
            first(items(songs(1..=2), "a"), "L", "6"),
            next(items(songs(3..=4), "b")),
            failing,
        ];
        let list = Fake::list(pages).collection(LIST).await;
        assert_eq!((list.entries.len(), list.truncated), (4, true), "{status}");
        let rest = list.rest.as_deref();
        assert!(
            matches!(rest, Some(Rest::Page { token, .. }) if token == "b"),
            "{status}: {rest:?}"
        );
    }
}

#[tokio::test]
async fn a_list_that_ends_before_its_count_says_so() {
    let list = Fake::list([first(songs(1..=3), "L", "1,200")])
        .collection(LIST)
        .await;
    assert_eq!((list.entries.len(), list.truncated), (3, true));
    assert_eq!(tracks(&list)[0].total, Some(1200));
}

#[tokio::test]
async fn a_list_longer_than_we_take_is_cut_and_says_so() {
    let recipes = Recipes::built_in().taking_at_most(3);
    let mut items = songs(1..=4);
    items.push(more("a"));
    let fake = Fake::list([first(items, "L", "9")]);
    let link = Link::parse(LIST).expect("a link");
    let Ok(Resolved::Collection(list)) = kmds_extract::resolve(&link, &fake, &recipes).await else {
        panic!("a list")
    };
    assert_eq!(
        (
            list.entries.len(),
            list.truncated,
            fake.count("list answer")
        ),
        (3, true, 1)
    );
}

#[tokio::test]
async fn both_layouts_and_every_place_of_items_are_read() {
    let plain = |contents: Value| {
        ok(
            json!({"contents": {"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {"content":
            {"sectionListRenderer": {"contents": contents}}}}]}}, "header": {"pageHeaderRenderer": {"pageTitle": "L"}}}),
        )
    };
    let old = plain(
        json!([{"itemSectionRenderer": {"contents": [{"playlistVideoListRenderer": {"contents": songs(1..=2)}}]}}]),
    );
    let new = plain(
        json!([{"itemSectionRenderer": {"contents": [lockup(1, "3:07"), lockup(2, "1:02:03")]}}]),
    );
    for page in [
        old,
        new,
        first(vec![lockup(1, "3:07"), lockup(2, "SHORTS")], "L", "2"),
    ] {
        let list = Fake::list([page]).collection(LIST).await;
        assert_eq!(
            (list.title.as_deref(), list.entries.len(), list.truncated),
            (Some("L"), 2, false)
        );
        let song = tracks(&list)[0];
        assert_eq!(
            (song.title.as_str(), song.artist.as_deref()),
            ("Song 1", Some("Band"))
        );
        assert_eq!(song.duration, Some(Duration::from_secs(187)));
    }
    let sibling =
        plain(json!([{"itemSectionRenderer": {"contents": [lockup(1, "3:07")]}}, more("a")]));
    assert_eq!(
        Fake::list([sibling, next(vec![lockup(2, "3:07")])])
            .collection(LIST)
            .await
            .entries
            .len(),
        2
    );
}

#[tokio::test]
async fn unavailable_songs_keep_their_place_and_tell_why() {
    let old = |title: &str, more: Value| {
        let mut item = json!({"videoId": id(9), "title": {"runs": [{"text": title}]}});
        item.as_object_mut()
            .expect("object")
            .extend(more.as_object().cloned().unwrap_or_default());
        json!({"playlistVideoRenderer": item})
    };
    let mut members = lockup(9, "3:07");
    members["lockupViewModel"]["metadata"]["lockupMetadataViewModel"]["metadata"]["contentMetadataViewModel"]
        ["metadataRows"][0]["badges"] =
        json!([{"badgeViewModel": {"badgeStyle": "BADGE_MEMBERS_ONLY"}}]);
    for (item, kind) in [
        (old("[Private video]", json!({})), Kind::Private),
        (
            old("[Deleted video]", json!({"isPlayable": false})),
            Kind::NotFound,
        ),
        (
            old("A", json!({"isPlayable": false, "lengthSeconds": "9"})),
            Kind::Unavailable,
        ),
        (
            old(
                "A",
                json!({"isPlayable": true, "badges": [{"metadataBadgeRenderer": {"style": "BADGE_STYLE_TYPE_MEMBERS_ONLY"}}]}),
            ),
            Kind::MembersOnly,
        ),
        (
            old(
                "A",
                json!({"isPlayable": true, "thumbnailOverlays": [{"thumbnailOverlayTimeStatusRenderer": {"style": "LIVE"}}]}),
            ),
            Kind::Live,
        ),
        (
            old(
                "A",
                json!({"isPlayable": true, "upcomingEventData": {"startTime": "1"}}),
            ),
            Kind::Unreleased,
        ),
        (members, Kind::MembersOnly),
        (lockup(9, "LIVE"), Kind::Live),
        (lockup(9, "Upcoming"), Kind::Unreleased),
    ] {
        let list = Fake::list([first(vec![song(1), item.clone(), song(2)], "L", "3")])
            .collection(LIST)
            .await;
        let Entry::Unavailable(gone) = &list.entries[1] else {
            panic!("{item}")
        };
        assert_eq!((gone.number, gone.error.kind()), (2, kind), "{item}");
        assert_eq!(
            (tracks(&list)[1].number, tracks(&list)[1].total),
            (Some(3), Some(3))
        );
        assert!(!list.truncated);
    }
}

#[tokio::test]
async fn a_song_may_be_called_like_those_that_are_gone_or_nothing_at_all() {
    for (title, shown) in [
        ("[Private video]", "[Private video]"),
        ("Deleted video", "Deleted video"),
        ("", id(1).as_str()),
    ] {
        let mut old = song(1);
        old["playlistVideoRenderer"]["title"] = json!({"runs": [{"text": title}]});
        let mut new = lockup(1, "3:07");
        new["lockupViewModel"]["metadata"]["lockupMetadataViewModel"]["title"]["content"] =
            json!(title);
        for item in [old, new] {
            let list = Fake::list([first(vec![item], "L", "1")])
                .collection(LIST)
                .await;
            assert_eq!(tracks(&list)[0].title, shown);
        }
    }
}

#[tokio::test]
async fn a_list_without_a_place_for_songs_is_a_changed_page_and_one_with_an_empty_place_is_empty() {
    let named = |actions: Value| {
        ok(
            json!({"header": {"pageHeaderRenderer": {"pageTitle": "L"}}, "onResponseReceivedActions": actions}),
        )
    };
    let fake = Fake::list([named(
        json!([{"newShapeOfTheSongs": {"continuationItems": [song(1)]}}]),
    )]);
    assert_eq!(
        fake.resolve(LIST).await.expect_err("changed").kind(),
        Kind::PageChanged
    );
    let empty = named(json!([{"reloadContinuationItemsCommand": {"continuationItems": []}}]));
    assert!(
        Fake::list([empty])
            .collection(LIST)
            .await
            .entries
            .is_empty()
    );
}

#[tokio::test]
async fn an_albums_songs_carry_its_name_and_a_playlists_do_not() {
    let album = Fake::list([first(songs(1..=2), "Album - The Name", "2")])
        .collection(
            "https://music.youtube.com/playlist?list=OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM",
        )
        .await;
    assert_eq!(album.title.as_deref(), Some("The Name"));
    assert_eq!(tracks(&album)[1].album.as_deref(), Some("The Name"));
    let list = Fake::list([first(songs(1..=2), "Album - The Name", "2")])
        .collection(LIST)
        .await;
    assert_eq!(
        (list.title.as_deref(), tracks(&list)[0].album.as_deref()),
        (Some("Album - The Name"), None)
    );
}

#[tokio::test]
async fn songs_without_a_byline_are_by_the_lists_owner() {
    let mut item = song(1);
    item["playlistVideoRenderer"]["shortBylineText"] = Value::Null;
    let list = Fake::list([first(vec![item], "L", "1")])
        .collection(LIST)
        .await;
    assert_eq!(tracks(&list)[0].artist.as_deref(), Some("Owner"));
}

/// A course as the new layout shows it: the first row is no channel.
fn lesson(number: usize, rows: Value) -> Value {
    let mut item = lockup(number, "12:05");
    item["lockupViewModel"]["metadata"]["lockupMetadataViewModel"]["metadata"]["contentMetadataViewModel"] =
        json!({"metadataRows": rows});
    item
}

fn row(texts: &[&str]) -> Value {
    json!({"metadataParts": texts.iter().map(|text| json!({"text": {"content": text}})).collect::<Vec<Value>>()})
}

#[tokio::test]
async fn songs_that_name_no_channel_are_never_by_their_views_or_their_age() {
    for first_row in [
        row(&["1.2M views", "2 years ago"]),
        row(&["8K views"]),
        row(&["1 view"]),
        row(&["No views"]),
        row(&["3 weeks ago"]),
        row(&["1.2M views • 2 years ago"]),
        row(&["Streamed 3 weeks ago"]),
        row(&["1,234 watching"]),
        row(&[]),
    ] {
        let list = Fake::list([first(vec![lesson(1, json!([first_row]))], "L", "1")])
            .collection(LIST)
            .await;
        assert_eq!(
            tracks(&list)[0].artist.as_deref(),
            Some("Owner"),
            "{first_row}"
        );
        let mut old = song(1);
        old["playlistVideoRenderer"]["shortBylineText"] =
            first_row["metadataParts"][0]["text"].clone();
        let list = Fake::list([first(vec![old], "L", "1")])
            .collection(LIST)
            .await;
        assert_eq!(
            tracks(&list)[0].artist.as_deref(),
            Some("Owner"),
            "{first_row}"
        );
    }
    let linked = json!({"metadataParts": [{"text": {"content": "5 views", "commandRuns": [{"onTap":
        {"innertubeCommand": {"browseEndpoint": {"browseId": "UCBR8-60-B28hp2BmDPdntcQ"}}}}]}}]});
    for rows in [json!([linked]), json!([row(&["9 views"]), linked])] {
        let list = Fake::list([first(vec![lesson(1, rows)], "L", "1")])
            .collection(LIST)
            .await;
        assert_eq!(
            tracks(&list)[0].artist.as_deref(),
            Some("5 views"),
            "a channel may be called so"
        );
    }
}

#[tokio::test]
async fn the_songs_of_a_course_are_by_its_owner_whatever_stands_where_a_channel_would() {
    let mut page = first(
        vec![lesson(1, json!([row(&["Chapter one"])])), lockup(2, "3:07")],
        "L",
        "2",
    );
    let mut body: Value = serde_json::from_slice(&page.body).expect("JSON");
    body["header"] = json!({"x": {"identifier": {"tag": "engagement-panel-course-metadata"}}});
    page.body = body.to_string().into_bytes();
    let list = Fake::list([page]).collection(LIST).await;
    assert!(
        tracks(&list)
            .iter()
            .all(|track| track.artist.as_deref() == Some("Owner")),
        "{list:?}"
    );
}

#[tokio::test]
async fn an_owner_that_stands_in_the_header_alone_is_asked_for_once() {
    let items = json!([{"reloadContinuationItemsCommand": {"continuationItems": [lesson(1, json!([row(&["8K views"])]))]}}]);
    let nameless = ok(
        json!({"metadata": {"playlistMetadataRenderer": {"title": "L"}}, "onResponseReceivedActions": items}),
    );
    let fake = Fake::list([nameless.clone(), ok(json!({"sidebar": sidebar("L", "1")}))]);
    let list = fake.collection(LIST).await;
    assert_eq!(
        (
            tracks(&list)[0].artist.as_deref(),
            fake.count("list answer")
        ),
        (Some("Owner"), 2)
    );
    let list = Fake::list([nameless, page(503, "")]).collection(LIST).await;
    assert_eq!(tracks(&list)[0].artist, None);
}

#[tokio::test]
async fn a_list_that_does_not_answer_is_asked_for_its_alert() {
    for nothing in [
        page(400, "{}"),
        page(404, "{}"),
        ok(json!({"responseContext": {}})),
    ] {
        let fake = Fake::list([nothing, alert("The playlist does not exist.")]);
        assert_eq!(
            fake.resolve(LIST).await.expect_err("gone").kind(),
            Kind::NotFound
        );
        let (_, url, body) = fake.asked().pop().expect("asked");
        assert!(url.contains("$fields=sidebar,header,microformat,alerts"));
        assert_eq!(
            (body["browseId"].as_str(), body["params"].as_str()),
            (Some("VLPL1"), Some("wgYCCAA%3D"))
        );
    }
    let fake = Fake::list([
        page(400, "{}"),
        ok(json!({"sidebar": sidebar("L", "2")})),
        first(songs(1..=2), "L", "2"),
    ]);
    assert_eq!(fake.collection(LIST).await.entries.len(), 2);
}

#[tokio::test]
async fn alerts_and_statuses_of_lists_have_their_kinds() {
    for (page, kind, calls) in [
        (alert("The playlist does not exist."), Kind::NotFound, 1),
        (
            alert("This playlist type is unviewable."),
            Kind::NotFound,
            1,
        ),
        (alert("An unknown error occurred."), Kind::OriginFailed, 2),
        (alert("Something else"), Kind::Unavailable, 1),
        (page(429, ""), Kind::RateLimited, 1),
        (page(403, ""), Kind::RateLimited, 1),
        (page(503, ""), Kind::OriginFailed, 1),
        (page(200, "<html>"), Kind::PageChanged, 2),
        (first(Vec::new(), "L", "12"), Kind::PageChanged, 2),
    ] {
        let fake = Fake::list([page]);
        assert_eq!(fake.resolve(LIST).await.expect_err("no list").kind(), kind);
        assert_eq!(fake.count("list answer"), calls, "{kind}");
    }
    let fake = Fake::list([
        alert("An unknown error occurred."),
        first(songs(1..=1), "L", "1"),
    ]);
    assert_eq!(fake.collection(LIST).await.entries.len(), 1);
    assert!(
        Fake::list([first(Vec::new(), "L", "No")])
            .collection(LIST)
            .await
            .entries
            .is_empty()
    );
}

#[tokio::test]
async fn an_alert_without_words_is_told_in_ours() {
    for text in [json!({}), json!({"runs": [{"text": " "}]})] {
        let silent = ok(json!({"alerts": [{"alertRenderer": {"type": "ERROR", "text": text}}]}));
        let error = Fake::list([silent])
            .resolve(LIST)
            .await
            .expect_err("refused");
        assert_eq!(error.to_string(), "YouTube: this list cannot be opened");
    }
}

#[tokio::test]
async fn notices_are_no_errors() {
    let mut page = first(songs(1..=1), "L", "1");
    let mut body: Value = serde_json::from_slice(&page.body).expect("JSON");
    body["alerts"] = json!([{"alertWithButtonRenderer": {"type": "INFO", "text": {"simpleText": "Unavailable videos will be hidden"}}}]);
    page.body = body.to_string().into_bytes();
    assert_eq!(Fake::list([page]).collection(LIST).await.entries.len(), 1);
}

#[tokio::test]
async fn private_lists_and_channels_are_refused_without_a_request() {
    for (link, kind) in [
        ("https://www.youtube.com/playlist?list=WL", Kind::Private),
        ("https://www.youtube.com/playlist?list=LL", Kind::Private),
        ("https://www.youtube.com/playlist?list=LM", Kind::Private),
        ("https://www.youtube.com/playlist?list=HL", Kind::Private),
        ("https://www.youtube.com/@EEVblog", Kind::UnsupportedLink),
    ] {
        let fake = Fake::default();
        assert_eq!(fake.resolve(link).await.expect_err("refused").kind(), kind);
        assert!(fake.pages().is_empty());
    }
}

fn mix(count: usize) -> Page {
    let items: Vec<Value> = (1..=count)
        .map(|number| {
            json!({"playlistPanelVideoRenderer": {"videoId": id(number), "title": {"simpleText": format!("Song {number}")},
                "longBylineText": {"runs": [{"text": "Band"}, {"text": " • 3 views"}]}, "lengthText": {"simpleText": "3:39"}}})
        })
        .collect();
    ok(
        json!({"contents": {"twoColumnWatchNextResults": {"playlist": {"playlist": {"title": "Mix – X", "isInfinite": true, "contents": items}}}}}),
    )
}

#[tokio::test]
async fn a_mix_is_its_first_25_songs() {
    let fake = Fake::default().with("mix answer", [mix(30)]);
    let list = fake
        .collection(&format!(
            "https://www.youtube.com/playlist?list=RD{}",
            id(1)
        ))
        .await;
    assert_eq!(
        (list.entries.len(), list.truncated, list.endless),
        (25, true, true)
    );
    let song = tracks(&list)[24];
    assert_eq!(
        (song.number, song.total, song.artist.as_deref()),
        (Some(25), Some(25), Some("Band"))
    );
    assert_eq!(song.duration, Some(Duration::from_secs(219)));
    let (_, _, body) = fake.asked().pop().expect("asked");
    assert_eq!(
        (body["playlistId"].as_str(), body["videoId"].as_str()),
        (Some("RDv0000000001"), Some("v0000000001"))
    );
}

#[tokio::test]
async fn a_mix_begins_with_the_song_it_was_pasted_at() {
    let first_of = |list: &Collection| match &list.entries[0] {
        Entry::Track(track) => (track.id.id().to_owned(), track.number, track.total),
        Entry::Unavailable(gone) => panic!("{gone:?}"),
    };
    for (seed, list) in [
        (id(1), "RDM4gD1WSo5mA"),
        (id(3), "RDEM12345678"),
        (id(30), "RDMMM4gD1WSo5mA"),
    ] {
        let fake = Fake::default().with("mix answer", [mix(30)]);
        let link = Link::parse(&format!(
            "https://www.youtube.com/watch?v={seed}&list={list}&index=4"
        ))
        .expect("a link");
        let resolved = kmds_extract::resolve(&link.whole_list(), &fake, &Recipes::built_in()).await;
        let Ok(Resolved::Collection(mix)) = resolved else {
            panic!("{resolved:?}")
        };
        assert_eq!(first_of(&mix), (seed.clone(), Some(1), Some(25)), "{list}");
        let mut ids: Vec<&str> = tracks(&mix).iter().map(|track| track.id.id()).collect();
        assert_eq!(ids.len(), 25);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 25, "each song once");
        assert!(
            tracks(&mix)
                .iter()
                .map(|track| track.number)
                .eq((1..=25).map(Some)),
            "in order"
        );
        assert_eq!(fake.asked()[0].2["videoId"], json!(seed));
    }
}

#[tokio::test]
async fn a_mix_that_leaves_its_first_song_out_begins_with_it_all_the_same() {
    let link = format!("https://www.youtube.com/playlist?list=RD{VIDEO}");
    for (songs, told) in [(30, 25), (25, 25), (24, 25), (3, 4)] {
        let fake = Fake::player([good()]).with("mix answer", [mix(songs)]);
        let list = fake.collection(&link).await;
        let song = tracks(&list)[0];
        assert_eq!(
            (song.id.id(), song.title.as_str(), song.number),
            (VIDEO, "A Song", Some(1))
        );
        assert_eq!(
            (list.entries.len(), song.total),
            (told, Some(told as u32)),
            "{songs}"
        );
        assert_eq!(tracks(&list)[1].number, Some(2));
        assert_eq!(tracks(&list)[1].total, Some(told as u32));
    }
    let private = crate::fake::status("LOGIN_REQUIRED", "This video is private");
    let fake = Fake::player([private]).with("mix answer", [mix(30)]);
    let list = fake.collection(&link).await;
    let Entry::Unavailable(gone) = &list.entries[0] else {
        panic!("{:?}", list.entries[0])
    };
    assert_eq!(
        (gone.number, gone.error.kind(), list.entries.len()),
        (1, Kind::Private, 25)
    );
}

#[tokio::test]
async fn a_mix_that_is_none_gives_its_seed_or_nothing() {
    let none = || ok(json!({"contents": {"twoColumnWatchNextResults": {"results": {}}}}));
    let fake = Fake::player([good()]).with("mix answer", [none()]);
    let seeded = fake
        .resolve("https://www.youtube.com/playlist?list=RDM4gD1WSo5mA")
        .await;
    assert!(matches!(seeded, Ok(Resolved::Track(track)) if track.id.id() == VIDEO));
    let fake = Fake::default().with("mix answer", [none()]);
    let error = fake
        .resolve("https://www.youtube.com/playlist?list=RDEMabc")
        .await
        .expect_err("nothing");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_editorial_list_that_cannot_be_browsed_is_asked_for_as_a_mix() {
    let fake =
        Fake::list([alert("This playlist type is unviewable.")]).with("mix answer", [mix(3)]);
    let list = fake
        .collection(
            "https://www.youtube.com/playlist?list=RDCLAK5uy_ly6s4irLuZAcjEDwJmqcA_UtSipMyGgbQ",
        )
        .await;
    assert_eq!((list.entries.len(), list.endless), (3, true));
}

#[tokio::test]
async fn a_music_album_is_the_list_its_page_names() {
    let link = "https://music.youtube.com/browse/MPREb_K8qWMWVqXGi";
    let named = ok(json!({"microformat": {"microformatDataRenderer":
        {"urlCanonical": "https://music.youtube.com/playlist?list=OLAK5uy_abc"}}}));
    let fake = Fake::list([first(songs(1..=2), "Album - N", "2")]).with("album page", [named]);
    let album = fake.collection(link).await;
    assert_eq!(
        (album.id.as_str(), tracks(&album)[0].album.as_deref()),
        ("OLAK5uy_abc", Some("N"))
    );
    assert_eq!(fake.pages(), ["album page", "list answer"]);
    assert_eq!(
        fake.asked()[0].2["context"]["client"]["clientName"],
        "WEB_REMIX"
    );
    let fake = Fake::default().with("album page", [ok(json!({"microformat": {}}))]);
    assert_eq!(
        fake.resolve(link).await.expect_err("changed").kind(),
        Kind::PageChanged
    );
}
