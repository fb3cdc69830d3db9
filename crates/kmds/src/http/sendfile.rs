//! Bytes of a file that the kernel sends to a socket itself (`sendfile(2)`): they are not copied through this process.
//!
//! Owns the queue of such spans of one TCP connection, and the writer that sends them. hyper takes only bytes from a
//! body. So a body puts a span into the queue and gives hyper a slice of [`STAND_IN`] of the same length. The writer
//! recognises a slice of that block by its address, and sends the span instead: as much as the socket takes, so that
//! hyper counts, frames and cuts as with any other bytes. If a span is not in the page cache any more, a thread reads
//! it first, so that the runtime does not wait for the drive.
//!
//! Never put a layer that copies bytes (compression, TLS) between a body and this writer: the client would get zeros.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::app::FileSpan;

/// Longest span, for a client that takes its spans quickly.
pub(super) const SPAN_BYTES: usize = 2 << 20;
/// hyper takes frames of a body until 16 KiB or 16 of them wait.
const MOST_SPANS: usize = 32;
/// How much one write reads itself if the file system cannot send.
const READ_BYTES: u64 = 64 << 10;

/// Only its addresses are used. The pages are never touched, so they take no memory.
static STAND_IN: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; SPAN_BYTES]));

fn is_stand_in(bytes: &[u8]) -> bool {
    !bytes.is_empty() && STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

/// The spans that one connection has still to send, in the order of its bytes.
#[derive(Clone, Default)]
pub(super) struct FileQueue {
    spans: Arc<Mutex<VecDeque<FileSpan>>>,
    /// The file system cannot send files to sockets.
    is_refused: Arc<AtomicBool>,
}

impl FileQueue {
    /// Whether spans may be used. Otherwise a body reads.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
    }

    /// Queues a span of at most [`SPAN_BYTES`]; returns the slice for it in the body. None if enough spans wait.
    pub(super) fn push(&self, span: FileSpan) -> Option<Bytes> {
        let mut spans = self.spans.lock();
        let length = usize::try_from(span.length).ok()?;
        if spans.len() >= MOST_SPANS || length > SPAN_BYTES {
            return None;
        }
        spans.push_back(span);
        Some(STAND_IN.slice(..length))
    }

    fn is_empty(&self) -> bool {
        self.spans.lock().is_empty()
    }

    /// The part that the next write of `most` bytes sends, if it is not in memory.
    fn first_to_read(&self, most: usize) -> Option<FileSpan> {
        let next = self.spans.lock().front()?.first(most as u64);
        (!next.is_in_memory()).then_some(next)
    }

    /// Sends up to `most` bytes of the first span.
    fn send_to(&self, stream: &TcpStream, most: usize) -> io::Result<usize> {
        let mut spans = self.spans.lock();
        let Some(span) = spans.front_mut() else {
            return Err(io::Error::other("no span of a file is left to send"));
        };
        let count = (most as u64).min(span.length);
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let mut at = span.at;
        let sent = match stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(
                stream,
                &*span.file,
                Some(&mut at),
                wanted,
            )?)
        }) {
            Err(error) if is_refusal(&error) => {
                self.is_refused.store(true, Ordering::Relaxed);
                read_and_write(stream, span, count)?
            }
            sent => sent?,
        };
        if sent == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than it was",
            ));
        }
        span.at += sent as u64;
        span.length = span.length.saturating_sub(sent as u64);
        if span.length == 0 {
            spans.pop_front();
        }
        Ok(sent)
    }
}

fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

/// Sends the queued spans on a file system that cannot send. After that, bodies read their bytes themselves.
fn read_and_write(stream: &TcpStream, span: &FileSpan, count: u64) -> io::Result<usize> {
    let mut bytes = vec![0; usize::try_from(count.min(READ_BYTES)).unwrap_or(0)];
    let read = span.file.read_at(&mut bytes, span.at)?;
    if read == 0 {
        Ok(0)
    } else {
        stream.try_write(&bytes[..read])
    }
}

/// A TCP connection that sends the spans of its queue in their places.
pub(super) struct FileWriter {
    stream: TcpStream,
    files: FileQueue,
    /// A thread reads the bytes that are sent next.
    reading: Option<JoinHandle<()>>,
    /// The socket was full since the first span was queued, so that its bytes may have left memory. A span is in memory
    /// when it is queued.
    has_waited: bool,
}

