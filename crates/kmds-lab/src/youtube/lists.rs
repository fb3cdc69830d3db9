//! Lists: `browse` in its three forms, `next` for mixes, and the list's web page.
//!
//! Owns both layouts of items and the continuations. The shapes are in the YouTube notes, section 4.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{api_error, text};
use crate::wire::{Reply, Request};
use crate::world::Shared;

const PAGE_ITEMS: usize = 100;
/// The inner token of "from the first item" (YouTube notes, 4.1).
const FROM_THE_START: &str = "CADCBgIIAA%3D%3D";

/// How a list's items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `playlistVideoRenderer`.
    #[default]
    Old,
    /// `lockupViewModel`.
    Lockup,
}

/// One place of a list.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub title: String,
    /// Missing on course lists, and on songs that are gone.
    pub author: Option<String>,
    pub channel_id: String,
    pub seconds: Option<u64>,
    pub playable: bool,
    /// `LIVE`, `Upcoming` or `Members only`.
    pub badge: Option<&'static str>,
}

/// A list as it is served.
pub struct List {
    pub id: String,
    pub title: String,
    /// Albums often have none.
    pub owner: Option<String>,
    pub items: Vec<Item>,
    pub layout: Layout,
    /// Recorded answers: header, and everything at once.
    pub recorded: Option<(Value, Option<Value>)>,
    /// Not every page is full: the page that starts at 200 gives 99 and goes on.
    pub short_page: bool,
}

pub fn browse(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request.json() else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    if let Some(token) = body["continuation"].as_str() {
        if let Some(recorded) = shared.youtube.continuations.lock().get(token) {
            return Reply::json(recorded);
        }
        return match read_continuation(token) {
            Some((list, inner)) => continued(shared, &list, &inner),
            None => api_error(400, "INVALID_ARGUMENT"),
        };
    }
    let Some(browse_id) = body["browseId"].as_str() else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let Some(id) = browse_id.strip_prefix("VL") else {
        return album(shared, browse_id);
    };
    let header_only = request
        .param("$fields")
        .is_some_and(|fields| !fields.contains("contents"));
    let Some(list) = find(shared, id) else {
        return Reply::json(&alert(id)).about(id);
    };
    let answer = if header_only {
        list.header()
    } else {
        list.whole_page()
    };
    Reply::json(&answer).about(id)
}

/// `MPREb_…` as WEB_REMIX: only where the album's list is.
fn album(shared: &Shared, browse_id: &str) -> Reply {
    let Some(list) = browse_id.strip_prefix("MPREb_").and_then(|rest| {
        let lists = shared.youtube.lists.lock();
        lists
            .values()
            .find(|list| album_browse_id(&list.id) == Some(format!("MPREb_{rest}")))
            .cloned()
    }) else {
        return api_error(404, "NOT_FOUND");
    };
    let canonical = format!("https://music.youtube.com/playlist?list={}", list.id);
    Reply::json(
        &json!({"microformat": {"microformatDataRenderer": {"urlCanonical": canonical, "title": list.title}}}),
    )
}

/// The music site's id of an album whose list is `OLAK5uy_…`.
pub fn album_browse_id(list: &str) -> Option<String> {
    let rest = list.strip_prefix("OLAK5uy_")?;
    Some(format!("MPREb_{}", rest.get(..11)?))
}

fn continued(shared: &Shared, id: &str, inner: &str) -> Reply {
    let Some(list) = find(shared, id) else {
        return api_error(404, "NOT_FOUND").about(id);
    };
    let answer = match inner.strip_prefix("LAB") {
        // If only the header of a list was recorded, the list has no such form.
        None if inner == FROM_THE_START && matches!(list.recorded, Some((_, None))) => {
            return api_error(404, "NOT_FOUND").about(id);
        }
        None if inner == FROM_THE_START => list.everything_at_once(),
        Some(offset) => list.later_page(offset.parse().unwrap_or(usize::MAX)),
        None => return api_error(400, "INVALID_ARGUMENT").about(id),
    };
    Reply::json(&answer).about(id)
}

/// `next`: a mix by its list id or its seed. An unknown seed is answered without `playlist`.
pub fn next(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request.json() else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let mixes = shared.youtube.mixes.lock();
    let ids = [body["playlistId"].as_str(), body["videoId"].as_str()];
    match ids.into_iter().flatten().find_map(|id| mixes.get(id)) {
        Some(mix) => Reply::json(mix),
        None => Reply::json(&json!({"contents": {"twoColumnWatchNextResults": {"results": {}}}})),
    }
}

