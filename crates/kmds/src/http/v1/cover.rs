//! `/api/v1/tracks/{site}/{id}/cover`: the cover of a track.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method};

#[cfg(test)]
use super::super::answers::{PictureAnswers, V1Refusals};
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::query::Query;
use super::super::state::Http;
use super::path::{TrackPath, track_at};
use crate::app::{CoverFound, NODE_HEADER};

/// Covers change rarely: clients may keep one for a day.
const COVER_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=86400");

/// The cover of a track, or of a song that a search has just found: fetched when first asked for and kept. `HEAD` does
/// not fetch it.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/cover", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, PictureAnswers)))]
pub(in crate::http) async fn send_cover(
    State(http): State<Http>,
    at: TrackPath,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let barred = Caller::of(&request)?.barred;
    let only_looks = request.method == Method::HEAD || barred.is_some();
    let for_node = request.headers.contains_key(NODE_HEADER);
    let no_cover = || Refusal::not_found(format!("{id} has no cover, or was never asked for"));
    let found = http.app().cover(&id, only_looks, for_node).await?;
    match (found.ok_or_else(no_cover)?, barred) {
        (CoverFound::Here(cover), _) => {
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_static(cover.content_type)),
                (CACHE_CONTROL, COVER_CACHE),
            ];
            Ok((headers, cover.bytes).into_response())
        }
        (CoverFound::AtTheSite, Some(barred)) => Err(barred.refusal().into()),
        // `GET` would fetch it: until then its type and its size are not known.
        (CoverFound::AtTheSite, None) => Ok([(CACHE_CONTROL, COVER_CACHE)].into_response()),
    }
}
