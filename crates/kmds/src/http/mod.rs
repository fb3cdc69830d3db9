//! HTTP: both faces of the service (`docs/api.md`), from the accepted connection to the last byte.
//!
//! Owns the routes, the door (`guard`), the server itself, and every wire shape and status. Hides axum and hyper.
//! Never knows an engine, a download or the store: it asks the [`App`].
//!
//! | module | its secret |
//! | --- | --- |
//! | `server` | sockets, the graceful stop |
//! | `connections`, `patience` | who is let in when many want to; clients that do not read |
//! | `entry` | what every request goes through: id, door, base path, headers, log line |
//! | `guard`, `network`, `tokens` | who may ask |
//! | `classic`, `v1` | the two faces |
//! | `search` | words instead of a link |
//! | `play` | everything in one request |
//! | `audio` | ranges, conditions, bodies that still grow |
//! | `events` | server-sent events |
//! | `ops`, `openapi`, `ui` | health, metrics, the description, the page |
//! | `ask`, `query`, `json`, `error` | what the faces share: reading requests, refusing them |

mod ask;
mod audio;
mod classic;
mod connections;
mod entry;
mod error;
mod events;
mod guard;
mod json;
mod network;
mod openapi;
mod ops;
mod patience;
mod play;
mod query;
mod search;
mod server;
mod tokens;
mod ui;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::request::Parts;
use tokio_util::sync::CancellationToken;

use self::error::{Face, Refusal};
use self::events::Watchers;
pub use self::server::{ServeError, Server};
use crate::app::App;
use crate::config::ServerConfig;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
struct Http(Arc<Shared>);

struct Shared {
    app: App,
    config: ServerConfig,
    bound: (String, u16),
    stop: CancellationToken,
    watchers: Watchers,
}

impl Http {
    fn new(
        app: App,
        config: ServerConfig,
        bound: (String, u16),
        stop: CancellationToken,
        most_connections: usize,
    ) -> Self {
        Self(Arc::new(Shared {
            app,
            config,
            bound,
            stop,
            watchers: Watchers::new(most_connections),
        }))
    }

    fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    fn app(&self) -> &App {
        &self.0.app
    }

    /// Host and port really listened on.
    fn bound(&self) -> (String, u16) {
        self.0.bound.clone()
    }

    /// Starts with `/` and does not end with one; empty for none.
    fn base_path(&self) -> &str {
        &self.0.config.base_path
    }

    fn public_url(&self) -> Option<&str> {
        self.0.config.public_url.as_deref()
    }

    /// Cancelled when the service stops: endless answers end then.
    fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }
}

/// The routes, and a list of them for the description to be held to.
struct Routes {
    router: Router<Http>,
    listed: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn add<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Http>,
        T: 'static,
    {
        let filter = match method {
            "post" => MethodFilter::POST,
            "delete" => MethodFilter::DELETE,
            // `HEAD` comes along with `GET`.
            _ => MethodFilter::GET.or(MethodFilter::HEAD),
        };
        self.listed.push((method, path));
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}

fn routes() -> Routes {
    Routes {
        router: Router::new(),
        listed: Vec::new(),
    }
    .add("get", "/", classic::show_root)
    .add("get", "/fetch", classic::fetch_queried)
    .add("post", "/fetch", classic::fetch_posted)
    .add("get", "/tunnel", classic::tunnel)
    .add("get", "/play", play::play)
    .add("post", "/api/v1/fetch", v1::fetch)
    .add("get", "/api/v1/search", search::search)
    .add("get", "/api/v1/tracks", v1::list_tracks)
    .add("get", "/api/v1/tracks/{site}/{id}", v1::show_track)
    .add("delete", "/api/v1/tracks/{site}/{id}", v1::delete_track)
    .add("post", "/api/v1/tracks/{site}/{id}/retry", v1::retry_track)
    .add("get", "/api/v1/tracks/{site}/{id}/audio", v1::send_audio)
    .add("get", "/api/v1/tracks/{site}/{id}/cover", v1::send_cover)
    .add("get", "/api/v1/events", events::follow)
    .add("get", "/api/v1/stats", v1::show_stats)
    .add("get", "/healthz", ops::healthz)
    .add("get", "/readyz", ops::readyz)
    .add("get", "/metrics", ops::metrics)
    .add("get", "/openapi.json", ops::openapi)
    .add("get", "/ui", ui::to_page)
    .add("get", "/ui/", ui::page)
    .add("get", "/ui/{file}", ui::page_file)
}

fn router(http: Http) -> Router {
    routes()
        .router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .with_state(http)
}

async fn nothing_here(request: Parts) -> Response {
    let sentence = "nothing is served at this path; see /openapi.json for what is";
    Refusal::not_found(sentence).into_response(Face::of(request.uri.path()))
}

async fn not_this_method(request: Parts) -> Response {
    // The router adds `Allow`.
    Refusal::method_not_allowed(&request.method).into_response(Face::of(request.uri.path()))
}
