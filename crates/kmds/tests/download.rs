//! Promises of downloads, against scripted sites: which ranges are asked for, and that only right bytes come out.

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kmds::download::{self, CHUNK_BYTES, Download, DownloadError, Kept};
use kmds::origin::Client;
use kmds_extract::{Codec, Container, Delivery, Recipes, Site, Stream};
use scripted::{Answer, Asked, Scripted, fast_recipes};

const YOUTUBE: &str = "https://rr1---sn-a.googlevideo.com/videoplayback?sig=s3cret";
const BANDCAMP: &str = "https://t4.bcbits.com/stream/a/mp3-128/1?token=s3cret";
const PLAYLIST: &str = "https://cf-hls-media.sndcdn.com/playlist/a/playlist.m3u8?Policy=s3cret";

/// Bytes that print as their number: a failed test shows lengths and differing places, not kilobytes.
#[derive(Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted = file(self.0.len());
        let differs = self
            .0
            .iter()
            .zip(wanted)
            .position(|(have, wanted)| *have != wanted);
        write!(f, "{} bytes, differing at {differs:?}", self.0.len())
    }
}

/// Begins like an MP3; every byte tells its place.
fn file(bytes: usize) -> Vec<u8> {
    let mut file = b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0".to_vec();
    file.extend((file.len()..bytes).map(|at| (at % 251) as u8));
    file.truncate(bytes);
    file
}

fn stream(site: Site, delivery: Delivery, size_bytes: Option<u64>) -> Stream {
    Stream {
        site,
        delivery,
        container: Container::Mp3,
        codec: Codec::Mp3,
        rank: 0,
        bitrate_bps: None,
        size_bytes,
        duration: None,
        validator: String::new(),
        expires_unix: None,
        headers: vec![("User-Agent", "test".to_owned())],
        bounded_ranges: site == Site::YouTube,
        muxed: false,
        available_unix: None,
        client: String::new(),
        label: String::new(),
    }
}

fn youtube(size: usize) -> Stream {
    stream(
        Site::YouTube,
        Delivery::File {
            url: YOUTUBE.to_owned(),
        },
        Some(size as u64),
    )
}

fn bandcamp() -> Stream {
    stream(
        Site::Bandcamp,
        Delivery::File {
            url: BANDCAMP.to_owned(),
        },
        None,
    )
}

/// Ranges of 1,000 bytes, then 4,000, never under 250.
fn recipes() -> Recipes {
    let mut recipes = fast_recipes();
    let youtube = &mut recipes.youtube;
    (
        youtube.first_range_bytes,
        youtube.range_bytes,
        youtube.least_range_bytes,
    ) = (1000, 4000, 250);
    recipes
}

async fn open(
    stream: &Stream,
    kept: Option<Kept>,
    client: &Client,
) -> Result<Download, DownloadError> {
    download::open(stream, kept, client, &recipes()).await
}

fn kept(bytes: usize, mark: Option<&str>) -> Option<Kept> {
    Some(Kept {
        bytes: bytes as u64,
        mark: mark.map(str::to_owned),
    })
}

/// All bytes up to the end, or to the failure.
async fn drain(download: &mut Download) -> (Bytes, Option<DownloadError>) {
    let mut bytes = Bytes(Vec::new());
    loop {
        match download.next().await {
            Ok(Some(chunk)) => {
                assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
                bytes.0.extend_from_slice(&chunk);
            }
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error)),
        }
    }
}

async fn whole(stream: &Stream, client: &Client) -> Result<Bytes, DownloadError> {
    let mut download = open(stream, None, client).await?;
    let (bytes, error) = drain(&mut download).await;
    error.map_or(Ok(bytes), Err)
}

