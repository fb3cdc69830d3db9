//! The meaning of a player answer's status and reasons.
//!
//! Owns the table of the field notes' section 2.7, row by row: status first, then parts of the reason texts, which the
//! recipes hold. It does not react to them.

use super::answer::{Answer, Playability, VideoDetails};
use super::streams;
use crate::failure::Kind;
use crate::link::youtube::VideoId;
use crate::recipes::YouTubeRecipe;

/// The class of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Playable,
    /// A final refusal of the site.
    Final {
        kind: Kind,
        reason: String,
    },
    /// Refused for this client, for example because it is made for kids.
    ClientRefused {
        reason: String,
    },
    BotCheck,
    RateLimited,
    /// Playable, but without a URL that KMDS can fetch.
    SabrOnly,
    /// "The page needs to be reloaded": this client is being closed.
    ClientBroken,
    /// Another video than the requested one.
    Substituted,
    /// A refusal with an unknown text: not final, since the site may only have changed its words.
    Unknown,
}

/// The exact reason of a refusal for some clients only.
const WITHHELD: &str = "this video is not available";

pub(super) fn gone() -> Verdict {
    refused(
        Kind::NotFound,
        "there is no such video; it was deleted or never existed",
    )
}

/// # Errors
/// The field that is missing.
pub(super) fn verdict(
    answer: &Answer,
    video: VideoId,
    has_streams: bool,
    recipe: &YouTubeRecipe,
) -> Result<Verdict, &'static str> {
    let status = answer
        .playability_status
        .as_ref()
        .ok_or("playabilityStatus")?;
    let told = answer
        .video_details
        .as_ref()
        .and_then(|details| details.video_id.get());
    if status
        .error_screen
        .as_ref()
        .is_some_and(|screen| screen.player_captcha_view_model.0)
    {
        return Ok(Verdict::BotCheck);
    }
    if told.is_some_and(|told| told != video.as_str()) {
        return Ok(Verdict::Substituted);
    }
    let word = status.status.get().ok_or("playabilityStatus.status")?;
    if word == "OK" {
        told.ok_or("videoDetails.videoId")?;
        return Ok(playing(answer, status, has_streams));
    }
    let texts = Texts::of(status);
    let post_live = answer
        .video_details
        .as_ref()
        .is_some_and(|details| details.is_post_live_dvr.is_set());
    Ok(match word {
        "LIVE_STREAM_OFFLINE" if post_live => {
            live("this live stream is not processed yet; try again in an hour")
        }
        word => not_playing(word, status, &texts, recipe),
    })
}

fn not_playing(word: &str, status: &Playability, texts: &Texts, recipe: &YouTubeRecipe) -> Verdict {
    match word {
        "AGE_CHECK_REQUIRED" | "AGE_VERIFICATION_REQUIRED" => age_restricted(),
        "LIVE_STREAM_OFFLINE" => refused(
            Kind::Unreleased,
            &texts.sentence("this has not started yet"),
        ),
        _ if status.desktop_legacy_age_gate_reason.0 => age_restricted(),
        "LOGIN_REQUIRED" => texts
            .first_of(&LOGIN_ROWS, recipe)
            .unwrap_or(Verdict::Unknown),
        "UNPLAYABLE" => texts
            .first_of(&UNPLAYABLE_ROWS, recipe)
            .or_else(|| {
                texts
                    .first_of(&["not_found"], recipe)
                    .map(|_| kept_from_us(texts))
            })
            .unwrap_or(Verdict::Unknown),
        _ => texts
            .first_of(&UNPLAYABLE_ROWS, recipe)
            .or_else(|| texts.first_of(&["not_found"], recipe))
            .unwrap_or(Verdict::Unknown),
    }
}

fn playing(answer: &Answer, status: &Playability, has_streams: bool) -> Verdict {
    let details = answer.video_details.as_ref();
    let is = |flag: fn(&VideoDetails) -> bool| details.is_some_and(flag);
    if is(|details| details.is_live.is_set()) {
        live("this is a live stream; paste a video or a finished recording")
    } else if is(|details| details.is_upcoming.is_set()) {
        refused(Kind::Unreleased, "this has not started yet")
    } else if is(|details| details.is_post_live_dvr.is_set()) {
        live("this live stream is not processed yet; try again in an hour")
    } else if status.live_streamability.0 {
        live("this is a live stream; paste a video or a finished recording")
    } else if has_streams {
        Verdict::Playable
    } else if streams::all_protected(answer) {
        refused(Kind::DrmOnly, "this is offered with copy protection only")
    } else {
        Verdict::SabrOnly
    }
}

