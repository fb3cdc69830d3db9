//! The second engine: yt-dlp as a child process.
//!
//! Owns when yt-dlp is run, how many run at once, how long a run may take, and the last problem of yt-dlp. The parts
//! are: the argument list ([`arguments`]), the process ([`process`]), the JSON it prints ([`read`]), its messages
//! ([`failure`]) and its reports about itself ([`about`], [`browser`], [`worth`]). Dropping a run kills its process.

mod about;
mod arguments;
mod browser;
mod error;
mod failure;
mod process;
mod read;
mod worth;

pub use about::About;
pub use error::YtDlpError;
pub use worth::{Remark, remarks};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::track::BandcampSource;
use kmds_extract::{ExtractError, Link, Resolved, Site, Source, Track};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::{Config, EgressSettings, YtDlpConfig};
use crate::origin::{Client, SharedRecipes};

use arguments::Ask;

/// The share of the client's waiting time for a run: the native engine was asked before, and the reply is made after.
const SHARE_OF_THE_WAIT: f64 = 0.75;
/// Cheap to clone.
#[derive(Clone)]
pub struct YtDlp {
    inner: Arc<YtDlpParts>,
}

struct YtDlpParts {
    config: YtDlpConfig,
    egress: BTreeMap<Site, EgressSettings>,
    client: Client,
    recipes: SharedRecipes,
    work_dir: PathBuf,
    slots: Semaphore,
    runs: AtomicU64,
    /// Set once this yt-dlp has said that it is too old for the runtime options.
    knows_no_runtimes: AtomicBool,
    browser: browser::Choice,
    looked: about::LastLook,
    /// Why the last run for a site failed; no entry after a run that worked.
    trouble: Mutex<BTreeMap<Site, String>>,
}

/// What a run printed.
struct Printed {
    /// A JSON object each.
    lines: Vec<String>,
    /// Its time ended before the run did.
    cut: bool,
}

impl YtDlp {
    #[must_use]
    pub fn new(config: &Config, client: Client, recipes: SharedRecipes) -> Self {
        let work_dir = config.state_dir.join("ytdlp");
        let egress = config
            .sites
            .iter()
            .map(|(site, of)| (*site, of.egress.clone()))
            .collect();
        Self {
            inner: Arc::new(YtDlpParts {
                slots: Semaphore::new(config.ytdlp.max.max(1)),
                config: config.ytdlp.clone(),
                egress,
                client,
                recipes,
                work_dir,
                runs: AtomicU64::new(0),
                knows_no_runtimes: AtomicBool::new(false),
                browser: browser::Choice::default(),
                looked: about::LastLook::default(),
                trouble: Mutex::default(),
            }),
        }
    }

