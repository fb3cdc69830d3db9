//! The calls that answer for one video: `visitor_id`, `player` and `reel_item_watch`.
//!
//! Owns the answers for each client identity, and dates and signs media URLs at the moment of the request.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Scriptless, api_error, googlevideo, tv};
use crate::wire::{Reply, Request};
use crate::world::{Shared, Song};

/// The life of a media URL (YouTube notes, 3.1).
pub(super) const URL_LIFE_SECS: u64 = 21_600;

/// A video: its player answer with undated URLs, and its streams.
pub struct Video {
    /// The answer to the identity that gets URLs; formats carry `url` without `expire` and `sig`.
    pub answer: Value,
    /// Formats of the muxed kind, which only the reel call gives.
    pub muxed: Vec<Value>,
    /// The answer of `player` as WEB with `$fields`.
    pub microformat: Value,
    /// A recorded answer to the reel call; the muxed formats in it are served.
    pub reel: Option<Value>,
    pub song: Song,
    /// Refused to VISIONOS and web, played by the reel call.
    pub for_kids: bool,
    /// No client gets a URL.
    pub sabr_only: bool,
    /// The first media request of every URL is sent to another host.
    pub moves_hosts: bool,
    /// Seconds after the answer before any media request is served.
    pub advertisement: u64,
}

/// Why a video does not play: `playabilityStatus` as the site words it (YouTube notes, 2.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Private,
    BotCheck,
    AgeRestricted,
    GeoBlocked,
    MembersOnly,
    Premium,
    /// Withheld from this client.
    NotAvailable,
    RateLimited,
    Reload,
    Deleted,
    Terminated,
    Upcoming,
    /// Any status with any reason; the details of the video stay.
    Other(String, String),
    /// Any status, its reason told in an interstitial only; empty for none at all.
    Interstitial(String, String),
}

impl Refusal {
    fn status_and_reason(&self) -> (&str, &str) {
        match self {
            Self::Private => ("LOGIN_REQUIRED", "This video is private"),
            Self::BotCheck => (
                "LOGIN_REQUIRED",
                "Sign in to confirm you\u{2019}re not a bot",
            ),
            Self::AgeRestricted => ("LOGIN_REQUIRED", "Sign in to confirm your age"),
            Self::GeoBlocked => (
                "UNPLAYABLE",
                "The uploader has not made this video available in your country",
            ),
            Self::MembersOnly => (
                "UNPLAYABLE",
                "This video is available to this channel's members on level: Friend (or any higher level).",
            ),
            Self::Premium => (
                "UNPLAYABLE",
                "This video is only available to Music Premium members",
            ),
            Self::NotAvailable => ("UNPLAYABLE", "This video is not available"),
            Self::RateLimited => (
                "UNPLAYABLE",
                "This content isn't available, try again later.",
            ),
            Self::Reload => ("UNPLAYABLE", "The page needs to be reloaded."),
            Self::Deleted => ("ERROR", "This video is unavailable"),
            Self::Terminated => (
                "ERROR",
                "This video is no longer available because the YouTube account associated with this video has been terminated.",
            ),
            Self::Upcoming => ("LIVE_STREAM_OFFLINE", "Premieres in 2 hours"),
            Self::Other(status, reason) | Self::Interstitial(status, reason) => (status, reason),
        }
    }

    /// Whether title, author and length are told all the same.
    fn keeps_details(&self) -> bool {
        !matches!(
            self,
            Self::Private | Self::BotCheck | Self::Deleted | Self::Terminated
        )
    }

    /// Makes a refusal of a playable answer.
    pub fn apply(&self, answer: &mut Value) {
        let (status, reason) = self.status_and_reason();
        answer["playabilityStatus"] = json!({"status": status, "reason": reason,
            "errorScreen": {"playerErrorMessageRenderer": {"reason": {"simpleText": reason}}}});
        if let Self::Interstitial(..) = self {
            answer["playabilityStatus"] = json!({"status": status});
            if !reason.is_empty() {
                let texts = json!({"title": {"content": "Video unavailable"}, "description": {"content": reason}});
                answer["playabilityStatus"]["errorScreen"] = json!({"playerInterstitialRenderer":
                    {"content": {"interstitialViewModel": texts}}});
            }
        }
        if let Some(object) = answer.as_object_mut() {
            object.remove("streamingData");
            if !self.keeps_details() {
                object.remove("videoDetails");
            }
        }
        if *self == Self::Upcoming {
            answer["videoDetails"]["isUpcoming"] = json!(true);
            answer["videoDetails"]["lengthSeconds"] = json!("0");
        }
    }
}

impl Video {
    pub fn id(&self) -> &str {
        self.song.id()
    }

    pub fn has_large_cover(&self) -> bool {
        let listed = self
            .answer
            .pointer("/videoDetails/thumbnail/thumbnails")
            .and_then(Value::as_array);
        listed.is_some_and(|list| {
            list.iter()
                .any(|t| t["url"].as_str().is_some_and(|url| url.contains("/hq720")))
        })
    }
}

pub fn visitor_id(shared: &Shared, request: &Request) -> Reply {
    if request.json().is_none() {
        return api_error(400, "INVALID_ARGUMENT");
    }
    Reply::json(
        &json!({"responseContext": {"visitorData": visitor_data(shared), "responseId": "lab"}}),
    )
}

