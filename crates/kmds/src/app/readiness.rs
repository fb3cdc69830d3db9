//! Whether the service can do its work.
//!
//! Owns what `/readyz` looks at, and the sentence for each thing that is wrong. Every look asks the catalog and the
//! drive.

use kmds_extract::Site;

use super::App;
use super::api::{Readiness, SiteStats};

impl App {
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
        // If one site is open, the service can work.
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

    /// The problem if this node does not work among others; `None` if it does, or if there is no cluster.
    fn without_nodes(&self, fetches_nothing: bool) -> Option<String> {
        let peers = &self.inner.peers;
        let is_connected = peers.is_connected() == Some(true);
        // A door does not fetch, so it needs no bucket of songs.
        let alone = peers
            .why_alone()
            .filter(|_| !is_connected || !fetches_nothing);
        let (why, setting) = match alone {
            Some(why) => why,
            None if fetches_nothing && !peers.are_none() && !peers.any_fetch() => {
                let why = "no node of the cluster fetches from a site now".to_owned();
                (why, "the other nodes")
            }
            None => return None,
        };
        let meaning = if fetches_nothing {
            "this node fetches from no site, so it serves only finished songs"
        } else if is_connected {
            "several nodes may fetch the same song"
        } else {
            "this node works alone"
        };
        Some(format!("{why}: {meaning}; look at {setting}"))
    }
}
