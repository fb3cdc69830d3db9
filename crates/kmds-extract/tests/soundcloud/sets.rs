//! Sets: batches, order, and songs that cannot be had.

use kmds_extract::{Entry, Kind, Link, OriginError, Page, Recipes, Resolved, Source};
use serde_json::json;

use crate::soundcloud_fake::*;
use crate::*;

#[tokio::test]
async fn a_set_costs_one_request_and_one_per_fifty_stubs() {
    for (stubs, batches) in [(0, 0), (1, 1), (50, 1), (51, 2), (500, 10)] {
        let mut songs = vec![song(9_001), song(9_002)];
        songs.extend((1..=stubs).map(stub));
        let fake = Fake::new(move |asked| match asked.request.page {
            "tracks batch" => ok(&batch(asked, |_| true)),
            _ => ok(&set(1, &songs)),
        });
        let entries = resolve_entries(&fake).await.expect("resolves");
        assert_eq!(
            fake.pages().len(),
            2 + batches,
            "{stubs} stubs, with the home page"
        );
        assert_eq!(entries.len() as u64, 2 + stubs);
        let order: Vec<String> = entries.iter().skip(2).map(title).collect();
        assert_eq!(
            order,
            (1..=stubs)
                .map(|id| format!("Song {id}"))
                .collect::<Vec<_>>()
        );
        assert!(fake.most_at_once() <= 4);
        assert_eq!(
            fake.most_at_once() == 4,
            batches == 10,
            "batches run side by side"
        );
    }
}

#[tokio::test]
async fn songs_of_a_set_take_its_title_and_number_but_not_its_cover() {
    let bare = with(
        song(2),
        &json!({"artwork_url": null, "publisher_metadata": {"album_title": "Else"}}),
    );
    let fake = says(set(1, &[song(1), bare.clone()]));
    let Ok(Resolved::Collection(list)) = resolve(SET, &fake).await else {
        panic!("no set")
    };
    assert_eq!(
        (list.id.as_str(), list.link.as_str(), list.title.as_deref()),
        ("1", SET, Some("The Set"))
    );
    assert_eq!(list.artist.as_deref(), Some("Some One"));
    assert_eq!(
        list.cover_url.as_deref(),
        Some("https://i1.sndcdn.com/artworks-set-t500x500.jpg")
    );
    assert_eq!((list.truncated, list.endless), (false, false));
    let Entry::Track(second) = &list.entries[1] else {
        panic!("unavailable")
    };
    assert_eq!(
        (second.album.as_deref(), second.album_artist.as_deref()),
        (Some("The Set"), Some("Some One"))
    );
    assert_eq!((second.number, second.total), (Some(2), Some(2)));
    assert_eq!(
        second.cover_url.as_deref(),
        Some("https://i1.sndcdn.com/avatars-1-x-t500x500.jpg")
    );

    let plain = with(
        set(1, &[song(1), bare]),
        &json!({"artwork_url": null, "is_album": false, "set_type": ""}),
    );
    let Ok(Resolved::Collection(list)) = resolve(SET, &says(plain)).await else {
        panic!("no set")
    };
    assert_eq!(
        list.cover_url.as_deref(),
        Some("https://i1.sndcdn.com/artworks-1-t500x500.jpg")
    );
    let Entry::Track(second) = &list.entries[1] else {
        panic!("unavailable")
    };
    assert_eq!(second.album_artist, None);
    assert_eq!(
        second.cover_url.as_deref(),
        Some("https://i1.sndcdn.com/avatars-1-x-t500x500.jpg")
    );
}

#[tokio::test]
async fn songs_that_cannot_be_had_keep_their_place_and_title() {
    let fake = Fake::new(|asked| match asked.request.page {
        "tracks batch" => ok(&json!([
            with(song(3), &json!({"policy": "SNIP", "full_duration": 61_000})),
            with(
                song(4),
                &json!({"policy": "BLOCK", "media": {"transcodings": []}})
            ),
            song(5),
            with(song(6), &json!({"media": null})),
            with(song(8), &json!({"policy": null})),
        ])),
        _ => ok(&set(
            1,
            &[
                song(1),
                stub(2),
                stub(3),
                stub(4),
                stub(5),
                stub(6),
                with(stub(7), &json!({"policy": "BLOCK"})),
                with(stub(8), &json!({"policy": "SNIP"})),
                json!({}),
                json!(null),
                song(1),
            ],
        )),
    });
    let entries = resolve_entries(&fake).await.expect("resolves");
    let shown: Vec<String> = entries.iter().map(title).collect();
    assert_eq!(
        shown,
        [
            "Song 1",
            "2: not_found",
            "3: preview_only",
            "4: geo_blocked",
            "Song 5",
            "6: page_changed",
            "7: geo_blocked",
            "8: preview_only",
            "9: page_changed",
            "10: page_changed",
            "Song 1",
        ]
    );
    let titles: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Unavailable(gone) => Some(gone.title.as_deref()),
            Entry::Track(_) => None,
        })
        .collect();
    let expected = [
        None,
        Some("Song 3"),
        Some("Song 4"),
        Some("Song 6"),
        None,
        Some("Song 8"),
        None,
        None,
    ];
    assert_eq!(titles, expected);
    let Entry::Track(last) = &entries[10] else {
        panic!("unavailable")
    };
    assert_eq!((last.number, last.total), (Some(11), Some(11)));
    assert_eq!(
        fake.pages(),
        ["home page", "resolve answer", "tracks batch"]
    );
}

