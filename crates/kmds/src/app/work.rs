//! One job from its start to its end: which stream, again how often, checked, published.
//!
//! Owns the life of a job from its row to its file or its failure, what each trouble of a download leads to (field notes,
//! failure tables), and the second engine's turn. Hides engines and retries; which streams are tried is [`super::streams`]'.
//! Never decides which job runs, never moves bytes itself: [`super::pump`] does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_extract::choose::{Choice, choose};
use kmds_extract::recipes::Times;
use kmds_extract::{ExtractError, Format, Kind, Site, Source, Stream};

use super::attempts::Attempts;
use super::flight::{Job, Status};
use super::pump::{PumpError, Yield};
use super::resolve::now_unix;
use super::words::{Failure, State};
use super::{Inner, forms};
use crate::download::{DownloadError, Remedy};
use crate::engine::Engine;
use crate::store::{self, Lease, Publish, StoreError};

/// A cancelled job lets go of its song within this, and how often that is looked at.
const LET_GO_WITHIN: Duration = Duration::from_secs(30);
const LET_GO_LOOK: Duration = Duration::from_millis(20);

/// How a job ends when it does not succeed.
#[derive(Debug)]
pub enum End {
    Failed(Failure),
    /// The site limits us: the bytes are kept, the job waits its turn again.
    Limited {
        told: Option<Duration>,
        failure: Failure,
    },
    /// Its audio cannot be had before then: it leaves its place to others.
    NotBefore(Instant),
    /// Cancelled, or the service stops: the catalog decides what happens next.
    Stopped,
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failure::new(error.kind(), error.to_string()))
    }
}

/// Trouble with one stream, and whether another one may do better.
pub(super) enum Trouble {
    /// Ask the site for the song again, and go on with what was kept.
    AskAgain(Failure),
    /// Ask the site for the song again, once: what it sends is held back. If that brings nothing better, it must do.
    Slow,
    /// This client gets no more: ask the site for the song again as another one, if there is one, and go on with what was
    /// kept; else the second engine.
    Walled(Failure, bool),
    /// The next encoding of the song, then the second engine.
    Next(Failure),
    /// This encoding is switched off. When all are, the site's reason depends on what else it lists.
    Gone,
    End(End),
}

impl Inner {
    /// Runs one job; afterwards its row and its watchers know how it ended.
    pub(super) async fn run(self: &Arc<Self>, job: &Arc<Job>) {
        let end = tokio::select! {
            end = self.attempt(job) => end,
            () = job.cancel.cancelled() => Err(End::Stopped),
        };
        match end {
            Ok(format) => {
                self.metrics.job_done(job.key.track().site(), None);
                self.jobs.finish(job, Ok(format), true);
            }
            Err(End::Failed(failure)) if self.is_stopping() && failure.retryable() => {
                tracing::debug!(track = %job.key.track(), "stopped: {failure}");
                self.jobs.park(job, failure);
            }
            Err(End::Failed(failure)) => {
                if self.give_up(job, failure).await {
                    self.start_if_queued(job).await;
                }
            }
            Err(End::Limited { told, failure }) => self.wait_for_limit(job, told, failure).await,
            Err(End::NotBefore(until)) => {
                self.queue_again(job, || self.jobs.hold_back(job, until))
                    .await
            }
            // Whoever waits looks at the row again: it was removed, or goes on at the next start.
            Err(End::Stopped) => self.stopped(job).await,
        }
    }

    /// A stop never makes a song fail: what breaks while the tools beside us are stopped too is tried again at the next
    /// start, and nobody is told that it failed.
    fn is_stopping(&self) -> bool {
        self.stop.is_cancelled() || self.closing.is_cancelled()
    }

    async fn stopped(&self, job: &Job) {
        if self.stop.is_cancelled() {
            return self.jobs.park(job, cancelled());
        }
        self.jobs.finish(job, Err(cancelled()), true);
        self.start_if_queued(job).await;
    }

