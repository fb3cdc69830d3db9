//! `GET /openapi.json`: the description of both faces.
//!
//! The answer is the embedded file `docs/openapi.json`. In tests `document` makes the same text from the types of the
//! replies, and one test compares the two.

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

#[cfg(test)]
use super::answers::ClassicRefusals;
use super::embedded::OPENAPI;
use super::state::Http;

/// This description.
#[cfg_attr(test, utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses(ClassicRefusals, (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value))))]
pub(super) async fn openapi(State(http): State<Http>) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        description(http.base_path()),
    )
        .into_response()
}

/// The document, for a service below `base_path`.
fn description(base_path: &str) -> String {
    let description = OPENAPI.text();
    if base_path.is_empty() {
        return description;
    }
    let servers = serde_json::json!([{ "url": base_path }]);
    description.replacen('{', &format!("{{\n\"servers\": {servers},"), 1)
}
