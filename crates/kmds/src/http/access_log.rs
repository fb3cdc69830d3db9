//! One log line for each request, written after the last byte of its answer.
//!
//! Owns the fields of that line, and the count of answers in the metrics. Both are written when [`LoggedBody`] is
//! dropped, however the answer ends. A query is never logged: links and tokens may be in it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::network::Peer;
use super::write_timeout::Activity;
use crate::metrics::Metrics;

/// Characters of a path that are logged; only attackers send longer ones.
const LOGGED_PATH: usize = 200;
/// The path may contain a link, and a link may contain a secret: no link is logged.
const LINK_IN_PATH: &str = "/api/v1/collections/{id}";
/// The route of paths that have none, in the metrics.
const OTHER_ROUTE: &str = "other";

/// The log line of a request.
pub(super) struct LogLine {
    started: Instant,
    method: http::Method,
    path: String,
    pub(super) peer: Peer,
    id: String,
    /// The name of the token that it carries.
    pub(super) token: Option<Arc<str>>,
    pub(super) status: u16,
    bytes: u64,
    /// The whole answer was sent.
    whole: bool,
    /// The pattern of the path: a path with ids must not be a label of a metric.
    route: &'static str,
    metrics: Arc<Metrics>,
    _active: ActiveRequest,
}

impl LogLine {
    pub(super) fn start(
        request: &http::request::Parts,
        id: &str,
        peer: Peer,
        activity: Arc<Activity>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            started: Instant::now(),
            method: request.method.clone(),
            path: request.uri.path().chars().take(LOGGED_PATH).collect(),
            peer,
            id: id.to_owned(),
            token: None,
            status: 0,
            bytes: 0,
            // Until a body begins, since an answer without a body is whole.
            whole: true,
            route: OTHER_ROUTE,
            metrics,
            _active: ActiveRequest::new(activity),
        }
    }

    pub(super) fn set_route(&mut self, route: Option<&'static str>) {
        self.route = route.unwrap_or(OTHER_ROUTE);
        if self.route == LINK_IN_PATH {
            self.path = LINK_IN_PATH.to_owned();
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.answered(self.route, self.status);
        if let Some(token) = &self.token {
            self.metrics.answered_token(token, self.status);
        }
        tracing::info!(
            target: "kmds::http",
            method = %self.method,
            path = %self.path,
            status = self.status,
            bytes = self.bytes,
            ms,
            whole = self.whole,
            request_id = %self.id,
            peer = %self.peer,
            token = self.token.as_deref(),
            "answered"
        );
    }
}

/// Counts a request as under way until its answer is gone.
struct ActiveRequest(Arc<Activity>);

impl ActiveRequest {
    fn new(activity: Arc<Activity>) -> Self {
        activity.begin();
        Self(activity)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of an answer, with its log line.
pub(super) struct LoggedBody {
    pub(super) body: Body,
    pub(super) line: LogLine,
}

impl http_body::Body for LoggedBody {
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
                tracing::warn!(target: "kmds::http", request_id = %self.line.id, "answer cut: {}", cause(error));
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

fn cause(error: &axum::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
