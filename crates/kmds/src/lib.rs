//! KMDS: a media downloading service. A client sends a link; KMDS answers with metadata at once, and saves the whole
//! audio on a drive.
//!
//! The code in the order the data flows: `link → tracks → chosen stream → bytes → published file → client`.
//!
//! | module | what it does | asks |
//! | --- | --- | --- |
//! | [`cli`] | the commands and their texts | `http`, `app` |
//! | [`http`] | both faces of the service | `app` |
//! | [`app`] | what happens to a link once it is accepted | `jobs`, `engine`, `recipes`, `origin`, `convert`, `store` |
//! | `jobs` | the making of songs | `engine`, `download`, `convert`, `media`, `tag`, `store` |
//! | [`engine`] | which engine answers: the native one, or yt-dlp | `origin` |
//! | `cluster` | other hosts that work as one with this one | |
//! | [`download`] | a stream as chunks in order | `origin`, `media` |
//! | [`recipes`] | which facts about the sites are in force | `download`, `origin` |
//! | [`origin`] | the connections to the sites | `player`, `kmds-extract` |
//! | [`convert`] | ffmpeg, as a child process | `media` |
//! | [`store`] | catalog, growing files, publishing | |
//! | [`player`] | YouTube's player script, run by a child | `kmds-player` |
//! | [`media`], [`tag`] | whether a file is whole; its tags | |
//! | [`webhook`] | telling another program that a song is ready | `app`, `origin` |
//! | [`config`], [`metrics`], [`log`], [`systemd`] | settings, numbers, lines, the service manager | |

pub mod app;
pub mod cli;
mod clock;
mod cluster;
pub mod config;
pub mod convert;
pub mod download;
pub mod engine;
mod hex;
pub mod http;
mod jobs;
pub mod log;
pub mod media;
pub mod metrics;
pub mod origin;
pub mod player;
mod random;
pub mod recipes;
mod single_flight;
pub mod store;
pub mod systemd;
pub mod tag;
pub mod webhook;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use kmds_extract::{Site, text};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Failure, Parts};
use crate::cluster::{Membership, Peers, Service};
use crate::config::{Config, EgressSettings, NodeAddress};
use crate::convert::Ffmpeg;
use crate::engine::Engines;
use crate::http::{Crowd, Door, ServeError, Server};
use crate::metrics::Metrics;
use crate::origin::{Client, ClientConfig, EgressConfig, EgressError};
use crate::recipes::Loader;
use crate::store::{PROBE, Store, StoreConfig, StoreError};
use crate::webhook::{Webhook, WebhookError};

/// As in `kmds --version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why the service did not start. Each names the setting to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Recipes(#[from] recipes::ReadError),
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error(
        "{source}; cache.dir is {cache}, state.dir is {state}: both have to be folders that this user can write"
    )]
    Store {
        state: String,
        cache: String,
        source: StoreError,
    },
    #[error(
        "another KMDS works with the state folder {state}; stop it, or give this one another state.dir"
    )]
    Busy { state: String },
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("the cluster: {0}")]
    Cluster(String),
    #[error("{0}")]
    App(#[from] Failure),
}

impl StartError {
    /// Another process works with these folders: stop it, or ask it.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// Everything but the server, ready to take links.
/// # Errors
/// See [`StartError`].
pub fn assemble(config: &Config, stop: CancellationToken) -> Result<App, StartError> {
    assemble_among(Peers::alone(), config, stop)
}

fn assemble_among(
    peers: Peers,
    config: &Config,
    stop: CancellationToken,
) -> Result<App, StartError> {
    let store = Store::open(store_config(config)).map_err(|source| no_store(config, source))?;
    assemble_on(store, peers, config, stop)
}

/// The same while a server runs, to read its data and change nothing.
/// # Errors
/// See [`StartError`]; never busy.
pub fn inspect(config: &Config) -> Result<App, StartError> {
    let store = Store::inspect(store_config(config)).map_err(|source| no_store(config, source))?;
    assemble_on(store, Peers::alone(), config, CancellationToken::new())
}

fn no_store(config: &Config, source: StoreError) -> StartError {
    let text = |path: &Path| path.display().to_string();
    match source {
        StoreError::Busy { .. } => StartError::Busy {
            state: text(&config.state_dir),
        },
        source => StartError::Store {
            state: text(&config.state_dir),
            cache: text(&config.cache.dir),
            source,
        },
    }
}

fn assemble_on(
    store: Store,
    peers: Peers,
    config: &Config,
    stop: CancellationToken,
) -> Result<App, StartError> {
    let loader = Loader::start(config)?;
    let recipes = loader.shared();
    let client = Client::new(&client_config(config), recipes.clone())?;
    let engines = Engines::new(config, client.clone(), recipes);
    let parts = Parts {
        store,
        client,
        engines,
        ffmpeg: Ffmpeg::new(&config.ffmpeg),
        loader,
        metrics: Arc::new(Metrics::new()),
        peers,
        stop,
    };
    Ok(App::new(config, parts))
}

fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        cache_dir: config.cache.dir.clone(),
        state_dir: config.state_dir.clone(),
        client_path: config.cache.client_path.clone(),
        max_bytes: config.cache.max_bytes,
        max_age: config.cache.max_age,
        reader_pause: store::READER_PAUSE,
        min_free_bytes: config.cache.min_free_bytes,
        is_shared: config
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.shared_drive),
    }
}

