//! What recorded exchanges with YouTube have to be shown as (field notes 2.4–2.9, 4).

use std::collections::BTreeMap;

use kmds_lab::Site;
use serde_json::Value;

use super::wanted::{Audio, Exchange, LeadsTo, Size, Wanted, WantedSong, text};

/// Itags in the order they are wanted in by a client that says nothing.
const ORDER: [u64; 9] = [141, 140, 139, 599, 774, 251, 250, 249, 600];
/// Bytes a second of itag 140, for songs of lists.
const LISTED_BYTES_A_SECOND: f64 = 129_700.0 / 8.0;

pub fn wanted(exchanges: &[Exchange]) -> Vec<Wanted> {
    let calls: Vec<&Exchange> = exchanges
        .iter()
        .filter(|e| e.path.starts_with("/youtubei/v1/"))
        .collect();
    videos(&calls)
        .into_iter()
        .chain(lists(&calls))
        .chain(mixes(&calls))
        .collect()
}

fn to(leads_to: LeadsTo, link: String) -> Wanted {
    Wanted {
        site: Site::YouTube,
        link,
        leads_to,
    }
}

fn videos(calls: &[&Exchange]) -> Vec<Wanted> {
    let mut players: BTreeMap<String, Value> = BTreeMap::new();
    let mut reels: BTreeMap<String, Value> = BTreeMap::new();
    for call in calls
        .iter()
        .filter(|call| !call.query.contains("microformat"))
    {
        let Some(answer) = call.json() else { continue };
        if call.path.ends_with("/player")
            && call.asked["context"]["client"]["clientName"] == "VISIONOS"
        {
            players.extend(
                call.asked["videoId"]
                    .as_str()
                    .map(|id| (id.to_owned(), answer)),
            );
        } else if call.path.ends_with("/reel_item_watch") {
            let id = call.asked["playerRequest"]["videoId"].as_str();
            reels.extend(id.map(|id| (id.to_owned(), answer["playerResponse"].clone())));
        }
    }
    let mut ids: Vec<&String> = players.keys().chain(reels.keys()).collect();
    ids.sort();
    ids.dedup();
    let link = |id: &str| format!("https://www.youtube.com/watch?v={id}");
    ids.into_iter()
        .filter_map(|id| Some(to(video(id, players.get(id), reels.get(id))?, link(id))))
        .collect()
}

fn video(id: &str, player: Option<&Value>, reel: Option<&Value>) -> Option<LeadsTo> {
    // A refusal is lent to every client; a reel answer that plays has the muxed format.
    let answer = player.or(reel.filter(|reel| reel["playabilityStatus"]["status"] != "OK"))?;
    let muxed = reel.is_some_and(|reel| reel["streamingData"]["formats"][0]["url"].is_string());
    match refusal(answer) {
        None => {}
        Some("unavailable") if answer["videoDetails"]["title"].is_string() => {
            let audio = if muxed {
                Audio::Made
            } else {
                Audio::Fails("unavailable")
            };
            let seconds = answer["videoDetails"]["lengthSeconds"]
                .as_str()
                .and_then(|text| text.parse().ok());
            return Some(LeadsTo::Song(WantedSong {
                audio,
                seconds,
                slack: 1.0,
                size: Size::Any,
                ..song(id, answer)
            }));
        }
        Some(kind) => return Some(LeadsTo::Refused(kind.to_owned())),
    }
    let format = chosen(answer)?;
    let number = |name: &str| {
        format[name]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let as_sent = [140, 141, 139, 599]
        .map(Value::from)
        .contains(&format["itag"]);
    Some(LeadsTo::Song(WantedSong {
        seconds: number("approxDurationMs").map(|ms| ms as f64 / 1000.0),
        size: number("contentLength")
            .filter(|_| as_sent)
            .map_or(Size::Any, Size::Exact),
        audio: if format["itag"] == 140 {
            Audio::AsSent
        } else {
            Audio::Made
        },
        ..song(id, answer)
    }))
}

/// The notes' table of status and reason; `None` where it plays.
fn refusal(answer: &Value) -> Option<&'static str> {
    let status = answer["playabilityStatus"]["status"].as_str().unwrap_or("");
    let reason = text(&answer["playabilityStatus"]["reason"])
        .unwrap_or_default()
        .to_lowercase()
        .replace('’', "'");
    let says = |part: &str| reason.contains(part);
    let details = &answer["videoDetails"];
    Some(match status {
        "OK" if details["isLive"] == true => "live",
        "OK" => return None,
        "LOGIN_REQUIRED" if says("private") => "private",
        "LOGIN_REQUIRED" if says("not a bot") => "bot_check",
        "LOGIN_REQUIRED" | "AGE_CHECK_REQUIRED" | "AGE_VERIFICATION_REQUIRED" => "age_restricted",
        "LIVE_STREAM_OFFLINE" => "unreleased",
        _ if says("in your country") => "geo_blocked",
        _ if says("members on level") || says("join this channel") => "members_only",
        _ if says("music premium members") || says("requires payment") => "paid_only",
        _ if says("try again later") || says("request limit") => "rate_limited",
        _ if says("this video is not available") => "unavailable",
        _ => "not_found",
    })
}

