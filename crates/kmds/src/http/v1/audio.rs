//! `/api/v1/tracks/{site}/{id}/audio`: the bytes of a track, in the requested form.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::request::Parts;
use kmds_extract::TrackId;

#[cfg(test)]
use super::super::answers::{AudioAnswers, V1Refusals};
use super::super::audio::{self, wanted};
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::query::{Query, Wait};
use super::super::state::Http;
use super::path::{TrackPath, never_asked_for, track_at};
use super::rendition;
use crate::app::{
    CopyForm, FormAsk, NODE_HEADER, NotServed, State as JobState, UNHEARD_HEADER, Want,
};

/// The audio of a track, whole or while it arrives. A failure has the status of its kind.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/audio", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("rendition" = Option<String>, Query, description = "`original`, `m4a`, `mp3`, `ogg`, `opus`, `flac` or `wav`"),
        ("accept" = Option<String>, Query, description = "What the client can play, like `opus,m4a`: the first that is here or that the site has. In place of `rendition` and `tags`"),
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
    at: TrackPath,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    let known = ["rendition", "tags", "accept", "wait", "stream"];
    let query = Query::of(&request.uri).only(&known)?;
    send(&http, &id, &form_asked(&query)?, &query, &request).await
}

fn form_asked(query: &Query<'_>) -> Result<FormAsk, Refusal> {
    let rendition = query.filled("rendition");
    let tags = query.switch("tags")?;
    if let Some(accept) = query.accept()? {
        return match rendition {
            None if !tags => Ok(FormAsk::Accept(accept)),
            _ => Err(Refusal::bad_request(
                "accept chooses among the forms without tags; send it without rendition and tags",
            )),
        };
    }
    let form = rendition.map_or_else(|| Ok(CopyForm::default()), |word| rendition::parse(&word))?;
    Ok(FormAsk::from(CopyForm {
        tagged: form.tagged || tags,
        ..form
    }))
}

/// Answers with the audio of a form. `HEAD` queues nothing; nor does a request that must start nothing.
pub(super) async fn send(
    http: &Http,
    id: &TrackId,
    form: &FormAsk,
    query: &Query<'_>,
    request: &Parts,
) -> Result<Response, V1> {
    let wait = Wait::asked(query, &request.headers)?;
    let streams = query.switch("stream")?;
    let barred = Caller::of(request)?.barred;
    if !request.headers.contains_key(NODE_HEADER) {
        http.app().learn(id).await;
    }
    let peeks = request.method == Method::HEAD || barred.is_some();
    let key = if peeks {
        http.app().peek_form(id, form).await
    } else {
        http.app().form(id, form).await
    };
    let key = key?.ok_or_else(|| never_asked_for(id))?;
    let want = match wanted(&request.method, barred, streams, wait) {
        Want::Stream if request.headers.contains_key(NODE_HEADER) => Want::StreamToNode {
            listened: !request.headers.contains_key(UNHEARD_HEADER),
        },
        want => want,
    };
    let served =
        audio::serve(http.app(), &key, want, request)
            .await
            .map_err(|denied| match denied {
                // `GET` would fetch or make it.
                audio::Denied::NotServed(NotServed::Unknown) if peeks => NotServed::Unfinished {
                    state: JobState::Evicted,
                    received: 0,
                    total: None,
                    wait: None,
                }
                .into(),
                denied => denied,
            });
    let mut response = served
        .unwrap_or_else(|denied| V1::from(denied.unless_barred(barred).for_link()).into_response());
    audio::acknowledge(wait, want, &mut response);
    Ok(response)
}
