//! `/api/v1/tracks/{site}/{id}/{form}`: one form of a track, waiting for it without its bytes, and keeping its file.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};
use kmds_extract::TrackId;

#[cfg(test)]
use super::super::answers::{AudioAnswers, V1Refusals};
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::links::Addresses;
use super::super::query::{Hold, Query, Wait, holder};
use super::super::state::Http;
use super::audio;
use super::path::{FormPath, form_at, never_asked_for, not_in_this_form};
use super::shapes::TrackReply;
use crate::app::{FormAsk, Holder, Key, NotServed, Song, Want};

/// One form of a track: state, path, size, hash, links.
///
/// The form does not change when other clients ask for other forms. With `wait` a form that no client asked for before
/// is fetched or made; the answer comes when it is ready or has failed, or after that time. With `hold` its file is not
/// evicted for that time after the answer.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/{form}", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
        ("wait" = Option<u16>, Query, maximum = 300, description = "Answer when the form is ready or has failed, at the latest after 0 to 300 s"),
        ("hold" = Option<u32>, Query, minimum = 1, maximum = 86400, description = "Keep the file from eviction for so many seconds"),
        ("holder" = Option<String>, Query, max_length = 64, description = "Whose hold this is; clients that give no name share one hold"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS` (RFC 7240)"),
    ),
    responses(V1Refusals, (status = 200, description = "The track in this form", body = TrackReply))))]
pub(in crate::http) async fn show_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<Response, V1> {
    let (id, form) = form_at(at)?;
    let query = Query::of(&request.uri).only(&["wait", "hold", "holder"])?;
    let asked = FormRequest::of(&query, &request)?;
    let app = http.app();
    let makes = !asked.wait.time.is_zero() && !asked.only_looks;
    let key = if makes {
        app.form(&id, &form).await?
    } else {
        app.peek_form(&id, &form).await?
    };
    let key = key.ok_or_else(|| never_asked_for(&id))?;
    let song = asked.answer(&http, &key).await?;
    let song = song.ok_or_else(|| not_in_this_form(&id))?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let mut response = Json(TrackReply::new(&song, &addresses)).into_response();
    asked.wait.acknowledge(response.headers_mut());
    Ok(response)
}

/// A request for a form without its bytes.
pub(super) struct FormRequest {
    pub(super) wait: Wait,
    hold: Option<Hold>,
    /// `HEAD`, or a request that must start nothing: nothing is started or moved.
    only_looks: bool,
}

impl FormRequest {
    /// # Errors
    /// A wait or a hold that cannot be read, or a hold of a client that may start nothing.
    pub(super) fn of(query: &Query<'_>, request: &Parts) -> Result<Self, Refusal> {
        let barred = Caller::of(request)?.barred;
        let hold = Hold::asked(query)?;
        if let Some(barred) = barred.filter(|_| hold.is_some()) {
            return Err(barred.refusal());
        }
        Ok(Self {
            wait: Wait::asked(query, &request.headers)?,
            hold,
            only_looks: barred.is_some() || request.method == Method::HEAD,
        })
    }

    /// The form as it is after the wait; `None` if it is unknown, or a client deleted it meanwhile.
    /// # Errors
    /// The catalog failed.
    pub(super) async fn answer(&self, http: &Http, key: &Key) -> Result<Option<Song>, Refusal> {
        let app = http.app();
        if self.hold.is_some() || !self.wait.time.is_zero() {
            // While it is open the file is not evicted, so that there is no gap before the hold. A failure is part of
            // the reply.
            let opened = app.played(key, self.want()).await;
            let comes = !matches!(opened, Err(NotServed::Failed(_) | NotServed::Unknown));
            if let Some(hold) = self.hold.as_ref().filter(|_| comes) {
                app.hold(key, &hold.holder, Some(hold.length)).await?;
            }
        }
        // A client may have deleted it meanwhile, with all its forms.
        if app.song(key.track()).await?.is_none() {
            return Ok(None);
        }
        Ok(app.song_in(key).await?)
    }

    fn want(&self) -> Want {
        match (self.wait.time, self.only_looks) {
            (time, _) if time.is_zero() => Want::Peek,
            (time, true) => Want::PeekWithin(time),
            (time, false) => Want::WholeWithin(time),
        }
    }
}

/// The audio of a track in one form, whole or while it arrives. A form that was not asked for before is fetched or
/// made.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/{form}/audio", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
        ("wait" = Option<u16>, Query, maximum = 300, description = "Hold the request until the file is ready, 0 to 300 s"),
        ("stream" = Option<bool>, Query, description = "Send bytes as they arrive"),
        ("tags" = Option<bool>, Query, description = "A copy with title, artist, album and cover written into it"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS` (RFC 7240)"),
        ("Range" = Option<String>, Header, description = "RFC 9110, 14.2"),
    ),
    responses(
        V1Refusals,
        AudioAnswers,
    )))]
