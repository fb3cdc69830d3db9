//! What recorded exchanges with Bandcamp have to be shown as (field notes 4, 6–9, 14).

use kmds_lab::Site;
use serde_json::Value;

use super::wanted::{Audio, Exchange, LeadsTo, Size, Wanted, WantedSong};

const MP3_BYTES_A_SECOND: f64 = 16_000.0;

pub fn wanted(exchanges: &[Exchange]) -> Vec<Wanted> {
    exchanges
        .iter()
        .filter_map(|exchange| page(exchange).or_else(|| mobile(exchange)))
        .collect()
}

fn page(exchange: &Exchange) -> Option<Wanted> {
    let release = ["/track/", "/album/"]
        .iter()
        .any(|kind| exchange.path.starts_with(kind));
    if !release || !exchange.host.ends_with(".bandcamp.com") {
        return None;
    }
    let link = format!("https://{}{}", exchange.host, exchange.path);
    let leads_to = match exchange.status {
        404 => LeadsTo::Refused("not_found".into()),
        200 => release_of(&exchange.body)?,
        _ => return None,
    };
    Some(Wanted {
        site: Site::Bandcamp,
        link,
        leads_to,
    })
}

fn release_of(html: &str) -> Option<LeadsTo> {
    if html.len() < 10_240 && html.contains("Client Challenge") {
        return Some(LeadsTo::Refused("bot_check".into()));
    }
    let release = attribute(html, "data-tralbum")?;
    let embed = attribute(html, "data-embed").unwrap_or_default();
    let named = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let songs = release["trackinfo"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let album = release["item_type"] == "album";
    if release["tralbum_subscriber_only"] == true {
        return Some(LeadsTo::Refused("members_only".into()));
    }
    if songs.is_empty() {
        return Some(LeadsTo::Refused("paid_only".into()));
    }
    let total = u32::try_from(songs.len()).ok();
    let places: Vec<Result<WantedSong, String>> = songs
        .iter()
        .map(|song| {
            if song["file"].is_null() {
                let waiting = song["album_preorder"] == true
                    || release["is_preorder"] == true
                    || release["album_is_preorder"] == true;
                let unreleased =
                    song["unreleased_track"] == true || (waiting && song["title_link"].is_null());
                return Err(if unreleased {
                    "unreleased"
                } else {
                    "paid_only"
                }
                .to_owned());
            }
            let frame = if album {
                (
                    named(&release["current"]["title"]),
                    song["track_num"].as_u64().unwrap_or(0),
                    total,
                )
            } else {
                (
                    named(&embed["album_title"]),
                    release["current"]["track_number"].as_u64().unwrap_or(0),
                    None,
                )
            };
            Ok(one(song, &release, frame))
        })
        .collect();
    Some(match places.iter().find_map(|place| place.as_ref().err()) {
        Some(kind) if places.iter().all(Result::is_err) => LeadsTo::Refused(kind.clone()),
        _ if album => LeadsTo::List {
            places,
            truncated: false,
        },
        _ => places
            .into_iter()
            .next()?
            .map_or_else(LeadsTo::Refused, LeadsTo::Song),
    })
}

fn one(
    song: &Value,
    release: &Value,
    (album, number, total): (Option<String>, u64, Option<u32>),
) -> WantedSong {
    let seconds = song["duration"].as_f64();
    let whole = release["artist"].as_str().unwrap_or_default();
    let mut title = song["title"].as_str().unwrap_or_default().to_owned();
    let mut artist = whole.to_owned();
    if let Some(own) = song["artist"].as_str().filter(|own| !own.is_empty()) {
        artist = own.to_owned();
    } else if ["Various Artists", "Various", "V/A", "VA"].contains(&whole)
        && let [name, rest] = title.split(" - ").collect::<Vec<_>>().as_slice()
    {
        (artist, title) = ((*name).to_owned(), (*rest).to_owned());
    }
    if let Some(bare) = title
        .strip_prefix(&format!("{artist} - "))
        .filter(|_| song["artist"].is_string())
    {
        title = bare.to_owned();
    }
    let art = release["art_id"].as_u64().filter(|art| *art > 0);
    WantedSong {
        id: song["track_id"].to_string(),
        title,
        artist: Some(artist),
        album,
        number: u32::try_from(number).unwrap_or(0),
        total,
        seconds,
        slack: 0.05,
        size: seconds.map_or(Size::Any, |seconds| {
            Size::About(seconds * MP3_BYTES_A_SECOND)
        }),
        cover: art.map(|art| format!("https://f4.bcbits.com/img/a{art:010}_10.jpg")),
        audio: Audio::AsSent,
    }
}

/// A bare id, as embedded players have it.
fn mobile(exchange: &Exchange) -> Option<Wanted> {
    if !exchange.path.starts_with("/api/mobile/") || !exchange.path.ends_with("/tralbum_details") {
        return None;
    }
    let answer = exchange.json()?;
    if answer["error"] == true || answer["type"] != "t" {
        return None;
    }
    let song = &answer["tracks"][0];
    let link = format!(
        "https://bandcamp.com/EmbeddedPlayer/track={}/size=large/",
        answer["id"]
    );
    let art = song["art_id"]
        .as_u64()
        .or(answer["art_id"].as_u64())
        .filter(|art| *art > 0);
    let seconds = song["duration"].as_f64();
    let named = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let leads_to = LeadsTo::Song(WantedSong {
        id: answer["id"].to_string(),
        title: song["title"].as_str()?.to_owned(),
        artist: named(&answer["tralbum_artist"]).or_else(|| named(&answer["band"]["name"])),
        album: named(&answer["album_title"]),
        number: song["track_num"]
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0),
        total: None,
        seconds,
        slack: 0.05,
        size: seconds.map_or(Size::Any, |seconds| {
            Size::About(seconds * MP3_BYTES_A_SECOND)
        }),
        cover: art.map(|art| format!("https://f4.bcbits.com/img/a{art:010}_10.jpg")),
        audio: Audio::AsSent,
    });
    Some(Wanted {
        site: Site::Bandcamp,
        link,
        leads_to,
    })
}

/// The JSON in an HTML attribute.
fn attribute(html: &str, name: &str) -> Option<Value> {
    let (_, rest) = html.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let plain = value
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    serde_json::from_str(&plain.replace("&amp;", "&")).ok()
}
