//! The steps that every request passes, on any path.
//!
//! Owns their order: a request id, removing the base path, the guard, the route, the headers of all answers, the log
//! line. If a handler panics, the answer is 500.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Request, Uri};
use kmds_extract::Kind;
use tower_service::Service;

use super::access::Access;
use super::access_log::{LogLine, LoggedBody};
use super::body;
use super::error::{Face, Refusal};
use super::guard::Guard;
use super::network::Peer;
use super::request_id::{REQUEST_ID, request_id};
use super::sendfile::FileQueue;
use super::signatures::unsigned;
use super::write_timeout::Activity;
use crate::app::Failure;
use crate::metrics::Metrics;

/// Nothing in an answer that is no page may run or load anything.
const NO_CONTENT_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Answered beyond the limit of connections too: a supervisor has to know how the service is.
const ANSWERED_WHEN_FULL: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Time for the rest of a request that is refused for lack of connections.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);
/// `Retry-After` of that answer.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);

/// Answers the requests of all connections.
pub(super) struct Middleware {
    pub(super) guard: Arc<Guard>,
    pub(super) router: Router,
    pub(super) base_path: String,
    /// The patterns of all routes, for the metrics.
    pub(super) routes: Vec<&'static str>,
    pub(super) metrics: Arc<Metrics>,
}

/// The connection that a request came by.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// The address of this service that the client connected to.
    pub(super) local: String,
    pub(super) activity: Arc<Activity>,
    /// The files that its writer sends. None if that writer cannot.
    pub(super) files: Option<FileQueue>,
    /// It is beyond the limit of connections: only health checks are answered.
    pub(super) over_limit: bool,
}

impl Middleware {
    /// Answers one request; never fails.
    pub(super) async fn answer(
        &self,
        connection: Connection,
        request: Request<hyper::body::Incoming>,
    ) -> Response<LoggedBody> {
        let (mut parts, body) = request.into_parts();
        let id = request_id(&parts.headers);
        let Connection {
            peer,
            local,
            activity,
            files,
            over_limit,
        } = connection;
        let mut line = LogLine::start(&parts, &id, peer, activity, Arc::clone(&self.metrics));
        if let Some(below) = below_base(&parts.uri, &self.base_path) {
            parts.uri = below;
        }
        let face = Face::of(parts.uri.path());
        let route = self.route_of(parts.uri.path());
        line.set_route(route);
        if over_limit && !route.is_some_and(|route| ANSWERED_WHEN_FULL.contains(&route)) {
            let response = refuse_when_full(&parts, body, face).await;
            line.status = response.status().as_u16();
            return response.map(|body| LoggedBody { body, line });
        }
        let admission = self.guard.admit(&parts, route, peer, &local);
        line.token = admission.token;
        let mut response = match admission.verdict {
            Ok(caller) => {
                line.peer = caller.client;
                parts.extensions.insert(caller);
                if let Some(files) = files {
                    parts.extensions.insert(files);
                }
                if Access::of(&parts.method, route).signed
                    && let Some(uri) = unsigned(&parts.uri)
                {
                    parts.uri = uri;
                }
                self.call_handler(Request::from_parts(parts, Body::new(body)), face)
                    .await
            }
            Err(refusal) => refusal.into_response(face),
        };
        add_common_headers(response.headers_mut(), id);
        if let Some(quota) = admission.quota {
            quota.tell(response.headers_mut());
        }
        line.status = response.status().as_u16();
        response.map(|body| LoggedBody { body, line })
    }

    /// The pattern of the route that a path belongs to.
    fn route_of(&self, path: &str) -> Option<&'static str> {
        let fits = |route: &&&'static str| {
            let (mut pattern, mut path) = (route.split('/'), path.split('/'));
            loop {
                match (pattern.next(), path.next()) {
                    (None, None) => return true,
                    (Some(pattern), Some(part)) if pattern == part || pattern.starts_with('{') => {}
                    _ => return false,
                }
            }
        };
        self.routes.iter().find(fits).copied()
    }

    async fn call_handler(&self, request: Request<Body>, face: Face) -> Response {
        let mut router = self.router.clone();
        let answering = AssertUnwindSafe(async move { router.call(request).await });
        match answering.catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_panic) => Refusal::new(
                Kind::Internal,
                "a fault of KMDS; the log has more, please report it",
            )
            .into_response(face),
        }
    }
}

fn add_common_headers(headers: &mut HeaderMap, id: String) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(NO_CONTENT_POLICY);
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Refuses a request because too many connections are open. Reads the rest of the request if it arrives soon: else the
/// connection would be reset, and the answer lost.
async fn refuse_when_full(request: &Parts, body: hyper::body::Incoming, face: Face) -> Response {
    let read = body::read(&request.headers, Body::new(body));
    let _ = tokio::time::timeout(REFUSE_WITHIN, read).await;
    let sentence = "too many connections; close some, or raise server.max_connections";
    let failure = Failure::new(Kind::QueueFull, sentence).after(RETRY_WHEN_FULL);
    Refusal::from(failure).into_response(face)
}

/// The URI of a request without the base path; `None` when it does not begin with it, as behind a proxy that strips it.
fn below_base(uri: &Uri, base_path: &str) -> Option<Uri> {
    if base_path.is_empty() {
        return None;
    }
    let rest = uri.path().strip_prefix(base_path)?;
    if !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let path = if rest.is_empty() { "/" } else { rest };
    let text = uri
        .query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_taken_off_whole() {
        for (path, inner) in [
            ("/kmds", Some("/")),
            ("/kmds/fetch?url=a", Some("/fetch?url=a")),
            ("/kmdsx/fetch", None),
            ("/fetch", None),
        ] {
            let uri = path.parse().expect("path");
            assert_eq!(
                below_base(&uri, "/kmds")
                    .map(|uri| uri.to_string())
                    .as_deref(),
                inner,
                "{path}"
            );
        }
        assert_eq!(below_base(&"/fetch".parse().expect("path"), ""), None);
    }
}
