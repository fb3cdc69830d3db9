//! For operators: health and metrics. These routes start and change nothing.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

#[cfg(test)]
use super::answers::ClassicRefusals;
use super::state::Http;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Version of the text format that `metrics` writes.
const PROMETHEUS_TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// That the service answers.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Alive {
    #[cfg_attr(test, schema(value_type = String))]
    status: &'static str,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct ReadyReply {
    ready: bool,
    /// One sentence per thing that is wrong.
    problems: Vec<String>,
    /// What yt-dlp, the second engine, is worth; empty until it was looked at.
    details: Vec<String>,
}

/// Alive. Needs no token.
#[cfg_attr(test, utoipa::path(get, path = "/healthz", tag = "operation",
    responses(ClassicRefusals, (status = 200, description = "Alive", body = Alive))))]
pub(super) async fn healthz() -> Response {
    ([(CACHE_CONTROL, NO_STORE)], Json(Alive { status: "ok" })).into_response()
}

/// Ready: the catalog opens, the cache folder is writable, there is space.
#[cfg_attr(test, utoipa::path(get, path = "/readyz", tag = "operation",
    responses(
        ClassicRefusals,
        (status = 200, description = "Ready", body = ReadyReply),
        (status = 503, description = "Not ready, and why", body = ReadyReply))))]
pub(super) async fn readyz(State(http): State<Http>) -> Response {
    let readiness = http.app().readiness().await;
    let reply = Json(ReadyReply {
        ready: readiness.ready,
        problems: readiness.problems,
        details: readiness.details,
    });
    if readiness.ready {
        return ([(CACHE_CONTROL, NO_STORE)], reply).into_response();
    }
    let retry = [
        (CACHE_CONTROL, NO_STORE),
        (RETRY_AFTER, HeaderValue::from_static("5")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, retry, reply).into_response()
}

/// Metrics, as Prometheus reads them.
#[cfg_attr(test, utoipa::path(get, path = "/metrics", tag = "operation",
    responses(ClassicRefusals, (status = 200, description = "Metrics", content_type = "text/plain", body = String))))]
pub(super) async fn metrics(State(http): State<Http>) -> Response {
    (
        [(CONTENT_TYPE, PROMETHEUS_TEXT), (CACHE_CONTROL, NO_STORE)],
        http.app().metrics_text().await,
    )
        .into_response()
}
