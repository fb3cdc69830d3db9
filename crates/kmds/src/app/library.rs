//! Looking at, removing and retrying songs; covers; counts and health.
//!
//! Owns the questions that are not about one stream of audio. Never downloads audio.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kmds_extract::{Failure, Kind, Site, Track, TrackId};

use super::api::{
    CoverFound, EngineStats, Key, LaneStats, ListAsk, Listing, QueueStats, Readiness, RecipesStats,
    RefusedRecipes, SiteStats, Song, State, Stats,
};
use super::{App, Inner};
use crate::engine::{Engine, Health, YtDlp};
use crate::jobs::{Job, LaneId, Status, formats, internal, store_failure};
use crate::metrics;
use crate::store::{Filter, Row, StoreError};

/// After so long it is looked again whether a song that is being removed is still written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl App {
    /// The song in the form most recently asked for; `None` if never asked for, or deleted.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn song(&self, id: &TrackId) -> Result<Option<Song>, Failure> {
        let rows = self
            .inner
            .store
            .renditions(id)
            .await
            .map_err(store_failure)?;
        let live = |row: &&Row| row.state != State::Deleted;
        let plain = rows
            .iter()
            .rev()
            .filter(live)
            .find(|row| !row.key.is_copy());
        let Some(row) = plain.or_else(|| rows.iter().rev().find(live)) else {
            return Ok(None);
        };
        let row = self.inner.as_it_stands(row.clone()).await?;
        let Some(track) = self.inner.store.track(id).await.map_err(store_failure)? else {
            return Ok(None);
        };
        let mut song = [self.inner.known_song(&row, track)];
        self.inner.note_holds(Some(id), &mut song).await?;
        let [song] = song;
        Ok(Some(song))
    }

    /// The song in this form; `None` if never asked for.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn song_in(&self, key: &Key) -> Result<Option<Song>, Failure> {
        let Some(row) = self.inner.store.row(key).await.map_err(store_failure)? else {
            return Ok(None);
        };
        let track = self
            .inner
            .store
            .track(key.track())
            .await
            .map_err(store_failure)?;
        let Some(track) = track else {
            return Ok(None);
        };
        let mut song = [self.inner.known_song(&row, track)];
        self.inner.note_holds(Some(key.track()), &mut song).await?;
        let [song] = song;
        Ok(Some(song))
    }

    /// Songs of the catalog, the newest first.
    /// # Errors
    /// A cursor that is none of ours, or the catalog cannot be read.
    pub async fn list(&self, ask: ListAsk) -> Result<Listing, Failure> {
        let before = match &ask.cursor {
            Some(text) => Some(text.parse().map_err(|_| {
                Failure::new(
                    Kind::BadRequest,
                    "`cursor` must be one an earlier page gave",
                )
            })?),
            None => None,
        };
        let filter = Filter {
            state: ask.state,
            site: ask.site,
            text: ask.query,
            originals_only: ask.originals_only,
        };
        let page = self
            .inner
            .store
            .list(filter, ask.limit, before)
            .await
            .map_err(store_failure)?;
        let mut songs: Vec<Song> = page
            .songs
            .into_iter()
            .map(|listed| self.inner.known_song(&listed.row, listed.track))
            .collect();
        self.inner.note_holds(None, &mut songs).await?;
        Ok(Listing {
            songs,
            cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// Where the finished file of one form lies on this machine; `None` while it is not finished.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn local_file(&self, key: &Key) -> Result<Option<std::path::PathBuf>, Failure> {
        let row = self.inner.store.row(key).await.map_err(store_failure)?;
        let ready = row.filter(|row| row.state == State::Ready);
        Ok(ready.map(|row| self.inner.store.local_path(key, row.format)))
    }

    /// Cancels or evicts all forms of a song, held ones too; false if unknown. A client that leaves meanwhile does not stop it halfway.
    /// # Errors
    /// The drive or the catalog failed.
    pub async fn delete(&self, id: &TrackId) -> Result<bool, Failure> {
        let (app, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let inner = &app.inner;
            let rows = inner.store.renditions(&id).await.map_err(store_failure)?;
            let mut any = false;
            // Newest first: a copy goes before its original, which it is made of.
            for row in rows.iter().rev().filter(|row| row.state != State::Deleted) {
                any = true;
                inner.delete_row(&row.key).await?;
            }
            Ok(any)
        })
        .await
        .unwrap_or_else(|_| Err(internal("the removal broke off")))
    }

    /// Tries the failed forms of a song again now; `None` if the song is unknown.
    /// # Errors
    /// The catalog failed.
    pub async fn retry(&self, id: &TrackId) -> Result<Option<Song>, Failure> {
        let rows = self
            .inner
            .store
            .renditions(id)
            .await
            .map_err(store_failure)?;
        for row in rows.iter().filter(|row| row.state == State::Failed) {
            self.inner.demand.requeue(&row.key, true).await?;
        }
        self.song(id).await
    }

    /// The cover of a known song, or of one that a recent search found: fetched when first asked for and kept, unless the
    /// client `only_looks`; `None` if song or cover do not exist. `for_node`: no third node is asked.
    /// # Errors
    /// The site does not give it.
    pub async fn cover(
        &self,
        id: &TrackId,
        only_looks: bool,
        for_node: bool,
    ) -> Result<Option<CoverFound>, Failure> {
        let known = self.inner.store.track(id).await.map_err(store_failure)?;
        let Some(track) = known.or_else(|| self.inner.resolver.found_track(id)) else {
            return Ok(None);
        };
        if !only_looks {
            let covers = &self.inner.covers;
            let cover = if for_node {
                covers.of_here(&track).await?
            } else {
                covers.of(&track).await?
            };
            return Ok(cover.map(CoverFound::Here));
        }
        if track.cover_url.is_none() {
            return Ok(None);
        }
        let kept = self.inner.covers.kept(&track).await;
        Ok(Some(kept.map_or(CoverFound::AtTheSite, CoverFound::Here)))
    }

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
            cluster: self.inner.peers.is_connected().map(|connected| {
                let nodes = stats.cluster.as_ref();
                (
                    connected,
                    nodes.map_or(0, |cluster| cluster.nodes.len()) as u64,
                )
            }),
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

    /// Whether the service can do its work: catalog, cache folder, space.
    pub async fn readiness(&self) -> Readiness {
        let mut problems = Vec::new();
        match self.inner.store.stats().await {
            Err(error) => problems.push(format!("the catalog does not answer: {error}")),
            Ok(stats) if stats.room_bytes() == Some(0) => problems.push(
                "no space is left within cache.max_bytes and above cache.min_free_bytes; make room on the cache drive"
                    .to_owned(),
            ),
            Ok(_) => {}
        }
        if let Err(error) = self.inner.store.probe_catalog().await {
            problems.push(error.to_string());
        }
        match self.inner.store.probe_drive().await {
            Err(error) => problems.push(format!("the cache folder is not usable: {error}")),
            Ok(report) if !report.writable || !report.renames_over => {
                problems.extend(report.sentences)
            }
            Ok(_) => {}
        }
        let sites: Vec<SiteStats> = self
            .inner
            .site_stats()
            .into_iter()
            .filter(|site| site.enabled)
            .collect();
        let alone = self.without_nodes(sites.is_empty());
        problems.extend(alone.clone().filter(|_| sites.is_empty()));
        // With one site left there is work that can be done.
        let ready = problems.is_empty() && (sites.is_empty() || sites.iter().any(|site| site.open));
        problems.extend(alone.filter(|_| !sites.is_empty()));
        problems.extend(
            sites
                .iter()
                .filter_map(|site| Some(format!("{}: {}", site.site, site.reason.as_ref()?))),
        );
        let refused = self.recipes().refused;
        problems.extend(refused.map(|refusal| format!("recipes: {refusal}")));
        let youtube = sites.iter().any(|site| site.site == Site::YouTube.as_str());
        let remarks = self.inner.engines.second_engine(youtube);
        Readiness {
            ready,
            problems,
            details: remarks.iter().map(ToString::to_string).collect(),
        }
    }

    /// What it means that this node does not work among others; `None` where it does, or there is no cluster.
    fn without_nodes(&self, fetches_nothing: bool) -> Option<String> {
        let peers = &self.inner.peers;
        let (why, setting) = match peers.why_alone() {
            Some(why) => why,
            None if fetches_nothing && !peers.are_none() && !peers.any_fetch() => {
                let why = "no node of the cluster fetches from a site now".to_owned();
                (why, "the other nodes")
            }
            None => return None,
        };
        let meaning = if fetches_nothing {
            "only finished songs are served, since this node fetches from no site"
        } else {
            "this node works alone"
        };
        Some(format!("{why}: {meaning}; look at {setting}"))
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
    /// The row, evicted if its file was removed or changed by hand; of a drive that does not answer nothing is concluded.
    pub(super) async fn as_it_stands(&self, row: Row) -> Result<Row, Failure> {
        if row.state == State::Ready && self.store.is_changed(&row).await {
            // It looks closely, and evicts.
            let _ = self.store.open_published(&row.key).await;
            return Ok(self
                .store
                .row(&row.key)
                .await
                .map_err(store_failure)?
                .unwrap_or(row));
        }
        Ok(row)
    }

    /// A row with the estimate of its size, which rows do not hold.
    pub(super) fn known_song(&self, row: &Row, track: Track) -> Song {
        // In the format the row was accepted in: the streams that were chosen from are not kept.
        let approximate_size = formats::estimate(&track, row.format, &self.recipes.current());
        self.song(row, track, approximate_size)
    }

    async fn delete_row(&self, key: &Key) -> Result<(), Failure> {
        let job = self.table.get(key);
        let noted = self.store.set_state(key, State::Deleted).await;
        noted.map_err(store_failure)?;
        self.clear_away(key, job).await
    }

    /// The same for a song that waits or runs; `false` for another, which stays.
    pub(super) async fn end_row(&self, key: &Key) -> Result<bool, Failure> {
        let job = self.table.get(key);
        if !self
            .store
            .delete_pending(key)
            .await
            .map_err(store_failure)?
        {
            return Ok(false);
        }
        self.clear_away(key, job).await?;
        Ok(true)
    }

    /// Ends the job of a song that is noted as deleted, and removes what the song has left.
    pub(super) async fn clear_away(&self, key: &Key, job: Option<Arc<Job>>) -> Result<(), Failure> {
        self.queues.look_again(key.track());
        let ran = job
            .as_ref()
            .is_some_and(|job| job.status().state != State::Queued);
        let mut watch = job.as_ref().map(|job| job.watch());
        if let Some(job) = &job {
            job.cancel.cancel();
            // A job that only waits holds no lease.
            if job.status().state == State::Queued {
                self.table.finish(
                    job,
                    Err(Failure::new(Kind::Cancelled, "the song was removed")),
                    false,
                );
            }
        }
        if let Some(watch) = &mut watch {
            // An error means that the job is gone.
            let _ = watch.wait_for(Status::is_over).await;
        }
        loop {
            let mut let_go = pin!(self.store.let_go());
            let_go.as_mut().enable();
            match self.store.purge(key, ran).await {
                // A publish that had begun goes through first.
                Err(StoreError::Busy { .. }) => {
                    let _ = tokio::time::timeout(LOOK_AGAIN, let_go).await;
                }
                done => return done.map_err(store_failure),
            }
        }
    }

    fn lane_stats(&self) -> Vec<LaneStats> {
        let now = tokio::time::Instant::now();
        let lanes = self.table.stats().into_iter();
        lanes
            .map(|lane| {
                let of_songs = lane
                    .paused_until
                    .map(|until| until.saturating_duration_since(now));
                let of_links = match lane.lane {
                    LaneId::Site(site) => self.engines.limited_for(site),
                    LaneId::Copies => None,
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

    fn site_stats(&self) -> Vec<SiteStats> {
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

/// The time after so long, in RFC 3339.
fn in_words(left: Duration) -> String {
    let until = std::time::SystemTime::now().checked_add(left);
    until
        .and_then(|until| jiff::Timestamp::try_from(until).ok())
        .map_or_else(String::new, |until| format!("{until:.0}"))
}
