//! What a client can play, and what becomes of a song: other forms, other containers, deleted, evicted.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, kib};
use reqwest::Method;
use serde_json::json;

use super::harness::replies::Refused;
use super::harness::{Kmds, PATIENCE, Setup, tool};
use super::{fetched, first_bytes, header, patient, tunnel};

/// Container and codec, as ffprobe sees them.
fn probed(kmds: &Kmds, name: &str, bytes: &[u8]) -> String {
    let path = kmds.folder.path(name);
    std::fs::write(&path, bytes).expect("written");
    let entries = "format=format_name,duration:stream=codec_name";
    let path = path.to_str().expect("a plain path");
    tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            entries,
            "-of",
            "default=nk=1:nw=1",
            path,
        ],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_plays_opus_gets_it_in_ogg_without_an_encoder_and_as_it_arrives() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Opus")
        .seconds(40.0)
        .holds_at(kib(150))
        .publish();
    let kmds = patient(&lab)
        .set("KMDS_FFMPEG__COMMAND", "/nonexistent/ffmpeg")
        .start();
    let mut answer = kmds
        .get(&format!("/play?accept=opus&url={}", song.link()))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "audio/ogg; codecs=opus");
    let mut received = first_bytes(&mut answer, kib(20) as usize).await;
    assert!(
        lab.media_bytes_sent(song.id()) <= kib(150),
        "re-wrapped as it arrives"
    );
    song.release();
    while let Some(chunk) = answer.chunk().await.expect("bytes") {
        received.extend_from_slice(&chunk);
    }
    let said = probed(&kmds, "song.opus", &received);
    let (is, duration) = said.trim().rsplit_once('\n').expect("a duration");
    let duration: f64 = duration.parse().expect("a number");
    assert!(is == "opus\nogg" && (duration - 40.0).abs() < 0.1, "{said}");
}

#[tokio::test]
async fn who_plays_webm_gets_the_site_s_own_bytes() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("WebM").seconds(5.0).publish();
    let kmds = patient(&lab)
        .set("KMDS_FFMPEG__COMMAND", "/nonexistent/ffmpeg")
        .start();
    let answer = kmds
        .get(&format!("/play?accept=webm&url={}", song.link()))
        .await;
    assert_eq!(header(&answer, "content-type"), "audio/webm");
    let bytes = answer.bytes().await.expect("audio");
    assert_eq!(Some(bytes), song.stream_bytes("251"));
    // Another client of the same song still gets what it can play.
    let (_, reply) = kmds
        .fetch_with(json!({"URL": song.link(), "Accept": ["m4a"]}))
        .await;
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
}

#[tokio::test]
async fn the_operator_s_list_counts_for_clients_that_say_nothing() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Kept").seconds(5.0).publish();
    let kmds = patient(&lab)
        .set("KMDS_AUDIO__ACCEPT", r#"["webm", "m4a"]"#)
        .start();
    let entry = fetched(&kmds, &song.link()).await;
    assert!(entry.file_name.ends_with(".webm"), "{entry:?}");
    assert_eq!(
        Some(kmds.whole(&entry).await),
        song.stream_bytes("251").map(Vec::from)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversion_is_heard_as_it_comes_out() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Only Opus")
        .opus_only()
        .seconds(60.0)
        .holds_at(kib(300))
        .publish();
    let kmds = patient(&lab).start();
    let entry = fetched(&kmds, &song.link()).await;
    assert!(tunnel(&entry).ends_with(".ogg"), "{entry:?}");
    let mut answer = kmds.get(&format!("{}&stream=1", tunnel(&entry))).await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer.content_length().is_none() && header(&answer, "etag").is_empty(),
        "its length is not known yet"
    );
    let mut received = first_bytes(&mut answer, kib(8) as usize).await;
    assert!(
        lab.media_bytes_sent(song.id()) <= kib(300),
        "converted as it arrives"
    );
    song.release();
    while let Some(chunk) = answer.chunk().await.expect("bytes") {
        received.extend_from_slice(&chunk);
    }
    let said = probed(&kmds, "song.ogg", &received);
    let (is, duration) = said.trim().rsplit_once('\n').expect("a duration");
    let duration: f64 = duration.parse().expect("a number");
    assert!(
        is == "vorbis\nogg" && (duration - 60.0).abs() < 0.1,
        "{said}"
    );
    assert_eq!(
        kmds.whole(&entry).await,
        received,
        "what was streamed is what is published"
    );
}

