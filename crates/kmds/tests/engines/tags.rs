//! Tags and covers in copies, read back by mutagen.

use kmds_lab::Lab;
use serde_json::{Value, json};

use super::harness::{Kmds, tool};
use super::tools::{decoded_seconds, has_ffmpeg, python};

/// Prints what mutagen reads, in words of our own.
const READ: &str = r#"
import json, sys, base64, mutagen
from mutagen.flac import Picture
f = mutagen.File(sys.argv[1])
kind = type(f).__name__
out = {"kind": kind, "seconds": f.info.length}
def one(name):
    value = f.tags.get(name) if f.tags else None
    if value is None: return None
    value = value[0] if isinstance(value, list) else value
    return value if isinstance(value, (list, tuple)) else str(value)
if kind == "MP4":
    number = one("trkn")
    names = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "albumartist": "aART", "date": "\xa9day", "comment": "\xa9cmt"}
    out.update({name: one(key) for name, key in names.items()})
    out["number"], out["total"] = (number or (None, None))
    gains = f.tags.get("----:com.apple.iTunes:REPLAYGAIN_TRACK_GAIN") or []
    out["gains"] = [gain.decode() for gain in gains]
    covers = f.tags.get("covr") or []
    out["cover"] = len(covers[0]) if covers else 0
elif kind in ("MP3", "WAVE"):
    names = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "albumartist": "TPE2", "date": "TDRC"}
    out.update({name: one(key) for name, key in names.items()})
    comments = f.tags.getall("COMM")
    out["comment"] = str(comments[0]) if comments else None
    number = str(f.tags.get("TRCK", "")).split("/")
    out["number"] = int(number[0]) if number[0] else None
    out["total"] = int(number[1]) if len(number) > 1 else None
    gains = f.tags.getall("TXXX:REPLAYGAIN_TRACK_GAIN")
    out["gains"] = [str(text) for gain in gains for text in gain.text]
    pictures = f.tags.getall("APIC")
    out["cover"] = len(pictures[0].data) if pictures else 0
else:
    for name in ["title", "artist", "album", "albumartist", "date", "comment"]:
        out[name] = one(name)
    for name, keys in [("number", ["tracknumber"]), ("total", ["tracktotal", "totaltracks"])]:
        found = [one(key) for key in keys if one(key)]
        out[name] = int(found[0]) if found else None
    out["gains"] = f.tags.get("replaygain_track_gain") or []
    out["r128"] = f.tags.get("r128_track_gain") or []
    pictures = list(getattr(f, "pictures", []))
    pictures += [Picture(base64.b64decode(text)) for text in (f.tags.get("metadata_block_picture") or [])]
    out["cover"] = len(pictures[0].data) if pictures else 0
print(json.dumps(out))
"#;

fn tags_of(python: &str, file: &std::path::Path) -> Value {
    serde_json::from_str(&tool(python, &["-c", READ, &file.display().to_string()])).expect("JSON")
}

#[tokio::test]
async fn tags_and_cover_are_read_back_from_every_container() {
    let Some(python) = python() else { return };
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(2)
        .title("Coming of Port")
        .artist("Mac Layer")
        .seconds(12.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200, "{reply}");
    let song = &album.songs()[1];
    let original = kmds.whole(&reply.songs[1]).await;
    let cover = kmds
        .get(&format!("/api/v1/tracks/bandcamp/{}/cover", song.id()))
        .await;
    let cover = cover.bytes().await.expect("a picture").len();
    for (form, kind) in [
        ("original", "MP3"),
        ("m4a", "MP4"),
        ("mp3", "MP3"),
        ("ogg", "OggVorbis"),
        ("opus", "OggOpus"),
        ("flac", "FLAC"),
        ("wav", "WAVE"),
    ] {
        let path = format!(
            "/api/v1/tracks/bandcamp/{}/audio?rendition={form}&tags=true&wait=60",
            song.id()
        );
        let answer = kmds.get(&path).await;
        assert_eq!(answer.status(), 200, "{form}\n{}", kmds.log());
        let bytes = answer.bytes().await.expect("a body");
        let ext = if form == "original" { "mp3" } else { form };
        let file = kmds.folder.path(&format!("tagged-{form}.{ext}"));
        std::fs::write(&file, &bytes).expect("a copy");
        let tags = tags_of(&python, &file);
        assert_eq!(tags["kind"], kind, "{form}: {tags}");
        assert_eq!(tags["title"], song.title(), "{form}: {tags}");
        assert_eq!(
            (&tags["artist"], &tags["albumartist"]),
            (&"Mac Layer".into(), &"Mac Layer".into()),
            "{form}: {tags}"
        );
        assert_eq!(tags["album"], "Coming of Port", "{form}: {tags}");
        assert_eq!(
            (&tags["number"], &tags["total"]),
            (&2.into(), &2.into()),
            "{form}: {tags}"
        );
        assert!(
            tags["date"]
                .as_str()
                .is_some_and(|date| date.len() == 10 && date.starts_with("20")),
            "{form}: {tags}"
        );
        assert!(
            tags["comment"]
                .as_str()
                .is_some_and(|link| link.starts_with("https://")),
            "{form}: {tags}"
        );
        assert_eq!(tags["gains"], json!([]), "the site tells no loudness");
        assert_eq!(tags["cover"], cover, "{form}: {tags}");
        let seconds = tags["seconds"].as_f64().expect("a length");
        assert!((seconds - 12.0).abs() < 0.2, "{form}: {seconds} s");
        assert!((decoded_seconds(&file) - 12.0).abs() < 0.2, "{form}");
    }
    assert_eq!(
        kmds.whole(&reply.songs[1]).await,
        original,
        "the original stays byte for byte"
    );
    assert_eq!(original, song.bytes());
}

