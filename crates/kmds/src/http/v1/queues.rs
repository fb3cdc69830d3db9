//! `/api/v1/queues/{name}`: what a client will play, in order.
//!
//! Owns how the body is read, and the shape of the reply.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::request::Parts;
use http::{Request, StatusCode};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::body;
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::links::Addresses;
use super::super::query::{Query, accept_list, is_plain_name};
#[cfg(test)]
use super::super::schemas::{self, track_state_schema};
use super::super::state::Http;
use super::shapes::{FailureReply, TrackReply, rfc3339};
use crate::app::{QueueAsk, QueuePage, QueueShown, QueueSong, State as JobState};

/// Songs of one queue.
const MOST_SONGS: usize = 10_000;
/// Bytes of one of them; no link is longer.
const LONGEST_SONG: usize = 2048;
/// Songs that are made ready before they are played.
const AHEAD: u64 = 3;
const MOST_AHEAD: u64 = 100;
/// A queue that is not written again ends after so long.
const HOLD_SECONDS: u64 = 3_600;
const LONGEST_HOLD_SECONDS: u64 = 86_400;
/// Songs of a reply.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 1_000;
const EXAMPLE: &str = "send {\"songs\": [\"LINK\", \"site/id\"], \"ahead\": 3}";

/// A queue as it is now.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct QueueReply {
    name: String,
    ahead: usize,
    /// Songs that were begun: the first `begun - 1` were played.
    begun: usize,
    /// It ends then, unless it is written again. RFC 3339.
    until: String,
    /// Songs in all.
    total: usize,
    /// The place of the first of `songs`; the first of all has 0.
    from: usize,
    songs: Vec<QueueSongReply>,
}

/// A song of a queue.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct QueueSongReply {
    /// As it was sent.
    song: String,
    /// `evicted`: neither here nor on its way.
    #[cfg_attr(test, schema(schema_with = track_state_schema))]
    state: JobState,
    /// Set for a song that is near: its form for this client, its path, its links.
    #[cfg_attr(test, schema(required = true))]
    track: Option<TrackReply>,
    /// Why it is passed over.
    #[cfg_attr(test, schema(required = true))]
    failure: Option<FailureReply>,
}

/// Writes a queue: the songs in the order in which they will be played.
///
/// The first `ahead` songs are made ready in this order, before other songs that no client waits for, and held until
/// they are played or leave the queue. A song counts as begun when its audio is asked for, or waited for, while it is
/// near. Write the queue again to change it, and to keep it: it ends by itself.
#[cfg_attr(test, utoipa::path(put, path = "/api/v1/queues/{name}", tag = "v1",
    params(
        ("name" = String, Path, max_length = 64, description = "Letters, digits, dots, dashes and underscores"),
        ("from" = Option<u16>, Query, maximum = 10000, description = "The place of the first song of the reply; 0 by default"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "Songs of the reply, 100 by default"),
    ),
    request_body = schemas::QueueBody,
    responses(V1Refusals, (status = 200, description = "The queue", body = QueueReply))))]
pub(in crate::http) async fn put_queue(
    State(http): State<Http>,
    name: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Json<QueueReply>, V1> {
    let (request, body) = request.into_parts();
    let page = page_of(&request.uri)?;
    let name = name_of(name)?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let parse = |body: &[u8]| {
        body::check_json_type(&request.headers, body)?;
        read_body(body)
    };
    let ask = http.list_bodies().read(&request.headers, body, parse);
    let shown = http.app().put_queue(&name, ask.await?, page).await?;
    Ok(Json(QueueReply::new(shown, &addresses)))
}

/// A queue, with the state of its songs: of 100 from those on that were just played, or those that `from` and `limit`
/// name.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/queues/{name}", tag = "v1",
    params(
        ("name" = String, Path, max_length = 64, description = "As it was written"),
        ("from" = Option<u16>, Query, maximum = 10000, description = "The place of the first song of the reply; by default of the first one that is still held"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "Songs of the reply, 100 by default"),
    ),
    responses(V1Refusals, (status = 200, description = "The queue", body = QueueReply))))]
