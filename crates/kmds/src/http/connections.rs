//! Connections: how many are open, which ends first when there are too many, and how long each may take.
//!
//! Owns the accept loop and the limits of one connection and of all. [`Connections::accept_from`] spawns one task for
//! each connection, on the tracker that it returns; such a task ends with its client, with `cut`, or when its
//! connection has to make room.
//!
//! No address has a limit of its own while there is room. When seven eighths of all connections are taken, an address
//! that holds an eighth or more gets no more than it has. When all are taken, a few more are still answered: health
//! checks, and a 503 for every other request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crowd::Crowd;
use super::listener::{Accepted, Listener};
use super::middleware::{Connection, Middleware};
use super::network::Peer;
use super::sendfile::{FileQueue, FileWriter};
use super::write_timeout::{Activity, BYTE_WITHIN, WriteTimeout};

/// Time for a request's head to arrive, and for an idle connection to send its next (docs/api.md, "The door").
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The same for a connection beyond the limit, which answers one request.
const HEAD_WITHIN_OVER_LIMIT: Duration = Duration::from_secs(2);
/// Bounds what hyper buffers per connection, both ways; with larger buffers 200 slow listeners cost 100 MB.
const BUFFER_BYTES: usize = 16 << 10;
/// Pause after a failed accept: file handles must be freed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An eighth of all connections is left to addresses with few of them, and every address may hold an eighth.
const SHARE: usize = 8;
/// Connections beyond the limit at once, at most: each lives for one answer.
const MOST_OVER_LIMIT: usize = 16;
/// Connections that KMDS gives up when the process can open no more files: downloads, the drive and the catalog need
/// some too.
const GIVEN_UP: usize = 32;
/// A connection whose client has accepted no byte for this long makes room for a new one.
const STALLED_FOR: Duration = Duration::from_secs(10);

pub(super) struct Connections {
    pub(super) middleware: Arc<Middleware>,
    pub(super) most: usize,
    pub(super) crowd: Arc<Crowd>,
    /// Answers finish, and no new request is answered.
    pub(super) stop: CancellationToken,
    /// Every connection ends at once.
    pub(super) cut: CancellationToken,
}

