//! The second engine: yt-dlp as a child process.
//!
//! Owns the argument list and what is asked of yt-dlp. Hides processes ([`process`]) and its JSON and messages ([`read`]).
//! Never passes a client's text as an argument: links are canonical forms of our own parser, behind `--`.

mod process;
mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kmds_extract::choose::{Accept, Form};
use kmds_extract::track::BandcampSource;
use kmds_extract::{ExtractError, Link, Resolved, Site, Source, Track};
use tokio::sync::Semaphore;

use crate::config::{Config, EgressSettings, YtDlpConfig};

/// Songs asked for at most from one list: each costs yt-dlp seconds.
const LIST_SONGS: usize = 200;
/// The fields we read, 2 KB a song instead of the 1 MB of `-J`.
const TEMPLATE: &str = "%(.{id,title,track,fulltitle,channel,uploader,artist,artists,album,album_artist,track_number,\
    playlist_index,playlist_count,playlist_title,playlist_id,duration,thumbnail,live_status,upload_date,release_date,\
    format_id,ext,acodec,abr,tbr,filesize,filesize_approx,protocol,url,http_headers,has_drm,extractor_key,webpage_url})j";

/// Why yt-dlp gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum YtDlpError {
    /// It understood the site's answer, and that is a no.
    #[error("{0}")]
    Extract(ExtractError),
    #[error("yt-dlp is not installed (`{command}`): {reason}")]
    Missing { command: String, reason: String },
    #[error("yt-dlp did not finish within {0:?}")]
    TimedOut(Duration),
    /// It crashed, printed nonsense, or too much of it.
    #[error("yt-dlp failed: {0}")]
    Broken(String),
}

