//! Section 4: what the entries of lists and albums tell: title, artist, album, or why a song is unavailable.

use kmds_extract::{Entry, Kind};
use serde_json::{Value, json};

use super::{LIST, first, id, lockup, more, next, sidebar, song, songs, tracks};
use crate::fake::{Fake, ok, page};

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
async fn a_wrong_place_of_one_song_leaves_the_places_of_the_others() {
    for (told, places) in [
        (["1", "2", "3", "4"], [1, 2, 3, 4]),
        (["1", "3", "4", "7"], [1, 3, 4, 7]),
        (["1", "999999", "3", "4"], [1, 2, 3, 4]),
        (["7", "2", "3", "4"], [1, 2, 3, 4]),
        (["1", "2", "1", "4"], [1, 2, 3, 4]),
        (["1", "", "3", "0"], [1, 2, 3, 4]),
        (["1", "999999", "", "4"], [1, 2, 3, 4]),
    ] {
        let items = (1..).zip(told).map(|(number, place)| {
            let mut item = song(number);
            item["playlistVideoRenderer"]["index"] = json!({ "simpleText": place });
            item
        });
        let list = Fake::list([first(items.collect(), "L", "4")])
            .collection(LIST)
            .await;
        let numbers: Vec<_> = tracks(&list).iter().map(|track| track.number).collect();
        assert_eq!(numbers, places.map(Some), "{told:?}");
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

#[tokio::test]
async fn a_list_of_shorts_is_read_in_both_layouts_and_its_songs_are_by_its_owner() {
    let rich = |content: Value| json!({"richItemRenderer": {"content": content}});
    let shorts = || {
        vec![
            rich(
                json!({"shortsLockupViewModel": {"entityId": "shorts-shelf-item-x",
                "onTap": {"innertubeCommand": {"reelWatchEndpoint": {"videoId": id(1)}}},
                "overlayMetadata": {"primaryText": {"content": "Song 1"}, "secondaryText": {"content": "9 views"}}}}),
            ),
            rich(
                json!({"reelItemRenderer": {"videoId": id(2), "headline": {"simpleText": "Song 2"}}}),
            ),
            rich(json!({"shortsLockupViewModel": {"entityId": "a channel"}})),
            more("a"),
        ]
    };
    let grid = ok(
        json!({"contents": {"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {"content":
            {"richGridRenderer": {"contents": shorts()}}}}]}}, "sidebar": sidebar("L", "3")}),
    );
    for page in [first(shorts(), "L", "3"), grid] {
        let last = next(vec![rich(
            json!({"reelItemRenderer": {"videoId": id(3), "headline": {"simpleText": "Song 3"}}}),
        )]);
        let list = Fake::list([page, last]).collection(LIST).await;
        let songs: Vec<_> = tracks(&list)
            .iter()
            .map(|song| (song.title.clone(), song.artist.clone(), song.number))
            .collect();
        let wanted = (1..=3).map(|number| {
            let title = format!("Song {number}");
            (title, Some("Owner".to_owned()), Some(number))
        });
        assert_eq!(songs, wanted.collect::<Vec<_>>());
        assert!(!list.truncated);
    }
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
