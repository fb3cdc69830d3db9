//! `/api/v1/tracks` and `/api/v1/tracks/{site}/{id}`: the known tracks, one track, cancelling, trying again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use kmds_extract::Site;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::links::Addresses;
use super::super::query::Query;
use super::super::state::Http;
use super::forms::FormRequest;
use super::path::{TrackPath, never_asked_for, track_at};
use super::shapes::{ListReply, TrackFormsReply, TrackReply};
use crate::app::{ListAsk, State as JobState};

/// The default and the largest number of songs in a list reply.
const LISTED: usize = 50;
const MOST_LISTED: usize = 500;

/// The known tracks, newest first.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks", tag = "v1",
    params(
        ("state" = Option<String>, Query, description = "`queued`, `downloading`, `converting`, `ready`, `failed` or `evicted`"),
        ("site" = Option<String>, Query, description = "`youtube`, `soundcloud`, `bandcamp` or `other`"),
        ("q" = Option<String>, Query, description = "Words in title, artist or album"),
        ("originals" = Option<bool>, Query, description = "Leave out tagged and converted copies"),
        ("limit" = Option<u16>, Query, description = "1 to 500, 50 by default"),
        ("cursor" = Option<String>, Query, description = "Where the reply before ended"),
    ),
    responses(V1Refusals, (status = 200, description = "Tracks", body = ListReply))))]
pub(in crate::http) async fn list_tracks(
    State(http): State<Http>,
    request: Parts,
) -> Result<Response, V1> {
    let known = ["state", "site", "q", "originals", "limit", "cursor"];
    let asked = read_list(&Query::of(&request.uri).only(&known)?)?;
    let listing = http.app().list(asked).await?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok(Json(ListReply::new(&listing, &addresses)).into_response())
}

fn read_list(query: &Query<'_>) -> Result<ListAsk, Refusal> {
    let unknown = |name: &str, words: &str| {
        Refusal::bad_request(format!("there is no such {name}; use one of {words}"))
    };
    let state = query.filled("state").map(|word| {
        use JobState::{Converting, Downloading, Evicted, Failed, Queued, Ready};
        let states = [Queued, Downloading, Converting, Ready, Failed, Evicted];
        let found = states.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| unknown("state", &states.map(JobState::as_str).join(", ")))
    });
    let site = query.filled("site").map(|word| {
        Site::parse(&word).ok_or_else(|| unknown("site", "youtube, soundcloud, bandcamp, other"))
    });
    let limit = query.filled("limit").map_or(Ok(LISTED), |text| {
        let limit = text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST_LISTED).contains(limit));
        limit.ok_or_else(|| {
            Refusal::bad_request(format!("limit is out of range; use 1 to {MOST_LISTED}"))
        })
    });
    Ok(ListAsk {
        state: state.transpose()?,
        site: site.transpose()?,
        query: query.filled("q"),
        originals_only: query.switch("originals")?,
        limit: limit?,
        cursor: query.filled("cursor"),
    })
}

/// One track: metadata, and its forms. The facts about a file are those of the form that a client asked for last.
///
/// With `wait` the answer comes when that form is ready or has failed, or after that time, and its song moves to the
/// front of the queue. `HEAD` and pages of other sites wait without moving it. With `hold` its file is not evicted for
/// that time after the answer.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("wait" = Option<u16>, Query, maximum = 300, description = "Answer when the track is ready or has failed, at the latest after 0 to 300 s"),
        ("hold" = Option<u32>, Query, minimum = 1, maximum = 86400, description = "Keep the file from eviction for so many seconds"),
        ("holder" = Option<String>, Query, max_length = 64, description = "Whose hold this is; clients that give no name share one hold"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS` (RFC 7240)"),
    ),
    responses(V1Refusals, (status = 200, description = "The track and its forms", body = TrackFormsReply))))]
pub(in crate::http) async fn show_track(
    State(http): State<Http>,
    at: TrackPath,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    let query = Query::of(&request.uri).only(&["wait", "hold", "holder"])?;
    let asked = FormRequest::of(&query, &request)?;
    let app = http.app();
    app.learn(&id).await;
    let song = app.song(&id).await?.ok_or_else(|| never_asked_for(&id))?;
    let song = asked.answer(&http, &song.key).await?;
    let song = song.ok_or_else(|| never_asked_for(&id))?;
    let forms = app.forms(&id).await?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let mut response = Json(TrackFormsReply::new(&song, &forms, &addresses)).into_response();
    asked.wait.acknowledge(response.headers_mut());
    Ok(response)
}

/// Cancels or evicts a track, in all its forms. Holds on it end.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/tracks/{site}/{id}", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, (status = 204, description = "Gone"))))]
pub(in crate::http) async fn delete_track(
    State(http): State<Http>,
    at: TrackPath,
    request: Parts,
) -> Result<StatusCode, V1> {
    let id = track_at(at)?;
    Query::of(&request.uri).only(&[])?;
    if http.app().delete(&id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(never_asked_for(&id).into())
    }
}

/// Tries a failed track again now.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/tracks/{site}/{id}/retry", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, (status = 202, description = "The track, queued again if it had failed", body = TrackReply))))]
pub(in crate::http) async fn retry_track(
    State(http): State<Http>,
    at: TrackPath,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let song = http
        .app()
        .retry(&id)
        .await?
        .ok_or_else(|| never_asked_for(&id))?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok((
        StatusCode::ACCEPTED,
        Json(TrackReply::new(&song, &addresses)),
    )
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_bounded_and_empty_filters_are_none() {
        let read = |query: &str| {
            let uri: http::Uri = format!("/x?{query}").parse().expect("a path");
            read_list(&Query::of(&uri)).map_err(|refusal| refusal.status.as_u16())
        };
        let all = read("state=&site=&q=&limit=&cursor=").expect("valid");
        assert_eq!(
            (all.state, all.site, all.query, all.limit, all.cursor),
            (None, None, None, 50, None)
        );
        let some = read("state=ready&site=bandcamp&q=a+b&limit=500&cursor=7").expect("valid");
        assert_eq!(
            (some.state, some.site),
            (Some(JobState::Ready), Some(Site::Bandcamp))
        );
        assert_eq!((some.query.as_deref(), some.limit), (Some("a b"), 500));
        for bad in [
            "state=done",
            "site=vimeo",
            "limit=0",
            "limit=501",
            "limit=-1",
            "limit=x",
        ] {
            assert_eq!(read(bad).map(|_| ()), Err(400), "{bad}");
        }
    }
}
