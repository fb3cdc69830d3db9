//! The bytes of an answer, read as the client takes them.
//!
//! Owns the order of the pieces of one answer, and cutting it off when the file fails. It reads nothing ahead: each
//! listener has at most one piece in memory. Dropping a body ends its read; the download goes on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::sendfile::{FileQueue, SPAN_BYTES};
use crate::app::{App, Audio, Reader};
use crate::metrics::Metrics;

/// The first step of an answer: a span that the kernel sends. A step that is read here is smaller
/// ([`Reader::read_at`]). Half a minute of most songs: a song that plays while it is sent counts as read at each step,
/// and may be evicted after a minute without one.
const PIECE_BYTES: usize = 256 << 10;
/// A client that took the last step within this time gets [`SPAN_BYTES`] in the next: the kernel is asked less often.
const QUICK: Duration = Duration::from_millis(100);

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Piece {
    Text(Bytes),
    /// Bytes of the file from `at` up to `end`; without an end, all there will be.
    Span {
        at: u64,
        end: Option<u64>,
    },
}

/// The answer cannot be completed: the server cuts the connection, so that no client takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the audio was cut: {0}")]
pub(in crate::http) struct Cut(String);

/// A file that is being sent to one listener.
pub(in crate::http) struct Sending {
    reader: Reader,
    /// Announced length of a file that still grows: its last bytes go out only when the file has been found whole.
    announced: Option<u64>,
    /// The queue of the connection, if the kernel may send the file's bytes itself.
    files: Option<FileQueue>,
    /// When the last span was queued.
    queued: Option<Instant>,
    metrics: Arc<Metrics>,
}

impl Sending {
    pub(in crate::http) fn new(audio: Audio, app: &App) -> Self {
        let metrics = Arc::clone(app.metrics());
        metrics.listener_came();
        let announced = audio.total.filter(|_| !audio.finished);
        Self {
            reader: audio.reader,
            announced,
            files: None,
            queued: None,
            metrics,
        }
    }

    /// For an answer whose body goes unchanged to the connection of `files`.
    pub(super) fn by(mut self, files: Option<FileQueue>) -> Self {
        self.files = files;
        self
    }

    /// Up to `most` bytes from `at` on, waiting while none are there; empty at the end.
    pub(in crate::http) async fn read_at(&mut self, at: u64, most: usize) -> Result<Bytes, Cut> {
        let bytes = self.reader.read_at(at, most).await.map_err(cut)?;
        self.count(at, bytes.len()).await?;
        Ok(bytes)
    }

    /// As [`Sending::read_at`]; if the kernel sends the bytes itself, the slice that stands for them.
    async fn next(&mut self, at: u64, most: usize) -> Result<Bytes, Cut> {
        let Some(files) = self.files.clone().filter(FileQueue::is_usable) else {
            return self.read_at(at, most).await;
        };
        let is_quick = self.queued.is_some_and(|queued| queued.elapsed() < QUICK);
        let step = if is_quick { SPAN_BYTES } else { PIECE_BYTES };
        let span = self.reader.span_at(at, most.min(step) as u64).await;
        let Some(span) = span.map_err(cut)? else {
            return self.read_at(at, most).await;
        };
        self.queued = Some(Instant::now());
        let length = usize::try_from(span.length).unwrap_or(usize::MAX);
        let Some(stand_in) = files.push(span) else {
            return self.read_at(at, most).await;
        };
        self.count(at, length).await?;
        Ok(stand_in)
    }

    /// Counts bytes before they are sent. The last announced bytes must be the file's last.
    async fn count(&mut self, at: u64, length: usize) -> Result<(), Cut> {
        let reached = at.saturating_add(length as u64);
        if self.announced == Some(reached) {
            let more = self.reader.read_at(reached, 1).await.map_err(cut)?;
            if !more.is_empty() {
                return Err(cut("the file is longer than the site announced"));
            }
        }
        self.metrics.served(length);
        Ok(())
    }
}

fn cut(error: impl std::fmt::Display) -> Cut {
    Cut(error.to_string())
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.metrics.listener_left();
    }
}

/// A read under way; it gives the [`Sending`] back.
type Reading = Pin<Box<dyn Future<Output = (Sending, Result<Bytes, Cut>)> + Send>>;

enum Phase {
    Idle(Sending),
    Reading(Reading),
    Over,
}

/// An answer made of pieces of one file.
pub(super) struct AudioBody {
    pieces: VecDeque<Piece>,
    phase: Phase,
}

impl AudioBody {
    pub(super) fn new(sending: Sending, pieces: VecDeque<Piece>) -> Self {
        Self {
            pieces,
            phase: Phase::Idle(sending),
        }
    }

    /// Starts to read the span at the front.
    fn start_reading(&mut self, at: u64, end: Option<u64>) {
        let left = end.map_or(u64::MAX, |end| end.saturating_sub(at));
        let most = usize::try_from(left).map_or(SPAN_BYTES, |left| left.min(SPAN_BYTES));
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Idle(mut sending) => Phase::Reading(Box::pin(async move {
                let read = sending.next(at, most).await;
                (sending, read)
            })),
            other => other,
        };
    }

    /// Moves on after a read.
    fn advance(&mut self, read: u64) -> Result<(), Cut> {
        let Some(Piece::Span { at, end }) = self.pieces.front_mut() else {
            return Ok(());
        };
        *at = at.saturating_add(read);
        if read == 0 && end.is_some() {
            return Err(Cut("the file is shorter than it was".to_owned()));
        }
        if read == 0 || end.is_some_and(|end| *at >= end) {
            self.pieces.pop_front();
        }
        Ok(())
    }

    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.pieces.clear();
        self.phase = Phase::Over;
        Poll::Ready(Some(Err(cut)))
    }
}

impl Body for AudioBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Phase::Reading(reading) = &mut self.phase {
                let (sending, read) = ready!(reading.as_mut().poll(cx));
                self.phase = Phase::Idle(sending);
                let bytes = match read {
                    Ok(bytes) => bytes,
                    Err(cut) => return self.cut(cut),
                };
                if let Err(cut) = self.advance(bytes.len() as u64) {
                    return self.cut(cut);
                }
                if !bytes.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
            match self.pieces.front_mut() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => {
                    let text = std::mem::take(text);
                    self.pieces.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(text))));
                }
                Some(Piece::Span { at, end }) => {
                    let (at, end) = (*at, *end);
                    self.start_reading(at, end);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // While a read is under way its bytes are still counted in its span.
        let left = self.pieces.iter().try_fold(0u64, |sum, piece| match piece {
            Piece::Text(text) => Some(sum + text.len() as u64),
            Piece::Span { at, end } => Some(sum + (*end)?.saturating_sub(*at)),
        });
        left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
