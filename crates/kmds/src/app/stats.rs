//! Counts and health, for clients and for Prometheus.
//!
//! Owns what is counted where: rows in the store, lanes in the jobs, requests at the way out. Changes nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kmds_extract::Site;

use super::api::{
    ClusterStats, EngineStats, LaneStats, NodeSiteStats, NodeStats, QueueStats, RecipesStats,
    RefusedRecipes, SiteStats, Stats,
};
use super::{App, Inner};
use crate::engine::{Engine, Health, YtDlp};
use crate::jobs::LaneId;
use crate::metrics;

impl App {
    /// Counts and health.
    pub async fn stats(&self) -> Stats {
        let inner = &self.inner;
        let counts = inner.store.stats().await.unwrap_or_default();
        let lanes = inner.lane_stats();
        Stats {
            songs: counts
                .by_state
                .iter()
                .map(|(state, count)| ((*state).to_owned(), *count))
                .collect(),
            bytes_on_disk: counts.ready_bytes,
            free_bytes: counts.free_bytes,
            max_bytes: counts.max_bytes,
            queues: lanes.iter().map(QueueStats::from).collect(),
            lanes,
            play_queues: inner.queues.stats(),
            engines: inner.engine_stats(),
            sites: inner.site_stats(),
            recipes: self.recipes_stats(),
            holds: inner.store.held_sum().await.unwrap_or_default(),
            library: self.has_library(),
            listeners: inner.metrics.listeners(),
            uptime_seconds: inner.started.elapsed().as_secs(),
            cluster: inner.cluster_stats(),
        }
    }

    /// The text Prometheus reads.
    pub async fn metrics_text(&self) -> String {
        let stats = self.stats().await;
        let lane = |queue: &LaneStats| {
            let (waiting, running) = (queue.waiting as u64, queue.running as u64);
            let paused_seconds = queue.paused_for.map_or(0, |left| left.as_secs() + 1);
            Site::parse(&queue.site).map(|site| metrics::Lane {
                site,
                waiting,
                running,
                paused_seconds,
            })
        };
        let native = |engine: &EngineStats| {
            Site::parse(&engine.site).map(|site| (site, engine.first == "native"))
        };
        let asked = |of: &SiteStats| Site::parse(&of.site).map(|site| self.inner.asked_of(site));
        let open = |of: &SiteStats| Site::parse(&of.site).map(|site| (site, of.open));
        self.inner.metrics.text(&metrics::Snapshot {
            cache_bytes: stats.bytes_on_disk,
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks() as u64,
            lanes: stats.lanes.iter().filter_map(lane).collect(),
            play_queues: stats
                .play_queues
                .iter()
                .map(|queue| metrics::PlayQueue {
                    name: queue.name.clone(),
                    left: queue.total.saturating_sub(queue.begun) as u64,
                    ready: queue.ready as u64,
                })
                .collect(),
            native_first: stats.engines.iter().filter_map(native).collect(),
            open: stats
                .sites
                .iter()
                .filter(|site| site.enabled)
                .filter_map(open)
                .collect(),
            native_failures: stats
                .engines
                .iter()
                .filter_map(|engine| Some((Site::parse(&engine.site)?, engine.native_failures)))
                .collect(),
            cluster: stats.cluster.as_ref().map(cluster_metrics),
            ytdlp_runs: self.inner.engines.ytdlp().map_or(0, YtDlp::runs),
            player_script: self.inner.client.player_script(),
            recipes: Some((stats.recipes.date, stats.recipes.refused.is_none())),
            asked: stats
                .sites
                .iter()
                .filter(|site| site.enabled)
                .filter_map(asked)
                .collect(),
            songs: stats.songs,
        })
    }

    fn recipes_stats(&self) -> RecipesStats {
        let status = self.recipes();
        RecipesStats {
            date: status.in_force.date,
            from: status.in_force.from,
            refused: status.refused.map(|refusal| RefusedRecipes {
                at: jiff::Timestamp::try_from(refusal.at)
                    .map_or_else(|_| String::new(), |at| format!("{at:.0}")),
                kind: refusal.kind,
                reason: refusal.sentence,
            }),
        }
    }
}

