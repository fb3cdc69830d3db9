//! Files that are kept on the drive for those who read them by their path.
//!
//! Owns what clients and the operator ask of holds; the store keeps them, and eviction asks it. Never starts a download.

use std::time::Duration;

use kmds_extract::{Failure, TrackId};

use super::api::{Holder, Key, Song};
use super::{App, Inner};
use crate::jobs::store_failure;

impl App {
    /// Keeps the file of a form from eviction for so long (`None`: until it is released), from when it is there on. An earlier
    /// hold of the same holder that ends later stays. `false` if the form was never asked for.
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
    /// Notes on songs, all of one track if one is named, how long their files are kept.
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
