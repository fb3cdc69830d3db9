//! Holds: files that stay on the drive for clients that read them by their path.
//!
//! Owns the requests of clients and the operator for holds. The store keeps the holds, and eviction asks the store.
//! This module never starts a download.

use std::time::Duration;

use kmds_extract::{Failure, TrackId};

use super::api::{Holder, Key, Song};
use super::{App, Inner};
use crate::jobs::store_failure;

impl App {
    /// Keeps the file of a form from eviction for this time (`None`: until it is released), from the moment when it
    /// exists. If an earlier hold of the same holder ends later, that one stays. `false` if no client asked for the
    /// form.
    /// # Errors
    /// The catalog failed.
    pub async fn hold(
        &self,
        key: &Key,
        holder: &Holder,
        length: Option<Duration>,
    ) -> Result<bool, Failure> {
        let held = self.inner.store.hold(key, holder, length).await;
        held.map_err(store_failure)
    }

    /// Ends this holder's hold on a form, if there is one.
    /// # Errors
    /// The catalog failed.
    pub async fn release(&self, key: &Key, holder: &Holder) -> Result<(), Failure> {
        let released = self.inner.store.release(key, holder).await;
        released.map(drop).map_err(store_failure)
    }
}

impl Inner {
    /// Adds to each song how long its file is held; with `track`, only for songs of that track.
    pub(super) async fn note_holds(
        &self,
        track: Option<&TrackId>,
        songs: &mut [Song],
    ) -> Result<(), Failure> {
        let held = self.store.held(track).await.map_err(store_failure)?;
        if held.is_empty() {
            return Ok(());
        }
        for song in songs {
            song.held = held.get(&song.key).copied();
        }
        Ok(())
    }
}
