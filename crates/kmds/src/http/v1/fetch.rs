//! `POST /api/v1/fetch`: one link or several in, their collections and tracks out.
//!
//! Owns how the body is read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use kmds_extract::Kind;
use kmds_extract::choose::Accept;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::body;
use super::super::error::{Refusal, V1};
use super::super::fields::{Fields, has_to_be};
use super::super::guard::Caller;
use super::super::links::{Addresses, sent_link};
use super::super::prefetch;
use super::super::query::Query;
use super::super::reply::{self, Songs};
#[cfg(test)]
use super::super::schemas;
use super::super::state::Http;
use super::rendition;
#[cfg(test)]
use super::shapes::FetchAnswer;
use super::shapes::{FetchManyReply, FetchReply, TrackReply};
use crate::app::{CopyForm, Failure, FetchAsk, Fetched, FormAsk, Prefetch, Song};

/// The keys that the body of a fetch may have.
const FETCH_KEYS: [&str; 6] = ["url", "urls", "playlist", "accept", "prefetch", "rendition"];
const EXAMPLE: &str = "send {\"url\": \"LINK\"}";
/// Links of one request.
const MOST_LINKS: usize = 25;
/// Once the links of a request have brought so many tracks, the rest fails. A reply is in memory until it is written.
const MOST_TRACKS_OF_LINKS: usize = 1000;

/// Resolves a link, or several, and queues the songs.
///
/// With `urls` the links are resolved one after the other, and the reply is a `FetchManyReply`. A link that fails is
/// listed in it; if all fail, the answer is the failure of the first.
#[cfg_attr(test, utoipa::path(post, path = "/api/v1/fetch", tag = "v1",
    request_body = schemas::FetchBody,
    responses(V1Refusals, (status = 200, description = "The collection and its tracks", body = FetchAnswer))))]
