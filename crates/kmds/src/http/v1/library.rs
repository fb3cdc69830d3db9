//! `/api/v1/library`: songs put into the operator's music library.
//!
//! Owns the shape of a run and how its body is read.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::request::Parts;
use http::{Request, StatusCode};
use serde::Serialize;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::body;
use super::super::error::{Refusal, V1};
use super::super::fields::Fields;
use super::super::links::sent_link;
use super::super::query::Query;
#[cfg(test)]
use super::super::schemas;
use super::super::state::Http;
use crate::app::{FetchAsk, LibraryRun};

const KEYS: [&str; 2] = ["url", "playlist"];
const EXAMPLE: &str = "send {\"url\": \"LINK\"}";

/// Songs on their way into the library.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct LibraryReply {
    /// To ask how far it is: `GET /api/v1/library/{id}`.
    id: String,
    /// The list's title, else the song's.
    title: Option<String>,
    /// `running`; `done`, also where some songs failed; or `failed`: the folder takes no more, `reason` says why.
    #[cfg_attr(test, schema(value_type = String))]
    state: &'static str,
    /// How many there are.
    songs: usize,
    /// How many were put there.
    placed: usize,
    /// How many stood there before.
    present: usize,
    failed: usize,
    /// Below `library.dir`: of one song its file, of several the folder they are all in.
    path: Option<String>,
    /// Songs that are not there, at most 100.
    failures: Vec<LibraryFailureReply>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    kind: Option<&'static str>,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct LibraryFailureReply {
    title: Option<String>,
    #[cfg_attr(test, schema(value_type = String))]
    kind: &'static str,
    reason: String,
}

/// Puts the songs of a link into the music library.
///
/// They get there as tagged copies, `Artist/Album/01 Title`, in the folder that the setting `library.dir` names. It
/// goes on in the background: ask the run how far it is. A file that is there is never changed; the same song is left
/// as it is.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/library", tag = "v1",
    request_body = schemas::LibraryBody,
    responses(V1Refusals, (status = 202, description = "The run that puts them there", body = LibraryReply))))]
pub(in crate::http) async fn put_in_library(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<LibraryReply>), V1> {
    let (request, body) = request.into_parts();
    Query::of(&request.uri).only(&[])?;
    let body = body::read(&request.headers, body).await?;
    body::check_json_type(&request.headers, &body)?;
    let run = http.app().into_library(read_body(&body)?).await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// How far a run is. It is known for some time after its end, and not after a restart.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/library/{id}", tag = "v1",
    params(("id" = String, Path, description = "The id of the reply to the request")),
    responses(V1Refusals, (status = 200, description = "The run", body = LibraryReply))))]
pub(in crate::http) async fn show_library_run(
    State(http): State<Http>,
    id: Result<Path<String>, PathRejection>,
    request: Parts,
) -> Result<Json<LibraryReply>, V1> {
    Query::of(&request.uri).only(&[])?;
    let unknown =
        || Refusal::not_found("no such run is known; send the link again to see what is there");
    let Path(id) = id.map_err(|_| unknown())?;
    let run = http.app().library_run(&id)?.ok_or_else(unknown)?;
    Ok(Json(run.into()))
}

impl From<LibraryRun> for LibraryReply {
    fn from(run: LibraryRun) -> Self {
        let failures = run.failures.into_iter().map(|one| LibraryFailureReply {
            title: one.title,
            kind: one.failure.kind.as_str(),
            reason: one.failure.sentence,
        });
        Self {
            id: run.id,
            title: run.title,
            state: run.state.as_str(),
            songs: run.songs,
            placed: run.placed,
            present: run.present,
            failed: run.failed,
            path: run.path,
            failures: failures.collect(),
            kind: run.failure.as_ref().map(|failure| failure.kind.as_str()),
            reason: run.failure.map(|failure| failure.sentence),
        }
    }
}

fn read_body(body: &[u8]) -> Result<FetchAsk, Refusal> {
    let mut fields = Fields::of(body, &KEYS, EXAMPLE)?;
    let link = fields.text("url")?;
    let whole_list = fields.flag("playlist")?;
    let missing = format!("there is no \"url\" in the body; {EXAMPLE}");
    Ok(FetchAsk {
        link: sent_link(link, &missing)?,
        whole_list,
        accept: None,
        prefetch: None,
    })
}
