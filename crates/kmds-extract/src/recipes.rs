//! Facts that age: client identities, limits, hosts, chunk sizes, times.
//!
//! Owns the names and types of these facts, and what follows from them alone: which hosts are allowed, how long to wait
//! for a limit. [`reading`] reads them from text.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::site::Site;

mod reading;

pub use reading::RecipesError;
use reading::{each_in_seconds, seconds};

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Recipes {
    /// The day on which the facts were true, `YYYY-MM-DD`; shown at `GET /`.
    pub date: String,
    pub time: Times,
    pub youtube: YouTubeRecipe,
    pub soundcloud: SoundCloudRecipe,
    pub bandcamp: BandcampRecipe,
}

/// Time-outs, pauses and paces. A file tells them in seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Times {
    /// One metadata request, from connecting to the last byte.
    #[serde(deserialize_with = "seconds")]
    pub metadata_request: Duration,
    /// Tries of one metadata request when the site fails (5xx, broken connection).
    pub metadata_tries: u32,
    /// Tries when the site says nothing within `metadata_request`.
    pub timeout_tries: u32,
    /// Pause before the second, third … try; each is varied by up to a half.
    #[serde(deserialize_with = "each_in_seconds")]
    pub retry_pauses: Vec<Duration>,
    /// The longest time that a client waits for a site's limit; beyond that the answer says when to come back.
    #[serde(deserialize_with = "seconds")]
    pub longest_pause: Duration,
    /// `/fetch` of a song, and of a list, answers within this.
    #[serde(deserialize_with = "seconds")]
    pub fetch_song: Duration,
    #[serde(deserialize_with = "seconds")]
    pub fetch_list: Duration,
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// How long an idle connection to a site stays open, unless the site closes it: a bot asks for songs minutes apart.
    #[serde(deserialize_with = "seconds")]
    pub idle: Duration,
    /// Audio is stalled after this long without a byte or a response head.
    #[serde(deserialize_with = "seconds")]
    pub audio_stall: Duration,
    /// Tries at one place of a file before giving up; a try that brought bytes starts the count again.
    pub audio_tries: u32,
    #[serde(deserialize_with = "each_in_seconds")]
    pub audio_pauses: Vec<Duration>,
    /// ffmpeg hangs after this long without a byte of output while it has input to work on.
    #[serde(deserialize_with = "seconds")]
    pub convert_stall: Duration,
    /// A job waits at most this long for a site's limit, then fails as `rate_limited`.
    #[serde(deserialize_with = "seconds")]
    pub limit_wait: Duration,
    /// First pause of a job after a 429 without `Retry-After`, where the site has no `limit_pause` of its own; doubles
    /// up to `limit_pause_most`.
    #[serde(deserialize_with = "seconds")]
    pub limit_pause: Duration,
    #[serde(deserialize_with = "seconds")]
    pub limit_pause_most: Duration,
    /// Final refusals and lists are remembered this long.
    #[serde(deserialize_with = "seconds")]
    pub remember_refusal: Duration,
    #[serde(deserialize_with = "seconds")]
    pub remember_list: Duration,
    /// A stream URL that is valid for less time is requested again before a download starts.
    #[serde(deserialize_with = "seconds")]
    pub fresh_url: Duration,
    /// Breaker: how long native calls stop after repeated bot checks or changed pages.
    #[serde(deserialize_with = "seconds")]
    pub breaker_pause: Duration,
}

/// Facts every site has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Hosts {
    /// Hosts that metadata requests may reach. A leading dot allows every subdomain.
    pub pages: Vec<String>,
    pub media: Vec<String>,
    pub covers: Vec<String>,
    /// Further hosts that only yt-dlp may ask.
    #[serde(default)]
    pub second_engine: Vec<String>,
    /// Least time between the starts of two metadata requests to the site; 0 for none.
    #[serde(deserialize_with = "seconds")]
    pub pace: Duration,
    /// Audio and covers may come from any public name: sites that only yt-dlp reads. Never in a file.
    #[serde(skip)]
    pub any_public: bool,
}

/// Last labels of names that mean something in private networks only.
const PRIVATE_SUFFIXES: [&str; 9] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "lan",
    "home",
    "corp",
    "arpa",
];

/// Whether a host is a name that can belong to a public site: several labels, and no suffix of private networks. `host`
/// in lower case, as a URL parser gives it; addresses are not names.
#[must_use]
pub fn is_public_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let Some((front, last)) = host.rsplit_once('.') else {
        return false;
    };
    let is_name = last.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name && !front.is_empty() && !PRIVATE_SUFFIXES.contains(&last)
}

/// Hosts of the sites that only yt-dlp reads: KMDS requests none of their pages, and accepts any public name for
/// yt-dlp's results.
static ANY_PUBLIC: Hosts = Hosts {
    pages: Vec::new(),
    media: Vec::new(),
    covers: Vec::new(),
    second_engine: Vec::new(),
    pace: Duration::ZERO,
    any_public: true,
};

