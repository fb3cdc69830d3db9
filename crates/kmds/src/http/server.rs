//! The server: binding, running, and the graceful stop.
//!
//! Owns the listening socket and the order in which a server ends. Hides how a socket is had: by an address, a path, or
//! from the service manager. Never looks at a path.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::connections::Connections;
use super::entry::Entry;
use super::guard::Guard;
use super::network::Peer;
use super::{Http, router, routes};
use crate::app::App;
use crate::config::ServerConfig;

/// Connections at once, unless the limit of open files is lower or the settings say otherwise.
const MOST_CONNECTIONS: usize = 4096;
/// Files the service needs besides connections: catalog, partials, the connections to the sites.
const FILES_KEPT_FREE: u64 = 128;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("`{key}` is `{value}`: {wanted}")]
    Setting {
        key: &'static str,
        value: String,
        wanted: String,
    },
    #[error("cannot listen on {listen}: {source}; {}", bind_advice(source))]
    Bind {
        listen: String,
        source: std::io::Error,
    },
}

fn bind_advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::AddrInUse => "stop what uses it, or choose another server.listen",
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose another server.listen"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for root; choose another server.listen"
        }
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

pub(super) enum Listener {
    Tcp(TcpListener),
    /// The path is removed when the server ends, if we made it.
    Unix(UnixListener, Option<PathBuf>),
}

pub(super) enum Accepted {
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
        let failed = |source| ServeError::Bind {
            listen: config.listen.clone(),
            source,
        };
        let listener = match (
            inherited().map_err(failed)?,
            config.listen.strip_prefix("unix:"),
        ) {
            (Some(listener), _) => listener,
            (None, Some(path)) => bind_unix(path.into()).await.map_err(failed)?,
            (None, None) => Listener::Tcp(TcpListener::bind(&config.listen).await.map_err(failed)?),
        };
        let most_connections = config.max_connections.unwrap_or_else(most_connections);
        Ok(Self {
            config: config.clone(),
            listener,
            guard,
            most_connections,
        })
    }

    /// Host and port listened on; of a Unix socket its path, and 0.
    #[must_use]
    pub fn bound(&self) -> (String, u16) {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map_or_else(
                |_| (String::new(), 0),
                |at| (at.ip().to_string(), at.port()),
            ),
            Listener::Unix(listener, _) => (path_of(listener), 0),
        }
    }

    /// As in `http://127.0.0.1:60071` or `unix:/run/kmds.sock`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| String::new(), |at| format!("http://{at}")),
            Listener::Unix(listener, _) => format!("unix:{}", path_of(listener)),
        }
    }

    /// Serves until `stop`; then accepts nothing more, lets answers finish for `server.stop_within`, and cuts the rest.
    pub async fn run(self, app: App, stop: CancellationToken) {
        let bound = self.bound();
        let Self {
            config,
            mut listener,
            guard,
            most_connections,
        } = self;
        let (stop_within, base_path) = (config.stop_within, config.base_path.clone());
        let metrics = Arc::clone(app.metrics());
        let http = Http::new(app, config, bound, stop.clone(), most_connections);
        let routes = routes().listed.into_iter().map(|(_, path)| path).collect();
        let entry = Arc::new(Entry {
            guard,
            router: router(http),
            base_path,
            routes,
            metrics,
        });
        let cut = CancellationToken::new();
        let connections = Connections {
            entry,
            most: most_connections,
            stop,
            cut: cut.clone(),
        };
        let open = connections.accept_from(&listener).await;
        // Whoever comes now is refused at once, rather than kept waiting in the queue of a socket that nobody reads.
        let socket_file = match &mut listener {
            Listener::Unix(_, path) => path.take(),
            Listener::Tcp(..) => None,
        };
        drop(listener);
        open.close();
        if tokio::time::timeout(stop_within, open.wait())
            .await
            .is_err()
        {
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
    address
        .and_then(|at| at.as_pathname().map(|path| path.display().to_string()))
        .unwrap_or_default()
}

/// Binds a path, taking over one that a dead server left behind.
async fn bind_unix(path: PathBuf) -> std::io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    let left_behind =
        std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
    if left_behind && UnixStream::connect(&path).await.is_err() {
        std::fs::remove_file(&path)?;
    }
    Ok(Listener::Unix(UnixListener::bind(&path)?, Some(path)))
}

fn most_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX);
    let free = files.saturating_sub(FILES_KEPT_FREE).max(files / 2).max(1);
    usize::try_from(free)
        .unwrap_or(usize::MAX)
        .min(MOST_CONNECTIONS)
}

impl Accepted {
    pub(super) const fn peer(&self) -> Peer {
        match self {
            Self::Tcp(_, peer, _) => *peer,
            Self::Unix(_) => Peer::Local,
        }
    }
}

impl Listener {
    pub(super) async fn accept(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it the head of an answer waits for the acknowledgement of the one before.
                stream.set_nodelay(true)?;
                let local = stream
                    .local_addr()
                    .map_or_else(|_| String::new(), |at| at.to_string());
                Ok(Accepted::Tcp(stream, Peer::at(peer.ip()), local))
            }
            Self::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}