fn client_config(config: &Config) -> ClientConfig {
    let egress = |settings: &EgressSettings| EgressConfig {
        proxy: settings.proxy.clone(),
        ca_file: settings.ca_file.clone(),
        source_address: settings.source_address,
        forbid: settings.forbid.clone(),
        family: None,
        check_url: settings.check_url.clone(),
        check_every: config.egress_check_every,
    };
    let common = config
        .sites
        .get(&Site::Other)
        .map(|site| egress(&site.egress))
        .unwrap_or_default();
    let site_egress: HashMap<Site, EgressConfig> = config
        .sites
        .iter()
        .map(|(site, of)| (*site, egress(&of.egress)))
        .collect();
    // If other nodes fetch from a site, the site never sees this node's address.
    let off = config.sites.iter().filter(|(_, of)| !of.enabled);
    let shut = off.map(|(site, _)| *site);
    ClientConfig {
        shut: shut.filter(|_| config.cluster.is_some()).collect(),
        egress: common,
        site_egress,
        memory_file: Some(config.state_dir.join("memory.json")),
        player_dir: Some(config.state_dir.join("player")),
    }
}

/// Checks what [`run`] would refuse of the settings themselves, without binding, and without touching a folder.
/// # Errors
/// See [`StartError`].
pub fn check(config: &Config) -> Result<(), StartError> {
    Server::check(&config.server)?;
    let loader = Loader::start(config)?;
    Client::new(
        &ClientConfig {
            memory_file: None,
            player_dir: None,
            ..client_config(config)
        },
        loader.shared(),
    )?;
    config.webhook.as_ref().map(Webhook::new).transpose()?;
    membership(config).map(drop)
}

/// Tries whether the nodes that are there have this cache folder, where the settings say so: a sentence for the
/// operator. Makes a small file in the folder, and removes it.
/// # Errors
/// [`StartError::Cluster`]: another node does not see the file, or the folder cannot be written.
pub async fn check_drive(config: &Config) -> Result<Option<String>, StartError> {
    if !config
        .cluster
        .as_ref()
        .is_some_and(|cluster| cluster.shared_drive)
    {
        return Ok(None);
    }
    let name = random::id();
    let (dir, file) = (
        &config.cache.dir,
        config.cache.dir.join(format!("{PROBE}{name}")),
    );
    std::fs::write(&file, b"").map_err(|error| {
        StartError::Cluster(format!(
            "cache.dir {} cannot be written ({error}); mount the drive that all nodes share there, or set cluster.shared_drive to false",
            dir.display()
        ))
    })?;
    let found = membership(config)?.blind_to(&name).await;
    let _ = std::fs::remove_file(&file);
    match found {
        Err(why) => Ok(Some(format!(
            "{why}: it is not known whether the other nodes have this cache.dir"
        ))),
        Ok((blind, _)) if !blind.is_empty() => Err(StartError::Cluster(format!(
            "cache.dir {} is not the folder that {} has; mount one drive for all nodes, or set cluster.shared_drive to false",
            dir.display(),
            blind.join(", ")
        ))),
        Ok((_, 0)) => Ok(Some(
            "no node is there that could say whether it has this cache.dir".to_owned(),
        )),
        Ok(_) => Ok(None),
    }
}

/// The nodes of the cluster, for `kmds doctor`. Works beside a running service.
/// # Errors
/// A sentence: NATS does not answer, or the settings name a file that cannot be used.
#[cfg(feature = "cluster")]
pub(crate) async fn nodes_seen(config: &Config) -> Result<cluster::NodesSeen, String> {
    let membership = membership(config).map_err(|error| error.to_string())?;
    membership.look().await
}

