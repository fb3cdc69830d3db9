//! A stream that is cut when its client accepts no byte for a long time.
//!
//! Owns that time, and what a connection is doing, as far as the accept loop needs to know. A client that accepts at
//! least a byte in that time is never cut, however slow it is.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A client that accepts no byte for this long is gone, or an attacker. The time is long, because a paused player does
/// not read either; its song may be evicted long before (`store::claims`).
pub(super) const BYTE_WITHIN: Duration = Duration::from_secs(600);

/// What a connection is doing.
#[derive(Debug, Default)]
pub(super) struct Activity {
    requests: AtomicUsize,
    /// The time on [`clock`] since when no byte is accepted, in milliseconds; 0 while bytes flow.
    stalled_since: AtomicU64,
}

impl Activity {
    pub(super) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// No request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    pub(super) fn is_stalled_for(&self, time: Duration) -> bool {
        let since = self.stalled_since.load(Ordering::Relaxed);
        since > 0 && u128::from(clock().saturating_sub(since)) >= time.as_millis()
    }
}

/// Milliseconds since the first call, plus one: never 0.
fn clock() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// The stream of one connection.
pub(super) struct WriteTimeout<S> {
    stream: S,
    activity: Arc<Activity>,
    within: Duration,
    /// Runs while a write is pending.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, within: Duration) -> Self {
        Self {
            stream,
            activity,
            within,
            limit: None,
        }
    }

    fn check(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            if self.limit.take().is_some() {
                self.activity.stalled_since.store(0, Ordering::Relaxed);
            }
            return wrote;
        }
        let Self {
            activity,
            within,
            limit,
            ..
        } = self;
        let limit = limit.get_or_insert_with(|| {
            activity.stalled_since.store(clock(), Ordering::Relaxed);
            Box::pin(tokio::time::sleep(*within))
        });
        limit
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.check(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let (_client, server) = tokio::io::duplex(16);
        let activity = Arc::new(Activity::default());
        let mut server =
            WriteTimeout::new(server, Arc::clone(&activity), Duration::from_millis(20));
        let sent = server.write_all(&[7; 64]).await;
        assert_eq!(
            sent.expect_err("the client reads nothing").kind(),
            io::ErrorKind::TimedOut
        );
        assert!(activity.is_stalled_for(Duration::from_millis(20)));
    }

    #[tokio::test]
    async fn each_accepted_byte_restarts_the_time() {
        let (mut client, server) = tokio::io::duplex(16);
        let activity = Arc::new(Activity::default());
        let mut server = WriteTimeout::new(server, Arc::clone(&activity), BYTE_WITHIN);
        server.write_all(&[7; 16]).await.expect("taken");
        let mut got = [0; 24];
        let mut stalled = false;
        let read = async {
            tokio::task::yield_now().await;
            stalled = activity.is_stalled_for(Duration::ZERO);
            client.read_exact(&mut got).await
        };
        let (sent, read) = tokio::join!(server.write_all(&[7; 8]), read);
        assert!(sent.is_ok() && read.is_ok());
        assert!(stalled && server.limit.is_none() && !activity.is_stalled_for(Duration::ZERO));
    }
}