pub(in crate::http) async fn show_queue(
    State(http): State<Http>,
    name: Result<Path<String>, PathRejection>,
    request: Parts,
) -> Result<Json<QueueReply>, V1> {
    let page = page_of(&request.uri)?;
    let name = name_of(name)?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let shown = http.app().queue(&name, page).await?;
    let shown = shown.ok_or_else(no_queue)?;
    Ok(Json(QueueReply::new(shown, &addresses)))
}

/// Ends a queue: its songs are let go, and those that only wait for it do not start any more.
#[cfg_attr(test, utoipa::path(delete, path = "/api/v1/queues/{name}", tag = "v1",
    params(("name" = String, Path, max_length = 64, description = "As it was written")),
    responses(V1Refusals, (status = 204, description = "It has ended"))))]
pub(in crate::http) async fn end_queue(
    State(http): State<Http>,
    name: Result<Path<String>, PathRejection>,
    request: Parts,
) -> Result<StatusCode, V1> {
    Query::of(&request.uri).only(&[])?;
    let name = name_of(name)?;
    if http.app().end_queue(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_queue().into())
    }
}

fn no_queue() -> Refusal {
    Refusal::not_found("there is no queue of this name; it was never written, or has ended")
}

/// Which songs the reply has.
fn page_of(request: &http::Uri) -> Result<QueuePage, Refusal> {
    let query = Query::of(request).only(&["from", "limit"])?;
    let number = |name: &str, within: std::ops::RangeInclusive<usize>| {
        let number = query.filled(name).map(|text| {
            let number = text.parse().ok().filter(|number| within.contains(number));
            number.ok_or_else(|| {
                let (least, most) = within.clone().into_inner();
                Refusal::bad_request(format!(
                    "{name} has to be a whole number from {least} to {most}"
                ))
            })
        });
        number.transpose()
    };
    Ok(QueuePage {
        from: number("from", 0..=MOST_SONGS)?,
        limit: number("limit", 1..=MOST_SHOWN)?.unwrap_or(SHOWN),
    })
}

fn name_of(name: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if is_plain_name(&name) {
        return Ok(name);
    }
    let sentence = "a queue's name is of at most 64 letters, digits, dots, dashes and underscores";
    Err(Refusal::bad_request(sentence))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueBody {
    songs: Songs,
    #[serde(default)]
    ahead: Value,
    #[serde(default)]
    accept: Value,
    #[serde(default)]
    hold: Value,
}

/// The songs of a body; the first that cannot be one ends the reading.
#[derive(Debug)]
struct Songs(Vec<String>);

impl<'de> Deserialize<'de> for Songs {
    fn deserialize<D: Deserializer<'de>>(body: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Songs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of links")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Songs, A::Error> {
                use serde::de::Error;
                let mut songs = Vec::new();
                loop {
                    let place = songs.len();
                    let song = list.next_element::<String>().map_err(|error| {
                        A::Error::custom(format!("songs[{place}] is no text: {error}"))
                    })?;
                    match song {
                        None => return Ok(Songs(songs)),
                        Some(_) if place == MOST_SONGS => {
                            let sentence = format!("there are more than {MOST_SONGS} songs");
                            return Err(A::Error::custom(sentence));
                        }
                        Some(song) if song.len() > LONGEST_SONG => {
                            let sentence =
                                format!("songs[{place}] is longer than {LONGEST_SONG} bytes");
                            return Err(A::Error::custom(sentence));
                        }
                        Some(song) => songs.push(song),
                    }
                }
            }
        }
        body.deserialize_seq(List)
    }
}

