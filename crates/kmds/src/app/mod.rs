//! The application: the one door for the HTTP faces and the commands.
//!
//! Owns what happens to a link from the moment it is accepted. Hides engines, downloads, the store and every queue.
//! Never knows a wire shape, a status code or a terminal.
//!
//! | module | its secret |
//! | --- | --- |
//! | [`words`] | what goes in and out |
//! | [`resolve`], [`packed`] | what is asked of a site only once; a long list in little memory |
//! | [`search`] | words instead of a link |
//! | [`accept`] | from metadata to rows, names and jobs |
//! | [`queue`], [`flight`] | who downloads next; one job a song |
//! | [`work`], [`streams`], [`pump`], [`treat`] | one job; which streams it tries; their bytes; what becomes of them |
//! | [`serve`] | audio for a listener, whole or growing |
//! | [`reload`] | the recipes, read again |
//! | [`library`] | looking at, removing and retrying songs; counts |
//! | [`covers`] | pictures: fetched when asked for, kept, swept |
//! | [`checkup`] | what an operator asks of cache and tools |
//! | [`events`] | what happened, for those who watch |
//! | [`forms`], [`names`] | in which form, under which name |

mod accept;
mod attempts;
mod checkup;
mod copies;
mod covers;
mod events;
mod flight;
mod forms;
mod library;
mod names;
mod packed;
mod pump;
mod queue;
mod reload;
mod resolve;
mod search;
mod serve;
mod sources;
mod streams;
mod treat;
mod words;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kmds_extract::choose::Accept;
use kmds_extract::search::SearchSite;
use kmds_extract::{Kind, Site};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use checkup::{About, Drive, Remark, Tools, remarks, tools};
pub use events::Events;
pub use names::sanitize;
pub use search::Searched;
pub use words::*;

use crate::config::{Config, OpusForm};
use crate::convert::Ffmpeg;
use crate::engine::Engines;
use crate::metrics::Metrics;
use crate::origin::{Client, SharedRecipes};
use crate::recipes::Loader;
pub use crate::recipes::Reloaded;
pub use crate::store::Reader;
use crate::store::{self, Store};
use events::Board;
use flight::Jobs;
use queue::{LaneId, Queue, Requester};
use resolve::Resolver;

/// How often what is too old is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    client: Client,
    engines: Engines,
    ffmpeg: Ffmpeg,
    recipes: SharedRecipes,
    loader: Arc<Loader>,
    resolver: Resolver,
    jobs: Jobs,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    accept: Accept,
    opus: OpusForm,
    search_site: SearchSite,
    queue_max_songs: usize,
    sites: BTreeMap<Site, bool>,
    stop: CancellationToken,
    /// The service is about to stop: nobody is kept waiting.
    closing: CancellationToken,
    requesters: AtomicU64,
    /// Lists of which only a window is queued: each waiting song with the ones behind it.
    windows: Mutex<HashMap<Key, Arc<accept::Window>>>,
    long_lists: accept::LongLists,
    covers: covers::Fetching,
    /// One asks for a Bandcamp album's streams, the others find them.
    bandcamp_pages: tokio::sync::Mutex<()>,
    started: Instant,
}

/// What the application is made of; made by `run`.
pub struct Parts {
    pub store: Store,
    pub client: Client,
    pub engines: Engines,
    pub ffmpeg: Ffmpeg,
    pub loader: Loader,
    pub metrics: Arc<Metrics>,
    pub stop: CancellationToken,
}

impl App {
    #[must_use]
    pub fn new(config: &Config, parts: Parts) -> Self {
        let board = Arc::new(Board::new());
        let sites = config
            .sites
            .iter()
            .map(|(site, of)| (LaneId::Site(*site), of.max_downloads.max(1)));
        let copies = (LaneId::Copies, config.ffmpeg.max);
        // The making of copies is bounded by itself: it must not keep the originals it waits for from coming.
        let queue = Queue::new(
            config.queue_max_downloads + config.ffmpeg.max,
            sites.chain([copies]),
        );
        let recipes = parts.loader.shared();
        let resolver = Resolver::new(
            config,
            parts.engines.clone(),
            recipes.clone(),
            parts.store.clone(),
        );
        Self {
            inner: Arc::new(Inner {
                jobs: Jobs::new(queue, Arc::clone(&board), parts.stop.clone()),
                resolver,
                board,
                store: parts.store,
                client: parts.client,
                engines: parts.engines,
                ffmpeg: parts.ffmpeg,
                recipes,
                loader: Arc::new(parts.loader),
                metrics: parts.metrics,
                accept: config.accept.clone(),
                opus: config.opus,
                search_site: config.search_site,
                queue_max_songs: config.queue_max_songs,
                sites: config
                    .sites
                    .iter()
                    .map(|(site, of)| (*site, of.enabled))
                    .collect(),
                stop: parts.stop,
                closing: CancellationToken::new(),
                requesters: AtomicU64::new(1),
                windows: Mutex::default(),
                long_lists: accept::LongLists::default(),
                covers: covers::Fetching::default(),
                bandcamp_pages: tokio::sync::Mutex::new(()),
                started: Instant::now(),
            }),
        }
    }