/// The web page of a list, as far as a reader of `ytInitialData` needs it.
pub fn page(shared: &Shared, request: &Request) -> Reply {
    let id = request.param("list").unwrap_or_default();
    let data = find(shared, &id).map_or_else(|| alert(&id), |list| list.whole_page());
    Reply::html(format!(
        "<!DOCTYPE html><html><head><title>YouTube</title></head><body>\
         <script>var ytInitialData = {};</script></body></html>",
        data.to_string().replace("</", "<\\/")
    ))
    .about(&id)
}

fn find(shared: &Shared, id: &str) -> Option<Arc<List>> {
    shared.youtube.lists.lock().get(id).cloned()
}

fn alert(id: &str) -> Value {
    let said = if id.starts_with("RD") {
        "This playlist type is unviewable."
    } else {
        "The playlist does not exist."
    };
    json!({"alerts": [{"alertRenderer": {"type": "ERROR", "text": {"runs": [{"text": said}]}}}],
        "microformat": {"microformatDataRenderer": {"noindex": true}}})
}

impl List {
    fn header(&self) -> Value {
        if let Some((header, _)) = &self.recorded {
            return header.clone();
        }
        let first = self.items.first().map_or("", |item| item.id.as_str());
        let cover = json!([{"url": format!("https://i.ytimg.com/vi/{first}/hqdefault.jpg"), "width": 480, "height": 270}]);
        let count = self.items.len();
        let mut items = vec![json!({"playlistSidebarPrimaryInfoRenderer": {
            "title": {"runs": [{"text": self.title}]},
            "stats": [{"runs": if count == 0 { json!([{"text": "No videos"}]) } else {
                json!([{"text": grouped(count)}, {"text": if count == 1 { " video" } else { " videos" }}]) }}],
            "thumbnailRenderer": {"playlistVideoThumbnailRenderer": {"thumbnail": {"thumbnails": cover}}}}})];
        if let Some(owner) = &self.owner {
            items.push(json!({"playlistSidebarSecondaryInfoRenderer": {"videoOwner": {"videoOwnerRenderer": {
                "title": {"runs": [{"text": owner}]}}}}}));
        }
        let by = self
            .owner
            .as_ref()
            .map(|owner| format!("by {owner}"))
            .unwrap_or_default();
        json!({
            "header": {"pageHeaderRenderer": {"pageTitle": self.title, "content": {"pageHeaderViewModel": {
                "metadata": {"contentMetadataViewModel": {"metadataRows": [{"metadataParts": [{
                    "avatarStack": {"avatarStackViewModel": {"text": {"content": by}}}}]}]}}}}}},
            "microformat": {"microformatDataRenderer": {"title": self.title, "thumbnail": {"thumbnails": cover},
                "urlCanonical": format!("http://www.youtube.com/playlist?list={}", self.id), "noindex": false}},
            "sidebar": {"playlistSidebarRenderer": {"items": items}},
            "metadata": {"playlistMetadataRenderer": {"title": self.title}},
        })
    }

    fn everything_at_once(&self) -> Value {
        if let Some((_, Some(first))) = &self.recorded {
            return first.clone();
        }
        let mut answer = self.header();
        answer["contents"] = json!({"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {"selected": true}}]}});
        answer["onResponseReceivedActions"] = json!([{"reloadContinuationItemsCommand": {
            "targetId": self.id, "continuationItems": self.page_from(0), "slot": "RELOAD_CONTINUATION_SLOT_BODY"}}]);
        answer
    }

    fn later_page(&self, from: usize) -> Value {
        json!({"responseContext": {}, "onResponseReceivedActions": [{"appendContinuationItemsAction": {
            "targetId": self.id, "continuationItems": self.page_from(from)}}]})
    }

    /// Form 3: header and first page under `contents`.
    fn whole_page(&self) -> Value {
        let mut answer = self.header();
        let mut items = match &self.recorded {
            Some((_, Some(first))) => recorded_items(first),
            _ => self.page_from(0),
        };
        let section = if self.layout == Layout::Lockup && self.recorded.is_none() {
            let last = items.pop_if(|item| item.get("continuationItemViewModel").is_some());
            let mut section = vec![json!({"itemSectionRenderer": {"contents": items}})];
            section.extend(last);
            json!(section)
        } else {
            json!([{"itemSectionRenderer": {"contents": [{"playlistVideoListRenderer": {
                "playlistId": self.id, "contents": items, "isEditable": false}}]}}])
        };
        answer["contents"] = json!({"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {
            "selected": true, "content": {"sectionListRenderer": {"contents": section}}}}]}});
        answer
    }

    fn page_from(&self, from: usize) -> Vec<Value> {
        let length = if self.short_page && from == 2 * PAGE_ITEMS {
            PAGE_ITEMS - 1
        } else {
            PAGE_ITEMS
        };
        let to = (from.saturating_add(length)).min(self.items.len());
        let items = self.items.get(from..to).unwrap_or_default();
        let mut page: Vec<Value> = items
            .iter()
            .enumerate()
            .map(|(n, item)| match self.layout {
                Layout::Old => item.old(&self.id, from + n + 1),
                Layout::Lockup => item.lockup(&self.id),
            })
            .collect();
        if to < self.items.len() {
            let token = continuation(&self.id, &format!("LAB{to}"));
            page.push(match self.layout {
                Layout::Old => json!({"continuationItemRenderer": {"trigger": "CONTINUATION_TRIGGER_ON_ITEM_SHOWN",
                    "continuationEndpoint": {"continuationCommand": {"token": token, "request": "CONTINUATION_REQUEST_TYPE_BROWSE"}}}}),
                Layout::Lockup => json!({"continuationItemViewModel": {"continuationCommand": {"innertubeCommand": {
                    "continuationCommand": {"token": token, "request": "CONTINUATION_REQUEST_TYPE_BROWSE"}}}}}),
            });
        }
        page
    }
}

