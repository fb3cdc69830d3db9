//! What all handlers share: the application, the settings of the server, and where it listens.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::body::ListBodies;
use super::event_streams::EventStreams;
use super::guard::Guard;
use crate::app::App;
use crate::config::ServerConfig;

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub(super) struct Http(Arc<Shared>);

struct Shared {
    app: App,
    config: ServerConfig,
    bound: (String, u16),
    stop: CancellationToken,
    guard: Arc<Guard>,
    event_streams: EventStreams,
    list_bodies: ListBodies,
}

impl Http {
    pub(super) fn new(
        app: App,
        config: ServerConfig,
        bound: (String, u16),
        stop: CancellationToken,
        guard: Arc<Guard>,
        most_connections: usize,
    ) -> Self {
        Self(Arc::new(Shared {
            app,
            config,
            bound,
            stop,
            guard,
            event_streams: EventStreams::new(most_connections),
            list_bodies: ListBodies::default(),
        }))
    }

    pub(super) fn event_streams(&self) -> &EventStreams {
        &self.0.event_streams
    }

    pub(super) fn list_bodies(&self) -> &ListBodies {
        &self.0.list_bodies
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    pub(super) fn app(&self) -> &App {
        &self.0.app
    }

    /// Host and port that the server listens on.
    pub(super) fn bound(&self) -> (String, u16) {
        self.0.bound.clone()
    }

    /// Starts with `/` and does not end with one; empty for none.
    pub(super) fn base_path(&self) -> &str {
        &self.0.config.base_path
    }

    pub(super) fn public_url(&self) -> Option<&str> {
        self.0.config.public_url.as_deref()
    }

    /// Covers in replies are addresses of this service.
    pub(super) fn own_covers(&self) -> bool {
        self.0.config.own_covers
    }

    /// Cancelled when the service stops: answers without an end finish then.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }
}