/// The original track, uncompressed, in the most wanted itag.
fn chosen(answer: &Value) -> Option<Value> {
    let all = answer["streamingData"]["adaptiveFormats"].as_array()?;
    let audio = all.iter().filter(|format| {
        format["mimeType"]
            .as_str()
            .is_some_and(|mime| mime.starts_with("audio/"))
            && format["url"].is_string()
            && format["isDrc"] != true
    });
    let original = |format: &&Value| {
        format["audioTrack"].is_null()
            || format["audioTrack"]["id"]
                .as_str()
                .is_some_and(|id| id.ends_with(".4"))
    };
    let place = |format: &&Value| ORDER.iter().position(|itag| format["itag"] == *itag);
    audio
        .filter(original)
        .filter(|format| place(format).is_some())
        .min_by_key(place)
        .cloned()
}

fn song(id: &str, answer: &Value) -> WantedSong {
    let details = &answer["videoDetails"];
    let author = details["author"].as_str().unwrap_or_default();
    let (mut title, mut artist) = (
        details["title"].as_str().unwrap_or_default().to_owned(),
        author.to_owned(),
    );
    let mut album = None;
    if let Some(plain) = author.strip_suffix(" - Topic") {
        artist = plain.to_owned();
        let description = details["shortDescription"].as_str().unwrap_or_default();
        let paragraphs: Vec<&str> = description.split("\n\n").collect();
        if let [first, second, third, ..] = paragraphs.as_slice()
            && first.starts_with("Provided to YouTube by ")
        {
            let mut parts = second.split(" · ");
            title = parts.next().unwrap_or_default().to_owned();
            artist = parts.collect::<Vec<_>>().join(", ");
            album = Some((*third).to_owned());
        }
    }
    let thumbnails = details["thumbnail"]["thumbnails"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let large = thumbnails
        .iter()
        .any(|t| t["url"].as_str().is_some_and(|url| url.contains("/hq720")));
    let name = if large { "maxresdefault" } else { "hqdefault" };
    WantedSong {
        id: id.to_owned(),
        title,
        artist: Some(artist),
        album,
        number: 0,
        total: None,
        seconds: None,
        slack: 0.05,
        size: Size::Any,
        cover: Some(format!("https://i.ytimg.com/vi/{id}/{name}.jpg")),
        audio: Audio::Unknown,
    }
}

fn lists(calls: &[&Exchange]) -> Vec<Wanted> {
    let browses: Vec<(&Value, Value)> = calls
        .iter()
        .filter(|call| call.path.ends_with("/browse"))
        .filter_map(|call| Some((&call.asked, call.json()?)))
        .collect();
    let mut wanted = Vec::new();
    for (asked, answer) in &browses {
        let link = |list: &str| format!("https://www.youtube.com/playlist?list={list}");
        let error = answer["alerts"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|a| a["alertRenderer"]["type"] == "ERROR");
        let list = asked["browseId"]
            .as_str()
            .and_then(|id| id.strip_prefix("VL"));
        if let (Some(list), Some(_)) = (list, error) {
            wanted.push(to(LeadsTo::Refused("not_found".into()), link(list)));
        }
        let actions = answer["onResponseReceivedActions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let first = actions.iter().find_map(|action| {
            let command = &action["reloadContinuationItemsCommand"];
            Some((
                command["targetId"].as_str()?,
                command["continuationItems"].as_array()?,
            ))
        });
        if let Some((list, items)) = first {
            let header = browses
                .iter()
                .find(|(asked, _)| asked["browseId"] == format!("VL{list}"));
            let owner = owner(answer).or_else(|| owner(&header?.1));
            wanted.push(to(
                whole_list(items, owner.as_deref(), &browses),
                link(list),
            ));
        }
    }
    wanted
}

fn whole_list(first: &[Value], owner: Option<&str>, browses: &[(&Value, Value)]) -> LeadsTo {
    let mut items = first.to_vec();
    let mut truncated = false;
    loop {
        let token = items.iter().find_map(|item| {
            item["continuationItemRenderer"]["continuationEndpoint"]["continuationCommand"]["token"].as_str()
        });
        let Some(token) = token.map(str::to_owned) else {
            break;
        };
        items.retain(|item| item["continuationItemRenderer"].is_null());
        let next = browses
            .iter()
            .find(|(asked, _)| asked["continuation"] == token);
        let more = next.and_then(|(_, answer)| {
            answer["onResponseReceivedActions"]
                .as_array()?
                .iter()
                .find_map(|action| {
                    action["appendContinuationItemsAction"]["continuationItems"]
                        .as_array()
                        .cloned()
                })
        });
        let Some(more) = more else {
            truncated = true;
            break;
        };
        items.extend(more);
    }
    let places: Vec<&Value> = items
        .iter()
        .map(|item| &item["playlistVideoRenderer"])
        .filter(|v| v.is_object())
        .collect();
    if places.is_empty() {
        return LeadsTo::Refused("not_found".into());
    }
    let total = u32::try_from(places.len()).ok();
    let places = places
        .iter()
        .zip(1..)
        .map(|(item, number)| listed(item, number, total, owner))
        .collect();
    LeadsTo::List { places, truncated }
}