fn recorded_items(first: &Value) -> Vec<Value> {
    let actions = first["onResponseReceivedActions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let items = actions.iter().find_map(|action| {
        action
            .pointer("/reloadContinuationItemsCommand/continuationItems")?
            .as_array()
    });
    items.cloned().unwrap_or_default()
}

impl Item {
    fn old(&self, list: &str, position: usize) -> Value {
        let mut item = json!({
            "videoId": self.id,
            "thumbnail": {"thumbnails": [{"url": format!("https://i.ytimg.com/vi/{}/hqdefault.jpg?sqp=lab", self.id), "width": 168, "height": 94}]},
            "title": {"runs": [{"text": self.title}]},
            "index": {"simpleText": position.to_string()},
            "navigationEndpoint": {"watchEndpoint": {"videoId": self.id, "playlistId": list, "index": position - 1}},
            "isPlayable": self.playable,
        });
        if let Some(author) = &self.author {
            item["shortBylineText"] = json!({"runs": [{"text": author, "navigationEndpoint": {"browseEndpoint": {"browseId": self.channel_id}}}]});
        }
        if let Some(seconds) = self.seconds {
            item["lengthSeconds"] = json!(seconds.to_string());
            item["lengthText"] = json!({"simpleText": clock(seconds)});
        }
        if let Some(badge) = self.badge {
            let style = match badge {
                "LIVE" => "BADGE_STYLE_TYPE_LIVE_NOW",
                "Members only" => "BADGE_STYLE_TYPE_MEMBERS_ONLY",
                _ => "BADGE_STYLE_TYPE_SIMPLE",
            };
            item["badges"] = json!([{"metadataBadgeRenderer": {"style": style, "label": badge}}]);
            let overlay = match badge {
                "LIVE" => Some("LIVE"),
                "Upcoming" => Some("UPCOMING"),
                _ => None,
            };
            if let Some(style) = overlay {
                item["thumbnailOverlays"] = json!([{"thumbnailOverlayTimeStatusRenderer": {"style": style, "text": {"simpleText": badge}}}]);
            }
        }
        json!({"playlistVideoRenderer": item})
    }

    fn lockup(&self, list: &str) -> Value {
        let badge_text = match (self.badge, self.seconds) {
            (Some(badge @ ("LIVE" | "Upcoming")), _) => badge.to_owned(),
            (_, Some(seconds)) => clock(seconds),
            (_, None) => String::new(),
        };
        let mut rows = Vec::new();
        if let Some(author) = &self.author {
            rows.push(json!({"metadataParts": [{"text": {"content": author, "commandRuns": [{"startIndex": 0, "length": author.chars().count(),
                "onTap": {"innertubeCommand": {"browseEndpoint": {"browseId": self.channel_id}}}}]}}]}));
        }
        if self.badge == Some("Members only") {
            rows.push(json!({"badges": [{"badgeViewModel": {"badgeText": "Members only", "badgeStyle": "BADGE_MEMBERS_ONLY"}}]}));
        }
        json!({"lockupViewModel": {
            "contentId": self.id, "contentType": "LOCKUP_CONTENT_TYPE_VIDEO",
            "contentImage": {"thumbnailViewModel": {
                "image": {"sources": [{"url": format!("https://i.ytimg.com/vi/{}/hqdefault.jpg?sqp=lab", self.id), "width": 168, "height": 94}]},
                "overlays": [{"thumbnailBottomOverlayViewModel": {"badges": [{"thumbnailBadgeViewModel": {"text": badge_text}}]}}]}},
            "metadata": {"lockupMetadataViewModel": {"title": {"content": self.title},
                "metadata": {"contentMetadataViewModel": {"metadataRows": rows}}}},
            "rendererContext": {"commandContext": {"onTap": {"innertubeCommand": {"watchEndpoint": {"videoId": self.id, "playlistId": list}}}}},
        }})
    }

