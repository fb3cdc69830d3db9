//! Lists, albums and mixes: pages of songs, one request per 100.
//!
//! Owns following tokens and when to stop, places and totals, and asking for the alert when a list does not answer. Hides
//! the ways to ask for a list. Never asks for a single song of it, but where a mix is nothing more than its seed.

use std::collections::HashSet;

use super::parse::list::{self as parse, Alert, Header, Item, ItemState, ListPage};
use super::parse::player::bare_track;
use super::parse::{artist, cover};
use super::{by_status, page_changed, refused, requests, video};
use crate::error::{ExtractError, Kind};
use crate::link::youtube::{ListId, VideoId, YouTubeLink};
use crate::origin::{Origin, Page, PageRequest};
use crate::recipes::Recipes;
use crate::track::{Collection, Entry, Resolved, Site, Track, Unavailable};

/// Songs the site puts on one page.
const PAGE_SONGS: usize = 100;
const NO_SUCH_LIST: &str = "there is no such list; it is private, was deleted or never existed";

pub(super) async fn resolve(list: &ListId, origin: &impl Origin, recipes: &Recipes) -> Result<Resolved, ExtractError> {
    let first = match first_page(list, origin, recipes).await? {
        First::Page(page) => *page,
        First::Unviewable if list.as_str().starts_with("RD") => return mix(list, None, origin, recipes).await,
        First::Unviewable => return Err(refused(Kind::NotFound, NO_SUCH_LIST, None)),
    };
    let is_course = first.is_course;
    let (mut header, items, cut) = rest(first, origin, recipes).await?;
    if header.owner.is_none() && items.iter().any(|item| needs_owner(item, is_course)) {
        header.owner = owner(list, origin, recipes).await;
    }
    Ok(Resolved::Collection(collection(list, header, items, cut, is_course, recipes)))
}

/// Whether only the list tells who a song is by.
fn needs_owner(item: &Item, is_course: bool) -> bool {
    item.state == ItemState::Playable && item.byline.as_ref().is_none_or(|byline| is_course && !byline.linked)
}

/// The owner out of the header, where the songs' own page tells none; nothing where that does not answer.
async fn owner(list: &ListId, origin: &impl Origin, recipes: &Recipes) -> Option<String> {
    let header = send(requests::list_header(&recipes.youtube, list), origin).await.ok()?;
    read(&header, origin, recipes).ok()?.header.owner
}

enum First {
    Page(Box<ListPage>),
    /// "This playlist type is unviewable": a mix, or nonsense.
    Unviewable,
}

/// The first page by the continuation built by hand; where that brings nothing, the header for its alert; and where the
/// header promises songs that neither brought, the page a browser starts with.
async fn first_page(list: &ListId, origin: &impl Origin, recipes: &Recipes) -> Result<First, ExtractError> {
    let recipe = &recipes.youtube;
    let mut page = viewed(requests::list_start(recipe, list), origin, recipes).await?;
    if page.as_ref().is_none_or(|page| page.alert.is_none() && page.items.is_empty() && page.header.title.is_none()) {
        page = viewed(requests::list_header(recipe, list), origin, recipes).await?;
    }
    if page.as_ref().is_some_and(promises_songs) {
        page = viewed(requests::list_plain(recipe, list), origin, recipes).await?.or(page);
    }
    let Some(page) = page else { return Err(refused(Kind::NotFound, NO_SUCH_LIST, None)) };
    match &page.alert {
        Some(alert) if page.items.is_empty() => alerted(alert, page.header.title.clone(), recipes),
        _ if page.items.is_empty() && !is_empty_list(&page) => Err(page_changed(requests::LIST, "items")),
        _ => Ok(First::Page(Box::new(page))),
    }
}

/// A list with a name that says it has no songs, or has a place for them and nothing in it.
fn is_empty_list(page: &ListPage) -> bool {
    page.header.title.is_some() && page.header.count.map_or(page.has_place, |songs| songs == 0)
}

/// A header without songs, of a list that is not said to be empty.
fn promises_songs(page: &ListPage) -> bool {
    page.alert.is_none() && page.items.is_empty() && page.header.title.is_some() && page.header.count != Some(0)
}

fn alerted(Alert(text): &Alert, title: Option<String>, recipes: &Recipes) -> Result<First, ExtractError> {
    if says(text, "list_unviewable", recipes) {
        Ok(First::Unviewable)
    } else if says(text, "list_not_found", recipes) {
        Err(refused(Kind::NotFound, NO_SUCH_LIST, title))
    } else if says(text, "list_hiccup", recipes) {
        let reason = "it reported an unknown error".to_owned();
        Err(ExtractError::OriginFailed { site: Site::YouTube, page: requests::LIST, reason })
    } else if says(text, "private", recipes) {
        Err(refused(Kind::Private, "this list is private; make it public or unlisted", title))
    } else {
        let said = Some(text.trim()).filter(|text| !text.is_empty());
        Err(refused(Kind::Unavailable, said.unwrap_or("this list cannot be opened"), title))
    }
}

