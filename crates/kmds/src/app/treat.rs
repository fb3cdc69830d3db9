//! What becomes of bytes that are not kept as they came: re-wrapped, freed of their picture, or converted.
//!
//! Owns the work beside a download: the raw file is read as it grows, and what comes out of it is readable as it comes.
//! The raw bytes have a key of their own, so that a restart downloads nothing twice. Hides containers and encoders.
//! Never chooses a stream, never publishes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::recipes::Times;
use kmds_extract::{Format, Stream};
use tokio::sync::{mpsc, watch};

use super::Inner;
use super::flight::Job;
use super::pump::{PumpError, check};
use super::words::State;
use super::work::show;
use crate::convert::Mp4Head;
use crate::media::{self, webm::OpusToOgg};
use crate::store::{Lease, Partial, Progress, Reader, StoreError};

/// A piece read back from a raw file.
const PIECE_BYTES: usize = 64 << 10;

/// What becomes of the raw bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Keep,
    OpusToOgg,
    TakeAudioOut,
    Convert(Format),
}

impl Way {
    /// The format of what comes out of this stream.
    pub(super) const fn makes(self, stream: &Stream) -> Format {
        match self {
            Self::Keep => stream.format(),
            Self::OpusToOgg => Format::Opus,
            Self::TakeAudioOut => Format::M4a,
            Self::Convert(format) => format,
        }
    }
}

impl Inner {
    /// Downloads into the raw file and treats what arrives, both at once.
    pub(super) async fn treat(
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
            // What is made of the bytes would have to be made anew: a slow URL must do.
            let began = |partial| drop(began.send_replace(Some(partial)));
            self.fill(job, &mut raw_lease, stream, false, began).await?;
            self.announce_length(&mut raw_lease);
            check(&mut raw_lease, stream.container, expected).await?;
            self.jobs
                .change(job, |status| status.state = State::Converting);
            self.store.set_state(&job.key, State::Converting).await?;
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

    async fn rewrap(
        &self,
        job: &Job,
        lease: &mut Lease,
        mut source: Source,
    ) -> Result<(), PumpError> {
        let seed = crc_of(&job.key.to_string());
        let mut ogg = OpusToOgg::new(seed);
        self.start_output(job, lease, &source, Format::Opus).await?;
        while let Some(piece) = source.next().await? {
            let out = ogg
                .push(&piece)
                .map_err(|error| PumpError::Broken(error.to_string()))?;
            self.put(job, lease, out.into()).await?;
        }
        let out = ogg
            .finish()
            .map_err(|error| PumpError::Broken(error.to_string()))?;
        self.put(job, lease, out.into()).await
    }

    async fn take_audio_out(
        &self,
        job: &Job,
        lease: &mut Lease,
        mut source: Source,
    ) -> Result<(), PumpError> {
        // The index may stand at the end: wait for all of it.
        while source.next().await?.is_some() {}
        self.start_output(job, lease, &source, Format::M4a).await?;
        let Some((partial, _)) = &source.growing else {
            return Ok(());
        };
        let file = partial.file()?;
        let (pieces, mut arrived) = mpsc::channel::<Bytes>(2);
        let work = tokio::task::spawn_blocking(move || {
            let mut out = Pieces(pieces);
            media::mp4::extract_audio(&file, &mut out).map(drop)
        });
        while let Some(piece) = arrived.recv().await {
            self.put(job, lease, piece).await?;
        }
        match work.await {
            Ok(done) => Ok(done?),
            Err(error) => Err(PumpError::Broken(error.to_string())),
        }
    }

    async fn convert(
        &self,
        job: &Job,
        lease: &mut Lease,
        mut source: Source,
        target: Format,
        expected: Option<Duration>,
    ) -> Result<(), PumpError> {
        self.start_output(job, lease, &source, target).await?;
        self.encode(job, lease, &mut source, target, expected).await
    }

    /// Through ffmpeg into an open lease.
    pub(super) async fn encode(
        &self,
        job: &Job,
        lease: &mut Lease,
        source: &mut Source,
        target: Format,
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
        target: Format,
        expected: Option<Duration>,
        out: mpsc::Sender<Bytes>,
    ) -> Result<(), PumpError> {
        let stall = Times::seconds(self.recipes.current().time.convert_stall);
        let conversion = self.ffmpeg.start(target, stall).await?;
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
            let mut head = expected.filter(|_| target == Format::M4a).map(Mp4Head::new);
            while let Some(piece) = output.next().await? {
                let piece = head
                    .as_mut()
                    .map_or_else(|| piece.clone(), |head| head.push(piece.clone()));
                send(&out, piece).await?;
            }
            send(&out, head.map(|mut head| head.finish()).unwrap_or_default()).await
        };
        tokio::try_join!(feeding, taking)?;
        Ok(())
    }

    /// Opens the output file; its readers may come from now on.
    async fn start_output(
        &self,
        job: &Job,
        lease: &mut Lease,
        source: &Source,
        format: Format,
    ) -> Result<(), PumpError> {
        lease.restart().await?;
        let validator = format!("{} as {format}", source.validator());
        let partial = lease.begin(&validator, None, 0).await?;
        self.jobs
            .change(job, |status| show(status, partial, format));
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
        Self {
            reader,
            at: 0,
            growing: Some((partial, progress)),
        }
    }

    pub(super) const fn finished(reader: Reader) -> Self {
        Self {
            reader,
            at: 0,
            growing: None,
        }
    }

    fn validator(&self) -> &str {
        self.growing
            .as_ref()
            .map_or("", |(partial, _)| partial.validator())
    }

    /// The next piece; `None` at the end, which of a growing file is its announced length. If its download fails this
    /// waits for ever: the download itself says why, and ends both.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, PumpError> {
        let at = self.at;
        if let Some((_, progress)) = &mut self.growing {
            let more =
                |now: &Progress| now.written > at || now.total == Some(at) || now.done.is_some();
            let whole = progress
                .wait_for(more)
                .await
                .map(|now| now.total == Some(at));
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
    out.send(piece)
        .await
        .map_err(|_| PumpError::Store(StoreError::Gone))
}

/// Waits for the first value; `None` if none will come.
async fn first(mut partial: watch::Receiver<Option<Arc<Partial>>>) -> Option<Arc<Partial>> {
    partial.wait_for(Option::is_some).await.ok()?.clone()
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
        self.0
            .blocking_send(piece)
            .map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(take)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