#[tokio::test]
async fn youtube_is_asked_for_bounded_ranges_one_after_another() {
    let size = 10_500;
    let site = Scripted::start(move |_, asked| Answer::of_file(&file(size), asked)).await;
    let mut download = open(&youtube(size), None, &site.client(&recipes()))
        .await
        .expect("opened");
    assert_eq!((download.start(), download.total()), (0, Some(size as u64)));
    assert_eq!(drain(&mut download).await, (Bytes(file(size)), None));
    assert_eq!(
        site.ranges(),
        [
            "bytes=0-999",
            "bytes=1000-4999",
            "bytes=5000-8999",
            "bytes=9000-10499"
        ]
    );
    assert_eq!(
        site.connections().len(),
        1,
        "on one connection that is kept alive"
    );
    assert!(
        site.asked()
            .iter()
            .all(|asked| asked.method == "GET" && asked.header("user-agent") == Some("test"))
    );
}

#[tokio::test]
async fn where_youtube_moved_to_is_asked_directly_until_it_fails() {
    let site = Scripted::start(|number, asked| match number {
        0 => Answer::new(302, "").with(
            "Location",
            "https://rr9---sn-z.googlevideo.com/videoplayback?sig=b",
        ),
        3 => Answer::of_file(&file(9000), asked).cut_at(500),
        _ => Answer::of_file(&file(9000), asked),
    })
    .await;
    assert_eq!(
        whole(&youtube(9000), &site.client(&recipes())).await,
        Ok(Bytes(file(9000)))
    );
    let hosts: Vec<_> = site
        .asked()
        .iter()
        .map(|asked| asked.url[8..11].to_owned())
        .collect();
    assert_eq!(hosts, ["rr1", "rr9", "rr9", "rr9", "rr1"]);
    assert_eq!(
        site.ranges()[4],
        "bytes=5500-8999",
        "a cut range goes on where it broke off"
    );
}

#[tokio::test]
async fn a_refused_range_is_asked_smaller_once_and_the_size_that_works_stays() {
    let too_large = |asked: &Asked| {
        let (first, last) = asked.range()[6..].split_once('-').expect("range");
        last.parse::<usize>().expect("bounded") - first.parse::<usize>().expect("bounded") >= 2000
    };
    let site = Scripted::start(move |_, asked| {
        if too_large(asked) {
            Answer::new(403, "")
        } else {
            Answer::of_file(&file(6000), asked)
        }
    })
    .await;
    assert_eq!(
        whole(&youtube(6000), &site.client(&recipes())).await,
        Ok(Bytes(file(6000)))
    );
    assert_eq!(
        site.ranges(),
        [
            "bytes=0-999",
            "bytes=1000-4999",
            "bytes=1000-2999",
            "bytes=3000-4999",
            "bytes=5000-5999"
        ]
    );
}

#[tokio::test]
async fn a_url_that_stays_refused_has_expired_and_the_bytes_are_kept_for_the_next() {
    let site = Scripted::start(|number, asked| match number {
        0 | 1 | 7.. => Answer::of_file(&file(9000), asked),
        _ => Answer::new(403, ""),
    })
    .await;
    let client = site.client(&recipes());
    let mut download = open(&youtube(9000), None, &client).await.expect("opened");
    let (mut bytes, error) = drain(&mut download).await;
    assert_eq!(
        (bytes.0.len(), error),
        (
            5000,
            Some(DownloadError::Denied {
                site: Site::YouTube,
                at: 5000
            })
        )
    );
    assert_eq!(
        site.ranges()[2..],
        [
            "bytes=5000-8999",
            "bytes=5000-6999",
            "bytes=5000-5999",
            "bytes=5000-5499",
            "bytes=5000-5249"
        ]
    );

    let mark = download.progress_mark();
    let mut again = open(&youtube(9000), kept(5000, Some(&mark)), &client)
        .await
        .expect("fresh URL");
    assert_eq!(again.start(), 5000);
    bytes.0.extend(drain(&mut again).await.0.0);
    assert_eq!(bytes, Bytes(file(9000)));
    assert_eq!(site.ranges()[7..], ["bytes=5000-5999", "bytes=6000-8999"]);
}

