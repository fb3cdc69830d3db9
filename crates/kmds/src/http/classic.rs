//! The classic API: `/`, `/fetch` and `/tunnel`, for existing clients.
//!
//! Owns how its requests are read, doubly encoded bodies included, and which answers old clients understand. `shapes`
//! has the replies. It differs from v1 only as `docs/api.md` says.

mod negotiation;
pub(super) mod shapes;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION, RANGE, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use kmds_extract::choose::Accept;
use serde_json::Value;

use self::shapes::{FetchReply, RootReply, Server, SongReply};
#[cfg(test)]
use super::answers::{AudioAnswers, ClassicRefusals};
use super::audio::{Denied, wanted};
use super::error::{Classic, Refusal};
use super::fields::{self, Fields};
use super::guard::Caller;
use super::links::{Addresses, sent_link};
use super::prefetch;
use super::query::{Hold, Query, Wait};
use super::reply::{self, Songs};
#[cfg(test)]
use super::schemas;
use super::state::Http;
use super::{audio, body};
use crate::app::{FetchAsk, Found, Key, NotServed, Prefetch};

/// Longest name that is looked up, in bytes: far longer than any in a reply.
const MAX_NAME_BYTES: usize = 512;
const SEND_A_LINK: &str =
    "send the link: POST {\"URL\": \"LINK\"} to /fetch, or GET /fetch?url=LINK";

/// The version and settings of this server. A browser is redirected to the page.
#[cfg_attr(test, utoipa::path(get, path = "/", tag = "classic",
    responses(
        ClassicRefusals,
        (status = 200, description = "Version, address and sites", body = RootReply),
        (status = 303, description = "To the page, for browsers"))))]
pub(super) async fn show_root(
    State(http): State<Http>,
    request: Parts,
) -> Result<Response, Classic> {
    let vary = [(VARY, HeaderValue::from_static("Accept"))];
    if negotiation::prefers_html(&request.headers) {
        let page = format!("{}/ui/", http.base_path());
        let location =
            HeaderValue::try_from(page).unwrap_or_else(|_| HeaderValue::from_static("/ui/"));
        return Ok((StatusCode::SEE_OTHER, vary, [(LOCATION, location)]).into_response());
    }
    Caller::of(&request)?.check_token(&request)?;
    let (host, port) = http.bound();
    let reply = RootReply {
        debug: false,
        web_server: Server { host, port },
        version: env!("CARGO_PKG_VERSION"),
        sites: http.app().sites(),
        recipes: http.app().recipes_date(),
    };
    Ok((vary, Json(reply)).into_response())
}

/// Resolves a link; downloading starts in the background.
///
/// The body is a JSON object, or a JSON string whose content is that object; its `Content-Type` does not matter.
#[cfg_attr(test, utoipa::path(post, path = "/fetch", tag = "classic",
    request_body(content = schemas::ClassicFetchBody, content_type = "application/json"),
    responses(ClassicRefusals, (status = 200, description = "The songs of the link", body = FetchReply))))]
pub(super) async fn fetch_posted(
    State(http): State<Http>,
    request: Request<Body>,
) -> Result<Response, Classic> {
    let (request, body) = request.into_parts();
    let asked = read_body(&body::read(&request.headers, body).await?)?;
    fetch(&http, asked, &request).await
}

/// Resolves a link; downloading starts in the background.
#[cfg_attr(test, utoipa::path(get, path = "/fetch", tag = "classic",
    params(
        ("url" = String, Query, description = "Link to a song or list, at most 2,048 bytes"),
        ("playlist" = Option<bool>, Query, description = "Take the whole list of a `watch?v=…&list=…` link"),
        ("accept" = Option<String>, Query, description = "What the client can play, like `m4a,opus`"),
        ("prefetch" = Option<String>, Query, description = "`all`, `none` or a number: songs of a list that are queued at once; the setting `lists.prefetch` by default"),
    ),
    responses(ClassicRefusals, (status = 200, description = "The songs of the link", body = FetchReply))))]