impl Hosts {
    fn matches(list: &[String], host: &str) -> bool {
        list.iter().any(|allowed| match allowed.strip_prefix('.') {
            Some(_) => host.len() > allowed.len() && host.ends_with(allowed.as_str()),
            None => host == allowed,
        })
    }

    /// `host` in lower case.
    #[must_use]
    pub fn allows_page(&self, host: &str) -> bool {
        Self::matches(&self.pages, host)
    }

    #[must_use]
    pub fn allows_media(&self, host: &str) -> bool {
        Self::matches(&self.media, host) || (self.any_public && is_public_name(host))
    }

    #[must_use]
    pub fn allows_second_engine(&self, host: &str) -> bool {
        Self::matches(&self.second_engine, host)
    }

    #[must_use]
    pub fn allows_cover(&self, host: &str) -> bool {
        Self::matches(&self.covers, host) || (self.any_public && is_public_name(host))
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct YouTubeRecipe {
    pub hosts: Hosts,
    /// `hl` and `gl` of every request: reason texts are matched in English.
    pub language: String,
    pub country: String,
    /// Tried in order.
    pub identities: Vec<Identity>,
    /// For videos that the site refuses to the identities above because they are made for kids: itag 18 of this one.
    pub reel: Identity,
    /// The client whose answers need the player script.
    pub script: ScriptRecipe,
    /// Lists and mixes are asked for as this client.
    pub web_version: String,
    pub web_user_agent: String,
    /// YouTube Music's client, for the call that names an album's list and for searches.
    pub music_version: String,
    pub cookie: String,
    /// Filters of a search: videos of the site, songs of YouTube Music.
    pub search_params: String,
    pub music_search_params: String,
    pub first_range_bytes: u64,
    pub range_bytes: u64,
    pub least_range_bytes: u64,
    pub most_range_bytes: u64,
    /// How long a visitor id is kept, counted from when it was asked for.
    #[serde(deserialize_with = "seconds")]
    pub visitor_life: Duration,
    /// How long an identity that the site no longer accepts is not used.
    #[serde(deserialize_with = "seconds")]
    pub identity_off: Duration,
    /// Player requests of one resolve, over all identities.
    pub player_tries: u32,
    /// How long a download waits at most for advertisements that the site believes to run.
    #[serde(deserialize_with = "seconds")]
    pub advertisement_wait: Duration,
    /// Time before a limited player call is tried with a new visitor id; `time.longest_pause` at most.
    #[serde(deserialize_with = "seconds")]
    pub limited_pause: Duration,
    /// The waiting time in answers: after HTTP 403 or 429 without `Retry-After`, after "try again later" (which lasts
    /// up to an hour), and after a bot check.
    #[serde(deserialize_with = "seconds")]
    pub limited_wait: Duration,
    #[serde(deserialize_with = "seconds")]
    pub quota_wait: Duration,
    #[serde(deserialize_with = "seconds")]
    pub bot_check_wait: Duration,
    /// Songs of one list, at most.
    pub list_songs: usize,
    pub mix_songs: usize,
    /// Average AAC bitrate of itag 140 in bit/s, for the size of songs whose formats are not known yet.
    pub aac_bitrate_bps: u32,
    pub reasons: BTreeMap<String, Vec<String>>,
}

/// Where YouTube's player script is, and the client that needs it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ScriptRecipe {
    pub identity: Identity,
    /// The page that names today's player.
    pub page: String,
    /// With `{id}` for the player's id.
    pub url: String,
    pub most_bytes: usize,
    /// How long the id of today's player is used without a new request.
    #[serde(deserialize_with = "seconds")]
    pub life: Duration,
    /// How long a script that cannot be fetched or used is not tried again.
    #[serde(deserialize_with = "seconds")]
    pub pause: Duration,
}

/// A YouTube client as which KMDS presents itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Identity {
    /// The name in KMDS, for logs and for separate visitor ids.
    pub name: String,
    pub host: String,
    pub user_agent: String,
    /// Fields of `context.client`, as they are sent.
    pub client: toml::Table,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Fields beside `context` in a player request.
    #[serde(default)]
    pub body: toml::Table,
    #[serde(default)]
    pub off: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SoundCloudRecipe {
    pub hosts: Hosts,
    pub user_agent: String,
    pub accept_language: String,
    /// Scheme and host of the JSON calls.
    pub api: String,
    /// Hosts that format URLs (`transcodings[].url`) may name.
    pub format_hosts: Vec<String>,
    /// Songs of one set, at most.
    pub list_songs: usize,
    pub batch: usize,
    pub batches_at_once: usize,
    /// Presets by preference, then `progressive` or `hls`: `aac_160k/hls`. A `*` ends a prefix.
    pub preference: Vec<String>,
    /// Host that a format answer leads to, by codec and `progressive` or `hls`; a wrong one costs an idle connection.
    pub media_hosts: BTreeMap<String, String>,
    /// Parts of a protocol's name that mean DRM.
    pub encrypted_marks: Vec<String>,
    /// A client id of the operator's, used first and until it is refused; empty for none.
    pub client_id: String,
    /// Least time between two renewals of the client id.
    #[serde(deserialize_with = "seconds")]
    pub client_id_pause: Duration,
    /// Parts of a 403's body that mean a bot block, beside the header `x-datadome`.
    pub bot_marks: Vec<String>,
    /// How long the site gets no request after a bot block.
    #[serde(deserialize_with = "seconds")]
    pub bot_pause: Duration,
    /// Stands in for `time.limit_pause`.
    #[serde(deserialize_with = "seconds")]
    pub limit_pause: Duration,
    pub segments_at_once: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BandcampRecipe {
    pub hosts: Hosts,
    pub user_agent: String,
    pub language: String,
    pub mobile_api: String,
    /// Answers words with songs, albums and bands.
    pub search_api: String,
    /// Marks of the challenge page, any of which counts in a body under `challenge_bytes`.
    pub challenge_marks: Vec<String>,
    pub challenge_bytes: usize,
    /// Artists that stand for several: their songs are titled "Name - Title".
    pub various_artists: Vec<String>,
    /// Picture server and the number of a size: `{cover_base}/a{10 digits}_{cover_size}.jpg`.
    pub cover_base: String,
    pub cover_size: u32,
    /// How long the site is left alone after a challenge.
    #[serde(deserialize_with = "seconds")]
    pub bot_pause: Duration,
    /// Stands in for `time.limit_pause`.
    #[serde(deserialize_with = "seconds")]
    pub limit_pause: Duration,
    /// How long a redirecting stream URL of the mobile interface is taken to live; its `ts` is no expiry.
    #[serde(deserialize_with = "seconds")]
    pub redirect_life: Duration,
}

impl Default for Recipes {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Recipes {
    #[must_use]
    pub const fn hosts(&self, site: Site) -> Option<&Hosts> {
        match site {
            Site::YouTube => Some(&self.youtube.hosts),
            Site::SoundCloud => Some(&self.soundcloud.hosts),
            Site::Bandcamp => Some(&self.bandcamp.hosts),
            Site::Other => Some(&ANY_PUBLIC),
        }
    }

    /// Bounds what is asked of the sites for one list, at least one song: the service's setting stands above the file.
    #[must_use]
    pub fn taking_at_most(mut self, songs: usize) -> Self {
        self.youtube.list_songs = songs.max(1);
        self.soundcloud.list_songs = songs.max(1);
        self
    }

    /// How long a job that this site limits waits when the site does not say; for the `times`-th time in a row, from 0.
    #[must_use]
    pub fn limit_pause(&self, site: Site, times: u32) -> Duration {
        let first = match site {
            Site::SoundCloud => self.soundcloud.limit_pause,
            Site::Bandcamp => self.bandcamp.limit_pause,
            Site::YouTube | Site::Other => self.time.limit_pause,
        };
        first
            .saturating_mul(1 << times.min(16))
            .min(self.time.limit_pause_most)
    }
}

/// Header names an identity may carry; recipes with others are refused ([`known_header`]).
const HEADERS: [&str; 9] = [
    "X-Goog-Api-Format-Version",
    "X-Goog-Visitor-Id",
    "X-YouTube-Client-Name",
    "X-YouTube-Client-Version",
    "X-Goog-Api-Key",
    "X-Origin",
    "Origin",
    "Referer",
    "Cookie",
];

/// The name as it is sent, if an identity may carry it.
pub(crate) fn known_header(name: &str) -> Option<&'static str> {
    HEADERS
        .iter()
        .copied()
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// A client id of SoundCloud: letters and digits, 32 of them today.
pub(crate) fn is_client_id(text: &str) -> bool {
    (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_limit_double_from_each_sites_own_first_one() {
        let recipes = Recipes::built_in();
        for (site, seconds) in [
            (Site::YouTube, [30, 60, 120, 240, 480, 600]),
            (Site::SoundCloud, [60, 120, 240, 480, 600, 600]),
            (Site::Bandcamp, [60, 120, 240, 480, 600, 600]),
            (Site::Other, [30, 60, 120, 240, 480, 600]),
        ] {
            let waits = (0..).map(|times| recipes.limit_pause(site, times).as_secs());
            assert!(waits.take(6).eq(seconds), "{site}");
            assert_eq!(recipes.limit_pause(site, u32::MAX).as_secs(), 600);
        }
    }

    #[test]
    fn a_leading_dot_allows_subdomains_and_nothing_else() {
        let hosts = Recipes::built_in().youtube.hosts;
        assert!(hosts.allows_media("rr1---sn-25ge7nsk.googlevideo.com"));
        assert!(!hosts.allows_media("evilgooglevideo.com"));
        assert!(!hosts.allows_media("googlevideo.com.evil.example"));
    }
}
