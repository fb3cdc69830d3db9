//! Format URLs, asked for when a download starts.

use kmds_extract::{Codec, Container, Delivery, ExtractError, Kind, OriginError};
use serde_json::{Value, json};

use crate::soundcloud_fake::*;
use crate::*;

/// `{"Statement":[{"Resource":"x","Condition":{"DateLessThan":{"AWS:EpochTime":1771638000}}}]}`
const POLICY: &str = "eyJTdGF0ZW1lbnQiOlt7IlJlc291cmNlIjoieCIsIkNvbmRpdGlvbiI6eyJEYXRlTGVzc1RoYW4iOnsiQVdTOkVwb2NoVGltZSI6MTc3MTYzODAwMH19fV19";

#[tokio::test]
async fn a_stream_is_located_by_one_request_with_id_and_authorization() {
    let fake = Fake::new(|asked| match asked.url.path() {
        "/resolve" => ok(&song(7)),
        path if path.ends_with("progressive") => ok(
            &json!({"url": format!("https://cf-media.sndcdn.com/k.128.mp3?Policy={POLICY}&Signature=s&Key-Pair-Id=k")}),
        ),
        _ => ok(
            &json!({"url": "https://playback.media-streaming.soundcloud.cloud/k/aac_160k/u/playlist.m3u8?expires=1771638001"}),
        ),
    });
    let track = resolve_song(&fake).await.expect("resolves");
    let aac = locate(&track.streams[0], &fake).await.expect("located");
    assert!(
        matches!(&aac.delivery, Delivery::Hls { url } if url.contains("/aac_160k/")),
        "{aac:?}"
    );
    assert_eq!(
        (aac.expires_unix, &aac.validator),
        (Some(1_771_638_001), &track.streams[0].validator)
    );
    let mp3 = locate(&track.streams[1], &fake).await.expect("located");
    assert!(
        matches!(&mp3.delivery, Delivery::File { url } if url.ends_with("Key-Pair-Id=k")),
        "{mp3:?}"
    );
    assert_eq!(mp3.expires_unix, Some(1_771_638_000));
    assert_eq!(fake.pages()[2..], ["format answer", "format answer"]);
    let asked = &fake.asked()[2];
    assert_eq!(asked.query("client_id").as_deref(), Some(ID));
    assert_eq!(
        asked.query("track_authorization").as_deref(),
        Some("head.body.sign")
    );
    assert_eq!(asked.query("secret_token"), None);
    assert_eq!(locate(&aac, &fake).await.expect("known already"), aac);
    assert_eq!(fake.pages().len(), 4);
}

#[tokio::test]
async fn refusals_of_a_format_url_are_read_by_the_table() {
    let table: [(Reply, Kind, usize); 10] = [
        (|_| page(401, ""), Kind::OriginRefused, 3),
        (|_| page(403, ""), Kind::OriginRefused, 3),
        (
            |_| with_header(page(403, ""), "x-datadome", "1"),
            Kind::BotCheck,
            1,
        ),
        (|_| page(503, ""), Kind::OriginFailed, 1),
        (|_| Err(OriginError::Timeout), Kind::Timeout, 1),
        (|_| page(200, "{}"), Kind::PageChanged, 1),
        (|_| page(200, "<html>"), Kind::PageChanged, 1),
        (
            |_| ok(&json!({"url": "http://cf-media.sndcdn.com/x"})),
            Kind::PageChanged,
            1,
        ),
        (
            |_| ok(&json!({"url": "https://cf-media.sndcdn.com.evil.example/x"})),
            Kind::PageChanged,
            1,
        ),
        (
            |_| ok(&json!({"url": "https://169.254.169.254/x"})),
            Kind::PageChanged,
            1,
        ),
    ];
    for (index, (answer, kind, requests)) in table.into_iter().enumerate() {
        let fake = Fake::new(move |asked| match asked.request.page {
            "format answer" => answer(asked),
            _ => ok(&song(7)),
        });
        let track = resolve_song(&fake).await.expect("resolves");
        let error = locate(&track.streams[0], &fake).await.expect_err("refused");
        assert_eq!(
            (error.kind(), fake.pages().len()),
            (kind, 2 + requests),
            "row {index}"
        );
        assert!(!error.to_string().contains("evil"), "{error}");
    }
}

#[tokio::test]
async fn an_encoding_that_is_off_is_gone_and_all_gone_is_drm_only_beside_encrypted_ones() {
    for (more, kind) in [
        (Some(encrypted(7)), Kind::DrmOnly),
        (None, Kind::OriginFailed),
    ] {
        let transcodings: Vec<Value> = [mp3(7, "hls"), opus(7)].into_iter().chain(more).collect();
        let listed = with(song(7), &json!({"media": {"transcodings": transcodings}}));
        let fake = Fake::new(move |asked| match asked.request.page {
            "format answer" => nothing(),
            _ => ok(&listed),
        });
        let track = resolve_song(&fake).await.expect("resolves");
        assert_eq!(track.streams.len(), 2);
        for stream in &track.streams {
            let error = locate(stream, &fake).await.expect_err("gone");
            assert!(
                matches!(error, ExtractError::StreamGone { .. }),
                "{error:?}"
            );
        }
        assert_eq!(fake.pages().len(), 4, "a 404 is final: no retry, no new id");
        let error = kmds_extract::all_gone(&track);
        assert_eq!(error.kind(), kind);
        assert_eq!(error.title().is_some(), kind == Kind::DrmOnly);
    }
}

#[tokio::test]
async fn aac_as_one_file_is_taken_before_segments_of_it() {
    let one_file = transcoding(
        7,
        "aac_160k",
        "progressive",
        "audio/mp4; codecs=\"mp4a.40.2\"",
    );
    for beside in [
        vec![aac(7), mp3(7, "progressive")],
        vec![mp3(7, "progressive"), opus(7)],
        vec![],
    ] {
        let listed: Vec<Value> = beside.into_iter().chain([one_file.clone()]).collect();
        let fake = Fake::new(move |asked| match asked.request.page {
            "format answer" => {
                ok(&json!({"url": "https://cf-media.sndcdn.com/k.160.m4a?Policy=p"}))
            }
            _ => ok(&with(song(7), &json!({"media": {"transcodings": listed}}))),
        });
        let track = resolve_song(&fake).await.expect("resolves");
        let first = &track.streams[0];
        assert_eq!((first.container, first.codec), (Container::Mp4, Codec::Aac));
        let located = locate(first, &fake).await.expect("located");
        assert!(
            matches!(&located.delivery, Delivery::File { url } if url.contains(".m4a")),
            "{located:?}"
        );
        assert!(fake.asked()[2].url.path().ends_with("/stream/progressive"));
    }
}