pub(super) async fn fetch_queried(
    State(http): State<Http>,
    request: Parts,
) -> Result<Response, Classic> {
    let query = Query::of(&request.uri);
    let asked = ClassicFetch {
        link: query.link()?,
        whole_list: query.switch("playlist")?,
        accept: query.accept()?,
        prefetch: query
            .filled("prefetch")
            .map(|text| prefetch::from_query(&text))
            .transpose()?,
    };
    if request.method == Method::HEAD {
        // The site is not asked, so that its answer is not known.
        http.app()
            .check_link(&sent_link(asked.link, SEND_A_LINK)?, asked.whole_list)?;
        return Ok([(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_response());
    }
    fetch(&http, asked, &request).await
}

struct ClassicFetch {
    link: Option<String>,
    whole_list: bool,
    accept: Option<Accept>,
    prefetch: Option<Prefetch>,
}

async fn fetch(http: &Http, asked: ClassicFetch, request: &Parts) -> Result<Response, Classic> {
    let ClassicFetch {
        link,
        whole_list,
        accept,
        prefetch,
    } = asked;
    let ask = FetchAsk {
        link: sent_link(link, SEND_A_LINK)?,
        whole_list,
        accept,
        prefetch,
    };
    let fetched = http.app().fetch(ask).await?;
    let addresses = Addresses::of(http, Caller::of(request)?);
    Ok(reply::list(
        vec![Songs::of(&fetched)],
        addresses,
        "Songs",
        |songs| FetchReply::new(&fetched, songs),
        SongReply::new,
    ))
}

/// Reads the body of a fetch. Unknown keys are ignored; `null` is as if not given.
fn read_body(body: &[u8]) -> Result<ClassicFetch, Refusal> {
    const EXAMPLE: &str = "send {\"URL\": \"LINK\"}";
    let wrong = |key: &str, wanted: &str| {
        Refusal::bad_request(format!("\"{key}\" is not {wanted}; send {wanted}"))
    };
    let mut value = fields::parse(body, EXAMPLE)?;
    if let Value::String(inner) = &value {
        // Clients that call `json=json.dumps({...})` send this.
        value = fields::parse(inner.as_bytes(), EXAMPLE)?;
    }
    let mut fields = Fields::of_value(value, EXAMPLE, wrong)?;
    let link = fields.text("URL")?;
    let whole_list = fields.flag("Playlist")?;
    let accept = fields.accept("Accept")?;
    // The keys of this face are in PascalCase; v1's word is read too.
    let prefetch = match (fields.take("Prefetch"), fields.take("prefetch")) {
        (Some(value), _) => Some(("Prefetch", value)),
        (None, Some(value)) => Some(("prefetch", value)),
        (None, None) => None,
    };
    let prefetch = prefetch
        .map(|(key, value)| prefetch::from_body(key, &value))
        .transpose()?;
    Ok(ClassicFetch {
        link,
        whole_list,
        accept,
        prefetch,
    })
}

/// The file of a song, whole or while it arrives.
///
/// For a name alone the answer is 200, 404, 418 or 500 and starts within 2 s.
#[cfg_attr(test, utoipa::path(get, path = "/tunnel", tag = "classic",
    params(
        ("file" = String, Query, description = "Canonical name, like `soundcloud-433445760.m4a`, or the human one"),
        ("wait" = Option<u16>, Query, maximum = 300, description = "Hold the request until the file is ready, 0 to 300 s"),
        ("hold" = Option<u32>, Query, minimum = 1, maximum = 86400, description = "Keep the file from eviction for so many seconds"),
        ("holder" = Option<String>, Query, max_length = 64, description = "Whose hold this is; clients that give no name share one hold"),
        ("stream" = Option<bool>, Query, description = "Send bytes as they arrive"),
        ("range" = Option<String>, Query, description = "`FIRST-LAST`, as the header `Range` says it; the header wins"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS` (RFC 7240)"),
        ("Range" = Option<String>, Header, description = "RFC 9110, 14.2"),
    ),
    responses(
        ClassicRefusals,
        AudioAnswers,
        (status = 416, description = "Beyond the end", body = super::error::bodies::ClassicError),
        (status = 418, description = "Not finished yet", body = super::error::bodies::ClassicUnfinished),
        (status = 500, description = "It failed for good", body = super::error::bodies::ClassicFailed),
        (status = 404, description = "Never asked for", body = super::error::bodies::ClassicError))))]
pub(super) async fn tunnel(
    State(http): State<Http>,
    mut request: Parts,
) -> Result<Response, Classic> {
    let query = Query::of(&request.uri);
    let name = query.get("file").ok_or_else(|| {
        Refusal::bad_request(
            "which file? ask for /tunnel?file=NAME with a name from the reply of /fetch",
        )
    })?;
    let wait = Wait::asked(&query, &request.headers)?;
    let streams = query.switch("stream")?;
    let hold = Hold::asked(&query)?;
    let range = query.filled("range");
    let key = find(&http, &name, query.get_with_plus("file")).await?;
    if let Some(range) = range.and_then(|range| range_header(&range)) {
        request.headers.entry(RANGE).or_insert(range);
    }
    let barred = Caller::of(&request)?.barred;
    if let Some(barred) = barred.filter(|_| hold.is_some()) {
        return Err(barred.refusal().into());
    }
    let want = wanted(&request.method, barred, streams, wait);
    // A foreign page is told 418 too: for a name alone old clients know no other status.
    let served = audio::serve(http.app(), &key, want, &request).await;
    // The answer keeps the file open, so that there is no gap before the hold.
    if let Some(hold) = hold
        && !matches!(
            served,
            Err(Denied::NotServed(NotServed::Failed(_) | NotServed::Unknown))
        )
    {
        let held = http.app().hold(&key, &hold.holder, Some(hold.length));
        held.await.map_err(Refusal::failed_for_good)?;
    }
    let mut response =
        served.unwrap_or_else(|denied| Classic::from(denied.for_file()).into_response());
    audio::acknowledge(wait, want, &mut response);
    Ok(response)
}

/// `range=FIRST-LAST` as a header. Players that are made for YouTube's servers ask for parts of a file like that.
fn range_header(range: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("bytes={range}")).ok()
}

/// The song with this name; `plain` is the name with its plus signs kept.
async fn find(http: &Http, name: &str, plain: Option<String>) -> Result<Key, Refusal> {
    let unknown =
        || Refusal::not_found("no file of this name; POST the song's link to /fetch first");
    for name in [Some(name), plain.as_deref().filter(|plain| *plain != name)]
        .into_iter()
        .flatten()
    {
        // No reply carries such a name.
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || name.contains(|c: char| c.is_control() || c == '/')
        {
            continue;
        }
        match http
            .app()
            .find(name)
            .await
            .map_err(Refusal::failed_for_good)?
        {
            Found::One(key) => return Ok(key),
            Found::Many(names) => {
                let names = names.join(", ");
                return Err(Refusal::not_found(format!(
                    "several songs have this name; ask for one of {names}"
                )));
            }
            Found::None => {}
        }
    }
    Err(unknown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmds_extract::Format;

    #[test]
    fn an_object_and_a_string_holding_it_are_the_same_request() {
        let object = r#"{"URL": "https://youtu.be/x", "Playlist": true, "Accept": ["opus"], "More": {"a": 1}}"#;
        let double = serde_json::to_string(object).expect("a JSON string");
        let marked = serde_json::to_string(&format!("\u{feff}{object}")).expect("a JSON string");
        for body in [
            object,
            &double,
            &marked,
            &format!("\u{feff}{object}"),
            &format!(" \n{object}\r\n"),
        ] {
            let asked = read_body(body.as_bytes())
                .map_err(|refusal| refusal.failure.sentence)
                .expect(body);
            assert_eq!(asked.link.as_deref(), Some("https://youtu.be/x"));
            assert!(asked.whole_list);
            assert_eq!(asked.accept.expect("given").formats(), [Format::Opus]);
        }
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let asked = read_body(br#"{"Playlist": null, "Accept": null}"#)
            .map_err(|_| "refused")
            .expect("valid");
        assert!(asked.link.is_none() && !asked.whole_list && asked.accept.is_none());
    }

    #[test]
    fn unusable_bodies_are_refused_with_what_to_send() {
        let deep = "[".repeat(10_000);
        for body in [
            "",
            "{",
            "URL",
            "[]",
            "null",
            "7",
            "\"\"",
            "\"[]\"",
            r#""\"{}\"""#,
            r#"{"URL": 7}"#,
            r#"{"URL": ["a"]}"#,
            r#"{"URL": "a", "Playlist": "yes"}"#,
            r#"{"URL": "a", "Accept": "m4a"}"#,
            r#"{"URL": "a", "Accept": [1]}"#,
            r#"{"URL": "a", "Accept": []}"#,
            r#"{"URL": "a", "Accept": ["flac"]}"#,
            r#"{"URL": "a", "Prefetch": "some"}"#,
            r#"{"URL": "a", "prefetch": -1}"#,
            &deep,
        ] {
            let refusal = read_body(body.as_bytes())
                .err()
                .unwrap_or_else(|| panic!("{body:.40}"));
            assert_eq!(refusal.status.as_u16(), 400);
            assert!(refusal.failure.sentence.len() > 20, "{body:.40}");
        }
        assert!(read_body(b"\xff\xfe{}").is_err());
    }

    /// A body is understood or refused in words; wrapped once more as a string it is the same request.
    #[test]
    fn fuzz_fetch() {
        kmds_fuzz::target("fetch", |body| match read_body(body) {
            Ok(asked) => {
                let inner =
                    String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
                let object =
                    serde_json::from_str::<Value>(&inner).is_ok_and(|value| value.is_object());
                let twice = serde_json::to_string(&*inner).expect("a JSON string");
                if object {
                    let wrapped =
                        read_body(twice.as_bytes()).map_err(|refusal| refusal.failure.sentence);
                    let wrapped = wrapped.expect("the same request");
                    assert_eq!(
                        (wrapped.link, wrapped.whole_list, wrapped.accept),
                        (asked.link, asked.whole_list, asked.accept)
                    );
                }
            }
            Err(refusal) => {
                refusal.assert_is_told_in_a_sentence();
            }
        });
    }
}
