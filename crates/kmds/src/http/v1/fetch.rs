//! `POST /api/v1/fetch`: a link in, its collection and tracks out.
//!
//! Owns how the body is read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Request, StatusCode};
use serde_json::Value;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::links::{Addresses, sent_link};
use super::super::query::{Query, accept_list, unknown_parameter};
#[cfg(test)]
use super::super::schemas;
use super::super::state::Http;
use super::super::{body, reply};
use super::rendition;
use super::shapes::{FetchReply, TrackReply};
use crate::app::{CopyForm, FetchAsk, Prefetch, Song};

/// What the body of a fetch may hold.
const FETCH_KEYS: [&str; 5] = ["url", "playlist", "accept", "prefetch", "rendition"];

/// Resolves a link and queues its songs.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/fetch", tag = "v1",
    request_body = schemas::FetchBody,
    responses(V1Refusals, (status = 200, description = "The collection and its tracks", body = FetchReply))))]
pub(in crate::http) async fn fetch(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<Response, V1> {
    let (request, body) = request.into_parts();
    Query::of(&request.uri).only(&[])?;
    let body = body::read(&request.headers, body).await?;
    check_content_type(&request, &body)?;
    let (ask, rendition) = read_body(&body)?;
    let prefetch = ask.prefetch;
    let mut fetched = http.app().fetch(ask).await?;
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
                // The list's entry has the album and the number.
                *song = Song {
                    track: song.track.clone(),
                    ..rendered
                };
            }
        }
    }
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    Ok(reply::list(
        fetched,
        addresses,
        "tracks",
        FetchReply::new,
        TrackReply::new,
    ))
}

/// Refuses a body whose `Content-Type` is not JSON. `curl -d` sends the type of a form with every body: it is accepted
/// if the body looks like a JSON object.
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
    let value = body::parse_json(body).map_err(|error| {
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
        Some(words) => {
            Some(accept_list(&words).ok_or_else(|| wrong("accept", "an array of strings"))??)
        }
    };
    let prefetch = match take("prefetch") {
        None => Prefetch::All,
        Some(value) => prefetch(&value)
            .ok_or_else(|| wrong("prefetch", "\"all\", \"none\" or a whole number"))?,
    };
    let rendition = match take("rendition") {
        None => CopyForm::default(),
        Some(Value::String(word)) => rendition::parse(&word)?,
        Some(_) => return Err(wrong("rendition", "a string")),
    };
    let link = sent_link(link, &format!("there is no \"url\" in the body; {example}"))?;
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
}
