//! One song: what is shown, what is refused, and what it costs.

use std::time::Duration;

use kmds_extract::{
    Codec, Container, Delivery, ExtractError, Kind, Lack, Link, Recipes, Resolved, Source, Track,
};
use serde_json::{Value, json};

use crate::soundcloud_fake::*;
use crate::*;

fn labels(track: &Track) -> Vec<&str> {
    let streams = track.streams.iter();
    streams.map(|stream| stream.label.as_str()).collect()
}

#[tokio::test]
async fn a_song_costs_one_request_and_one_for_the_client_id() {
    let fake = says(song(7));
    let track = resolve_song(&fake).await.expect("resolves");
    assert_eq!(fake.pages(), ["home page", "resolve answer"]);
    let asked = &fake.asked()[1];
    assert_eq!(asked.url.host_str(), Some("api-v2.soundcloud.com"));
    assert_eq!(asked.query("url").as_deref(), Some(SONG));
    assert_eq!(asked.query("client_id").as_deref(), Some(ID));
    let header = |name| {
        asked
            .request
            .headers
            .iter()
            .find(|(have, _)| *have == name)
            .map(|(_, value)| value.as_str())
    };
    assert!(header("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/5.0")));
    assert!(header("accept-language").is_some());

    assert_eq!(track.id.to_string(), "soundcloud-7");
    assert_eq!(
        track.source,
        Source::SoundCloud {
            id: 7,
            secret: None
        }
    );
    assert_eq!(
        (track.title.as_str(), track.artist.as_deref()),
        ("Song 7", Some("Some One"))
    );
    assert_eq!((track.album, track.number, track.total), (None, None, None));
    assert_eq!(track.duration, Some(Duration::from_secs(200)));
    assert_eq!(
        track.cover_url.as_deref(),
        Some("https://i1.sndcdn.com/artworks-7-t500x500.jpg")
    );
    assert_eq!(track.date.as_deref(), Some("2014-02-18"));
    assert_eq!(track.link, SONG);

    resolve_song(&fake).await.expect("resolves again");
    assert_eq!(
        fake.pages()[2..],
        ["resolve answer"],
        "the client id is kept"
    );
}

