//! Writes a stream's bytes into a file under a lease, and checks them.
//!
//! Owns the loop that moves bytes. It continues a file that an earlier run left, and waits itself for a short limit of
//! the site, so that listeners keep their place. Dropping a future of this module keeps the bytes and their note. It
//! chooses no stream and publishes nothing; [`super::rewrite`] changes bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::{Container, Failure, Format, Kind, Stream};
use tokio::time::Instant;

use super::Context;
use super::job::{Job, Status};
use crate::convert::ConvertError;
use crate::download::{self, Download, DownloadError, Remedy};
use crate::media::{self, Broken};
use crate::store::{
    self, Checked, Key, Lease, Partial, Started, State, Store, StoreError, drive_error,
};

/// How many limits the job waits for at one place of a file, and for how long each (YouTube field notes, 3.4). After
/// that the job gives up its place and keeps its bytes.
const LIMIT_WAITS: u32 = 3;
pub(super) const LONGEST_HELD_WAIT: Duration = Duration::from_secs(60);

/// A cancelled job ends its lease within this time.
const LET_GO_WITHIN: Duration = Duration::from_secs(30);

/// What stopped a file from being filled.
#[derive(Debug)]
pub(super) enum FillError {
    Download(DownloadError),
    Store(StoreError),
    /// The received bytes are not a whole audio file.
    Broken(String),
    /// A conversion failed, or cannot be made here.
    Convert(Failure),
    /// A step of KMDS itself failed: a bug.
    Internal(&'static str),
}

impl FillError {
    /// Whether the downloaded bytes are wrong, so that no later try may continue them.
    pub(super) const fn is_of_the_bytes(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Download(error) => matches!(error.remedy(), Remedy::StartOver),
            Self::Store(_) | Self::Convert(_) | Self::Internal(_) => false,
        }
    }
}

impl From<StoreError> for FillError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Broken> for FillError {
    fn from(broken: Broken) -> Self {
        match broken {
            // The drive failed, which says nothing about the site's bytes.
            Broken::Unreadable(error) => Self::Store(drive_error("read a file back")(error)),
            broken => Self::Broken(broken.to_string()),
        }
    }
}

impl From<DownloadError> for FillError {
    fn from(error: DownloadError) -> Self {
        Self::Download(error)
    }
}

impl From<ConvertError> for FillError {
    fn from(error: ConvertError) -> Self {
        let kind = match error {
            ConvertError::Missing { .. } => Kind::ConversionUnavailable,
            ConvertError::Failed(_) => Kind::ConversionFailed,
        };
        Self::Convert(Failure::new(kind, error.to_string()))
    }
}

impl From<media::Checked> for Checked {
    fn from(checked: media::Checked) -> Self {
        let media::Checked {
            container,
            codec,
            duration,
            bitrate_bps,
            ..
        } = checked;
        Self {
            container,
            codec,
            duration,
            bitrate_bps,
        }
    }
}

/// A running job and the values that all steps of its work share.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub at: &'a Context,
    pub job: &'a Job,
}