/// Rows of one status in the order they are tried: the recipe's list of texts, by name.
type Rows = [&'static str];

const LOGIN_ROWS: [&str; 8] = [
    "private",
    "bot_check",
    "age_restricted",
    "geo_blocked",
    "members_only",
    "paid_only",
    "rate_limited",
    "login_required",
];
/// The reasons of UNPLAYABLE, the narrower ones before those whose words are part of many. Here "unavailable" means
/// that the site refuses the video to us, not that it is gone.
const UNPLAYABLE_ROWS: [&str; 11] = [
    "geo_blocked",
    "members_only",
    "paid_only",
    "age_restricted",
    "bot_check",
    "rate_limited",
    "client_broken",
    "withheld",
    "private",
    "unreleased",
    "login_required",
];

/// All texts with a reason, in lower case and with straight apostrophes, and the first as the site wrote it.
struct Texts {
    said: Option<String>,
    lower: Vec<String>,
}

impl Texts {
    fn of(status: &Playability) -> Self {
        let screens = status.error_screen.as_ref();
        let screen = screens.and_then(|screen| screen.player_error_message_renderer.as_ref());
        let between = screens.and_then(|screen| screen.interstitial());
        let texts: Vec<&str> = [Some(&status.reason), screen.map(|screen| &screen.reason)]
            .into_iter()
            .chain(status.messages.iter().map(Some))
            .chain([screen.map(|screen| &screen.subreason)])
            .chain([
                between.map(|it| &it.title),
                between.map(|it| &it.description),
            ])
            .filter_map(|text| text.and_then(|text| text.get()))
            .collect();
        let mut said: Vec<&str> = Vec::new();
        for text in &texts {
            if !said.contains(text) {
                said.push(text);
            }
        }
        Self {
            said: (!said.is_empty()).then(|| said.join(" – ")),
            lower: texts.iter().map(|text| straightened(text)).collect(),
        }
    }

    /// The site's text, else a text of KMDS.
    fn sentence(&self, otherwise: &str) -> String {
        self.said.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    fn first_of(&self, rows: &Rows, recipe: &YouTubeRecipe) -> Option<Verdict> {
        rows.iter()
            .find(|row| self.matches(row, recipe))
            .map(|row| self.meaning(row))
    }

    fn matches(&self, row: &str, recipe: &YouTubeRecipe) -> bool {
        if row == "withheld" {
            return self
                .lower
                .iter()
                .any(|text| text.trim_end_matches('.') == WITHHELD);
        }
        recipe.reasons.get(row).is_some_and(|parts| {
            parts.iter().any(|part| {
                self.lower
                    .iter()
                    .any(|text| text.contains(&straightened(part)))
            })
        })
    }

    fn meaning(&self, row: &str) -> Verdict {
        match row {
            "bot_check" => Verdict::BotCheck,
            "rate_limited" => Verdict::RateLimited,
            "client_broken" => Verdict::ClientBroken,
            "withheld" => Verdict::ClientRefused {
                reason: self.sentence("this video is not available"),
            },
            "age_restricted" => age_restricted(),
            "login_required" => refused(
                Kind::LoginRequired,
                &self.sentence("this needs a sign-in; give yt-dlp cookies of an account"),
            ),
            "private" => refused(
                Kind::Private,
                "this video is private; only its owner can play it",
            ),
            "geo_blocked" => refused(
                Kind::GeoBlocked,
                "this is blocked in the country of this address; send from another one",
            ),
            "members_only" => refused(
                Kind::MembersOnly,
                "this is for paying members of the channel",
            ),
            "paid_only" => refused(Kind::PaidOnly, &self.sentence("this has to be paid for")),
            "unreleased" => refused(Kind::Unreleased, &self.sentence("this has not started yet")),
            _ => refused(Kind::NotFound, &self.sentence("this video is gone")),
        }
    }
}

fn straightened(text: &str) -> String {
    text.replace(['’', '‘'], "'").to_lowercase()
}

fn kept_from_us(texts: &Texts) -> Verdict {
    refused(
        Kind::Unavailable,
        &texts.sentence("this video cannot be played"),
    )
}

fn age_restricted() -> Verdict {
    refused(
        Kind::AgeRestricted,
        "this is age-restricted; give yt-dlp cookies of an adult's account",
    )
}

fn live(reason: &str) -> Verdict {
    refused(Kind::Live, reason)
}

fn refused(kind: Kind, reason: &str) -> Verdict {
    Verdict::Final {
        kind,
        reason: reason.to_owned(),
    }
}