impl YtDlpError {
    /// For links that only yt-dlp reads, where its trouble is the whole answer.
    pub(super) fn into_extract(self, site: Site) -> ExtractError {
        match self {
            Self::Extract(error) => error,
            Self::TimedOut(_) => ExtractError::Timeout { site, page: "yt-dlp answer" },
            other => ExtractError::OriginFailed { site, page: "yt-dlp answer", reason: other.to_string() },
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct YtDlp {
    inner: Arc<Inner>,
}

struct Inner {
    config: YtDlpConfig,
    egress: std::collections::BTreeMap<Site, EgressSettings>,
    work_dir: PathBuf,
    slots: Semaphore,
    runs: AtomicU64,
}

impl YtDlp {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let egress = config.sites.iter().map(|(site, of)| (*site, of.egress.clone())).collect();
        Self {
            inner: Arc::new(Inner {
                slots: Semaphore::new(config.ytdlp.max.max(1)),
                config: config.ytdlp.clone(),
                egress,
                work_dir: config.state_dir.join("ytdlp"),
                runs: AtomicU64::new(0),
            }),
        }
    }

    /// Processes started so far.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.inner.runs.load(Ordering::Relaxed)
    }

    /// Its version, for `kmds doctor` and the log.
    /// # Errors
    /// [`YtDlpError::Missing`] where it is not installed.
    pub async fn version(&self) -> Result<String, YtDlpError> {
        let run = process::Run { args: vec!["--ignore-config".into(), "--version".into()], ..self.run(Site::Other) };
        let out = run.output().await?;
        Ok(out.stdout.trim().to_owned())
    }

    /// Metadata and streams of a link.
    /// # Errors
    /// See [`YtDlpError`].
    pub async fn resolve(&self, link: &Link, accept: &Accept) -> Result<Resolved, YtDlpError> {
        let site = link.site();
        let lines = self.ask(site, &link.canonical(), accept, link.is_list()).await?;
        if link.is_list() {
            return read::collection(site, &link.canonical(), &lines).map(Resolved::Collection);
        }
        read::track(site, &lines, None).map(|track| Resolved::Track(Box::new(track)))
    }

    /// Fresh streams of a known track.
    /// # Errors
    /// See [`YtDlpError`].
    pub async fn refresh(&self, source: &Source, accept: &Accept) -> Result<Track, YtDlpError> {
        let (site, url) = page_of(source)?;
        let lines = self.ask(site, &url, accept, false).await?;
        let wanted = match source {
            // An album page gives all its songs; ours is one of them.
            Source::Bandcamp(BandcampSource { track_id, .. }) => Some(track_id.to_string()),
            _ => None,
        };
        read::track(site, &lines, wanted.as_deref())
    }

    /// Any https link, for `engines.ytdlp.sites = "any"`.
    /// # Errors
    /// yt-dlp's, in our words.
    pub async fn resolve_other(&self, url: &str, accept: &Accept) -> Result<Resolved, ExtractError> {
        let lines = self.ask(Site::Other, url, accept, false).await.map_err(|error| error.into_extract(Site::Other))?;
        read::track(Site::Other, &lines, None)
            .map(|track| Resolved::Track(Box::new(track)))
            .map_err(|error| error.into_extract(Site::Other))
    }

    fn run(&self, site: Site) -> process::Run {
        let config = &self.inner.config;
        process::Run {
            command: config.command.clone(),
            args: Vec::new(),
            work_dir: self.inner.work_dir.clone(),
            ca_file: self.inner.egress.get(&site).and_then(|egress| egress.ca_file.clone()),
            cookies_file: config.cookies_file.clone(),
            timeout: config.timeout,
            max_memory: config.max_memory,
        }
    }

    /// One run; its standard output, a JSON object a line.
    async fn ask(&self, site: Site, url: &str, accept: &Accept, list: bool) -> Result<Vec<String>, YtDlpError> {
        let _slot = self.inner.slots.acquire().await.map_err(|_| YtDlpError::Broken("shutting down".to_owned()))?;
        self.inner.runs.fetch_add(1, Ordering::Relaxed);
        let mut run = self.run(site);
        run.args = self.arguments(site, url, accept, list);
        let out = run.output().await?;
        let lines: Vec<String> = out.stdout.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
        if lines.is_empty() {
            return Err(read::failure(site, &out.stderr, out.status.as_deref()));
        }
        Ok(lines)
    }

    fn arguments(&self, site: Site, url: &str, accept: &Accept, list: bool) -> Vec<String> {
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
        if list {
            args.extend(["--yes-playlist".into(), "--ignore-errors".into(), "-I".into(), format!("1:{LIST_SONGS}")]);
        } else {
            args.push("--no-playlist".into());
        }
        args.extend(["-f".into(), formats(accept).into(), "-O".into(), TEMPLATE.into()]);
        if let Some(egress) = self.inner.egress.get(&site) {
            if let Some(proxy) = &egress.proxy {
                args.extend(["--proxy".into(), proxy.clone()]);
            } else {
                // An empty one: variables of the environment are not read.
                args.extend(["--proxy".into(), String::new()]);
            }
            if let Some(address) = egress.source_address {
                args.extend(["--source-address".into(), address.to_string()]);
            }
        }
        args.extend(self.inner.config.extra_args.iter().cloned());
        args.extend(["--".into(), url.to_owned()]);
        args
    }
}

/// yt-dlp's words for what the client plays.
fn formats(accept: &Accept) -> &'static str {
    match accept.forms().first() {
        Some(Form::Opus | Form::WebM) => "ba[acodec=opus]/ba[ext=m4a]/ba/18",
        Some(Form::Mp3) => "ba[ext=mp3]/ba[ext=m4a]/ba/18",
        _ => "ba[ext=m4a]/ba[ext=mp3]/ba/18",
    }
}

/// The page yt-dlp is given for a known track.
fn page_of(source: &Source) -> Result<(Site, String), YtDlpError> {
    match source {
        Source::YouTube { video } => Ok((Site::YouTube, format!("https://www.youtube.com/watch?v={video}"))),
        Source::SoundCloud { id, secret } => {
            let secret = secret.as_ref().map_or_else(String::new, |secret| format!("?secret_token={secret}"));
            Ok((Site::SoundCloud, format!("https://api.soundcloud.com/tracks/{id}{secret}")))
        }
        Source::Bandcamp(BandcampSource { page: Some(page), .. }) => Ok((Site::Bandcamp, page.clone())),
        Source::Bandcamp(BandcampSource { page: None, track_id, .. }) => {
            Ok((Site::Bandcamp, format!("https://bandcamp.com/EmbeddedPlayer/track={track_id}/")))
        }
        Source::Other { url } if url.starts_with("https://") => Ok((Site::Other, url.clone())),
        Source::Other { .. } => Err(YtDlpError::Broken("only https links are handed to yt-dlp".to_owned())),
    }
}