/// Runs the service until `stop` is cancelled: binds, prints the ready line on standard output, serves, and parks
/// unfinished songs.
/// # Errors
/// See [`StartError`].
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    // Downloads go on while the last streams finish, and are parked after that.
    let park = CancellationToken::new();
    let membership = membership(&config)?;
    let app = assemble_among(membership.peers(), &config, park.clone())?;
    let server = Server::bind(&config.server, &config.state_dir).await?;
    let webhook = config.webhook.as_ref().map(Webhook::new).transpose()?;
    app.start().await?;
    let webhook = webhook.map(|webhook| tokio::spawn(webhook.follow(app.clone())));
    // Signals are caught before the ready line is printed.
    let hangup = signal(SignalKind::hangup()).ok();
    say_ready(&server.url());
    systemd::notify("READY=1");
    let recipes = app.recipes().in_force;
    let (url, base_path) = (server.url(), &config.server.base_path);
    tracing::info!(recipes = recipes.date, from = recipes.from, cache = %config.cache.dir.display(), page = format!("{url}{base_path}/ui/"), "serving on {url}");
    let address = node_address(&config, server.bound());
    let among = tokio::spawn(work_among_others(
        membership,
        address,
        app.clone(),
        stop.clone(),
    ));
    let reload = tokio::spawn(reload_on_hangup(hangup, app.clone(), server.door()));
    let fetch = app
        .recipes_every()
        .map(|every| tokio::spawn(fetch_recipes(every, app.clone())));
    let watchdog = tokio::spawn(systemd::watchdog());
    let trim = tokio::spawn(give_memory_back(server.crowd()));
    let asked = stop.clone();
    let announce = tokio::spawn(async move {
        asked.cancelled().await;
        systemd::notify("STOPPING=1");
    });
    let (closing, waiting) = (stop.clone(), app.clone());
    let close = tokio::spawn(async move {
        closing.cancelled().await;
        waiting.close();
    });
    server.run(app.clone(), stop).await;
    close.abort();
    park.cancel();
    app.stopped().await;
    webhook.inspect(JoinHandle::abort);
    among.abort();
    reload.abort();
    fetch.inspect(JoinHandle::abort);
    watchdog.abort();
    trim.abort();
    announce.abort();
    tracing::info!("stopped; unfinished downloads continue at the next start");
    Ok(())
}

/// The service also runs where standard output cannot be written.
fn say_ready(url: &str) {
    let told = writeln!(std::io::stdout(), "kmds {VERSION} ready on {url}");
    if let Err(error) = told.and_then(|()| std::io::stdout().flush()) {
        tracing::warn!(%error, "standard output cannot be written; the service still runs");
    }
}

fn membership(config: &Config) -> Result<Membership, StartError> {
    Membership::new(config.cluster.as_ref()).map_err(StartError::Cluster)
}

/// Where the other nodes reach this one's HTTP.
fn node_address(config: &Config, (host, port): (String, u16)) -> Option<String> {
    match &config.cluster.as_ref()?.address {
        NodeAddress::Given(url) => Some(url.clone()),
        NodeAddress::Bound if host.contains(':') => Some(format!("http://[{host}]:{port}")),
        NodeAddress::Bound => Some(format!("http://{host}:{port}")),
        NodeAddress::None => None,
    }
}

async fn work_among_others(
    membership: Membership,
    address: Option<String>,
    app: App,
    stop: CancellationToken,
) {
    let (told, hears) = (app.clone(), app.clone());
    let news = app.news();
    let answering = Arc::new(move |question| {
        let app = app.clone();
        async move { app.answer(question).await }.boxed()
    });
    let telling = Arc::new(move || told.told_of_sites());
    let service = Service {
        telling,
        answering,
        news,
        hearing: Arc::new(move |news| hears.hear(&news)),
    };
    membership.run(address, service, stop).await;
}

/// When the memory of the code that only a start runs is given back a second time: the start's last tasks have ended.
const FIRST_TRIM_AFTER: Duration = Duration::from_millis(500);
/// How often free memory and code go back to the system. Code that runs is mapped again in some 150 page faults, less
/// than a millisecond of processor (docs/performance.md, "What was tried").
const TRIM_EVERY: Duration = Duration::from_secs(2);
/// Connections that ended together are all closed after this time.
const CROWD_ENDS_WITHIN: Duration = Duration::from_millis(250);

/// Gives back the memory that a start, crowds and long lists took.
async fn give_memory_back(crowd: Arc<Crowd>) {
    // Clients may come at once: their memory does not add to that of the start's code.
    kmds_trim::release_code();
    let mut next = Instant::now() + FIRST_TRIM_AFTER;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                kmds_trim::release_code();
                next = Instant::now() + TRIM_EVERY;
            }
            () = crowd.ended() => {
                tokio::time::sleep(CROWD_ENDS_WITHIN).await;
                tracing::debug!("many connections ended; their memory goes back to the system");
            }
        }
        kmds_trim::trim();
    }
}

/// Only if `recipes.hours` asks for it.
async fn fetch_recipes(every: Duration, app: App) {
    loop {
        // Why it took nothing is in the log.
        let _ = app.fetch_recipes().await;
        tokio::time::sleep(every).await;
    }
}

/// Reads tokens and recipes again. Signals that come meanwhile are one, and lead to the next.
async fn reload_on_hangup(hangup: Option<Signal>, app: App, door: Door) {
    let Some(mut hangup) = hangup else { return };
    while hangup.recv().await.is_some() {
        let door = door.clone();
        // What came of it is in the log.
        let _ = tokio::task::spawn_blocking(move || door.reload()).await;
        // Why it took nothing is in the log.
        let _ = app.reload_recipes().await;
    }
}
