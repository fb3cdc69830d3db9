//! Every supported option, one row each.
//!
//! Owns the names. An option without a row is refused by its name, since the caller may rely on it.

use kmds_extract::Format as FileFormat;

use super::call::{BadCall, Call, Dump, Get, When};
use super::items::Items;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
}

type Does = fn(&mut Call, &str, String) -> Result<(), BadCall>;

pub struct Spoken {
    pub names: &'static [&'static str],
    pub takes: Takes,
    pub does: Does,
}

const fn flag(names: &'static [&'static str], does: Does) -> Spoken {
    let takes = Takes::Nothing;
    Spoken { names, takes, does }
}

const fn with_value(names: &'static [&'static str], does: Does) -> Spoken {
    let takes = Takes::Value;
    Spoken { names, takes, does }
}

/// The option of this name.
pub fn find(name: &str) -> Option<&'static Spoken> {
    SPOKEN.iter().find(|option| option.names.contains(&name))
}

const SPOKEN: &[Spoken] = &[
    flag(&["-h", "--help"], |asked, _, _| set(&mut asked.help, true)),
    flag(&["--version"], |asked, _, _| set(&mut asked.version, true)),
    flag(&["-J", "--dump-single-json"], |asked, _, _| {
        set(&mut asked.dump, Dump::Links)
    }),
    flag(&["-j", "--dump-json"], |asked, _, _| {
        let dump = if asked.dump == Dump::None {
            Dump::Songs
        } else {
            asked.dump
        };
        set(&mut asked.dump, dump)
    }),
    flag(&["--print-json"], |asked, _, _| {
        asked.dump_and_keep = true;
        set(&mut asked.dump, Dump::Songs)
    }),
    flag(&["-F", "--list-formats"], |asked, _, _| {
        set(&mut asked.list_formats, true)
    }),
    flag(&["--flat-playlist"], |asked, _, _| {
        set(&mut asked.flat, true)
    }),
    flag(&["--no-flat-playlist"], |asked, _, _| {
        set(&mut asked.flat, false)
    }),
    with_value(&["-f", "--format"], |asked, _, value| {
        set(&mut asked.format, Some(value))
    }),
    with_value(&["-I", "--playlist-items"], |asked, _, value| {
        let items = Items::read(&value).map_err(BadCall)?;
        set(&mut asked.items, items)
    }),
    with_value(&["--playlist-start"], |asked, name, value| {
        asked.items.start = Some(number(name, &value)?);
        Ok(())
    }),
    with_value(&["--playlist-end"], |asked, name, value| {
        asked.items.end = Some(number(name, &value)?);
        Ok(())
    }),
    flag(&["--playlist-reverse"], |asked, _, _| {
        set(&mut asked.items.reverse, true)
    }),
    flag(&["--no-playlist-reverse"], |asked, _, _| {
        set(&mut asked.items.reverse, false)
    }),
    with_value(&["--max-downloads"], |asked, name, value| {
        let most = number(name, &value)?;
        set(&mut asked.most, Some(most))
    }),
    flag(&["--no-playlist"], |asked, _, _| {
        set(&mut asked.one_song, true)
    }),
    flag(&["--yes-playlist"], |asked, _, _| {
        set(&mut asked.one_song, false)
    }),
    flag(&["-g", "--get-url"], |asked, _, _| get(asked, Get::Url)),
    flag(&["-e", "--get-title"], |asked, _, _| get(asked, Get::Title)),
    flag(&["--get-id"], |asked, _, _| get(asked, Get::Id)),
    flag(&["--get-thumbnail"], |asked, _, _| {
        get(asked, Get::Thumbnail)
    }),
    flag(&["--get-description"], |asked, _, _| {
        get(asked, Get::Description)
    }),
    flag(&["--get-duration"], |asked, _, _| get(asked, Get::Duration)),
    flag(&["--get-filename"], |asked, _, _| get(asked, Get::FileName)),
    flag(&["--get-format"], |asked, _, _| get(asked, Get::Format)),
    with_value(&["-O", "--print"], print),
    with_value(&["--output-na-placeholder"], |asked, _, value| {
        set(&mut asked.missing, Some(value))
    }),
    with_value(&["-o", "--output"], |asked, _, value| {
        // A template for one kind of file; the common template is that of the song.
        let value = value.strip_prefix("default:").unwrap_or(&value).to_owned();
        set(&mut asked.output, Some(value))
    }),
    with_value(&["-P", "--paths"], |asked, name, value| {
        match value.split_once(':') {
            Some(("home", folder)) => set(&mut asked.folder, Some(folder.to_owned())),
            Some(("temp", _)) => Ok(()),
            Some((word, _)) if word.chars().all(char::is_alphabetic) => Err(BadCall(format!(
                "option {name}: only home: and temp: are known, not {word}:"
            ))),
            _ => set(&mut asked.folder, Some(value)),
        }
    }),
    flag(&["--restrict-filenames"], |asked, _, _| {
        set(&mut asked.restrict_names, true)
    }),
    flag(&["--no-restrict-filenames"], |asked, _, _| {
        set(&mut asked.restrict_names, false)
    }),
    flag(
        &["-w", "--no-overwrites", "--no-force-overwrites"],
        |asked, _, _| set(&mut asked.overwrites, false),
    ),
    flag(
        &["--force-overwrites", "--yes-overwrites"],
        |asked, _, _| set(&mut asked.overwrites, true),
    ),
    flag(&["-x", "--extract-audio"], |asked, _, _| {
        set(&mut asked.extract_audio, true)
    }),
    with_value(&["--audio-format"], audio_format),
    flag(
        &["--embed-metadata", "--add-metadata", "--embed-thumbnail"],
        |asked, _, _| set(&mut asked.tags, true),
    ),
    flag(
        &["--no-embed-metadata", "--no-add-metadata"],
        |asked, _, _| set(&mut asked.tags, false),
    ),
    flag(&["-q", "--quiet"], |asked, _, _| {
        set(&mut asked.quiet, Some(true))
    }),
    flag(&["--no-quiet"], |asked, _, _| {
        set(&mut asked.quiet, Some(false))
    }),
    flag(&["--no-warnings"], |asked, _, _| {
        set(&mut asked.no_warnings, true)
    }),
    flag(&["-s", "--simulate"], |asked, _, _| {
        set(&mut asked.simulate, Some(true))
    }),
    flag(&["--no-simulate"], |asked, _, _| {
        set(&mut asked.simulate, Some(false))
    }),
    flag(&["--skip-download", "--no-download"], |asked, _, _| {
        set(&mut asked.skip_download, true)
    }),
    flag(
        &["-i", "--ignore-errors", "--no-abort-on-error"],
        |asked, _, _| set(&mut asked.stop_at_failure, false),
    ),
    flag(
        &["--abort-on-error", "--no-ignore-errors"],
        |asked, _, _| set(&mut asked.stop_at_failure, true),
    ),
    with_value(&["--default-search"], |asked, _, value| {
        set(&mut asked.default_search, Some(value))
    }),
    with_value(&["--proxy"], |asked, _, value| {
        set(&mut asked.proxy, Some(value))
    }),
    with_value(&["--compat-options"], |_, name, value| {
        Err(BadCall(if value == "no-certifi" {
            "this program is KMDS, called by KMDS in place of yt-dlp; set engines.ytdlp.command to the path of yt-dlp itself".to_owned()
        } else {
            format!("no such option: {name}")
        }))
    }),
    with_value(
        &[
            "--cookies",
            "--cookies-from-browser",
            "-u",
            "--username",
            "-p",
            "--password",
        ],
        passed_over,
    ),
    with_value(&["-S", "--format-sort"], passed_over),
    flag(HARMLESS, |_, _, _| Ok(())),
    with_value(HARMLESS_WITH_VALUE, |_, _, _| Ok(())),
];

