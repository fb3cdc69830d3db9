//! Makes another format of a stream's bytes while they arrive: re-wraps them, extracts the audio of a video, or
//! converts them.
//!
//! Owns the work beside a download: it reads the raw file as it grows, and the result can be read as it is written. The
//! raw bytes have their own key and lease, so that a restart downloads nothing twice; bad bytes are removed. Both
//! halves run in one task; the first failure ends both. This module chooses no stream and publishes nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::{Format, Kind, Stream};
use tokio::sync::{mpsc, watch};

use super::fill::{FillError, Work, announce_length, check};
use crate::convert::Mp4Head;
use crate::media::{self, webm::OpusToOgg};
use crate::store::{Lease, Partial, Progress, Reader, StoreError};

/// A piece read back from a file.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// The rewrite of the arriving bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rewrite {
    OpusToOgg,
    TakeAudioOut,
    Convert(Format),
}

impl Rewrite {
    /// The format of the result.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::OpusToOgg => Format::Opus,
            Self::TakeAudioOut => Format::M4a,
            Self::Convert(format) => format,
        }
    }
}

/// One rewrite under way.
pub(super) struct Rewriting<'a> {
    pub work: Work<'a>,
    pub lease: &'a mut Lease,
    pub stream: &'a Stream,
    pub rewrite: Rewrite,
    pub expected: Option<Duration>,
}

impl Rewriting<'_> {
    /// Downloads into the raw file and rewrites what arrives, both at once.
    pub(super) async fn run(&mut self) -> Result<(), FillError> {
        let (work, stream, expected) = (self.work, self.stream, self.expected);
        let mut raw_lease = work.at.store.lease(&work.job.key.raw()).await?;
        let (began, raw_partial) = watch::channel(None);
        let download = async {
            let began = |partial| drop(began.send_replace(Some(partial)));
            // With another URL the rewrite would start again, so throttling is not an error here.
            work.fill(&mut raw_lease, stream, true, began).await?;
            announce_length(&mut raw_lease);
            check(&mut raw_lease, stream.container, expected).await?;
            work.converts().await?;
            work.at.table().has_arrived(work.job);
            Ok::<(), FillError>(())
        };
        let rewriting = async {
            let Some(partial) = first(raw_partial).await else {
                // The download failed before its first byte; its error has the reason.
                return std::future::pending().await;
            };
            let source = RawReader::growing(work.at.store.open_reader(&partial), partial);
            match self.rewrite {
                Rewrite::OpusToOgg => self.rewrap(source).await,
                Rewrite::TakeAudioOut => self.take_audio_out(source).await,
                Rewrite::Convert(_) => self.convert(source).await,
            }
        };
        // A rewrite without more bytes waits for the download's error.
        let Err(error) = tokio::try_join!(download, rewriting) else {
            raw_lease.discard().await?;
            announce_length(self.lease);
            return Ok(());
        };
        if spoils(&error, &mut raw_lease, stream, expected).await {
            raw_lease.discard().await?;
        }
        Err(error)
    }

    async fn rewrap(&mut self, mut source: RawReader) -> Result<(), FillError> {
        let broken = |error: media::Broken| FillError::Broken(error.to_string());
        let mut ogg = OpusToOgg::new(crc_of(&self.work.job.key.to_string()));
        self.start_output(&source).await?;
        while let Some(piece) = source.next().await? {
            let out = ogg.push(&piece).map_err(broken)?;
            self.work.put(self.lease, out.into()).await?;
        }
        let out = ogg.finish().map_err(broken)?;
        Ok(self.work.put(self.lease, out.into()).await?)
    }

    async fn take_audio_out(&mut self, mut source: RawReader) -> Result<(), FillError> {
        // The index may be at the end: wait for the whole file.
        while source.next().await?.is_some() {}
        self.start_output(&source).await?;
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
            self.work.put(self.lease, piece).await?;
        }
        match work.await {
            Ok(done) => Ok(done?),
            Err(_) => Err(FillError::Internal("extracting the audio was interrupted")),
        }
    }

    async fn convert(&mut self, mut source: RawReader) -> Result<(), FillError> {
        self.start_output(&source).await?;
        let format = self.rewrite.format();
        self.work
            .encode(self.lease, &mut source, format, self.expected)
            .await
    }

    /// Opens the output file; listeners may read it from now on.
    async fn start_output(&mut self, source: &RawReader) -> Result<(), FillError> {
        let format = self.rewrite.format();
        self.lease.restart().await?;
        let validator = format!("{} as {format}", source.validator());
        let partial = self.lease.begin(&validator, None, 0).await?;
        self.work.show(partial, format);
        Ok(())
    }
}

/// Whether the raw bytes must not be continued. If an encoder refuses bytes, it may be right: they are kept only if the
/// whole file passes the check.
async fn spoils(
    error: &FillError,
    raw_lease: &mut Lease,
    stream: &Stream,
    expected: Option<Duration>,
) -> bool {
    match error {
        FillError::Convert(failure) if failure.kind == Kind::ConversionFailed => {
            let checked = check(raw_lease, stream.container, expected).await;
            checked.is_err_and(|error| error.is_of_the_bytes())
        }
        error => error.is_of_the_bytes(),
    }
}

impl Work<'_> {
    /// Converts a file with ffmpeg into an open lease.
    pub(super) async fn encode(
        self,
        lease: &mut Lease,
        source: &mut RawReader,
        format: Format,
        expected: Option<Duration>,
    ) -> Result<(), FillError> {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let encoding = self.encode_into(source, format, expected, sender);
        let writing = async {
            while let Some(piece) = pieces.recv().await {
                self.put(lease, piece).await?;
            }
            Ok::<(), FillError>(())
        };
        tokio::try_join!(encoding, writing)?;
        Ok(())
    }

    /// Converts with ffmpeg, piece by piece: input and output pipe are used at the same time. Dropping the sender ends
    /// it.
    pub(super) async fn encode_into(
        self,
        source: &mut RawReader,
        format: Format,
        expected: Option<Duration>,
        out: mpsc::Sender<Bytes>,
    ) -> Result<(), FillError> {
        let stall = self.at.recipes.current().time.convert_stall;
        let conversion = self.at.ffmpeg.start(format, stall).await?;
        let (mut feed, mut output) = (conversion.feed, conversion.output);
        let feeding = async {
            while let Some(piece) = source.next().await? {
                if !feed.push(&piece).await {
                    break;
                }
            }
            feed.finish().await;
            Ok::<(), FillError>(())
        };
        let taking = async {
            let mut head = expected.filter(|_| format == Format::M4a).map(Mp4Head::new);
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
}

/// Reads a file from its start to its end, as it grows.
pub(super) struct RawReader {
    reader: Reader,
    at: u64,
    /// The file that is still arriving; `None` for a finished one.
    growing: Option<(Arc<Partial>, watch::Receiver<Progress>)>,
}

impl RawReader {
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

    /// The next piece; `None` at the end, which is the announced length for a growing file. If its download fails, this
    /// waits for ever: the download's own error ends both halves.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FillError> {
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

/// An error means that no task takes pieces any more; the task that stopped has the reason.
async fn send(out: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), FillError> {
    if piece.is_empty() {
        return Ok(());
    }
    out.send(piece)
        .await
        .map_err(|_| FillError::Store(StoreError::Gone))
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

/// A blocking writer whose pieces reach the runtime as fast as they are taken.
pub(super) struct Pieces(pub(super) mpsc::Sender<Bytes>);

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
