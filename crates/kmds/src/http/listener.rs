//! The listening socket: bound to an address or to a path, or taken over from the service manager.

use std::path::PathBuf;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::network::Peer;

pub(super) enum Listener {
    Tcp(TcpListener),
    /// With the path of its file, if this service made it: the server removes it at the end.
    Unix(UnixListener, Option<PathBuf>),
}

pub(super) enum Accepted {
    Tcp(TcpStream, Peer, String),
    Unix(UnixStream),
}

impl Listener {
    /// Binds the address, unless the service manager passed a socket on.
    pub(super) async fn bind(listen: &str) -> std::io::Result<Self> {
        match (inherited()?, listen.strip_prefix("unix:")) {
            (Some(listener), _) => Ok(listener),
            (None, Some(path)) => bind_unix(path.into()).await,
            (None, None) => Ok(Self::Tcp(TcpListener::bind(listen).await?)),
        }
    }

    /// Host and port; of a Unix socket its path, and 0.
    pub(super) fn bound(&self) -> (String, u16) {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(
                |_| (String::new(), 0),
                |at| (at.ip().to_string(), at.port()),
            ),
            Self::Unix(listener, _) => (path_of(listener), 0),
        }
    }

    /// As in `http://127.0.0.1:60071` or `unix:/run/kmds.sock`.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| String::new(), |at| format!("http://{at}")),
            Self::Unix(listener, _) => format!("unix:{}", path_of(listener)),
        }
    }

    /// Waits for the next connection.
    pub(super) async fn accept(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without this option the head of an answer waits for the acknowledgement of the answer before.
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

impl Accepted {
    pub(super) const fn peer(&self) -> Peer {
        match self {
            Self::Tcp(_, peer, _) => *peer,
            Self::Unix(_) => Peer::Local,
        }
    }
}

/// The first socket that the service manager opened for this service (`LISTEN_FDS`).
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

/// Binds a path; removes the socket of a server that is gone.
async fn bind_unix(path: PathBuf) -> std::io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && UnixStream::connect(&path).await.is_err() {
        std::fs::remove_file(&path)?;
    }
    Ok(Listener::Unix(UnixListener::bind(&path)?, Some(path)))
}
