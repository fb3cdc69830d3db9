//! Audio for a listener: whole, or as it arrives.
//!
//! Owns how long a request waits, and its answer meanwhile (docs/api.md, "What a song's state means").
//! [`Demand`](crate::jobs::Demand) owns the effects on the song's row and job. This module never reads a byte. Dropping
//! a request stops no download.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kmds_extract::Failure;
use tokio::time::Instant;

use super::api::{Audio, Found, Key, NotServed, State, Want};
use super::{App, Inner};
use crate::cluster::{LEAST_PAUSE, is_of_address};
use crate::jobs::{Absent, Job, Standing, Status, names, store_failure};
use crate::store::{Published, Row};

/// An answer to a request that does not wait starts within 2 s (docs/api.md, "GET /tunnel").
const ANSWER_WITHIN: Duration = Duration::from_millis(1_800);

impl App {
    /// The song of a file name.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn find(&self, name: &str) -> Result<Found, Failure> {
        let found = self.inner.find_everywhere(name).await;
        found.map_err(store_failure)
    }

    /// The audio of one song in one form, for a client that plays it: its queue is at this song.
    /// # Errors
    /// As [`App::audio`].
    pub async fn played(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        if !want.only_looks() {
            self.inner.queues.begin(key.track());
        }
        self.audio(key, want).await
    }

    /// The audio of one song in one form. Moves no queue.
    /// # Errors
    /// [`NotServed`]: not finished, failed, or never asked for.
    pub async fn audio(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        let audio = self.audio_of(key, want).await?;
        // Songs under way have moved the window already.
        if audio.finished && !want.only_looks() {
            self.inner.move_window(key).await?;
        }
        Ok(audio)
    }

    async fn audio_of(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        let audio = match want {
            Want::WholeWithin(limit) => self.within(limit, key, self.inner.whole(key)).await,
            Want::PeekWithin(limit) => self.within(limit, key, self.inner.settled(key)).await,
            Want::Stream => self.inner.stream(key, false, true).await,
            Want::StreamToNode { listened } => self.inner.stream(key, true, listened).await,
            Want::Peek | Want::PeekStream | Want::Whole => {
                let answer =
                    tokio::time::timeout(ANSWER_WITHIN, self.inner.audio_now(key, want)).await;
                // The drive or the catalog is slow: the client is told to ask again.
                let later = NotServed::Unfinished {
                    state: State::Queued,
                    received: 0,
                    total: None,
                    wait: None,
                };
                answer.unwrap_or(Err(later))
            }
        };
        audio.map_err(|why| self.inner.with_pause(key, why))
    }
}

impl App {
    /// The answer if it comes within `limit`, else what can be served at that moment.
    async fn within(
        &self,
        limit: Duration,
        key: &Key,
        answer: impl Future<Output = Result<Audio, NotServed>>,
    ) -> Result<Audio, NotServed> {
        tokio::select! {
            answer = answer => answer,
            () = tokio::time::sleep(limit) => self.inner.audio_now(key, Want::Peek).await,
            () = self.inner.closing.cancelled() => self.inner.audio_now(key, Want::Peek).await,
        }
    }
}

impl From<Failure> for NotServed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Absent> for NotServed {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::Failed(failure) => Self::Failed(failure),
            Absent::Unknown => Self::Unknown,
        }
    }
}

impl Inner {
    async fn audio_now(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        let row = match self.demand.look(key).await {
            Standing::Finished(published) => return Ok(finished(*published)),
            Standing::Unfinished(row) => row,
            Standing::Absent(why) => return Err(why.into()),
        };
        let status = self.table.status(key);
        if want == Want::PeekStream
            && let Some(status) = &status
            && let Some(audio) = self.growing(&row, status, false)
        {
            return Ok(audio);
        }
        if want.only_looks() {
            return Err(status.map_or_else(|| unfinished_row(&row), |status| unfinished(&status)));
        }
        let job = self.first(&row).await?;
        let status = self.table.status(key);
        Err(unfinished(&status.unwrap_or_else(|| job.status())))
    }

    /// Waits until the song is ready or failed.
    async fn whole(&self, key: &Key) -> Result<Audio, NotServed> {
        match self.demand.look(key).await {
            Standing::Finished(published) => return Ok(finished(*published)),
            Standing::Unfinished(row) => drop(self.first(&row).await?),
            Standing::Absent(why) => return Err(why.into()),
        }
        Ok(finished(self.demand.finished(key).await?))
    }