pub(in crate::http) async fn fetch(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<Response, V1> {
    let (request, body) = request.into_parts();
    Query::of(&request.uri).only(&[])?;
    let body = body::read(&request.headers, body).await?;
    body::check_json_type(&request.headers, &body)?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let (links, order) = read_body(&body)?;
    match links {
        Links::One(link) => {
            let fetched = fetch_one(&http, link, &order).await?;
            Ok(reply::list(
                vec![Songs::of(&fetched)],
                addresses.clone(),
                "tracks",
                |tracks| FetchReply::new(&fetched, tracks, &addresses),
                TrackReply::new,
            ))
        }
        Links::Several(links) => {
            let (fetched, failures) = fetch_several(&http, links, &order).await?;
            Ok(reply::list(
                fetched.iter().map(|(_, one)| Songs::of(one)).collect(),
                addresses.clone(),
                "tracks",
                |tracks| FetchManyReply::new(&fetched, &failures, tracks, &addresses),
                TrackReply::new,
            ))
        }
    }
}

/// Links as they were sent, none too long.
#[derive(Debug)]
enum Links {
    One(String),
    Several(Vec<String>),
}

/// The wishes of the request, for each link.
#[derive(Debug)]
struct FetchWishes {
    whole_list: bool,
    accept: Option<Accept>,
    prefetch: Option<Prefetch>,
    rendition: CopyForm,
}

async fn fetch_one(http: &Http, link: String, order: &FetchWishes) -> Result<Fetched, Failure> {
    let ask = FetchAsk {
        link,
        whole_list: order.whole_list,
        accept: order.accept.clone(),
        prefetch: order.prefetch,
    };
    let mut fetched = http.app().fetch(ask).await?;
    if order.rendition != CopyForm::default() {
        let ahead = http.app().ahead(order.prefetch, &fetched);
        for song in Arc::make_mut(&mut fetched.songs).iter_mut().take(ahead) {
            let asked = FormAsk::from(order.rendition);
            let rendition = http.app().form(&song.track.id, &asked);
            if let Some(key) = rendition.await?
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
    Ok(fetched)
}

type Several = (Vec<(String, Fetched)>, Vec<(String, Failure)>);

/// Resolves links one after the other, within the time of one list. A long list holds one of few permits until the
/// reply is written, and no request waits for a permit while it holds one: after a long list the rest fails.
/// # Errors
/// All links failed: the failure of the first.
async fn fetch_several(
    http: &Http,
    links: Vec<String>,
    order: &FetchWishes,
) -> Result<Several, Failure> {
    let (mut fetched, mut failures) = (Vec::new(), Vec::new());
    let (mut tracks, mut has_long_list) = (0, false);
    let deadline = Instant::now() + http.app().longest_fetch();
    for link in links {
        if Instant::now() >= deadline {
            failures.push((link, out_of_time()));
            continue;
        }
        if has_long_list || tracks >= MOST_TRACKS_OF_LINKS {
            let sentence =
                format!("the links before it bring {tracks} tracks; send it in a separate request");
            failures.push((link, Failure::new(Kind::TooLarge, sentence)));
            continue;
        }
        let fetching = timeout_at(deadline, fetch_one(http, link.clone(), order));
        match fetching.await.unwrap_or_else(|_| Err(out_of_time())) {
            Ok(one) => {
                tracks += one.songs.len();
                has_long_list |= one.room.is_some();
                fetched.push((link, one));
            }
            Err(failure) => failures.push((link, failure)),
        }
    }
    match failures.first() {
        Some((_, failure)) if fetched.is_empty() => Err(failure.clone()),
        _ => Ok((fetched, failures)),
    }
}

fn out_of_time() -> Failure {
    let sentence =
        "the links of this request took longer than one list may; send it in a separate request";
    Failure::new(Kind::Timeout, sentence)
}

fn read_body(body: &[u8]) -> Result<(Links, FetchWishes), Refusal> {
    let mut fields = Fields::of(body, &FETCH_KEYS, EXAMPLE)?;
    let links = (fields.take("url"), fields.take("urls"));
    let whole_list = fields.flag("playlist")?;
    let accept = fields.accept("accept")?;
    let prefetch = fields.take("prefetch");
    let prefetch = prefetch.map(|value| prefetch::from_body("prefetch", &value));
    let prefetch = prefetch.transpose()?;
    let rendition = fields.text("rendition")?;
    let rendition = rendition.map(|word| rendition::parse(&word)).transpose()?;
    let order = FetchWishes {
        whole_list,
        accept,
        prefetch,
        rendition: rendition.unwrap_or_default(),
    };
    Ok((read_links(links)?, order))
}

fn read_links((url, urls): (Option<Value>, Option<Value>)) -> Result<Links, Refusal> {
    let missing = format!("there is no \"url\" in the body; {EXAMPLE}");
    match (url, urls) {
        (None, None) => Err(Refusal::bad_request(missing)),
        (Some(_), Some(_)) => Err(Refusal::bad_request(
            "the body has \"url\" and \"urls\"; send one of them",
        )),
        (Some(Value::String(link)), None) => sent_link(Some(link), &missing).map(Links::One),
        (Some(_), None) => Err(has_to_be("url", "a string")),
        (None, Some(Value::Array(links))) if (1..=MOST_LINKS).contains(&links.len()) => {
            let links = links.into_iter().map(|link| match link {
                Value::String(link) => sent_link(Some(link), &missing),
                _ => Err(has_to_be("urls", "an array of strings")),
            });
            links.collect::<Result<_, _>>().map(Links::Several)
        }
        (None, Some(_)) => Err(has_to_be(
            "urls",
            &format!("an array of 1 to {MOST_LINKS} links"),
        )),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn asked(body: &str) -> Result<(Links, FetchWishes), u16> {
        read_body(body.as_bytes()).map_err(|refusal| refusal.status.as_u16())
    }

    /// A body is accepted, or refused with a sentence; a link in it is never longer than allowed.
    #[test]
    fn fuzz_fetch_v1() {
        kmds_fuzz::target("fetch_v1", |body| match read_body(body) {
            Ok((links, order)) => {
                let links = match links {
                    Links::One(link) => vec![link],
                    Links::Several(links) => links,
                };
                assert!((1..=MOST_LINKS).contains(&links.len()));
                assert!(links.iter().all(|link| link.len() <= 2048));
                assert!(!order.rendition.to_string().is_empty());
            }
            Err(refusal) => {
                refusal.assert_is_told_in_a_sentence();
            }
        });
    }

    #[test]
    fn a_fetch_has_defaults_and_its_words_are_checked() {
        let (links, order) = asked(r#"{"url": "x"}"#).expect("valid");
        assert!(matches!(links, Links::One(link) if link == "x"));
        assert!(!order.whole_list && order.prefetch.is_none());
        assert_eq!(order.rendition, CopyForm::default());
        for (value, wanted) in [
            ("\"all\"", Some(Some(Prefetch::All))),
            ("\"none\"", Some(Some(Prefetch::None))),
            ("0", Some(Some(Prefetch::None))),
            ("3", Some(Some(Prefetch::Ahead(3)))),
            ("null", Some(None)),
            ("-1", None),
            ("1.5", None),
            ("\"3\"", None),
            ("true", None),
        ] {
            let read = asked(&format!(r#"{{"url": "x", "prefetch": {value}}}"#))
                .ok()
                .map(|(_, order)| order.prefetch);
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
            r#"{"url": "x", "urls": ["y"]}"#,
            r#"{"urls": "x"}"#,
            r#"{"urls": []}"#,
            r#"{"urls": [1]}"#,
            &format!(r#"{{"urls": ["{}"]}}"#, "x".repeat(2049)),
            &format!(r#"{{"urls": [{}"x"]}}"#, r#""x", "#.repeat(25)),
        ] {
            assert_eq!(asked(bad).map(|_| ()), Err(400), "{bad}");
        }
    }

    #[test]
    fn up_to_25_links_are_several_one_among_them() {
        for count in [1, 25] {
            let body = serde_json::json!({ "urls": vec!["x"; count] }).to_string();
            let (links, _) = asked(&body).expect("valid");
            assert!(matches!(links, Links::Several(links) if links.len() == count));
        }
    }
}
