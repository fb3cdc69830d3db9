//! From a stream's bytes to a checked file under a lease.
//!
//! Owns the loop that moves bytes, resuming and short waits included, and the check of what arrived. Hides how far an
//! earlier run came. Never chooses a stream, never publishes; [`super::treat`] changes bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::choose::{Choice, Treatment};
use kmds_extract::recipes::Times;
use kmds_extract::{Container, Format, Kind, Stream};

use super::attempts::Attempts;
use super::flight::Job;
use super::treat::Way;
use super::words::Failure;
use super::work::show;
use super::{Inner, forms};
use crate::convert::ConvertError;
use crate::download::{self, Download, DownloadError, Remedy};
use crate::engine::Engine;
use crate::media::{self, Broken};
use crate::store::{self, Checked, Lease, Partial, Started, StoreError, drive_error};

/// Limits waited for at one place of a file, and how long each may be (YouTube field notes, 3.4); beyond that the job gives
/// its place up and keeps its bytes.
const LIMIT_WAITS: u32 = 3;
const LONGEST_HELD_WAIT: Duration = Duration::from_secs(60);

/// What stopped it.
#[derive(Debug)]
pub enum PumpError {
    Download(DownloadError),
    Store(StoreError),
    /// All bytes are there, and they are no whole audio file.
    Broken(String),
    Convert(Failure),
}

