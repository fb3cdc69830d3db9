//! The server: sockets, connections, and their end.
//!
//! Owns binding, the accept loop, the limits of a connection, and the graceful stop. Hides hyper.
//! Never looks at a path.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::{Entry, Visit};
use super::guard::Guard;
use super::network::Peer;
use super::{Http, router, routes};
use crate::app::App;
use crate::config::ServerConfig;

/// Time for a request's head to arrive, and for an idle connection to send its next (docs/api.md, "The door").
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bounds what hyper buffers per connection, both ways; with larger buffers 200 slow listeners cost 100 MB.
const BUFFER_BYTES: usize = 16 << 10;
/// Connections at once, unless the limit of open files is lower or the settings say otherwise (docs/settings.md).
const MOST_CONNECTIONS: usize = 4096;
/// Files the service needs besides connections: catalog, partials, the connections to the sites.
const FILES_KEPT_FREE: u64 = 128;
/// Pause after a failed accept: file handles have to come back first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For a client that is turned away at the limit to take its answer.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(1);

const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n\
    Connection: close\r\nContent-Length: 113\r\n\r\n\
    {\"Status\":503,\"Error\":\"too many connections; close some, or raise server.max_connections\",\"Kind\":\"queue_full\"}  \n";

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("`{key}` is `{value}`: {wanted}")]
    Setting { key: &'static str, value: String, wanted: String },
    #[error("cannot listen on {listen}: {source}; {}", bind_advice(source))]
    Bind { listen: String, source: std::io::Error },
}

fn bind_advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::AddrInUse => "stop what uses it, or choose another server.listen",
        ErrorKind::AddrNotAvailable => "this machine has no such address; choose another server.listen",
        ErrorKind::PermissionDenied => "ports below 1024 are for root; choose another server.listen",
        _ => "choose another server.listen",
    }
}

/// A server that is bound but does not answer yet.
pub struct Server {
    config: ServerConfig,
    listener: Listener,
    guard: Guard,
    most_connections: usize,
}

enum Listener {
    Tcp(TcpListener),
    /// The path is removed when the server ends, if we made it.
    Unix(UnixListener, Option<PathBuf>),
}

enum Accepted {
    Tcp(TcpStream, Peer, String),
    Unix(UnixStream),
}

impl Server {
    /// Checks what [`Server::bind`] would refuse, without binding: names, networks, the tokens file.
    /// # Errors
    /// See [`ServeError`].
    pub fn check(config: &ServerConfig) -> Result<(), ServeError> {
        Guard::new(config).map(drop)
    }

    /// Reads the tokens and binds the address; clients that connect from now on wait.
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind(config: &ServerConfig) -> Result<Self, ServeError> {
        let guard = Guard::new(config)?;
        let failed = |source| ServeError::Bind { listen: config.listen.clone(), source };
        let listener = match (inherited().map_err(failed)?, config.listen.strip_prefix("unix:")) {
            (Some(listener), _) => listener,
            (None, Some(path)) => bind_unix(path.into()).await.map_err(failed)?,
            (None, None) => Listener::Tcp(TcpListener::bind(&config.listen).await.map_err(failed)?),
        };
        let most_connections = config.max_connections.unwrap_or_else(most_connections);
        Ok(Self { config: config.clone(), listener, guard, most_connections })
    }

    /// Host and port listened on; of a Unix socket its path, and 0.
    #[must_use]
    pub fn bound(&self) -> (String, u16) {
        match &self.listener {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| (String::new(), 0), |at| (at.ip().to_string(), at.port()))
            }
            Listener::Unix(listener, _) => (path_of(listener), 0),
        }
    }

    /// As in `http://127.0.0.1:60071` or `unix:/run/kmds.sock`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |at| format!("http://{at}"))
            }
            Listener::Unix(listener, _) => format!("unix:{}", path_of(listener)),
        }
    }

    /// Serves until `stop`; then accepts nothing more, lets answers finish for `server.stop_within`, and cuts the rest.
    pub async fn run(self, app: App, stop: CancellationToken) {
        let bound = self.bound();
        let Self { config, mut listener, guard, most_connections } = self;
        let (stop_within, base_path) = (config.stop_within, config.base_path.clone());
        let metrics = Arc::clone(app.metrics());
        let http = Http::new(app, config, bound, stop.clone());
        let routes = routes().listed.into_iter().map(|(_, path)| path).collect();
        let entry = Arc::new(Entry { guard, router: router(http), base_path, routes, metrics });
        let cut = CancellationToken::new();
        let connections = Connections { entry, most: most_connections, stop: stop.clone(), cut: cut.clone() };
        let open = connections.accept_from(&listener).await;
        // Whoever comes now is refused at once, rather than kept waiting in the queue of a socket that nobody reads.
        let socket_file = match &mut listener {
            Listener::Unix(_, path) => path.take(),
            Listener::Tcp(..) => None,
        };
        drop(listener);
        open.close();
        if tokio::time::timeout(stop_within, open.wait()).await.is_err() {
            tracing::warn!(target: "kmds::http", "{} connections cut after {} s", open.len(), stop_within.as_secs());
            cut.cancel();
            open.wait().await;
        }
        if let Some(path) = socket_file {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The first socket the service manager opened for us (`LISTEN_FDS`), which beats `server.listen`.
fn inherited() -> std::io::Result<Option<Listener>> {
    let mut sockets = listenfd::ListenFd::from_env();
    if sockets.len() == 0 {
        return Ok(None);
    }
    if let Ok(Some(listener)) = sockets.take_tcp_listener(0) {
        listener.set_nonblocking(true)?;
        return TcpListener::from_std(listener).map(|listener| Some(Listener::Tcp(listener)));
    }
    let listener = sockets.take_unix_listener(0)?;
    let listener = listener.map(|listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(|listener| Listener::Unix(listener, None))
    });
    listener.transpose()
}

fn path_of(listener: &UnixListener) -> String {
    let address = listener.local_addr().ok();
    address.and_then(|at| at.as_pathname().map(|path| path.display().to_string())).unwrap_or_default()
}

/// Binds a path, taking over one that a dead server left behind.
async fn bind_unix(path: PathBuf) -> std::io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    let left_behind = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
    if left_behind && UnixStream::connect(&path).await.is_err() {
        std::fs::remove_file(&path)?;
    }
    Ok(Listener::Unix(UnixListener::bind(&path)?, Some(path)))
}