fn read_body(body: &[u8]) -> Result<QueueAsk, Refusal> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if !body.trim_ascii_start().starts_with(b"{") {
        let sentence = format!("the body cannot be read: it is no JSON object; {EXAMPLE}");
        return Err(Refusal::bad_request(sentence));
    }
    let body: QueueBody = serde_json::from_slice(body).map_err(|error| {
        // It contains a long word of the client.
        let error: String = error.to_string().chars().take(150).collect();
        let error: String = error.chars().filter(|c| !c.is_control()).collect();
        Refusal::bad_request(format!("the body cannot be read ({error}); {EXAMPLE}"))
    })?;
    let accept = match &body.accept {
        Value::Null => None,
        words => {
            let wrong = || Refusal::bad_request("\"accept\" has to be an array of strings");
            Some(accept_list(words).ok_or_else(wrong)??)
        }
    };
    Ok(QueueAsk {
        songs: body.songs.0,
        ahead: usize::try_from(number("ahead", &body.ahead, AHEAD, MOST_AHEAD)?)
            .unwrap_or(usize::MAX),
        accept,
        length: Duration::from_secs(number(
            "hold",
            &body.hold,
            HOLD_SECONDS,
            LONGEST_HOLD_SECONDS,
        )?),
    })
}

fn number(key: &str, value: &Value, usual: u64, most: u64) -> Result<u64, Refusal> {
    match value {
        Value::Null => Ok(usual),
        value => value
            .as_u64()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| {
                Refusal::bad_request(format!(
                    "\"{key}\" has to be a whole number from 1 to {most}"
                ))
            }),
    }
}

impl QueueReply {
    fn new(shown: QueueShown, addresses: &Addresses) -> Self {
        let song = |song: QueueSong| QueueSongReply {
            song: song.song,
            state: song.state,
            track: song.track.map(|track| TrackReply::new(&track, addresses)),
            failure: song.failure.as_ref().map(FailureReply::new),
        };
        Self {
            name: shown.name,
            ahead: shown.ahead,
            begun: shown.begun,
            until: rfc3339(shown.until),
            total: shown.total,
            from: shown.from,
            songs: shown.songs.into_iter().map(song).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body is understood within its bounds, or refused in words.
    #[test]
    fn fuzz_queue() {
        kmds_fuzz::target("queue", |body| match read_body(body) {
            Ok(ask) => {
                assert!(ask.songs.len() <= MOST_SONGS && (1..=100).contains(&ask.ahead));
                assert!(ask.songs.iter().all(|song| song.len() <= LONGEST_SONG));
                assert!((1..=86_400).contains(&ask.length.as_secs()));
            }
            Err(refusal) => {
                refusal.assert_is_told_in_a_sentence();
            }
        });
    }

    #[test]
    fn a_body_has_songs_and_its_numbers_have_bounds() {
        let ask = read_body(br#"{"songs": ["youtube/x", "y"]}"#).expect("valid");
        assert_eq!((ask.songs.len(), ask.ahead), (2, 3));
        assert_eq!((ask.length.as_secs(), ask.accept), (3600, None));
        let most = serde_json::json!({"songs": vec!["x"; MOST_SONGS], "ahead": 100, "hold": 86400});
        assert!(read_body(most.to_string().as_bytes()).is_ok());
        let over = serde_json::json!({"songs": vec!["x"; MOST_SONGS + 1]}).to_string();
        let long = format!(r#"{{"songs": ["x", "{}"]}}"#, "x".repeat(2049));
        for (bad, word) in [
            ("", "cannot be read"),
            (r#"[["x"], null, null, null]"#, "no JSON object"),
            ("{}", "songs"),
            (r#"{"songs": "x"}"#, "an array of links"),
            (r#"{"songs": ["x", 1]}"#, "songs[1]"),
            (r#"{"songs": ["x", null]}"#, "songs[1]"),
            (r#"{"songs": [], "ahead": 0}"#, "1 to 100"),
            (r#"{"songs": [], "ahead": 101}"#, "1 to 100"),
            (r#"{"songs": [], "ahead": "3"}"#, "1 to 100"),
            (
                r#"{"songs": [], "ahead": 3.0}"#,
                "whole number from 1 to 100",
            ),
            (r#"{"songs": [], "hold": 86401}"#, "86400"),
            (r#"{"songs": [], "accept": 1}"#, "accept"),
            (r#"{"songs": [], "aehad": 1}"#, "aehad"),
            (&over, "more than 10000"),
            (&long, "songs[1]"),
        ] {
            let refusal = read_body(bad.as_bytes()).expect_err(bad);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let sentence = refusal.failure.sentence;
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
