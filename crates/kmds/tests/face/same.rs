//! The same links through the real yt-dlp and through this command: the same keys, and the same values where both know
//! them.

use std::process::Stdio;

use kmds_lab::Lab;
use kmds_lab::soundcloud::Format;
use serde_json::Value;

use super::harness::{Folder, Kmds};
use super::{Caller, Said, skipped};

/// The output of the real yt-dlp.
fn real(lab: &Lab, arguments: &[&str]) -> Option<Said> {
    let program = std::env::var("KMDS_TEST_YTDLP")
        .ok()
        .filter(|program| !program.is_empty());
    let Some(program) = program else {
        skipped("KMDS_TEST_YTDLP does not name a yt-dlp to compare with");
        return None;
    };
    let folder = Folder::new();
    let mut command = std::process::Command::new(program);
    command
        .args([
            "--ignore-config",
            "--no-cache-dir",
            "--no-warnings",
            "--compat-options",
            "no-certifi",
        ])
        .args([
            "--extractor-args",
            "youtube:player_skip=webpage,initial_data",
            "--proxy",
            &lab.proxy_url(),
        ])
        .args(arguments)
        .env("SSL_CERT_FILE", lab.ca_file())
        .env("HOME", &folder.0)
        .stdin(Stdio::null());
    Some(Said::from(command.output().expect("yt-dlp runs")))
}

/// Keys that programs read, which have to be there and say the same wherever yt-dlp says something.
const OF_SONGS: [&str; 28] = [
    "_type",
    "id",
    "title",
    "fulltitle",
    "display_id",
    "track",
    "artist",
    "artists",
    "album",
    "track_number",
    "webpage_url",
    "original_url",
    "webpage_url_basename",
    "webpage_url_domain",
    "extractor",
    "extractor_key",
    "duration",
    "duration_string",
    "ext",
    "acodec",
    "vcodec",
    "audio_ext",
    "video_ext",
    "format_id",
    "playlist",
    "playlist_index",
    "resolution",
    "is_live",
];
/// Keys that must be there; their values depend on the run, or on the way of the call.
const OTHERS: [&str; 15] = [
    "url",
    "formats",
    "http_headers",
    "protocol",
    "abr",
    "tbr",
    "filesize_approx",
    "thumbnail",
    "thumbnails",
    "format",
    "uploader",
    "upload_date",
    "epoch",
    "requested_subtitles",
    "_version",
];
const OF_LISTS: [&str; 9] = [
    "_type",
    "id",
    "title",
    "webpage_url",
    "original_url",
    "extractor",
    "extractor_key",
    "playlist_count",
    "webpage_url_domain",
];
const OF_ENTRIES: [&str; 6] = ["id", "url", "title", "duration", "ie_key", "channel"];

