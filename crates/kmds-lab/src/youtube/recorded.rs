//! Recorded exchanges with YouTube, served again with new URLs.
//!
//! Matches a request with an exchange by path, client name and the requested video or list; not by version, visitor,
//! `t` or `cpn`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::lists::{Layout, List, item_of};
use super::player::{Refusal, Video};
use super::{googlevideo, text};
use crate::audio::Shape;
use crate::recordings::Exchange;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

/// Answers by video id, until all of them are read.
#[derive(Default)]
struct Answers {
    player: HashMap<String, Value>,
    reel: HashMap<String, Value>,
    microformat: HashMap<String, Value>,
}

pub fn load(shared: &Shared, exchanges: &[Exchange]) {
    let mut answers = Answers::default();
    let mut headers: HashMap<String, Value> = HashMap::new();
    let mut first_pages: HashMap<String, Value> = HashMap::new();
    for exchange in exchanges
        .iter()
        .filter(|exchange| exchange.path.starts_with("/youtubei/v1/"))
    {
        let Some(answer) = exchange.json() else {
            continue;
        };
        let asked = &exchange.request_body;
        let id = |pointer: &str| {
            asked
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let client = id("/context/client/clientName").unwrap_or_default();
        match exchange.path.as_str() {
            "/youtubei/v1/player" => {
                let Some(video) = id("/videoId") else {
                    continue;
                };
                let kept = if exchange.query.contains("microformat") {
                    &mut answers.microformat
                } else {
                    &mut answers.player
                };
                // Several identities may be recorded; the one that gets URLs is what the rest is made of.
                if client == "VISIONOS" || !kept.contains_key(&video) {
                    kept.insert(video, answer);
                }
            }
            "/youtubei/v1/reel/reel_item_watch" => {
                // A video that does not exist is answered `{}`, as every unknown one is.
                if let (Some(video), Some(reel)) =
                    (id("/playerRequest/videoId"), answer.get("playerResponse"))
                {
                    answers.reel.insert(video, reel.clone());
                }
            }
            "/youtubei/v1/browse" => {
                if let Some(list) =
                    id("/browseId").and_then(|browse| browse.strip_prefix("VL").map(str::to_owned))
                {
                    headers.insert(list, answer);
                } else if let Some(token) = id("/continuation") {
                    if let Some(list) = list_of_first_page(&answer) {
                        first_pages.insert(list, answer.clone());
                    }
                    shared.youtube.continuations.lock().insert(token, answer);
                }
            }
            "/youtubei/v1/next" => {
                for asked in ["/playlistId", "/videoId"] {
                    if let Some(id) = id(asked) {
                        shared.youtube.mixes.lock().insert(id, answer.clone());
                    }
                }
            }
            _ => {}
        }
    }
    add_lists(shared, headers, first_pages);
    let ids: Vec<String> = answers
        .player
        .keys()
        .chain(answers.reel.keys())
        .cloned()
        .collect();
    for id in ids {
        add_video(shared, &id, &answers);
    }
}

fn list_of_first_page(answer: &Value) -> Option<String> {
    let actions = answer["onResponseReceivedActions"].as_array()?;
    actions.iter().find_map(|action| {
        Some(
            action
                .pointer("/reloadContinuationItemsCommand/targetId")?
                .as_str()?
                .to_owned(),
        )
    })
}

fn add_lists(
    shared: &Shared,
    mut headers: HashMap<String, Value>,
    mut first_pages: HashMap<String, Value>,
) {
    let ids: Vec<String> = headers.keys().chain(first_pages.keys()).cloned().collect();
    for id in ids {
        let first = first_pages.remove(&id);
        let Some(header) = headers.remove(&id).or_else(|| first.clone()) else {
            continue;
        };
        let listed = first.as_ref().and_then(|first| {
            let actions = first["onResponseReceivedActions"].as_array()?;
            actions.iter().find_map(|action| {
                action
                    .pointer("/reloadContinuationItemsCommand/continuationItems")?
                    .as_array()
                    .cloned()
            })
        });
        let list = List {
            id: id.clone(),
            title: text(header.pointer("/metadata/playlistMetadataRenderer/title")),
            owner: None,
            items: listed
                .unwrap_or_default()
                .iter()
                .filter_map(item_of)
                .collect(),
            layout: Layout::Old,
            recorded: Some((header, first)),
            short_page: false,
        };
        shared.youtube.lists.lock().insert(id, Arc::new(list));
    }
}

fn add_video(shared: &Shared, id: &str, answers: &Answers) {
    let reel = answers.reel.get(id).cloned();
    // A recorded refusal is lent to every client, unwrapped; a reel answer that plays is not.
    let refused = reel
        .clone()
        .filter(|reel| reel["playabilityStatus"]["status"] != "OK");
    let withheld = !answers.player.contains_key(id) && refused.is_none();
    let mut answer = answers
        .player
        .get(id)
        .cloned()
        .or(refused)
        .or_else(|| reel.clone())
        .unwrap_or_else(|| json!({}));
    if withheld {
        Refusal::NotAvailable.apply(&mut answer);
    }
    let mut streams = Vec::new();
    let mut media_ids = Vec::new();
    for source in [Some(&answer), reel.as_ref()].into_iter().flatten() {
        collect(source, &mut streams, &mut media_ids);
    }
    let main = best(&answer, &streams);
    let details = &answer["videoDetails"];
    let seconds = streams
        .get(main)
        .map_or(0.0, |stream: &StreamSpec| stream.seconds);
    let song = Song::publish(
        shared,
        NewSong {
            site: Site::YouTube,
            id: id.to_owned(),
            title: details["title"].as_str().unwrap_or("").to_owned(),
            artist: details["author"].as_str().unwrap_or("").to_owned(),
            link: format!("https://www.youtube.com/watch?v={id}"),
            seconds,
            streams,
            main,
            hold: crate::world::NEVER,
            drip: 0,
        },
    );
    for media_id in media_ids {
        shared
            .youtube
            .media_ids
            .lock()
            .insert(media_id, id.to_owned());
    }
    let muxed = reel
        .as_ref()
        .and_then(|reel| reel.pointer("/streamingData/formats")?.as_array().cloned())
        .unwrap_or_default();
    let microformat = answers
        .microformat
        .get(id)
        .cloned()
        .unwrap_or_else(|| json!({}));
    let video = Video {
        answer,
        muxed,
        microformat,
        reel,
        song,
        for_kids: false,
        sabr_only: false,
        moves_hosts: false,
        advertisement: 0,
    };
    shared
        .youtube
        .videos
        .lock()
        .insert(id.to_owned(), Arc::new(video));
}

/// The audio streams of an answer, and the `id` parameters of their URLs.
fn collect(answer: &Value, streams: &mut Vec<StreamSpec>, media_ids: &mut Vec<String>) {
    for list in ["adaptiveFormats", "formats"] {
        let formats = answer["streamingData"][list]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for format in formats {
            let mime = format["mimeType"].as_str().unwrap_or("");
            let muxed = list == "formats";
            let (Some(key), true) = (
                googlevideo::key_of_format(format),
                muxed || mime.starts_with("audio/"),
            ) else {
                continue;
            };
            let Some((_, query)) = format["url"].as_str().and_then(|url| url.split_once('?'))
            else {
                continue;
            };
            let media_id =
                url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "id");
            media_ids.extend(media_id.map(|(_, value)| value.into_owned()));
            let number = |name: &str| {
                format[name]
                    .as_str()
                    .and_then(|text| text.parse::<u64>().ok())
            };
            let shape = match (
                muxed,
                mime.starts_with("audio/webm"),
                format["audioSampleRate"].as_str(),
            ) {
                (true, ..) => Shape::Muxed,
                (_, true, _) => Shape::WebM,
                (_, _, Some("22050")) => Shape::Mp4Low,
                _ => Shape::Mp4,
            };
            let seconds = number("approxDurationMs").unwrap_or(0) as f64 / 1000.0;
            if !streams.iter().any(|stream| stream.key == key) {
                streams.push(StreamSpec {
                    key,
                    shape,
                    seconds,
                    size_bytes: number("contentLength"),
                });
            }
        }
    }
}

/// Itag 140 of the original, uncompressed track; else the first stream.
fn best(answer: &Value, streams: &[StreamSpec]) -> usize {
    let formats = answer
        .pointer("/streamingData/adaptiveFormats")
        .and_then(Value::as_array);
    let wanted = formats.into_iter().flatten().find(|format| {
        let track = &format["audioTrack"];
        format["itag"] == 140
            && format["isDrc"] != true
            && (track.is_null() || track["id"].as_str().is_some_and(|id| id.ends_with(".4")))
    });
    let key = wanted.and_then(googlevideo::key_of_format);
    key.and_then(|key| streams.iter().position(|stream| stream.key == key))
        .unwrap_or(0)
}
