//! From a stream's bytes to a checked file under a lease.
//!
//! Owns the loop that moves bytes, resuming included, and the three ways they are treated: kept, re-wrapped, converted.
//! Treated songs keep their raw bytes under a key of their own, so that a restart downloads nothing twice.
//! Hides containers and encoders. Never chooses a stream, never publishes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::choose::{Choice, Treatment};
use kmds_extract::{Container, Kind, Stream};
use tokio::sync::{mpsc, watch};

use super::flight::Job;
use super::words::{Failure, State};
use super::work::{Attempts, show};
use super::{Inner, forms};
use crate::convert::{ConvertError, Mp4Head, Target};
use crate::download::{self, Download, DownloadError, Remedy};
use crate::engine::Engine;
use crate::media::{self, webm::OpusToOgg};
use crate::store::{Checked, Lease, Partial, Progress, Reader, Started, StoreError};

/// Limits waited for at one place of a file, and how long each may be (YouTube field notes, 3.4); beyond that the job gives
/// its place up and keeps its bytes.
const LIMIT_WAITS: u32 = 3;
const LONGEST_HELD_WAIT: Duration = Duration::from_secs(60);
/// A piece read back from a raw file.
const PIECE_BYTES: usize = 64 << 10;

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
    pub ext: String,
    pub stream: String,
    pub checked: Checked,
}

