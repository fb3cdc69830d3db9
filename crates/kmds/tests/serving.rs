//! Audio as clients take it: in ranges, under conditions, while it grows, as a playlist, as an archive.

mod harness;

use std::time::Duration;

use harness::{Kmds, PATIENCE, Setup, tool};
use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Lab, Song, kib};
use reqwest::{Method, Response};
use serde_json::Value;

/// A finished song of the lab, and where it is served.
async fn ready(kmds: &Kmds, song: &Song) -> String {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.whole(&reply["Songs"][0]).await;
    reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned()
}

/// Where v1 serves what a tunnel serves.
fn v1_audio(tunnel: &str) -> String {
    let name = tunnel.strip_prefix("/tunnel?file=").expect("a tunnel");
    let (site, id) = name.split_once('-').expect("a site");
    format!(
        "/api/v1/tracks/{site}/{}/audio",
        id.rsplit_once('.').expect("an extension").0
    )
}

async fn ask(kmds: &Kmds, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = kmds.http.get(kmds.at(path)).timeout(PATIENCE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn header<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("ASCII"))
}

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
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
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
    let body: Value = serde_json::from_str(&whole.text().await.expect("a body")).expect("JSON");
    assert_eq!(
        (&body["State"], &body["Total"]),
        (&Value::from("downloading"), &Value::from(length))
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
    assert_eq!(kmds.whole(&reply["Songs"][0]).await, song.bytes());
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
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
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
    let bytes = kmds.whole(&reply["Songs"][0]).await;
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
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
    let answer = ask(&kmds, &format!("{path}&stream=1"), &[]).await;
    assert_eq!(
        (answer.status().as_u16(), answer.content_length()),
        (200, None)
    );
    assert!(
        answer.bytes().await.is_err(),
        "a broken answer never ends as if it were whole"
    );
    let failed = ask(&kmds, &format!("{path}&wait=30"), &[]).await;
    assert_eq!(failed.status(), 500);
    let body: Value = serde_json::from_str(&failed.text().await.expect("a body")).expect("JSON");
    assert!(
        body["Kind"].is_string() && body["Retryable"].is_boolean(),
        "{body}"
    );
    for path in [path.as_str(), &format!("{path}&stream=1")] {
        assert_eq!(ask(&kmds, path, &[]).await.status(), 500);
    }
}

#[tokio::test]
async fn a_wait_holds_the_request_and_a_preference_is_acknowledged() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Ordinary Days")
        .seconds(60.0)
        .holds_at(kib(100))
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert_eq!(
        ask(&kmds, &format!("{path}&wait=1"), &[]).await.status(),
        418
    );
    let waiting = tokio::spawn(
        kmds.http
            .get(kmds.at(&path))
            .header("prefer", "wait=60")
            .send(),
    );
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            header(&answer, "preference-applied")
        ),
        (200, "wait=60")
    );
    assert_eq!(answer.bytes().await.expect("a body"), song.bytes());
}

async fn head(kmds: &Kmds, path: &str) -> Response {
    let request = kmds.http.head(kmds.at(path)).timeout(PATIENCE);
    request.send().await.expect("an answer")
}

async fn json(kmds: &Kmds, path: &str) -> (u16, Value) {
    let answer = kmds.get(path).await;
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test]
async fn a_head_with_a_wait_answers_when_the_song_is_ready_or_failed_and_starts_nothing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let broken = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&broken));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert_eq!(head(&kmds, &format!("{path}&wait=1")).await.status(), 418);
    let waiting = kmds
        .http
        .head(kmds.at(&path))
        .header("prefer", "wait=60")
        .timeout(PATIENCE)
        .send();
    let waiting = tokio::spawn(waiting);
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            header(&answer, "preference-applied"),
            header(&answer, "content-length").to_owned()
        ),
        (200, "wait=60", song.bytes().len().to_string())
    );
    assert!(answer.bytes().await.expect("no body").is_empty());

    let (_, reply) = kmds.fetch(&broken.link()).await;
    let failing = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a path");
    let failed = head(&kmds, &format!("{failing}&wait=60")).await;
    assert_eq!(failed.status(), 500);

    let asked = lab.hits(&song);
    let file = format!("cache/bandcamp/{}.mp3", song.id());
    std::fs::remove_file(kmds.folder.path(&file)).expect("removed");
    assert_eq!(head(&kmds, &format!("{path}&wait=60")).await.status(), 418);
    assert_eq!(lab.hits(&song), asked, "a look starts no download");
}