#[tokio::test]
async fn fragmented_mp4_and_kept_opus_take_tags_without_an_encoder() {
    let Some(python) = python() else { return };
    let lab = Lab::start().await;
    // As YouTube sends it, as SoundCloud's HLS joins, and Opus in Ogg.
    let youtube = lab
        .youtube()
        .video("Fragmented")
        .artist("Ada")
        .seconds(12.0)
        .publish();
    let soundcloud = lab
        .soundcloud()
        .track("fragmented")
        .artist("Ada")
        .seconds(25.0)
        .formats(&[kmds_lab::soundcloud::Format::AacHls])
        .publish();
    let opus = lab
        .soundcloud()
        .track("ogg")
        .artist("Ada")
        .seconds(25.0)
        .formats(&[kmds_lab::soundcloud::Format::OpusHls])
        .publish();
    let empty = super::harness::Folder::new();
    let kmds = super::harness::Setup::of(&lab)
        .set("KMDS_AUDIO__OPUS", "keep")
        .set("PATH", &empty.0.display().to_string())
        .start();
    for (song, kind) in [(&youtube, "MP4"), (&soundcloud, "MP4"), (&opus, "OggOpus")] {
        let (status, reply) = kmds.fetch(&song.link()).await;
        assert_eq!(status, 200, "{reply}");
        let original = kmds.whole(&reply.songs[0]).await;
        let path = format!(
            "/api/v1/tracks/{}/{}/audio?tags=true&wait=60",
            song.site().name(),
            song.id()
        );
        let answer = kmds.get(&path).await;
        assert_eq!(answer.status(), 200, "{kind}\n{}", kmds.log());
        let bytes = answer.bytes().await.expect("a body");
        assert_ne!(bytes, original);
        let file = kmds.folder.path(if kind == "MP4" {
            "tagged.m4a"
        } else {
            "tagged.opus"
        });
        std::fs::write(&file, &bytes).expect("a copy");
        let tags = tags_of(&python, &file);
        assert_eq!(
            (&tags["kind"], &tags["title"], &tags["artist"]),
            (&kind.into(), &song.title().into(), &"Ada".into())
        );
        assert!(
            tags["cover"].as_u64().is_some_and(|size| size > 0),
            "{tags}"
        );
        let seconds = tags["seconds"].as_f64().expect("a length");
        assert!(
            (seconds - song.seconds()).abs() < 0.2,
            "{kind}: {seconds} s"
        );
        if has_ffmpeg() {
            assert!(
                (decoded_seconds(&file) - song.seconds()).abs() < 0.2,
                "{kind}"
            );
        }
        assert_eq!(kmds.whole(&reply.songs[0]).await, original);
    }
}

#[tokio::test]
async fn copies_tell_players_the_gain_that_follows_from_the_sites_loudness() {
    let Some(python) = python() else { return };
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    let song = lab.youtube().video("Quiet").seconds(12.0).publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    // −3.5 dB from −14 LUFS is −17.5: half a decibel above ReplayGain's reference, 5.5 above that of Opus.
    for (form, gains, r128) in [
        ("original", json!(["-0.50 dB"]), Value::Null),
        ("mp3", json!(["-0.50 dB"]), Value::Null),
        ("ogg", json!(["-0.50 dB"]), json!([])),
        ("opus", json!([]), json!(["-1408"])),
        ("flac", json!(["-0.50 dB"]), json!([])),
        ("wav", json!(["-0.50 dB"]), Value::Null),
    ] {
        let path = format!(
            "/api/v1/tracks/youtube/{}/audio?rendition={form}&tags=true&wait=60",
            song.id()
        );
        let answer = kmds.get(&path).await;
        assert_eq!(answer.status(), 200, "{form}\n{}", kmds.log());
        let file = kmds.folder.path(&format!("gain-{form}"));
        std::fs::write(&file, answer.bytes().await.expect("a body")).expect("a copy");
        let tags = tags_of(&python, &file);
        assert_eq!(
            (&tags["gains"], &tags["r128"]),
            (&gains, &r128),
            "{form}: {tags}"
        );
    }
}

/// The most a process ever held, in bytes.
fn most_resident(kmds: &Kmds) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kmds.pid())).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("memory");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        << 10
}

#[tokio::test]
async fn a_long_song_gets_its_tags_in_memory_that_does_not_grow_with_it() {
    if !has_ffmpeg() {
        return;
    }
    let lab = Lab::start().await;
    // 5 MB of MP3, 53 MB of WAV.
    let song = lab.bandcamp().track("A Mix").seconds(300.0).publish();
    let kmds = super::harness::Setup::of(&lab)
        .set("PATH", &std::env::var("PATH").unwrap_or_default())
        .set("KMDS_CACHE__MAX_BYTES", "4000000000")
        .start();
    kmds.download(&song.link()).await;
    // The cover and the encoder's pipes are in it.
    let before = most_resident(&kmds) + (12 << 20);
    for form in ["wav", "flac", "original"] {
        let path = format!(
            "/api/v1/tracks/bandcamp/{}/audio?rendition={form}&tags=true&wait=120",
            song.id()
        );
        let answer = kmds
            .http
            .get(kmds.at(&path))
            .header("range", "bytes=0-99")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 206, "{form}: {}", kmds.log());
        assert!(
            most_resident(&kmds) < before,
            "{form}: {} of {before} bytes",
            most_resident(&kmds)
        );
    }
}