impl Work<'_> {
    /// Changes what the job's watchers see.
    pub(super) fn change(self, change: impl FnOnce(&mut Status)) {
        self.at.table().change(self.job, change);
    }

    /// Shows the growing file to the job's watchers.
    pub(super) fn show(self, partial: Arc<Partial>, format: Format) {
        self.change(|status| {
            status.partial = Some(partial);
            status.format = Some(format);
        });
    }

    /// Records which stream becomes this job's file.
    pub(super) async fn started(self, started: Started) -> Result<(), StoreError> {
        self.at
            .store
            .started(&self.job.key, started)
            .await
            .map(drop)
    }

    /// Sets the state `converting`, for watchers and in the catalog.
    pub(super) async fn converts(self) -> Result<(), StoreError> {
        self.change(|status| status.state = State::Converting);
        let (store, key) = (&self.at.store, &self.job.key);
        store.set_state(key, State::Converting).await.map(drop)
    }

    /// Appends a piece to the job's file.
    pub(super) async fn put(self, lease: &mut Lease, piece: Bytes) -> Result<(), StoreError> {
        if !piece.is_empty() {
            lease.write(piece).await?;
            self.at.table().progress(self.job);
        }
        Ok(())
    }

    /// Writes the bytes of a stream into a lease, after the bytes that it kept of the same stream. If `may_be_slow` is
    /// not set, it ends as [`DownloadError::Slow`] when the site throttles the URL. `began` is called once, with the
    /// growing file.
    pub(super) async fn fill(
        self,
        lease: &mut Lease,
        stream: &Stream,
        may_be_slow: bool,
        began: impl FnOnce(Arc<Partial>),
    ) -> Result<(), FillError> {
        let mut download = self.open(lease, stream, began).await?;
        let mut mark = download.progress_mark();
        let is_rewritten = *lease.key() != self.job.key;
        while let Some(chunk) = self.next_chunk(&mut download, is_rewritten).await? {
            self.job.clear_limits();
            self.at.metrics.received(stream.site, chunk.len());
            self.put(lease, chunk).await?;
            let now = download.progress_mark();
            if now != mark {
                lease.mark(&now).await?;
                mark = now;
            }
            if !may_be_slow && download.is_slow() {
                return Err(DownloadError::Slow { site: stream.site }.into());
            }
        }
        Ok(())
    }

    /// Asks the site for the stream's next byte, and opens the growing file once it answers.
    async fn open(
        self,
        lease: &mut Lease,
        stream: &Stream,
        began: impl FnOnce(Arc<Partial>),
    ) -> Result<Download, FillError> {
        let kept = lease.kept().filter(|kept| kept.is_of(&stream.validator));
        let (known_as, kept) = kept.map_or((None, None), |kept| {
            let mark = kept.mark.map(|mark| mark.text);
            let bytes = kept.bytes;
            (Some(kept.validator), Some(download::Kept { bytes, mark }))
        });
        let recipes = self.at.recipes.current();
        let expected = stream.size_bytes.or_else(|| stream.approximate_size());
        let patience = recipes.time.limit_wait;
        lease.room(expected, patience).await?;
        let client = if self.job.is_wanted() {
            self.at.client.clone()
        } else {
            self.at.client.in_background()
        };
        let download = download::open(stream, kept, &client, &recipes).await?;
        if stream.size_bytes.is_none() && download.total().is_some() {
            lease.reserve(download.total()).await?;
        }
        // A continued file keeps its version; a new file has the version that the site sends now.
        let validator = known_as
            .filter(|_| download.start() > 0)
            .unwrap_or_else(|| {
                store::validator_of(&stream.validator, download.version().as_deref())
            });
        let partial = lease
            .begin(&validator, download.total(), download.start())
            .await?;
        let _ = lease.mark(&download.progress_mark()).await;
        began(partial);
        Ok(download)
    }

    /// The next bytes; waits for short limits of the site. Where another node may continue at once, only a file that is
    /// rewritten for listeners waits: a node would begin it anew, and they would be cut.
    async fn next_chunk(
        self,
        download: &mut Download,
        is_rewritten: bool,
    ) -> Result<Option<Bytes>, DownloadError> {
        let mut waits = 0;
        let site = self.job.key.track().site();
        let peers = &self.at.peers;
        loop {
            let error = match download.next().await {
                Err(error) => error,
                chunk => return chunk,
            };
            let Remedy::Wait(told) = error.remedy() else {
                return Err(error);
            };
            let others_fetch = peers.others_fetch(site);
            let passes_on = others_fetch && !(is_rewritten && self.job.is_wanted());
            if waits == LIMIT_WAITS || passes_on {
                return Err(error);
            }
            let recipes = self.at.recipes.current();
            let Some(wait) = self.job.wait_for_limit(told, LONGEST_HELD_WAIT, &recipes) else {
                return Err(error);
            };
            waits += 1;
            tracing::info!(track = %self.job.key.track(), wait_s = wait.as_secs(), "the site limits us in mid-file; waiting");
            if others_fetch {
                peers.close(site, error.kind(), wait);
                self.at
                    .table()
                    .wait_alone(self.job, Instant::now() + wait)
                    .await;
            } else {
                self.at.table().wait(self.job, wait).await;
            }
        }
    }
}

/// Announces the length of a file whose length is known only at its end.
pub(super) fn announce_length(lease: &mut Lease) {
    if let Some(partial) = lease.partial()
        && partial.progress().total.is_none()
    {
        lease.announce(partial.progress().written);
    }
}

/// Reads the file to its end on a thread that may wait for the drive. Bytes that the drive cannot read back are
/// dropped.
pub(super) async fn check(
    lease: &mut Lease,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, FillError> {
    let file = lease.partial().ok_or(StoreError::Gone)?.file()?;
    let checked = tokio::task::spawn_blocking(move || media::check(&file, container, expected));
    let checked = checked.await;
    match checked.map_err(|_| FillError::Internal("the check of the file was interrupted"))? {
        Ok(checked) => Ok(checked.into()),
        Err(broken) => {
            if matches!(broken, Broken::Unreadable(_)) {
                let _ = lease.restart().await;
            }
            Err(broken.into())
        }
    }
}

/// The right to write a key, after an earlier cancelled job has ended its lease.
pub(super) async fn lease(store: &Store, key: &Key) -> Result<Lease, StoreError> {
    let end = Instant::now() + LET_GO_WITHIN;
    loop {
        let mut let_go = pin!(store.let_go());
        let_go.as_mut().enable();
        match store.lease(key).await {
            Err(StoreError::Busy { .. }) if Instant::now() < end => {
                let _ = tokio::time::timeout_at(end, let_go).await;
            }
            done => return done,
        }
    }
}
