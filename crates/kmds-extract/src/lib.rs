//! What YouTube, SoundCloud and Bandcamp look like: text in, values out.
//!
//! Owns every fact about the three sites: which links KMDS reads, which requests answer them, how their pages are read,
//! and which of the offered streams is fetched. It opens no socket or file, starts no task and reads no clock: all of
//! that comes in through [`Origin`], so that recorded pages test everything here without a network.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`link`] | every URL pattern we accept |
//! | [`origin`] | the trait through which requests leave |
//! | [`track`], [`stream`] | what a link resolves to, and the encodings a site offers of it |
//! | [`mod@format`] | what a file is: extension, container, content type |
//! | [`choose`] | which stream of a track to fetch |
//! | [`hls`], [`json`] | m3u8 text; JSON with a broken value in it |
//! | [`recipes`] | what ages: client identities, limits, hosts, times |
//! | [`mod@search`] | words instead of a link: where they are asked for, what is found |
//! | [`loudness`] | how loud a song is, as the site measured it |
//! | [`error`], [`failure`] | why a site gives no song; the words for it that reach clients |
//! | [`site`], [`text`] | the sites' names; text from sites and clients, reduced to one safe line |
//! | [`youtube`], [`soundcloud`], [`bandcamp`] | one site each |

pub mod bandcamp;
pub mod choose;
pub mod error;
pub mod failure;
pub mod format;
pub mod hls;
pub mod json;
pub mod link;
pub mod loudness;
pub mod origin;
pub mod recipes;
pub mod search;
pub mod site;
pub mod soundcloud;
pub mod stream;
pub mod text;
pub mod track;
pub mod youtube;

pub use error::ExtractError;
pub use failure::{Failure, Kind};
pub use format::Format;
pub use link::{Link, LinkError};
pub use loudness::Loudness;
pub use origin::{Origin, OriginError, Page, PageRequest};
pub use recipes::Recipes;
pub use site::Site;
pub use stream::{Codec, Container, Delivery, Stream};
pub use track::{Collection, Entry, Lack, Refreshed, Resolved, Rest, Source, Track, TrackId};

/// Resolves a link to a track or a collection, with as few requests as the site allows.
///
/// Streams whose URLs come along with the metadata (YouTube videos, Bandcamp) are in [`Track::streams`];
/// the songs of a YouTube list carry none until [`refresh`] asks for them.
/// # Errors
/// See [`ExtractError`]; a list with some playable songs is no error.
pub async fn resolve(
    link: &Link,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    match link {
        Link::YouTube(at) => youtube::resolve(at, origin, recipes).await,
        Link::SoundCloud(at) => soundcloud::resolve(at, origin, recipes).await,
        Link::Bandcamp(at) => bandcamp::resolve(at, origin, recipes).await,
    }
}

/// Continues a list for which time ran out ([`Collection::rest`]); returns the list so far and more, perhaps all of it.
/// `None` if it cannot be continued: then the list must be resolved again.
/// # Errors
/// See [`ExtractError`]: nothing more could be read now.
pub async fn resume(
    link: &Link,
    so_far: Collection,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Collection>, ExtractError> {
    match link {
        Link::YouTube(_) => youtube::resume(so_far, origin, recipes).await,
        Link::SoundCloud(at) => soundcloud::resume(at, so_far, origin, recipes).await,
        Link::Bandcamp(_) => Ok(None),
    }
}

/// Asks the site again for one known track, for fresh stream URLs; one request where the site allows it.
/// # Errors
/// See [`ExtractError`].
pub async fn refresh(
    source: &Source,
    lack: Lack,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Refreshed, ExtractError> {
    match source {
        Source::YouTube { video } => Ok(youtube::refresh(video, origin, recipes).await?.into()),
        Source::SoundCloud { id, secret } => {
            Ok(soundcloud::refresh(*id, secret.as_deref(), origin, recipes)
                .await?
                .into())
        }
        Source::Bandcamp(at) => bandcamp::refresh(at, lack, origin, recipes).await,
        Source::Other { .. } => Err(ExtractError::UnsupportedLink {
            reason: "only yt-dlp reads this link".to_owned(),
        }),
    }
}

/// Asks a place for words, with one request; [`search::MOST_RESULTS`] results at most, in the site's order.
/// # Errors
/// See [`ExtractError`]; that nothing is found is no error.
pub async fn search(
    at: search::SearchSite,
    words: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Vec<search::Hit>, ExtractError> {
    let mut hits = match at {
        search::SearchSite::YouTube => youtube::search(words, origin, recipes).await,
        search::SearchSite::YouTubeMusic => youtube::search_music(words, origin, recipes).await,
        search::SearchSite::SoundCloud => soundcloud::search(words, origin, recipes).await,
        search::SearchSite::Bandcamp => bandcamp::search(words, origin, recipes).await,
    }?;
    hits.truncate(search::MOST_RESULTS);
    Ok(hits)
}

/// Turns a stream whose URL must be asked for ([`Delivery::Asked`], SoundCloud) into one that can be fetched. Streams
/// that can be fetched already are returned unchanged, without a request.
/// # Errors
/// [`ExtractError::StreamGone`] when this encoding is switched off (take the next one); else see [`ExtractError`].
pub async fn locate(
    stream: &Stream,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Stream, ExtractError> {
    match &stream.delivery {
        Delivery::Asked { .. } => soundcloud::locate(stream, origin, recipes).await,
        Delivery::File { .. } | Delivery::Hls { .. } => Ok(stream.clone()),
    }
}

/// Why a track is not available after [`locate`] returned [`ExtractError::StreamGone`] for all its streams.
#[must_use]
pub fn all_gone(track: &Track) -> ExtractError {
    let site = track.id.site();
    if let Some(reason) = &track.withheld {
        let title = Some(track.title.clone());
        return ExtractError::Withheld {
            site,
            reason: reason.clone(),
            title,
        };
    }
    match site {
        Site::SoundCloud => soundcloud::all_gone(track),
        Site::YouTube | Site::Bandcamp | Site::Other => ExtractError::OriginFailed {
            site,
            page: "audio",
            reason: "none of the song's encodings is served any more".to_owned(),
        },
    }
}
