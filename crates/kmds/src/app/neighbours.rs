//! What this node tells and answers other nodes.
//!
//! Owns the answers to their questions: metadata and searches asked of the sites from here, and songs that are made
//! here for them. This node never passes a question on to a third node: the asking node chooses which nodes it asks.

use std::time::Duration;

use kmds_extract::{Failure, Kind, Site};

use super::api::{ClusterStats, NodeSiteStats, NodeStats};
use super::{App, Inner};
use crate::cluster::{Closed, NodeReport, Question, Reply, SiteReport, SongWanted, longer};
use crate::jobs::{LaneId, store_failure};
use crate::store::{Accepted, Key, StoreError};

impl App {
    /// The sites that this node fetches from, as they are now.
    #[must_use]
    pub fn told_of_sites(&self) -> Vec<SiteReport> {
        let inner = &self.inner;
        let now = tokio::time::Instant::now();
        let lanes = inner.table.stats().into_iter();
        let told = lanes.filter_map(|lane| {
            let LaneId::Site(site) = lane.lane else {
                return None;
            };
            let paused = lane
                .paused_until
                .map(|until| until.saturating_duration_since(now));
            let limited = inner.limited(site, paused);
            let count = |songs: usize| i64::try_from(songs).unwrap_or(i64::MAX);
            inner.fetches_from(site).then(|| SiteReport {
                site: site.as_str().to_owned(),
                free: count(lane.limit) - count(lane.running) - count(lane.waiting),
                limited_seconds: limited.map(|closed| closed.left.as_secs() + 1),
                is_challenged: limited.is_some_and(|closed| closed.kind == Kind::BotCheck),
            })
        });
        told.collect()
    }

    /// Answers another node.
    pub async fn answer(&self, question: Question) -> Reply {
        let inner = &self.inner;
        let answer = match question {
            Question::Link { link, accept } => inner.resolver.resolve_here(&link, &accept).await,
            Question::Search { at, words } => inner.resolver.search_here(&at, &words).await,
            Question::Song(wanted) => inner.make_for_another(*wanted).await,
            Question::Sees { file } => Ok(Reply::Sees(inner.store.sees(&file).await)),
            other => self.do_for_node(other).await,
        };
        answer.unwrap_or_else(Reply::Refused)
    }
}

impl Inner {
    pub(super) fn cluster_stats(&self) -> Option<ClusterStats> {
        let site = |told: SiteReport| NodeSiteStats {
            site: told.site,
            free: told.free,
            limited_seconds: told.limited_seconds,
        };
        let node = |told: NodeReport| NodeStats {
            node: told.node,
            version: told.version,
            address: told.address,
            sites: told.sites.into_iter().map(site).collect(),
        };
        Some(ClusterStats {
            connected: self.peers.is_connected()?,
            nodes: self.peers.nodes().into_iter().map(node).collect(),
        })
    }

    fn fetches_from(&self, site: Site) -> bool {
        self.sites.get(&site).copied().unwrap_or(false) && self.client.closed(site).is_none()
    }

    /// How long the site limits this node, and why. `paused`: its songs wait for so long.
    fn limited(&self, site: Site, paused: Option<Duration>) -> Option<Closed> {
        let said = self.engines.limited(site);
        let said = longer(said.as_ref().and_then(Closed::by), self.peers.closed(site));
        let kind = said.map_or(Kind::RateLimited, |closed| closed.kind);
        longer(said, paused.map(|left| Closed { left, kind }))
    }

    /// How long no node that fetches from the site may ask it; `None` where one may.
    pub(super) fn first_pause(&self, site: Site) -> Option<Duration> {
        let own = self.fetches_from(site).then(|| self.pause_of(site));
        let first = self.peers.first_closed(site, own);
        first.map(|closed| closed.left)
    }

    fn pause_of(&self, site: Site) -> Option<Closed> {
        let now = tokio::time::Instant::now();
        let lanes = self.table.stats().into_iter();
        let paused = lanes
            .filter(|lane| lane.lane == LaneId::Site(site))
            .find_map(|lane| lane.paused_until);
        self.limited(
            site,
            paused.map(|until| until.saturating_duration_since(now)),
        )
    }

    /// Accepts a song as if a client had asked for it.
    async fn make_for_another(&self, wanted: SongWanted) -> Result<Reply, Failure> {
        let SongWanted {
            track,
            form,
            accept,
            human_name,
            listened,
            requester,
        } = wanted;
        let site = track.id.site();
        if !self.fetches_from(site) {
            let sentence = format!("{site} is not asked from this node");
            return Err(Failure::new(Kind::RateLimited, sentence));
        }
        if let Some(closed) = self.pause_of(site) {
            return Err(closed.not_asked(site));
        }
        let requester = self.table.requester_of_node(requester);
        let key = Key::original(track.id.clone(), form);
        let accepted = Accepted {
            canonical_name: format!("{}.{form}", track.id),
            key,
            track,
            listed: true,
            human_name,
            format: form,
            total_bytes: None,
            approximate_bytes: None,
            accept,
            requester: requester.to_string(),
            enqueue: true,
        };
        let room = self.queue_max_songs.saturating_sub(self.table.waiting());
        let rows = match self.store.accept_within(vec![accepted], room).await {
            Err(StoreError::QueueFull) => return Err(self.queue_full()),
            done => done.map_err(store_failure)?,
        };
        for done in rows.into_iter().filter(|done| done.row.state.is_pending()) {
            self.table
                .add_for_node(&done.row.key, requester, done.row.total_bytes);
            if listened {
                tracing::debug!(track = %done.row.key.track(), "a client of another node waits for it");
                self.demand.first(&done.row).await?;
            }
        }
        Ok(Reply::Taken)
    }
}