#[track_caller]
fn agree(keys: &[&str], ours: &Value, theirs: &Value) {
    for key in keys {
        let (Some(their), Some(our)) = (
            theirs.get(key).filter(|value| !value.is_null()),
            ours.get(key),
        ) else {
            assert!(
                theirs.get(key).is_none_or(Value::is_null),
                "{key}: only yt-dlp has {}",
                theirs[key]
            );
            continue;
        };
        let close = match (our.as_f64(), their.as_f64()) {
            (Some(our), Some(their)) => (our - their).abs() <= 1.0,
            _ => our == their,
        };
        assert!(close, "{key}: {our}, and yt-dlp says {their}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn songs_have_the_keys_and_values_that_yt_dlp_prints() {
    let lab = Lab::start().await;
    let youtube = lab.youtube();
    let formats = [Format::AacHls, Format::OpusHls, Format::Mp3Progressive];
    let songs = [
        youtube.video("Plain").artist("Ada").seconds(61.3).publish(),
        lab.soundcloud()
            .track("aac")
            .seconds(35.0)
            .formats(&formats)
            .publish(),
        lab.bandcamp()
            .track("Halibut")
            .artist("Teabyte")
            .seconds(15.25)
            .publish(),
    ];
    let kmds = Kmds::start(&lab);
    let callers = [Caller::of(&kmds), Caller::alone(&lab)];
    for song in &songs {
        let link = song.link();
        let Some(theirs) = real(&lab, &["-J", "-f", "ba", &link]) else {
            return;
        };
        let theirs = theirs.with(0).json();
        for caller in &callers {
            let ours = caller.runs(&["-J", "-f", "ba", &link]).with(0).json();
            agree(&OF_SONGS, &ours, &theirs);
            for key in OTHERS {
                assert!(
                    ours.get(key).is_some() && theirs.get(key).is_some(),
                    "{link}: {key}"
                );
            }
            let (our, their) = (
                ours["abr"].as_f64().unwrap_or(0.0),
                theirs["abr"].as_f64().unwrap_or(-1.0),
            );
            assert!(
                (our - their).abs() < their / 20.0,
                "{link}: {our} and {their} kbit/s"
            );
            // Every format of ours is one of theirs, with the same codec.
            for format in ours["formats"].as_array().expect("formats") {
                let same = |other: &&Value| other["format_id"] == format["format_id"];
                let mut others = theirs["formats"].as_array().expect("formats").iter();
                let other = others
                    .find(same)
                    .unwrap_or_else(|| panic!("{link}: {format}"));
                agree(
                    &["ext", "vcodec", "audio_ext", "video_ext", "resolution"],
                    format,
                    other,
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_the_keys_and_entries_that_yt_dlp_prints() {
    let lab = Lab::start().await;
    let links = [
        lab.youtube().playlist(3).seconds(10.0).publish().link(),
        lab.bandcamp().album(2).seconds(10.0).publish().link(),
        lab.soundcloud()
            .set(2)
            .seconds(12.0)
            .formats(&[Format::AacHls])
            .publish()
            .link(),
    ];
    let kmds = Kmds::start(&lab);
    let callers = [Caller::of(&kmds), Caller::alone(&lab)];
    for link in &links {
        let arguments = ["--flat-playlist", "-J", link];
        let Some(theirs) = real(&lab, &arguments) else {
            return;
        };
        let theirs = theirs.with(0).json();
        for caller in &callers {
            let ours = caller.runs(&arguments).with(0).json();
            // yt-dlp calls an album of Bandcamp by its address; its number is what names it for good.
            let keys = OF_LISTS
                .iter()
                .copied()
                .filter(|key| !(link.contains("bandcamp") && *key == "id"));
            agree(&keys.collect::<Vec<_>>(), &ours, &theirs);
            let entries = |of: &Value| of["entries"].as_array().cloned().expect("entries");
            assert_eq!(entries(&ours).len(), entries(&theirs).len(), "{link}");
            for (our, their) in entries(&ours).iter().zip(&entries(&theirs)) {
                agree(&OF_ENTRIES, our, their);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_printed_as_yt_dlp_prints_them() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("What? A \"Song\"")
        .artist("Ada")
        .seconds(61.3)
        .publish();
    let kmds = Kmds::start(&lab);
    let callers = [Caller::of(&kmds), Caller::alone(&lab)];
    let template = "%(title)s|%(id)q|%(nothing)s|%(duration)05d|%(title).4s|%(nothing,id)s|%(nothing|no)s|%(ext)-6s|";
    for arguments in [
        &["-f", "ba", "-O", "title,id", "-O", template][..],
        &[
            "-f",
            "ba[ext=m4a]",
            "--get-title",
            "--get-id",
            "--get-duration",
            "-O",
            "%(format_id)s %(acodec)s",
        ],
        &[
            "-f",
            "worst/ba",
            "-O",
            "id",
            "--output-na-placeholder",
            "-",
            "-O",
            "%(none)s",
        ],
        &["-f", "ba", "--get-filename", "-o", "%(title)s.%(ext)s"],
        &[
            "-f",
            "ba",
            "--get-filename",
            "--restrict-filenames",
            "-o",
            "x/%(id)s.%(ext)s",
        ],
    ] {
        let link = song.link();
        let arguments = [arguments, &[&link]].concat();
        let Some(theirs) = real(&lab, &arguments) else {
            return;
        };
        let theirs = theirs.with(0).text();
        for caller in &callers {
            assert_eq!(
                caller.runs(&arguments).with(0).text(),
                theirs,
                "{arguments:?}"
            );
        }
    }
}
