//! Starts jobs, each in its own task, and records how each one ended.
//!
//! Owns the tasks: the dispatcher, which takes what the queue allows until the service stops, and one for each job. A
//! cancelled job is dropped at the point where it waits; a panic in one job fails only that job. [`Workers::stopped`]
//! waits for all.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kmds_extract::{Failure, Format, Kind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempts::{End, of_limit};
use super::fill::{LONGEST_HELD_WAIT, Work};
use super::job::Job;
use super::run::Run;
use super::{Context, elsewhere, internal, renditions};
use crate::cluster::Closed;
use crate::store::State;

/// A node may come that the site does not limit: after so long it is looked for one.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The tasks that make songs. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    at: Arc<Context>,
    /// Cancelled when every job has to end.
    stop: CancellationToken,
    /// Cancelled when the service is about to stop.
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Workers {
    pub fn new(at: Context, stop: CancellationToken, closing: CancellationToken) -> Self {
        Self {
            at: Arc::new(at),
            stop,
            closing,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts jobs from now on, until the stop token is cancelled. Returns at once.
    pub fn start(&self) {
        let workers = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = workers.dispatch() => {}
                () = workers.stop.cancelled() => {}
            }
        });
    }

    /// Waits until no job runs, after the stop token was cancelled: the jobs have flushed their files.
    pub async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn dispatch(&self) {
        loop {
            let job = self.at.table().next().await;
            let workers = self.clone();
            self.tasks.spawn(async move {
                // A bug in one song's work must end that song only, and free its place in the queue.
                let work = AssertUnwindSafe(workers.work(&job)).catch_unwind();
                if work.await.is_err() {
                    let broken = internal("the work on this song was interrupted");
                    workers.give_up(&job, broken).await;
                }
            });
        }
    }

    /// Runs one job; afterwards its row and its watchers know how it ended.
    async fn work(&self, job: &Job) {
        let end = tokio::select! {
            end = self.attempt(job) => end,
            () = job.cancel.cancelled() => Err(End::Stopped),
        };
        match end {
            Ok(format) => {
                self.at.metrics.job_done(job.key.track().site(), None);
                self.at.table().finish(job, Ok(format), true);
            }
            Err(End::Failed(failure)) if self.is_stopping() && failure.retryable() => {
                tracing::debug!(track = %job.key.track(), "stopped: {failure}");
                self.at.table().park(job, failure);
            }
            Err(End::Failed(failure)) => {
                if self.give_up(job, failure).await {
                    self.start_if_queued(job).await;
                }
            }
            Err(End::Limited { told, failure }) => self.wait_for_limit(job, told, failure).await,
            Err(End::NotBefore(until)) => {
                let hold_back = || self.at.table().hold_back(job, until);
                self.requeue(job, hold_back).await;
            }
            Err(End::AllLimited(closed)) => self.wait_for_a_node(job, closed).await,
            Err(End::HandedOver(relay)) => {
                let hand_over = || self.at.table().hand_over(job, relay);
                self.requeue(job, hand_over).await;
            }
            // Waiting clients read the row again: the song was removed, or continues at the next start.
            Err(End::Stopped) => self.end_cancelled(job).await,
        }
    }

    /// The work that the job's row asks for.
    async fn attempt(&self, job: &Job) -> Result<Format, End> {
        let (store, key) = (&self.at.store, &job.key);
        let (Some(row), Some(track)) = (store.row(key).await?, store.track(key.track()).await?)
        else {
            return Err(End::Stopped);
        };
        match row.state {
            // The job was made from an older state of the row.
            State::Ready => return Ok(row.format),
            State::Failed => return Err(End::Failed(row.failure.unwrap_or_else(cancelled))),
            State::Deleted | State::Evicted => return Err(End::Stopped),
            State::Queued | State::Downloading | State::Converting => {}
        }
        let site = key.track().site();
        let fetches = self.at.fetches(site);
        let is_alone = self.at.peers.are_none();
        if !fetches && is_alone {
            let sentence = format!("{site} is switched off here (`{}.enabled`)", site.as_str());
            return Err(End::Failed(Failure::new(Kind::UnsupportedLink, sentence)));
        }
        let work = Work { at: &self.at, job };
        if key.is_copy() {
            return renditions::make(work, &track).await;
        }
        if !is_alone {
            return elsewhere::make(work, track, row, fetches).await;
        }
        Run::begin(work, track, row).await?.finish().await
    }

    /// A stop never makes a song fail. If a step fails because its tools are stopped too, the next start tries it
    /// again, and no client is told that it failed.
    fn is_stopping(&self) -> bool {
        self.stop.is_cancelled() || self.closing.is_cancelled()
    }

    async fn end_cancelled(&self, job: &Job) {
        if self.stop.is_cancelled() {
            return self.at.table().park(job, cancelled());
        }
        self.at.table().finish(job, Err(cancelled()), true);
        self.start_if_queued(job).await;
    }

    /// A client may have queued the song again after its end was written and before the job ended, and so found this
    /// job.
    async fn start_if_queued(&self, job: &Job) {
        if self.stop.is_cancelled() {
            return;
        }
        if let Ok(Some(row)) = self.at.store.row(&job.key).await
            && row.state == State::Queued
        {
            self.at
                .table()
                .add(&job.key, job.requester, row.total_bytes);
        }
    }

    /// Returns whether the failure could be written.
    async fn give_up(&self, job: &Job, failure: Failure) -> bool {
        tracing::warn!(track = %job.key.track(), kind = failure.kind.as_str(), "failed: {failure}");
        let site = job.key.track().site();
        self.at.metrics.job_done(site, Some(failure.kind));
        let now = jiff::Timestamp::now();
        let noted = self.at.store.fail(&job.key, failure.clone(), now).await;
        if let Err(error) = &noted {
            tracing::error!(track = %job.key.track(), %error, "the failure could not be recorded");
        }
        self.at.table().finish(job, Err(failure), true);
        noted.is_ok()
    }

    /// Jobs wait for a site's limit, within bounds; requests do not.
    async fn wait_for_limit(&self, job: &Job, told: Option<Duration>, failure: Failure) {
        if job.cancel.is_cancelled() {
            return self.end_cancelled(job).await;
        }
        let recipes = self.at.recipes.current();
        let Some(wait) = job.wait_for_limit(told, Duration::MAX, &recipes) else {
            self.give_up(job, of_limit(failure)).await;
            return;
        };
        if wait > LONGEST_HELD_WAIT {
            // Its listeners are cut: they would wait too long.
            drop(job.take_lease());
        }
        tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "the site limits us; waiting");
        let requeue = || {
            let (table, now) = (self.at.table(), Instant::now());
            if self.at.peers.are_none() {
                table.requeue_after(job, wait);
            } else if let Some(closed) = self.at.all_closed(job.key.track().site()) {
                let again = now + closed.left.min(LOOK_AGAIN);
                table.hold_back_and_pause(job, now + wait, again);
            } else {
                // Other nodes fetch the site's other songs meanwhile.
                table.hold_back(job, now + wait);
            }
        };
        self.requeue(job, requeue).await;
    }

    /// The site's songs wait for the first node that may ask it. The song itself was not refused: its pauses do not grow.
    async fn wait_for_a_node(&self, job: &Job, closed: Closed) {
        let (now, site) = (Instant::now(), job.key.track().site());
        let Closed { left: wait, kind } = closed;
        if wait > self.at.recipes.current().time.limit_wait {
            let sentence = format!("{site} limits the addresses of all nodes");
            let limited = Failure::new(kind, sentence).after(wait);
            self.give_up(job, limited).await;
            return;
        }
        tracing::debug!(track = %job.key.track(), wait_ms = wait.as_millis(), "the site limits all nodes; waiting");
        let again = now + wait.min(LOOK_AGAIN);
        let requeue = || self.at.table().requeue_first(job, now + wait, again);
        self.requeue(job, requeue).await;
    }

    async fn requeue(&self, job: &Job, put_back: impl FnOnce()) {
        let key = &job.key;
        if let Err(error) = self.at.store.set_state(key, State::Queued).await {
            tracing::error!(track = %key.track(), %error, "the queue could not be recorded");
        }
        if job.cancel.is_cancelled() {
            return self.end_cancelled(job).await;
        }
        put_back();
    }
}

fn cancelled() -> Failure {
    Failure::new(
        Kind::Cancelled,
        "the song was removed, or the service is stopping; fetch it again",
    )
}
