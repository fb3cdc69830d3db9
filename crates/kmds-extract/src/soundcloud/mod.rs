//! SoundCloud: the flow of one site.
//!
//! Owns which requests a link takes (field notes, 1): a song one, a set one and one per fifty stubs, a stream's URL one
//! when its download starts. It never returns a preview instead of the song.

mod api;
mod build;
mod client_id;
mod formats;
mod parse;
mod requests;
mod search;
mod sets;

use url::Url;

use crate::error::ExtractError;
use crate::link::{Link, LinkError, SoundCloudLink};
use crate::origin::{Origin, Page};
use crate::recipes::Recipes;
use crate::site::Site;
use crate::stream::{Delivery, Stream};
use crate::track::{Collection, Resolved, Track};

use api::Api;
use build::{Unfit, changed};
use parse::{RawTrack, ResolveAnswer};
pub(crate) use search::search;

/// Redirects of a short link that are read, each without being followed.
const SHORT_HOPS: usize = 3;
const GIVE_A_TRACK: &str =
    "SoundCloud: this link leads to a user or a list made by the site; give a track or a set";

/// Resolves a song, a set, or the short link of one.
/// # Errors
/// See the failure table of the field notes (15).
pub async fn resolve(
    at: &SoundCloudLink,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let api = Api {
        origin,
        recipe: &recipes.soundcloud,
    };
    let expanded;
    let at = match at {
        SoundCloudLink::Short { .. } => {
            expanded = expand(at, &api).await?;
            &expanded
        }
        plain => plain,
    };
    let token = at.token();
    match ask(at, &api).await? {
        ResolveAnswer::Track(raw) => {
            let again = async || match ask(at, &api).await? {
                ResolveAnswer::Track(raw) => Ok(*raw),
                ResolveAnswer::Set(_) | ResolveAnswer::Unsupported => {
                    Err(changed("resolve answer", "kind"))
                }
            };
            Ok(Resolved::Track(Box::new(
                finish(*raw, token, again, &api).await?,
            )))
        }
        ResolveAnswer::Set(raw) => Ok(Resolved::Collection(
            sets::collect(&raw, at, Vec::new(), &api).await?,
        )),
        ResolveAnswer::Unsupported => Err(ExtractError::UnsupportedLink {
            reason: GIVE_A_TRACK.to_owned(),
        }),
    }
}

