//! Keeps files on the drive for clients that will read them by their path.
//!
//! Owns the times of holds: a request names a length of time, and the store keeps the end. A hold of a file that is not
//! there yet keeps it from the moment of its publishing. See [`Holder`] for the owners of holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::TrackId;

use super::catalog::{Held, HeldSum, Holder, blocking};
use super::error::StoreError;
use super::key::Key;
use super::{Store, needed};

/// How often it is looked whether another song is needed than the note says.
const NEEDED_EVERY: Duration = Duration::from_secs(2);

impl Store {
    /// Keeps a file for this time (`None`: until it is released), which counts as reading it. If an earlier hold of the
    /// same holder ends later, that one stays. `false` if the catalog has no such song.
    /// # Errors
    /// The catalog's own.
    pub async fn hold(
        &self,
        key: &Key,
        holder: &Holder,
        length: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let (key, holder) = (key.clone(), holder.clone());
        let catalog = &self.shared.catalog;
        let is_held = catalog
            .with(move |catalog| {
                let now = Timestamp::now();
                catalog.hold(&key, &holder, end_of(length, now), now)
            })
            .await?;
        self.tell_others().await;
        Ok(is_held)
    }

    /// Makes these the only files of this holder, each held for this time; the others are released in the same change.
    /// # Errors
    /// The catalog's own.
    pub async fn hold_only(
        &self,
        keys: Vec<Key>,
        holder: &Holder,
        length: Option<Duration>,
    ) -> Result<(), StoreError> {
        let holder = holder.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| {
                let now = Timestamp::now();
                catalog.hold_only(&keys, &holder, end_of(length, now), now)
            })
            .await?;
        self.tell_others().await;
        Ok(())
    }

    /// On a drive that several instances share, no other one evicts what is held from now on.
    async fn tell_others(&self) {
        if !self.shared.config.is_shared {
            return;
        }
        let shared = Arc::clone(&self.shared);
        if let Err(error) = blocking(move || needed::write(&shared)).await {
            tracing::warn!(%error, "the other nodes do not know what is held here, and may evict it");
        }
    }

    /// On such a drive, notes again and again which songs this instance needs. It never ends; drop it to stop.
    pub async fn note_needed(&self) {
        if !self.shared.config.is_shared {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(NEEDED_EVERY).await;
            if self.shared.recent.is_due() {
                self.tell_others().await;
            }
        }
    }

    /// Ends this holder's hold on a file. `false` if there was none.
    /// # Errors
    /// The catalog's own.
    pub async fn release(&self, key: &Key, holder: &Holder) -> Result<bool, StoreError> {
        let (key, holder) = (key.clone(), holder.clone());
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.release(&key, &holder))
            .await
            .inspect(|_| self.shared.recent.note_change())
    }

    /// Ends all holds of this holder.
    /// # Errors
    /// The catalog's own.
    pub async fn release_all(&self, holder: &Holder) -> Result<(), StoreError> {
        let holder = holder.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.release_all(&holder))
            .await
            .inspect(|()| self.shared.recent.note_change())
    }

    /// The current holds of one track, or of all.
    /// # Errors
    /// The catalog's own.
    pub async fn held(&self, track: Option<&TrackId>) -> Result<HashMap<Key, Held>, StoreError> {
        let track = track.cloned();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.held(track.as_ref(), Timestamp::now()))
            .await
    }

    /// The files that all holds together keep on the drive.
    /// # Errors
    /// The catalog's own.
    pub async fn held_sum(&self) -> Result<HeldSum, StoreError> {
        let catalog = &self.shared.catalog;
        catalog
            .with(|catalog| catalog.held_sum(Timestamp::now()))
            .await
    }
}

fn end_of(length: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    length.map(|length| now.checked_add(length).unwrap_or(Timestamp::MAX))
}
