//! Songs in segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kmds::download::DownloadError;
use kmds_extract::{Delivery, Site, Stream};

use super::scripted::{Answer, Asked, Scripted};
use super::{Bytes, drain, file, kept, open, recipes, stream, whole};

const PLAYLIST: &str = "https://cf-hls-media.sndcdn.com/playlist/a/playlist.m3u8?Policy=s3cret";

/// A playlist of `segments` pieces of `bytes` each, whose `n`-th has the path `/n.mp3`.
fn playlist(segments: usize) -> String {
    let lines: String = (0..segments)
        .map(|n| format!("#EXTINF:9.98,\nhttps://cf-hls-media.sndcdn.com/{n}.mp3?sig=s3cret\n"))
        .collect();
    format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n{lines}#EXT-X-ENDLIST\n")
}

const SEGMENT: usize = 1000;

fn hls() -> Stream {
    stream(
        Site::SoundCloud,
        Delivery::Hls {
            url: PLAYLIST.to_owned(),
        },
        None,
    )
}

/// Number of the segment asked for; `None` for the playlist.
fn segment(asked: &Asked) -> Option<usize> {
    asked
        .url
        .split('/')
        .next_back()?
        .split_once(".mp3")?
        .0
        .parse()
        .ok()
}

fn serve(asked: &Asked, segments: usize) -> Answer {
    match segment(asked) {
        Some(n) => Answer::new(
            200,
            &file(segments * SEGMENT)[n * SEGMENT..(n + 1) * SEGMENT],
        ),
        None => Answer::new(200, playlist(segments)),
    }
}

#[tokio::test]
async fn segments_are_fetched_side_by_side_and_handed_on_in_order() {
    let fourth = Arc::new(tokio::sync::Notify::new());
    let server = Scripted::start_async(move |_, asked| {
        let fourth = Arc::clone(&fourth);
        Box::pin(async move {
            // The first answers last of the first four, and leaves time for a fifth that must not come.
            match segment(&asked) {
                Some(0) => {
                    fourth.notified().await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Some(3) => fourth.notify_one(),
                _ => {}
            }
            serve(&asked, 9)
        })
    })
    .await;
    let mut download = open(&hls(), None, &server.client(&recipes()))
        .await
        .expect("opened");
    assert_eq!(
        server.asked().len(),
        1 + 4,
        "the playlist and four segments in flight"
    );
    assert_eq!(download.total(), None, "a playlist does not say");
    assert_eq!(drain(&mut download).await, (Bytes(file(9 * SEGMENT)), None));
    assert_eq!(download.total(), Some(9 * SEGMENT as u64));
    assert_eq!(server.asked().len(), 1 + 9);
}

#[tokio::test]
async fn a_bad_segment_is_asked_for_again() {
    let faults: [fn(&Asked) -> Answer; 8] = [
        |asked| serve(asked, 6).cut_at(10),
        |_| Answer::new(200, ""),
        |_| Answer::new(200, "<!DOCTYPE html><html><body>busy</body></html>"),
        |_| Answer::new(502, ""),
        |asked| serve(asked, 6).silent_at(10),
        |_| Answer::new(206, file(SEGMENT)),
        |_| Answer::new(206, file(SEGMENT)).with("Content-Range", "bytes 0-999/1001"),
        |_| Answer::new(416, "").with("Content-Range", "bytes */9"),
    ];
    for fault in faults {
        let broken = AtomicUsize::new(0);
        let server = Scripted::start(move |_, asked| {
            if segment(asked) == Some(2) && broken.fetch_add(1, Ordering::SeqCst) == 0 {
                return fault(asked);
            }
            serve(asked, 6)
        })
        .await;
        assert_eq!(
            whole(&hls(), &server.client(&recipes())).await,
            Ok(Bytes(file(6 * SEGMENT)))
        );
        assert_eq!(server.asked().len(), 8);
    }
}

#[tokio::test]
async fn an_expired_segment_is_told_and_a_fresh_playlist_goes_on_at_it() {
    let server = Scripted::start(|number, asked| {
        if segment(asked) == Some(5) && number < 9 {
            Answer::new(403, "")
        } else {
            serve(asked, 8)
        }
    })
    .await;
    let client = server.client(&recipes());
    let mut download = open(&hls(), None, &client).await.expect("opened");
    let (mut bytes, error) = drain(&mut download).await;
    assert_eq!(
        (bytes.0.len(), error),
        (
            5 * SEGMENT,
            Some(DownloadError::Expired {
                site: Site::SoundCloud
            })
        )
    );
    let mark = download.progress_mark();

    let before = server.asked().len();
    let mut again = open(&hls(), kept(bytes.0.len(), Some(&mark)), &client)
        .await
        .expect("fresh playlist");
    assert_eq!(again.start(), bytes.0.len() as u64);
    bytes.0.extend(drain(&mut again).await.0.0);
    assert_eq!(bytes, Bytes(file(8 * SEGMENT)));
    let asked: Vec<_> = server.asked()[before..].iter().map(segment).collect();
    assert_eq!(asked[0], None, "the playlist again");
    assert!(
        asked[1..]
            .iter()
            .all(|segment| segment.is_some_and(|n| n >= 5)),
        "{asked:?}"
    );
}

#[tokio::test]
async fn bytes_kept_in_the_middle_of_a_segment_go_back_to_its_beginning() {
    let server = Scripted::start(|_, asked| serve(asked, 4)).await;
    let client = server.client(&recipes());
    let mut download = open(&hls(), None, &client).await.expect("opened");
    drain(&mut download).await;
    let mark = download.progress_mark();
    let again = open(&hls(), kept(2 * SEGMENT + 1, Some(&mark)), &client)
        .await
        .expect("opened");
    assert_eq!(again.start(), 2 * SEGMENT as u64);
    let mut again = open(&hls(), kept(2 * SEGMENT, None), &client)
        .await
        .expect("opened");
    assert_eq!(
        (again.start(), drain(&mut again).await),
        (0, (Bytes(file(4 * SEGMENT)), None)),
        "no mark, no use"
    );
}

#[tokio::test]
async fn a_playlist_that_cannot_be_joined_or_leads_away_is_refused() {
    let key = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://a.sndcdn.com/k\"\n#EXTINF:1,\nhttps://a.sndcdn.com/0.mp3\n#EXT-X-ENDLIST\n";
    let away = "#EXTM3U\n#EXTINF:1,\nhttps://evil.example/0.mp3\n#EXT-X-ENDLIST\n";
    let open_ended = "#EXTM3U\n#EXTINF:1,\nhttps://a.sndcdn.com/0.mp3\n";
    for (text, requests) in [(key, 1), (open_ended, 4), (away, 1), ("<html></html>", 1)] {
        let server = Scripted::start(move |_, _| Answer::new(200, text)).await;
        assert!(
            whole(&hls(), &server.client(&recipes())).await.is_err(),
            "{text}"
        );
        assert_eq!(server.asked().len(), requests, "{text}");
    }
}

#[tokio::test]
async fn what_comes_instead_of_a_playlist_is_named_in_a_whole_sentence() {
    for (body, says) in [
        (
            &b"\x01\x02\x03 no playlist"[..],
            "SoundCloud sent bytes of an unknown kind instead of audio",
        ),
        (
            b"<html></html>",
            "SoundCloud sent a web page instead of audio",
        ),
    ] {
        let server = Scripted::start(move |_, _| Answer::new(200, body)).await;
        let error = whole(&hls(), &server.client(&recipes()))
            .await
            .expect_err("no playlist");
        assert!(error.to_string().starts_with(says), "{error}");
    }
}