#[tokio::test]
async fn the_length_is_told_by_whichever_field_has_it() {
    for (missing, told) in [
        (vec!["duration"], 201_000),
        (vec!["full_duration"], 200_000),
        (vec!["duration", "full_duration"], 202_000),
    ] {
        let mut raw = song(7);
        raw["full_duration"] = json!(201_000);
        for one in raw["media"]["transcodings"].as_array_mut().expect("a list") {
            one["duration"] = json!(202_000);
        }
        for (field, value) in missing.iter().zip([json!(null), json!(0)]) {
            raw[*field] = value;
        }
        let track = resolve_song(&says(raw)).await.expect("resolves");
        assert_eq!(
            track.duration,
            Some(Duration::from_millis(told)),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn the_future_of_a_resolve_may_move_between_threads() {
    fn movable<T: Send>(value: T) -> T {
        value
    }
    let fake = says(song(7));
    movable(resolve(SONG, &fake)).await.expect("resolves");
    let fake = says(set(1, &[song(1)]));
    movable(resolve(SET, &fake)).await.expect("resolves");
}

#[tokio::test]
async fn streams_are_ranked_and_sized_and_their_urls_are_asked_for_later() {
    let fake = says(song(7));
    let track = resolve_song(&fake).await.expect("resolves");
    let shown: Vec<_> = track
        .streams
        .iter()
        .map(|stream| {
            (
                stream.label.as_str(),
                stream.container,
                stream.codec,
                stream.approximate_size(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("aac_160k hls", Container::Mp4, Codec::Aac, Some(4_040_000)),
            (
                "mp3_1_0 progressive",
                Container::Mp3,
                Codec::Mp3,
                Some(3_200_000)
            ),
            ("mp3_1_0 hls", Container::Mp3, Codec::Mp3, Some(3_200_000)),
            ("opus_0_0 hls", Container::Ogg, Codec::Opus, Some(1_600_000)),
        ]
    );
    for stream in &track.streams {
        assert_eq!(
            (stream.size_bytes, stream.bounded_ranges, stream.muxed),
            (None, false, false)
        );
        let Delivery::Asked {
            url,
            hls,
            drm_beside,
        } = &stream.delivery
        else {
            panic!("{stream:?}")
        };
        assert!(
            !url.contains("client_id") && url.contains("track_authorization=head.body.sign"),
            "{url}"
        );
        assert_eq!(
            (*hls, *drm_beside),
            (!stream.label.contains("progressive"), false)
        );
        assert!(
            !format!("{stream:?}").contains("head.body"),
            "printing hides what is secret"
        );
    }
    let mut validators: Vec<_> = track
        .streams
        .iter()
        .map(|stream| &stream.validator)
        .collect();
    validators.dedup();
    assert_eq!(validators.len(), 4);
    let again = resolve_song(&fake).await.expect("resolves");
    assert_eq!(again.streams[0].validator, track.streams[0].validator);
    let replaced = says(with(
        song(7),
        &json!({"waveform_url": "https://wave.sndcdn.com/other_m.json"}),
    ));
    let replaced = resolve_song(&replaced).await.expect("resolves");
    assert_ne!(
        replaced.streams[0].validator, track.streams[0].validator,
        "another upload is another file"
    );
}

#[tokio::test]
async fn metadata_follows_the_notes_and_odd_types_are_no_failure() {
    type Look = fn(&Track) -> Option<&str>;
    let artist: Look = |track| track.artist.as_deref();
    let album: Look = |track| track.album.as_deref();
    let cover: Look = |track| track.cover_url.as_deref();
    let date: Look = |track| track.date.as_deref();
    let link: Look = |track| Some(&track.link);
    let table: [(Value, Look, Option<&str>); 17] = [
        (
            json!({"publisher_metadata": {"artist": "Real Name"}}),
            artist,
            Some("Real Name"),
        ),
        (
            json!({"publisher_metadata": {"artist": ""}}),
            artist,
            Some("Some One"),
        ),
        (
            json!({"publisher_metadata": {"artist": null}}),
            artist,
            Some("Some One"),
        ),
        (
            json!({"publisher_metadata": {"artist": 5}, "user": null}),
            artist,
            None,
        ),
        (
            json!({"publisher_metadata": {"album_title": "Old Album"}}),
            album,
            Some("Old Album"),
        ),
        (
            json!({"publisher_metadata": {"album_title": ""}}),
            album,
            None,
        ),
        (json!({"publisher_metadata": []}), album, None),
        (
            json!({"artwork_url": null}),
            cover,
            Some("https://i1.sndcdn.com/avatars-1-x-t500x500.jpg"),
        ),
        (
            json!({"artwork_url": ""}),
            cover,
            Some("https://i1.sndcdn.com/avatars-1-x-t500x500.jpg"),
        ),
        (
            json!({"artwork_url": null, "user": {"username": "x"}}),
            cover,
            None,
        ),
        (
            json!({"artwork_url": "https://a1.sndcdn.com/images/default_avatar_large.png"}),
            cover,
            Some("https://a1.sndcdn.com/images/default_avatar_large.png"),
        ),
        (
            json!({"release_date": "2022-10-04T00:00:00Z"}),
            date,
            Some("2022-10-04"),
        ),
        (
            json!({"release_date": "soon", "display_date": "2014-02-18T21:25:01Z"}),
            date,
            Some("2014-02-18"),
        ),
        (json!({"release_date": 5, "display_date": null}), date, None),
        (
            json!({"permalink_url": "https://soundcloud.com/A/B"}),
            link,
            Some("https://soundcloud.com/a/b"),
        ),
        (
            json!({"permalink_url": "https://evil.example/a/b"}),
            link,
            Some("https://api.soundcloud.com/tracks/7"),
        ),
        (
            json!({"permalink_url": null}),
            link,
            Some("https://api.soundcloud.com/tracks/7"),
        ),
    ];
    for (fields, look, expected) in table {
        let track = resolve_song(&says(with(song(7), &fields)))
            .await
            .expect("resolves");
        assert_eq!(look(&track), expected, "{fields}");
    }
    let odd = json!({"duration": "long", "streamable": "yes", "state": null, "track_authorization": {}, "waveform_url": 1});
    let odd = with(untold_length(), &odd);
    let track = resolve_song(&says(with(song(7), &odd)))
        .await
        .expect("resolves");
    assert_eq!(track.duration, None);
}

#[tokio::test]
async fn songs_that_may_not_be_played_are_named_for_what_they_are() {
    let snipped = with(mp3(7, "progressive"), &json!({"snipped": true}));
    let preview = with(
        mp3(7, "hls"),
        &json!({"url": "https://api-v2.soundcloud.com/media/x/y/preview/hls"}),
    );
    let table = [
        (json!({"policy": "MONETIZE"}), None, ""),
        (json!({"policy": null}), None, ""),
        (
            json!({"policy": "SNIP", "duration": 30_000, "full_duration": 221_000, "media": {"transcodings": [snipped]}}),
            Some(Kind::PreviewOnly),
            "3:41",
        ),
        (
            json!({"policy": "BLOCK", "media": {"transcodings": []}}),
            Some(Kind::GeoBlocked),
            "country",
        ),
        (
            json!({"policy": "BLOCK", "media": null}),
            Some(Kind::GeoBlocked),
            "country",
        ),
        (json!({"policy": "RENT"}), Some(Kind::Unavailable), "RENT"),
        (json!({"streamable": false}), Some(Kind::Unavailable), "yet"),
        (
            json!({"state": "processing"}),
            Some(Kind::Unavailable),
            "processed",
        ),
        (
            json!({"media": {"transcodings": [snipped, preview]}}),
            Some(Kind::PreviewOnly),
            "preview",
        ),
        (
            json!({"media": {"transcodings": [encrypted(7)]}}),
            Some(Kind::DrmOnly),
            "DRM",
        ),
    ];
    for (fields, kind, words) in table {
        let fake = says(with(song(7), &fields));
        let answer = resolve_song(&fake).await;
        assert_eq!(
            fake.pages(),
            ["home page", "resolve answer"],
            "a last word is not asked for twice: {fields}"
        );
        let Some(kind) = kind else {
            answer.expect("plays");
            continue;
        };
        let error = answer.expect_err("refused");
        assert_eq!(
            (error.kind(), error.title()),
            (kind, Some("Song 7")),
            "{fields}"
        );
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_preview_never_becomes_a_stream() {
    let media = json!({"media": {"transcodings": [with(mp3(7, "progressive"), &json!({"snipped": true})), mp3(7, "hls")]}});
    let track = resolve_song(&says(with(song(7), &media)))
        .await
        .expect("resolves");
    assert_eq!(labels(&track), ["mp3_1_0 hls"]);
}

#[tokio::test]
async fn unknown_foreign_and_broken_formats_are_left_out() {
    let media = json!({"media": {"transcodings": [
        transcoding(7, "abr_sq", "hls", "audio/mpegurl"),
        with(aac(7), &json!({"url": "https://evil.example/media/x"})),
        with(aac(7), &json!({"url": "http://api-v2.soundcloud.com/media/x"})),
        with(aac(7), &json!({"format": null})),
        null, 5, {"preset": "aac_160k"},
        transcoding(7, "aac_96k", "hls", "audio/mp4"),
        transcoding(7, "aac_160k", "hls", "video/mp2t"),
    ]}});
    let track = resolve_song(&says(with(song(7), &media)))
        .await
        .expect("resolves");
    assert_eq!(labels(&track), ["aac_96k hls"]);
}

#[tokio::test]
async fn a_format_without_a_preset_is_known_by_its_media_type() {
    let nameless = |preset, protocol, mime| {
        with(
            transcoding(7, preset, protocol, mime),
            &json!({"preset": null}),
        )
    };
    let media = json!({"media": {"transcodings": [
        nameless("abr_sq", "hls", "audio/mpegurl"),
        nameless("opus_0_0", "hls", "audio/ogg; codecs=\"opus\""),
        nameless("mp3_1_0", "progressive", "audio/mpeg"),
    ]}});
    let track = resolve_song(&says(with(song(7), &media)))
        .await
        .expect("resolves");
    assert_eq!(labels(&track), ["mp3_ progressive", "opus_ hls"]);
}

/// Fields of a song whose length stands nowhere.
fn untold_length() -> Value {
    let mut one = mp3(7, "progressive");
    one["duration"] = json!(null);
    json!({"duration": null, "full_duration": null, "media": {"transcodings": [one]}})
}

#[tokio::test]
async fn a_length_may_be_written_as_text() {
    for (length, seconds) in [
        (json!("182873"), Some(182.873)),
        (json!(" 5000.0 "), Some(5.0)),
        (json!("-1"), None),
        (json!("NaN"), None),
        (json!("inf"), None),
        (json!("1e300"), None),
    ] {
        let fields = with(untold_length(), &json!({"duration": length}));
        let track = resolve_song(&says(with(song(7), &fields)))
            .await
            .expect("resolves");
        assert_eq!(
            track.duration.map(|it| it.as_secs_f64()),
            seconds,
            "{length}"
        );
    }
}

#[tokio::test]
async fn answers_without_identity_are_a_changed_page() {
    for missing in ["id", "title", "media"] {
        let error = resolve_song(&says(with(song(7), &json!({missing: null}))))
            .await
            .expect_err("changed");
        assert!(
            matches!(error, ExtractError::PageChanged { field, .. } if field == missing),
            "{missing}: {error:?}"
        );
    }
    for body in [
        "<html>",
        "",
        "[]",
        "null",
        "{}",
        "{\"kind\":\"track\"",
        "{\"kind\":\"new\"}",
    ] {
        let fake = Fake::new(move |_| page(200, body));
        assert_eq!(
            resolve_song(&fake).await.expect_err("changed").kind(),
            Kind::PageChanged,
            "{body}"
        );
    }
    for set in [
        json!({"kind": "playlist", "id": 1}),
        json!({"kind": "playlist", "tracks": []}),
    ] {
        assert_eq!(
            resolve_entries(&says(set))
                .await
                .expect_err("changed")
                .kind(),
            Kind::PageChanged
        );
    }
}

#[tokio::test]
async fn a_link_that_resolves_to_a_user_is_unsupported() {
    for kind in ["user", "system-playlist"] {
        let error = resolve_song(&says(json!({"kind": kind, "id": 3})))
            .await
            .expect_err("no song");
        assert_eq!(error.kind(), Kind::UnsupportedLink);
        assert!(error.to_string().contains("a track or a set"));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_deleted_or_private() {
    let fake = Fake::new(|_| nothing());
    for link in [SONG, SET, "soundcloud:tracks:5", "soundcloud:playlists:5"] {
        let error = resolve(link, &fake).await.expect_err("gone");
        assert_eq!(error.kind(), Kind::NotFound, "{link}");
        assert!(
            error.to_string().contains("deleted or is private"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn no_listed_format_is_looked_at_once_more_before_it_fails() {
    for transcodings in [
        json!([]),
        json!([transcoding(7, "abr_sq", "hls", "audio/mpegurl")]),
    ] {
        let empty = with(song(7), &json!({"media": {"transcodings": transcodings}}));
        let fake = says(empty.clone());
        assert_eq!(
            resolve_song(&fake).await.expect_err("none").kind(),
            Kind::OriginFailed
        );
        assert_eq!(
            fake.pages(),
            ["home page", "resolve answer", "resolve answer"]
        );
        let fake = Fake::new(move |asked| match asked.before {
            0 => ok(&empty),
            _ => ok(&song(7)),
        });
        assert_eq!(resolve_song(&fake).await.expect("healed").streams.len(), 4);
    }
}

#[tokio::test]
async fn private_songs_carry_their_token_everywhere() {
    let fake = Fake::new(|asked| match asked.request.page {
        "format answer" => ok(&json!({"url": "https://cf-media.sndcdn.com/k.128.mp3"})),
        _ => ok(&with(song(7), &json!({"sharing": "private"}))),
    });
    let link = Link::parse("https://soundcloud.com/someone/song-7/s-AbC").expect("a link");
    let Ok(Resolved::Track(track)) =
        kmds_extract::resolve(&link, &fake, &Recipes::built_in()).await
    else {
        panic!("no song")
    };
    assert_eq!(
        fake.asked()[1].query("url").as_deref(),
        Some("https://soundcloud.com/someone/song-7/s-AbC")
    );
    assert_eq!(
        track.source,
        Source::SoundCloud {
            id: 7,
            secret: Some("s-AbC".to_owned())
        }
    );
    assert_eq!(track.link, "https://soundcloud.com/someone/song-7/s-AbC");
    locate(&track.streams[1], &fake).await.expect("located");
    assert_eq!(
        fake.asked()[2].query("secret_token").as_deref(),
        Some("s-AbC")
    );
    let again = kmds_extract::refresh(&track.source, Lack::Streams, &fake, &Recipes::built_in())
        .await
        .expect("refreshes")
        .track;
    let asked = &fake.asked()[3];
    assert_eq!(
        (asked.url.path(), asked.query("secret_token").as_deref()),
        ("/tracks/7", Some("s-AbC"))
    );
    assert_eq!(again, *track);
}

#[tokio::test]
async fn a_token_that_no_link_could_carry_is_none() {
    for odd in ["https://a.example/", "s-", "s-a&client_id=b", "x-1"] {
        let answer = with(
            song(7),
            &json!({"secret_token": odd, "permalink_url": null}),
        );
        let track = resolve_song(&says(answer)).await.expect("resolves");
        assert_eq!(
            track.source,
            Source::SoundCloud {
                id: 7,
                secret: None
            },
            "{odd}"
        );
        assert!(Link::parse(&track.link).is_ok(), "{}", track.link);
    }
}

#[tokio::test]
async fn an_answer_about_another_song_is_not_taken() {
    let source = Source::SoundCloud {
        id: 8,
        secret: None,
    };
    let refreshed =
        kmds_extract::refresh(&source, Lack::Streams, &says(song(7)), &Recipes::built_in()).await;
    assert!(
        matches!(refreshed, Err(ExtractError::PageChanged { .. })),
        "{refreshed:?}"
    );
}

#[tokio::test]
async fn numeric_ids_are_asked_for_directly() {
    let fake = Fake::new(|asked| match asked.request.page {
        "set answer" => ok(&set(5, &[song(1)])),
        _ => ok(&song(7)),
    });
    resolve(
        "https://api.soundcloud.com/tracks/7?secret_token=s-X",
        &fake,
    )
    .await
    .expect("resolves");
    resolve(
        "https://api.soundcloud.com/playlists/5?secret_token=s-X",
        &fake,
    )
    .await
    .expect("resolves");
    let asked = fake.asked();
    assert_eq!(
        (
            asked[1].url.path(),
            asked[1].query("secret_token").as_deref()
        ),
        ("/tracks/7", Some("s-X"))
    );
    assert_eq!(
        (
            asked[2].url.path(),
            asked[2].query("secret_token").as_deref()
        ),
        ("/playlists/5", Some("s-X"))
    );
    assert_eq!(asked[2].query("representation").as_deref(), Some("compact"));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn one_bad_value_in_a_field_that_is_not_read_costs_that_value_and_not_the_song() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [
        r#""x \ud83d""#,
        r#""\udc00""#,
        "\"a\u{1b}b\"",
        "1e999",
        "NaN",
        &deep,
        r#"1, "genre": 2"#,
        r#""\x""#,
    ] {
        let plain = song(7).to_string();
        let body = plain.replacen('{', &format!(r#"{{"genre": {odd}, "#), 1);
        for body in [body.clone(), format!("\u{feff}{body}")] {
            let fake = Fake::new(move |asked| match asked.request.page {
                "resolve answer" | "track answer" => page(200, body.clone()),
                _ => nothing(),
            });
            assert_eq!(
                resolve_song(&fake)
                    .await
                    .unwrap_or_else(|error| panic!("{odd:.9}: {error}"))
                    .title,
                "Song 7"
            );
            assert!(
                resolve(&format!("https://api.soundcloud.com/tracks/{}", 7), &fake)
                    .await
                    .is_ok()
            );
        }
    }
    let cut = song(7).to_string().replace("Song 7", "Cut \\ud83d");
    let fake = Fake::new(move |_| page(200, cut.clone()));
    assert_eq!(
        resolve_song(&fake).await.expect("resolves").title,
        "Cut \u{fffd}"
    );
    // A home page with one in another element still tells the id.
    let odd_home = r#"<script>window.__sc_hydration = [{"hydratable":"user","data":{"city":"\udc00"}},{"hydratable":"apiClient","data":{"id":"firstfirstfirstfirstfirstfirst01"}}];</script>"#;
    let fake = Fake::bare(move |asked| match asked.request.page {
        "home page" => page(200, odd_home),
        _ => ok(&song(7)),
    });
    resolve_song(&fake).await.expect("resolves");
    assert_eq!(fake.pages(), ["home page", "resolve answer"]);
}