#[tokio::test]
async fn a_refused_or_empty_batch_is_halved_once() {
    // Too many for the site: halves pass.
    for refusal in [(400, ""), (200, "[]")] {
        let fake = Fake::new(move |asked| match asked.request.page {
            "tracks batch" if asked.ids().len() > 5 => page(refusal.0, refusal.1),
            "tracks batch" => ok(&batch(asked, |_| true)),
            _ => ok(&set_of_stubs(9)),
        });
        let entries = resolve_entries(&fake).await.expect("resolves");
        assert_eq!(title(&entries[8]), "Song 9");
        let sizes: Vec<usize> = fake.asked()[2..]
            .iter()
            .map(|asked| asked.ids().len())
            .collect();
        assert_eq!(sizes, [9, 5, 4]);
    }
    // For every kind of request: the page changed, after three calls at most.
    for (status, body) in [(400, ""), (200, "[]"), (404, "{}"), (200, "<html>")] {
        let fake = Fake::new(move |asked| match asked.request.page {
            "tracks batch" => page(status, body),
            _ => ok(&set_of_stubs(9)),
        });
        assert_eq!(
            resolve_entries(&fake).await.expect_err("changed").kind(),
            Kind::PageChanged
        );
        assert!(fake.pages().len() <= 5, "{:?}", fake.pages());
    }
}

#[tokio::test]
async fn a_set_longer_than_we_take_is_cut_before_its_songs_are_asked_for_and_says_so() {
    for (most, entries, truncated, batches) in
        [(60, 60, true, 2), (119, 119, true, 3), (120, 120, false, 3)]
    {
        let fake = Fake::new(|asked| match asked.request.page {
            "tracks batch" => ok(&batch(asked, |_| true)),
            _ => ok(&set_of_stubs(120)),
        });
        let recipes = Recipes::built_in().taking_at_most(most);
        let link = Link::parse(SET).expect("a link");
        let Ok(Resolved::Collection(list)) = kmds_extract::resolve(&link, &fake, &recipes).await
        else {
            panic!("a list")
        };
        assert_eq!((list.entries.len(), list.truncated), (entries, truncated));
        assert_eq!(
            fake.pages()
                .iter()
                .filter(|page| **page == "tracks batch")
                .count(),
            batches
        );
        let Entry::Track(first) = &list.entries[0] else {
            panic!("a song")
        };
        assert_eq!(first.total, Some(120));
    }
}

#[tokio::test]
async fn a_set_that_leaves_songs_out_says_so_and_numbers_the_others_out_of_all() {
    for (count, truncated, total) in [
        (json!(12), true, 12),
        (json!("12"), true, 12),
        (json!(1), false, 2),
        (json!(null), false, 2),
        (json!("many"), false, 2),
        (json!(99_999_999_999_u64), true, 2),
    ] {
        let short = with(set(1, &[song(1), song(2)]), &json!({"track_count": count}));
        let Ok(Resolved::Collection(list)) = resolve(SET, &says(short)).await else {
            panic!("no set")
        };
        let Entry::Track(first) = &list.entries[0] else {
            panic!("a song")
        };
        assert_eq!(
            (list.truncated, first.total),
            (truncated, Some(total)),
            "{count}"
        );
    }
}

#[tokio::test]
async fn the_only_stub_missing_from_a_batch_is_a_deleted_song() {
    let fake = Fake::new(|asked| match asked.request.page {
        "tracks batch" => page(200, "[]"),
        _ => ok(&set(1, &[song(7), stub(1)])),
    });
    assert_eq!(
        title(&resolve_entries(&fake).await.expect("resolves")[1]),
        "2: not_found"
    );
    assert_eq!(fake.pages().len(), 3);
}

