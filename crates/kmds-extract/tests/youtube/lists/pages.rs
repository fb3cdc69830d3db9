//! Section 4: a list's pages, its end, and the layouts its songs stand in.

use std::time::Duration;

use kmds_extract::{Kind, Link, Recipes, Resolved, Rest, youtube};
use serde_json::{Value, json};

use super::{LIST, alert, first, id, lockup, more, next, song, songs, tracks};
use crate::fake::{Fake, ok, page};

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