    /// Takes up the work of an earlier run and starts what may start. Returns at once; ends with the stop token.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn start(&self) -> Result<(), Failure> {
        self.inner.loader.started();
        let pending = self.inner.store.pending().await.map_err(store_failure)?;
        let known: Vec<Requester> = pending
            .iter()
            .map(|row| row.requester.parse().unwrap_or(0))
            .collect();
        self.inner.requesters.store(
            known.iter().max().copied().unwrap_or(0) + 1,
            Ordering::Relaxed,
        );
        for (row, requester) in pending.iter().zip(known) {
            self.inner.jobs.add(&row.key, requester, row.total_bytes);
        }
        if !pending.is_empty() {
            tracing::info!(
                songs = pending.len(),
                "going on with the work of an earlier run"
            );
        }
        self.work();
        Ok(())
    }

    /// As [`Self::start`], but an earlier run's songs wait, with their bytes, until somebody asks for them again.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn start_asked_only(&self) -> Result<(), Failure> {
        // Reading them also finishes what was interrupted while publishing.
        self.inner.store.pending().await.map_err(store_failure)?;
        self.work();
        Ok(())
    }

    fn work(&self) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let stop = inner.stop.clone();
            tokio::select! {
                () = inner.dispatch() => {}
                () = stop.cancelled() => {}
            }
        });
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let stop = inner.stop.clone();
            let sites: Vec<Site> = inner
                .sites
                .iter()
                .filter(|(_, on)| **on)
                .map(|(site, _)| *site)
                .collect();
            tokio::select! {
                () = inner.client.watch_address(&sites) => {}
                () = stop.cancelled() => {}
            }
        });
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let stop = inner.stop.clone();
            tokio::select! {
                () = inner.housekeeping() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Tells those who wait for a whole file to ask again: the service is about to stop.
    pub fn close(&self) {
        self.inner.closing.cancel();
    }

    /// Waits until no job runs, after the stop token was cancelled: what they hold is flushed.
    pub async fn stopped(&self) {
        while self.inner.jobs.stats().iter().any(|lane| lane.running > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The metrics of this process.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// Day of the recipes in use.
    #[must_use]
    pub fn recipes_date(&self) -> String {
        self.inner.recipes.current().date.clone()
    }

    /// The sites that are taken.
    #[must_use]
    pub fn sites(&self) -> Vec<&'static str> {
        self.inner
            .sites
            .iter()
            .filter(|(_, on)| **on)
            .map(|(site, _)| site.as_str())
            .collect()
    }

    /// Events after `last` as far as they are still kept, then new ones as they come.
    #[must_use]
    pub fn events(&self, last: Option<u64>) -> Events {
        self.inner.board.subscribe(last)
    }
}

impl Inner {
    /// Starts jobs for ever; each runs in a task of its own, bounded by the queue's limits.
    async fn dispatch(self: &Arc<Self>) {
        loop {
            let job = self.jobs.next().await;
            let inner = Arc::clone(self);
            tokio::spawn(async move {
                // A bug in one song's work must cost that song only, not its place in the queue.
                if AssertUnwindSafe(inner.run(&job))
                    .catch_unwind()
                    .await
                    .is_err()
                {
                    inner
                        .give_up(&job, internal("the work on this song broke off"))
                        .await;
                }
            });
        }
    }

    /// Makes catalog and drive agree once, then evicts what is too old from time to time.
    async fn housekeeping(&self) {
        match self.store.probe_drive().await {
            Ok(report) => report
                .sentences
                .iter()
                .for_each(|sentence| tracing::warn!("{sentence}")),
            Err(error) => tracing::warn!(%error, "the cache drive could not be probed"),
        }
        match self.store.tidy().await {
            Ok(tidied) => tracing::debug!(?tidied, "catalog and drive agree"),
            Err(error) => tracing::warn!(%error, "catalog and drive could not be compared"),
        }
        loop {
            self.sweep_covers().await;
            tokio::time::sleep(PRUNE_EVERY).await;
            if let Err(error) = self.store.prune().await {
                tracing::warn!(%error, "what is too old could not be evicted");
            }
        }
    }
}

fn store_failure(error: store::StoreError) -> Failure {
    tracing::error!(%error, "the store failed");
    Failure::new(error.kind(), error.to_string())
}

/// A failure for what cannot happen unless we are wrong.
fn internal(what: &str) -> Failure {
    Failure::new(
        Kind::Internal,
        format!("{what}; this is a bug in KMDS, please report it"),
    )
}
