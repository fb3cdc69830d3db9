//! Section 4: the answers that lists, albums and mixes are made of.

mod entries;
mod mixes;
mod pages;
mod refused;

use kmds_extract::link::youtube::VideoId;
use kmds_extract::origin::Page;
use kmds_extract::{Collection, Entry, Track};
use serde_json::{Value, json};

use crate::fake::ok;

pub const LIST: &str = "https://www.youtube.com/playlist?list=PL1";

fn id(number: usize) -> String {
    let id = format!("v{number:010}");
    assert!(VideoId::parse(&id).is_some());
    id
}

fn song(number: usize) -> Value {
    json!({"playlistVideoRenderer": {"videoId": id(number), "title": {"runs": [{"text": format!("Song {number}")}]},
        "shortBylineText": {"runs": [{"text": "Band - Topic"}]}, "lengthSeconds": "187", "isPlayable": true}})
}

pub fn lockup(number: usize, badge: &str) -> Value {
    json!({"lockupViewModel": {"contentId": id(number), "contentType": "LOCKUP_CONTENT_TYPE_VIDEO",
        "metadata": {"lockupMetadataViewModel": {"title": {"content": format!("Song {number}")}, "metadata": {"contentMetadataViewModel":
            {"metadataRows": [{"metadataParts": [{"text": {"content": "Band"}}]}]}}}},
        "contentImage": {"thumbnailViewModel": {"image": {"sources": []}, "overlays": [{"thumbnailBottomOverlayViewModel":
            {"badges": [{"thumbnailBadgeViewModel": {"text": badge}}]}}]}}}})
}

pub fn more(token: &str) -> Value {
    json!({"continuationItemRenderer": {"continuationEndpoint": {"continuationCommand": {"token": token}}}})
}

fn sidebar(title: &str, count: &str) -> Value {
    json!({"playlistSidebarRenderer": {"items": [
        {"playlistSidebarPrimaryInfoRenderer": {"title": {"runs": [{"text": title}]},
            "stats": [{"runs": [{"text": count}, {"text": " videos"}]}, {"simpleText": "9 views"}]}},
        {"playlistSidebarSecondaryInfoRenderer": {"videoOwner": {"videoOwnerRenderer": {"title": {"runs": [{"text": "by Owner"}]}}}}},
    ]}})
}

pub fn first(items: Vec<Value>, title: &str, count: &str) -> Page {
    ok(
        json!({"onResponseReceivedActions": [{"other": {}}, {"reloadContinuationItemsCommand": {"continuationItems": items}}],
        "sidebar": sidebar(title, count)}),
    )
}

fn next(items: Vec<Value>) -> Page {
    ok(
        json!({"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}),
    )
}

pub fn songs(range: std::ops::RangeInclusive<usize>) -> Vec<Value> {
    range.map(song).collect()
}

fn alert(text: &str) -> Page {
    ok(
        json!({"alerts": [{"alertRenderer": {"type": "ERROR", "text": {"runs": [{"text": text}]}}}]}),
    )
}

fn tracks(list: &Collection) -> Vec<&Track> {
    let tracks = list.entries.iter().filter_map(|entry| match entry {
        Entry::Track(track) => Some(track.as_ref()),
        Entry::Unavailable(_) => None,
    });
    tracks.collect()
}
