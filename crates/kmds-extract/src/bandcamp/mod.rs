//! Bandcamp: one page per track, album or fan playlist, and two more interfaces for an id.
//!
//! Owns the order in which the site's three interfaces are tried: the release's page, the mobile app's answer, the
//! embedded player. It never asks twice for the content of one answer: an album of any length is one request (field
//! notes, 1).

mod answer;
mod by_id;
mod date;
mod html;
mod naming;
mod page;
mod playlist;
mod release;
mod requests;
mod search;
mod stream;

pub(crate) use search::search;

use release::{PageContext, Release};
use requests::Release as Wanted;

use crate::error::ExtractError;
use crate::link::{BandcampLink, Link};
use crate::origin::{Origin, PageRequest};
use crate::recipes::Recipes;
use crate::track::{BandcampSource, Lack, Refreshed, Resolved};

/// Resolves a track or an album, locked songs in their places.
/// # Errors
/// Every row of the failure table (field notes, 17), in the words of [`ExtractError`].
pub async fn resolve(
    at: &BandcampLink,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let wanted = match at {
        BandcampLink::Track { .. } | BandcampLink::Album { .. } | BandcampLink::Band { .. } => {
            return from_page(at, origin, recipes).await?.resolved(reading(
                requests::RELEASE_PAGE,
                origin,
                recipes,
            ));
        }
        BandcampLink::Playlist { .. } => {
            let request = requests::playlist_page(&at.canonical(), &recipes.bandcamp);
            let page = ask(request, origin, recipes).await?;
            return playlist::collection(&page, at, &recipes.bandcamp).map(Resolved::Collection);
        }
        BandcampLink::TrackById { id } => Wanted::Track(*id),
        BandcampLink::AlbumById { id } => Wanted::Album(*id),
    };
    let first = match from_mobile(wanted, None, origin, recipes).await {
        Ok(release) => release.resolved(reading(requests::MOBILE_ANSWER, origin, recipes)),
        Err(error) => Err(error),
    };
    match first {
        Err(error) if !is_last_word(&error) => {
            let second = match from_player(wanted, origin, recipes).await {
                Ok(release) => release.resolved(reading(requests::PLAYER_PAGE, origin, recipes)),
                Err(error) => Err(error),
            };
            second.map_err(|second| worse(error, second))
        }
        first => first,
    }
}

/// Fresh stream URLs of one track. An album's page has those of all its songs; a single track costs 2 KB at the mobile
/// interface if the band is known. URLs that did not work are replaced from the page, if one is known
/// (field notes, 8 and 17). If one interface fails, the other is tried.
/// # Errors
/// As [`resolve`]; `not_found` when the album no longer has the track.
pub async fn refresh(
    at: &BandcampSource,
    lack: Lack,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Refreshed, ExtractError> {
    let page = at.page.as_deref().and_then(|page| match Link::parse(page) {
        Ok(Link::Bandcamp(link @ (BandcampLink::Track { .. } | BandcampLink::Album { .. }))) => {
            Some(link)
        }
        _ => None,
    });
    let small =
        |page: &BandcampLink| lack == Lack::Streams && at.band_id.is_some() && !page.is_list();
    let mobile_first = page.as_ref().is_none_or(small);
    let first = through_door(mobile_first, at, page.as_ref(), origin, recipes).await;
    match first {
        // A limit applies to every interface; the page's answer is final, the mobile interface's may be its own.
        Err(error)
            if !(matches!(error, ExtractError::RateLimited { .. })
                || !mobile_first && is_last_word(&error)) =>
        {
            let second = through_door(!mobile_first, at, page.as_ref(), origin, recipes).await;
            second.map_err(|second| worse(error, second))
        }
        first => first,
    }
}

async fn through_door(
    mobile: bool,
    at: &BandcampSource,
    page: Option<&BandcampLink>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Refreshed, ExtractError> {
    let wanted = Wanted::Track(at.track_id);
    let (release, name) = match page {
        _ if mobile => (
            from_mobile(wanted, at.band_id, origin, recipes).await?,
            requests::MOBILE_ANSWER,
        ),
        Some(page) => (
            from_page(page, origin, recipes).await?,
            requests::RELEASE_PAGE,
        ),
        None => (
            from_player(wanted, origin, recipes).await?,
            requests::PLAYER_PAGE,
        ),
    };
    release.with_neighbours(at.track_id, reading(name, origin, recipes))
}

async fn from_page(
    at: &BandcampLink,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Release, ExtractError> {
    let answer = ask(
        requests::release_page(&at.canonical(), &recipes.bandcamp),
        origin,
        recipes,
    )
    .await?;
    let landing = answer::landed(&answer)?;
    page::release(&answer.text(), landing, at)
}

async fn from_mobile(
    wanted: Wanted,
    band_id: Option<u64>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Release, ExtractError> {
    let answer = ask(
        requests::mobile(wanted, band_id, &recipes.bandcamp),
        origin,
        recipes,
    )
    .await?;
    by_id::mobile(&answer.body, wanted).map(Release::counted)
}

async fn from_player(
    wanted: Wanted,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Release, ExtractError> {
    let answer = ask(
        requests::player_page(wanted, &recipes.bandcamp),
        origin,
        recipes,
    )
    .await?;
    by_id::player(&answer.text(), wanted).map(Release::counted)
}

async fn ask(
    request: PageRequest,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<crate::origin::Page, ExtractError> {
    let page = request.page;
    answer::readable(
        origin.send(request).await,
        page,
        origin.now_unix(),
        &recipes.bandcamp,
    )
}

fn reading<'a>(page: &'static str, origin: &impl Origin, recipes: &'a Recipes) -> PageContext<'a> {
    PageContext {
        recipe: &recipes.bandcamp,
        now_unix: origin.now_unix(),
        page,
    }
}

/// Another interface would give the same answer, or must not be tried now.
const fn is_last_word(error: &ExtractError) -> bool {
    matches!(
        error,
        ExtractError::Refused { .. } | ExtractError::RateLimited { .. }
    )
}

/// Which failure of two interfaces to report: a final one, else a challenge, since it asks for a pause, else the later
/// one.
fn worse(first: ExtractError, second: ExtractError) -> ExtractError {
    match (&first, &second) {
        (
            _,
            ExtractError::Refused { .. }
            | ExtractError::RateLimited { .. }
            | ExtractError::BotCheck { .. },
        ) => second,
        (ExtractError::Refused { .. } | ExtractError::BotCheck { .. }, _) => first,
        _ => second,
    }
}