#[tokio::test]
async fn youtubes_answers_mean_what_the_notes_say() {
    type Script = fn(usize, &Asked) -> Answer;
    let site = Site::YouTube;
    let rows: [(&str, Script, DownloadError, usize); 9] = [
        (
            "403",
            |_, _| Answer::new(403, ""),
            DownloadError::Denied { site, at: 0 },
            3,
        ),
        (
            "404",
            |_, _| Answer::new(404, ""),
            DownloadError::Gone { site },
            1,
        ),
        (
            "410",
            |_, _| Answer::new(410, ""),
            DownloadError::Gone { site },
            1,
        ),
        (
            "429",
            |_, _| Answer::new(429, "").with("Retry-After", "9"),
            DownloadError::Limited {
                site,
                retry_after: Some(Duration::from_secs(9)),
            },
            1,
        ),
        (
            "503",
            |_, _| Answer::new(503, ""),
            DownloadError::Refused { site, status: 503 },
            4,
        ),
        (
            "empty 200",
            |_, _| Answer::new(200, ""),
            DownloadError::Empty { site },
            1,
        ),
        (
            "empty 206",
            |_, _| Answer::new(206, "").with("Content-Range", "bytes 0-999/9000"),
            DownloadError::Empty { site },
            1,
        ),
        (
            "another length",
            |_, asked| Answer::of_file(&file(8999), asked),
            DownloadError::Changed { site },
            1,
        ),
        (
            "silence",
            |_, _| Answer::nothing(),
            DownloadError::Stalled { site },
            4,
        ),
    ];
    for (name, script, wanted, requests) in rows {
        let server = Scripted::start(script).await;
        assert_eq!(
            whole(&youtube(9000), &server.client(&recipes())).await,
            Err(wanted),
            "{name}"
        );
        assert_eq!(server.asked().len(), requests, "{name}");
    }
}

