//! The v1 API below `/api/v1`: snake_case, problem+json.
//!
//! Owns how its requests are read. Hides how replies are spelled (`shapes`). Never behaves differently from the classic
//! face where `docs/api.md` does not say so.

pub(super) mod shapes;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use kmds_extract::{Site, TrackId};
use serde_json::Value;

use self::shapes::{FetchReply, ListReply, TrackReply};
use super::ask::{self, Addresses};
use super::error::{Refusal, V1};
use super::guard::{Caller, foreign_page};
#[cfg(test)]
use super::openapi::{
    bodies, describe::AudioAnswers, describe::PictureAnswers, describe::V1Refusals,
};
use super::query::{Query, Wait, unknown_parameter};
use super::{Http, audio, classic, json};
use crate::app::{
    CopyForm, CoverFound, FetchAsk, ListAsk, NotServed, Prefetch, Song, State as JobState, Stats,
};

/// What the body of a fetch may hold.
const FETCH_KEYS: [&str; 5] = ["url", "playlist", "accept", "prefetch", "rendition"];
/// Songs of a list reply unless asked otherwise, and at most.
const LISTED: usize = 50;
const MOST_LISTED: usize = 500;
/// Covers change rarely: clients may keep one for a day.
const COVER_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=86400");

/// What the two path parameters name; `not_found` when no song can have that id.
type At = Result<Path<(String, String)>, PathRejection>;

fn track_at(at: At) -> Result<TrackId, Refusal> {
    let named = at
        .ok()
        .and_then(|Path((site, id))| TrackId::new(Site::parse(&site)?, &id));
    named.ok_or_else(|| {
        Refusal::not_found(
            "no such track; ask /api/v1/tracks/SITE/ID with what /api/v1/fetch replied",
        )
    })
}

fn never_asked_for(id: &TrackId) -> Refusal {
    Refusal::not_found(format!(
        "{id} was never asked for, or was deleted; POST its link to /api/v1/fetch"
    ))
}

/// Resolves a link and queues its songs.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/fetch", tag = "v1",
    request_body = bodies::FetchBody,
    responses(V1Refusals, (status = 200, description = "The collection and its tracks", body = FetchReply))))]