#[tokio::test]
async fn a_wait_for_a_track_needs_no_bytes_and_ends_with_the_path_where_its_file_is() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let broken = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&broken));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds
        .v1_fetch(serde_json::json!({ "url": song.link() }))
        .await;
    let first = &reply["tracks"][0];
    assert_eq!(first["path_final"], false, "{first}");
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let (status, early) = json(&kmds, &format!("{path}?wait=1")).await;
    assert_eq!((status, &early["path_final"]), (200, &false.into()));
    let url = kmds.at(&format!("{path}?wait=60"));
    let waiting = tokio::spawn(kmds.http.get(url).timeout(PATIENCE).send());
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    let text = answer.text().await.expect("a body");
    let ready: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&ready["state"], &ready["path_final"]),
        (&"ready".into(), &true.into())
    );
    let file = kmds
        .folder
        .path("cache")
        .join(ready["path"].as_str().expect("a path"));
    assert_eq!(std::fs::read(&file).expect("the file"), song.bytes());

    // An evicted song is downloaded again; a page of another site starts nothing.
    std::fs::remove_file(&file).expect("removed");
    let waits = format!("{path}?wait=60");
    let foreign = ask(&kmds, &waits, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(foreign.status(), 200);
    assert!(!file.exists());
    let (_, again) = json(&kmds, &waits).await;
    assert_eq!(again["path_final"], true, "{again}");
    assert!(file.exists());

    kmds.v1_fetch(serde_json::json!({ "url": broken.link() }))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", broken.id());
    let (status, failed) = json(&kmds, &format!("{path}?wait=60")).await;
    assert_eq!((status, &failed["state"]), (200, &"failed".into()));
    assert_eq!(failed["path_final"], false);
    for wrong in ["wait=301", "wait=soon", "weit=1"] {
        let (status, problem) = json(&kmds, &format!("{path}?{wrong}")).await;
        assert_eq!((status, &problem["kind"]), (400, &"bad_request".into()));
    }
}

#[tokio::test]
async fn a_song_that_is_deleted_while_a_client_waits_for_it_is_unknown_to_that_client() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    kmds.v1_fetch(serde_json::json!({ "url": song.link() }))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let tasks = async || {
        let metrics = kmds.get("/metrics").await.text().await.expect("text");
        let mut lines = metrics.lines();
        let tasks = lines.find_map(|line| line.strip_prefix("kmds_tasks "));
        tasks
            .and_then(|count| count.parse::<u32>().ok())
            .expect("a number")
    };
    let before = tasks().await;
    let url = kmds.at(&format!("{path}?wait=60"));
    let waiting = tokio::spawn(kmds.http.get(url).timeout(PATIENCE).send());
    kmds.until("the wait to begin", async || tasks().await > before)
        .await;
    let deleted = kmds.http.delete(kmds.at(&path)).send().await;
    assert_eq!(deleted.expect("an answer").status(), 204);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_failure_has_its_own_status_on_v1_and_is_500_for_old_clients() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&song));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a path");
    let (status, old) = json(&kmds, &format!("{path}&wait=60")).await;
    assert_eq!((status, &old["Kind"]), (500, &"origin_failed".into()));
    let (status, problem) = json(&kmds, &format!("{}?wait=60", v1_audio(path))).await;
    assert_eq!((status, &problem["status"]), (502, &502.into()));
    assert_eq!(problem["kind"], "origin_failed", "{problem}");
}

fn id_of(song: &Song) -> String {
    song.id().to_owned()
}

#[tokio::test]
async fn several_links_are_one_reply_in_their_order_and_each_failure_names_its_link() {
    let lab = Lab::start().await;
    let single = lab.bandcamp().track("Single").publish();
    let album = lab.bandcamp().album(2).publish();
    let kmds = Kmds::start(&lab);
    let nothing = "https://example.org/nothing";
    let twice = format!("{0} {0}", single.link());
    let ids: Vec<String> = album.songs().iter().chain([&single]).map(id_of).collect();
    let urls = [nothing, &album.link(), &twice, &single.link()];
    let (status, reply) = kmds.v1_fetch(serde_json::json!({ "urls": urls })).await;
    assert_eq!(status, 200, "{reply}");
    let of = |list: &str, key: &str| -> Vec<Value> {
        let list = reply[list].as_array().expect("a list");
        list.iter().map(|one| one[key].clone()).collect()
    };
    assert_eq!(of("tracks", "id"), ids);
    assert_eq!(of("links", "url"), [album.link(), single.link()]);
    assert_eq!(of("links", "track_count"), [2, 1]);
    assert_eq!(reply["links"][0]["collection"]["total"], 2);
    assert!(reply["links"][1]["collection"].is_null());
    assert_eq!(of("failures", "url"), [nothing, &twice]);
    assert_eq!(
        of("failures", "kind"),
        ["unsupported_link", "unsupported_link"]
    );
    let (status, problem) = kmds
        .v1_fetch(serde_json::json!({ "urls": [nothing, nothing] }))
        .await;
    assert_eq!(
        (status, &problem["kind"]),
        (400, &"unsupported_link".into())
    );
    let (status, _) = kmds.v1_fetch(serde_json::json!({ "url": twice })).await;
    assert_eq!(status, 400, "two links in one text");
    assert_eq!(kmds.fetch(&twice).await.0, 400, "on both faces");
}

