//! The items of a page as numbered songs of a list.
//!
//! Owns places, the facts that a list gives to each of its songs, and why an item is not a song. Pure.

use super::super::parse::list::{Item, ItemState};
use super::super::parse::player::bare_track;
use super::super::parse::{artist, cover};
use super::super::refused;
use crate::failure::Kind;
use crate::recipes::Recipes;
use crate::track::{Entry, Track, Unavailable};

/// The place of an entry.
pub(super) fn number(entry: &Entry) -> u32 {
    match entry {
        Entry::Track(track) => track.number.unwrap_or(0),
        Entry::Unavailable(gone) => gone.number,
    }
}

/// The facts that a list gives to each of its songs.
#[derive(Default)]
pub(super) struct ListFacts {
    pub album: Option<String>,
    pub album_artist: Option<String>,
    pub owner: Option<String>,
    /// The songs of a course name no channel: a byline without a link is no artist.
    pub is_course: bool,
}

/// Items as entries, after place `last`. The site's places count where they go up: one that is above the next that the
/// site gives is wrong, and costs only itself.
pub(super) fn entries(
    items: Vec<Item>,
    mut last: u32,
    total: u32,
    place: &ListFacts,
    recipes: &Recipes,
) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(items.len());
    let mut places: Vec<u32> = items.iter().rev().filter_map(|item| item.place).collect();
    for item in items {
        let own = item.place.and_then(|_| places.pop());
        let next = places.last();
        last = own
            .filter(|place| *place > last && next.is_none_or(|next| place < next))
            .unwrap_or(last.saturating_add(1));
        entries.push(entry(item, last, total, place, recipes));
    }
    entries
}

fn entry(item: Item, number: u32, total: u32, place: &ListFacts, recipes: &Recipes) -> Entry {
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

fn track(
    item: &Item,
    number: u32,
    total: u32,
    place: &ListFacts,
    recipes: &Recipes,
) -> Option<Track> {
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

pub(super) fn first_cover(entries: &[Entry]) -> Option<String> {
    entries.iter().find_map(|entry| match entry {
        Entry::Track(track) => track.cover_url.clone(),
        Entry::Unavailable(_) => None,
    })
}

pub(super) fn as_number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