impl FileWriter {
    pub(super) const fn new(stream: TcpStream, files: FileQueue) -> Self {
        Self {
            stream,
            files,
            reading: None,
            has_waited: false,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(is_writable) = self.stream.poll_write_ready(cx) else {
                self.has_waited = true;
                return Poll::Pending;
            };
            is_writable?;
            if let Some(reading) = &mut self.reading {
                // If it could not be read, sending gives the error.
                let _ = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
            } else if self.has_waited
                && let Some(span) = self.files.first_to_read(most)
            {
                self.reading = Some(tokio::task::spawn_blocking(move || span.read_ahead()));
                continue;
            }
            match self.files.send_to(&self.stream, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_waited = true,
                sent => {
                    self.has_waited &= !self.files.is_empty();
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

impl AsyncRead for FileWriter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FileWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        if let Some(stand_in) = first.filter(|buf| is_stand_in(buf)) {
            return self.poll_send(cx, stand_in.len());
        }
        let before = bufs.iter().position(|buf| is_stand_in(buf));
        let bytes = &bufs[..before.unwrap_or(bufs.len())];
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    /// Otherwise hyper would copy all bytes into one buffer first.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let path = std::env::temp_dir().join(format!("kmds-sendfile-{}", crate::random::id()));
        std::fs::write(&path, bytes).expect("written");
        let file = File::open(&path).expect("a file");
        std::fs::remove_file(&path).expect("removed");
        Arc::new(file)
    }

    /// A writer and its client.
    async fn pair(files: FileQueue) -> (FileWriter, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (stream, _) = accepted.expect("accepted");
        (FileWriter::new(stream, files), client.expect("connected"))
    }

    /// What a client gets when the writer is given `parts` at once and then closed.
    async fn received(
        mut writer: FileWriter,
        client: &mut TcpStream,
        parts: Vec<Bytes>,
    ) -> Vec<u8> {
        let send = async move {
            let mut left: Vec<_> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
            let mut left = left.as_mut_slice();
            while !left.is_empty() {
                let wrote = writer.write_vectored(left).await.expect("taken");
                io::IoSlice::advance_slices(&mut left, wrote);
            }
            writer.shutdown().await.expect("shut down");
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(send, client.read_to_end(&mut got));
        read.expect("read");
        got
    }

    #[tokio::test]
    async fn a_span_is_sent_in_the_place_of_its_stand_in() {
        let audio: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let file = file_of(&audio);
        let files = FileQueue::default();
        let (writer, mut client) = pair(files.clone()).await;
        let span = |at, length| FileSpan {
            file: Arc::clone(&file),
            at,
            length,
        };
        let parts = vec![
            Bytes::from_static(b"head"),
            files.push(span(10, SPAN_BYTES as u64)).expect("room"),
            Bytes::from_static(b"between"),
            files.push(span(0, 5)).expect("room"),
        ];
        let got = received(writer, &mut client, parts).await;
        let expected = [
            b"head".as_slice(),
            &audio[10..10 + SPAN_BYTES],
            b"between",
            &audio[..5],
        ]
        .concat();
        assert!(
            got == expected,
            "{} bytes came, not {}",
            got.len(),
            expected.len()
        );
    }

    #[tokio::test]
    async fn a_file_that_another_program_cut_ends_the_connection() {
        let file = file_of(b"short");
        let files = FileQueue::default();
        let (mut writer, _client) = pair(files.clone()).await;
        let bytes = files
            .push(FileSpan {
                file,
                at: 0,
                length: 100,
            })
            .expect("room");
        let sent = writer.write_all(&bytes).await;
        assert_eq!(
            sent.expect_err("95 bytes are missing").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[tokio::test]
    async fn a_file_system_that_cannot_send_is_read() {
        // A file of procfs whose reader the kernel wrote without support for splicing, or with: the bytes are the same.
        let file = Arc::new(File::open("/proc/self/limits").expect("Linux"));
        let text = std::fs::read("/proc/self/limits").expect("Linux");
        let files = FileQueue::default();
        let (writer, mut client) = pair(files.clone()).await;
        let part = files
            .push(FileSpan {
                file,
                at: 0,
                length: text.len() as u64,
            })
            .expect("room");
        assert!(received(writer, &mut client, vec![part]).await == text);
    }

    #[tokio::test]
    async fn a_span_that_is_not_in_memory_any_more_is_read_by_a_thread() {
        let audio: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let file = file_of(&audio);
        file.sync_all().expect("on the drive");
        let files = FileQueue::default();
        let (mut writer, mut client) = pair(files.clone()).await;
        let span = FileSpan {
            file: Arc::clone(&file),
            at: 0,
            length: audio.len() as u64,
        };
        let part = files.push(span).expect("room");
        rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed).expect("forgotten");
        writer.has_waited = true;
        assert!(received(writer, &mut client, vec![part]).await == audio);
    }

    #[test]
    fn spans_that_are_never_taken_are_refused_in_the_end() {
        let (files, file) = (FileQueue::default(), file_of(b"audio"));
        let span = || FileSpan {
            file: Arc::clone(&file),
            at: 0,
            length: 5,
        };
        let taken = (0..100).filter_map(|_| files.push(span())).count();
        assert_eq!(taken, MOST_SPANS);
    }
}
