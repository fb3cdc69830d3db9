//! Lists, albums and mixes: pages of songs, one request per 100.
//!
//! Owns following tokens and when to stop, places and totals, and asking for the alert when a list does not answer. Hides
//! the ways to ask for a list. Never asks for a single song of it, but where a mix is nothing more than its seed.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::parse::list::{self as parse, Alert, Header, Item, ItemState, ListPage};
use super::parse::player::bare_track;
use super::parse::{artist, cover};
use super::{by_status, page_changed, refused, requests, video};
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::youtube::{ListId, VideoId, YouTubeLink};
use crate::origin::{Origin, Page, PageRequest};
use crate::recipes::Recipes;
use crate::site::Site;
use crate::track::{Collection, Entry, Resolved, Rest, Track, Unavailable};

/// Songs the site puts on one page.
const PAGE_SONGS: usize = 100;
const NO_SUCH_LIST: &str = "there is no such list; it is private, was deleted or never existed";

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
        cut: Cut::No,
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

/// See [`crate::resume`]. A token that the site no longer takes, or that leads back, is none any more.
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
        cut: Cut::No,
    };
    match reading.read_on(so_far.entries.len(), origin, recipes).await {
        Err(ExtractError::PageChanged { .. }) => return Ok(None),
        Err(error) => return Err(error),
        Ok(()) if reading.items.is_empty() && reading.cut != Cut::Later => return Ok(None),
        Ok(()) => {}
    }
    Ok(Some(longer(so_far, count, reading, is_course, recipes)))
}

/// Whether the artist of this song is told by the list alone.
fn needs_owner(item: &Item, is_course: bool) -> bool {
    item.state == ItemState::Playable
        && item
            .byline
            .as_ref()
            .is_none_or(|byline| is_course && !byline.linked)
}

/// The owner out of the header, where the songs' own page tells none; nothing where that does not answer.
async fn owner(list: &ListId, origin: &impl Origin, recipes: &Recipes) -> Option<String> {
    let header = send(requests::list_header(&recipes.youtube, list), origin)
        .await
        .ok()?;
    read(&header, origin, recipes).ok()?.header.owner
}

enum First {
    Page(Box<ListPage>),
    /// "This playlist type is unviewable": a mix, or nonsense.
    Unviewable,
}