fn says(text: &str, row: &str, recipes: &Recipes) -> bool {
    let text = text.replace('’', "'").to_lowercase();
    recipes.youtube.reasons.get(row).is_some_and(|parts| parts.iter().any(|part| text.contains(part.as_str())))
}

/// One page; asked for once more when it is no page at all, or reports a hiccup. `None` for HTTP 400 and 404.
async fn viewed(
    request: PageRequest,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<ListPage>, ExtractError> {
    let again = request.clone();
    let page = send(request, origin).await?;
    if matches!(page.status, 400 | 404) {
        return Ok(None);
    }
    match read(&page, origin, recipes) {
        Ok(page) if page.alert.as_ref().is_none_or(|alert| !says(&alert.0, "list_hiccup", recipes)) => {
            return Ok(Some(page));
        }
        Ok(_) | Err(ExtractError::PageChanged { .. }) => {}
        Err(error) => return Err(error),
    }
    let page = send(again, origin).await?;
    if matches!(page.status, 400 | 404) {
        return Ok(None);
    }
    read(&page, origin, recipes).map(Some)
}

async fn send(request: PageRequest, origin: &impl Origin) -> Result<Page, ExtractError> {
    let name = request.page;
    origin.send(request).await.map_err(|error| error.at(Site::YouTube, name))
}

fn read(page: &Page, origin: &impl Origin, recipes: &Recipes) -> Result<ListPage, ExtractError> {
    if page.status != 200 {
        return Err(by_status(page, requests::LIST, origin, recipes));
    }
    parse::read(page).map_err(|field| page_changed(requests::LIST, field))
}

/// Why the songs end before the list does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    /// A token or a whole page came again or led nowhere, or there are more songs than we take.
    Yes,
}

/// Follows the tokens. The end is the missing token, never a short page.
async fn rest(
    first: ListPage,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<(Header, Vec<Item>, Cut), ExtractError> {
    let limit = recipes.youtube.list_songs;
    let most_pages = limit.div_ceil(PAGE_SONGS).saturating_mul(2).saturating_add(5);
    let ListPage { mut items, mut token, header, .. } = first;
    let mut tokens = HashSet::new();
    let mut pages = HashSet::from([fingerprint(&items)]);
    while let Some(next) = token.take() {
        if items.len() >= limit || tokens.len() >= most_pages || !tokens.insert(next.clone()) {
            return Ok((header, items, Cut::Yes));
        }
        let Some(page) = viewed(requests::list_next(&recipes.youtube, &next), origin, recipes).await? else {
            return Ok((header, items, Cut::Yes));
        };
        if !page.items.is_empty() && !pages.insert(fingerprint(&page.items)) {
            return Ok((header, items, Cut::Yes));
        }
        items.extend(page.items);
        token = page.token;
    }
    Ok((header, items, Cut::No))
}

/// What makes two pages the same page.
fn fingerprint(items: &[Item]) -> Vec<Option<VideoId>> {
    items.iter().map(|item| item.video).collect()
}

fn collection(
    list: &ListId,
    header: Header,
    mut items: Vec<Item>,
    cut: Cut,
    is_course: bool,
    recipes: &Recipes,
) -> Collection {
    let limit = recipes.youtube.list_songs;
    let over = items.len() > limit;
    let found = as_number(items.len());
    items.truncate(limit);
    let count = header.count.unwrap_or(found).max(found);
    let truncated = over || cut == Cut::Yes || count > found;
    let is_album = list.is_album();
    let title = header.title.map(|title| match title.strip_prefix("Album - ") {
        Some(name) if is_album => name.to_owned(),
        _ => title,
    });
    let place = Place {
        album: title.clone().filter(|_| is_album),
        album_artist: header.owner.as_deref().and_then(artist).filter(|_| is_album),
        owner: header.owner.as_deref().and_then(artist),
        is_course,
    };
    let entries = entries(items, count, &place, recipes);
    Collection {
        id: list.as_str().to_owned(),
        site: Site::YouTube,
        link: YouTubeLink::List(list.clone()).canonical(),
        title,
        artist: place.owner,
        cover_url: first_cover(&entries),
        entries,
        truncated,
        endless: false,
    }
}

/// What a list gives to each of its songs.
#[derive(Default)]
struct Place {
    album: Option<String>,
    album_artist: Option<String>,
    owner: Option<String>,
    is_course: bool,
}

fn entries(items: Vec<Item>, count: u32, place: &Place, recipes: &Recipes) -> Vec<Entry> {
    let mut last = 0;
    let mut placed = Vec::with_capacity(items.len());
    for item in items {
        last = item.place.filter(|place| *place > last).unwrap_or(last + 1);
        placed.push((last, item));
    }
    let total = count.max(last);
    placed.into_iter().map(|(number, item)| entry(item, number, total, place, recipes)).collect()
}

fn entry(item: Item, number: u32, total: u32, place: &Place, recipes: &Recipes) -> Entry {
    let kind = match item.state {
        ItemState::Unavailable(kind) => kind,
        ItemState::Playable => match track(&item, number, total, place, recipes) {
            Some(track) => return Entry::Track(Box::new(track)),
            None => Kind::Unavailable,
        },
    };
    let error = refused(kind, reason(kind), item.title.clone());
    Entry::Unavailable(Unavailable { title: item.title, number, error })
}

fn track(item: &Item, number: u32, total: u32, place: &Place, recipes: &Recipes) -> Option<Track> {
    let video = item.video?;
    let mut track = bare_track(video, item.title.clone().unwrap_or_else(|| video.to_string()))?;
    let byline = item.byline.as_ref().filter(|byline| byline.linked || !place.is_course);
    track.artist = byline.and_then(|byline| artist(&byline.name)).or_else(|| place.owner.clone());
    track.album = place.album.clone();
    track.album_artist = place.album_artist.clone();
    track.number = Some(number);
    track.total = Some(total);
    track.duration = item.duration;
    track.cover_url = Some(cover(video, item.thumbnails.iter(), &recipes.youtube.hosts));
    Some(track)
}

const fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Private => "this video is private",
        Kind::NotFound => "this video was deleted",
        Kind::MembersOnly => "this is for paying members of the channel",
        Kind::Live => "this is a live stream",
        Kind::Unreleased => "this has not started yet",
        _ => "this video cannot be played",
    }
}

