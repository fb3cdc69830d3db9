//! YouTube's files, by bounded ranges.

use std::time::Duration;

use kmds::download::DownloadError;
use kmds_extract::{Delivery, Site, Stream};

use super::scripted::{Answer, Asked, Scripted};
use super::{Bytes, drain, file, kept, open, recipes, stream, whole};

const YOUTUBE: &str = "https://rr1---sn-a.googlevideo.com/videoplayback?sig=s3cret";

pub fn youtube(size: usize) -> Stream {
    stream(
        Site::YouTube,
        Delivery::File {
            url: YOUTUBE.to_owned(),
        },
        Some(size as u64),
    )
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
async fn an_answer_in_mid_file_that_cannot_be_of_it_is_asked_for_once_more_at_the_same_byte() {
    type Odd = fn() -> Answer;
    let odd: [Odd; 7] = [
        || Answer::new(200, "<!DOCTYPE html><html>busy</html>").with("Content-Type", "text/html"),
        || Answer::new(206, file(4000)),
        || Answer::new(206, file(3999)).with("Content-Range", "bytes 1001-4999/9000"),
        || Answer::new(206, file(4000)).with("Content-Range", "bytes 1000-4999/9001"),
        || Answer::new(200, file(9000)),
        || Answer::new(200, file(4000)),
        || Answer::new(416, "").with("Content-Range", "bytes */700"),
    ];
    let asked_with = async |odd: Odd, times: usize| {
        let server = Scripted::start(move |number, asked| {
            if (1..=times).contains(&number) {
                odd()
            } else {
                Answer::of_file(&file(9000), asked)
            }
        })
        .await;
        let mut download = open(&youtube(9000), None, &server.client(&recipes()))
            .await
            .expect("opened");
        let (bytes, error) = drain(&mut download).await;
        assert_eq!(server.ranges()[1], server.ranges()[2]);
        (bytes, error, server.asked().len())
    };
    for (row, odd) in odd.into_iter().enumerate() {
        let (bytes, error, _) = asked_with(odd, 1).await;
        assert_eq!((bytes, error), (Bytes(file(9000)), None), "row {row}");
    }
    for odd in [odd[0], odd[4]] {
        let (bytes, error, requests) = asked_with(odd, 2).await;
        assert_eq!((bytes, requests), (Bytes(file(1000)), 3), "{error:?}");
        assert!(
            matches!(
                error,
                Some(DownloadError::NotAudio { .. } | DownloadError::Changed { .. })
            ),
            "{error:?}"
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
