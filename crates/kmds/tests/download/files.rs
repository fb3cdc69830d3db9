//! Files of other sites, in one answer: resumed only from the same file, and refused where they are no audio.

use kmds::download::DownloadError;
use kmds_extract::{Delivery, Site, Stream};

use super::scripted::{Answer, Asked, Scripted};
use super::youtube::youtube;
use super::{Bytes, drain, file, kept, open, recipes, stream, whole};

const BANDCAMP: &str = "https://t4.bcbits.com/stream/a/mp3-128/1?token=s3cret";

fn bandcamp() -> Stream {
    stream(
        Site::Bandcamp,
        Delivery::File {
            url: BANDCAMP.to_owned(),
        },
        None,
    )
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
async fn a_page_in_the_middle_of_a_file_is_asked_for_once_more_but_a_changed_file_is_not() {
    let second = |odd: fn() -> Answer| {
        Scripted::start(move |number, asked| match number {
            0 => Answer::of_file(&file(5000), asked).cut_at(2000),
            1 => odd(),
            _ => Answer::of_file(&file(5000), asked),
        })
    };
    let page = || Answer::new(200, "<html>busy</html>").with("Content-Type", "text/html");
    let server = second(page).await;
    assert_eq!(
        whole(&bandcamp(), &server.client(&recipes())).await,
        Ok(Bytes(file(5000)))
    );
    assert_eq!(server.ranges(), ["-", "bytes=2000-", "bytes=2000-"]);

    let server = second(|| Answer::new(200, file(6000))).await;
    let site = Site::Bandcamp;
    assert_eq!(
        whole(&bandcamp(), &server.client(&recipes())).await,
        Err(DownloadError::Changed { site })
    );
    assert_eq!(server.asked().len(), 2);
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