#[tokio::test]
async fn an_album_plays_as_a_list_of_streams_and_comes_as_one_archive() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let list = kmds.get(&format!("/play?url={link}")).await;
    assert_eq!(header(&list, "content-type"), "audio/x-mpegurl");
    let text = list.text().await.expect("a body");
    let addresses: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(
        text.starts_with("#EXTM3U\n") && addresses.len() == 3,
        "{text}"
    );
    for (address, song) in addresses.iter().zip(album.songs()) {
        assert!(
            address.starts_with(&kmds.url) && address.ends_with("&stream=1"),
            "{address}"
        );
        let played = kmds
            .http
            .get(*address)
            .send()
            .await
            .expect("an answer")
            .bytes()
            .await
            .expect("a body");
        assert_eq!(played, song.bytes());
    }
    let archive = kmds.get(&format!("/play?url={link}&archive=zip")).await;
    assert_eq!(header(&archive, "content-type"), "application/zip");
    let file = kmds.folder.path("album.zip");
    std::fs::write(&file, archive.bytes().await.expect("a body")).expect("written");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        for i in z.infolist(): print(i.filename[:2], i.file_size)";
    let listed = tool("python3", &["-c", script, file.to_str().expect("UTF-8")]);
    let sizes: Vec<String> = album
        .songs()
        .iter()
        .enumerate()
        .map(|(place, song)| format!("{:02} {}", place + 1, song.len()))
        .collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), sizes);
}

#[tokio::test]
async fn a_song_that_never_begins_is_named_in_the_archive() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let lost = &album.songs()[1];
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(lost));
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let archive = kmds.get(&format!("/play?url={link}&archive=zip")).await;
    let file = kmds.folder.path("album.zip");
    std::fs::write(&file, archive.bytes().await.expect("a body")).expect("written");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        print(*[n[:2] for n in z.namelist()])\nprint(z.read('MISSING.txt').decode())";
    let told = tool(
        "python3",
        &["-X", "utf8", "-c", script, file.to_str().expect("UTF-8")],
    );
    assert!(
        told.starts_with("01 03 MI\n") && told.contains(lost.title()),
        "{told}"
    );
}

#[tokio::test]
async fn one_song_plays_at_once_and_head_has_its_head() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("packet").seconds(20.0).publish();
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
    let path = format!("/play?url={link}");
    let played = kmds.get(&path).await;
    assert_eq!(
        (played.status().as_u16(), header(&played, "content-type")),
        (200, "audio/mpeg")
    );
    assert_eq!(played.bytes().await.expect("a body"), song.bytes());
    let head = kmds
        .http
        .request(Method::HEAD, kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(header(&head, "content-length"), song.len().to_string());
    let part = ask(&kmds, &path, &[("range", "bytes=1-3")]).await;
    assert_eq!(part.bytes().await.expect("a body"), song.bytes()[1..4]);
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
    let path = reply["Songs"][0]["Tunnel_URL"]
        .as_str()
        .expect("a path")
        .to_owned();
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

#[tokio::test]
async fn the_cover_of_an_album_is_asked_for_once_for_all_its_songs() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).publish();
    let kmds = Setup::of(&lab).start();
    assert_eq!(kmds.fetch(&album.link()).await.0, 200);
    for song in album.songs() {
        let cover = kmds
            .get(&format!("/api/v1/tracks/bandcamp/{}/cover", song.id()))
            .await;
        assert_eq!(
            (cover.status().as_u16(), header(&cover, "content-type")),
            (200, "image/jpeg")
        );
    }
    assert_eq!(lab.count(|seen| seen.kind == kmds_lab::Kind::Cover), 1);
}

#[tokio::test]
async fn events_tell_a_song_s_states_and_resume_after_the_last_seen() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Ordinary Days").seconds(5.0).publish();
    let kmds = Setup::of(&lab).start();
    let track = format!("youtube-{}", song.id());
    let mut events = kmds.get(&format!("/api/v1/events?track={track}")).await;
    assert_eq!(header(&events, "content-type"), "text/event-stream");
    kmds.download(&song.link()).await;
    let text = read_until(&mut events, "\"state\":\"ready\"").await;
    assert!(
        text.starts_with(": "),
        "a comment says at once that the line is open: {text}"
    );
    assert!(
        text.contains("event: track") && text.contains("\"state\":\"downloading\""),
        "{text}"
    );
    let first = text
        .split("id: ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("an id")
        .to_owned();
    let mut again = ask(
        &kmds,
        &format!("/api/v1/events?track={track}"),
        &[("last-event-id", &first)],
    )
    .await;
    let text = read_until(&mut again, "id: ").await;
    let next: u64 = first.parse::<u64>().expect("a number") + 1;
    assert_eq!(
        text.split("id: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()),
        Some(next.to_string().as_str())
    );
}

/// Reads an answer until this is in it.
async fn read_until(answer: &mut Response, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let piece = tokio::time::timeout(PATIENCE, answer.chunk())
            .await
            .expect("in time")
            .expect("no cut");
        text.push_str(&String::from_utf8_lossy(&piece.expect("no end")));
    }
    text
}