    /// Someone may have queued the song again between the note of its end and the end of its job, and found this job.
    async fn start_if_queued(&self, job: &Job) {
        if self.stop.is_cancelled() {
            return;
        }
        if let Ok(Some(row)) = self.store.row(&job.key).await
            && row.state == State::Queued
        {
            self.jobs.add(&job.key, job.requester, row.total_bytes);
        }
    }

    /// Whether the failure could be noted.
    pub(super) async fn give_up(&self, job: &Job, failure: Failure) -> bool {
        tracing::warn!(track = %job.key.track(), kind = failure.kind.as_str(), "failed: {failure}");
        self.metrics
            .job_done(job.key.track().site(), Some(failure.kind));
        let now = jiff::Timestamp::now();
        let noted = self.store.fail(&job.key, failure.clone(), now).await;
        if let Err(error) = &noted {
            tracing::error!(track = %job.key.track(), %error, "the failure could not be noted");
        }
        self.jobs.finish(job, Err(failure), true);
        noted.is_ok()
    }

    /// Jobs wait for a site's limit, up to a point; requests do not.
    async fn wait_for_limit(&self, job: &Job, told: Option<Duration>, failure: Failure) {
        if job.cancel.is_cancelled() {
            return self.stopped(job).await;
        }
        let Some(wait) = job.wait_for_limit(told, Duration::MAX, &self.recipes.current()) else {
            self.give_up(
                job,
                Failure {
                    kind: Kind::RateLimited,
                    ..failure
                },
            )
            .await;
            return;
        };
        tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "the site limits us; waiting");
        self.queue_again(job, || self.jobs.again(job, wait)).await;
    }

    async fn queue_again(&self, job: &Job, put_back: impl FnOnce()) {
        if let Err(error) = self.store.set_state(&job.key, State::Queued).await {
            tracing::error!(track = %job.key.track(), %error, "the queue could not be noted");
        }
        if job.cancel.is_cancelled() {
            return self.stopped(job).await;
        }
        put_back();
    }

    /// The right to write the song, once an earlier job that was cancelled has let go of it.
    async fn lease(&self, key: &super::Key) -> Result<Lease, End> {
        let begun = tokio::time::Instant::now();
        loop {
            match self.store.lease(key).await {
                Err(StoreError::Busy { .. }) if begun.elapsed() < LET_GO_WITHIN => {
                    tokio::time::sleep(LET_GO_LOOK).await
                }
                done => return Ok(done?),
            }
        }
    }

    /// All attempts at one song; the format of what was published.
    async fn attempt(self: &Arc<Self>, job: &Arc<Job>) -> Result<Format, End> {
        let key = &job.key;
        let (Some(row), Some(track)) = (
            self.store.row(key).await?,
            self.store.track(key.track()).await?,
        ) else {
            return Err(End::Stopped);
        };
        match row.state {
            // The job was made from an older look at the row.
            State::Ready => return Ok(row.format),
            State::Failed => {
                return Err(End::Failed(row.failure.unwrap_or_else(cancelled)));
            }
            State::Deleted | State::Evicted => return Err(End::Stopped),
            State::Queued | State::Downloading | State::Converting => {}
        }
        let site = key.track().site();
        if !self.sites.get(&site).copied().unwrap_or(false) {
            let sentence = format!("{site} is switched off here (`{}.enabled`)", site.as_str());
            return Err(End::Failed(Failure::new(Kind::UnsupportedLink, sentence)));
        }
        if key.is_copy() {
            return self.make_copy(job, &track).await;
        }
        self.jobs.change(job, |status| {
            (status.state, status.waits_until) = (State::Downloading, None)
        });
        self.store.set_state(key, State::Downloading).await?;
        let mut lease = self.lease(key).await?;
        let mut song = Attempts::new(track, row);
        let first = match self.try_streams(job, &mut lease, &mut song).await {
            Ok(done) => return self.publish(job, lease, &song, done).await,
            Err(Trouble::End(end)) => return Err(end),
            Err(
                Trouble::Next(failure) | Trouble::AskAgain(failure) | Trouble::Walled(failure, _),
            ) => failure,
            Err(Trouble::Gone | Trouble::Slow) => {
                Failure::from(&kmds_extract::all_gone(&song.track))
            }
        };
        match self.try_rescue(job, &mut lease, &mut song, &first).await {
            Some(done) => self.publish(job, lease, &song, done).await,
            None => {
                if matches!(first.kind, Kind::Truncated) {
                    // These bytes are known to be bad.
                    let _ = lease.discard().await;
                }
                Err(End::Failed(first))
            }
        }
    }

    /// One stream: located, downloaded, treated.
    pub(super) async fn try_one(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        song: &mut Attempts,
        choice: &Choice,
        engine: Engine,
    ) -> Result<Yield, Trouble> {
        let stream = match self.engines.locate(&choice.stream).await {
            Ok(stream) => stream,
            Err(ExtractError::StreamGone { .. }) => return Err(Trouble::Gone),
            Err(error) => return Err(extract_trouble(&error)),
        };
        let choice = Choice {
            stream,
            treatment: choice.treatment,
        };
        self.wait_for_advertisement(job, song, &choice.stream, engine)
            .await?;
        loop {
            let error = match self.pump(job, lease, song, &choice, engine).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match self.trouble(error, lease, song, &choice, engine).await? {
                None => {}
                Some(trouble) => return Err(trouble),
            }
        }
    }

    /// What a failed download leads to; `None`: the same stream once more, from the start.
    async fn trouble(
        &self,
        error: PumpError,
        lease: &mut Lease,
        song: &mut Attempts,
        choice: &Choice,
        engine: Engine,
    ) -> Result<Option<Trouble>, Trouble> {
        let error = match error {
            PumpError::Store(error) => return Err(Trouble::End(error.into())),
            PumpError::Convert(failure) => return Err(Trouble::End(End::Failed(failure))),
            PumpError::Download(DownloadError::Slow { .. }) => return Ok(Some(Trouble::Slow)),
            PumpError::Broken(what) => {
                return self.broken(what, lease, song, choice.stream.site).await;
            }
            PumpError::Download(error) => error,
        };
        tracing::debug!(track = %song.track.id, stream = choice.stream.label, %error, "the download stopped");
        let failure = Failure::new(error.kind(), error.to_string());
        Ok(Some(match error.remedy() {
            Remedy::AskAgain { times } if let DownloadError::Denied { at, .. } = error => {
                self.denied(at, times, failure, song, choice, engine)
            }
            Remedy::AskAgain { times } if song.asked < times => Trouble::AskAgain(failure),
            Remedy::Wait(told) => Trouble::End(End::Limited { told, failure }),
            Remedy::StartOver if !song.restarted => {
                song.restarted = true;
                lease
                    .restart()
                    .await
                    .map_err(|error| Trouble::End(error.into()))?;
                return Ok(None);
            }
            Remedy::StartOver => {
                lease
                    .restart()
                    .await
                    .map_err(|error| Trouble::End(error.into()))?;
                Trouble::Next(failure)
            }
            Remedy::None if error.is_of_all_streams() => Trouble::End(End::Failed(failure)),
            Remedy::AskAgain { .. } | Remedy::None => Trouble::Next(failure),
        }))
    }

    /// A fresh URL, until several of them were refused at the same byte: then another client, and where there is none, what
    /// no byte has come of yet may come as another encoding.
    fn denied(
        &self,
        at: u64,
        times: u32,
        failure: Failure,
        song: &mut Attempts,
        choice: &Choice,
        engine: Engine,
    ) -> Trouble {
        if !song.meets_wall(at, times) {
            return Trouble::AskAgain(failure);
        }
        song.walled.push(choice.stream.client.clone());
        match self.engines.walled(&choice.stream, engine, at) {
            false if at == 0 => Trouble::Next(failure),
            another => Trouble::Walled(failure, another),
        }
    }

    /// The site refuses audio while it believes that an advertisement runs; a job that waits for that is queued. It leaves
    /// its place to others, unless that would lose what it has learnt of the song.
    async fn wait_for_advertisement(
        &self,
        job: &Job,
        song: &Attempts,
        stream: &Stream,
        engine: Engine,
    ) -> Result<(), Trouble> {
        let most = Times::seconds(self.recipes.current().youtube.advertisement_wait);
        let left = stream
            .available_unix
            .map_or(0, |until| until.saturating_sub(now_unix()));
        let wait = Duration::from_secs(left).min(most);
        if wait.is_zero() {
            return Ok(());
        }
        tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "waiting for the site's advertisements to end");
        let until = Instant::now() + wait;
        if engine == Engine::Native && song.is_fresh() && job.may_be_held_back() {
            return Err(Trouble::End(End::NotBefore(until)));
        }
        self.jobs.change(job, |status| {
            (status.state, status.waits_until) = (State::Queued, Some(until))
        });
        tokio::time::sleep(wait).await;
        self.jobs.change(job, |status| {
            (status.state, status.waits_until) = (State::Downloading, None)
        });
        Ok(())
    }

    /// Whole by its length, but not by its content: once more, then another encoding.
    async fn broken(
        &self,
        what: String,
        lease: &mut Lease,
        song: &mut Attempts,
        site: Site,
    ) -> Result<Option<Trouble>, Trouble> {
        tracing::warn!(track = %song.track.id, what, "what arrived is not whole");
        lease
            .restart()
            .await
            .map_err(|error| Trouble::End(error.into()))?;
        if !song.restarted {
            song.restarted = true;
            return Ok(None);
        }
        let sentence = format!("{site} sent audio that is not whole ({what}); try again later");
        Ok(Some(Trouble::Next(Failure::new(Kind::Truncated, sentence))))
    }

    /// The second engine's streams, after the native ones would not download.
    async fn try_rescue(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        song: &mut Attempts,
        failure: &Failure,
    ) -> Option<Yield> {
        let may = matches!(
            failure.kind,
            Kind::OriginRefused | Kind::OriginFailed | Kind::Truncated | Kind::PageChanged
        ) || (failure.kind == Kind::Unavailable && song.track.withheld.is_some());
        if !may || matches!(song.track.source, Source::Other { .. }) {
            return None;
        }
        tracing::info!(track = %song.track.id, "asking yt-dlp for the audio: {failure}");
        let track = self.engines.rescue(&song.track, &song.accept).await?;
        for choice in choose(&track.streams, &song.accept) {
            match self.try_one(job, lease, song, &choice, Engine::YtDlp).await {
                Ok(done) => return Some(done),
                Err(Trouble::End(_)) => return None,
                Err(
                    Trouble::Next(_)
                    | Trouble::AskAgain(_)
                    | Trouble::Walled(..)
                    | Trouble::Slow
                    | Trouble::Gone,
                ) => {}
            }
        }
        None
    }

    async fn publish(
        &self,
        job: &Job,
        lease: Lease,
        song: &Attempts,
        done: Yield,
    ) -> Result<Format, End> {
        let format = done.format;
        let human_name = forms::rename(&song.human_name, format.ext());
        let publish = Publish {
            track: song.track.clone(),
            format,
            human_name,
            stream: done.stream,
            checked: done.checked,
        };
        let row = lease.publish(publish).await?;
        tracing::info!(
            track = %job.key.track(),
            title = ?song.track.title,
            bytes = row.size_bytes.unwrap_or(0),
            ext = format.ext(),
            "ready"
        );
        Ok(format)
    }
}

fn cancelled() -> Failure {
    Failure::new(
        Kind::Cancelled,
        "the song was removed, or the service is stopping; fetch it again",
    )
}

/// Where a job's watchers find its growing file.
pub(super) fn show(status: &mut Status, partial: Arc<store::Partial>, format: Format) {
    status.partial = Some(partial);
    status.format = Some(format);
}

/// What a failed request for metadata or a stream's URL leads to.
pub(super) fn extract_trouble(error: &ExtractError) -> Trouble {
    let failure = Failure::from(error);
    if matches!(error, ExtractError::RateLimited { .. }) {
        return Trouble::End(End::Limited {
            told: failure.retry_after,
            failure,
        });
    }
    // The engines have tried each other already.
    Trouble::End(End::Failed(failure))
}