pub(super) async fn fetch(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<Response, V1> {
    let (request, body) = request.into_parts();
    Query::of(&request.uri).only(&[])?;
    let body = ask::body(&request.headers, body).await?;
    check_content_type(&request, &body)?;
    let (ask, rendition) = read_body(&body)?;
    let prefetch = ask.prefetch;
    let mut fetched = ask::fetch(http.app(), ask).await?;
    if rendition != CopyForm::default() {
        let ahead = match prefetch {
            Prefetch::All => usize::MAX,
            Prefetch::None => 0,
            Prefetch::Ahead(count) => count,
        };
        for song in Arc::make_mut(&mut fetched.songs).iter_mut().take(ahead) {
            if let Some(key) = http.app().rendition(&song.track.id, rendition).await?
                && let Some(rendered) = http.app().song_in(&key).await?
            {
                // The list's entry knows its album and number better.
                *song = Song {
                    track: song.track.clone(),
                    ..rendered
                };
            }
        }
    }
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok(json::reply(
        fetched,
        addresses,
        "tracks",
        FetchReply::new,
        TrackReply::new,
    ))
}

/// Whether a body may be read: one that says it is something else than JSON is not guessed at. What `curl -d` says of
/// every body counts only if the body is JSON all the same.
fn check_content_type(request: &Parts, body: &[u8]) -> Result<(), Refusal> {
    let Some(value) = request.headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or("")
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let is_json = match essence.as_str() {
        "application/json" => true,
        "application/x-www-form-urlencoded" => body.trim_ascii_start().starts_with(b"{"),
        other => other.starts_with("application/") && other.ends_with("+json"),
    };
    if is_json {
        return Ok(());
    }
    let sentence = "the body has to be JSON; send it with Content-Type: application/json";
    Err(Refusal::bad_request(sentence).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn read_body(body: &[u8]) -> Result<(FetchAsk, CopyForm), Refusal> {
    let example = "send {\"url\": \"LINK\"}";
    let value = ask::json(body).map_err(|error| {
        Refusal::bad_request(format!("the body is no JSON ({error}); {example}"))
    })?;
    let Value::Object(mut object) = value else {
        return Err(Refusal::bad_request(format!(
            "the body is JSON, but no object; {example}"
        )));
    };
    if let Some(name) = object
        .keys()
        .find(|name| !FETCH_KEYS.contains(&name.as_str()))
    {
        return Err(unknown_parameter(name, &FETCH_KEYS));
    }
    let mut take = |key: &str| object.remove(key).filter(|value| !value.is_null());
    let wrong =
        |key: &str, wanted: &str| Refusal::bad_request(format!("\"{key}\" has to be {wanted}"));
    let link = match take("url") {
        None => None,
        Some(Value::String(link)) => Some(link),
        Some(_) => return Err(wrong("url", "a string")),
    };
    let whole_list = match take("playlist") {
        None => false,
        Some(Value::Bool(whole)) => whole,
        Some(_) => return Err(wrong("playlist", "true or false")),
    };
    let accept = match take("accept") {
        None => None,
        Some(words) => Some(
            classic::read_accept(&words)
                .ok_or_else(|| wrong("accept", "an array of strings"))??,
        ),
    };
    let prefetch = match take("prefetch") {
        None => Prefetch::All,
        Some(value) => prefetch(&value)
            .ok_or_else(|| wrong("prefetch", "\"all\", \"none\" or a whole number"))?,
    };
    let rendition = match take("rendition") {
        None => CopyForm::default(),
        Some(Value::String(word)) => rendition(&word)?,
        Some(_) => return Err(wrong("rendition", "a string")),
    };
    let link = ask::link(link, &format!("there is no \"url\" in the body; {example}"))?;
    Ok((
        FetchAsk {
            link,
            whole_list,
            accept,
            prefetch,
        },
        rendition,
    ))
}

fn prefetch(value: &Value) -> Option<Prefetch> {
    match value {
        Value::String(word) if word == "all" => Some(Prefetch::All),
        Value::String(word) if word == "none" => Some(Prefetch::None),
        Value::Number(number) => match usize::try_from(number.as_u64()?).unwrap_or(usize::MAX) {
            0 => Some(Prefetch::None),
            count => Some(Prefetch::Ahead(count)),
        },
        _ => None,
    }
}

/// A rendition by its name; `-tagged` may follow it, as in the names of listed copies.
fn rendition(word: &str) -> Result<CopyForm, Refusal> {
    CopyForm::parse(word).ok_or_else(|| {
        Refusal::bad_request(
            "no rendition is called that; use one of original, m4a, mp3, ogg, opus, flac, wav",
        )
    })
}

/// What the cache knows, newest first.
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
pub(super) async fn list_tracks(State(http): State<Http>, request: Parts) -> Result<Response, V1> {
    let known = ["state", "site", "q", "originals", "limit", "cursor"];
    let asked = read_list(&Query::of(&request.uri).only(&known)?)?;
    let listing = http.app().list(asked).await?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok(Json(ListReply::new(&listing, &addresses)).into_response())
}

fn read_list(query: &Query<'_>) -> Result<ListAsk, Refusal> {
    let unknown = |name: &str, words: &str| {
        Refusal::bad_request(format!("no {name} is called that; use one of {words}"))
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

/// One track: metadata, state, progress, links, failure.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, (status = 200, description = "The track", body = TrackReply))))]
pub(super) async fn show_track(
    State(http): State<Http>,
    at: At,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let song = http
        .app()
        .song(&id)
        .await?
        .ok_or_else(|| never_asked_for(&id))?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok(Json(TrackReply::new(&song, &addresses)).into_response())
}

/// Cancels or evicts a track, in all its forms.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/tracks/{site}/{id}", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, (status = 204, description = "Gone"))))]
pub(super) async fn delete_track(
    State(http): State<Http>,
    at: At,
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
pub(super) async fn retry_track(
    State(http): State<Http>,
    at: At,
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

/// The audio of a track, whole or while it arrives. Statuses as `/tunnel`.
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
pub(super) async fn send_audio(
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
        .map_or_else(|| Ok(CopyForm::default()), |word| rendition(&word))?;
    form.tagged |= tags;
    let foreign = Caller::of(&request)?.is_foreign;
    let peeks = request.method == Method::HEAD || foreign;
    let key = if peeks {
        // `HEAD` queues nothing, nor does a foreign page.
        http.app().peek_rendition(&id, form).await
    } else {
        http.app().rendition(&id, form).await
    };
    let key = key
        .map_err(Refusal::failed_for_good)?
        .ok_or_else(|| never_asked_for(&id))?;
    let want = classic::wanted(&request.method, foreign, streams, wait);
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
    let served = served.map_err(|denied| denied.unless_foreign(foreign));
    let mut response = served.unwrap_or_else(|denied| V1::from(denied.for_file()).into_response());
    if request.method != Method::HEAD {
        wait.acknowledge(response.headers_mut());
    }
    Ok(response)
}

/// The cover of a track, fetched when first asked for and kept. `HEAD` does not fetch it.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/tracks/{site}/{id}/cover", tag = "v1",
    params(("site" = String, Path), ("id" = String, Path)),
    responses(V1Refusals, PictureAnswers)))]
pub(super) async fn send_cover(
    State(http): State<Http>,
    at: At,
    request: Parts,
) -> Result<Response, V1> {
    let id = track_at(at)?;
    Query::of(&request.uri).only(&[])?;
    let foreign = Caller::of(&request)?.is_foreign;
    let only_looks = request.method == Method::HEAD || foreign;
    let no_cover = || Refusal::not_found(format!("{id} has no cover, or was never asked for"));
    match http
        .app()
        .cover(&id, only_looks)
        .await?
        .ok_or_else(no_cover)?
    {
        CoverFound::Here(cover) => {
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_static(cover.content_type)),
                (CACHE_CONTROL, COVER_CACHE),
            ];
            Ok((headers, cover.bytes).into_response())
        }
        CoverFound::AtTheSite if foreign => Err(foreign_page().into()),
        // `GET` would fetch it: what kind of picture, how large, is not known.
        CoverFound::AtTheSite => Ok([(CACHE_CONTROL, COVER_CACHE)].into_response()),
    }
}

/// Counts by state, bytes on disk, queues, engines and their health.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/stats", tag = "v1",
    responses(V1Refusals, (status = 200, description = "Counts and health", body = bodies::StatsReply))))]