/// They change how yt-dlp works, but not its results; or they switch off features that are off here.
const HARMLESS: &[&str] = &[
    "-4",
    "-6",
    "-c",
    "-k",
    "-v",
    "--abort-on-unavailable-fragments",
    "--audio-multistreams",
    "--bidi-workaround",
    "--call-home",
    "--check-formats",
    "--console-title",
    "--continue",
    "--force-ipv4",
    "--force-ipv6",
    "--geo-bypass",
    "--hls-prefer-ffmpeg",
    "--hls-prefer-native",
    "--hls-use-mpegts",
    "--ignore-config",
    "--ignore-no-formats-error",
    "--keep-fragments",
    "--keep-video",
    "--lazy-playlist",
    "--legacy-server-connect",
    "--mtime",
    "--newline",
    "--no-audio-multistreams",
    "--no-batch-file",
    "--no-cache-dir",
    "--no-call-home",
    "--no-check-certificate",
    "--no-check-certificates",
    "--no-check-formats",
    "--no-color",
    "--no-colors",
    "--no-config",
    "--no-config-locations",
    "--no-continue",
    "--no-cookies",
    "--no-cookies-from-browser",
    "--no-download-archive",
    "--no-embed-chapters",
    "--no-embed-info-json",
    "--no-embed-subs",
    "--no-embed-thumbnail",
    "--no-exec",
    "--no-geo-bypass",
    "--no-hls-use-mpegts",
    "--no-keep-fragments",
    "--no-keep-video",
    "--no-lazy-playlist",
    "--no-live-from-start",
    "--no-mark-watched",
    "--no-mtime",
    "--no-part",
    "--no-plugin-dirs",
    "--no-post-overwrites",
    "--no-prefer-free-formats",
    "--no-progress",
    "--no-remote-components",
    "--no-resize-buffer",
    "--no-skip-unavailable-fragments",
    "--no-split-chapters",
    "--no-sponsorblock",
    "--no-update",
    "--no-video-multistreams",
    "--no-wait-for-video",
    "--no-windows-filenames",
    "--no-write-auto-subs",
    "--no-write-comments",
    "--no-write-description",
    "--no-write-info-json",
    "--no-write-playlist-metafiles",
    "--no-write-subs",
    "--no-write-thumbnail",
    "--part",
    "--post-overwrites",
    "--prefer-avconv",
    "--prefer-ffmpeg",
    "--prefer-free-formats",
    "--prefer-insecure",
    "--progress",
    "--resize-buffer",
    "--skip-unavailable-fragments",
    "--verbose",
    "--video-multistreams",
    "--youtube-skip-dash-manifest",
    "--youtube-skip-hls-manifest",
];

