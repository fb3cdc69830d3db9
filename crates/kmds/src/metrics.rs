//! Every metric, one row each: name, help and labels; and the text for Prometheus.
//!
//! This module measures nothing: callers count, and [`Snapshot`] brings the numbers that are counted elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use kmds_extract::{Kind, Site};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByNode {
    node: String,
    site: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BySite {
    site: &'static str,
}

impl BySite {
    const fn of(site: Site) -> Self {
        Self {
            site: site.as_str(),
        }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    site: &'static str,
    /// `ready`, or the kind of failure.
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByState {
    state: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByAnswer {
    /// The route's pattern, never a path with ids in it.
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByToken {
    /// Its name, never its secret.
    token: String,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByRequest {
    site: &'static str,
    /// `page`, `media` or `cover`.
    kind: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByDelivery {
    /// `delivered`, `failed` or `dropped`.
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByPlayer {
    player: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByQueue {
    /// As its client calls it; there are at most 1,000.
    queue: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByReload {
    /// `taken`, `unchanged`, or the kind of failure.
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByDate {
    date: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Makes [`Metrics`] from the table of all metrics: field, type, name in the text, help. Counters get `_total` from the
/// encoder.
macro_rules! metrics {
    ($($field:ident: $kind:ty = $name:literal, $help:literal;)*) => {
        /// Cheap to share; every method may be called from any task.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Mutex<Registry>,
            $($field: $kind,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("kmds");
                $(
                    let $field = <$kind>::default();
                    registry.register($name, $help, $field.clone());
                )*
                Self {
                    registry: Mutex::new(registry),
                    $($field,)*
                }
            }
        }
    };
}

metrics! {
    build: Family<Build, Gauge> = "build_info", "The running version";
    jobs: Family<ByOutcome, Counter> = "jobs", "Jobs ended, by site and outcome";
    received_bytes: Family<BySite, Counter> = "received_bytes", "Audio bytes from the sites";
    asked: Family<ByRequest, Counter> = "origin_requests", "Requests to the sites, retries included";
    retries: Family<BySite, Counter> = "origin_retries", "Requests to the sites that were retries";
    page_bytes: Family<BySite, Counter> = "page_bytes", "Bytes of pages from the sites, compressed";
    requests: Family<ByAnswer, Counter> = "http_requests", "Answers to clients, by route and status";
    token_requests: Family<ByToken, Counter> = "token_requests", "Answers to clients with a token, by its name and the status";
    served_bytes: Counter = "served_bytes", "Audio bytes to clients";
    player_script: Family<ByPlayer, Gauge> = "player_script", "YouTube's player script that was used last: 1 while it can be read";
    webhooks: Family<ByDelivery, Counter> = "webhooks", "Calls of the webhook, by outcome";
    recipes: Family<ByDate, Gauge> = "recipes", "The date of the recipes in force: 1, or 0 while the last reload was refused";
    reloads: Family<ByReload, Counter> = "recipes_reloads", "Reloads of the recipes, by outcome";
    songs: Family<ByState, Gauge> = "songs", "Songs in the catalog, by state";
    cache_bytes: Gauge = "cache_bytes", "Bytes of finished songs on the drive";
    waiting: Family<BySite, Gauge> = "queue_waiting", "Songs waiting for a download";
    running: Family<BySite, Gauge> = "downloads_running", "Downloads under way";
    paused: Family<BySite, Gauge> = "queue_paused_seconds", "Seconds until a site that wants a pause gets requests again; 0 without a pause";
    queue_left: Family<ByQueue, Gauge> = "play_queue_left", "Songs of a client's queue that were not begun";
    queue_ready: Family<ByQueue, Gauge> = "play_queue_ready", "Next songs of a client's queue that are ready";
    listeners: Gauge = "listeners", "Clients that receive audio now";
    native_first: Family<BySite, Gauge> = "native_first", "1 while the native engine goes first, 0 while yt-dlp does";
    open: Family<BySite, Gauge> = "site_open", "1 while a site is open, 0 while egress.forbid closes its way out";
    native_failures: Family<BySite, Counter> = "native_failures", "Times the native engine met a changed page or a wall";
    ytdlp_runs: Counter = "ytdlp_runs", "Processes of yt-dlp started";
    nats: Gauge = "cluster_connected", "1 while NATS answers; 0 where it does not, or there is no cluster";
    nodes: Gauge = "cluster_nodes", "Other nodes of the cluster that are there";
    node_free: Family<ByNode, Gauge> = "cluster_node_free", "Downloads from a site that another node could start; below zero where songs wait";
    node_limited: Family<ByNode, Gauge> = "cluster_node_limited_seconds", "Seconds until a site answers another node's address again; 0 without a limit";
    tasks: Gauge = "tasks", "Tasks of the runtime: one for each connection and each download";
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self::default();
        let version = env!("CARGO_PKG_VERSION");
        metrics.build.get_or_create(&Build { version }).set(1);
        metrics
    }

    pub fn job_done(&self, site: Site, failure: Option<Kind>) {
        let outcome = failure.map_or("ready", Kind::as_str);
        let site = site.as_str();
        self.jobs.get_or_create(&ByOutcome { site, outcome }).inc();
    }

    pub fn received(&self, site: Site, bytes: usize) {
        self.received_bytes
            .get_or_create(&BySite::of(site))
            .inc_by(bytes as u64);
    }

    pub fn answered(&self, route: &'static str, status: u16) {
        self.requests
            .get_or_create(&ByAnswer { route, status })
            .inc();
    }

    /// A request with the token of this name was answered.
    pub fn answered_token(&self, token: &str, status: u16) {
        let token = token.to_owned();
        self.token_requests
            .get_or_create(&ByToken { token, status })
            .inc();
    }

    pub fn served(&self, bytes: usize) {
        self.served_bytes.inc_by(bytes as u64);
    }

    /// `delivered`, `failed` or `dropped`.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&ByDelivery { outcome }).inc();
    }

    /// `taken`, `unchanged`, or the kind of failure.
    pub fn recipes_reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&ByReload { outcome }).inc();
    }

    pub fn listener_came(&self) {
        self.listeners.inc();
    }

    pub fn listener_left(&self) {
        self.listeners.dec();
    }

    #[must_use]
    pub fn listeners(&self) -> u64 {
        u64::try_from(self.listeners.get()).unwrap_or(0)
    }

    /// The text that Prometheus reads, with what `now` brings from elsewhere.
    #[must_use]
    pub fn text(&self, now: &Snapshot) -> String {
        self.set_gauges(now);
        self.set_sites(now);
        self.set_counters(now);
        let mut text = String::new();
        let registry = self.registry.lock();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        let text = as_prometheus(&text);
        if now.cluster.is_some() {
            return text;
        }
        // A host of its own tells nothing of nodes.
        let is_told = |line: &&str| !line.contains("kmds_cluster_");
        text.split_inclusive('\n').filter(is_told).collect()
    }

    /// Nodes that are gone leave no gauge.
    fn set_nodes(&self, now: Option<&Cluster>) {
        let Some(now) = now else { return };
        self.nats.set(i64::from(now.connected));
        self.nodes.set(gauge(now.nodes));
        self.node_free.clear();
        self.node_limited.clear();
        for told in &now.sites {
            let by = ByNode {
                node: told.node.clone(),
                site: told.site.clone(),
            };
            self.node_free.get_or_create(&by).set(told.free);
            let limited = gauge(told.limited_seconds);
            self.node_limited.get_or_create(&by).set(limited);
        }
    }

    fn set_gauges(&self, now: &Snapshot) {
        for (state, count) in &now.songs {
            let state = state.clone();
            let songs = self.songs.get_or_create(&ByState { state });
            songs.set(gauge(*count));
        }
        self.cache_bytes.set(gauge(now.cache_bytes));
        self.tasks.set(gauge(now.tasks));
        self.queue_left.clear();
        self.queue_ready.clear();
        for of in &now.play_queues {
            let queue = of.name.clone();
            let label = ByQueue { queue };
            self.queue_left.get_or_create(&label).set(gauge(of.left));
            self.queue_ready.get_or_create(&label).set(gauge(of.ready));
        }
        self.set_nodes(now.cluster.as_ref());
        self.recipes.clear();
        if let Some((date, is_newest)) = &now.recipes {
            let date = date.clone();
            let recipes = self.recipes.get_or_create(&ByDate { date });
            recipes.set(i64::from(*is_newest));
        }
        self.player_script.clear();
        if let Some((player, works)) = &now.player_script {
            let player = player.clone();
            let script = self.player_script.get_or_create(&ByPlayer { player });
            script.set(i64::from(*works));
        }
    }

    fn set_sites(&self, now: &Snapshot) {
        for lane in &now.lanes {
            let label = BySite::of(lane.site);
            self.waiting.get_or_create(&label).set(gauge(lane.waiting));
            self.running.get_or_create(&label).set(gauge(lane.running));
            let paused = self.paused.get_or_create(&label);
            paused.set(gauge(lane.paused_seconds));
        }
        let switches = [
            (&self.native_first, &now.native_first),
            (&self.open, &now.open),
        ];
        for (family, values) in switches {
            for (site, on) in values {
                let value = family.get_or_create(&BySite::of(*site));
                value.set(i64::from(*on));
            }
        }
    }

    fn set_counters(&self, now: &Snapshot) {
        for (site, failures) in &now.native_failures {
            let counter = self.native_failures.get_or_create(&BySite::of(*site));
            catch_up(&counter, *failures);
        }
        catch_up(&self.ytdlp_runs, now.ytdlp_runs);
        for asked in &now.asked {
            let (label, site) = (BySite::of(asked.site), asked.site.as_str());
            for (kind, total) in [
                ("page", asked.pages),
                ("media", asked.media),
                ("cover", asked.covers),
            ] {
                catch_up(&self.asked.get_or_create(&ByRequest { site, kind }), total);
            }
            catch_up(&self.retries.get_or_create(&label), asked.retries);
            catch_up(&self.page_bytes.get_or_create(&label), asked.page_bytes);
        }
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// OpenMetrics as Prometheus' own text format, which every reader understands: there a counter's family has the name of
/// its samples, `_total` included, and nothing marks the end.
fn as_prometheus(open_metrics: &str) -> String {
    let counter = |line: &'_ str| {
        line.strip_prefix("# TYPE ")?
            .strip_suffix(" counter")
            .map(str::to_owned)
    };
    let counters: BTreeSet<String> = open_metrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(family), Some(rest)) if counters.contains(family) => {
                text.push_str(&format!("# {what} {family}_total {rest}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// Raises a counter to the value that was counted elsewhere.
fn catch_up(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// What is counted elsewhere, read when `/metrics` is asked for.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By state word.
    pub songs: BTreeMap<String, u64>,
    pub cache_bytes: u64,
    /// Alive in the runtime.
    pub tasks: u64,
    pub lanes: Vec<Lane>,
    pub play_queues: Vec<PlayQueue>,
    pub native_first: Vec<(Site, bool)>,
    /// Whether each enabled site is open.
    pub open: Vec<(Site, bool)>,
    pub asked: Vec<Asked>,
    /// Since the start, as all counters.
    pub native_failures: Vec<(Site, u64)>,
    /// YouTube's player script that was used last, and whether it works.
    pub player_script: Option<(String, bool)>,
    pub ytdlp_runs: u64,
    /// `None` for a host of its own.
    pub cluster: Option<Cluster>,
    /// The date of the recipes in force, and whether the last reload left nothing out.
    pub recipes: Option<(String, bool)>,
}

/// The other nodes.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// NATS answers.
    pub connected: bool,
    pub nodes: u64,
    pub sites: Vec<NodeSite>,
}

/// What another node tells of a site that it fetches from.
#[derive(Debug, Clone)]
pub struct NodeSite {
    pub node: String,
    pub site: String,
    pub free: i64,
    /// 0 without a limit.
    pub limited_seconds: u64,
}

/// The requests to one site since the start.
#[derive(Debug, Clone)]
pub struct Asked {
    pub site: Site,
    pub pages: u64,
    pub media: u64,
    pub covers: u64,
    pub retries: u64,
    pub page_bytes: u64,
}

/// A queue that a client plays from.
#[derive(Debug, Clone)]
pub struct PlayQueue {
    pub name: String,
    /// Songs that were not begun.
    pub left: u64,
    /// Next songs that are ready.
    pub ready: u64,
}

#[derive(Debug, Clone)]
pub struct Lane {
    pub site: Site,
    pub waiting: u64,
    pub running: u64,
    /// Seconds until its site is asked again; 0 without a pause.
    pub paused_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_the_name_of_its_family_and_every_counter_ends_in_total() {
        let metrics = Metrics::new();
        metrics.answered("/", 200);
        metrics.job_done(Site::YouTube, Some(Kind::Live));
        let text = metrics.text(&Snapshot::default());
        let mut family = ("", "");
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                family = declared.split_once(' ').expect("a name and a type");
                assert!(text.contains(&format!("# HELP {} ", family.0)), "{text}");
                assert_eq!(
                    family.1 == "counter",
                    family.0.ends_with("_total"),
                    "{line}"
                );
            } else if !line.starts_with("# HELP ") {
                assert_eq!(line.split(['{', ' ']).next(), Some(family.0), "{line}");
            }
        }
        assert!(
            text.contains("kmds_http_requests_total{route=\"/\",status=\"200\"} 1\n"),
            "{text}"
        );
    }
}
