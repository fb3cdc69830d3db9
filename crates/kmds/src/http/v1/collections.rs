//! `DELETE /api/v1/collections/{id}`: ends the songs of a list that still wait or run.
//!
//! Owns the shape of its reply.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::request::Parts;
use kmds_extract::Site;
use serde::Serialize;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::{Refusal, V1};
use super::super::query::Query;
#[cfg(test)]
use super::super::schemas::state_schema;
use super::super::state::Http;
use crate::app::{Cancelled, Ended, State as JobState};

/// A list that was cancelled.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct CancelReply {
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    /// The songs that waited or ran, and do not any more.
    ended: Vec<EndedReply>,
    /// How many songs go on because another fetch asks for them too.
    kept: usize,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct EndedReply {
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    /// Its state before.
    #[cfg_attr(test, schema(schema_with = state_schema))]
    state: JobState,
}

/// Ends the songs of a list that still wait or run.
///
/// `id` is the `id` of the reply to the fetch, or a link to the list. Ready songs stay, and so do songs that another
/// fetch asks for. The others are as if they had been removed: only a new fetch brings them back.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/collections/{id}", tag = "v1",
    params(("id" = String, Path, description = "The id of the list, as the reply to its fetch has it, or a link to it")),
    responses(V1Refusals, (status = 200, description = "What was ended", body = CancelReply))))]
pub(in crate::http) async fn cancel(
    State(http): State<Http>,
    id: Result<Path<String>, PathRejection>,
    request: Parts,
) -> Result<Json<CancelReply>, V1> {
    Query::of(&request.uri).only(&[])?;
    let never_fetched = || {
        Refusal::not_found(
            "no list of this id or link was fetched; use the id of the reply to its fetch",
        )
    };
    let Path(id) = id.map_err(|_| never_fetched())?;
    let cancelled = http.app().cancel(&id).await?.ok_or_else(never_fetched)?;
    Ok(Json(CancelReply::new(cancelled)))
}

impl CancelReply {
    fn new(cancelled: Cancelled) -> Self {
        let ended = |one: Ended| EndedReply {
            site: one.key.track().site(),
            id: one.key.track().id().to_owned(),
            state: one.state,
        };
        Self {
            site: cancelled.site,
            id: cancelled.id,
            ended: cancelled.ended.into_iter().map(ended).collect(),
            kept: cancelled.kept,
        }
    }
}
