//! The one conversion: songs that a site has as Opus only, and forms made on request.

use std::time::Duration;

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song, kib};

use super::harness::replies::{Entry, Problem, Refused, V1Fetched};
use super::harness::{Kmds, PATIENCE, Setup};
use super::tools::{children, decoded_seconds, has_ffmpeg, probe};

const SECONDS: f64 = 30.0;

fn opus_only(lab: &Lab, slug: &str) -> Song {
    lab.soundcloud()
        .track(slug)
        .seconds(SECONDS)
        .formats(&[Format::OpusHls])
        .publish()
}

/// Two minutes of Opus that stop after these bytes until they are released.
fn held_opus(lab: &Lab, slug: &str, after: u64) -> Song {
    lab.soundcloud()
        .track(slug)
        .seconds(120.0)
        .formats(&[Format::OpusHls])
        .holds_at(after)
        .publish()
}

/// A song for copies.
fn many_forms(lab: &Lab) -> Song {
    lab.bandcamp()
        .track("Many Forms")
        .seconds(SECONDS)
        .publish()
}

/// Fetches and waits; the reply's song as it is then, and where its file lies.
async fn arrives(kmds: &Kmds, song: &Song) -> (Entry, std::path::PathBuf) {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.whole(&reply.songs[0]).await;
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    let path = kmds.folder.path("cache").join(&entry.path);
    assert_eq!(entry.state, "ready");
    (entry, path)
}

#[tokio::test]
async fn an_opus_only_song_comes_out_as_the_setting_says() {
    if !has_ffmpeg() {
        return;
    }
    for (setting, ext, codec) in [
        ("vorbis", "ogg", "vorbis"),
        ("aac", "m4a", "aac"),
        ("mp3", "mp3", "mp3"),
        ("keep", "opus", "opus"),
    ] {
        let lab = Lab::start().await;
        let song = opus_only(&lab, "only-opus");
        let kmds = Setup::of(&lab).set("KMDS_AUDIO__OPUS", setting).start();
        let (status, reply) = kmds.fetch(&song.link()).await;
        assert_eq!(status, 200, "{reply}");
        let promised = reply.songs[0].file_name.clone();
        assert!(
            promised.ends_with(&format!(".{ext}")),
            "{setting}: {promised}"
        );
        let (entry, path) = arrives(&kmds, &song).await;
        assert!(
            path.to_string_lossy().ends_with(&format!(".{ext}")),
            "{setting}: {entry:?}"
        );
        let (is, seconds) = probe(&path);
        assert_eq!(is, codec, "{setting}");
        assert!((seconds - SECONDS).abs() < 0.2, "{setting}: {seconds} s");
        assert!((decoded_seconds(&path) - SECONDS).abs() < 0.2, "{setting}");
        assert_eq!(
            kmds.published().len(),
            2,
            "nothing but the file and its sidecar: {:?}",
            kmds.published()
        );
        assert!(kmds.partials().is_empty(), "{:?}", kmds.partials());
    }
}

/// One fragment of four minutes had no size: its head had left the pipe before it was known.
#[tokio::test]
async fn a_long_song_becomes_aac_too() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("long-opus")
        .seconds(240.0)
        .formats(&[Format::OpusHls])
        .publish();
    let kmds = Setup::of(&lab).set("KMDS_AUDIO__OPUS", "aac").start();
    let (_, path) = arrives(&kmds, &song).await;
    let (codec, seconds) = probe(&path);
    assert_eq!(codec, "aac");
    assert!((seconds - 240.0).abs() < 0.2, "{seconds} s");
    assert!((decoded_seconds(&path) - 240.0).abs() < 0.2);
}

#[tokio::test]
async fn a_youtube_song_with_opus_only_becomes_vorbis_or_stays_opus_for_those_who_play_it() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Only Opus")
        .seconds(SECONDS)
        .opus_only()
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, path) = arrives(&kmds, &song).await;
    assert_eq!(probe(&path).0, "vorbis");
    // Another client, another form: re-wrapped without an encoder.
    let body = serde_json::json!({ "URL": song.link(), "Accept": ["opus"] });
    let (status, reply) = kmds.fetch_with(body).await;
    assert_eq!(status, 200, "{reply}");
    let bytes = kmds.whole(&reply.songs[0]).await;
    assert!(
        bytes.starts_with(b"OggS") && bytes.windows(8).take(200).any(|word| word == b"OpusHead")
    );
}

