//! A file that is still arriving: its ranges, its tag, and what a failed download does to it.

use std::time::Duration;

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Lab, kib};

use super::harness::Kmds;
use super::harness::replies::{Refusal, Refused};
use super::{ask, header};

#[tokio::test]
async fn a_growing_file_of_known_length_serves_every_range_and_keeps_its_tag() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Ordinary Days")
        .seconds(60.0)
        .holds_at(kib(200))
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply.songs[0].tunnel.clone();
    let streamed = format!("{path}&stream=1");
    let length = song.len();
    let start = ask(&kmds, &streamed, &[("range", "bytes=0-99")]).await;
    assert_eq!(
        header(&start, "content-range"),
        format!("bytes 0-99/{length}")
    );
    let etag = header(&start, "etag").to_owned();
    assert_eq!(start.bytes().await.expect("a body"), song.bytes()[..100]);
    // `HEAD` is what `GET` would be, without its body: the growing file's head, or how far it is. Neither waits.
    let head = kmds
        .http
        .head(kmds.at(&streamed))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (head.status().as_u16(), header(&head, "etag")),
        (200, &*etag)
    );
    assert_eq!(header(&head, "content-length"), length.to_string());
    assert_eq!(
        kmds.http
            .head(kmds.at(&path))
            .send()
            .await
            .expect("an answer")
            .status(),
        418
    );
    let whole = ask(&kmds, &path, &[]).await;
    assert_eq!(
        (whole.status().as_u16(), header(&whole, "retry-after")),
        (418, "1")
    );
    let (_, unfinished) = Refusal::of(whole).await;
    assert_eq!(
        (&*unfinished.state, unfinished.total),
        ("downloading", Some(length))
    );
    // A range that is not there yet has its head at once, and its bytes when they come.
    let mut last = ask(&kmds, &streamed, &[("range", "bytes=-10")]).await;
    assert_eq!(
        header(&last, "content-range"),
        format!("bytes {}-{}/{length}", length - 10, length - 1)
    );
    let early = tokio::time::timeout(Duration::from_millis(200), last.chunk()).await;
    assert!(early.is_err(), "the end cannot have come");
    song.release();
    assert_eq!(
        last.bytes().await.expect("a body"),
        song.bytes()[song.bytes().len() - 10..]
    );
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
    assert_eq!(header(&ask(&kmds, &path, &[]).await, "etag"), etag);
}

#[tokio::test]
async fn a_growing_file_of_unknown_length_is_chunked_and_a_closed_range_has_no_total() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .formats(&[Format::AacHls])
        .seconds(60.0)
        .holds_at(kib(200))
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply.songs[0].tunnel.clone();
    let streamed = format!("{path}&stream=1");
    let open = ask(&kmds, &streamed, &[("range", "bytes=0-")]).await;
    assert_eq!((open.status().as_u16(), open.content_length()), (200, None));
    assert_eq!(header(&open, "etag"), "");
    // Players that may seek look for the end before they play; ranges are served all the same.
    assert_eq!(header(&open, "accept-ranges"), "");
    let closed = ask(&kmds, &streamed, &[("range", "bytes=10-19")]).await;
    assert_eq!(
        (closed.status().as_u16(), header(&closed, "content-range")),
        (206, "bytes 10-19/*")
    );
    let suffix = tokio::spawn(
        kmds.http
            .get(kmds.at(&streamed))
            .header("range", "bytes=-10")
            .send(),
    );
    song.release();
    // The joined pieces are patched before the first byte goes out: what was streamed is what is kept.
    let bytes = kmds.whole(&reply.songs[0]).await;
    assert_eq!(closed.bytes().await.expect("a body"), bytes[10..20]);
    assert_eq!(open.bytes().await.expect("a body"), bytes);
    let suffix = suffix.await.expect("no panic").expect("an answer");
    assert_eq!(
        header(&suffix, "content-range"),
        format!(
            "bytes {}-{}/{}",
            bytes.len() - 10,
            bytes.len() - 1,
            bytes.len()
        )
    );
    assert_eq!(
        header(&ask(&kmds, &path, &[]).await, "accept-ranges"),
        "bytes",
        "whole, it can be jumped in"
    );
}

#[tokio::test]
async fn a_download_that_fails_after_bytes_went_out_cuts_the_connection() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .formats(&[Format::AacHls])
        .seconds(60.0)
        .publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&song).after(3));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds
        .fetch_with(serde_json::json!({ "URL": song.link() }))
        .await;
    let path = reply.songs[0].tunnel.clone();
    let answer = ask(&kmds, &format!("{path}&stream=1"), &[]).await;
    assert_eq!(
        (answer.status().as_u16(), answer.content_length()),
        (200, None)
    );
    assert!(
        answer.bytes().await.is_err(),
        "a broken answer never ends as if it were whole"
    );
    let (status, failure) = kmds.body::<Refused>(&format!("{path}&wait=30")).await;
    assert_eq!(status, 500);
    assert!(
        !failure.kind.is_empty() && failure["Retryable"].is_boolean(),
        "{failure}"
    );
    for path in [path.as_str(), &format!("{path}&stream=1")] {
        assert_eq!(ask(&kmds, path, &[]).await.status(), 500);
    }
}