/// What a set of two told songs and `stubs` others becomes when `answer` is what the site says to a batch of them.
async fn told(
    stubs: u64,
    answer: impl Fn(&Asked) -> Result<Page, OriginError> + Send + Sync + 'static,
) -> Vec<String> {
    let mut songs = vec![song(9_001), song(9_002)];
    songs.extend((1..=stubs).map(stub));
    let fake = Fake::new(move |asked| match asked.request.page {
        "tracks batch" => answer(asked),
        _ => ok(&set(1, &songs)),
    });
    let Ok(Resolved::Collection(list)) = resolve(SET, &fake).await else {
        panic!("the told songs are lost")
    };
    for (at, entry) in list.entries.iter().enumerate() {
        match entry {
            Entry::Track(song) => assert_eq!(song.number, Some(at as u32 + 1)),
            Entry::Unavailable(gone) => {
                assert_eq!(gone.number, at as u32 + 1);
                assert!(gone.error.to_string().len() > 20, "{}", gone.error);
            }
        }
    }
    let shown: Vec<String> = list.entries.iter().map(title).collect();
    assert_eq!(&shown[..2], ["Song 9001", "Song 9002"]);
    assert_eq!(
        list.is_half_told(),
        shown
            .iter()
            .any(|song| song.contains(": ") && !song.contains("not_found"))
    );
    shown[2..].to_vec()
}

#[tokio::test]
async fn a_batch_that_fails_costs_its_own_songs_and_keeps_their_numbers() {
    type Row = (u16, &'static str, &'static str);
    let rows: [Row; 13] = [
        (200, "[]", "origin_failed"),
        (400, "", "origin_failed"),
        (404, "{}", "origin_failed"),
        (200, "[null, 5, {}]", "origin_failed"),
        (
            200,
            r#"[{"id": 77, "title": "Foreign", "media": {"transcodings": []}}]"#,
            "origin_failed",
        ),
        (200, "[{\"id\": 1, \"title\": \"half", "page_changed"),
        (200, "{}", "page_changed"),
        (200, "<html>", "page_changed"),
        (200, "", "page_changed"),
        (401, "", "origin_refused"),
        (403, "", "origin_refused"),
        (429, "", "rate_limited"),
        (503, "", "origin_failed"),
    ];
    for (status, body, kind) in rows {
        let shown = told(3, move |_| page(status, body)).await;
        // Two of the three songs were in a half of their own; the last one was asked for alone.
        let last = if body == "[]" || body.contains("null") || body.contains("Foreign") {
            "not_found"
        } else {
            kind
        };
        assert_eq!(
            shown,
            [
                format!("3: {kind}"),
                format!("4: {kind}"),
                format!("5: {last}")
            ],
            "{status} {body}"
        );
    }
    let shown = told(2, |_| Err(OriginError::Timeout)).await;
    assert_eq!(shown, ["3: timeout", "4: timeout"]);
}

#[tokio::test]
async fn a_failing_batch_loses_no_song_of_another() {
    for fails in [0, 1, 2] {
        let shown = told(150, move |asked| match asked.ids()[0] {
            first if first == fails * 50 + 1 => page(500, ""),
            _ => ok(&batch(asked, |_| true)),
        })
        .await;
        for (at, song) in (0_u64..).zip(shown) {
            let lost = (fails * 50..fails * 50 + 50).contains(&at);
            assert_eq!(
                song,
                if lost {
                    format!("{}: origin_failed", at + 3)
                } else {
                    format!("Song {}", at + 1)
                }
            );
        }
    }
    // One half of a batch as well.
    let shown = told(4, |asked| match asked.ids()[..] {
        [1, 2] => ok(&batch(asked, |_| true)),
        [3, 4] => page(500, ""),
        _ => page(400, ""),
    })
    .await;
    assert_eq!(
        shown,
        ["Song 1", "Song 2", "5: origin_failed", "6: origin_failed"]
    );
}

#[tokio::test]
async fn an_odd_batch_tells_what_it_tells() {
    // Out of order, one twice, one foreign, one only named, one missing.
    let shown = told(5, |_| {
        ok(&json!([
            song(4),
            song(77),
            song(2),
            stub(2),
            stub(3),
            null,
            song(1),
            with(song(1), &json!({"title": "Song 1"}))
        ]))
    })
    .await;
    assert_eq!(
        shown,
        [
            "Song 1",
            "Song 2",
            "5: origin_failed",
            "Song 4",
            "7: not_found"
        ]
    );
    // Songs that the set blocks itself need no batch to be refused.
    let fake = Fake::new(|asked| match asked.request.page {
        "tracks batch" => page(503, ""),
        _ => ok(&set(
            1,
            &[song(1), with(stub(2), &json!({"policy": "SNIP"})), stub(3)],
        )),
    });
    let entries = resolve_entries(&fake).await.expect("resolves");
    assert_eq!(
        entries.iter().map(title).collect::<Vec<_>>(),
        ["Song 1", "2: preview_only", "3: origin_failed"]
    );
}

