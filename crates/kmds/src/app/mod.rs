//! The application: the one door for the HTTP faces and the commands.
//!
//! The application receives links, resolves them, serves audio and looks after the cache; [`crate::jobs`] makes the
//! songs. It knows no wire shape, status code or terminal.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`api`] | the values that go in and out |
//! | [`parts`] | what the application is made of, and how it is put together |
//! | [`accept`], [`contents`] | from metadata to rows, names and jobs |
//! | [`queues`] | the songs that clients will play next: ready in time, and held |
//! | [`long_lists`], [`windows`] | only a few long lists in memory; lists of which only some songs are queued |
//! | [`resolve`], [`search`], [`target`] | from a pasted text to metadata; from words to results |
//! | [`told`] | resolved metadata, as nodes send it to each other |
//! | [`answers`], [`packed`] | the sites' answers of the last minutes; a long list in little memory |
//! | [`serve`], [`renditions`] | audio for a listener, whole or growing; which form of a song a client asks for |
//! | [`holds`] | files that stay on the drive for clients that read them by their path |
//! | [`sources`] | where a site has the encodings of a song, for clients that read there themselves |
//! | [`cancel`] | ending the songs of a list that still wait or run |
//! | [`songs`], [`remove`] | looking at songs and their covers; removing them |
//! | [`stats`], [`readiness`] | counts and health; whether the service can do its work |
//! | [`music_folder`] | songs put into the operator's music library |
//! | [`reload`] | the recipes, read again |
//! | [`everywhere`] | calls to one node that concern all of them |
//! | [`neighbours`] | what this node tells and answers other nodes |
//! | [`maintenance`] | the operator's commands for cache and tools; keeping the cache within its limits |

mod accept;
mod answers;
mod api;
mod cancel;
mod contents;
mod everywhere;
mod folders;
mod holds;
mod long_lists;
mod maintenance;
mod music_folder;
mod neighbours;
mod packed;
mod parts;
mod queues;
mod readiness;
mod reload;
mod remove;
mod renditions;
mod resolve;
mod search;
mod serve;
mod songs;
mod sources;
mod stats;
mod target;
mod told;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kmds_extract::choose::Accept;
use kmds_extract::search::SearchSite;
use kmds_extract::{Kind, Site};
use tokio_util::sync::CancellationToken;

pub use crate::jobs::Origin;
pub use api::*;
pub use cancel::{Cancelled, Ended};
pub use folders::{Filed, filed};
pub use maintenance::{About, Drive, Remark, Tools, remarks, tools};
pub use parts::Parts;
pub use queues::{QueueAsk, QueuePage, QueueShown, QueueSong};
pub use search::Searched;

use crate::cluster::Peers;
use crate::config::OpusForm;
use crate::engine::Engines;
use crate::jobs::covers::Covers;
pub use crate::jobs::sanitize;
use crate::jobs::{Demand, HeldStreams, Table, Workers, store_failure};
use crate::metrics::Metrics;
use crate::origin::{Client, SharedRecipes};
use crate::recipes::Loader;
pub use crate::recipes::Reloaded;
use crate::store::Store;
pub use crate::store::{FileSpan, Reader};
use long_lists::LongLists;
use music_folder::Music;
use queues::Queues;
use resolve::Resolver;
use windows::Windows;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    client: Client,
    engines: Engines,
    recipes: SharedRecipes,
    loader: Arc<Loader>,
    metrics: Arc<Metrics>,
    resolver: Resolver,
    table: Arc<Table>,
    demand: Demand,
    workers: Workers,
    covers: Arc<Covers>,
    streams: Arc<HeldStreams>,
    windows: Windows,
    queues: Queues,
    /// Held for reading from the change of a song's row to its place in the table, for writing while songs are taken
    /// out of both: a song that is fetched at that time is not lost. Taken after `Queues::turn`.
    gate: tokio::sync::RwLock<()>,
    long_lists: LongLists,
    /// Only if `library.dir` is set.
    music: Option<Music>,
    accept: Accept,
    opus: OpusForm,
    search_site: SearchSite,
    queue_max_songs: usize,
    lists_prefetch: usize,
    sites: BTreeMap<Site, bool>,
    peers: Peers,
    /// Ends every task and every job.
    stop: CancellationToken,
    /// The service is about to stop: no client is kept waiting.
    closing: CancellationToken,
    started: Instant,
}

impl App {
    /// Continues the work of an earlier run and starts the jobs that may start. Returns at once; the work ends with the
    /// stop token.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn start(&self) -> Result<(), Failure> {
        self.inner.loader.started();
        let (store, table) = (&self.inner.store, &self.inner.table);
        let pending = store.pending().await.map_err(store_failure)?;
        let known: Vec<u64> = pending
            .iter()
            .map(|row| row.requester.parse().unwrap_or(0))
            .collect();
        let queues = self.inner.store.queues().await.map_err(store_failure)?;
        let of_queues = queues.iter().map(|queue| queue.requester);
        table.skip_requesters(known.iter().copied().chain(of_queues).max().unwrap_or(0));
        for (row, requester) in pending.iter().zip(known) {
            table.add(&row.key, requester, row.total_bytes);
        }
        if !pending.is_empty() {
            tracing::info!(
                songs = pending.len(),
                "continuing the work of an earlier run"
            );
        }
        self.start_queues(queues, &pending);
        self.work();
        Ok(())
    }

    /// As [`Self::start`], but songs of an earlier run wait, with their bytes, until a client asks for them again.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn start_asked_only(&self) -> Result<(), Failure> {
        // Reading them also finishes interrupted publishing.
        self.inner.store.pending().await.map_err(store_failure)?;
        self.work();
        Ok(())
    }

    fn work(&self) {
        self.inner.workers.start();
        let inner = Arc::clone(&self.inner);
        self.until_stopped(async move {
            let on = inner.sites.iter().filter(|(_, on)| **on);
            let sites: Vec<Site> = on.map(|(site, _)| *site).collect();
            inner.client.watch_address(&sites).await;
        });
        let inner = Arc::clone(&self.inner);
        self.until_stopped(async move { inner.housekeeping().await });
    }

    /// Runs a task that the stop token ends.
    fn until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Tells clients that wait for a whole file to ask again: the service is about to stop.
    pub fn close(&self) {
        self.inner.closing.cancel();
    }

    /// Waits until no job runs, after the stop token was cancelled: each job flushes its file.
    pub async fn stopped(&self) {
        self.inner.workers.stopped().await;
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

    /// The sites that are switched on.
    #[must_use]
    pub fn sites(&self) -> Vec<&'static str> {
        self.inner
            .sites
            .iter()
            .filter(|(_, on)| **on)
            .map(|(site, _)| site.as_str())
            .collect()
    }

    /// The kept events after `last`, then new ones as they come.
    #[must_use]
    pub fn events(&self, last: Option<u64>) -> Events {
        self.inner.table.events(last)
    }
}

fn too_slow() -> Failure {
    let sentence = "the site did not answer in time; try again later";
    Failure::new(Kind::Timeout, sentence)
}