    /// Processes started so far.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.inner.runs.load(Ordering::Relaxed)
    }

    /// Why the last run for this site failed.
    #[must_use]
    pub fn trouble(&self, site: Site) -> Option<String> {
        self.inner.trouble.lock().get(&site).cloned()
    }

    /// Whether the program is missing: there is no file at its path, or none of its name in `PATH`.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let command = Path::new(&self.inner.config.command);
        if command.components().count() > 1 {
            return !command.is_file();
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        !std::env::split_paths(&folders).any(|folder| folder.join(command).is_file())
    }

    /// The state of yt-dlp, if it is known ([`Self::known`]). `youtube`: the service may ask YouTube.
    #[must_use]
    pub fn worth(&self, youtube: bool) -> Vec<Remark> {
        self.known().map_or_else(Vec::new, |about| {
            remarks(&about, &self.inner.config, youtube)
        })
    }

    /// Its version, for `kmds doctor`.
    /// # Errors
    /// [`YtDlpError::Missing`] where it is not installed.
    pub async fn version(&self, within: Duration) -> Result<String, YtDlpError> {
        let args = vec!["--ignore-config".into(), "--version".into()];
        let out = process::Run {
            args,
            timeout: within,
            ..self.run(Site::Other)
        }
        .output()
        .await?;
        match (out.timed_out, out.status) {
            (true, _) => Err(YtDlpError::TimedOut(within)),
            (false, Some(status)) => Err(YtDlpError::Broken(format!("it ended with {status}"))),
            (false, None) => Ok(out.stdout.trim().to_owned()),
        }
    }

    /// Removes the folders of runs that ended together with an earlier service. Only for the one process that holds the
    /// state folder: runs of another process would lose their folders.
    pub fn sweep(&self) {
        let _ = std::fs::remove_dir_all(&self.inner.work_dir);
    }

    /// Metadata and streams of a link.
    /// # Errors
    /// See [`YtDlpError`].
    pub async fn resolve(&self, link: &Link, accept: &Accept) -> Result<Resolved, YtDlpError> {
        let (site, url, list) = (link.site(), link.canonical(), link.is_list());
        let within = self.wait_for(list);
        let printed = self
            .ask(&Ask {
                site,
                url: &url,
                accept,
                list,
                within,
            })
            .await?;
        if list {
            let mut collection = read::collection(site, &url, &printed.lines)?;
            collection.truncated |= printed.cut;
            return Ok(Resolved::Collection(collection));
        }
        read::track(site, &printed.lines, None).map(|track| Resolved::Track(Box::new(track)))
    }

    /// Fresh streams of a known track.
    /// # Errors
    /// See [`YtDlpError`].
    pub async fn refresh(&self, known: &Track, accept: &Accept) -> Result<Track, YtDlpError> {
        let (site, url) = (known.id.site(), arguments::page_of(known)?);
        let within = self.inner.config.timeout;
        let printed = self
            .ask(&Ask {
                site,
                url: &url,
                accept,
                list: false,
                within,
            })
            .await?;
        let wanted = match &known.source {
            // An album page gives all its songs; this song is one of them.
            Source::Bandcamp(BandcampSource { track_id, .. }) => Some(track_id.to_string()),
            _ => None,
        };
        read::track(site, &printed.lines, wanted.as_deref())
    }

    /// Any https link, for `engines.ytdlp.sites = "any"`.
    /// # Errors
    /// yt-dlp's, in our words.
    pub async fn resolve_other(
        &self,
        url: &str,
        accept: &Accept,
    ) -> Result<Resolved, ExtractError> {
        let site = Site::Other;
        let ask = Ask {
            site,
            url,
            accept,
            list: false,
            within: self.wait_for(false),
        };
        let track = self
            .ask(&ask)
            .await
            .and_then(|printed| read::track(site, &printed.lines, None));
        track
            .map(|track| Resolved::Track(Box::new(track)))
            .map_err(|error| error.into_extract(site))
    }

    /// How long a run may take while a client waits for its end.
    fn wait_for(&self, list: bool) -> Duration {
        let times = &self.inner.recipes.current().time;
        let wait = if list {
            times.fetch_list
        } else {
            times.fetch_song
        };
        wait.mul_f64(SHARE_OF_THE_WAIT)
            .min(self.inner.config.timeout)
    }

    fn run(&self, site: Site) -> process::Run {
        let config = &self.inner.config;
        process::Run {
            command: config.command.clone(),
            args: Vec::new(),
            work_dir: self.inner.work_dir.clone(),
            proxy: None,
            ca_file: self
                .inner
                .egress
                .get(&site)
                .and_then(|egress| egress.ca_file.clone()),
            cookies_file: config.cookies_file.clone(),
            timeout: config.timeout,
            max_memory: config.max_memory,
        }
    }

    /// Asks, and records what was wrong with yt-dlp itself.
    async fn ask(&self, ask: &Ask<'_>) -> Result<Printed, YtDlpError> {
        let answer = self.ask_plain_then_as_browser(ask).await;
        let mut trouble = self.inner.trouble.lock();
        match &answer {
            Err(
                error @ (YtDlpError::Missing { .. }
                | YtDlpError::TimedOut(_)
                | YtDlpError::Broken(_)),
            ) => {
                trouble.insert(ask.site, error.to_string());
            }
            // yt-dlp works, and passes on the site's answer.
            Ok(_) | Err(YtDlpError::Extract(_)) => {
                trouble.remove(&ask.site);
            }
        }
        answer
    }

    /// Bandcamp decides by how TLS looks which clients it challenges: plain clients pass more often than an imitated
    /// Chrome, and Firefox more often than both (its field notes, 15).
    async fn ask_plain_then_as_browser(&self, ask: &Ask<'_>) -> Result<Printed, YtDlpError> {
        let plain = self.ask_once(ask, None).await;
        let challenged = matches!(
            plain,
            Err(YtDlpError::Extract(ExtractError::BotCheck { .. }))
        );
        if ask.site != Site::Bandcamp
            || !challenged
            || arguments::has(&self.inner.config.extra_args, "--impersonate")
        {
            return plain;
        }
        match self.browser().await {
            Some(browser) => self.ask_once(ask, Some(browser)).await,
            None => plain,
        }
    }

    /// One run, or two if yt-dlp is too old for the runtime options.
    async fn ask_once(
        &self,
        ask: &Ask<'_>,
        browser: Option<&'static str>,
    ) -> Result<Printed, YtDlpError> {
        let _slot = self
            .inner
            .slots
            .acquire()
            .await
            .map_err(|_| YtDlpError::Broken("shutting down".to_owned()))?;
        self.inner.runs.fetch_add(1, Ordering::Relaxed);
        let relay = self
            .inner
            .client
            .relay(ask.site)
            .await
            .map_err(YtDlpError::Broken)?;
        let proxy = Some(relay.url().to_owned());
        let run = || process::Run {
            args: ask.arguments(self.runtimes(), browser, &self.inner.config.extra_args),
            proxy: proxy.clone(),
            timeout: ask.within,
            ..self.run(ask.site)
        };
        let mut out = run().output().await?;
        if arguments::is_unknown(&out.stderr)
            && !self.inner.knows_no_runtimes.swap(true, Ordering::Relaxed)
        {
            self.inner.runs.fetch_add(1, Ordering::Relaxed);
            out = run().output().await?;
        }
        let lines: Vec<String> = out
            .stdout
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(str::to_owned)
            .collect();
        match (lines.is_empty(), out.timed_out) {
            // The songs of a list that arrived in time are useful.
            (false, cut) if !cut || ask.list => Ok(Printed { lines, cut }),
            (_, true) => Err(YtDlpError::TimedOut(ask.within)),
            _ => Err(match relay.refused() {
                Some(why) => kept_inside(ask.site, why),
                None => failure::failure(
                    ask.site,
                    &out.stderr,
                    out.status.as_deref(),
                    self.wait_after_refusal(ask.site),
                ),
            }),
        }
    }

    /// How long a site gets no request after it challenged yt-dlp, or limited it without naming a time.
    fn wait_after_refusal(&self, site: Site) -> Duration {
        let recipes = self.inner.recipes.current();
        match site {
            Site::YouTube | Site::Other => recipes.youtube.bot_check_wait,
            Site::SoundCloud => recipes.soundcloud.bot_pause,
            Site::Bandcamp => recipes.bandcamp.bot_pause,
        }
    }

    /// The options that name JavaScript runtimes, if this yt-dlp knows them.
    fn runtimes(&self) -> Vec<String> {
        if self.inner.knows_no_runtimes.load(Ordering::Relaxed) {
            return Vec::new();
        }
        arguments::runtimes(&self.inner.config.extra_args)
    }
}

/// yt-dlp was led to an address that it must not contact.
fn kept_inside(site: Site, why: String) -> YtDlpError {
    match site {
        Site::Other => YtDlpError::Extract(ExtractError::UnsupportedLink { reason: why }),
        _ => YtDlpError::Broken(why),
    }
}
