//! `POST /api/v1/recipes/reload`: new facts about the sites without a restart.
//!
//! Owns the shape of its reply. The application decides whether recipes are good.

use axum::Json;
use axum::extract::State;
use http::request::Parts;
use serde::Serialize;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::V1;
use super::super::query::Query;
use super::super::state::Http;

/// What a reload did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct ReloadReply {
    /// False if the files are in force already.
    taken: bool,
    /// The date of the recipes in force.
    date: String,
    /// Where they were read from: `built in`, or files.
    from: String,
    /// A further remark for the operator.
    remark: Option<String>,
}

/// Reads the recipes again, as SIGHUP does.
///
/// A problem says why nothing was taken. While one reload runs, all further requests wait for the next one.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/recipes/reload", tag = "v1",
    responses(V1Refusals, (status = 200, description = "Which recipes are in force now", body = ReloadReply))))]
pub(in crate::http) async fn reload_recipes(
    State(http): State<Http>,
    request: Parts,
) -> Result<Json<ReloadReply>, V1> {
    Query::of(&request.uri).only(&[])?;
    let reloaded = http.app().reload_recipes().await?;
    Ok(Json(ReloadReply {
        taken: reloaded.taken,
        date: reloaded.in_force.date,
        from: reloaded.in_force.from,
        remark: reloaded.remark,
    }))
}
