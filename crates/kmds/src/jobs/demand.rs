//! A client needs a song: it is ready, or it goes to the front of the queue and the client waits.
//!
//! Owns what a request for audio does to a song's row and job (docs/api.md, "What a song's state means"). Used by `app`
//! for listeners and by [`super::renditions`] for the original of a copy. It reads no byte.

use std::sync::Arc;

use kmds_extract::{Failure, Kind};

use super::job::{Job, Status};
use super::lane::Requester;
use super::table::Table;
use super::{internal, store_failure};
use crate::store::{Key, Published, Row, State, Store, StoreError};

/// The state of a song.
pub enum Standing {
    Finished(Box<Published>),
    /// It waits, runs, or is evicted (so is one whose file is gone).
    Unfinished(Box<Row>),
    Absent(Absent),
}

/// Why a song will not become ready.
#[derive(Debug)]
pub enum Absent {
    /// It failed for good; a new fetch tries again.
    Failed(Failure),
    /// No client asked for it, or it was deleted.
    Unknown,
}

impl From<Failure> for Absent {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The rows and the jobs of songs. Cheap to clone.
#[derive(Clone)]
pub struct Demand {
    store: Store,
    table: Arc<Table>,
}

impl Demand {
    pub fn new(store: Store, table: Arc<Table>) -> Self {
        Self { store, table }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Reads a song's row and, if it is ready, checks its file; a song whose file is gone becomes evicted.
    pub async fn look(&self, key: &Key) -> Standing {
        let row = match self.store.row(key).await {
            Ok(Some(row)) => row,
            Ok(None) => return Standing::Absent(Absent::Unknown),
            Err(error) => return Standing::Absent(store_failure(error).into()),
        };
        match row.state {
            State::Deleted => Standing::Absent(Absent::Unknown),
            State::Failed => {
                let failure = row.failure;
                let unnamed = || internal("a failure without a reason");
                Standing::Absent(failure.unwrap_or_else(unnamed).into())
            }
            State::Ready => self.open(row).await,
            _ => Standing::Unfinished(Box::new(row)),
        }
    }

    async fn open(&self, mut row: Row) -> Standing {
        match self.store.open_published(&row.key).await {
            Ok(published) => Standing::Finished(Box::new(published)),
            Err(StoreError::Gone) => {
                tracing::warn!(track = %row.key.track(), "the file is gone from the drive, or was changed there");
                row.state = State::Evicted;
                Standing::Unfinished(Box::new(row))
            }
            Err(error) => Standing::Absent(store_failure(error).into()),
        }
    }

    /// The service is stopping: the song gets no job before the next start.
    pub fn is_closed(&self, key: &Key) -> bool {
        self.table.is_stopping() || self.table.is_parked(key)
    }

    /// The job of an unfinished song that a client waits for, at the front of the queue.
    /// # Errors
    /// The service is stopping, or the catalog failed.
    pub async fn first(&self, row: &Row) -> Result<Arc<Job>, Failure> {
        let job = self.job(row, true).await?;
        if !job.is_wanted() {
            self.store.promote(&row.key).await.map_err(store_failure)?;
        }
        self.table.promote(&job);
        Ok(job)
    }

    /// The job of an unfinished song that only another node waits for: it keeps its turn.
    /// # Errors
    /// As [`Self::first`].
    pub async fn in_turn(&self, row: &Row) -> Result<Arc<Job>, Failure> {
        self.job(row, false).await
    }

    async fn job(&self, row: &Row, first: bool) -> Result<Arc<Job>, Failure> {
        if self.is_closed(&row.key) {
            let sentence = "the service is stopping; ask again when it is back";
            return Err(Failure::new(Kind::Cancelled, sentence));
        }
        match self.table.get(&row.key) {
            Some(job) => Ok(job),
            None if row.state == State::Evicted => self.requeue(&row.key, first).await,
            None => self.job_again(row, first).await,
        }
    }

    /// Its job ended since the row was read, or belongs to an earlier run: reads the row's state again.
    async fn job_again(&self, row: &Row, first: bool) -> Result<Arc<Job>, Failure> {
        let now = self.store.row(&row.key).await.map_err(store_failure)?;
        if now.is_some_and(|now| now.state == State::Evicted) {
            return self.requeue(&row.key, first).await;
        }
        Ok(self.table.enqueue(&row.key, 0, row.total_bytes))
    }

    /// Queues a known song again, as the `first` or after the others.
    /// # Errors
    /// The catalog failed.
    pub async fn requeue(&self, key: &Key, first: bool) -> Result<Arc<Job>, Failure> {
        self.store
            .requeue(key, first)
            .await
            .map_err(store_failure)?;
        let requester = self.table.new_requester();
        Ok(self.table.enqueue(key, requester, None))
    }

    /// Queues a known song again after the others of this fetch.
    /// # Errors
    /// The catalog failed.
    pub async fn requeue_for(&self, key: &Key, requester: Requester) -> Result<(), Failure> {
        let known = self.store.requeue_for(key, requester.to_string()).await;
        if known.map_err(store_failure)? {
            self.table.add(key, requester, None);
        }
        Ok(())
    }

    /// Waits until the song is ready, or it is certain that it will not be.
    /// # Errors
    /// [`Absent`]: it failed, or it is unknown.
    pub async fn finished(&self, key: &Key) -> Result<Published, Absent> {
        loop {
            let row = match self.look(key).await {
                Standing::Finished(published) => return Ok(*published),
                Standing::Unfinished(row) => row,
                Standing::Absent(why) => return Err(why),
            };
            let mut watch = self.first(&row).await?.watch();
            // An error means that the job was forgotten: the row tells why.
            let _ = watch.wait_for(Status::is_over).await;
        }
    }
}
