//! The first page of a mix (field notes, 4.5).

use serde::Deserialize;

use super::super::{Thumbnails, clock};
use super::item::{Byline, Item, ItemState, Lockup};
use crate::failure::Kind;
use crate::json::lenient::{Obj, Present, Seq, Text};
use crate::link::youtube::VideoId;
use crate::origin::Page;

#[derive(Debug)]
pub(crate) struct Mix {
    pub title: Option<String>,
    pub items: Vec<Item>,
}

/// `Ok(None)` when the answer has no list: there is no such mix.
/// # Errors
/// The missing field, when this is not an answer at all.
pub(crate) fn read_mix(page: &Page) -> Result<Option<Mix>, &'static str> {
    let answer: Obj<Answer> = crate::json::read(&page.body).map_err(|_| "JSON")?;
    let results = answer
        .0
        .and_then(|it| it.contents.0)
        .and_then(|it| it.two_column_watch_next_results.0);
    let results = results.ok_or("contents.twoColumnWatchNextResults")?;
    let Some(playlist) = results.playlist.0.and_then(|it| it.playlist.0) else {
        return Ok(None);
    };
    let items = playlist
        .contents
        .0
        .into_iter()
        .filter_map(|slot| slot.0?.item());
    Ok(Some(Mix {
        title: playlist.title.unchanged(),
        items: items.collect(),
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    contents: Obj<Contents>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Contents {
    two_column_watch_next_results: Obj<Results>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Results {
    playlist: Obj<Wrapped>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrapped {
    playlist: Obj<Playlist>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Playlist {
    title: Text,
    contents: Seq<Obj<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slot {
    playlist_panel_video_renderer: Obj<Panel>,
    playlist_panel_video_wrapper_renderer: Obj<Wrapper>,
    lockup_view_model: Obj<Lockup>,
}

/// A song with another version of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wrapper {
    primary_renderer: Obj<Box<Slot>>,
}

impl Slot {
    fn item(self) -> Option<Item> {
        let wrapped = || {
            self.playlist_panel_video_wrapper_renderer
                .0?
                .primary_renderer
                .0?
                .item()
        };
        let lockup = self.lockup_view_model.0.and_then(|lockup| lockup.0);
        self.playlist_panel_video_renderer
            .0
            .and_then(item)
            .or(lockup)
            .or_else(wrapped)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Panel {
    video_id: Text,
    title: Text,
    long_byline_text: Obj<BylineText>,
    short_byline_text: Obj<BylineText>,
    length_text: Text,
    thumbnail: Obj<Thumbnails>,
    unplayable_text: Present,
}

/// Only the first run is the channel.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BylineText {
    runs: Seq<Text>,
    simple_text: Text,
}

impl BylineText {
    fn channel(&self) -> Option<String> {
        let first = self.runs.first().and_then(Text::owned);
        first.or_else(|| self.simple_text.owned())
    }
}

fn item(panel: Panel) -> Option<Item> {
    let video = VideoId::parse(&panel.video_id.0)?;
    let state = if panel.unplayable_text.0 {
        ItemState::Unavailable(Kind::Unavailable)
    } else {
        ItemState::Playable
    };
    Some(Item {
        video: Some(video),
        title: panel.title.unchanged(),
        byline: [panel.long_byline_text.0, panel.short_byline_text.0]
            .iter()
            .find_map(|byline| byline.as_ref()?.channel())
            .and_then(|name| Byline::new(name, false)),
        duration: clock(&panel.length_text.0),
        place: None,
        thumbnails: panel.thumbnail.0.map_or_else(Vec::new, |it| {
            it.thumbnails
                .0
                .into_iter()
                .filter_map(|one| one.0)
                .collect()
        }),
        state,
    })
}