pub(in crate::http) async fn send_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<Response, V1> {
    let (id, mut form) = form_at(at)?;
    let query = Query::of(&request.uri).only(&["wait", "stream", "tags"])?;
    if query.switch("tags")? {
        form = form.tagged();
    }
    audio::send(&http, &id, &form, &query, &request).await
}

/// Keeps the file of a form from eviction for some time, from when it is there on.
///
/// A hold that is asked for again is renewed, never shortened. It ends by itself, so that a client that is gone holds
/// nothing for long.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/tracks/{site}/{id}/{form}/hold", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
        ("hold" = Option<u32>, Query, minimum = 1, maximum = 86400, description = "For so many seconds, 600 by default"),
        ("holder" = Option<String>, Query, max_length = 64, description = "Whose hold this is; clients that give no name share one hold"),
    ),
    responses(V1Refusals, (status = 200, description = "The track in this form", body = TrackReply))))]
pub(in crate::http) async fn hold_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<Response, V1> {
    let (id, form) = form_at(at)?;
    let query = Query::of(&request.uri).only(&["hold", "holder"])?;
    let hold = Hold::or_usual(&query)?;
    let key = known(&http, &id, &form).await?;
    let held = http.app().hold(&key, &hold.holder, Some(hold.length));
    let held = held.await?;
    shown(&http, &request, &key, held).await
}

/// Ends a hold before its time. Holds under other names stay.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/tracks/{site}/{id}/{form}/hold", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
        ("holder" = Option<String>, Query, max_length = 64, description = "Whose hold ends"),
    ),
    responses(V1Refusals, (status = 204, description = "Ended, or there was none"))))]
pub(in crate::http) async fn release_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<StatusCode, V1> {
    let (id, form) = form_at(at)?;
    let query = Query::of(&request.uri).only(&["holder"])?;
    let holder = holder(&query)?;
    let key = known(&http, &id, &form).await?;
    http.app().release(&key, &holder).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps the file of a form from eviction for good.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/tracks/{site}/{id}/{form}/pin", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
    ),
    responses(V1Refusals, (status = 200, description = "The track in this form", body = TrackReply))))]
pub(in crate::http) async fn pin_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<Response, V1> {
    let (id, form) = form_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let key = known(&http, &id, &form).await?;
    let held = http.app().hold(&key, &Holder::Pin, None).await?;
    shown(&http, &request, &key, held).await
}

/// Ends a pin: the file of the form may be evicted again.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/tracks/{site}/{id}/{form}/pin", tag = "v1",
    params(
        ("site" = String, Path), ("id" = String, Path),
        ("form" = String, Path, description = "`m4a`, `mp3`, `ogg`, `opus`, `webm`, `flac` or `wav`"),
    ),
    responses(V1Refusals, (status = 204, description = "Pinned no more"))))]
pub(in crate::http) async fn unpin_form(
    State(http): State<Http>,
    at: FormPath,
    request: Parts,
) -> Result<StatusCode, V1> {
    let (id, form) = form_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let key = known(&http, &id, &form).await?;
    http.app().release(&key, &Holder::Pin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key of a form that was asked for before.
async fn known(http: &Http, id: &TrackId, form: &FormAsk) -> Result<Key, Refusal> {
    let key = http.app().peek_form(id, form).await?;
    let key = key.ok_or_else(|| never_asked_for(id))?;
    match http.app().song_in(&key).await? {
        Some(_) => Ok(key),
        None => Err(not_in_this_form(id)),
    }
}

async fn shown(http: &Http, request: &Parts, key: &Key, held: bool) -> Result<Response, V1> {
    let song = http.app().song_in(key).await?.filter(|_| held);
    let song = song.ok_or_else(|| not_in_this_form(key.track()))?;
    let addresses = Addresses::of(http, Caller::of(request)?);
    Ok(Json(TrackReply::new(&song, &addresses)).into_response())
}
