//! What the application is made of.
//!
//! Owns which part is given to which: the jobs get a context of their own and never the application. Starts nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kmds_extract::Site;
use tokio_util::sync::CancellationToken;

use super::long_lists::LongLists;
use super::music_folder::Music;
use super::queues::Queues;
use super::resolve::Resolver;
use super::windows::Windows;
use super::{App, Inner};
use crate::cluster::Peers;
use crate::config::Config;
use crate::convert::Ffmpeg;
use crate::engine::Engines;
use crate::jobs::covers::Covers;
use crate::jobs::{Context, Demand, HeldStreams, LaneId, Queue, Table, Workers};
use crate::metrics::Metrics;
use crate::origin::Client;
use crate::recipes::Loader;
use crate::store::Store;

/// The parts of the application; `run` makes them.
pub struct Parts {
    pub store: Store,
    pub client: Client,
    pub engines: Engines,
    pub ffmpeg: Ffmpeg,
    pub loader: Loader,
    pub metrics: Arc<Metrics>,
    pub peers: Peers,
    pub stop: CancellationToken,
}

impl App {
    #[must_use]
    pub fn new(config: &Config, parts: Parts) -> Self {
        let Parts {
            store,
            client,
            engines,
            ffmpeg,
            loader,
            metrics,
            peers,
            stop,
        } = parts;
        let recipes = loader.shared();
        let closing = CancellationToken::new();
        let table = Arc::new(Table::new(queue(config), stop.clone()));
        let demand = Demand::new(store.clone(), Arc::clone(&table));
        let covers = Arc::new(Covers::new(
            client.clone(),
            peers.clone(),
            store.state_dir(),
        ));
        let streams = Arc::new(HeldStreams::new(recipes.clone()));
        let enabled = config.sites.iter().map(|(site, of)| (*site, of.enabled));
        let sites: BTreeMap<Site, bool> = enabled.collect();
        let context = Context {
            store: store.clone(),
            client: client.clone(),
            engines: engines.clone(),
            ffmpeg,
            recipes: recipes.clone(),
            metrics: Arc::clone(&metrics),
            covers: Arc::clone(&covers),
            streams: Arc::clone(&streams),
            demand: demand.clone(),
            opus: config.opus,
            sites: sites.clone(),
            peers: peers.clone(),
        };
        let resolver = Resolver::new(
            config,
            engines.clone(),
            recipes.clone(),
            store.clone(),
            Arc::clone(&streams),
            peers.clone(),
        );
        let library = config.library_dir.clone();
        let inner = Inner {
            music: library.map(|dir| Music::new(&store, dir)),
            store,
            client,
            engines,
            recipes,
            loader: Arc::new(loader),
            metrics,
            resolver,
            table,
            demand,
            workers: Workers::new(context, stop.clone(), closing.clone()),
            covers,
            streams,
            windows: Windows::default(),
            queues: Queues::default(),
            gate: tokio::sync::RwLock::default(),
            long_lists: LongLists::default(),
            accept: config.accept.clone(),
            opus: config.opus,
            search_site: config.search_site,
            queue_max_songs: config.queue_max_songs,
            lists_prefetch: config.lists_prefetch,
            sites,
            peers,
            stop,
            closing,
            started: Instant::now(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

fn queue(config: &Config) -> Queue {
    let sites = config.sites.iter().map(|(site, of)| {
        // If other nodes fetch from the site, their places count.
        let by_others = config.cluster.is_some() && !of.enabled;
        let own = if by_others {
            config.queue_max_downloads
        } else {
            of.max_downloads
        };
        (LaneId::Site(*site), own.max(1))
    });
    let copies = (LaneId::Copies, config.ffmpeg.max);
    // One is converted, and the next one has arrived.
    let conversions = (LaneId::Conversions, config.ffmpeg.max * 2);
    let relays = config.cluster.as_ref().map(|_| config.queue_max_downloads);
    // Copies and conversions have their own limits: they must not take the places of downloads.
    // So have songs from other nodes, which wait for downloads there, as songs there wait for downloads here.
    let mut queue = Queue::new(
        config.queue_max_downloads + config.ffmpeg.max * 3 + relays.unwrap_or(0),
        sites
            .chain([copies, conversions])
            .chain(relays.map(|most| (LaneId::Relays, most))),
    );
    if let Some(most) = relays {
        // Songs may hold all places that only wait their turn at other nodes: a song with a listener passes them.
        let switched_off = config.sites.iter().filter(|(_, of)| !of.enabled);
        let by_others = switched_off.map(|(site, _)| LaneId::Site(*site));
        by_others
            .chain([LaneId::Relays])
            .for_each(|lane| queue.spare(lane, most));
    }
    queue
}
