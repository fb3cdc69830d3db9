//! What every request goes through, whatever its path.
//!
//! Owns the order: an id, the base path off, the door, the routes, the headers that all answers carry, one log line when
//! the last byte is gone. Hides panics of handlers. Never logs a query: links and tokens may be in it.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Request};
use http_body::{Frame, SizeHint};
use kmds_extract::Kind;
use tower_service::Service;

use super::ask::{self, below_base};
use super::error::{Face, Refusal};
use super::guard::{Caller, Guard, REQUEST_ID, request_id};
use super::network::Peer;
use super::patience::Pulse;
use crate::app::Failure;
use crate::metrics::Metrics;

/// Nothing in an answer that is no page may run or load anything.
const NO_CONTENT_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A longer path is nobody's but an attacker's.
const LOGGED_PATH: usize = 200;

/// What tells a supervisor how it is, also when nobody else is let in.
const ANSWERED_WHEN_FULL: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// For the rest of a request that is turned away.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// When one who was turned away may come back.
const COME_BACK: Duration = Duration::from_secs(5);

/// The route of paths that have none, in the metrics.
const OTHER_ROUTE: &str = "other";

/// The way in, shared by all connections.
pub(super) struct Entry {
    pub(super) guard: Guard,
    pub(super) router: Router,
    pub(super) base_path: String,
    /// The patterns of all routes, for the metrics.
    pub(super) routes: Vec<&'static str>,
    pub(super) metrics: Arc<Metrics>,
}

/// One connection's side of it.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) peer: Peer,
    /// The address it came in at.
    pub(super) local: String,
    pub(super) pulse: Arc<Pulse>,
    /// It came beyond the limit of connections: only a health check is answered.
    pub(super) full: bool,
}

impl Caller {
    /// Who sent a request that was let in.
    pub(super) fn of(request: &Parts) -> Result<&Self, Refusal> {
        request.extensions.get().ok_or_else(|| {
            Refusal::new(Kind::Internal, "the request did not come through the door")
        })
    }
}

impl Entry {
    /// Answers one request; never fails.
    pub(super) async fn answer(
        &self,
        visit: Visit,
        request: Request<hyper::body::Incoming>,
    ) -> Response<Logged> {
        let (mut parts, body) = request.into_parts();
        let id = request_id(&parts.headers);
        let mut line = Line {
            started: Instant::now(),
            method: parts.method.clone(),
            path: parts.uri.path().chars().take(LOGGED_PATH).collect(),
            peer: visit.peer,
            id: id.clone(),
            status: 0,
            bytes: 0,
            // Until a body begins: an answer without one is whole.
            whole: true,
            route: OTHER_ROUTE,
            metrics: Arc::clone(&self.metrics),
            _busy: Busy::new(visit.pulse),
        };
        if let Some(below) = below_base(&parts.uri, &self.base_path) {
            parts.uri = below;
        }
        let face = Face::of(parts.uri.path());
        let route = self.route_of(parts.uri.path());
        line.route = route.unwrap_or(OTHER_ROUTE);
        if visit.full && !route.is_some_and(|route| ANSWERED_WHEN_FULL.contains(&route)) {
            let response = turn_away(&parts, body, face).await;
            line.status = response.status().as_u16();
            return response.map(|body| Logged { body, line });
        }
        let mut response = match self.guard.admit(&parts, route, visit.peer, &visit.local) {
            Ok(caller) => {
                line.peer = caller.client;
                parts.extensions.insert(caller);
                self.route(Request::from_parts(parts, Body::new(body)), face)
                    .await
            }
            Err(refusal) => refusal.into_response(face),
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(NO_CONTENT_POLICY);
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert(REQUEST_ID, id);
        }
        line.status = response.status().as_u16();
        response.map(|body| Logged { body, line })
    }

    /// The pattern of the route a path belongs to.
    fn route_of(&self, path: &str) -> Option<&'static str> {
        let fits = |route: &&&'static str| {
            let (mut wanted, mut have) = (route.split('/'), path.split('/'));
            loop {
                match (wanted.next(), have.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(have)) if wanted == have || wanted.starts_with('{') => {}
                    _ => return false,
                }
            }
        };
        self.routes.iter().find(fits).copied()
    }

    async fn route(&self, request: Request<Body>, face: Face) -> Response {
        let mut router = self.router.clone();
        let answering = AssertUnwindSafe(async move { router.call(request).await });
        match answering.catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_panic) => Refusal::new(
                Kind::Internal,
                "a fault of ours; the log has more, please report it",
            )
            .into_response(face),
        }
    }
}

/// Too many are here. What the client sends is read as far as it comes soon, else our answer could be lost with it.
async fn turn_away(request: &Parts, body: hyper::body::Incoming, face: Face) -> Response {
    let _ = tokio::time::timeout(
        TURN_AWAY_WITHIN,
        ask::body(&request.headers, Body::new(body)),
    )
    .await;
    let sentence = "too many connections; close some, or raise server.max_connections";
    Refusal::from(Failure::new(Kind::QueueFull, sentence).after(COME_BACK)).into_response(face)
}

/// Counts a request as under way until its answer is gone.
struct Busy(Arc<Pulse>);

impl Busy {
    fn new(pulse: Arc<Pulse>) -> Self {
        pulse.begin();
        Self(pulse)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What the log says of a request.
struct Line {
    started: Instant,
    method: http::Method,
    path: String,
    peer: Peer,
    id: String,
    status: u16,
    bytes: u64,
    /// The answer went out to its end.
    whole: bool,
    /// Its pattern: a path with ids in it is no label.
    route: &'static str,
    metrics: Arc<Metrics>,
    _busy: Busy,
}

impl Drop for Line {
    fn drop(&mut self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.answered(self.route, self.status);
        let Self {
            method,
            path,
            peer,
            id,
            status,
            bytes,
            whole,
            ..
        } = self;
        tracing::info!(
            target: "kmds::http",
            %method,
            %path,
            status = *status,
            bytes = *bytes,
            ms,
            whole = *whole,
            request_id = %id,
            %peer,
            "answered"
        );
    }
}

/// An answer's body that writes the log line when it is gone.
pub(super) struct Logged {
    body: Body,
    line: Line,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(cx);
        match &poll {
            Poll::Ready(Some(Ok(frame))) => {
                self.line.bytes += frame.data_ref().map_or(0, |piece| piece.len() as u64);
                self.line.whole = false;
            }
            Poll::Ready(Some(Err(error))) => {
                self.line.whole = false;
                tracing::warn!(target: "kmds::http", request_id = %self.line.id, "answer cut: {}", root(error));
            }
            Poll::Ready(None) => self.line.whole = true,
            Poll::Pending => {}
        }
        if self.body.is_end_stream() {
            self.line.whole = true;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn root(error: &axum::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
