//! The argument list of a run of yt-dlp.
//!
//! Owns the options, the fields that are printed, and the page that yt-dlp opens for a known song. No argument is a
//! client's text: links are canonical forms from the parser of KMDS, after `--`.

use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::track::BandcampSource;
use kmds_extract::{Format, Link, Site, Source, Track};

use super::error::YtDlpError;
use crate::origin::url::PublicLink;

/// The largest number of songs from one list: each costs yt-dlp seconds.
const LIST_SONGS: usize = 200;
/// The fields that KMDS reads, 2 KB a song instead of the 1 MB of `-J`.
const TEMPLATE: &str = "%(.{id,title,track,fulltitle,channel,uploader,artist,artists,album,album_artist,track_number,\
    playlist_index,playlist_count,playlist_title,playlist_id,duration,thumbnail,live_status,upload_date,release_date,\
    format_id,available_at,ext,acodec,abr,tbr,filesize,filesize_approx,protocol,url,http_headers,has_drm,extractor_key,webpage_url})j";

/// JavaScript runtimes that yt-dlp uses only if they are named, the best first. yt-dlp finds them and their versions
/// itself, and prefers deno. bun is deprecated.
const RUNTIMES: [&str; 2] = ["node", "quickjs"];
const NAME_A_RUNTIME: &str = "--js-runtimes";

/// The question of one run.
pub struct Ask<'a> {
    pub site: Site,
    pub url: &'a str,
    pub accept: &'a Accept,
    pub list: bool,
    pub within: Duration,
}

impl Ask<'_> {
    /// The whole list. `runtimes` as [`runtimes`] gives them; `extra` is what the operator adds.
    pub fn arguments(
        &self,
        runtimes: Vec<String>,
        browser: Option<&str>,
        extra: &[String],
    ) -> Vec<String> {
        let mut args: Vec<String> = [
            "--ignore-config",
            "-q",
            "--no-cache-dir",
            "--socket-timeout",
            "15",
            "--retries",
            "2",
            "--extractor-retries",
            "1",
            "--compat-options",
            "no-certifi",
        ]
        .map(str::to_owned)
        .to_vec();
        if self.list && self.site == Site::YouTube {
            // Titles and lengths need one request for each hundred songs; the streams are requested song by song, when
            // their download starts. The short form of the other sites has no titles (SoundCloud) or lengths
            // (Bandcamp).
            args.extend(["--yes-playlist".into(), "--flat-playlist".into()]);
        } else if self.list {
            args.extend([
                "--yes-playlist".into(),
                "--ignore-errors".into(),
                "-I".into(),
                format!("1:{LIST_SONGS}"),
            ]);
        } else {
            args.extend(["--no-playlist".into(), "-I".into(), "1".into()]);
        }
        args.extend([
            "-f".into(),
            formats(self.accept).into(),
            "-O".into(),
            TEMPLATE.into(),
        ]);
        if self.site == Site::YouTube {
            args.extend(runtimes);
        }
        if let Some(browser) = browser {
            args.extend(["--impersonate".into(), browser.into()]);
        }
        args.extend(extra.iter().cloned());
        args.extend(["--".into(), self.url.to_owned()]);
        args
    }
}

/// Whether the operator passes this option.
pub fn has(extra: &[String], option: &str) -> bool {
    extra
        .iter()
        .any(|word| word == option || word.starts_with(&format!("{option}=")))
}

/// The options that name [`RUNTIMES`], unless the operator chose some.
pub fn runtimes(extra: &[String]) -> Vec<String> {
    if has(extra, NAME_A_RUNTIME) {
        return Vec::new();
    }
    RUNTIMES
        .iter()
        .flat_map(|name| [NAME_A_RUNTIME.to_owned(), (*name).to_owned()])
        .collect()
}

/// Whether it complains that it does not know the options of [`runtimes`].
pub fn is_unknown(stderr: &str) -> bool {
    stderr.contains(&format!("no such option: {NAME_A_RUNTIME}"))
}

/// yt-dlp's words for what the client plays.
fn formats(accept: &Accept) -> &'static str {
    match accept.formats().first() {
        Some(Format::Opus | Format::WebM) => "ba[acodec=opus]/ba[ext=m4a]/ba/18",
        Some(Format::Mp3) => "ba[ext=mp3]/ba[ext=m4a]/ba/18",
        _ => "ba[ext=m4a]/ba[ext=mp3]/ba/18",
    }
}

/// The page yt-dlp is given for a known track.
pub fn page_of(known: &Track) -> Result<String, YtDlpError> {
    match &known.source {
        Source::YouTube { video } => Ok(format!("https://www.youtube.com/watch?v={video}")),
        Source::SoundCloud { id, secret } => {
            let secret = secret
                .as_ref()
                .map_or_else(String::new, |secret| format!("?secret_token={secret}"));
            Ok(format!("https://api.soundcloud.com/tracks/{id}{secret}"))
        }
        Source::Bandcamp(BandcampSource { page, .. }) => {
            // The song's own page if it is known: an album's page costs yt-dlp a page for each of its songs.
            let own = Link::parse(&known.link)
                .ok()
                .filter(|link| link.site() == Site::Bandcamp && !link.is_list());
            let unknown = || YtDlpError::Broken("the page of this song is not known".to_owned());
            own.map(|link| link.canonical())
                .or_else(|| page.clone())
                .ok_or_else(unknown)
        }
        Source::Other { url } => {
            let link = PublicLink::parse(url).map_err(|why| YtDlpError::Broken(why.to_owned()))?;
            Ok(link.as_str().to_owned())
        }
    }
}