#[tokio::test]
async fn a_conversion_is_readable_while_it_runs() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = held_opus(&lab, "held", kib(500));
    let kmds = Setup::of(&lab).recipes(PATIENT).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply.songs[0].tunnel.clone();
    let mut listener = kmds.get(&format!("{tunnel}&stream=1")).await;
    assert_eq!(listener.status(), 200);
    assert_eq!(listener.headers()["content-type"], "audio/ogg");
    let first = listener
        .chunk()
        .await
        .expect("bytes")
        .expect("before the site has sent all");
    assert!(first.starts_with(b"OggS"), "it is Ogg from its first byte");
    let (status, progress) = kmds.body::<Refused>(&tunnel).await;
    assert_eq!(status, 418, "{progress}");
    song.release();
    let mut bytes = first.to_vec();
    while let Some(piece) = listener.chunk().await.expect("bytes") {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(
        bytes,
        kmds.whole(&reply.songs[0]).await,
        "what was streamed is what is published"
    );
    let copy = kmds.folder.path("streamed.ogg");
    std::fs::write(&copy, &bytes).expect("a copy");
    let (codec, seconds) = probe(&copy);
    assert!(
        codec == "vorbis" && (seconds - 120.0).abs() < 0.3,
        "{codec} of {seconds} s"
    );
}

/// Nothing counts as stalled while a test holds the audio back.
const PATIENT: &str = r#"
[time]
audio_stall = 60.0
[bandcamp.hosts]
pace = 0.0
"#;

#[tokio::test]
async fn deleting_a_song_ends_its_conversion_and_leaves_nothing() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let held = |slug: &str| {
        lab.soundcloud()
            .track(slug)
            .seconds(120.0)
            .formats(&[Format::OpusHls])
            .holds_at(kib(500))
            .publish()
    };
    let (first, second) = (held("first"), held("second"));
    let kmds = Setup::of(&lab).recipes(PATIENT).start();
    kmds.fetch(&first.link()).await;
    kmds.until("ffmpeg runs", async || {
        children(kmds.pid(), "ffmpeg").len() == 1
    })
    .await;
    kmds.fetch(&second.link()).await;
    lab.until(|seen| {
        seen.iter().any(|seen| {
            seen.kind == kmds_lab::Kind::Media && seen.song.as_deref() == Some(second.id())
        })
    })
    .await;
    assert_eq!(children(kmds.pid(), "ffmpeg").len(), 1, "one at a time");
    for song in [&second, &first] {
        let url = kmds.at(&format!("/api/v1/tracks/soundcloud/{}", song.id()));
        let answer = kmds
            .http
            .delete(url)
            .timeout(PATIENCE)
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    kmds.until("ffmpeg is gone", async || {
        children(kmds.pid(), "ffmpeg").is_empty()
    })
    .await;
    kmds.until("no bytes are left", async || kmds.partials().is_empty())
        .await;
    assert!(kmds.published().is_empty(), "{:?}", kmds.published());
}

