//! Lists, albums and mixes: pages of songs, one request per 100.
//!
//! Owns the flow: the first page, the pages behind it, one [`Collection`]. [`page`] knows the requests for a list,
//! [`reading`] when to stop, [`mod@entries`] places and totals, [`mod@mix`] mixes. It never asks for a single song of a
//! list, except if a mix has only its first song.

mod entries;
mod mix;
mod page;
mod reading;

use super::parse::artist;
use super::parse::list::{self as parse, Header, Item, ItemState, ListPage};
use super::{by_status, page_changed, refused, requests};
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::youtube::{ListId, YouTubeLink};
use crate::origin::{Origin, Page};
use crate::recipes::Recipes;
use crate::site::Site;
use crate::track::{Collection, Entry, Resolved, Rest};

pub(super) use mix::mix;

use entries::{ListFacts, as_number, entries, first_cover, number};
use page::{First, NO_SUCH_LIST, first_page, read, send};
use reading::{IsCut, Reading, hash, places};

pub(super) async fn resolve(
    list: &ListId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let first = match first_page(list, origin, recipes).await? {
        First::Page(page) => *page,
        First::Unviewable if list.as_str().starts_with("RD") => {
            return mix(list, None, origin, recipes).await;
        }
        First::Unviewable => return Err(refused(Kind::NotFound, NO_SUCH_LIST, None)),
    };
    let is_course = first.is_course;
    let ListPage {
        items,
        token,
        mut header,
        ..
    } = first;
    let mut reading = Reading {
        seen: vec![hash(&places(&items))],
        items,
        token,
        cut: IsCut::No,
    };
    reading.read_on(0, origin, recipes).await?;
    if header.owner.is_none()
        && reading
            .items
            .iter()
            .any(|item| needs_owner(item, is_course))
    {
        header.owner = owner(list, origin, recipes).await;
    }
    Ok(Resolved::Collection(collection(
        list, header, reading, is_course, recipes,
    )))
}

/// See [`crate::resume`]. A token that the site no longer accepts, or that leads back, is useless.
pub(super) async fn resume(
    mut so_far: Collection,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Collection>, ExtractError> {
    let Some(Rest::Page {
        token,
        count,
        is_course,
        seen,
    }) = so_far.rest.take().map(|rest| *rest)
    else {
        return Ok(None);
    };
    let mut reading = Reading {
        items: Vec::new(),
        token: Some(token),
        seen,
        cut: IsCut::No,
    };
    match reading.read_on(so_far.entries.len(), origin, recipes).await {
        Err(ExtractError::PageChanged { .. }) => return Ok(None),
        Err(error) => return Err(error),
        Ok(()) if reading.items.is_empty() && reading.cut != IsCut::Later => return Ok(None),
        Ok(()) => {}
    }
    Ok(Some(longer(so_far, count, reading, is_course, recipes)))
}

/// Whether only the list tells the artist of this song.
fn needs_owner(item: &Item, is_course: bool) -> bool {
    item.state == ItemState::Playable
        && item
            .byline
            .as_ref()
            .is_none_or(|byline| is_course && !byline.linked)
}

/// The owner from the header, if the songs' own page tells none; `None` if the header does not answer.
async fn owner(list: &ListId, origin: &impl Origin, recipes: &Recipes) -> Option<String> {
    let header = send(requests::list_header(&recipes.youtube, list), origin)
        .await
        .ok()?;
    read(&header, origin, recipes).ok()?.header.owner
}

fn collection(
    list: &ListId,
    header: Header,
    reading: Reading,
    is_course: bool,
    recipes: &Recipes,
) -> Collection {
    let is_album = list.is_album();
    let title = header
        .title
        .map(|title| match title.strip_prefix("Album - ") {
            Some(name) if is_album => name.to_owned(),
            _ => title,
        });
    let nothing = Collection {
        id: list.as_str().to_owned(),
        site: Site::YouTube,
        link: YouTubeLink::List(list.clone()).canonical(),
        title,
        artist: header.owner.as_deref().and_then(artist),
        cover_url: None,
        entries: Vec::new(),
        truncated: false,
        endless: false,
        rest: None,
    };
    longer(nothing, header.count, reading, is_course, recipes)
}

/// A list with the new songs after the known ones.
fn longer(
    mut list: Collection,
    count: Option<u32>,
    mut reading: Reading,
    is_course: bool,
    recipes: &Recipes,
) -> Collection {
    let limit = recipes.youtube.list_songs;
    let found = list.entries.len() + reading.items.len();
    reading
        .items
        .truncate(limit.saturating_sub(list.entries.len()));
    let is_album = ListId::parse(&list.id).is_some_and(|id| id.is_album());
    let place = ListFacts {
        album: list.title.clone().filter(|_| is_album),
        album_artist: list.artist.clone().filter(|_| is_album),
        owner: list.artist.clone(),
        is_course,
    };
    let total = count.unwrap_or(0).max(as_number(found));
    list.truncated = found > limit || reading.cut != IsCut::No || total > as_number(found);
    list.rest = reading.rest(count, is_course).map(Box::new);
    let last = list.entries.last().map_or(0, number);
    list.entries.extend(entries(
        std::mem::take(&mut reading.items),
        last,
        total,
        &place,
        recipes,
    ));
    let total = total.max(list.entries.last().map_or(0, number));
    for entry in &mut list.entries {
        if let Entry::Track(track) = entry {
            track.total = Some(total);
        }
    }
    list.cover_url = list.cover_url.or_else(|| first_cover(&list.entries));
    list
}

/// An album of YouTube Music: its page names the list that holds its songs.
pub(super) async fn album(
    id: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let request = requests::album(&recipes.youtube, id);
    let read = |page: &Page| match page.status {
        200 => parse::album_list(page)
            .and_then(|list| ListId::parse(&list))
            .ok_or_else(|| page_changed(requests::ALBUM, "urlCanonical")),
        400 | 404 => Err(refused(
            Kind::NotFound,
            "there is no such album; it was deleted or never existed",
            None,
        )),
        _ => Err(by_status(page, requests::ALBUM, origin, recipes)),
    };
    let list = match read(&send(request.clone(), origin).await?) {
        Err(ExtractError::PageChanged { .. }) => read(&send(request, origin).await?)?,
        other => other?,
    };
    resolve(&list, origin, recipes).await
}
