//! Audio for a listener: whole, or as it arrives.
//!
//! Owns what a request for audio does to a song (docs/api.md, "What a song's state means"): a waiting song moves to the
//! front, an evicted one is queued again. Hides rows and jobs. Never reads a byte.

use std::time::{Duration, Instant, SystemTime};

use kmds_extract::Kind;

use super::flight::{Job, Status};
use super::words::{Audio, Found, Key, NotServed, State, Want};
use super::{App, Failure, Inner, forms, internal, store_failure};
use crate::store::{Published, Row, StoreError};

/// An answer to a request that does not wait starts within 2 s (docs/api.md, "GET /tunnel").
const ANSWER_WITHIN: Duration = Duration::from_millis(1_800);

impl App {
    /// What a file name stands for.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn find(&self, name: &str) -> Result<Found, Failure> {
        self.inner
            .store
            .find_name(name)
            .await
            .map_err(store_failure)
    }

    /// The audio of one song in one form.
    /// # Errors
    /// [`NotServed`]: not finished, failed, or never asked for.
    pub async fn audio(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        let audio = self.audio_of(key, want).await?;
        // Songs under way have moved it already.
        if audio.finished && !want.only_looks() {
            self.inner.move_window(key).await?;
        }
        Ok(audio)
    }

    async fn audio_of(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        match want {
            Want::WholeWithin(limit) => self.within(limit, key, self.inner.whole(key)).await,
            Want::PeekWithin(limit) => self.within(limit, key, self.inner.settled(key)).await,
            Want::Stream => self.inner.stream(key).await,
            Want::Peek | Want::PeekStream | Want::Whole => {
                let answer =
                    tokio::time::timeout(ANSWER_WITHIN, self.inner.audio_now(key, want)).await;
                // The drive or the catalog takes its time: the client is told to ask again.
                let later = NotServed::Unfinished {
                    state: State::Queued,
                    received: 0,
                    total: None,
                    wait: None,
                };
                answer.unwrap_or(Err(later))
            }
        }
    }
}

impl App {
    /// The answer if it comes within `limit`, else what can be served then.
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

impl Inner {
    async fn audio_now(&self, key: &Key, want: Want) -> Result<Audio, NotServed> {
        match self.ready(key).await? {
            Ready::Yes(audio) => Ok(*audio),
            Ready::Not(row) => {
                if want == Want::PeekStream
                    && let Some(status) = self.jobs.status(key)
                    && let Some(audio) = self.growing(&row, &status)
                {
                    return Ok(audio);
                }
                if want.only_looks() {
                    return Err(self.unfinished(&row));
                }
                let job = self.demand(&row).await?;
                let status = self.jobs.status(key);
                Err(unfinished_job(&status.unwrap_or_else(|| job.status())))
            }
        }
    }

    /// Waits until the song is ready or failed.
    pub(super) async fn whole(&self, key: &Key) -> Result<Audio, NotServed> {
        loop {
            let row = match self.ready(key).await? {
                Ready::Yes(audio) => return Ok(*audio),
                Ready::Not(row) => row,
            };
            let job = self.demand(&row).await?;
            let mut watch = job.watch();
            // An error means the job was forgotten: the row tells why.
            let _ = watch.wait_for(Status::is_over).await;
        }
    }

    /// Waits until the song is ready or failed, and moves nothing: a song without a job is not waited for.
    async fn settled(&self, key: &Key) -> Result<Audio, NotServed> {
        loop {
            let row = match self.ready(key).await? {
                Ready::Yes(audio) => return Ok(*audio),
                Ready::Not(row) => row,
            };
            let Some(job) = self.jobs.get(key) else {
                return Err(self.unfinished(&row));
            };
            let mut watch = job.watch();
            // An error means the job was forgotten: the row tells why.
            let _ = watch.wait_for(Status::is_over).await;
        }
    }

    /// Waits until the site has answered the first media request; then the growing file.
    async fn stream(&self, key: &Key) -> Result<Audio, NotServed> {
        loop {
            let row = match self.ready(key).await? {
                Ready::Yes(audio) => return Ok(*audio),
                Ready::Not(row) => row,
            };
            let job = self.demand(&row).await?;
            let mut watch = job.watch();
            let status = match watch
                .wait_for(|status| status.partial.is_some() || status.is_over())
                .await
            {
                Ok(status) => status.clone(),
                Err(_) => continue,
            };
            if let Some(audio) = self.growing(&row, &status) {
                return Ok(audio);
            }
        }
    }

    /// The file of a job under way, once the site has answered its first media request.
    fn growing(&self, row: &Row, status: &Status) -> Option<Audio> {
        let (partial, format) = (status.partial.as_ref()?, status.format?);
        (!status.is_over()).then(|| Audio {
            content_type: format.content_type(),
            total: partial.progress().total,
            etag: partial.etag(),
            modified: SystemTime::now(),
            file_name: forms::rename(&row.human_name, format.ext()),
            finished: false,
            reader: self.store.open_reader(partial),
        })
    }

    /// The finished file; or the row of a song that has none (yet), which is evicted if its file is gone.
    async fn ready(&self, key: &Key) -> Result<Ready, NotServed> {
        let row = self
            .store
            .row(key)
            .await
            .map_err(store_failure)?
            .ok_or(NotServed::Unknown)?;
        match row.state {
            State::Deleted => Err(NotServed::Unknown),
            State::Failed => Err(NotServed::Failed(
                row.failure
                    .unwrap_or_else(|| internal("a failure without a reason")),
            )),
            State::Ready => match self.store.open_published(key).await {
                Ok(published) => Ok(Ready::Yes(Box::new(finished(published)))),
                Err(StoreError::Gone) => {
                    tracing::warn!(track = %key.track(), "the file is gone from the drive, or was changed there");
                    let mut row = row;
                    row.state = State::Evicted;
                    Ok(Ready::Not(Box::new(row)))
                }
                Err(error) => Err(NotServed::Failed(store_failure(error))),
            },
            _ => Ok(Ready::Not(Box::new(row))),
        }
    }

    /// The job of a song somebody waits for, at the front of the queue.
    async fn demand(&self, row: &Row) -> Result<std::sync::Arc<Job>, NotServed> {
        if self.stop.is_cancelled() {
            return Err(Failure::new(
                Kind::Cancelled,
                "the service is stopping; ask again when it is back",
            )
            .into());
        }
        let job = match self.jobs.get(&row.key) {
            Some(job) => job,
            None if row.state == State::Evicted => self.take_up(&row.key, true).await?,
            // Its job ended between our look at the row and now, or belongs to an earlier run: the row's state stands.
            None => self.jobs.enqueue(&row.key, 0, row.total_bytes),
        };
        if !job.is_wanted() {
            self.store.promote(&row.key).await.map_err(store_failure)?;
        }
        self.jobs.promote(&job);
        self.move_window(&row.key).await?;
        Ok(job)
    }

    fn unfinished(&self, row: &Row) -> NotServed {
        match self.jobs.status(&row.key) {
            Some(status) => unfinished_job(&status),
            None => NotServed::Unfinished {
                state: row.state.shown(),
                received: 0,
                total: row.total_bytes,
                wait: None,
            },
        }
    }
}

enum Ready {
    Yes(Box<Audio>),
    Not(Box<Row>),
}

fn unfinished_job(status: &Status) -> NotServed {
    // Ready or failed this very moment: the next look tells.
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
        modified: published.modified.into(),
        file_name: forms::rename(&published.row.human_name, published.row.format.ext()),
        finished: true,
        reader: published.reader,
    }
}