#[tokio::test]
async fn a_conversion_goes_on_after_a_kill_without_downloading_twice() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = held_opus(&lab, "killed", kib(700));
    let setup = Setup::of(&lab).recipes(PATIENT);
    let mut kmds = setup.start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    kmds.until("ffmpeg runs", async || {
        !children(kmds.pid(), "ffmpeg").is_empty()
    })
    .await;
    lab.until(|seen| {
        seen.iter()
            .map(|seen| {
                if seen.kind == kmds_lab::Kind::Media {
                    seen.sent_bytes
                } else {
                    0
                }
            })
            .sum::<u64>()
            > kib(600)
    })
    .await;
    tokio::time::timeout(PATIENCE, async {
        while kmds.partials().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("bytes on the drive");
    kmds.kill();
    song.release();
    let kmds = setup.start();
    let bytes = kmds.whole(&reply.songs[0]).await;
    assert!(bytes.starts_with(b"OggS"));
    let sent = lab.media_bytes_sent(song.id());
    let whole = song.stream_bytes("opus").expect("opus").len() as u64;
    assert!(
        sent < whole + kib(600),
        "{sent} bytes were sent of a song of {whole}"
    );
    assert!(kmds.partials().is_empty(), "{:?}", kmds.partials());
}

#[tokio::test]
async fn forms_on_request_are_made_once_and_the_original_stays() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = many_forms(&lab);
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let base = format!("/api/v1/tracks/bandcamp/{}/audio", song.id());
    for (form, codec, kind) in [
        ("m4a", "aac", "audio/mp4"),
        ("ogg", "vorbis", "audio/ogg"),
        ("opus", "opus", "audio/ogg"),
        ("flac", "flac", "audio/flac"),
        ("wav", "pcm_s16le", "audio/wav"),
        ("mp3", "mp3", "audio/mpeg"),
        ("original", "mp3", "audio/mpeg"),
    ] {
        let answer = kmds.get(&format!("{base}?rendition={form}&wait=60")).await;
        assert_eq!(answer.status(), 200, "{form}\n{}", kmds.log());
        let is = answer.headers()["content-type"]
            .to_str()
            .expect("text")
            .to_owned();
        assert!(is.starts_with(kind), "{form}: {is}");
        let bytes = answer.bytes().await.expect("a body");
        let again = kmds
            .get(&format!("{base}?rendition={form}&wait=60"))
            .await
            .bytes()
            .await
            .expect("a body");
        assert_eq!(bytes, again, "{form}: made once");
        let ext = if form == "original" { "mp3" } else { form };
        let copy = kmds.folder.path(&format!("copy-{form}.{ext}"));
        std::fs::write(&copy, &bytes).expect("a copy");
        let (codec_is, seconds) = probe(&copy);
        assert_eq!(codec_is, codec, "{form}");
        assert!((decoded_seconds(&copy) - SECONDS).abs() < 0.2, "{form}");
        // An encoder at a pipe cannot write the length into WAV or FLAC; their readers count.
        assert!(
            (seconds - SECONDS).abs() < 0.2 || matches!(form, "wav" | "flac"),
            "{form}: {seconds} s"
        );
        if matches!(form, "mp3" | "original") {
            assert_eq!(bytes, song.bytes(), "the form that is there already");
        }
    }
    assert_eq!(lab.media_requests(song.id()), 1, "the site is asked once");
    let (status, problem) = kmds.body::<Problem>(&format!("{base}?rendition=exe")).await;
    assert_eq!((status, &*problem.kind), (400, "bad_request"));
}

#[tokio::test]
async fn a_copy_is_replied_listed_and_told_of_by_the_word_that_asks_for_it() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = many_forms(&lab);
    let kmds = Kmds::start(&lab);
    assert_eq!(kmds.download(&song.link()).await, song.bytes());
    let base = format!("/api/v1/tracks/bandcamp/{}/audio", song.id());
    let looked = kmds
        .http
        .head(kmds.at(&format!("{base}?rendition=flac&wait=60")))
        .send()
        .await
        .expect("an answer");
    assert_eq!(looked.status(), 418);
    let (_, listed) = kmds.body::<V1Fetched>("/api/v1/tracks").await;
    assert_eq!(listed.tracks.len(), 1, "looking makes no copy: {listed}");
    let (_, reply) = kmds
        .v1_fetch(serde_json::json!({"url": song.link(), "rendition": "flac"}))
        .await;
    assert_eq!(reply.tracks[0].rendition, "flac", "{reply}");
    assert_eq!(
        kmds.get(&format!("{base}?tags=true&wait=60"))
            .await
            .status(),
        200
    );
    let (_, listed) = kmds.body::<V1Fetched>("/api/v1/tracks").await;
    let words: Vec<&str> = listed
        .tracks
        .iter()
        .map(|track| track.rendition.as_str())
        .collect();
    assert_eq!(words, ["original-tagged", "flac", "original"]);
    for (track, word) in listed.tracks.iter().zip(words) {
        let audio = &track.links["audio"];
        let asks = if audio.contains('?') { '&' } else { '?' };
        let audio = kmds
            .get(&format!("{audio}{asks}wait=60"))
            .await
            .bytes()
            .await
            .expect("a body");
        for name in ["stream", "tunnel"] {
            let same = kmds.get(&track.links[name]).await;
            assert_eq!(
                (same.status().as_u16(), same.bytes().await.expect("a body")),
                (200, audio.clone()),
                "{word}"
            );
        }
        let told = format!("\"rendition\":\"{word}\",\"state\":\"ready\"");
        let mut text = String::new();
        let mut events = kmds
            .http
            .get(kmds.at("/api/v1/events"))
            .header("last-event-id", "1")
            .send()
            .await
            .expect("events");
        while !text.contains(&told) {
            let piece = tokio::time::timeout(PATIENCE, events.chunk())
                .await
                .expect("in time")
                .expect("no cut");
            text.push_str(&String::from_utf8_lossy(&piece.expect("no end")));
        }
    }
}