pub(super) async fn show_stats(
    State(http): State<Http>,
    request: Parts,
) -> Result<Json<Stats>, V1> {
    Query::of(&request.uri).only(&[])?;
    Ok(Json(http.app().stats().await))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<(FetchAsk, CopyForm), u16> {
        read_body(body.as_bytes()).map_err(|refusal| refusal.status.as_u16())
    }

    /// A body is understood, or refused in words; a link in it is never longer than allowed.
    #[test]
    fn fuzz_fetch_v1() {
        kmds_fuzz::target("fetch_v1", |body| match read_body(body) {
            Ok((ask, rendition)) => {
                assert!(ask.link.len() <= 2048 && !rendition.to_string().is_empty())
            }
            Err(refusal) => {
                assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
                let sentence = &refusal.failure.sentence;
                assert!(
                    (20..400).contains(&sentence.len()) && !sentence.contains(char::is_control),
                    "{sentence}"
                );
            }
        });
    }

    #[test]
    fn a_fetch_has_defaults_and_its_words_are_checked() {
        let (ask, rendition) = asked(r#"{"url": "x"}"#).expect("valid");
        assert_eq!(
            (ask.link.as_str(), ask.whole_list, ask.prefetch),
            ("x", false, Prefetch::All)
        );
        assert_eq!(rendition, CopyForm::default());
        for (value, wanted) in [
            ("\"all\"", Some(Prefetch::All)),
            ("\"none\"", Some(Prefetch::None)),
            ("0", Some(Prefetch::None)),
            ("3", Some(Prefetch::Ahead(3))),
            ("null", Some(Prefetch::All)),
            ("-1", None),
            ("1.5", None),
            ("\"3\"", None),
            ("true", None),
        ] {
            let read = asked(&format!(r#"{{"url": "x", "prefetch": {value}}}"#))
                .ok()
                .map(|(ask, _)| ask.prefetch);
            assert_eq!(read, wanted, "{value}");
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"url": 1}"#,
            r#"{"url": "x", "playlist": 1}"#,
            r#"{"url": "x", "rendition": "exe"}"#,
            r#"{"url": "x", "prefecth": 1}"#,
        ] {
            assert_eq!(asked(bad).map(|_| ()), Err(400), "{bad}");
        }
    }

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
