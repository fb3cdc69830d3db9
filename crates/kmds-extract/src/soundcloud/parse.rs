//! SoundCloud's JSON → values.
//!
//! Owns which fields are read and how odd ones are taken: a missing, null or wrongly typed optional field is no
//! failure, while a track without `id`, `title` or `media` is a changed page (field notes, 5, 11, 15). It does not
//! decide whether a song may be played, and sends no request.

use base64::Engine as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::json::{self, fields};
use crate::link::soundcloud::is_token;

/// The result of `/resolve`.
pub enum ResolveAnswer {
    Track(Box<RawTrack>),
    Set(Box<RawSet>),
    /// A user, or a list that SoundCloud itself makes.
    Unsupported,
}

/// One track as the API tells it, or a stub of one: all it has is an id and a policy.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawTrack {
    #[serde(deserialize_with = "fields::number")]
    pub id: Option<u64>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub title: Option<String>,
    #[serde(deserialize_with = "fields::value")]
    pub media: Option<RawMedia>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub policy: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub permalink_url: Option<String>,
    #[serde(deserialize_with = "fields::value")]
    pub user: Option<RawUser>,
    #[serde(deserialize_with = "fields::value")]
    pub publisher_metadata: Option<RawPublisher>,
    /// Milliseconds; the part that plays.
    #[serde(deserialize_with = "fields::amount")]
    pub duration: Option<f64>,
    /// Milliseconds; the whole song, if only a preview plays.
    #[serde(deserialize_with = "fields::amount")]
    pub full_duration: Option<f64>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub artwork_url: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub waveform_url: Option<String>,
    #[serde(deserialize_with = "fields::value")]
    pub streamable: Option<bool>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub state: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub sharing: Option<String>,
    #[serde(deserialize_with = "token")]
    pub secret_token: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub track_authorization: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub release_date: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub display_date: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawUser {
    #[serde(deserialize_with = "fields::trimmed")]
    pub username: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub avatar_url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawPublisher {
    #[serde(deserialize_with = "fields::trimmed")]
    pub artist: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub album_title: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawMedia {
    #[serde(deserialize_with = "transcodings")]
    pub transcodings: Vec<RawTranscoding>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawTranscoding {
    #[serde(deserialize_with = "fields::trimmed")]
    pub url: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub preset: Option<String>,
    /// Milliseconds.
    #[serde(deserialize_with = "fields::amount")]
    pub duration: Option<f64>,
    #[serde(deserialize_with = "fields::value")]
    pub snipped: Option<bool>,
    #[serde(deserialize_with = "fields::value")]
    pub format: Option<RawFormat>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawFormat {
    #[serde(deserialize_with = "fields::trimmed")]
    pub protocol: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub mime_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RawSet {
    #[serde(deserialize_with = "fields::number")]
    pub id: Option<u64>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub title: Option<String>,
    #[serde(deserialize_with = "fields::list")]
    pub tracks: Option<Vec<RawTrack>>,
    #[serde(deserialize_with = "fields::number")]
    pub track_count: Option<u64>,
    #[serde(deserialize_with = "fields::value")]
    pub user: Option<RawUser>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub artwork_url: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub permalink_url: Option<String>,
    #[serde(deserialize_with = "token")]
    pub secret_token: Option<String>,
    #[serde(deserialize_with = "fields::trimmed")]
    pub set_type: Option<String>,
    #[serde(deserialize_with = "fields::value")]
    pub is_album: Option<bool>,
}

impl RawSet {
    /// How many songs the set has: some answers leave a part of them out.
    pub fn total(&self, listed: usize) -> u32 {
        let listed = u32::try_from(listed).unwrap_or(u32::MAX);
        let told = self.track_count.and_then(|count| u32::try_from(count).ok());
        told.unwrap_or(0).max(listed)
    }
}

/// Tokens become parts of links, so a token that a link cannot contain is ignored.
fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(fields::trimmed(from)?.filter(|text| is_token(text)))
}

fn transcodings<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RawTranscoding>, D::Error> {
    Ok(fields::list(from)?.unwrap_or_default())
}

/// The answer of `/resolve`; the error names the field that is missing.
pub fn found(body: &[u8]) -> Result<ResolveAnswer, &'static str> {
    let value: Value = json::read(body).map_err(|_| "JSON")?;
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_else(|| match &value {
            value if value.get("tracks").is_some() => "playlist",
            value if value.get("title").is_some() => "track",
            _ => "",
        });
    match kind {
        "track" => Ok(ResolveAnswer::Track(
            serde_json::from_value(value).map_err(|_| "track")?,
        )),
        "playlist" => Ok(ResolveAnswer::Set(
            serde_json::from_value(value).map_err(|_| "tracks")?,
        )),
        "user" | "system-playlist" => Ok(ResolveAnswer::Unsupported),
        _ => Err("kind"),
    }
}

pub fn track(body: &[u8]) -> Result<RawTrack, &'static str> {
    json::read(body).map_err(|_| "JSON")
}

pub fn set(body: &[u8]) -> Result<RawSet, &'static str> {
    json::read(body).map_err(|_| "JSON")
}

/// The answer of `/tracks?ids=`, in any order.
pub fn tracks(body: &[u8]) -> Result<Vec<RawTrack>, &'static str> {
    let elements: Vec<Value> = json::read(body).map_err(|_| "JSON")?;
    Ok(elements
        .into_iter()
        .map(|element| serde_json::from_value(element).unwrap_or_default())
        .collect())
}