/// What becomes of the raw bytes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Keep,
    OpusToOgg,
    TakeAudioOut,
    Convert(Target),
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
            Treatment::Convert => forms::target(&song.accept, self.opus).map_or(Way::Keep, Way::Convert),
        };
        let (ext, container) = match way {
            Way::Keep => (stream.extension(), stream.container),
            Way::OpusToOgg => ("opus", Container::Ogg),
            Way::TakeAudioOut => ("m4a", Container::Mp4),
            Way::Convert(target) => (target.extension(), target.container()),
        };
        let started = Started {
            ext: ext.to_owned(),
            total_bytes: stream.size_bytes.filter(|_| matches!(way, Way::Keep)),
            stream: stream.label.clone(),
        };
        self.store.started(&job.key, started).await?;
        tracing::debug!(track = %job.key.track(), stream = stream.label, engine = engine.as_str(), "downloading");
        let expected = stream.duration.or(song.track.duration);
        match way {
            Way::Keep => {
                self.fill(job, lease, stream, |partial| self.jobs.change(job, |status| show(status, partial, ext)))
                    .await?;
                self.announce_length(lease);
            }
            _ => self.treat(job, lease, stream, way, expected).await?,
        }
        let checked = check(lease, container, expected).await?;
        Ok(Yield { ext: ext.to_owned(), stream: stream.label.clone(), checked })
    }

    /// The bytes of a stream into a lease, continuing what it kept of the same stream.
    async fn fill(
        &self,
        job: &Job,
        lease: &mut Lease,
        stream: &Stream,
        began: impl FnOnce(Arc<Partial>),
    ) -> Result<(), PumpError> {
        let kept = lease.kept().filter(|kept| kept.validator == stream.validator);
        let kept = kept.map(|kept| download::Kept { bytes: kept.bytes, mark: kept.mark.map(|mark| mark.text) });
        lease.reserve(stream.size_bytes.or_else(|| stream.approximate_size())).await?;
        let recipes = self.recipes.current();
        let client = if job.is_wanted() { self.client.clone() } else { self.client.in_background() };
        let mut download = download::open(stream, kept, &client, &recipes).await?;
        if stream.size_bytes.is_none() && download.total().is_some() {
            lease.reserve(download.total()).await?;
        }
        let partial = lease.begin(&stream.validator, download.total(), download.start()).await?;
        let _ = lease.mark(&download.progress_mark()).await;
        began(partial);
        let mut mark = download.progress_mark();
        while let Some(chunk) = self.next_chunk(job, &mut download).await? {
            self.metrics.received(stream.site, chunk.len());
            lease.write(chunk).await?;
            self.jobs.progress(job);
            let now = download.progress_mark();
            if now != mark {
                lease.mark(&now).await?;
                mark = now;
            }
        }
        Ok(())
    }

    /// The next bytes; a short limit of the site is waited for here, so that listeners keep their place.
    async fn next_chunk(&self, job: &Job, download: &mut Download) -> Result<Option<Bytes>, DownloadError> {
        let mut waits = 0;
        loop {
            let error = match download.next().await {
                Err(error) => error,
                chunk => return chunk,
            };
            let Remedy::Wait(told) = error.remedy() else { return Err(error) };
            let wait = job.wait_for_limit(told, &self.recipes.current().time);
            let Some(wait) = wait.filter(|wait| waits < LIMIT_WAITS && *wait <= LONGEST_HELD_WAIT) else {
                return Err(error);
            };
            waits += 1;
            tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "the site limits us in mid-file; waiting");
            self.jobs.pause(job, wait);
            tokio::time::sleep(wait).await;
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

    /// Downloads into the raw file and treats what arrives, both at once.
    async fn treat(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        stream: &Stream,
        way: Way,
        expected: Option<Duration>,
    ) -> Result<(), PumpError> {
        let mut raw_lease = self.store.lease(&job.key.raw()).await?;
        let (began, raw_partial) = watch::channel(None);
        let download = async {
            self.fill(job, &mut raw_lease, stream, |partial| drop(began.send_replace(Some(partial)))).await?;
            self.announce_length(&mut raw_lease);
            let partial = raw_lease.partial().ok_or(StoreError::Gone)?;
            check_file(&partial, stream.container, expected).await?;
            self.jobs.change(job, |status| status.state = State::Converting);
            self.store.set_state(&job.key, crate::store::State::Converting).await?;
            Ok::<(), PumpError>(())
        };
        let treatment = async {
            let Some(partial) = first(raw_partial).await else {
                // The download failed before its first byte, and says why.
                return std::future::pending().await;
            };
            let source = Source::growing(self.store.open_reader(&partial), partial);
            match way {
                Way::OpusToOgg => self.rewrap(job, lease, source).await,
                Way::TakeAudioOut => self.take_audio_out(job, lease, source).await,
                Way::Convert(target) => self.convert(job, lease, source, target, expected).await,
                Way::Keep => Ok(()),
            }
        };
        // The first failure ends both; a treatment that runs out of bytes waits for the download to say why.
        tokio::try_join!(download, treatment)?;
        raw_lease.discard().await?;
        self.announce_length(lease);
        Ok(())
    }

    async fn rewrap(&self, job: &Job, lease: &mut Lease, mut source: Source) -> Result<(), PumpError> {
        let seed = crc_of(&job.key.to_string());
        let mut ogg = OpusToOgg::new(seed);
        self.start_output(job, lease, &source, "opus").await?;
        while let Some(piece) = source.next().await? {
            let out = ogg.push(&piece).map_err(|error| PumpError::Broken(error.to_string()))?;
            self.put(job, lease, out.into()).await?;
        }
        let out = ogg.finish().map_err(|error| PumpError::Broken(error.to_string()))?;
        self.put(job, lease, out.into()).await
    }

    async fn take_audio_out(&self, job: &Job, lease: &mut Lease, mut source: Source) -> Result<(), PumpError> {
        // The index may stand at the end: wait for all of it.
        while source.next().await?.is_some() {}
        self.start_output(job, lease, &source, "m4a").await?;
        let Some((partial, _)) = &source.growing else { return Ok(()) };
        let file = partial.file();
        let (pieces, mut arrived) = mpsc::channel::<Bytes>(2);
        let work = tokio::task::spawn_blocking(move || {
            let mut out = Pieces(pieces);
            media::mp4::extract_audio(&file, &mut out).map(drop).map_err(|error| error.to_string())
        });
        while let Some(piece) = arrived.recv().await {
            self.put(job, lease, piece).await?;
        }
        match work.await {
            Ok(done) => done.map_err(PumpError::Broken),
            Err(error) => Err(PumpError::Broken(error.to_string())),
        }
    }

    async fn convert(
        &self,
        job: &Job,
        lease: &mut Lease,
        mut source: Source,
        target: Target,
        expected: Option<Duration>,
    ) -> Result<(), PumpError> {
        self.start_output(job, lease, &source, target.extension()).await?;
        self.encode(job, lease, &mut source, target, expected).await
    }

    /// Through ffmpeg into an open lease.
    pub(super) async fn encode(
        &self,
        job: &Job,
        lease: &mut Lease,
        source: &mut Source,
        target: Target,
        expected: Option<Duration>,
    ) -> Result<(), PumpError> {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let encoding = self.encode_into(source, target, expected, sender);
        let writing = async {
            while let Some(piece) = pieces.recv().await {
                self.put(job, lease, piece).await?;
            }
            Ok::<(), PumpError>(())
        };
        tokio::try_join!(encoding, writing)?;
        Ok(())
    }

    /// Through ffmpeg, piece by piece: both of its pipes are worked at the same time. Dropping the sender is the end.
    pub(super) async fn encode_into(
        &self,
        source: &mut Source,
        target: Target,
        expected: Option<Duration>,
        out: mpsc::Sender<Bytes>,
    ) -> Result<(), PumpError> {
        let conversion = self.ffmpeg.start(target).await?;
        let (mut feed, mut output) = (conversion.feed, conversion.output);
        let feeding = async {
            while let Some(piece) = source.next().await? {
                if !feed.push(&piece).await {
                    break;
                }
            }
            feed.finish().await;
            Ok::<(), PumpError>(())
        };
        let taking = async {
            let mut head = expected.filter(|_| target == Target::M4a).map(Mp4Head::new);
            while let Some(piece) = output.next().await? {
                let piece = head.as_mut().map_or_else(|| piece.clone(), |head| head.push(piece.clone()));
                send(&out, piece).await?;
            }
            send(&out, head.map(|mut head| head.finish()).unwrap_or_default()).await
        };
        tokio::try_join!(feeding, taking)?;
        Ok(())
    }

    /// Opens the output file; its readers may come from now on.
    async fn start_output(&self, job: &Job, lease: &mut Lease, source: &Source, ext: &str) -> Result<(), PumpError> {
        lease.restart().await?;
        let validator = format!("{} as {ext}", source.validator());
        let partial = lease.begin(&validator, None, 0).await?;
        self.jobs.change(job, |status| show(status, partial, ext));
        Ok(())
    }

    async fn put(&self, job: &Job, lease: &mut Lease, piece: Bytes) -> Result<(), PumpError> {
        if !piece.is_empty() {
            lease.write(piece).await?;
            self.jobs.progress(job);
        }
        Ok(())
    }
}