fn most_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let free = files.saturating_sub(FILES_KEPT_FREE).max(files / 2).max(1);
    usize::try_from(free).unwrap_or(usize::MAX).min(MOST_CONNECTIONS)
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it the head of an answer waits for the acknowledgement of the one before.
                stream.set_nodelay(true)?;
                let local = stream.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
                Ok(Accepted::Tcp(stream, Peer::at(peer.ip()), local))
            }
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

struct Connections {
    entry: Arc<Entry>,
    most: usize,
    /// Answers finish, nothing new begins.
    stop: CancellationToken,
    /// Everything ends.
    cut: CancellationToken,
}

/// A connection as the accept loop sees it.
struct Guest {
    busy: Arc<AtomicUsize>,
    leave: CancellationToken,
}

impl Connections {
    /// Accepts until `stop`; returns the connections still open.
    async fn accept_from(&self, listener: &Listener) -> TaskTracker {
        let tracker = TaskTracker::new();
        // Oldest first. Ended ones are removed when room is needed.
        let mut guests: BTreeMap<u64, Guest> = BTreeMap::new();
        for number in 0.. {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(target: "kmds::http", "accept failed: {error}");
                    make_room(&mut guests);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if guests.len() >= self.most {
                guests.retain(|_, guest| !guest.leave.is_cancelled());
            }
            // An idle connection makes room, so that those who only hold connections shut nobody out.
            if guests.len() >= self.most && !make_room(&mut guests) {
                tracker.spawn(turn_away(accepted));
                continue;
            }
            let guest = Guest { busy: Arc::default(), leave: self.cut.child_token() };
            tracker.spawn(self.serve(accepted, &guest));
            guests.insert(number, guest);
        }
        tracker
    }

    /// The life of one connection; its token is cancelled at the end, whoever ends it.
    fn serve(&self, accepted: Accepted, guest: &Guest) -> impl Future<Output = ()> + Send + 'static {
        let (entry, stop, leave) = (Arc::clone(&self.entry), self.stop.clone(), guest.leave.clone());
        let busy = Arc::clone(&guest.busy);
        async move {
            let _ended = leave.clone().drop_guard();
            match accepted {
                Accepted::Tcp(stream, peer, local) => {
                    converse(stream, entry, Visit { peer, local, busy }, stop, leave).await;
                }
                Accepted::Unix(stream) => {
                    let visit = Visit { peer: Peer::Local, local: "localhost".to_owned(), busy };
                    converse(stream, entry, visit, stop, leave).await;
                }
            }
        }
    }
}

/// Ends the oldest connection without a request under way; false when there is none.
fn make_room(guests: &mut BTreeMap<u64, Guest>) -> bool {
    let idle = guests.iter().find(|(_, guest)| guest.busy.load(Ordering::Relaxed) == 0).map(|(number, _)| *number);
    match idle.and_then(|number| guests.remove(&number)) {
        Some(guest) => {
            guest.leave.cancel();
            true
        }
        None => false,
    }
}

async fn converse<S>(stream: S, entry: Arc<Entry>, visit: Visit, stop: CancellationToken, leave: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (entry, visit) = (Arc::clone(&entry), visit.clone());
        async move { Ok::<_, Infallible>(entry.answer(visit, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // An error is a client that left, or an answer that was cut on purpose: both are in the log already.
            _ended = connection.as_mut() => return,
            () = leave.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn turn_away(accepted: Accepted) {
    let answering = async {
        match accepted {
            Accepted::Tcp(mut stream, ..) => stream.write_all(TURNED_AWAY).await,
            Accepted::Unix(mut stream) => stream.write_all(TURNED_AWAY).await,
        }
    };
    let _ = tokio::time::timeout(TURN_AWAY_WITHIN, answering).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_those_turned_away_has_the_length_it_says() {
        let text = std::str::from_utf8(TURNED_AWAY).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }
}
