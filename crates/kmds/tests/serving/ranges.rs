//! A finished file: its ranges, its conditions and its tag.

use kmds_lab::{Fault, Lab, kib};
use serde_json::Value;

use super::harness::Kmds;
use super::{ask, header, ready, v1_audio};

#[tokio::test]
async fn ranges_and_conditions_of_a_finished_file_are_as_the_standard_says() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Ordinary Days").seconds(10.0).publish();
    let kmds = Kmds::start(&lab);
    let path = ready(&kmds, &song).await;
    let bytes = song.bytes();
    let length = bytes.len();
    for (range, wanted) in [
        ("bytes=0-0", Some(0..1)),
        ("bytes=5-9", Some(5..10)),
        ("bytes=-7", Some(length - 7..length)),
        ("bytes=100-", Some(100..length)),
        ("bytes=0-99999999999999999999999", Some(0..length)),
        ("bytes=9-5", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ] {
        let answer = ask(&kmds, &path, &[("range", range)]).await;
        let span = wanted.clone().unwrap_or(0..length);
        assert_eq!(
            answer.status().as_u16(),
            if wanted.is_some() { 206 } else { 200 },
            "{range}"
        );
        assert_eq!(
            header(&answer, "content-length"),
            (span.end - span.start).to_string(),
            "{range}"
        );
        if wanted.is_some() {
            let stated = format!("bytes {}-{}/{length}", span.start, span.end - 1);
            assert_eq!(header(&answer, "content-range"), stated);
        }
        assert_eq!(
            answer.bytes().await.expect("a body"),
            bytes[span],
            "{range}"
        );
    }
    for range in [
        format!("bytes={length}-"),
        "bytes=99999999999999999999999-".to_owned(),
    ] {
        let answer = ask(&kmds, &path, &[("range", &range)]).await;
        assert_eq!(answer.status(), 416);
        assert_eq!(
            header(&answer, "content-range"),
            format!("bytes */{length}")
        );
    }
    let whole = ask(&kmds, &path, &[]).await;
    let (etag, modified) = (
        header(&whole, "etag").to_owned(),
        header(&whole, "last-modified").to_owned(),
    );
    assert!(etag.starts_with('"') && header(&whole, "accept-ranges") == "bytes");
    assert!(header(&whole, "content-disposition").contains("filename*=UTF-8''"));
    for (name, value, status) in [
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", &modified, 304),
        ("if-match", "\"other\"", 412),
        ("if-match", &etag, 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
    ] {
        assert_eq!(
            ask(&kmds, &path, &[(name, value)]).await.status().as_u16(),
            status,
            "{name}: {value}"
        );
    }
    for (path, spelled) in [
        (path.clone(), "application/json"),
        (v1_audio(&path), "application/problem+json"),
    ] {
        let answer = ask(&kmds, &path, &[("if-match", "\"other\"")]).await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (412, spelled)
        );
        let body: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        let (status, sentence) = (
            body.get("Status").or(body.get("status")),
            body.get("Error").or(body.get("detail")),
        );
        assert_eq!(status, Some(&Value::from(412)), "{body}");
        assert!(
            sentence
                .and_then(Value::as_str)
                .is_some_and(|sentence| sentence.contains(&etag)),
            "{body}"
        );
    }
    for (validator, status) in [
        (etag.as_str(), 206),
        (&modified, 206),
        ("\"other\"", 200),
        ("W/\"other\"", 200),
    ] {
        let answer = ask(
            &kmds,
            &path,
            &[("range", "bytes=0-9"), ("if-range", validator)],
        )
        .await;
        assert_eq!(answer.status().as_u16(), status, "{validator}");
    }
}

#[tokio::test]
async fn several_ranges_come_in_one_answer_in_the_order_asked_for() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Ordinary Days").seconds(10.0).publish();
    let kmds = Kmds::start(&lab);
    let path = ready(&kmds, &song).await;
    let answer = ask(&kmds, &path, &[("range", "bytes=20-29, 0-4, -3")]).await;
    assert_eq!(answer.status(), 206);
    let content_type = header(&answer, "content-type").to_owned();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary")
        .to_owned();
    let stated: usize = header(&answer, "content-length").parse().expect("a length");
    let body = answer.bytes().await.expect("a body");
    assert_eq!(body.len(), stated);
    let bytes = song.bytes();
    let length = bytes.len();
    let mut wanted = Vec::new();
    for (place, span) in [20..30, 0..5, length - 3..length].into_iter().enumerate() {
        let start = if place == 0 { "" } else { "\r\n" };
        let (first, last) = (span.start, span.end - 1);
        wanted.extend_from_slice(
            format!(
                "{start}--{boundary}\r\nContent-Type: audio/mp4\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n"
            )
            .as_bytes(),
        );
        wanted.extend_from_slice(&bytes[span]);
    }
    wanted.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(body, wanted);
    let many = (0..17)
        .map(|n| format!("{n}-{n}"))
        .collect::<Vec<_>>()
        .join(",");
    let answer = ask(&kmds, &path, &[("range", &format!("bytes={many}"))]).await;
    assert_eq!(
        (answer.status().as_u16(), answer.content_length()),
        (200, Some(length as u64))
    );
}

#[tokio::test]
async fn a_source_that_changed_has_another_etag_though_its_length_is_the_same() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Ordinary Days")
        .seconds(40.0)
        .publish();
    lab.inject(Fault::ChangedEtag(kib(200)).on_media().first(1));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply.songs[0].tunnel.clone();
    let before = kmds.get(&format!("{path}&stream=1")).await;
    let old = header(&before, "etag").to_owned();
    assert!(
        before.bytes().await.is_err(),
        "two files are never sent as one"
    );
    let after = kmds.get(&format!("{path}&wait=60")).await;
    let new = header(&after, "etag").to_owned();
    assert_eq!(
        after.bytes().await.expect("a body").len(),
        song.bytes().len()
    );
    assert!(
        !old.is_empty() && !new.is_empty() && old != new,
        "{old} {new}"
    );
    let rest = ask(
        &kmds,
        &path,
        &[("range", "bytes=1000-"), ("if-range", &old)],
    )
    .await;
    assert_eq!(rest.status(), 200, "the rest of another file would not fit");
}
