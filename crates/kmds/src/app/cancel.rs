//! Ends the songs of a list that still wait or run.
//!
//! Owns the choice of songs: those of every fetch of the list that no other fetch asks for, as far as the jobs know.
//! Ready songs stay. An ended song is like a removed one: `/tunnel` answers 404, and only a new fetch brings it back.

use std::collections::HashSet;

use kmds_extract::{Failure, Site};

use super::api::{Key, State};
use super::{App, Inner};
use crate::jobs::{Requester, internal, store_failure};
use crate::store::FetchedList;

/// A list that was cancelled.
#[derive(Debug, Clone, PartialEq)]
pub struct Cancelled {
    pub site: Site,
    /// The site's id of the list.
    pub id: String,
    pub ended: Vec<Ended>,
    /// Songs that another fetch asks for too.
    pub kept: usize,
}

/// A song that was ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub key: Key,
    /// Its state before.
    pub state: State,
}

impl App {
    /// Ends what of a list still waits or runs at this node; `None` if it was never fetched here. A client that leaves
    /// meanwhile does not stop it halfway.
    pub(super) async fn cancel_here(&self, list: &str) -> Result<Option<Cancelled>, Failure> {
        let link = self.inner.resolver.read(list, true).ok();
        let link = link.map(|target| target.key());
        let fetches = self.inner.store.fetches_of(list, link).await;
        let fetches = fetches.map_err(store_failure)?;
        let Some(FetchedList { site, id, .. }) = fetches.first().cloned() else {
            return Ok(None);
        };
        // Two sites may use the same id for a list: the one that was fetched last is meant.
        let requesters: Vec<Requester> = fetches
            .into_iter()
            .filter(|fetch| fetch.site == site)
            .filter_map(|fetch| fetch.requester.parse().ok())
            .collect();
        let app = self.clone();
        let ending = tokio::spawn(async move { app.inner.end_songs_of(requesters).await });
        let (ended, kept) = ending
            .await
            .unwrap_or_else(|_| Err(internal("the cancelling was interrupted")))?;
        Ok(Some(Cancelled {
            site,
            id,
            ended,
            kept,
        }))
    }
}

impl Inner {
    async fn end_songs_of(&self, numbers: Vec<Requester>) -> Result<(Vec<Ended>, usize), Failure> {
        self.windows.end(&numbers);
        let gate = self.gate.write().await;
        let rows = self.store.pending_rows().await;
        let (copies, originals): (Vec<Key>, Vec<Key>) = rows
            .map_err(store_failure)?
            .into_iter()
            .map(|row| row.key)
            .partition(Key::is_copy);
        // All at once, so that none of them takes the place of another that ends.
        let withdrawn = self.table.withdraw(&originals, &numbers);
        let mut ended = Vec::new();
        let mut jobs = Vec::new();
        let mut failure = None;
        for (job, state) in withdrawn.ended {
            let key = job.key.clone();
            match self.store.delete_pending(&key).await {
                Ok(true) => ended.push(Ended { key, state }),
                Ok(false) => {}
                // The others are removed from the queue already, so they must end too.
                Err(error) => failure = failure.or(Some(store_failure(error))),
            }
            // From now on a request for the song is a new one.
            job.cancel.cancel();
            jobs.push(job);
        }
        drop(gate);
        for job in jobs {
            let key = job.key.clone();
            if let Err(error) = self.clear_away(&key, Some(job)).await {
                failure = failure.or(Some(error));
            }
        }
        let tracks: HashSet<_> = ended.iter().map(|one| one.key.track().clone()).collect();
        for copy in copies.iter().filter(|copy| tracks.contains(copy.track())) {
            self.end_row(copy).await?;
        }
        match failure {
            None => Ok((ended, withdrawn.kept)),
            Some(failure) => Err(failure),
        }
    }
}
