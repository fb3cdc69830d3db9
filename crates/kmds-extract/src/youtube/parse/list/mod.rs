//! Pages of lists and mixes.
//!
//! Owns where items, tokens, header parts and alerts stand, as ordered alternatives (field notes, section 4). An item
//! has two layouts. It follows no token.

mod header;
mod item;
mod mix;

use serde::Deserialize;

pub(crate) use header::{Alert, Header};
use item::Short;
pub(crate) use item::{Item, ItemState};
pub(in crate::youtube::parse) use item::{Lockup, Old};
pub(crate) use mix::{Mix, read_mix};

use crate::json::lenient::{Obj, Seq, Text};
use crate::origin::Page;

/// One page of a list.
#[derive(Debug)]
pub(crate) struct ListPage {
    pub items: Vec<Item>,
    /// Leads to the next page; none on the last one.
    pub token: Option<String>,
    pub header: Header,
    pub alert: Option<Alert>,
    /// Whether the page has a place for songs, even an empty one.
    pub has_place: bool,
    /// A course: its songs name no channel.
    pub is_course: bool,
}

/// Stands in the answers for courses, and in no others.
const COURSE_MARK: &str = "engagement-panel-course-metadata";

/// Reads an HTTP 200 answer of `browse`.
/// # Errors
/// The missing field, when this is not an answer at all.
pub(crate) fn read(page: &Page) -> Result<ListPage, &'static str> {
    let answer: Obj<Answer> = crate::json::read(&page.body).map_err(|_| "JSON")?;
    let answer = answer.0.ok_or("JSON")?;
    let Answer {
        on_response_received_actions,
        contents,
        sidebar,
        header,
        metadata,
        microformat,
        alerts,
    } = answer;
    let head = header::Head {
        sidebar,
        header,
        metadata,
        microformat,
        alerts,
    };
    let (header, alert) = (Header::of(&head), Alert::of(&head));
    let mut items = Vec::new();
    let mut token = None;
    let slots = slots(on_response_received_actions, contents);
    let has_place = slots.is_some();
    for slot in slots.unwrap_or_default() {
        slot.collect(&mut items, &mut token);
    }
    let is_course = std::str::from_utf8(&page.body).is_ok_and(|text| text.contains(COURSE_MARK));
    Ok(ListPage {
        items,
        token,
        header,
        alert,
        has_place,
        is_course,
    })
}

/// The list of an album of YouTube Music, as its page names it.
pub(crate) fn album_list(page: &Page) -> Option<String> {
    let answer: Obj<header::Head> = crate::json::read(&page.body).ok()?;
    let canonical = header::canonical_url(answer.as_ref()?)?;
    let url = url::Url::parse(&canonical).ok()?;
    url.query_pairs()
        .find(|(key, _)| key == "list")
        .map(|(_, list)| list.into_owned())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    on_response_received_actions: Seq<Obj<Action>>,
    contents: Obj<Contents>,
    // Written out: a flattened struct would have serde keep every unknown field of a 600 KB page.
    sidebar: Obj<header::Sidebar>,
    header: Obj<header::Headers>,
    metadata: Obj<header::Metadata>,
    microformat: Obj<header::Microformat>,
    alerts: Seq<Obj<header::AlertItem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Action {
    reload_continuation_items_command: Obj<Continued>,
    append_continuation_items_action: Obj<Continued>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Continued {
    continuation_items: Seq<Obj<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Contents {
    two_column_browse_results_renderer: Obj<Columns>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Columns {
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
    content: Obj<TabContent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TabContent {
    section_list_renderer: Obj<Slots>,
    rich_grid_renderer: Obj<Slots>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slots {
    contents: Seq<Obj<Slot>>,
}

/// One place of a page: a song in either layout, a token, or a shelf of more places.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slot {
    playlist_video_renderer: Obj<Old>,
    lockup_view_model: Obj<Lockup>,
    continuation_item_renderer: Obj<ContinuationItem>,
    continuation_item_view_model: Obj<ContinuationViewModel>,
    item_section_renderer: Obj<Box<Slots>>,
    playlist_video_list_renderer: Obj<Box<Slots>>,
    rich_item_renderer: Obj<Rich>,
    reel_item_renderer: Obj<Short>,
    shorts_lockup_view_model: Obj<Short>,
}

/// A place of a grid. Lists of Shorts are grids.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rich {
    content: Obj<Box<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContinuationItem {
    continuation_endpoint: Obj<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    continuation_command: Obj<Command>,
    command_executor_command: Obj<Commands>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commands {
    commands: Seq<Obj<Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Command {
    token: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContinuationViewModel {
    continuation_command: Obj<TapCommand>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TapCommand {
    innertube_command: Obj<Endpoint>,
}

/// The items of a page, from any of their places; `None` for a page without such a place.
fn slots(actions: Seq<Obj<Action>>, contents: Obj<Contents>) -> Option<Vec<Slot>> {
    let continued = actions
        .0
        .into_iter()
        .filter_map(|action| action.0)
        .flat_map(|action| {
            [
                action.reload_continuation_items_command,
                action.append_continuation_items_action,
            ]
        })
        .filter_map(|part| Some(part.0?.continuation_items.0));
    let columns = contents
        .0
        .and_then(|contents| contents.two_column_browse_results_renderer.0);
    let tabs = columns.into_iter().flat_map(|columns| columns.tabs.0);
    let sections = tabs.filter_map(|tab| {
        let content = tab.0?.tab_renderer.0?.content.0?;
        let list = content.section_list_renderer.0;
        Some(list.or(content.rich_grid_renderer.0)?.contents.0)
    });
    let mut places = continued.chain(sections).peekable();
    places.peek()?;
    Some(places.flatten().filter_map(|slot| slot.0).collect())
}

impl Slot {
    fn collect(self, items: &mut Vec<Item>, token: &mut Option<String>) {
        if let Some(next) = self.token() {
            *token = Some(next);
        }
        items.extend(self.playlist_video_renderer.0.and_then(Item::from_old));
        items.extend(self.lockup_view_model.0.and_then(|lockup| lockup.0));
        for short in [self.reel_item_renderer.0, self.shorts_lockup_view_model.0] {
            items.extend(short.and_then(|short| short.0));
        }
        if let Some(slot) = self.rich_item_renderer.0.and_then(|rich| rich.content.0) {
            slot.collect(items, token);
        }
        for shelf in [
            self.item_section_renderer.0,
            self.playlist_video_list_renderer.0,
        ]
        .into_iter()
        .flatten()
        {
            for slot in shelf.contents.0.into_iter().filter_map(|slot| slot.0) {
                slot.collect(items, token);
            }
        }
    }

    fn token(&self) -> Option<String> {
        let endpoint = self
            .continuation_item_renderer
            .as_ref()
            .and_then(|it| it.continuation_endpoint.as_ref());
        let executed = endpoint.and_then(|it| it.command_executor_command.as_ref());
        let tapped = self
            .continuation_item_view_model
            .as_ref()
            .and_then(|it| it.continuation_command.as_ref())
            .and_then(|it| it.innertube_command.as_ref());
        let token = |endpoint: &Endpoint| {
            endpoint
                .continuation_command
                .as_ref()
                .and_then(|it| it.token.owned())
        };
        endpoint
            .and_then(token)
            .or_else(|| {
                executed.and_then(|it| {
                    it.commands
                        .iter()
                        .find_map(|one| one.as_ref().and_then(token))
                })
            })
            .or_else(|| tapped.and_then(token))
    }
}
