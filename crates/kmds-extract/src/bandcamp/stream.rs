//! Which encoding of a song to fetch, and the facts in its URL.
//!
//! Owns the names of Bandcamp's encodings, the rule that MP3 at 128 kb/s comes first, and expiry (field notes, 8). It
//! fetches nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::json::lenient::Pairs;
use crate::recipes::BandcampRecipe;
use crate::site::Site;
use crate::stream::{Codec, Container, Delivery, Stream};

/// The encodings of a song by key, in the site's order; anything but an object has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Files(pub Vec<(String, String)>);

/// Only the keys: the URLs are signed.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(key, _)| key))
            .finish()
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Pairs::deserialize(from).map(|pairs| Self(pairs.0))
    }
}

/// The encoding that every playable song has.
const USUAL: &str = "mp3-128";

/// Encodings above this many kb/s do not exist; a larger number in a key means something else.
const MOST_KBPS: u32 = 4000;

/// The usual encoding, else the first one that we know on a host of the site; `None` when nothing can be fetched.
pub(super) fn offered(
    files: &Files,
    track_id: u64,
    duration: Option<Duration>,
    now_unix: u64,
    recipe: &BandcampRecipe,
) -> Option<Stream> {
    let usual = files.0.iter().filter(|(key, _)| key == USUAL);
    let (key, url, container, codec) = usual.chain(&files.0).find_map(|(key, url)| {
        let (container, codec) = form(key)?;
        Some((key, fetchable(url, recipe)?, container, codec))
    })?;
    Some(Stream {
        site: Site::Bandcamp,
        container,
        codec,
        rank: 0,
        bitrate_bps: bitrate(key),
        size_bytes: None,
        duration,
        loudness_db: None,
        validator: format!("bandcamp {track_id} {key}"),
        expires_unix: expiry(&url, now_unix, recipe),
        delivery: Delivery::File { url: url.into() },
        headers: vec![("User-Agent", recipe.user_agent.clone())],
        bounded_ranges: false,
        muxed: false,
        available_unix: None,
        client: String::new(),
        label: key.clone(),
    })
}

/// The key's part before the first `-` names the form.
fn form(key: &str) -> Option<(Container, Codec)> {
    match key.split('-').next()? {
        "mp3" => Some((Container::Mp3, Codec::Mp3)),
        "aac" | "m4a" | "mp4" => Some((Container::Mp4, Codec::Aac)),
        "alac" => Some((Container::Mp4, Codec::Other)),
        "vorbis" | "ogg" => Some((Container::Ogg, Codec::Vorbis)),
        "opus" => Some((Container::Ogg, Codec::Opus)),
        "flac" => Some((Container::Flac, Codec::Flac)),
        "wav" => Some((Container::Wav, Codec::Pcm)),
        _ => None,
    }
}

fn bitrate(key: &str) -> Option<u32> {
    let kbps: u32 = key.split_once('-')?.1.parse().ok()?;
    (1..=MOST_KBPS).contains(&kbps).then(|| kbps * 1000)
}

/// https, on a host of the site's media; old answers leave the scheme out.
fn fetchable(url: &str, recipe: &BandcampRecipe) -> Option<url::Url> {
    let whole = if url.starts_with("//") {
        format!("https:{url}")
    } else {
        url.to_owned()
    };
    let url = url::Url::parse(&whole).ok()?;
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (plain && recipe.hosts.allows_media(url.host_str()?)).then_some(url)
}

/// `ts` is the expiry in a file's URL, but the time of asking in a redirecting one.
fn expiry(url: &url::Url, now_unix: u64, recipe: &BandcampRecipe) -> Option<u64> {
    if url.path().contains("stream_redirect") {
        return Some(now_unix.saturating_add(recipe.redirect_life.as_secs()));
    }
    url.query_pairs()
        .find(|(key, _)| key == "ts")
        .and_then(|(_, value)| value.parse().ok())
}
