//! Removing songs: the row, the job, the bytes on the drive.
//!
//! Owns the order: the row is noted as deleted first, then the job ends, then the files go. A publish that has begun
//! goes through before. A removal runs in a task of its own: a client that leaves does not stop it halfway.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Failure, Kind, TrackId};

use super::api::{Key, State};
use super::{App, Inner};
use crate::jobs::{Job, Status, internal, store_failure};
use crate::store::StoreError;

/// How often to check whether a song that is being removed is still written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl App {
    /// Cancels or evicts all forms of a song at this node, held ones too; false if unknown. A client that leaves
    /// meanwhile does not stop it halfway.
    pub(super) async fn delete_here(&self, id: &TrackId) -> Result<bool, Failure> {
        let (app, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let inner = &app.inner;
            let rows = inner.store.renditions(&id).await.map_err(store_failure)?;
            let mut any = false;
            // Newest first: a copy is removed before its original.
            for row in rows.iter().rev().filter(|row| row.state != State::Deleted) {
                any = true;
                inner.delete_row(&row.key).await?;
                inner.forget_claim(&row.key).await;
            }
            Ok(any)
        })
        .await
        .unwrap_or_else(|_| Err(internal("the removal was interrupted")))
    }
}

impl Inner {
    async fn delete_row(&self, key: &Key) -> Result<(), Failure> {
        let job = self.table.get(key);
        let noted = self.store.set_state(key, State::Deleted).await;
        noted.map_err(store_failure)?;
        self.clear_away(key, job).await
    }

    /// The same for a song that waits or runs; `false` for any other song, which stays.
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

    /// Ends the job of a song whose row says deleted, and removes the song's files.
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
                // A publish that has begun finishes first.
                Err(StoreError::Busy { .. }) => {
                    let _ = tokio::time::timeout(LOOK_AGAIN, let_go).await;
                }
                done => return done.map_err(store_failure),
            }
        }
    }
}