#[tokio::test]
async fn a_name_given_out_stays_valid_when_another_container_arrives() {
    let lab = Lab::start().await;
    let formats = [Format::AacHls, Format::Mp3Progressive];
    let song = lab
        .soundcloud()
        .track("fallen-away")
        .formats(&formats)
        .dead(&[Format::AacHls])
        .publish();
    let kmds = patient(&lab).start();
    let entry = fetched(&kmds, &song.link()).await;
    assert!(
        tunnel(&entry).ends_with(".m4a"),
        "the better format is promised: {entry:?}"
    );
    let answer = kmds.get(&format!("{}&wait=60", tunnel(&entry))).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            header(&answer, "content-type").as_str()
        ),
        (200, "audio/mpeg")
    );
    assert!(header(&answer, "content-disposition").contains(".mp3"));
    assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
    let again = fetched(&kmds, &song.link()).await;
    for name in [&again.file_name, &again.tunnel, &again.url, &again.path] {
        assert!(name.ends_with(".mp3"), "{again:?}");
    }
    assert_eq!(kmds.whole(&again).await, song.bytes());
    assert_eq!(lab.media_requests(song.id()), lab.hits(&song));
}

#[tokio::test]
async fn deleted_is_404_and_what_is_gone_from_the_drive_is_fetched_again() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Coming and going")
        .seconds(3.0)
        .publish();
    let kmds = patient(&lab).start();
    let entry = fetched(&kmds, &song.link()).await;
    kmds.whole(&entry).await;
    std::fs::remove_file(kmds.folder.path("cache").join(&entry.path)).expect("removed");
    assert_eq!(
        kmds.get(&tunnel(&entry)).await.status(),
        418,
        "evicted: it is queued"
    );
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    let track = kmds.at(&format!("/api/v1/tracks/bandcamp/{}", song.id()));
    let deleted = kmds.http.delete(&track).send().await.expect("an answer");
    assert!(deleted.status().is_success(), "{}", deleted.status());
    assert_eq!(kmds.get(&tunnel(&entry)).await.status(), 404);
    assert!(kmds.published().is_empty());
    assert_eq!(
        kmds.whole(&fetched(&kmds, &song.link()).await).await,
        song.bytes()
    );
}

#[tokio::test]
async fn the_head_of_a_growing_file_is_the_same_before_and_after() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Headed")
        .seconds(30.0)
        .holds_at(kib(100))
        .publish();
    let kmds = patient(&lab).start();
    let path = format!("{}&stream=1", tunnel(&fetched(&kmds, &song.link()).await));
    let mut growing = kmds.get(&path).await;
    first_bytes(&mut growing, 1000).await;
    let head = async || {
        let answer = kmds
            .http
            .request(Method::HEAD, kmds.at(&path))
            .timeout(PATIENCE)
            .send()
            .await
            .expect("a head");
        let facts = [
            "content-length",
            "etag",
            "content-type",
            "accept-ranges",
            "content-disposition",
        ];
        (
            answer.status().as_u16(),
            facts.map(|name| header(&answer, name)),
        )
    };
    let before = head().await;
    assert_eq!(before.0, 200, "HEAD is GET without the body");
    assert_eq!(before.1[0], song.len().to_string());
    assert!(before.1[1].starts_with('"'));
    song.release();
    while growing.chunk().await.expect("bytes").is_some() {}
    kmds.get(&format!("{}&wait=60", path.replace("&stream=1", "")))
        .await;
    assert_eq!(head().await, before);
    // HEAD starts no copy that no client asked for.
    let other = lab.bandcamp().track("Untouched").publish();
    let (_, reply) = kmds
        .v1_fetch(json!({"url": other.link(), "prefetch": "none"}))
        .await;
    assert!(reply.to_string().contains(other.id()), "{reply}");
    let asked = kmds.at(&format!(
        "/tunnel?file=bandcamp-{}.mp3&stream=1",
        other.id()
    ));
    assert_eq!(
        kmds.http
            .request(Method::HEAD, asked)
            .send()
            .await
            .expect("a head")
            .status(),
        418
    );
    assert_eq!(lab.hits(&other), 0);
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_an_ordinary_500_with_its_kind() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Refused")
        .fault(kmds_lab::Fault::Status(404, None))
        .publish();
    let kmds = Setup::of(&lab).start();
    let entry = fetched(&kmds, &song.link()).await;
    let (status, refusal) = kmds.body::<Refused>(&entry.stream()).await;
    assert_eq!(status, 500);
    assert!(
        !refusal.kind.is_empty() && !refusal.error.is_empty(),
        "{refusal}"
    );
}
