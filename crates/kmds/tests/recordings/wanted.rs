//! Exchanges as recorded, what has to be shown for a link, and the comparison.

use std::path::Path;

use kmds_lab::{Lab, Site};
use serde_json::Value;

use super::harness::Kmds;

pub struct Exchange {
    pub host: String,
    pub path: String,
    pub query: String,
    pub asked: Value,
    pub status: u16,
    pub body: String,
}

impl Exchange {
    pub fn read_all(folder: &Path) -> Vec<Self> {
        let mut all = Vec::new();
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .flatten()
            .map(|e| e.path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                all.extend(Self::read_all(&path));
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                all.extend(Self::read(&path));
            }
        }
        all
    }

    fn read(path: &Path) -> Option<Self> {
        let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        let url = recorded["request"]["url"].as_str()?;
        let rest = url.strip_prefix("https://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let asked = match &recorded["request"]["body"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            other => other.clone(),
        };
        Some(Self {
            host: host.to_owned(),
            path: format!("/{path}"),
            query: query.to_owned(),
            asked,
            status: recorded["response"]["status"].as_u64()? as u16,
            body: recorded["response"]["body"].as_str()?.to_owned(),
        })
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// The expected result of a link.
pub struct Wanted {
    pub site: Site,
    pub link: String,
    pub leads_to: LeadsTo,
}

pub enum LeadsTo {
    Song(WantedSong),
    /// All places in order; a song that cannot be had has its kind there.
    List {
        places: Vec<Result<WantedSong, String>>,
        truncated: bool,
    },
    Refused(String),
}

#[derive(Clone)]
pub struct WantedSong {
    pub id: String,
    pub title: String,
    pub artist: Option<String>,
    pub album: Option<String>,
    pub number: u32,
    pub total: Option<u32>,
    pub seconds: Option<f64>,
    /// What the site's seconds may be off by.
    pub slack: f64,
    pub size: Size,
    pub cover: Option<String>,
    /// Whether its audio can be had from what was recorded.
    pub audio: Audio,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Size {
    Exact(u64),
    /// By a formula: one byte of rounding.
    About(f64),
    Any,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Audio {
    /// Byte for byte the site's best AAC or MP3.
    AsSent,
    /// Taken out of something else, or converted.
    Made,
    /// Refused when it is asked for.
    Fails(&'static str),
    /// Not recorded: a song of a list.
    Unknown,
}

/// Asks for the link and lists everything that is not as wanted.
pub async fn judge(kmds: &Kmds, lab: &Lab, want: &Wanted) -> Vec<String> {
    let (status, reply) = kmds.fetch(&want.link).await;
    let reply = reply.json();
    let songs = reply["Songs"].as_array().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    match &want.leads_to {
        LeadsTo::Refused(kind) => {
            if reply["Kind"] != kind.as_str() || status < 400 {
                wrong.push(format!(
                    "refused as {kind} was wanted: {status} {}",
                    shorten(reply)
                ));
            }
        }
        _ if status != 200 => wrong.push(format!("{status} {}", shorten(reply))),
        LeadsTo::Song(song) => match songs.as_slice() {
            [one] => {
                wrong.extend(compare(one, song));
                wrong.extend(arrives(kmds, lab, want.site, one, song).await);
            }
            _ => wrong.push(format!("one song was wanted: {}", shorten(reply))),
        },
        LeadsTo::List { places, truncated } => {
            if reply["Truncated"] != *truncated {
                wrong.push(format!("Truncated is {}", reply["Truncated"]));
            }
            wrong.extend(judge_list(kmds, lab, want.site, reply, places).await);
        }
    }
    wrong
}

async fn judge_list(
    kmds: &Kmds,
    lab: &Lab,
    site: Site,
    reply: &Value,
    places: &[Result<WantedSong, String>],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut songs = reply["Songs"]
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into_iter();
    let gone = reply["Unavailable"].as_array().cloned().unwrap_or_default();
    for (at, place) in places.iter().enumerate() {
        let number = at + 1;
        match place {
            Ok(want) => match songs.next() {
                Some(song) => {
                    wrong.extend(
                        compare(&song, want)
                            .into_iter()
                            .map(|what| format!("{number}: {what}")),
                    );
                    wrong.extend(
                        arrives(kmds, lab, site, &song, want)
                            .await
                            .into_iter()
                            .map(|what| format!("{number}: {what}")),
                    );
                }
                None => wrong.push(format!("{number}: missing")),
            },
            Err(kind) => {
                let found = gone.iter().find(|gone| gone["Track_Number"] == number);
                if found.is_none_or(|gone| gone["Kind"] != kind.as_str()) {
                    wrong.push(format!("{number}: {kind} was wanted: {found:?}"));
                }
            }
        }
    }
    let playable = places.iter().filter(|place| place.is_ok()).count();
    let listed = reply["Songs"].as_array().map_or(0, Vec::len);
    if listed != playable || gone.len() != places.len() - playable {
        wrong.push(format!(
            "{listed} songs and {} unavailable, of {playable} and {}",
            gone.len(),
            places.len() - playable
        ));
    }
    wrong
}

fn compare(song: &Value, want: &WantedSong) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |name: &str, is: &Value, wanted: Value| {
        if *is != wanted {
            wrong.push(format!("{name} is {is}, not {wanted}"));
        }
    };
    let metadata = &song["Metadata"];
    check("Title", &metadata["Title"], want.title.clone().into());
    check("Artist", &metadata["Artist"], want.artist.clone().into());
    check("Album", &metadata["Album"], want.album.clone().into());
    check(
        "Track_Number",
        &metadata["Track_Number"],
        want.number.into(),
    );
    check("Track_Total", &metadata["Track_Total"], want.total.into());
    check("Cover_URL", &song["Cover_URL"], want.cover.clone().into());
    match (metadata["Duration"].as_f64(), want.seconds) {
        (Some(is), Some(wanted)) if (is - wanted).abs() <= want.slack => {}
        (None, None) => {}
        (is, wanted) => wrong.push(format!("Duration is {is:?}, not {wanted:?}")),
    }
    let size = metadata["Approximate_Size"].as_f64();
    let fits = match want.size {
        Size::Exact(bytes) => metadata["Approximate_Size"] == bytes,
        Size::About(bytes) => {
            size.is_some_and(|size| (size - bytes).abs() <= 1.0) || song["State"] == "ready"
        }
        Size::Any => true,
    };
    if !fits {
        wrong.push(format!("Approximate_Size is {size:?}, not {:?}", want.size));
    }
    for name in ["File_Name", "Cover_Name"] {
        let text = song[name].as_str().unwrap_or_default();
        let bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        if text.is_empty() || text.len() > 200 || text.contains(bad) || text.starts_with('.') {
            wrong.push(format!("{name} is {text:?}"));
        }
    }
    wrong
}

async fn arrives(
    kmds: &Kmds,
    lab: &Lab,
    site: Site,
    song: &Value,
    want: &WantedSong,
) -> Option<String> {
    if want.audio == Audio::Unknown {
        return None;
    }
    let tunnel = format!(
        "{}&wait=60",
        song["Tunnel_URL"].as_str().unwrap_or("/none?")
    );
    let answer = kmds.get(&tunnel).await;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.unwrap_or_default();
    let said = || {
        String::from_utf8_lossy(bytes.get(..300.min(bytes.len())).unwrap_or_default()).into_owned()
    };
    match (&want.audio, status) {
        (Audio::Fails(kind), 500) if said().contains(&format!("\"Kind\":\"{kind}\"")) => None,
        (Audio::AsSent, 200) => {
            let sent = lab
                .song(site, &want.id)
                .map(|song| song.bytes())
                .unwrap_or_default();
            (sent != bytes).then(|| {
                format!(
                    "{} bytes arrived, not the {} of the site",
                    bytes.len(),
                    sent.len()
                )
            })
        }
        (Audio::Made, 200) => {
            (bytes.len() < 1_000).then(|| format!("only {} bytes arrived", bytes.len()))
        }
        (wanted, status) => Some(format!(
            "{wanted:?} was wanted of its audio: {status} {}",
            said()
        )),
    }
}

fn shorten(reply: &Value) -> String {
    reply.to_string().chars().take(400).collect()
}

/// A text that YouTube writes as a string, `simpleText` or runs.
pub fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(_) if value["simpleText"].is_string() => {
            value["simpleText"].as_str()?.to_owned()
        }
        Value::Object(_) => value["runs"]
            .as_array()?
            .iter()
            .filter_map(|run| run["text"].as_str())
            .collect(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