impl Inner {
    fn lane_stats(&self) -> Vec<LaneStats> {
        let now = tokio::time::Instant::now();
        let lanes = self.table.stats().into_iter();
        lanes
            .map(|lane| {
                let of_songs = lane
                    .paused_until
                    .map(|until| until.saturating_duration_since(now));
                let of_links = match lane.lane {
                    LaneId::Site(site) => {
                        self.engines.limited(site).and_then(|told| told.retry_after)
                    }
                    LaneId::Copies | LaneId::Conversions | LaneId::Relays => None,
                };
                let paused_for = of_songs.max(of_links);
                LaneStats {
                    site: lane.lane.as_str().to_owned(),
                    waiting: lane.waiting,
                    running: lane.running,
                    limit: lane.limit,
                    paused_until: paused_for.map(in_words),
                    paused_for,
                }
            })
            .collect()
    }

    fn asked_of(&self, site: Site) -> metrics::Asked {
        let counters = self.client.counters().site(site);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        metrics::Asked {
            site,
            pages: read(&counters.page_requests),
            media: read(&counters.media_requests),
            covers: read(&counters.cover_requests),
            retries: read(&counters.retries),
            page_bytes: read(&counters.page_bytes),
        }
    }

    pub(super) fn site_stats(&self) -> Vec<SiteStats> {
        let row = |(site, enabled): (&Site, &bool)| {
            let reason = self.client.closed(*site).filter(|_| *enabled);
            SiteStats {
                site: site.as_str().to_owned(),
                enabled: *enabled,
                open: reason.is_none(),
                reason,
            }
        };
        self.sites.iter().map(row).collect()
    }

    fn engine_stats(&self) -> Vec<EngineStats> {
        let missing = self.engines.ytdlp().map(YtDlp::is_missing);
        let second = |health: &Health| match (missing, &health.ytdlp_reason) {
            (None, _) => "off",
            (Some(true), _) => "missing",
            (Some(false), None) => "on",
            (Some(false), Some(_)) => "failing",
        };
        let row = |health: Health| EngineStats {
            site: health.site.as_str().to_owned(),
            first: health.first.as_str().to_owned(),
            native: if health.first == Engine::Native {
                "on"
            } else {
                "resting"
            }
            .to_owned(),
            ytdlp: second(&health).to_owned(),
            native_failures: health.native_failures,
            reason: health.reason,
            ytdlp_reason: health.ytdlp_reason,
        };
        self.engines.health().into_iter().map(row).collect()
    }
}

impl From<&LaneStats> for QueueStats {
    fn from(lane: &LaneStats) -> Self {
        Self {
            site: lane.site.clone(),
            waiting: lane.waiting,
            running: lane.running,
            limit: lane.limit,
        }
    }
}

/// The time at the end of `left`, in RFC 3339.
fn in_words(left: Duration) -> String {
    let until = std::time::SystemTime::now().checked_add(left);
    until
        .and_then(|until| jiff::Timestamp::try_from(until).ok())
        .map_or_else(String::new, |until| format!("{until:.0}"))
}

fn cluster_metrics(cluster: &ClusterStats) -> metrics::Cluster {
    let sites = |node: &NodeStats| {
        let name = node.node.clone();
        let told = move |of: &NodeSiteStats| metrics::NodeSite {
            node: name.clone(),
            site: of.site.clone(),
            free: of.free,
            limited_seconds: of.limited_seconds.unwrap_or(0),
        };
        node.sites.iter().map(told).collect::<Vec<_>>()
    };
    metrics::Cluster {
        connected: cluster.connected,
        nodes: cluster.nodes.len() as u64,
        sites: cluster.nodes.iter().flat_map(sites).collect(),
    }
}