/// The first page by the continuation built by hand; where that brings nothing, the header for its alert; and where the
/// header promises songs that neither brought, the page a browser starts with.
async fn first_page(
    list: &ListId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<First, ExtractError> {
    let recipe = &recipes.youtube;
    let mut page = viewed(requests::list_start(recipe, list), origin, recipes).await?;
    if page.as_ref().is_none_or(|page| {
        page.alert.is_none() && page.items.is_empty() && page.header.title.is_none()
    }) {
        page = viewed(requests::list_header(recipe, list), origin, recipes).await?;
    }
    if page.as_ref().is_some_and(promises_songs) {
        page = viewed(requests::list_plain(recipe, list), origin, recipes)
            .await?
            .or(page);
    }
    let Some(page) = page else {
        return Err(refused(Kind::NotFound, NO_SUCH_LIST, None));
    };
    match &page.alert {
        Some(alert) if page.items.is_empty() => alerted(alert, page.header.title.clone(), recipes),
        _ if page.items.is_empty() && !is_empty_list(&page) => {
            Err(page_changed(requests::LIST, "items"))
        }
        _ => Ok(First::Page(Box::new(page))),
    }
}

/// A list with a name that says it has no songs, or has a place for them and nothing in it.
fn is_empty_list(page: &ListPage) -> bool {
    page.header.title.is_some() && page.header.count.map_or(page.has_place, |songs| songs == 0)
}

/// A header without songs, of a list that is not said to be empty.
fn promises_songs(page: &ListPage) -> bool {
    page.alert.is_none()
        && page.items.is_empty()
        && page.header.title.is_some()
        && page.header.count != Some(0)
}

fn alerted(
    Alert(text): &Alert,
    title: Option<String>,
    recipes: &Recipes,
) -> Result<First, ExtractError> {
    if says(text, "list_unviewable", recipes) {
        Ok(First::Unviewable)
    } else if says(text, "list_not_found", recipes) {
        Err(refused(Kind::NotFound, NO_SUCH_LIST, title))
    } else if says(text, "list_hiccup", recipes) {
        let reason = "it reported an unknown error".to_owned();
        Err(ExtractError::OriginFailed {
            site: Site::YouTube,
            page: requests::LIST,
            reason,
        })
    } else if says(text, "private", recipes) {
        Err(refused(
            Kind::Private,
            "this list is private; make it public or unlisted",
            title,
        ))
    } else {
        let said = Some(text.trim()).filter(|text| !text.is_empty());
        Err(refused(
            Kind::Unavailable,
            said.unwrap_or("this list cannot be opened"),
            title,
        ))
    }
}

fn says(text: &str, row: &str, recipes: &Recipes) -> bool {
    let text = text.replace('’', "'").to_lowercase();
    recipes
        .youtube
        .reasons
        .get(row)
        .is_some_and(|parts| parts.iter().any(|part| text.contains(part.as_str())))
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
        Ok(page)
            if page
                .alert
                .as_ref()
                .is_none_or(|alert| !says(&alert.0, "list_hiccup", recipes)) =>
        {
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
    origin
        .send(request)
        .await
        .map_err(|error| error.at(Site::YouTube, name))
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
    /// The client waits no longer, or the site did not give the next page. The next call goes on there.
    Later,
}

/// A list as far as it was read, or a part of it.
struct Reading {
    items: Vec<Item>,
    token: Option<String>,
    seen: Vec<u64>,
    cut: Cut,
}

impl Reading {
    /// Follows the tokens, behind `before` songs. The end is the missing token, never a short page. A page that cannot be
    /// had costs no song that was read before: its token stays the one to go on with. It is an error only where nothing
    /// was read.
    async fn read_on(
        &mut self,
        before: usize,
        origin: &impl Origin,
        recipes: &Recipes,
    ) -> Result<(), ExtractError> {
        let limit = recipes.youtube.list_songs;
        // A page and its token are two hashes.
        let most_seen = limit
            .div_ceil(PAGE_SONGS)
            .saturating_mul(4)
            .saturating_add(10);
        while let Some(token) = &self.token {
            let next = hash(token);
            if before + self.items.len() >= limit
                || self.seen.len() >= most_seen
                || self.seen.contains(&next)
            {
                self.cut = Cut::Yes;
                return Ok(());
            }
            let page = match self.next_page(token, origin, recipes).await {
                Ok(page) => page,
                Err(error)
                    if self.items.is_empty() && !matches!(error, ExtractError::Timeout { .. }) =>
                {
                    return Err(error);
                }
                Err(_) => {
                    self.cut = Cut::Later;
                    return Ok(());
                }
            };
            let Some(page) = page.filter(|page| {
                page.items.is_empty() || !self.seen.contains(&hash(&places(&page.items)))
            }) else {
                self.cut = Cut::Yes;
                return Ok(());
            };
            self.seen.push(next);
            if !page.items.is_empty() {
                self.seen.push(hash(&places(&page.items)));
            }
            self.items.extend(page.items);
            self.token = page.token;
        }
        Ok(())
    }

    async fn next_page(
        &self,
        token: &str,
        origin: &impl Origin,
        recipes: &Recipes,
    ) -> Result<Option<ListPage>, ExtractError> {
        if origin.time_left().is_some_and(|left| left.is_zero()) {
            return Err(ExtractError::Timeout {
                site: Site::YouTube,
                page: requests::LIST,
            });
        }
        let page = viewed(
            requests::list_next(&recipes.youtube, token),
            origin,
            recipes,
        )
        .await?;
        match page
            .as_ref()
            .and_then(|page| page.alert.as_ref().filter(|_| page.items.is_empty()))
        {
            Some(alert) if says(&alert.0, "list_hiccup", recipes) => {
                alerted(alert, None, recipes).map(|_| None)
            }
            _ => Ok(page),
        }
    }

    /// Where it goes on, if only the next page is missing.
    fn rest(&mut self, count: Option<u32>, is_course: bool) -> Option<Rest> {
        let token = self.token.take().filter(|_| self.cut == Cut::Later)?;
        Some(Rest::Page {
            token,
            count,
            is_course,
            seen: std::mem::take(&mut self.seen),
        })
    }
}

/// What makes two pages the same page.
fn places(items: &[Item]) -> Vec<Option<VideoId>> {
    items.iter().map(|item| item.video).collect()
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
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

/// A list with what was read of it behind what is known.
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
    let place = Place {
        album: list.title.clone().filter(|_| is_album),
        album_artist: list.artist.clone().filter(|_| is_album),
        owner: list.artist.clone(),
        is_course,
    };
    let total = count.unwrap_or(0).max(as_number(found));
    list.truncated = found > limit || reading.cut != Cut::No || total > as_number(found);
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

fn number(entry: &Entry) -> u32 {
    match entry {
        Entry::Track(track) => track.number.unwrap_or(0),
        Entry::Unavailable(gone) => gone.number,
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

/// Items as entries, behind place `last`.
fn entries(
    items: Vec<Item>,
    mut last: u32,
    total: u32,
    place: &Place,
    recipes: &Recipes,
) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        last = item.place.filter(|place| *place > last).unwrap_or(last + 1);
        entries.push(entry(item, last, total, place, recipes));
    }
    entries
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
    Entry::Unavailable(Unavailable {
        title: item.title,
        number,
        error,
    })
}

fn track(item: &Item, number: u32, total: u32, place: &Place, recipes: &Recipes) -> Option<Track> {
    let video = item.video?;
    let mut track = bare_track(
        video,
        item.title.clone().unwrap_or_else(|| video.to_string()),
    )?;
    let byline = item
        .byline
        .as_ref()
        .filter(|byline| byline.linked || !place.is_course);
    track.artist = byline
        .and_then(|byline| artist(&byline.name))
        .or_else(|| place.owner.clone());
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
            Some(seed) => video::resolve(seed, origin, recipes)
                .await
                .map(|track| Resolved::Track(Box::new(track))),
            None => Err(refused(Kind::NotFound, "there is no such mix", None)),
        };
    };
    // The song that it was asked for at comes first, wherever the answer has it.
    let first = seed.and_then(|seed| mix.items.iter().position(|item| item.video == Some(seed)));
    if let Some(first) = first {
        mix.items[..=first].rotate_right(1);
    }
    let missing = seed.filter(|_| first.is_none());
    mix.items.truncate(
        recipes
            .youtube
            .mix_songs
            .saturating_sub(missing.iter().len())
            .max(1),
    );
    let count = as_number(mix.items.len() + missing.iter().len());
    let mut entries = entries(mix.items, 0, count, &Place::default(), recipes);
    if let Some(seed) = missing {
        entries.iter_mut().for_each(one_place_further);
        entries.insert(0, entry_of(seed, count, origin, recipes).await);
        entries.truncate(recipes.youtube.mix_songs);
    }
    Ok(Resolved::Collection(Collection {
        id: list.as_str().to_owned(),
        site: Site::YouTube,
        link: YouTubeLink::Mix {
            list: list.clone(),
            seed,
        }
        .canonical(),
        title: mix.title,
        artist: None,
        cover_url: first_cover(&entries),
        entries,
        truncated: true,
        endless: true,
        rest: None,
    }))
}

/// The first song of a mix whose answer leaves it out.
async fn entry_of(video: VideoId, total: u32, origin: &impl Origin, recipes: &Recipes) -> Entry {
    match video::resolve(video, origin, recipes).await {
        Ok(mut track) => {
            (track.number, track.total) = (Some(1), Some(total));
            Entry::Track(Box::new(track))
        }
        Err(error) => Entry::Unavailable(Unavailable {
            title: error.title().map(str::to_owned),
            number: 1,
            error,
        }),
    }
}

fn one_place_further(entry: &mut Entry) {
    match entry {
        Entry::Track(track) => track.number = track.number.map(|number| number + 1),
        Entry::Unavailable(gone) => gone.number += 1,
    }
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