fn first_cover(entries: &[Entry]) -> Option<String> {
    entries.iter().find_map(|entry| match entry {
        Entry::Track(track) => track.cover_url.clone(),
        Entry::Unavailable(_) => None,
    })
}

fn as_number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The first songs of a mix: they are made for this request, and there is no end to them.
pub(super) async fn mix(
    list: &ListId,
    seed: Option<VideoId>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let request = requests::mix(&recipes.youtube, list, seed);
    let read = |page: &Page| match page.status {
        200 => parse::read_mix(page).map_err(|field| page_changed(requests::MIX, field)),
        400 | 404 => Ok(None),
        _ => Err(by_status(page, requests::MIX, origin, recipes)),
    };
    let mix = match read(&send(request.clone(), origin).await?) {
        Err(ExtractError::PageChanged { .. }) => read(&send(request, origin).await?)?,
        other => other?,
    };
    let Some(mut mix) = mix.filter(|mix| !mix.items.is_empty()) else {
        return match seed {
            Some(seed) => video::resolve(seed, origin, recipes).await.map(|track| Resolved::Track(Box::new(track))),
            None => Err(refused(Kind::NotFound, "there is no such mix", None)),
        };
    };
    // The song that it was asked for at comes first, wherever the answer has it.
    let first = seed.and_then(|seed| mix.items.iter().position(|item| item.video == Some(seed)));
    if let Some(first) = first {
        mix.items[..=first].rotate_right(1);
    }
    let missing = seed.filter(|_| first.is_none());
    mix.items.truncate(recipes.youtube.mix_songs.saturating_sub(missing.iter().len()).max(1));
    let count = as_number(mix.items.len() + missing.iter().len());
    let mut entries = entries(mix.items, count, &Place::default(), recipes);
    if let Some(seed) = missing {
        entries.iter_mut().for_each(one_place_further);
        entries.insert(0, entry_of(seed, count, origin, recipes).await);
        entries.truncate(recipes.youtube.mix_songs);
    }
    Ok(Resolved::Collection(Collection {
        id: list.as_str().to_owned(),
        site: Site::YouTube,
        link: YouTubeLink::Mix { list: list.clone(), seed }.canonical(),
        title: mix.title,
        artist: None,
        cover_url: first_cover(&entries),
        entries,
        truncated: true,
        endless: true,
    }))
}

/// The first song of a mix whose answer leaves it out.
async fn entry_of(video: VideoId, total: u32, origin: &impl Origin, recipes: &Recipes) -> Entry {
    match video::resolve(video, origin, recipes).await {
        Ok(mut track) => {
            (track.number, track.total) = (Some(1), Some(total));
            Entry::Track(Box::new(track))
        }
        Err(error) => Entry::Unavailable(Unavailable { title: error.title().map(str::to_owned), number: 1, error }),
    }
}

fn one_place_further(entry: &mut Entry) {
    match entry {
        Entry::Track(track) => track.number = track.number.map(|number| number + 1),
        Entry::Unavailable(gone) => gone.number += 1,
    }
}

/// An album of YouTube Music: its page names the list that holds its songs.
pub(super) async fn album(id: &str, origin: &impl Origin, recipes: &Recipes) -> Result<Resolved, ExtractError> {
    let request = requests::album(&recipes.youtube, id);
    let read = |page: &Page| match page.status {
        200 => parse::album_list(page)
            .and_then(|list| ListId::parse(&list))
            .ok_or_else(|| page_changed(requests::ALBUM, "urlCanonical")),
        400 | 404 => Err(refused(Kind::NotFound, "there is no such album; it was deleted or never existed", None)),
        _ => Err(by_status(page, requests::ALBUM, origin, recipes)),
    };
    let list = match read(&send(request.clone(), origin).await?) {
        Err(ExtractError::PageChanged { .. }) => read(&send(request, origin).await?)?,
        other => other?,
    };
    resolve(&list, origin, recipes).await
}
