//! The queues that clients play from, as the catalog keeps them.
//!
//! Owns no more than the way to the catalog's thread; `app` decides what a queue means.

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

    /// Waiting songs for which no client asks any more become evicted.
    /// # Errors
    /// The catalog's own.
    pub async fn unqueue(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        catalog.with(move |catalog| catalog.unqueue(&keys)).await
    }
}
