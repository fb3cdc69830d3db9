//! `GET /api/v1/stats`: counts and health.

use axum::Json;
use axum::extract::State;
use http::request::Parts;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::V1;
use super::super::query::Query;
#[cfg(test)]
use super::super::schemas;
use super::super::state::Http;
use crate::app::Stats;

/// Counts by state, bytes on disk, queues, engines and their health.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stats", tag = "v1",
    responses(V1Refusals, (status = 200, description = "Counts and health", body = schemas::StatsReply))))]
pub(in crate::http) async fn show_stats(
    State(http): State<Http>,
    request: Parts,
) -> Result<Json<Stats>, V1> {
    Query::of(&request.uri).only(&[])?;
    Ok(Json(http.app().stats().await))
}