#[tokio::test]
async fn without_either_tool_all_that_needs_none_works_and_the_rest_says_what_to_install() {
    let lab = Lab::start().await;
    let plain = lab.youtube().video("Plain").seconds(20.0).publish();
    let aac = lab.soundcloud().track("plain").seconds(20.0).publish();
    let album = lab.bandcamp().album(2).seconds(10.0).publish();
    let opus = opus_only(&lab, "only-opus");
    let empty = super::harness::Folder::new();
    let kmds = Setup::of(&lab)
        .set("PATH", &empty.0.display().to_string())
        .set("KMDS_ENGINES__YTDLP__ENABLED", "true")
        .start();
    assert_eq!(kmds.download(&plain.link()).await, plain.bytes());
    assert_eq!(kmds.download(&aac.link()).await, aac.bytes());
    let (_, reply) = kmds.fetch(&album.link()).await;
    for (entry, song) in reply.songs.iter().zip(album.songs()) {
        assert_eq!(kmds.whole(entry).await, song.bytes());
    }
    let (status, reply) = kmds.fetch(&opus.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = &reply.songs[0].tunnel;
    let (status, failure) = kmds.body::<Refused>(&format!("{tunnel}&wait=30")).await;
    assert_eq!(
        (status, &*failure.kind),
        (500, "conversion_unavailable"),
        "{failure}"
    );
    assert!(failure.error.contains("apt install ffmpeg"), "{failure}");
    // Tags need no tool.
    let tagged = kmds
        .get(&format!(
            "/api/v1/tracks/youtube/{}/audio?tags=true&wait=30",
            plain.id()
        ))
        .await;
    assert_eq!(tagged.status(), 200);
    let opus_again = serde_json::json!({ "URL": opus.link(), "Accept": ["opus"] });
    let (_, reply) = kmds.fetch_with(opus_again).await;
    assert_eq!(
        kmds.whole(&reply.songs[0]).await,
        opus.stream_bytes("opus").expect("opus")
    );
}

#[tokio::test]
async fn an_ffmpeg_that_fails_or_floods_is_a_clear_failure() {
    for (body, says) in [
        (
            "echo 'Unknown encoder libvorbis' >&2; exit 1",
            "Unknown encoder",
        ),
        ("cat >/dev/null; exit 0", ""),
        (
            "head -c 100 >/dev/null; yes error | head -c 10000000 >&2; exit 3",
            "error",
        ),
        ("kill -SEGV $$", "signal"),
    ] {
        let lab = Lab::start().await;
        let song = opus_only(&lab, "only-opus");
        let wrapper = super::tools::Wrapper::doing(body);
        let kmds = Setup::of(&lab)
            .set("KMDS_FFMPEG__COMMAND", &wrapper.command())
            .start();
        let (_, reply) = kmds.fetch(&song.link()).await;
        let tunnel = &reply.songs[0].tunnel;
        let (status, failure) = kmds.body::<Refused>(&format!("{tunnel}&wait=30")).await;
        assert_eq!(status, 500, "{body}: {failure}");
        assert!(failure.error.contains(says), "{body}: {failure}");
        assert!(kmds.published().is_empty(), "{body}");
        assert!(
            kmds.partials().iter().all(|path| path.contains("raw")),
            "{body}: {:?}",
            kmds.partials()
        );
    }
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_is_ended_and_gives_its_place_to_the_next() {
    for body in [
        "exec sleep 1000",
        "sleep 1000",
        "cat >/dev/null; exec sleep 1000",
        "exec >&-; exec sleep 1000",
    ] {
        let lab = Lab::start().await;
        let (first, second) = (opus_only(&lab, "first"), opus_only(&lab, "second"));
        let wrapper = super::tools::Wrapper::doing(body);
        let recipes = PATIENT.replace("[time]", "[time]\nconvert_stall = 0.5");
        let kmds = Setup::of(&lab)
            .recipes(&recipes)
            .set("KMDS_FFMPEG__COMMAND", &wrapper.command())
            .start();
        for song in [&first, &second] {
            let (_, reply) = kmds.fetch(&song.link()).await;
            let tunnel = reply.songs[0].tunnel.clone();
            let (status, failure) = kmds.body::<Refused>(&format!("{tunnel}&wait=30")).await;
            assert_eq!(
                (status, &*failure.kind),
                (500, "conversion_failed"),
                "{body}: {failure}"
            );
        }
        let left = async || {
            wrapper
                .runs()
                .into_iter()
                .any(|run| !super::tools::alive_in_group(run).is_empty())
        };
        kmds.until("no process is left", async || !left().await)
            .await;
        assert!(kmds.published().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_song_that_is_still_converted_keeps_no_other_song_of_its_site_waiting() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let converted = opus_only(&lab, "converted");
    let other = lab.soundcloud().track("other").seconds(SECONDS).publish();
    let wrapper = super::tools::Wrapper::doing(
        r#"while [ ! -e "$NOTES/go" ]; do sleep 0.05; done; exec ffmpeg "$@""#,
    );
    let kmds = Setup::of(&lab)
        .set("KMDS_FFMPEG__COMMAND", &wrapper.command())
        .set("KMDS_SOUNDCLOUD__MAX_DOWNLOADS", "1")
        .start();
    let state = async || kmds.fetch(&converted.link()).await.1.songs[0].state.clone();
    kmds.until("all of it has arrived", async || {
        state().await == "converting"
    })
    .await;
    arrives(&kmds, &other).await;
    assert_eq!(state().await, "converting", "ffmpeg still waits");
    wrapper.leave("go", "");
    let (_, path) = arrives(&kmds, &converted).await;
    assert_eq!(path.extension().and_then(|ext| ext.to_str()), Some("ogg"));
}

#[tokio::test]
async fn an_ffmpeg_that_waits_for_a_slow_site_does_not_hang() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = held_opus(&lab, "held", kib(500));
    let kmds = Setup::of(&lab)
        .recipes(&PATIENT.replace("[time]", "[time]\nconvert_stall = 8.0"))
        .start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    kmds.until("ffmpeg runs", async || {
        !children(kmds.pid(), "ffmpeg").is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(9000)).await;
    song.release();
    assert!(kmds.whole(&reply.songs[0]).await.starts_with(b"OggS"));
}

#[tokio::test]
async fn a_conversion_that_makes_nothing_whole_is_not_blamed_on_the_site() {
    for body in ["exit 0", "cat >/dev/null; echo no audio at all"] {
        let lab = Lab::start().await;
        let song = opus_only(&lab, "only-opus");
        let wrapper = super::tools::Wrapper::doing(body);
        let kmds = Setup::of(&lab)
            .set("KMDS_FFMPEG__COMMAND", &wrapper.command())
            .start();
        let (_, reply) = kmds.fetch(&song.link()).await;
        let tunnel = &reply.songs[0].tunnel;
        let (status, failure) = kmds.body::<Refused>(&format!("{tunnel}&wait=30")).await;
        assert_eq!(
            (status, &*failure.kind),
            (500, "conversion_failed"),
            "{body}: {failure}"
        );
        assert_eq!(wrapper.runs().len(), 1, "{body}");
        let whole = song.stream_bytes("opus").expect("opus").len() as u64;
        assert!(
            lab.media_bytes_sent(song.id()) <= whole + kib(64),
            "{body}: downloaded once"
        );
        assert!(kmds.published().is_empty(), "{body}");
        assert!(
            kmds.partials().iter().all(|path| path.contains("raw")),
            "{body}: {:?}",
            kmds.partials()
        );
    }
}