/// The songs that a search found; other things among them are left out.
pub fn search(body: &[u8]) -> Result<Vec<RawTrack>, &'static str> {
    let mut value: Value = json::read(body).map_err(|_| "JSON")?;
    let Some(Value::Array(found)) = value.get_mut("collection").map(Value::take) else {
        return Err("collection");
    };
    let is_track = |value: &Value| value.get("kind").is_none_or(|kind| kind == "track");
    Ok(found
        .into_iter()
        .filter(is_track)
        .filter_map(|value| serde_json::from_value(value).ok())
        .collect())
}

/// The signed URL of a format answer.
pub fn format_url(body: &[u8]) -> Option<String> {
    let value: Value = json::read(body).ok()?;
    value.get("url")?.as_str().map(str::to_owned)
}

/// When a signed URL ends, in seconds since 1970: `DateLessThan` of its `Policy`, else its `expires`.
pub fn expiry(url: &url::Url) -> Option<u64> {
    let value = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let of_policy = || {
        let policy = value("Policy")?
            .replace('-', "+")
            .replace('_', "=")
            .replace('~', "/");
        let policy = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(policy.trim_end_matches('='))
            .ok()?;
        let policy: Value = serde_json::from_slice(&policy).ok()?;
        policy
            .pointer("/Statement/0/Condition/DateLessThan/AWS:EpochTime")?
            .as_u64()
    };
    of_policy().or_else(|| value("expires")?.parse().ok())
}

/// `reset_time` of a 429's body, in seconds since 1970.
pub fn reset_time(body: &str) -> Option<u64> {
    let value: Value = json::read(body.as_bytes()).ok()?;
    let text = value["errors"].as_array()?.iter().find_map(|error| {
        error["meta"]["reset_time"]
            .as_str()
            .or_else(|| error["meta"]["rate_limit"]["reset_time"].as_str())
    })?;
    unix_of(text)
}

/// `YYYY/MM/DD hh:mm:ss +0000`; only that zone is known.
fn unix_of(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace();
    let (day, time) = (words.next()?, words.next()?);
    if words
        .next()
        .is_some_and(|zone| !matches!(zone, "+0000" | "UTC" | "Z"))
    {
        return None;
    }
    let numbers = |text: &str, mark: char| -> Option<[u64; 3]> {
        text.split(mark)
            .map(|part| part.parse().ok())
            .collect::<Option<Vec<u64>>>()?
            .try_into()
            .ok()
    };
    let [year, month, day] = numbers(day, '/')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sane {
        return None;
    }
    // Days since 1970 in years that start in March, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_across_leap_years() {
        assert_eq!(unix_of("1970/01/01 00:00:00 +0000"), Some(0));
        assert_eq!(unix_of("2024/02/29 12:00:01 +0000"), Some(1_709_208_001));
        assert_eq!(unix_of("2026/02/21 01:35:24 +0000"), Some(1_771_637_724));
        assert_eq!(unix_of("2026/13/21 01:35:24 +0000"), None);
        assert_eq!(unix_of("soon"), None);
    }

    #[test]
    fn a_policy_tells_when_its_url_ends() {
        let policy = r#"{"Statement":[{"Resource":"*://cf-media.sndcdn.com/x>?","Condition":{"DateLessThan":{"AWS:EpochTime":1771637724}}}]}"#;
        let policy = base64::engine::general_purpose::STANDARD.encode(policy);
        let policy = policy.replace('+', "-").replace('=', "_").replace('/', "~");
        let url = url::Url::parse(&format!(
            "https://cf-media.sndcdn.com/x.128.mp3?Policy={policy}&Signature=s"
        ))
        .expect("a URL");
        assert_eq!(expiry(&url), Some(1_771_637_724));
        let url = url::Url::parse(
            "https://playback.media-streaming.soundcloud.cloud/k?expires=1771637725&Policy=x",
        )
        .expect("a URL");
        assert_eq!(expiry(&url), Some(1_771_637_725));
        assert_eq!(
            expiry(&url::Url::parse("https://cf-media.sndcdn.com/x").expect("a URL")),
            None
        );
    }
}
