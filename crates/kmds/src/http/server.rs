//! The server: binding, running, and the graceful stop.
//!
//! [`Server::run`] ends in this order: no connection is accepted any more, answers have `server.stop_within` to finish,
//! then every connection that is left is cut.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connections::Connections;
use super::crowd::Crowd;
use super::guard::{Guard, SettingError};
use super::listener::Listener;
use super::middleware::Middleware;
use super::routes::{router, routes};
use super::state::Http;
use crate::app::App;
use crate::config::ServerConfig;

/// Connections at once, unless the limit of open files is lower or the settings say otherwise.
const MOST_CONNECTIONS: usize = 4096;
/// Files the service needs besides connections: catalog, partial files, connections to the sites.
const FILES_KEPT_FREE: u64 = 128;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Setting(#[from] SettingError),
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

/// Which requests a running server admits.
#[derive(Clone)]
pub struct Door(Arc<Guard>);

impl Door {
    /// Reads the tokens again; a file that cannot be used leaves the old ones in force. The result is logged.
    pub fn reload(&self) {
        self.0.reload();
    }
}

/// A server that is bound but does not answer yet.
pub struct Server {
    config: ServerConfig,
    listener: Listener,
    guard: Arc<Guard>,
    most_connections: usize,
    crowd: Arc<Crowd>,
}

impl Server {
    /// Checks what [`Server::bind`] would refuse, without binding: names, networks, the tokens file.
    /// # Errors
    /// See [`ServeError`].
    pub fn check(config: &ServerConfig) -> Result<(), ServeError> {
        Ok(Guard::new(config, None).map(drop)?)
    }

    /// Reads the tokens and, for them, the key in the state folder, and binds the address; clients that connect from
    /// now on wait.
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind(config: &ServerConfig, state_dir: &Path) -> Result<Self, ServeError> {
        let guard = Arc::new(Guard::new(config, Some(state_dir))?);
        let listener = Listener::bind(&config.listen)
            .await
            .map_err(|source| ServeError::Bind {
                listen: config.listen.clone(),
                source,
            })?;
        let most_connections = config.max_connections.unwrap_or_else(most_connections);
        Ok(Self {
            config: config.clone(),
            listener,
            guard,
            most_connections,
            crowd: Arc::default(),
        })
    }

    /// The handle that makes a running server read its tokens again.
    #[must_use]
    pub fn door(&self) -> Door {
        Door(Arc::clone(&self.guard))
    }

    /// Tells when many connections have ended.
    #[must_use]
    pub fn crowd(&self) -> Arc<Crowd> {
        Arc::clone(&self.crowd)
    }

    /// Host and port listened on; of a Unix socket its path, and 0.
    #[must_use]
    pub fn bound(&self) -> (String, u16) {
        self.listener.bound()
    }

    /// As in `http://127.0.0.1:60071` or `unix:/run/kmds.sock`.
    #[must_use]
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// Serves until `stop`; then accepts nothing more, lets answers finish for `server.stop_within`, and cuts the rest.
    pub async fn run(self, app: App, stop: CancellationToken) {
        let bound = self.bound();
        let Self {
            config,
            mut listener,
            guard,
            most_connections,
            crowd,
        } = self;
        let (stop_within, base_path) = (config.stop_within, config.base_path.clone());
        let metrics = Arc::clone(app.metrics());
        let http = Http::new(
            app,
            config,
            bound,
            stop.clone(),
            Arc::clone(&guard),
            most_connections,
        );
        let cut = CancellationToken::new();
        let connections = Connections {
            middleware: Arc::new(Middleware {
                guard,
                router: router(http),
                base_path,
                routes: routes().listed.into_iter().map(|(_, path)| path).collect(),
                metrics,
            }),
            most: most_connections,
            crowd,
            stop,
            cut: cut.clone(),
        };
        let open = connections.accept_from(&listener).await;
        let socket_file = match &mut listener {
            Listener::Unix(_, path) => path.take(),
            Listener::Tcp(..) => None,
        };
        // With the socket open, clients would connect and wait for an answer that does not come.
        drop(listener);
        open.close();
        let finished = tokio::time::timeout(stop_within, open.wait()).await;
        if finished.is_err() {
            tracing::warn!(target: "kmds::http", "{} connections cut after {} s", open.len(), stop_within.as_secs());
            cut.cancel();
            open.wait().await;
        }
        if let Some(path) = socket_file {
            let _ = std::fs::remove_file(path);
        }
    }
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
