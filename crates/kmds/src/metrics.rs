//! Every metric, one row each.
//!
//! Owns names, units and labels, and the text that Prometheus reads. Hides the registry. Never measures anything itself.

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
struct BySite {
    site: &'static str,
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
struct Build {
    version: &'static str,
}

/// Cheap to share; every method may be called from anywhere.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    jobs: Family<ByOutcome, Counter>,
    received_bytes: Family<BySite, Counter>,
    requests: Family<ByAnswer, Counter>,
    asked: Family<ByRequest, Counter>,
    retries: Family<BySite, Counter>,
    page_bytes: Family<BySite, Counter>,
    served_bytes: Counter,
    webhooks: Family<ByDelivery, Counter>,
    songs: Family<ByState, Gauge>,
    cache_bytes: Gauge,
    waiting: Family<BySite, Gauge>,
    running: Family<BySite, Gauge>,
    listeners: Gauge,
    native_first: Family<BySite, Gauge>,
    open: Family<BySite, Gauge>,
    native_failures: Family<BySite, Counter>,
    player_script: Family<ByPlayer, Gauge>,
    ytdlp_runs: Counter,
    tasks: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kmds");
        let build = Family::<Build, Gauge>::default();
        build
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            jobs: Family::default(),
            received_bytes: Family::default(),
            requests: Family::default(),
            asked: Family::default(),
            retries: Family::default(),
            page_bytes: Family::default(),
            served_bytes: Counter::default(),
            webhooks: Family::default(),
            songs: Family::default(),
            cache_bytes: Gauge::default(),
            waiting: Family::default(),
            running: Family::default(),
            listeners: Gauge::default(),
            native_first: Family::default(),
            open: Family::default(),
            native_failures: Family::default(),
            player_script: Family::default(),
            ytdlp_runs: Counter::default(),
            tasks: Gauge::default(),
        };
        // The table. Counters get `_total` from the encoder.
        registry.register("build_info", "The running version", build);
        registry.register(
            "jobs",
            "Jobs ended, by site and outcome",
            metrics.jobs.clone(),
        );
        registry.register(
            "received_bytes",
            "Audio bytes from the sites",
            metrics.received_bytes.clone(),
        );
        registry.register(
            "origin_requests",
            "Requests to the sites, retries included",
            metrics.asked.clone(),
        );
        registry.register(
            "origin_retries",
            "Requests to the sites that were repeats",
            metrics.retries.clone(),
        );
        registry.register(
            "page_bytes",
            "Bytes of pages from the sites, compressed",
            metrics.page_bytes.clone(),
        );
        registry.register(
            "http_requests",
            "Answers to clients, by route and status",
            metrics.requests.clone(),
        );
        registry.register(
            "served_bytes",
            "Audio bytes to clients",
            metrics.served_bytes.clone(),
        );
        registry.register(
            "player_script",
            "YouTube's player script that was used last: 1 while it can be read",
            metrics.player_script.clone(),
        );
        registry.register(
            "webhooks",
            "Calls of the webhook, by outcome",
            metrics.webhooks.clone(),
        );
        registry.register(
            "songs",
            "Songs in the catalog, by state",
            metrics.songs.clone(),
        );
        registry.register(
            "cache_bytes",
            "Bytes of finished songs on the drive",
            metrics.cache_bytes.clone(),
        );
        registry.register(
            "queue_waiting",
            "Songs waiting for a download",
            metrics.waiting.clone(),
        );
        registry.register(
            "downloads_running",
            "Downloads under way",
            metrics.running.clone(),
        );
        registry.register(
            "listeners",
            "Clients being sent audio now",
            metrics.listeners.clone(),
        );
        registry.register(
            "native_first",
            "1 while our own engine goes first, 0 while yt-dlp does",
            metrics.native_first.clone(),
        );
        registry.register(
            "site_open",
            "1 while a site is asked, 0 while egress.forbid closes its way out",
            metrics.open.clone(),
        );
        registry.register(
            "native_failures",
            "Times our own engine met a changed page or a wall",
            metrics.native_failures.clone(),
        );
        registry.register(
            "ytdlp_runs",
            "Processes of yt-dlp started",
            metrics.ytdlp_runs.clone(),
        );
        registry.register(
            "tasks",
            "Tasks of the runtime: one a connection, one a download",
            metrics.tasks.clone(),
        );
        *metrics.registry.lock() = registry;
        metrics
    }

    pub fn job_done(&self, site: Site, failure: Option<Kind>) {
        let outcome = failure.map_or("ready", Kind::as_str);
        self.jobs
            .get_or_create(&ByOutcome {
                site: site.as_str(),
                outcome,
            })
            .inc();
    }

    pub fn received(&self, site: Site, bytes: usize) {
        self.received_bytes
            .get_or_create(&BySite {
                site: site.as_str(),
            })
            .inc_by(bytes as u64);
    }

    pub fn answered(&self, route: &'static str, status: u16) {
        self.requests
            .get_or_create(&ByAnswer { route, status })
            .inc();
    }

    pub fn served(&self, bytes: usize) {
        self.served_bytes.inc_by(bytes as u64);
    }

    /// `delivered`, `failed` or `dropped`.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&ByDelivery { outcome }).inc();
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

    /// The text Prometheus reads; gauges that are read off elsewhere are set first.
    #[must_use]
    pub fn text(&self, now: &Snapshot) -> String {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, count) in &now.songs {
            self.songs
                .get_or_create(&ByState {
                    state: state.clone(),
                })
                .set(gauge(*count));
        }
        self.cache_bytes.set(gauge(now.cache_bytes));
        self.tasks.set(gauge(now.tasks));
        for lane in &now.lanes {
            let label = BySite {
                site: lane.site.as_str(),
            };
            self.waiting.get_or_create(&label).set(gauge(lane.waiting));
            self.running.get_or_create(&label).set(gauge(lane.running));
        }
        for (site, native) in &now.native_first {
            self.native_first
                .get_or_create(&BySite {
                    site: site.as_str(),
                })
                .set(i64::from(*native));
        }
        for (site, open) in &now.open {
            self.open
                .get_or_create(&BySite {
                    site: site.as_str(),
                })
                .set(i64::from(*open));
        }
        for (site, failures) in &now.native_failures {
            let counter = self.native_failures.get_or_create(&BySite {
                site: site.as_str(),
            });
            counter.inc_by(failures.saturating_sub(counter.get()));
        }
        self.player_script.clear();
        if let Some((player, works)) = &now.player_script {
            self.player_script
                .get_or_create(&ByPlayer {
                    player: player.clone(),
                })
                .set(i64::from(*works));
        }
        self.ytdlp_runs
            .inc_by(now.ytdlp_runs.saturating_sub(self.ytdlp_runs.get()));
        for asked in &now.asked {
            let site = asked.site.as_str();
            for (kind, total) in [
                ("page", asked.pages),
                ("media", asked.media),
                ("cover", asked.covers),
            ] {
                catch_up(&self.asked.get_or_create(&ByRequest { site, kind }), total);
            }
            catch_up(&self.retries.get_or_create(&BySite { site }), asked.retries);
            catch_up(
                &self.page_bytes.get_or_create(&BySite { site }),
                asked.page_bytes,
            );
        }
        let mut text = String::new();
        let registry = self.registry.lock();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        as_prometheus(&text)
    }
}

/// OpenMetrics as Prometheus' own text format, which every reader knows: there a counter's family has the name of its
/// samples, `_total` included, and nothing marks the end.
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

/// Brings a counter to what was counted elsewhere.
fn catch_up(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// What is read off elsewhere when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By state word.
    pub songs: BTreeMap<String, u64>,
    pub cache_bytes: u64,
    /// Alive in the runtime.
    pub tasks: u64,
    pub lanes: Vec<Lane>,
    pub native_first: Vec<(Site, bool)>,
    /// Whether each enabled site is asked.
    pub open: Vec<(Site, bool)>,
    pub asked: Vec<Asked>,
    /// Since the start, as all counters.
    pub native_failures: Vec<(Site, u64)>,
    /// YouTube's player script that was used last, and whether it works.
    pub player_script: Option<(String, bool)>,
    pub ytdlp_runs: u64,
}

/// What was asked of one site since the start.
#[derive(Debug, Clone)]
pub struct Asked {
    pub site: Site,
    pub pages: u64,
    pub media: u64,
    pub covers: u64,
    pub retries: u64,
    pub page_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct Lane {
    pub site: Site,
    pub waiting: u64,
    pub running: u64,
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