    /// The item in a mix.
    pub fn panel(&self, list: &str) -> Value {
        let by = json!({"runs": [{"text": self.author, "navigationEndpoint": {"browseEndpoint": {"browseId": self.channel_id}}}]});
        json!({"playlistPanelVideoRenderer": {
            "title": {"simpleText": self.title}, "longBylineText": by, "shortBylineText": by, "videoId": self.id,
            "lengthText": {"simpleText": clock(self.seconds.unwrap_or(0))},
            "navigationEndpoint": {"watchEndpoint": {"videoId": self.id, "playlistId": list, "params": "OAE%3D"}}}})
    }
}

/// `h:mm:ss` or `m:ss`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

fn grouped(count: usize) -> String {
    if count < 1000 {
        count.to_string()
    } else {
        format!("{},{:03}", count / 1000, count % 1000)
    }
}

/// base64url of protobuf field 80226972 { 2: "VL" + list, 3: inner, 35: list }, its padding percent-encoded.
pub fn continuation(list: &str, inner: &str) -> String {
    let browse_id = format!("VL{list}");
    let mut message = Vec::new();
    for (tag, value) in [
        (&[0x12][..], browse_id.as_str()),
        (&[0x1a], inner),
        (&[0x9a, 0x02], list),
    ] {
        message.extend_from_slice(tag);
        varint(&mut message, value.len());
        message.extend_from_slice(value.as_bytes());
    }
    let mut outer = vec![0xe2, 0xa9, 0x85, 0xb2, 0x02];
    varint(&mut outer, message.len());
    outer.extend_from_slice(&message);
    URL_SAFE.encode(outer).replace('=', "%3D")
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The list and the inner token of a continuation made by [`continuation`] or by a client.
fn read_continuation(token: &str) -> Option<(String, String)> {
    let token = percent_decode_str(token).decode_utf8().ok()?;
    let bytes = URL_SAFE.decode(token.as_bytes()).ok()?;
    let mut rest = bytes.strip_prefix(&[0xe2, 0xa9, 0x85, 0xb2, 0x02])?;
    read_varint(&mut rest)?;
    rest = rest.strip_prefix(&[0x12])?;
    let list = read_text(&mut rest)?;
    rest = rest.strip_prefix(&[0x1a])?;
    let inner = read_text(&mut rest)?;
    Some((list.strip_prefix("VL")?.to_owned(), inner))
}

fn read_varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (first, tail) = rest.split_first()?;
        *rest = tail;
        value |= usize::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_text(rest: &mut &[u8]) -> Option<String> {
    let length = read_varint(rest)?;
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    String::from_utf8(text.to_vec()).ok()
}

/// Reads an item of a recorded page, to know what it lists.
pub fn item_of(value: &Value) -> Option<Item> {
    let item = value.get("playlistVideoRenderer")?;
    Some(Item {
        id: item["videoId"].as_str()?.to_owned(),
        title: text(item.get("title")),
        author: item.get("shortBylineText").map(|by| text(Some(by))),
        channel_id: String::new(),
        seconds: item["lengthSeconds"]
            .as_str()
            .and_then(|text| text.parse().ok()),
        playable: item["isPlayable"].as_bool().unwrap_or(false),
        badge: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_are_those_of_the_field_notes() {
        assert_eq!(
            continuation("PLMC9KNkIncKtPzgY-5rmhvj7fax8fdxoj", FROM_THE_START),
            "4qmFsgJdEiRWTFBMTUM5S05rSW5jS3RQemdZLTVybWh2ajdmYXg4ZmR4b2oaEENBRENCZ0lJQUElM0QlM0SaAiJQTE1DOUtOa0luY0t0UHpnWS01cm1odmo3ZmF4OGZkeG9q"
        );
        let token = continuation("UUMOQuLXlFNAeDJMSmuzHU5axw", FROM_THE_START);
        assert_eq!(
            token,
            "4qmFsgJNEhxWTFVVTU9RdUxYbEZOQWVESk1TbXV6SFU1YXh3GhBDQURDQmdJSUFBJTNEJTNEmgIaVVVNT1F1TFhsRk5BZURKTVNtdXpIVTVheHc%3D"
        );
        assert_eq!(
            read_continuation(&token),
            Some(("UUMOQuLXlFNAeDJMSmuzHU5axw".into(), FROM_THE_START.into()))
        );
    }
}