/// See [`crate::resume`]: the set names its songs again, and those after the known ones are requested.
/// # Errors
/// See the failure table of the field notes (15).
pub async fn resume(
    at: &SoundCloudLink,
    so_far: Collection,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Collection>, ExtractError> {
    let api = Api {
        origin,
        recipe: &recipes.soundcloud,
    };
    let expanded = expand(at, &api).await?;
    match ask(&expanded, &api).await? {
        ResolveAnswer::Set(raw) => sets::collect(&raw, &expanded, so_far.entries, &api)
            .await
            .map(Some),
        ResolveAnswer::Track(_) | ResolveAnswer::Unsupported => Ok(None),
    }
}

/// Asks for one known song again.
/// # Errors
/// See the failure table of the field notes (15).
pub async fn refresh(
    id: u64,
    secret: Option<&str>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Track, ExtractError> {
    let api = Api {
        origin,
        recipe: &recipes.soundcloud,
    };
    let raw = ask_track(id, secret, &api).await?;
    finish(
        raw,
        secret,
        async || ask_track(id, secret, &api).await,
        &api,
    )
    .await
}

/// Asks for the signed URL of a stream, which is valid for the song's length and two minutes.
/// # Errors
/// [`ExtractError::StreamGone`] when SoundCloud has switched this encoding off.
pub async fn locate(
    stream: &Stream,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Stream, ExtractError> {
    const PAGE: &str = "format answer";
    let Delivery::Asked { url, hls, .. } = &stream.delivery else {
        return Ok(stream.clone());
    };
    let recipe = &recipes.soundcloud;
    let api = Api { origin, recipe };
    formats::format_url(url, recipe).ok_or(changed("track answer", "transcoding url"))?;
    let media_host = formats::media_host(stream.codec, *hls, recipe);
    let answer = api.call(requests::format(url, media_host, recipe)).await?;
    match answer.status {
        404 => {
            return Err(ExtractError::StreamGone {
                site: Site::SoundCloud,
            });
        }
        400 => return Err(api.refusal(&answer, PAGE)),
        _ => {}
    }
    let url = parse::format_url(&answer.body).ok_or(changed(PAGE, "url"))?;
    let url = formats::media_url(&url, recipe).ok_or(changed(PAGE, "url on a media host"))?;
    let expires_unix = parse::expiry(&url);
    let url = String::from(url);
    let delivery = if *hls {
        Delivery::Hls { url }
    } else {
        Delivery::File { url }
    };
    Ok(Stream {
        delivery,
        expires_unix,
        ..stream.clone()
    })
}

/// Every encoding answered 404: DRM, if the song has encrypted ones beside them (field notes, 15).
pub(crate) fn all_gone(track: &Track) -> ExtractError {
    let drm = |stream: &Stream| {
        matches!(
            stream.delivery,
            Delivery::Asked {
                drm_beside: true,
                ..
            }
        )
    };
    if track.streams.iter().any(drm) {
        return build::drm_only(&track.title);
    }
    ExtractError::OriginFailed {
        site: Site::SoundCloud,
        page: "format answer",
        reason: "none of the song's encodings is served; it may still be processed".to_owned(),
    }
}

/// Reads the first `Location` of a short link and stops: following it would fetch a page for nothing.
async fn expand(
    at: &SoundCloudLink,
    api: &Api<'_, impl Origin>,
) -> Result<SoundCloudLink, ExtractError> {
    let mut at = at.clone();
    for _ in 0..SHORT_HOPS {
        if !matches!(at, SoundCloudLink::Short { .. }) {
            return Ok(at);
        }
        let asked = at.canonical();
        let page = api.plain(requests::short_link(&asked, api.recipe)).await?;
        if !matches!(page.status, 200..=399 | 404 | 410) {
            return Err(api.refusal(&page, "short link"));
        }
        at = next_hop(&page, &asked)?;
    }
    if matches!(at, SoundCloudLink::Short { .. }) {
        Err(build::dead_link())
    } else {
        Ok(at)
    }
}

fn next_hop(page: &Page, asked: &str) -> Result<SoundCloudLink, ExtractError> {
    let location = page
        .header("location")
        .filter(|_| (300..400).contains(&page.status))
        .ok_or_else(build::dead_link)?;
    let target = Url::parse(asked)
        .and_then(|base| base.join(location))
        .map_err(|_| build::dead_link())?;
    if target.scheme() != "https" {
        return Err(build::dead_link());
    }
    match Link::parse(target.as_str()) {
        Ok(Link::SoundCloud(link)) => Ok(link),
        Err(
            error @ LinkError::Unsupported {
                site: Site::SoundCloud,
                ..
            },
        ) => Err(ExtractError::UnsupportedLink {
            reason: error.to_string(),
        }),
        Ok(_) | Err(_) => Err(build::dead_link()),
    }
}

async fn ask(
    at: &SoundCloudLink,
    api: &Api<'_, impl Origin>,
) -> Result<ResolveAnswer, ExtractError> {
    match at {
        SoundCloudLink::TrackById { id, token } => Ok(ResolveAnswer::Track(Box::new(
            ask_track(*id, token.as_deref(), api).await?,
        ))),
        SoundCloudLink::SetById { id, token } => {
            let answer = api
                .call(requests::set(*id, token.as_deref(), api.recipe))
                .await?;
            let body = existing(answer, "set", "set answer", api)?;
            parse::set(&body)
                .map(|raw| ResolveAnswer::Set(Box::new(raw)))
                .map_err(|field| changed("set answer", field))
        }
        SoundCloudLink::Track { .. }
        | SoundCloudLink::Set { .. }
        | SoundCloudLink::Short { .. } => {
            let answer = api
                .call(requests::resolve(&at.canonical(), api.recipe))
                .await?;
            let what = if at.is_list() { "set" } else { "song" };
            let body = existing(answer, what, "resolve answer", api)?;
            parse::found(&body).map_err(|field| changed("resolve answer", field))
        }
    }
}

async fn ask_track(
    id: u64,
    secret: Option<&str>,
    api: &Api<'_, impl Origin>,
) -> Result<RawTrack, ExtractError> {
    let answer = api.call(requests::track(id, secret, api.recipe)).await?;
    let body = existing(answer, "song", "track answer", api)?;
    let raw = parse::track(&body).map_err(|field| changed("track answer", field))?;
    // Another song must not be kept under the name of this song.
    if raw.id == Some(id) {
        Ok(raw)
    } else {
        Err(changed("track answer", "id that was asked for"))
    }
}

/// The body of an answer about an existing object.
fn existing(
    answer: Page,
    what: &str,
    page: &'static str,
    api: &Api<'_, impl Origin>,
) -> Result<Vec<u8>, ExtractError> {
    match answer.status {
        404 => Err(build::not_found(what)),
        400 => Err(api.refusal(&answer, page)),
        _ => Ok(answer.body),
    }
}

/// Judges a song; one that lists no encodings is asked for once more, in the same way.
async fn finish(
    raw: RawTrack,
    token: Option<&str>,
    again: impl AsyncFnOnce() -> Result<RawTrack, ExtractError>,
    api: &Api<'_, impl Origin>,
) -> Result<Track, ExtractError> {
    match build::track(&raw, token, None, api.recipe) {
        Ok(track) => return Ok(track),
        Err(Unfit::For(error)) => return Err(error),
        Err(Unfit::NothingListed) => {}
    }
    build::track(&again().await?, token, None, api.recipe).map_err(Unfit::at_last)
}