#[tokio::test]
async fn youtube_ignoring_the_range_is_used_only_for_the_whole_file() {
    let server = Scripted::start(|_, _| Answer::new(200, file(9000))).await;
    assert_eq!(
        whole(&youtube(9000), &server.client(&recipes())).await,
        Ok(Bytes(file(9000)))
    );
    assert_eq!(server.asked().len(), 1);
    for script in [
        |_: usize, _: &Asked| Answer::new(200, file(8999)),
        |_: usize, _: &Asked| Answer::new(206, file(1000)),
        |_: usize, _: &Asked| Answer::new(206, file(999)).with("Content-Range", "bytes 1-999/9000"),
        |_: usize, _: &Asked| {
            Answer::new(206, file(1001)).with("Content-Range", "bytes 0-1000/9000")
        },
        |_: usize, _: &Asked| {
            Answer::new(206, file(1010)).with("Content-Range", "bytes 0-999/9000")
        },
    ] {
        let server = Scripted::start(script).await;
        let wrong = whole(&youtube(9000), &server.client(&recipes())).await;
        assert!(
            matches!(wrong, Err(DownloadError::Wrong { .. })),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn after_a_limit_the_same_download_goes_on_at_the_same_byte() {
    let server = Scripted::start(|number, asked| match number {
        1 => Answer::new(429, ""),
        _ => Answer::of_file(&file(3000), asked),
    })
    .await;
    let mut download = open(&youtube(3000), None, &server.client(&recipes()))
        .await
        .expect("opened");
    let (mut bytes, limited) = drain(&mut download).await;
    assert_eq!(
        limited,
        Some(DownloadError::Limited {
            site: Site::YouTube,
            retry_after: None
        })
    );
    bytes.0.extend(drain(&mut download).await.0.0);
    assert_eq!(bytes, Bytes(file(3000)));
}

#[tokio::test]
async fn a_page_instead_of_audio_is_seen_before_the_first_byte_is_handed_out() {
    for body in [
        "<!DOCTYPE html><html><title>Sorry</title></html>",
        "{\"error\": true, \"message\": \"gone\"}",
    ] {
        for audio in [bandcamp(), youtube(body.len())] {
            let server = Scripted::start(move |_, _| Answer::new(200, body)).await;
            let found = open(&audio, None, &server.client(&recipes())).await.err();
            assert!(
                matches!(found, Some(DownloadError::NotAudio { .. })),
                "{found:?}"
            );
        }
    }
}

#[tokio::test]
async fn other_sites_are_asked_once_without_a_range() {
    let server = Scripted::start(|_, asked| Answer::of_file(&file(700_000), asked)).await;
    let mut download = open(&bandcamp(), None, &server.client(&recipes()))
        .await
        .expect("opened");
    assert_eq!(download.total(), Some(700_000));
    assert_eq!(drain(&mut download).await, (Bytes(file(700_000)), None));
    assert_eq!(server.ranges(), ["-"]);
}

#[tokio::test]
async fn a_cut_or_silent_file_is_resumed_where_it_broke_off_as_long_as_bytes_come() {
    let server = Scripted::start(|number, asked| {
        let answer = Answer::of_file(&file(400_000), asked).with("ETag", "\"one\"");
        match number {
            0 => answer.silent_at(60_000),
            1..8 => answer.cut_at(40_000),
            _ => answer,
        }
    })
    .await;
    let (bytes, error) = drain(
        &mut open(&bandcamp(), None, &server.client(&recipes()))
            .await
            .expect("opened"),
    )
    .await;
    assert_eq!((bytes.0.len(), error), (400_000, None));
    assert_eq!(bytes, Bytes(file(400_000)));
    assert_eq!(server.ranges()[..3], ["-", "bytes=60000-", "bytes=100000-"]);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"one\""));
}

#[tokio::test]
async fn a_few_bytes_before_each_silence_end_as_a_stall() {
    for (audio, most) in [(bandcamp(), 2), (youtube(400_000), 8)] {
        let server =
            Scripted::start(|_, asked| Answer::of_file(&file(400_000), asked).silent_at(900)).await;
        let error = match open(&audio, None, &server.client(&recipes())).await {
            Ok(mut download) => drain(&mut download).await.1,
            Err(error) => Some(error),
        };
        assert_eq!(error, Some(DownloadError::Stalled { site: audio.site }));
        assert!(
            server.asked().len() <= most,
            "{} requests",
            server.asked().len()
        );
    }
}

#[tokio::test]
async fn a_file_that_no_longer_comes_fails_after_the_tries_and_says_how() {
    let server = Scripted::start(|number, asked| match number {
        0 => Answer::of_file(&file(5000), asked).cut_at(2000),
        _ => Answer::raw(String::new()),
    })
    .await;
    let (bytes, error) = drain(
        &mut open(&bandcamp(), None, &server.client(&recipes()))
            .await
            .expect("opened"),
    )
    .await;
    assert_eq!(bytes.0.len(), 2000);
    let error = error.expect("failed");
    assert!(matches!(&error, DownloadError::Failed { .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"));
    assert_eq!(
        server.asked().len(),
        4,
        "four tries at the place where nothing more came"
    );
}

#[tokio::test]
async fn a_server_without_ranges_is_read_again_up_to_the_place_if_it_is_the_same_file() {
    let script = |etag: &'static str, size: usize| {
        move |number: usize, _: &Asked| match number {
            0 => Answer::new(200, file(5000))
                .with("ETag", "\"one\"")
                .cut_at(2000),
            _ => Answer::new(200, file(size)).with("ETag", etag),
        }
    };
    let server = Scripted::start(script("\"one\"", 5000)).await;
    assert_eq!(
        whole(&bandcamp(), &server.client(&recipes())).await,
        Ok(Bytes(file(5000)))
    );
    for (etag, size) in [("\"two\"", 5000), ("\"one\"", 5001)] {
        let server = Scripted::start(script(etag, size)).await;
        let changed = whole(&bandcamp(), &server.client(&recipes())).await;
        assert_eq!(
            changed,
            Err(DownloadError::Changed {
                site: Site::Bandcamp
            }),
            "{etag} {size}"
        );
    }
}

#[tokio::test]
async fn kept_bytes_are_used_if_they_are_of_the_same_file_else_all_comes_again() {
    let mark = "{\"total\":5000,\"etag\":\"\\\"one\\\"\",\"modified\":null}";
    for (name, etag, size, kept_bytes, start, ranges) in [
        ("same", "\"one\"", 5000, 2000, 2000, vec!["bytes=2000-"]),
        ("whole already", "\"one\"", 5000, 5000, 5000, vec![]),
        (
            "changed",
            "\"two\"",
            5000,
            2000,
            0,
            vec!["bytes=2000-", "-"],
        ),
        ("longer", "\"one\"", 6000, 2000, 0, vec!["bytes=2000-", "-"]),
        (
            "more kept than there is",
            "\"one\"",
            5000,
            5001,
            0,
            vec!["-"],
        ),
    ] {
        let server =
            Scripted::start(move |_, asked| Answer::of_file(&file(size), asked).with("ETag", etag))
                .await;
        let mut download = open(
            &bandcamp(),
            kept(kept_bytes, Some(mark)),
            &server.client(&recipes()),
        )
        .await
        .expect("opened");
        assert_eq!(download.start(), start, "{name}");
        let start = usize::try_from(start).expect("small");
        assert_eq!(
            drain(&mut download).await,
            (Bytes(file(size)[start..].to_vec()), None),
            "{name}"
        );
        assert_eq!(server.ranges(), ranges, "{name}");
    }
}

#[tokio::test]
async fn a_part_that_reaches_beyond_the_file_is_refused() {
    let server = Scripted::start(|number, _| match number {
        0 => Answer::new(200, file(5000)).cut_at(2000),
        _ => Answer::new(206, file(4000)).with("Content-Range", "bytes 2000-5999/*"),
    })
    .await;
    let wrong = whole(&bandcamp(), &server.client(&recipes())).await;
    assert!(
        matches!(wrong, Err(DownloadError::Wrong { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn kept_bytes_without_a_mark_are_resumed_and_a_whole_file_is_recognised() {
    let server = Scripted::start(|_, asked| Answer::of_file(&file(5000), asked)).await;
    let client = server.client(&recipes());
    let mut download = open(&bandcamp(), kept(2000, None), &client)
        .await
        .expect("opened");
    assert_eq!((download.start(), download.total()), (2000, Some(5000)));
    assert_eq!(
        drain(&mut download).await.0,
        Bytes(file(5000)[2000..].to_vec())
    );
    let mut download = open(&bandcamp(), kept(5000, None), &client)
        .await
        .expect("416 says it is whole");
    assert_eq!(
        (
            download.start(),
            download.total(),
            drain(&mut download).await
        ),
        (5000, Some(5000), (Bytes(vec![]), None))
    );

    let server = Scripted::start(|_, _| Answer::new(200, file(5000))).await;
    let mut download = open(&bandcamp(), kept(2000, None), &server.client(&recipes()))
        .await
        .expect("opened");
    assert_eq!(download.start(), 0, "without ranges all comes again");
    assert_eq!(drain(&mut download).await, (Bytes(file(5000)), None));
}

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
    let faults: [fn(&Asked) -> Answer; 5] = [
        |asked| serve(asked, 6).cut_at(10),
        |_| Answer::new(200, ""),
        |_| Answer::new(200, "<!DOCTYPE html><html><body>busy</body></html>"),
        |_| Answer::new(502, ""),
        |asked| serve(asked, 6).silent_at(10),
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
            "SoundCloud sent bytes of no kind we know instead of audio",
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

#[tokio::test]
async fn a_senseless_length_is_refused_before_its_first_byte() {
    let most = u64::MAX;
    for answer in [
        format!(
            "HTTP/1.1 206 Whatever\r\ncontent-range: bytes 0-{}/{most}\r\n",
            most - 1
        ),
        format!("HTTP/1.1 206 Whatever\r\ncontent-range: bytes 0-{most}/*\r\n"),
        "HTTP/1.1 200 Whatever\r\ncontent-length: 9000000000000000000\r\n".to_owned(),
    ] {
        let head = answer.clone();
        let server = Scripted::start(move |_, _| Answer::raw(head.clone())).await;
        let found = open(&bandcamp(), None, &server.client(&recipes()))
            .await
            .err();
        assert!(
            matches!(found, Some(DownloadError::Wrong { .. })),
            "{answer}: {found:?}"
        );
    }
}
