//! The queues that clients play from, as the catalog keeps them.
//!
//! Owns no more than the way to the catalog's thread; `app` decides what a queue means.

use kmds_extract::TrackId;

use super::Store;
use super::catalog::{PlayQueue, Row, SongName};
use super::error::StoreError;
use super::key::Key;

impl Store {
    /// Writes a queue and its songs, and replaces the earlier ones.
    /// # Errors
    /// The catalog's own.
    pub async fn put_queue(&self, queue: PlayQueue, songs: Vec<String>) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.put_queue(&queue, &songs))
            .await
    }

    /// Records how many songs of a queue were begun.
    /// # Errors
    /// The catalog's own.
    pub async fn begin_queue(&self, name: &str, begun: usize) -> Result<(), StoreError> {
        let name = name.to_owned();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.begin_queue(&name, begun))
            .await
    }

    /// Ends a queue.
    /// # Errors
    /// The catalog's own.
    pub async fn forget_queue(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.forget_queue(&name))
            .await
    }

    /// All queues, ended ones too.
    /// # Errors
    /// The catalog's own.
    pub async fn queues(&self) -> Result<Vec<PlayQueue>, StoreError> {
        self.shared.catalog.with(|catalog| catalog.queues()).await
    }

    /// Songs of a queue as they were sent, from this place on, `most` at most.
    /// # Errors
    /// The catalog's own.
    pub async fn queue_songs(
        &self,
        name: &str,
        from: usize,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let name = name.to_owned();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.queue_songs(&name, from, most))
            .await
    }

    /// For each song the row that a client asked for last.
    /// # Errors
    /// The catalog's own.
    pub async fn newest_of(
        &self,
        songs: Vec<Option<SongName>>,
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let catalog = &self.shared.catalog;
        catalog.with(move |catalog| catalog.newest_of(&songs)).await
    }

    /// The forms of a song that a client removed after this queue was written.
    /// # Errors
    /// The catalog's own.
    pub async fn removed_since(&self, queue: &str, song: &TrackId) -> Result<Vec<Key>, StoreError> {
        let (queue, song) = (queue.to_owned(), song.clone());
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.removed_since(&queue, &song))
            .await
    }

    /// Calls this for each song that is evicted from now on, on a thread of the drive and while the catalog is locked.
    pub fn on_eviction(&self, call: impl Fn(&TrackId) + Send + Sync + 'static) {
        // Only the first one counts; the service sets one.
        let _ = self.shared.on_eviction.set(Box::new(call));
    }

    /// Waiting songs for which no client asks any more become evicted.
    /// # Errors
    /// The catalog's own.
    pub async fn unqueue(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        catalog.with(move |catalog| catalog.unqueue(&keys)).await
    }
}
