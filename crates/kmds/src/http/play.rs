//! `/play`: from a link to its audio in one request.
//!
//! Owns the choice between the audio of one song, a playlist (`m3u`) and an archive (`archive`, `zip`). The audio is
//! what `/tunnel` sends.

mod archive;
mod m3u;
mod zip;

use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};

use self::archive::{Archive, Layout};
#[cfg(test)]
use super::answers::{ClassicRefusals, PlayAnswers};
use super::audio::{self, disposition};
use super::error::{Classic, Refusal};
use super::guard::Caller;
use super::links::{Addresses, sent_link};
use super::query::Query;
use super::state::Http;
use crate::app::{FetchAsk, Fetched, Known, NotServed, State, Want};

const PLAYLIST: &str = "audio/x-mpegurl";
const ARCHIVE: &str = "application/zip";

/// A link's audio, in one request.
///
/// One song: the audio itself, as it arrives. Several: a playlist of streaming addresses, or with `archive=zip` one
/// ZIP. `HEAD` tells what is known already, and starts nothing: 418 for a link that `GET` would have to ask the site
/// about.
#[cfg_attr(test, utoipa::path(get, path = "/play", tag = "classic",
    params(
        ("url" = String, Query, description = "Link to a song or list, at most 2,048 bytes"),
        ("archive" = Option<String>, Query, description = "`zip`: all songs in one archive, track by track; `library`: tagged copies in it, as `Artist/Album/01 Title`"),
        ("playlist" = Option<bool>, Query, description = "Take the whole list of a `watch?v=…&list=…` link"),
        ("accept" = Option<String>, Query, description = "What the client can play, like `m4a,opus`"),
        ("Range" = Option<String>, Header, description = "Of one song: RFC 9110, 14.2"),
    ),
    responses(
        ClassicRefusals,
        PlayAnswers,
        (status = 416, description = "Beyond the end", body = super::error::bodies::ClassicError),
        (status = 418, description = "Not finished yet", body = super::error::bodies::ClassicUnfinished))))]
pub(super) async fn play(
    extract::State(http): extract::State<Http>,
    request: Parts,
) -> Result<Response, Classic> {
    let query = Query::of(&request.uri);
    let layout = match query.filled("archive").as_deref() {
        None => None,
        Some("zip") => Some(Layout::Plain),
        Some("library") => Some(Layout::Library),
        Some(_) => {
            return Err(Refusal::bad_request(
                "there is no such archive; use archive=zip or archive=library, or leave it out",
            )
            .into());
        }
    };
    let ask = FetchAsk {
        link: sent_link(query.link()?, "send the link: GET /play?url=LINK")?,
        whole_list: query.switch("playlist")?,
        accept: query.accept()?,
        prefetch: None,
    };
    if request.method == Method::HEAD {
        return Ok(head_only(&http, &ask, layout.is_some(), &request).await?);
    }
    let fetched = http.app().fetch(ask).await?;
    if let Some(layout) = layout {
        return Ok(archived(&http, fetched, layout).await?);
    }
    if let [song] = fetched.songs.as_slice() {
        let served = audio::serve(http.app(), &song.key, Want::Stream, &request).await;
        return Ok(served.map_err(audio::Denied::for_link)?);
    }
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let name = format!("{}.m3u8", title(&fetched));
    Ok((head(PLAYLIST, &name), m3u::write(&fetched, &addresses)).into_response())
}

/// The head that `GET` would have, as far as it can be told without starting anything.
async fn head_only(
    http: &Http,
    ask: &FetchAsk,
    zipped: bool,
    request: &Parts,
) -> Result<Response, Refusal> {
    let not_yet = NotServed::Unfinished {
        state: State::Evicted,
        received: 0,
        total: None,
        wait: None,
    };
    match http.app().known(ask).await? {
        Known::Nothing => Err(audio::Denied::from(not_yet).for_link()),
        Known::Song(key) if !zipped => audio::serve(http.app(), &key, Want::PeekStream, request)
            .await
            .map_err(|denied| match denied {
                audio::Denied::NotServed(NotServed::Unknown) => {
                    audio::Denied::from(not_yet).for_link()
                }
                denied => denied.for_link(),
            }),
        Known::Song(_) | Known::List => {
            let content_type = if zipped { ARCHIVE } else { PLAYLIST };
            let head = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
            Ok(head
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .into_response())
        }
    }
}

async fn archived(http: &Http, fetched: Fetched, layout: Layout) -> Result<Response, Refusal> {
    let name = format!("{}.zip", title(&fetched));
    let archive = Archive::open(http.app().clone(), fetched, layout).await?;
    Ok((
        head(ARCHIVE, &name),
        Body::from_stream(archive.into_stream()),
    )
        .into_response())
}

fn head(content_type: &'static str, name: &str) -> [(HeaderName, HeaderValue); 3] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_DISPOSITION, disposition::inline(name)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// A name for the whole: the list's title, else the first song's.
fn title(fetched: &Fetched) -> String {
    let list = fetched.list.as_ref().and_then(|list| list.title.clone());
    let title = list.or_else(|| fetched.songs.first().map(|song| song.track.title.clone()));
    title
        .as_deref()
        .map(crate::app::sanitize)
        .filter(|title| !title.is_empty())
        .unwrap_or_else(|| fetched.id.clone())
}