/// A new visitor: base64 whose padding is percent-encoded already, as the site has it.
pub(super) fn visitor_data(shared: &Shared) -> String {
    let number = shared.next_number().to_string();
    let word = crate::sign::word(
        &[&shared.secret, "visitor", &number],
        34,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    );
    format!("Cgt{word}%3D%3D")
}

pub fn player(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request.json() else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let (Some(client), Some(id)) = (
        body.pointer("/context/client/clientName")
            .and_then(Value::as_str),
        body["videoId"].as_str(),
    ) else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let version = body
        .pointer("/context/client/clientVersion")
        .and_then(Value::as_str)
        .unwrap_or("");
    if client == "VISIONOS" && version == "0.1" {
        return api_error(400, "FAILED_PRECONDITION").about(id);
    }
    let video = shared.youtube.videos.lock().get(id).cloned();
    let Some(video) = video else {
        return Reply::json(&unknown(shared, id)).about(id);
    };
    let fields = request.param("$fields").unwrap_or_default();
    let answer = match client {
        "WEB" if fields.contains("microformat") => video.microformat.clone(),
        "VISIONOS" if *shared.youtube.scriptless.lock() == Scriptless::Refused => {
            return api_error(400, "FAILED_PRECONDITION").about(id);
        }
        "VISIONOS" if *shared.youtube.scriptless.lock() == Scriptless::SabrOnly => {
            for_others(shared, &video)
        }
        "TVHTML5" if !video.sabr_only => tv::answer(shared, &video, &body),
        "VISIONOS" if !video.sabr_only => for_visionos(shared, &video),
        _ => for_others(shared, &video),
    };
    Reply::json(&answer).about(id)
}

pub fn reel(shared: &Shared, request: &Request) -> Reply {
    let Some(body) = request.json() else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let Some(id) = body
        .pointer("/playerRequest/videoId")
        .and_then(Value::as_str)
    else {
        return api_error(400, "INVALID_ARGUMENT");
    };
    let video = shared.youtube.videos.lock().get(id).cloned();
    let Some(video) = video else {
        return Reply::json(&json!({})).about(id);
    };
    let mut answer = match &video.reel {
        Some(recorded) => recorded.clone(),
        None => without_urls(&video.answer),
    };
    if answer.get("streamingData").is_some() && video.reel.is_none() {
        answer["streamingData"]["formats"] = json!(video.muxed);
    }
    date(shared, &video, &mut answer);
    Reply::json(&json!({"playerResponse": answer})).about(id)
}

fn for_visionos(shared: &Shared, video: &Arc<Video>) -> Value {
    let mut answer = video.answer.clone();
    if video.for_kids {
        Refusal::NotAvailable.apply(&mut answer);
    }
    if answer["responseContext"].is_object() || answer["responseContext"].is_null() {
        answer["responseContext"]["visitorData"] = json!(visitor_data(shared));
    }
    date(shared, video, &mut answer);
    answer
}

pub(super) fn for_others(shared: &Shared, video: &Arc<Video>) -> Value {
    let mut answer = without_urls(&video.answer);
    if video.for_kids {
        Refusal::NotAvailable.apply(&mut answer);
    }
    date(shared, video, &mut answer);
    answer
}

/// The same answer as a client sees it that is told to use SABR: formats with neither `url` nor cipher.
fn without_urls(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(formats) = answer
        .pointer_mut("/streamingData/adaptiveFormats")
        .and_then(Value::as_array_mut)
    {
        for format in formats {
            if let Some(format) = format.as_object_mut() {
                format.remove("url");
            }
        }
        answer["streamingData"]["serverAbrStreamingUrl"] =
            json!("https://rr1---sn-lab00000.googlevideo.com/videoplayback?sabr=1");
    }
    answer
}

fn unknown(shared: &Shared, id: &str) -> Value {
    let mut answer = json!({"responseContext": {"visitorData": visitor_data(shared)}, "videoDetails": {"videoId": id}});
    Refusal::Deleted.apply(&mut answer);
    answer["playabilityStatus"]["reason"] = json!("Video unavailable");
    answer
}

/// Dates and signs every media URL, and tells the newest `lastModified`.
pub(super) fn date(shared: &Shared, video: &Video, answer: &mut Value) {
    let expire = shared.now_unix() + URL_LIFE_SECS;
    let Some(streaming) = answer.get_mut("streamingData") else {
        return;
    };
    streaming["expiresInSeconds"] = json!("21540");
    for list in ["adaptiveFormats", "formats"] {
        let Some(formats) = streaming.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for format in formats {
            let modified = format["lastModified"]
                .as_str()
                .and_then(|text| text.parse::<u64>().ok());
            let modified = modified.map(|modified| modified + video.song.version());
            if let Some(url) = format["url"].as_str() {
                format["url"] = json!(googlevideo::dated(
                    shared,
                    &video.song,
                    url,
                    expire,
                    modified
                ));
            }
            if let Some(modified) = modified {
                format["lastModified"] = json!(modified.to_string());
            }
        }
    }
}
