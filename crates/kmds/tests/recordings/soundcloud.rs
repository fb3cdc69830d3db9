//! What recorded exchanges with SoundCloud have to be shown as (field notes 5, 6, 10, 11).

use std::collections::{BTreeMap, BTreeSet};

use kmds_lab::Site;
use serde_json::Value;

use super::wanted::{Audio, Exchange, LeadsTo, Size, Wanted, WantedSong};

/// Bytes a millisecond of what is offered, best first.
const FORMATS: [(&str, &str, f64); 5] = [
    ("aac_160k", "hls", 20.2),
    ("mp3_", "progressive", 16.0),
    ("mp3_", "hls", 16.0),
    ("aac_", "hls", 12.1),
    ("opus_", "hls", 8.0),
];

pub fn wanted(exchanges: &[Exchange]) -> Vec<Wanted> {
    let gone: BTreeSet<&str> = exchanges
        .iter()
        .filter(|exchange| exchange.path.starts_with("/media/") && exchange.status == 404)
        .map(|exchange| exchange.path.as_str())
        .collect();
    let answers: Vec<(&Exchange, Value)> = exchanges
        .iter()
        .filter(|exchange| {
            exchange.host.starts_with("api-") && exchange.host.ends_with(".soundcloud.com")
        })
        .filter_map(|exchange| Some((exchange, exchange.json()?)))
        .collect();
    let mut full: BTreeMap<u64, Value> = BTreeMap::new();
    for (_, answer) in &answers {
        let listed = answer["tracks"].as_array().or_else(|| answer.as_array());
        for track in listed
            .into_iter()
            .flatten()
            .chain([answer])
            .filter(|track| track["title"].is_string())
        {
            full.extend(track["id"].as_u64().map(|id| (id, track.clone())));
        }
    }
    let mut wanted = Vec::new();
    for (exchange, answer) in &answers {
        let link = answer["permalink_url"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let leads_to = match answer["kind"].as_str() {
            Some("track") => match song(answer, &gone, None) {
                Ok(song) => LeadsTo::Song(song),
                Err(kind) => LeadsTo::Refused(kind),
            },
            Some("playlist") => set(answer, &full, &gone),
            _ if exchange.status == 404 && exchange.path == "/resolve" => {
                LeadsTo::Refused("not_found".into())
            }
            _ => continue,
        };
        let link = if link.is_empty() {
            asked(exchange)
        } else {
            link
        };
        wanted.push(Wanted {
            site: Site::SoundCloud,
            link,
            leads_to,
        });
    }
    wanted
}

/// The `url` that `/resolve` was asked for.
fn asked(exchange: &Exchange) -> String {
    let url = exchange
        .query
        .split('&')
        .find_map(|part| part.strip_prefix("url="))
        .unwrap_or_default();
    percent_encoding::percent_decode_str(url)
        .decode_utf8_lossy()
        .into_owned()
}

fn set(set: &Value, full: &BTreeMap<u64, Value>, gone: &BTreeSet<&str>) -> LeadsTo {
    let tracks = set["tracks"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let total = u32::try_from(tracks.len()).unwrap_or(0);
    let places: Vec<Result<WantedSong, String>> = tracks
        .iter()
        .zip(1..)
        .map(|(stub, number)| {
            let track = stub["id"]
                .as_u64()
                .and_then(|id| full.get(&id))
                .ok_or("not_found")?;
            song(track, gone, Some((set, number, total)))
        })
        .collect();
    if places.iter().all(Result::is_err) {
        let kinds: Vec<String> = places.into_iter().filter_map(Result::err).collect();
        let first = kinds.iter().find(|kind| *kind != "not_found").cloned();
        return LeadsTo::Refused(first.unwrap_or_else(|| "not_found".into()));
    }
    LeadsTo::List {
        places,
        truncated: false,
    }
}

fn song(
    track: &Value,
    gone: &BTreeSet<&str>,
    frame: Option<(&Value, u32, u32)>,
) -> Result<WantedSong, String> {
    match track["policy"].as_str() {
        Some("ALLOW" | "MONETIZE") | None => {}
        Some("SNIP") => return Err("preview_only".into()),
        Some("BLOCK") => return Err("geo_blocked".into()),
        Some(_) => return Err("unavailable".into()),
    }
    if track["state"]
        .as_str()
        .is_some_and(|state| state != "finished")
        || track["streamable"] == false
    {
        return Err("unavailable".into());
    }
    let all = track["media"]["transcodings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let encrypted = all.iter().any(|one| {
        one["format"]["protocol"]
            .as_str()
            .is_some_and(|p| p.contains("encrypted"))
    });
    let rank = |one: &Value| {
        let (preset, protocol) = (one["preset"].as_str()?, one["format"]["protocol"].as_str()?);
        FORMATS
            .iter()
            .position(|(begins, with, _)| preset.starts_with(begins) && protocol == *with)
    };
    let mut usable: Vec<(usize, &Value)> = all
        .iter()
        .filter_map(|one| Some((rank(one)?, one)))
        .collect();
    usable.sort_by_key(|(rank, _)| *rank);
    let Some(&(best, _)) = usable.first() else {
        return Err(if encrypted {
            "drm_only"
        } else {
            "origin_failed"
        }
        .into());
    };
    let served = |one: &&(usize, &Value)| {
        let path = one.1["url"].as_str().and_then(|url| {
            url.strip_prefix("https://")?
                .find('/')
                .map(|at| &url[8 + at..])
        });
        path.is_some_and(|path| !gone.contains(path))
    };
    let audio = match usable.iter().find(served) {
        Some((rank, _)) if FORMATS[*rank].0 != "opus_" => Audio::AsSent,
        Some(_) => Audio::Made,
        None if encrypted => Audio::Fails("drm_only"),
        None => Audio::Fails("origin_failed"),
    };
    let milliseconds = track["duration"].as_f64().unwrap_or_default();
    let named = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let publisher = &track["publisher_metadata"];
    let album = match frame {
        Some((set, ..)) => named(&set["title"]),
        None => named(&publisher["album_title"]),
    };
    let picture = named(&track["artwork_url"]).or_else(|| named(&track["user"]["avatar_url"]));
    Ok(WantedSong {
        id: track["id"].to_string(),
        title: track["title"].as_str().unwrap_or_default().to_owned(),
        artist: named(&publisher["artist"]).or_else(|| named(&track["user"]["username"])),
        album,
        number: frame.map_or(0, |(_, number, _)| number),
        total: frame.map(|(.., total)| total),
        seconds: Some(milliseconds / 1000.0),
        slack: 0.05,
        // Converted to something else, it has another size.
        size: if FORMATS[best].0 == "opus_" {
            Size::Any
        } else {
            Size::About(milliseconds * FORMATS[best].2)
        },
        cover: picture.map(|url| large(&url)),
        audio,
    })
}

/// `…-large.png` → `…-t500x500.jpg`: sized pictures are JPEG under any name.
fn large(url: &str) -> String {
    match url.split_once("-large.") {
        Some((name, _)) => format!("{name}-t500x500.jpg"),
        None => url.to_owned(),
    }
}