fn listed(
    item: &Value,
    number: u32,
    total: Option<u32>,
    owner: Option<&str>,
) -> Result<WantedSong, String> {
    let title = text(&item["title"]).unwrap_or_default();
    let badge = |style: &str| item["badges"].to_string().contains(style);
    let overlay = |style: &str| {
        item["thumbnailOverlays"]
            .to_string()
            .contains(&format!("\"style\":\"{style}\""))
    };
    match title.as_str() {
        "[Private video]" => return Err("private".into()),
        "[Deleted video]" => return Err("not_found".into()),
        _ if badge("BADGE_STYLE_TYPE_MEMBERS_ONLY") => return Err("members_only".into()),
        _ if overlay("LIVE") => return Err("live".into()),
        _ if overlay("UPCOMING") => return Err("unreleased".into()),
        _ => {}
    }
    let id = item["videoId"].as_str().unwrap_or_default();
    let seconds = item["lengthSeconds"]
        .as_str()
        .and_then(|text| text.parse::<f64>().ok());
    let artist = text(&item["shortBylineText"]).or_else(|| owner.map(str::to_owned));
    let thumbnails = item["thumbnail"]["thumbnails"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let large = thumbnails
        .iter()
        .any(|t| t["url"].as_str().is_some_and(|url| url.contains("/hq720")));
    Ok(WantedSong {
        id: id.to_owned(),
        title,
        artist: artist.map(|artist| artist.trim_end_matches(" - Topic").to_owned()),
        album: None,
        number,
        total,
        seconds,
        slack: 1.0,
        size: seconds.map_or(Size::Any, |seconds| {
            Size::About(seconds * LISTED_BYTES_A_SECOND)
        }),
        cover: Some(format!(
            "https://i.ytimg.com/vi/{id}/{}.jpg",
            if large { "maxresdefault" } else { "hqdefault" }
        )),
        audio: Audio::Unknown,
    })
}

fn owner(answer: &Value) -> Option<String> {
    let items = answer["sidebar"]["playlistSidebarRenderer"]["items"].as_array()?;
    let owner = items.iter().find_map(|item| {
        text(&item["playlistSidebarSecondaryInfoRenderer"]["videoOwner"]["videoOwnerRenderer"]["title"])
    });
    owner.map(|owner| owner.strip_prefix("by ").unwrap_or(&owner).to_owned())
}

fn mixes(calls: &[&Exchange]) -> Vec<Wanted> {
    let asked_for =
        |call: &&&Exchange| call.path.ends_with("/next") && call.asked["playlistIndex"].is_null();
    calls
        .iter()
        .filter(asked_for)
        .filter_map(|call| {
            let answer = call.json()?;
            let id = call.asked["playlistId"].as_str()?;
            let link = format!("https://www.youtube.com/playlist?list={id}");
            let items =
                answer["contents"]["twoColumnWatchNextResults"]["playlist"]["playlist"]["contents"]
                    .as_array();
            let Some(items) = items else {
                return Some(to(LeadsTo::Refused("not_found".into()), link));
            };
            let songs: Vec<&Value> = items
                .iter()
                .map(|item| &item["playlistPanelVideoRenderer"])
                .filter(|v| v.is_object())
                .take(25)
                .collect();
            let total = u32::try_from(songs.len()).ok();
            let places = songs.iter().zip(1..).map(|(item, number)| {
                let id = item["videoId"].as_str().unwrap_or_default();
                let clock = text(&item["lengthText"]).unwrap_or_default();
                let seconds = clock.split(':').try_fold(0.0, |sum, part| {
                    Some(sum * 60.0 + part.parse::<f64>().ok()?)
                });
                let byline = item["longBylineText"]["runs"][0]["text"].as_str();
                Ok(WantedSong {
                    id: id.to_owned(),
                    title: text(&item["title"]).unwrap_or_default(),
                    artist: byline.map(|name| name.trim_end_matches(" - Topic").to_owned()),
                    album: None,
                    number,
                    total,
                    seconds,
                    slack: 1.0,
                    size: seconds.map_or(Size::Any, |seconds| {
                        Size::About(seconds * LISTED_BYTES_A_SECOND)
                    }),
                    cover: Some(format!("https://i.ytimg.com/vi/{id}/hqdefault.jpg")),
                    audio: Audio::Unknown,
                })
            });
            Some(to(
                LeadsTo::List {
                    places: places.collect(),
                    truncated: true,
                },
                link,
            ))
        })
        .collect()
}