impl Connections {
    /// Accepts until `stop`; returns the connections still open.
    pub(super) async fn accept_from(&self, listener: &Listener) -> TaskTracker {
        let tracker = TaskTracker::new();
        let mut open = OpenConnections::new(self.most);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok(accepted) => {
                    let peer = accepted.peer();
                    let connection = OpenConnection {
                        peer,
                        activity: Arc::default(),
                        end: self.cut.child_token(),
                    };
                    let is_proxy = self.middleware.guard.trusts(peer);
                    let over_limit = !open.admit(connection.clone(), is_proxy);
                    tracker.spawn(self.serve(accepted, connection, over_limit));
                }
                Err(error) => {
                    tracing::debug!(target: "kmds::http", "accept failed: {error}");
                    if is_out_of_files(&error) {
                        open.settle_for_fewer();
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        tracker
    }

    /// Serves one connection. Its token is cancelled at the end, in every case.
    fn serve(
        &self,
        accepted: Accepted,
        connection: OpenConnection,
        over_limit: bool,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (middleware, stop) = (Arc::clone(&self.middleware), self.stop.clone());
        let in_crowd = Arc::clone(&self.crowd).enter();
        async move {
            let OpenConnection {
                peer,
                activity,
                end,
            } = connection;
            // Dropped last: what the connection took is free by then.
            let _in_crowd = in_crowd;
            let _ended = end.clone().drop_guard();
            let of = |local, files| Connection {
                peer,
                local,
                activity,
                files,
                over_limit,
            };
            match accepted {
                Accepted::Tcp(stream, _, local) => {
                    let files = FileQueue::default();
                    let stream = FileWriter::new(stream, files.clone());
                    serve_connection(stream, middleware, of(local, Some(files)), stop, end).await
                }
                Accepted::Unix(stream) => {
                    let local = "localhost".to_owned();
                    serve_connection(stream, middleware, of(local, None), stop, end).await
                }
            }
        }
    }
}

/// A connection as the accept loop sees it.
#[derive(Clone)]
struct OpenConnection {
    peer: Peer,
    activity: Arc<Activity>,
    end: CancellationToken,
}

impl OpenConnection {
    fn is_open(&self) -> bool {
        !self.end.is_cancelled()
    }
}

/// All connections, oldest first. Ended ones are removed when room is needed.
struct OpenConnections {
    most: usize,
    number: u64,
    within: BTreeMap<u64, OpenConnection>,
    over_limit: BTreeMap<u64, OpenConnection>,
}

impl OpenConnections {
    fn new(most: usize) -> Self {
        Self {
            most,
            number: 0,
            within: BTreeMap::new(),
            over_limit: BTreeMap::new(),
        }
    }

    /// Adds a connection; false for one beyond the limit. A trusted proxy connects for many clients, and has no share.
    fn admit(&mut self, connection: OpenConnection, is_proxy: bool) -> bool {
        self.number += 1;
        let fits = self.has_room_for(connection.peer, is_proxy);
        if fits {
            self.within.insert(self.number, connection);
        } else {
            self.over_limit.retain(|_, connection| connection.is_open());
            if self.over_limit.len() >= (self.most / SHARE).clamp(1, MOST_OVER_LIMIT)
                && let Some((_, oldest)) = self.over_limit.pop_first()
            {
                oldest.end.cancel();
            }
            self.over_limit.insert(self.number, connection);
        }
        fits
    }

    /// The process can open no more files: from now on fewer connections are allowed, and idle ones end until the
    /// number fits.
    fn settle_for_fewer(&mut self) {
        self.within.retain(|_, connection| connection.is_open());
        self.most = self
            .most
            .min(self.within.len().saturating_sub(GIVEN_UP))
            .max(1);
        while self.within.len() > self.most && self.make_room(|_| true) {}
    }

    fn has_room_for(&mut self, peer: Peer, is_proxy: bool) -> bool {
        let share = self.most / SHARE;
        let many = self.most - share;
        if self.within.len() < many {
            return true;
        }
        self.within.retain(|_, connection| connection.is_open());
        let held = || {
            self.within
                .values()
                .filter(|connection| connection.peer == peer)
                .count()
        };
        if self.within.len() >= many && share > 0 && !is_proxy && held() >= share {
            return self.make_room(|connection| connection.peer == peer);
        }
        // An idle connection makes room, so that clients which only hold connections shut no other client out.
        self.within.len() < self.most || self.make_room(|_| true)
    }

    /// Ends one of the connections that `may_end` names: the oldest without a request under way, else the oldest whose
    /// client reads nothing. False when there is none.
    fn make_room(&mut self, may_end: impl Fn(&OpenConnection) -> bool) -> bool {
        let find = |useless: &dyn Fn(&Activity) -> bool| {
            self.within
                .iter()
                .filter(|(_, connection)| may_end(connection))
                .find(|(_, connection)| useless(&connection.activity))
                .map(|(number, _)| *number)
        };
        let found = find(&Activity::is_idle)
            .or_else(|| find(&|activity| activity.is_stalled_for(STALLED_FOR)));
        match found.and_then(|number| self.within.remove(&number)) {
            Some(connection) => {
                connection.end.cancel();
                true
            }
            None => false,
        }
    }
}

/// The limit of open files is reached, of this process or of the machine.
fn is_out_of_files(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| errno == Errno::MFILE || errno == Errno::NFILE)
}

/// Answers the requests of one connection until its client leaves, `end` is cancelled, or, after `stop`, until the
/// answer under way is sent.
async fn serve_connection<S>(
    stream: S,
    middleware: Arc<Middleware>,
    connection: Connection,
    stop: CancellationToken,
    end: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = WriteTimeout::new(stream, Arc::clone(&connection.activity), BYTE_WITHIN);
    let over_limit = connection.over_limit;
    let service = service_fn(move |request| {
        let request = with_own_head(request);
        let (middleware, connection) = (Arc::clone(&middleware), connection.clone());
        async move { Ok::<_, Infallible>(middleware.answer(connection, request).await) }
    });
    let head_within = if over_limit {
        HEAD_WITHIN_OVER_LIMIT
    } else {
        HEAD_WITHIN
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .keep_alive(!over_limit)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let mut stopping = false;
    loop {
        tokio::select! {
            // An error is a client that left, or an answer that was cut on purpose: both are in the log already.
            _ended = serving.as_mut() => return,
            () = end.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The request with a head of its own. hyper's head is part of the buffer that hyper reads into: while a handler waits for a
/// song, the head would keep these 8 KiB, and hyper would take another buffer.
fn with_own_head<B>(mut request: Request<B>) -> Request<B> {
    if let Ok(uri) = request.uri().to_string().parse() {
        *request.uri_mut() = uri;
    }
    for value in request.headers_mut().values_mut() {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copy;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_head_of_its_own_is_the_same_request() {
        for uri in [
            "/",
            "/tunnel?file=%C3%A4.mp3&stream=1",
            "*",
            "http://kmds:80/fetch?url=a",
            "/ä",
        ] {
            let request = || {
                Request::post(uri)
                    .header("x-bytes", &b"a\xff"[..])
                    .header("x-bytes", "b")
                    .body(())
            };
            let (before, after) = (
                request().expect("a request"),
                with_own_head(request().expect("a request")),
            );
            assert_eq!(before.uri(), after.uri());
            assert_eq!(before.headers(), after.headers());
            assert_eq!(before.method(), after.method());
        }
    }

    #[test]
    fn a_waiting_request_leaves_the_buffer_that_its_head_was_read_into() {
        let read = bytes::Bytes::from(vec![b'/'; 8192]);
        let value = HeaderValue::from_maybe_shared(read.slice(..9)).expect("a value");
        let uri = http::Uri::from_maybe_shared(read.slice(..9)).expect("a path");
        let request = Request::get(uri).header("x", value).body(());
        let _waits = with_own_head(request.expect("a request"));
        assert!(read.try_into_mut().is_ok());
    }

    fn connection(host: u8) -> OpenConnection {
        let peer = Peer::at([10, 0, 0, host].into());
        let connection = OpenConnection {
            peer,
            activity: Arc::default(),
            end: CancellationToken::new(),
        };
        connection.activity.begin();
        connection
    }

    /// Connections of one address, all with a request under way: as many of `count` as are admitted.
    fn crowd(open: &mut OpenConnections, host: u8, count: usize) -> Vec<OpenConnection> {
        (0..count)
            .map(|_| connection(host))
            .filter(|connection| open.admit(connection.clone(), false))
            .collect()
    }

    #[test]
    fn one_address_cannot_take_the_last_eighth_and_alone_it_may_have_the_rest() {
        let mut open = OpenConnections::new(4096);
        assert_eq!(crowd(&mut open, 1, 5000).len(), 3584);
        assert_eq!(crowd(&mut open, 2, 600).len(), 512);
        assert_eq!(crowd(&mut open, 3, 1).len(), 0, "now it is full");
    }

    #[test]
    fn an_address_may_hold_its_share_however_full_it_is() {
        let mut open = OpenConnections::new(4096);
        let many = crowd(&mut open, 1, 3584);
        assert_eq!(crowd(&mut open, 2, 200).len(), 200);
        many[0].end.cancel();
        assert_eq!(
            crowd(&mut open, 1, 1).len(),
            0,
            "the last eighth begins above it"
        );
        assert_eq!(crowd(&mut open, 3, 313).len(), 313);
    }

    #[test]
    fn a_trusted_proxy_connects_for_many_clients() {
        let mut open = OpenConnections::new(64);
        assert_eq!(
            (0..100).filter(|_| open.admit(connection(1), true)).count(),
            64
        );
    }

    #[test]
    fn an_idle_connection_makes_room_and_first_one_of_the_same_address() {
        let mut open = OpenConnections::new(16);
        let of_one = crowd(&mut open, 1, 14);
        of_one[3].activity.end();
        let idle_other = crowd(&mut open, 2, 1).remove(0);
        idle_other.activity.end();
        assert_eq!(crowd(&mut open, 1, 1).len(), 1);
        assert!(!of_one[3].is_open() && idle_other.is_open());
        assert_eq!(crowd(&mut open, 1, 1).len(), 0, "none of its own is idle");
        assert_eq!(crowd(&mut open, 3, 2).len(), 2);
        assert!(!idle_other.is_open());
    }

    #[test]
    fn beyond_the_limit_the_newest_connections_are_answered() {
        let mut open = OpenConnections::new(16);
        crowd(&mut open, 1, 14);
        let late: Vec<OpenConnection> = (0..5).map(|_| connection(1)).collect();
        assert!(
            !late
                .iter()
                .any(|connection| open.admit(connection.clone(), false))
        );
        let here: Vec<bool> = late.iter().map(OpenConnection::is_open).collect();
        assert_eq!(here, [false, false, false, true, true]);
    }

    #[test]
    fn without_files_idle_connections_leave_and_some_handles_stay_free() {
        let mut open = OpenConnections::new(4096);
        let listeners = crowd(&mut open, 1, 100);
        let idle = crowd(&mut open, 2, 100);
        idle.iter().for_each(|connection| connection.activity.end());
        open.settle_for_fewer();
        assert_eq!(
            idle.iter()
                .filter(|connection| connection.is_open())
                .count(),
            100 - GIVEN_UP
        );
        assert!(
            listeners.iter().all(OpenConnection::is_open),
            "a listener is not pushed out"
        );
        crowd(&mut open, 3, 100);
        assert_eq!(
            open.within.len(),
            200 - GIVEN_UP,
            "a new connection only takes the place of an idle one"
        );
    }

    #[test]
    fn the_smallest_limits_have_a_place_too() {
        for most in 1..8 {
            assert_eq!(crowd(&mut OpenConnections::new(most), 1, 20).len(), most);
        }
    }
}