const HARMLESS_WITH_VALUE: &[&str] = &[
    "-N",
    "-R",
    "-r",
    "--add-header",
    "--add-headers",
    "--audio-quality",
    "--buffer-size",
    "--cache-dir",
    "--color",
    "--concurrent-fragments",
    "--downloader",
    "--downloader-args",
    "--encoding",
    "--external-downloader",
    "--external-downloader-args",
    "--extractor-args",
    "--extractor-retries",
    "--ffmpeg-location",
    "--file-access-retries",
    "--fragment-retries",
    "--geo-bypass-country",
    "--http-chunk-size",
    "--impersonate",
    "--js-runtimes",
    "--limit-rate",
    "--max-sleep-interval",
    "--merge-output-format",
    "--min-sleep-interval",
    "--postprocessor-args",
    "--ppa",
    "--progress-delta",
    "--progress-template",
    "--rate-limit",
    "--referer",
    "--remote-components",
    "--retries",
    "--retry-sleep",
    "--sleep-interval",
    "--sleep-requests",
    "--socket-timeout",
    "--throttled-rate",
    "--trim-filenames",
    "--user-agent",
];

fn set<T>(place: &mut T, value: T) -> Result<(), BadCall> {
    *place = value;
    Ok(())
}

fn get(asked: &mut Call, what: Get) -> Result<(), BadCall> {
    if !asked.gets.contains(&what) {
        asked.gets.push(what);
        asked.gets.sort_unstable();
    }
    Ok(())
}

fn passed_over(asked: &mut Call, name: &str, _: String) -> Result<(), BadCall> {
    asked.without_effect.push(name.to_owned());
    Ok(())
}

fn number(name: &str, value: &str) -> Result<usize, BadCall> {
    let wrong = || BadCall(format!("option {name}: invalid integer value: '{value}'"));
    value.parse().map_err(|_| wrong())
}

fn print(asked: &mut Call, name: &str, value: String) -> Result<(), BadCall> {
    let (when, template) = match value.split_once(':') {
        Some(("video" | "pre_process" | "after_filter", rest)) => (When::Video, rest),
        Some(("before_dl" | "post_process" | "after_move" | "after_video", rest)) => {
            (When::AfterMove, rest)
        }
        Some(("playlist", rest)) => (When::Playlist, rest),
        _ => (When::Video, value.as_str()),
    };
    if template.is_empty() {
        return Err(BadCall(format!("option {name}: there is nothing to print")));
    }
    asked.prints.push((when, template.to_owned()));
    Ok(())
}

fn audio_format(asked: &mut Call, name: &str, value: String) -> Result<(), BadCall> {
    let ext = match value.as_str() {
        "best" => return set(&mut asked.audio_format, None),
        "vorbis" => "ogg",
        "aac" => "m4a",
        ext => ext,
    };
    let known = FileFormat::parse(ext).filter(|format| *format != FileFormat::WebM);
    let wrong = || {
        BadCall(format!(
            "option {name}: invalid audio format \"{value}\" given; use best, mp3, m4a, opus, vorbis, flac or wav"
        ))
    };
    set(&mut asked.audio_format, Some(known.ok_or_else(wrong)?))
}