impl From<StoreError> for PumpError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Broken> for PumpError {
    fn from(broken: Broken) -> Self {
        match broken {
            // Says nothing of what the site sent.
            Broken::Unreadable(error) => Self::Store(drive_error("read a file back")(error)),
            broken => Self::Broken(broken.to_string()),
        }
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

impl From<DownloadError> for PumpError {
    fn from(error: DownloadError) -> Self {
        Self::Download(error)
    }
}

impl From<ConvertError> for PumpError {
    fn from(error: ConvertError) -> Self {
        let kind = match error {
            ConvertError::Missing { .. } => Kind::ConversionUnavailable,
            ConvertError::Failed(_) => Kind::ConversionFailed,
        };
        Self::Convert(Failure::new(kind, error.to_string()))
    }
}

/// A file that is whole, under its lease.
#[derive(Debug)]
pub struct Yield {
    pub format: Format,
    pub stream: String,
    pub checked: Checked,
}

impl Inner {
    /// Downloads one located stream into the job's lease, in the form its client takes.
    pub(super) async fn pump(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        song: &Attempts,
        choice: &Choice,
        engine: Engine,
    ) -> Result<Yield, PumpError> {
        let stream = &choice.stream;
        let way = match choice.treatment {
            _ if stream.muxed => Way::TakeAudioOut,
            Treatment::Keep => Way::Keep,
            Treatment::OpusToOgg => Way::OpusToOgg,
            Treatment::Convert => {
                forms::target(&song.accept, self.opus).map_or(Way::Keep, Way::Convert)
            }
        };
        let format = way.makes(stream);
        let container = format.container();
        let started = Started {
            format,
            total_bytes: stream.size_bytes.filter(|_| matches!(way, Way::Keep)),
            stream: stream.label.clone(),
        };
        self.store.started(&job.key, started).await?;
        tracing::debug!(track = %job.key.track(), stream = stream.label, engine = engine.as_str(), "downloading");
        let expected = stream.duration.or(song.track.duration);
        let checked = match way {
            Way::Keep => {
                let may_hurry = engine == Engine::Native && !song.hurried;
                let began = |partial| {
                    self.jobs
                        .change(job, |status| show(status, partial, format))
                };
                self.fill(job, lease, stream, may_hurry, began).await?;
                self.announce_length(lease);
                check(lease, container, expected).await?
            }
            _ => {
                let treated = self.treat(job, lease, stream, way, expected).await;
                let made = match treated {
                    Ok(()) => check(lease, container, expected).await.map_err(made_here),
                    Err(error) => Err(error),
                };
                if made.is_err() {
                    // What was made of it so far is never gone on with; the raw bytes are.
                    let _ = lease.restart().await;
                }
                made?
            }
        };
        Ok(Yield {
            format,
            stream: stream.label.clone(),
            checked,
        })
    }

    /// The bytes of a stream into a lease, continuing what it kept of the same stream. With `may_hurry` it ends as
    /// [`DownloadError::Slow`] where the site holds the URL back.
    pub(super) async fn fill(
        &self,
        job: &Job,
        lease: &mut Lease,
        stream: &Stream,
        may_hurry: bool,
        began: impl FnOnce(Arc<Partial>),
    ) -> Result<(), PumpError> {
        let kept = lease.kept().filter(|kept| kept.is_of(&stream.validator));
        let (known_as, kept) = kept.map_or((None, None), |kept| {
            let mark = kept.mark.map(|mark| mark.text);
            (
                Some(kept.validator),
                Some(download::Kept {
                    bytes: kept.bytes,
                    mark,
                }),
            )
        });
        let recipes = self.recipes.current();
        let patience = Times::seconds(recipes.time.limit_wait);
        lease
            .room(
                stream.size_bytes.or_else(|| stream.approximate_size()),
                patience,
            )
            .await?;
        let client = if job.is_wanted() {
            self.client.clone()
        } else {
            self.client.in_background()
        };
        let mut download = download::open(stream, kept, &client, &recipes).await?;
        if stream.size_bytes.is_none() && download.total().is_some() {
            lease.reserve(download.total()).await?;
        }
        // Bytes that go on stay what they were; a file that begins is of the version the site sends now.
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
        let mut mark = download.progress_mark();
        while let Some(chunk) = self.next_chunk(job, &mut download).await? {
            job.flows();
            self.metrics.received(stream.site, chunk.len());
            lease.write(chunk).await?;
            self.jobs.progress(job);
            let now = download.progress_mark();
            if now != mark {
                lease.mark(&now).await?;
                mark = now;
            }
            if may_hurry && download.is_slow() {
                return Err(DownloadError::Slow { site: stream.site }.into());
            }
        }
        Ok(())
    }

    /// The next bytes; a short limit of the site is waited for here, so that listeners keep their place.
    async fn next_chunk(
        &self,
        job: &Job,
        download: &mut Download,
    ) -> Result<Option<Bytes>, DownloadError> {
        let mut waits = 0;
        loop {
            let error = match download.next().await {
                Err(error) => error,
                chunk => return chunk,
            };
            let Remedy::Wait(told) = error.remedy() else {
                return Err(error);
            };
            if waits == LIMIT_WAITS {
                return Err(error);
            }
            let Some(wait) = job.wait_for_limit(told, LONGEST_HELD_WAIT, &self.recipes.current())
            else {
                return Err(error);
            };
            waits += 1;
            tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "the site limits us in mid-file; waiting");
            self.jobs.wait(job, wait).await;
        }
    }

    /// The length of a joined file is known at its end only.
    pub(super) fn announce_length(&self, lease: &mut Lease) {
        if let Some(partial) = lease.partial()
            && partial.progress().total.is_none()
        {
            lease.announce(partial.progress().written);
        }
    }
}

/// The site's bytes were checked as they came: what is wrong with what came out was made here.
fn made_here(error: PumpError) -> PumpError {
    match error {
        PumpError::Broken(what) => {
            let sentence = format!("what the conversion made is not whole: {what}");
            PumpError::Convert(Failure::new(Kind::ConversionFailed, sentence))
        }
        error => error,
    }
}

/// Walks the file to its end on a thread that may wait for the drive. Bytes the drive does not give back are let go.
pub(super) async fn check(
    lease: &mut Lease,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, PumpError> {
    let file = lease.partial().ok_or(StoreError::Gone)?.file()?;
    let checked = tokio::task::spawn_blocking(move || media::check(&file, container, expected));
    match checked
        .await
        .map_err(|error| PumpError::Broken(error.to_string()))?
    {
        Ok(checked) => Ok(checked.into()),
        Err(broken) => {
            if matches!(broken, Broken::Unreadable(_)) {
                let _ = lease.restart().await;
            }
            Err(broken.into())
        }
    }
}