#[tokio::test]
async fn a_set_of_which_nothing_is_told_is_an_error() {
    for (status, kind) in [
        (503, Kind::OriginFailed),
        (429, Kind::RateLimited),
        (403, Kind::OriginRefused),
        (200, Kind::PageChanged),
    ] {
        let fake = Fake::new(move |asked| match asked.request.page {
            "tracks batch" => page(status, "[]"),
            _ => ok(&set_of_stubs(3)),
        });
        assert_eq!(
            resolve_entries(&fake).await.expect_err("fails").kind(),
            kind
        );
    }
}

#[tokio::test]
async fn a_site_that_fails_batch_after_batch_is_not_asked_for_all_of_them() {
    let mut songs = vec![song(9_001)];
    songs.extend((1..=5_000).map(stub));
    let fake = Fake::new(move |asked| match asked.request.page {
        "tracks batch" => Err(OriginError::Timeout),
        _ => ok(&set(1, &songs)),
    });
    let Ok(Resolved::Collection(list)) = resolve(SET, &fake).await else {
        panic!("the told song is lost")
    };
    assert_eq!(title(&list.entries[4_999]), "5000: timeout");
    // As many as are asked at once, and those already under way.
    assert!(fake.pages().len() <= 2 + 8, "{}", fake.pages().len());
}

#[tokio::test]
async fn private_sets_name_themselves_when_asking_for_their_songs() {
    let fake = Fake::new(|asked| match asked.request.page {
        "tracks batch" => ok(&json!([with(song(2), &json!({"sharing": "private"}))])),
        _ => ok(&with(
            set(1, &[song(1), stub(2)]),
            &json!({"sharing": "private"}),
        )),
    });
    let link = Link::parse(&format!("{SET}/s-SeT")).expect("a link");
    let Ok(Resolved::Collection(list)) =
        kmds_extract::resolve(&link, &fake, &Recipes::built_in()).await
    else {
        panic!("no set")
    };
    let asked = &fake.asked()[2];
    assert_eq!(asked.query("playlistId").as_deref(), Some("1"));
    assert_eq!(asked.query("playlistSecretToken").as_deref(), Some("s-SeT"));
    assert_eq!(list.link, format!("{SET}/s-SeT"));
    let secrets: Vec<_> = list
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Track(track) => track.source.clone(),
            Entry::Unavailable(gone) => panic!("{gone:?}"),
        })
        .collect();
    assert_eq!(
        secrets,
        [
            Source::SoundCloud {
                id: 1,
                secret: None
            },
            Source::SoundCloud {
                id: 2,
                secret: Some("s-SeT".to_owned())
            },
        ]
    );
}

#[tokio::test]
async fn songs_of_a_set_without_formats_are_looked_at_once_more_together() {
    let empty = |id| with(song(id), &json!({"media": {"transcodings": []}}));
    let listed = set(1, &[empty(1), song(2), empty(3)]);
    let fake = Fake::new(move |asked| match asked.request.page {
        "tracks batch" => ok(&json!([
            with(song(3), &json!({"media": {"transcodings": []}})),
            song(1)
        ])),
        _ => ok(&listed),
    });
    let entries = resolve_entries(&fake).await.expect("resolves");
    assert_eq!(
        entries.iter().map(title).collect::<Vec<_>>(),
        ["Song 1", "Song 2", "3: origin_failed"]
    );
    assert_eq!(
        fake.pages(),
        ["home page", "resolve answer", "tracks batch"]
    );
    assert_eq!(fake.asked()[2].ids(), [1, 3]);
}

#[tokio::test]
async fn a_second_look_that_tells_nothing_costs_no_song_its_verdict() {
    for silent in [
        ok(&json!([])),
        nothing(),
        ok(&json!([song(2)])),
        page(500, ""),
    ] {
        let listed = set(
            1,
            &[
                with(song(1), &json!({"media": {"transcodings": []}})),
                song(2),
            ],
        );
        let silent = silent.expect("a page");
        let fake = Fake::new(move |asked| match asked.request.page {
            "tracks batch" => Ok(silent.clone()),
            _ => ok(&listed),
        });
        let entries = resolve_entries(&fake).await.expect("resolves");
        assert_eq!(
            entries.iter().map(title).collect::<Vec<_>>(),
            ["1: origin_failed", "Song 2"]
        );
    }
}
