//! Pages of search results, of the site and of YouTube Music.
//!
//! Owns the places of results. Channels, lists, advertisements and shelves of other videos between them are not read.
//! It follows no token.

use std::time::Duration;

use serde::Deserialize;

use super::list::{Item, ItemState, Lockup, Old};
use super::{Thumbnail, Thumbnails, clock};
use crate::json::lenient::{Obj, Seq, Text};
use crate::link::youtube::VideoId;
use crate::origin::Page;
use crate::stream::LONGEST;

/// Between the parts of a line under a song.
const BETWEEN: &str = "•";
const ALBUM_PREFIX: &str = "MPREb_";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    contents: Obj<Contents>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Contents {
    two_column_search_results_renderer: Obj<Columns>,
    tabbed_search_results_renderer: Obj<Tabs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Columns {
    primary_contents: Obj<Content>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tabs {
    tabs: Seq<Obj<Tab>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tab {
    tab_renderer: Obj<TabRenderer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TabRenderer {
    content: Obj<Content>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    section_list_renderer: Obj<Sections>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sections {
    contents: Seq<Obj<Section>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Section {
    item_section_renderer: Obj<Slots>,
    music_shelf_renderer: Obj<Slots>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slots {
    contents: Seq<Obj<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slot {
    video_renderer: Obj<Old>,
    lockup_view_model: Obj<Lockup>,
    music_responsive_list_item_renderer: Obj<Music>,
}

/// The videos of a page of results, in its order.
/// # Errors
/// The missing field, when this is no page of results.
pub(crate) fn videos(page: &Page) -> Result<Vec<Item>, &'static str> {
    let columns = read(page)?
        .two_column_search_results_renderer
        .0
        .ok_or("twoColumnSearchResultsRenderer")?;
    let sections = columns
        .primary_contents
        .0
        .and_then(|content| content.section_list_renderer.0);
    let sections = sections.ok_or("sectionListRenderer")?;
    let found = slots(sections).filter_map(|slot| {
        let new = slot.lockup_view_model.0.and_then(|lockup| lockup.0);
        slot.video_renderer.0.and_then(Item::from_old).or(new)
    });
    Ok(found.collect())
}

/// Whether a result is a song that can be played: not a live stream, and not unreleased.
pub(crate) fn is_song(item: &Item) -> bool {
    item.state == ItemState::Playable
}

fn read(page: &Page) -> Result<Contents, &'static str> {
    let answer: Obj<Answer> = crate::json::read(&page.body).map_err(|_| "JSON")?;
    answer
        .0
        .and_then(|answer| answer.contents.0)
        .ok_or("contents")
}

fn slots(sections: Sections) -> impl Iterator<Item = Slot> {
    let shelves = sections
        .contents
        .0
        .into_iter()
        .filter_map(|section| section.0);
    let shelves = shelves.flat_map(|section| {
        [
            section.item_section_renderer.0,
            section.music_shelf_renderer.0,
        ]
    });
    shelves
        .flatten()
        .flat_map(|shelf| shelf.contents.0)
        .filter_map(|slot| slot.0)
}

/// One song of YouTube Music.
#[derive(Debug)]
pub(crate) struct MusicItem {
    pub video: VideoId,
    pub title: String,
    /// Joined as the site joins them.
    pub artist: Option<String>,
    pub album: Option<String>,
    pub duration: Option<Duration>,
    pub thumbnails: Vec<Thumbnail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Music {
    thumbnail: Obj<MusicThumbnail>,
    flex_columns: Seq<Obj<FlexColumn>>,
    playlist_item_data: Obj<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named {
    video_id: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MusicThumbnail {
    music_thumbnail_renderer: Obj<Framed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Framed {
    thumbnail: Obj<Thumbnails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FlexColumn {
    music_responsive_list_item_flex_column_renderer: Obj<Column>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Column {
    text: Obj<Runs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runs {
    runs: Seq<Obj<Run>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Run {
    text: Text,
    navigation_endpoint: Obj<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    browse_endpoint: Obj<Browse>,
    watch_endpoint: Obj<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Browse {
    browse_id: Text,
}

/// The songs of a page of results of YouTube Music, in its order.
/// # Errors
/// The missing field, when this is no page of results.
pub(crate) fn music(page: &Page) -> Result<Vec<MusicItem>, &'static str> {
    let tabs = read(page)?
        .tabbed_search_results_renderer
        .0
        .ok_or("tabbedSearchResultsRenderer")?;
    let contents = tabs
        .tabs
        .0
        .into_iter()
        .filter_map(|tab| tab.0?.tab_renderer.0?.content.0?.section_list_renderer.0);
    let songs = contents
        .flat_map(slots)
        .filter_map(|slot| song(slot.music_responsive_list_item_renderer.0?));
    Ok(songs.collect())
}

fn song(item: Music) -> Option<MusicItem> {
    let columns: Vec<Vec<Run>> = item.flex_columns.0.into_iter().map(runs).collect();
    let head = columns.first()?;
    let title: String = head.iter().map(|run| run.text.0.as_str()).collect();
    let of_title = || head.iter().find_map(Run::video);
    let named = item
        .playlist_item_data
        .as_ref()
        .and_then(|named| VideoId::parse(&named.video_id.0));
    let line = columns.get(1).map(Vec::as_slice).unwrap_or_default();
    let parts: Vec<&[Run]> = line.split(|run| run.text.0.trim() == BETWEEN).collect();
    let length = |part: &&[Run]| clock(&joined(part).unwrap_or_default());
    let is_album = |part: &&[Run]| part.iter().any(|run| run.leads_to(ALBUM_PREFIX));
    let duration = parts
        .iter()
        .skip(1)
        .find_map(length)
        .filter(|it| !it.is_zero() && *it <= LONGEST);
    let artist = parts
        .first()
        .filter(|part| !is_album(part) && length(part).is_none());
    let thumbnail = item
        .thumbnail
        .0
        .and_then(|it| it.music_thumbnail_renderer.0?.thumbnail.0);
    Some(MusicItem {
        video: named.or_else(of_title)?,
        title: Some(title.trim().to_owned()).filter(|title| !title.is_empty())?,
        artist: artist.and_then(|part| joined(part)),
        album: parts
            .iter()
            .find(|part| is_album(part))
            .and_then(|part| joined(part)),
        duration,
        thumbnails: thumbnail
            .map(|it| {
                it.thumbnails
                    .0
                    .into_iter()
                    .filter_map(|one| one.0)
                    .collect()
            })
            .unwrap_or_default(),
    })
}

fn runs(column: Obj<FlexColumn>) -> Vec<Run> {
    let text = column.0.and_then(|column| {
        column
            .music_responsive_list_item_flex_column_renderer
            .0?
            .text
            .0
    });
    text.map(|text| text.runs.0.into_iter().filter_map(|run| run.0).collect())
        .unwrap_or_default()
}

fn joined(part: &[Run]) -> Option<String> {
    let text: String = part.iter().map(|run| run.text.0.as_str()).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Run {
    fn leads_to(&self, prefix: &str) -> bool {
        let browse = self
            .navigation_endpoint
            .as_ref()
            .and_then(|it| it.browse_endpoint.as_ref());
        browse.is_some_and(|it| it.browse_id.0.starts_with(prefix))
    }

    fn video(&self) -> Option<VideoId> {
        VideoId::parse(
            &self
                .navigation_endpoint
                .as_ref()?
                .watch_endpoint
                .as_ref()?
                .video_id
                .0,
        )
    }
}