    /// Why a client gets no song, with the pause of its site: a row keeps no time.
    fn with_pause(&self, key: &Key, why: NotServed) -> NotServed {
        match why {
            NotServed::Failed(failure) if is_of_address(failure.kind) => {
                let pause = || self.first_pause(key.track().site());
                NotServed::Failed(Failure {
                    retry_after: failure.retry_after.or_else(pause),
                    ..failure
                })
            }
            why => why,
        }
    }

    /// Why another node does not get a song. A row keeps no time: the pause of this address is told.
    fn for_node(&self, key: &Key, why: Absent) -> NotServed {
        match why {
            Absent::Failed(failure) if is_of_address(failure.kind) => {
                let closed = self.peers.closed(key.track().site());
                let left = closed.map_or(LEAST_PAUSE, |closed| closed.left);
                NotServed::Failed(Failure {
                    retry_after: failure.retry_after.or(Some(left)),
                    ..failure
                })
            }
            why => why.into(),
        }
    }

    /// Waits until the song is ready or failed, and moves nothing: a song without a job is not waited for.
    async fn settled(&self, key: &Key) -> Result<Audio, NotServed> {
        loop {
            let row = match self.demand.look(key).await {
                Standing::Finished(published) => return Ok(finished(*published)),
                Standing::Unfinished(row) => row,
                Standing::Absent(why) => return Err(why.into()),
            };
            let Some(job) = self.table.get(key) else {
                return Err(unfinished_row(&row));
            };
            let mut watch = job.watch();
            // An error means that the job was forgotten: the row tells why.
            let _ = watch.wait_for(Status::is_over).await;
        }
    }

    /// Waits until the site has answered the first media request; then the growing file. `listened`: a client waits for
    /// it, here or at the node.
    async fn stream(&self, key: &Key, to_node: bool, listened: bool) -> Result<Audio, NotServed> {
        loop {
            let row = match self.demand.look(key).await {
                Standing::Finished(published) => return Ok(finished(*published)),
                Standing::Unfinished(row) => row,
                Standing::Absent(why) if to_node => return Err(self.for_node(key, why)),
                Standing::Absent(why) => return Err(why.into()),
            };
            let job = if listened {
                self.first(&row).await?
            } else {
                self.demand.in_turn(&row).await?
            };
            let mut watch = job.watch();
            let is_sent_on = |status: &Status| to_node && status.is_elsewhere && !status.is_over();
            let has_begun = |status: &Status| {
                status.partial.is_some() || status.is_over() || is_sent_on(status)
            };
            let status = match watch.wait_for(has_begun).await {
                Ok(status) => status.clone(),
                Err(_) => continue,
            };
            if let Some(audio) = self.growing(&row, &status, to_node) {
                return Ok(audio);
            }
            if is_sent_on(&status) {
                return Err(unfinished(&status));
            }
        }
    }

    /// The file of a job under way, once the site has answered its first media request.
    fn growing(&self, row: &Row, status: &Status, to_node: bool) -> Option<Audio> {
        let (partial, format) = (status.partial.as_ref()?, status.format?);
        (!status.is_over()).then(|| Audio {
            content_type: format.content_type(),
            total: partial.progress().total,
            etag: partial.etag(),
            validator: partial.validator().to_owned(),
            modified: SystemTime::now(),
            file_name: names::rename(&row.human_name, format.ext()),
            finished: false,
            reader: self.store.open_reader(partial).for_node(to_node),
        })
    }

    /// The job of a song that a client waits for, at the front of the queue; the window of its list moves with it.
    async fn first(&self, row: &Row) -> Result<Arc<Job>, NotServed> {
        if self.demand.is_closed(&row.key) {
            // It has not failed: it continues after the next start.
            return Err(unfinished_row(row));
        }
        let job = self.demand.first(row).await?;
        self.move_window(&row.key).await?;
        Ok(job)
    }
}

fn unfinished_row(row: &Row) -> NotServed {
    NotServed::Unfinished {
        state: row.state.shown(),
        received: 0,
        total: row.total_bytes,
        wait: None,
    }
}

fn unfinished(status: &Status) -> NotServed {
    // It became ready or failed at this moment: the next read of the row tells.
    let state = if status.is_over() {
        State::Downloading
    } else {
        status.state
    };
    let wait = status
        .waits_until
        .map(|until| until.saturating_duration_since(Instant::now()));
    NotServed::Unfinished {
        state,
        received: status.received(),
        total: status.total(),
        wait,
    }
}

fn finished(published: Published) -> Audio {
    Audio {
        content_type: published.content_type,
        total: Some(published.size_bytes),
        etag: Some(published.etag),
        validator: published.row.validator.clone().unwrap_or_default(),
        modified: published.modified.into(),
        file_name: names::rename(&published.row.human_name, published.row.format.ext()),
        finished: true,
        reader: published.reader,
    }
}
