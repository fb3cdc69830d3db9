//! `/api/v1/tracks/{site}/{id}/audio`: the bytes of a track.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::request::Parts;

#[cfg(test)]
use super::super::answers::{AudioAnswers, V1Refusals};
use super::super::audio::{self, wanted};
use super::super::error::V1;
use super::super::guard::Caller;
use super::super::query::{Query, Wait};
use super::super::state::Http;
use super::path::{At, never_asked_for, track_at};
use super::rendition;
use crate::app::{CopyForm, NotServed, State as JobState};

/// The audio of a track, whole or while it arrives. A failure has the status of its kind.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/audio", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("rendition" = Option<String>, Query, description = "`original`, `m4a`, `mp3`, `ogg`, `opus`, `flac` or `wav`"),
        ("tags" = Option<bool>, Query, description = "A copy with title, artist, album and cover written into it"),
        ("wait" = Option<u16>, Query, maximum = 300, description = "Hold the request until the file is ready, 0 to 300 s"),
        ("stream" = Option<bool>, Query, description = "Send bytes as they arrive"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS` (RFC 7240)"),
        ("Range" = Option<String>, Header, description = "RFC 9110, 14.2"),
    ),
    responses(
        V1Refusals,
        AudioAnswers,
    )))]
pub(in crate::http) async fn send_audio(
    State(http): State<Http>,
    at: At,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    let query = Query::of(&request.uri).only(&["rendition", "tags", "wait", "stream"])?;
    let wait = Wait::asked(&query, &request.headers)?;
    let (streams, tags) = (query.switch("stream")?, query.switch("tags")?);
    let mut form = query
        .filled("rendition")
        .map_or_else(|| Ok(CopyForm::default()), |word| rendition::parse(&word))?;
    form.tagged |= tags;
    let barred = Caller::of(&request)?.barred;
    let peeks = request.method == Method::HEAD || barred.is_some();
    let key = if peeks {
        // `HEAD` queues nothing, nor does a request that must start nothing.
        http.app().peek_rendition(&id, form).await
    } else {
        http.app().rendition(&id, form).await
    };
    let key = key?.ok_or_else(|| never_asked_for(&id))?;
    let want = wanted(&request.method, barred, streams, wait);
    let served = audio::serve(http.app(), &key, want, &request)
        .await
        .map_err(|denied| match denied {
            // `GET` would have it made.
            audio::Denied::NotServed(NotServed::Unknown) if peeks && key.is_copy() => {
                NotServed::Unfinished {
                    state: JobState::Evicted,
                    received: 0,
                    total: None,
                    wait: None,
                }
                .into()
            }
            denied => denied,
        });
    let mut response = served
        .unwrap_or_else(|denied| V1::from(denied.unless_barred(barred).for_link()).into_response());
    audio::acknowledge(wait, want, &mut response);
    Ok(response)
}