/// Reads a file from its start to its end, as it grows.
pub(super) struct Source {
    reader: Reader,
    at: u64,
    /// The file that is still arriving; `None` for a finished one.
    growing: Option<(Arc<Partial>, watch::Receiver<Progress>)>,
}

impl Source {
    fn growing(reader: Reader, partial: Arc<Partial>) -> Self {
        let progress = partial.subscribe();
        Self { reader, at: 0, growing: Some((partial, progress)) }
    }

    pub(super) const fn finished(reader: Reader) -> Self {
        Self { reader, at: 0, growing: None }
    }

    fn validator(&self) -> &str {
        self.growing.as_ref().map_or("", |(partial, _)| partial.validator())
    }

    /// The next piece; `None` at the end, which of a growing file is its announced length. If its download fails this
    /// waits for ever: the download itself says why, and ends both.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, PumpError> {
        let at = self.at;
        if let Some((_, progress)) = &mut self.growing {
            let more = |now: &Progress| now.written > at || now.total == Some(at) || now.done.is_some();
            let whole = progress.wait_for(more).await.map(|now| now.total == Some(at));
            match whole {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(_) => return std::future::pending().await,
            }
        }
        match self.reader.read_at(at, PIECE_BYTES).await {
            Ok(piece) if piece.is_empty() => Ok(None),
            Ok(piece) => {
                self.at += piece.len() as u64;
                Ok(Some(piece))
            }
            Err(StoreError::Gone) if self.growing.is_some() => std::future::pending().await,
            Err(error) => Err(error.into()),
        }
    }
}

/// Nobody takes pieces any more: whoever stopped says why.
async fn send(out: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), PumpError> {
    if piece.is_empty() {
        return Ok(());
    }
    out.send(piece).await.map_err(|_| PumpError::Store(StoreError::Gone))
}

/// Waits for the first value; `None` if none will come.
async fn first(mut partial: watch::Receiver<Option<Arc<Partial>>>) -> Option<Arc<Partial>> {
    partial.wait_for(Option::is_some).await.ok()?.clone()
}

pub(super) async fn check(
    lease: &Lease,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, PumpError> {
    let partial = lease.partial().ok_or(StoreError::Gone)?;
    check_file(&partial, container, expected).await
}

/// Walks the file to its end on a thread that may wait for the drive.
async fn check_file(
    partial: &Arc<Partial>,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, PumpError> {
    let file = partial.file();
    let checked = tokio::task::spawn_blocking(move || media::check(&file, container, expected))
        .await
        .map_err(|error| PumpError::Broken(error.to_string()))?
        .map_err(|error| PumpError::Broken(error.to_string()))?;
    Ok(Checked {
        container: checked.container,
        codec: checked.codec,
        duration: checked.duration,
        bitrate_bps: checked.bitrate_bps,
    })
}

/// The same serial number for the same song, so that a repeated re-wrap gives the same bytes.
fn crc_of(text: &str) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

/// A blocking writer whose pieces come out on the runtime.
struct Pieces(mpsc::Sender<Bytes>);

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let take = bytes.len().min(PIECE_BYTES);
        let piece = Bytes::copy_from_slice(bytes.get(..take).unwrap_or_default());
        self.0.blocking_send(piece).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(take)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
