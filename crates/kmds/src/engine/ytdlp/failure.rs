//! What yt-dlp's error messages mean.
//!
//! Owns the table of its texts (YouTube field notes, 6.4; Bandcamp's, 16). It runs nothing, and passes no signed URL
//! on.

use std::time::Duration;

use kmds_extract::{ExtractError, Kind, Site};

use super::error::YtDlpError;

/// The meaning of a part of a message, in lower case and with straight apostrophes.
enum Meaning {
    BotCheck,
    RateLimited,
    Refused(Kind, &'static str),
    UnknownLink,
}

/// The first row counts that has a part of the message.
const TABLE: [(&[&str], Meaning); 13] = [
    (
        &[
            "not a bot",
            "captcha challenge",
            "your ip is likely being blocked",
            "client challenge",
        ],
        Meaning::BotCheck,
    ),
    (
        &["rate-limited by", "try again later", "http error 429"],
        Meaning::RateLimited,
    ),
    (
        &["confirm your age", "inappropriate"],
        Meaning::Refused(
            Kind::AgeRestricted,
            "this is age-restricted; a signed-in account is needed",
        ),
    ),
    (
        &["private video", "this video is private"],
        Meaning::Refused(Kind::Private, "this is private"),
    ),
    (
        &["members-only", "join this channel", "members on level"],
        Meaning::Refused(Kind::MembersOnly, "this is for members of the channel"),
    ),
    (
        &["music premium", "requires payment"],
        Meaning::Refused(Kind::PaidOnly, "this has to be paid for"),
    ),
    (
        &["drm protected"],
        Meaning::Refused(Kind::DrmOnly, "this is offered with DRM only"),
    ),
    (
        &["in your country", "geo restrict", "from your location"],
        Meaning::Refused(
            Kind::GeoBlocked,
            "this is blocked in the country of this address",
        ),
    ),
    (
        &["premieres in", "live event will begin"],
        Meaning::Refused(Kind::Unreleased, "this is not out yet"),
    ),
    (
        &[
            "video unavailable",
            "has been removed",
            "terminated",
            "does not exist",
            "http error 404",
        ],
        Meaning::Refused(Kind::NotFound, "this does not exist, or was deleted"),
    ),
    (
        &["this video is not available"],
        Meaning::Refused(Kind::Unavailable, "this is not available"),
    ),
    (
        &[
            "login required",
            "only available for registered users",
            "sign in",
        ],
        Meaning::Refused(Kind::LoginRequired, "a signed-in account is needed"),
    ),
    (
        &["unsupported url", "is not a valid url"],
        Meaning::UnknownLink,
    ),
];

/// Bandcamp's delivery network refuses clients with these statuses where it would else challenge them (its field notes,
/// 15).
const BANDCAMPS_BLOCKS: [&str; 2] = ["http error 403", "http error 406"];

/// The error of a failed run, read from its messages. `wait` is how long the site gets no request after a bot check or
/// a limit.
pub fn failure(site: Site, stderr: &str, status: Option<&str>, wait: Duration) -> YtDlpError {
    let line = stderr
        .lines()
        .rev()
        .find(|line| line.starts_with("ERROR:"))
        .unwrap_or("");
    let lower = line.to_lowercase().replace('’', "'");
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if site == Site::Bandcamp && has(&BANDCAMPS_BLOCKS) {
        return Meaning::BotCheck.of(site, wait);
    }
    match TABLE.iter().find(|(words, _)| has(words)) {
        Some((_, meaning)) => meaning.of(site, wait),
        None => YtDlpError::Broken(match (line, status) {
            ("", Some(status)) => format!("it ended with {status} and said nothing"),
            ("", None) => "it printed nothing".to_owned(),
            _ => without_queries(line),
        }),
    }
}

impl Meaning {
    fn of(&self, site: Site, wait: Duration) -> YtDlpError {
        let retry_after = Some(wait);
        YtDlpError::Extract(match *self {
            Self::BotCheck => ExtractError::BotCheck { site, retry_after },
            Self::RateLimited => ExtractError::RateLimited { site, retry_after },
            Self::Refused(kind, reason) => ExtractError::Refused {
                site,
                kind,
                reason: reason.to_owned(),
                title: None,
            },
            Self::UnknownLink => ExtractError::UnsupportedLink {
                reason: "no engine reads this link".to_owned(),
            },
        })
    }
}

/// Messages may have signed URLs: this removes the part after a `?`, and keeps the line short.
fn without_queries(line: &str) -> String {
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|word| {
            if word.contains("://") {
                word.split('?').next().unwrap_or(word)
            } else {
                word
            }
        })
        .collect();
    words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(300);

    #[test]
    fn messages_of_yt_dlp_become_kinds() {
        for (message, kind) in [
            (
                "ERROR: [youtube] x: Sign in to confirm you’re not a bot.",
                Kind::BotCheck,
            ),
            (
                "ERROR: [youtube] x: Private video. Sign in if you have access",
                Kind::Private,
            ),
            (
                "ERROR: [youtube] x: Sign in to confirm your age",
                Kind::AgeRestricted,
            ),
            (
                "ERROR: [youtube] x: Join this channel to get access",
                Kind::MembersOnly,
            ),
            ("ERROR: [youtube] x: Video unavailable", Kind::NotFound),
            (
                "ERROR: [youtube] x: This video is not available",
                Kind::Unavailable,
            ),
            ("ERROR: [youtube] x: Premieres in 3 hours", Kind::Unreleased),
            (
                "ERROR: [soundcloud] 1: This video is DRM protected",
                Kind::DrmOnly,
            ),
            (
                "ERROR: unable to download: HTTP Error 429: Too Many Requests",
                Kind::RateLimited,
            ),
        ] {
            match failure(Site::YouTube, message, Some("exit status: 1"), WAIT) {
                YtDlpError::Extract(error) => assert_eq!(error.kind(), kind, "{message}"),
                other => panic!("{message}: {other}"),
            }
        }
    }

    #[test]
    fn unknown_trouble_is_told_without_signed_urls() {
        let message = "ERROR: [x] unable to open https://a.example/b?sig=SECRET now";
        let told = failure(Site::YouTube, message, None, WAIT).to_string();
        assert!(
            told.contains("https://a.example/b") && !told.contains("SECRET"),
            "{told}"
        );
    }

    #[test]
    fn bandcamps_challenge_and_its_networks_blocks_ask_for_a_pause() {
        for message in [
            "ERROR: [Bandcamp] x: Got client challenge webpage response with chrome-151",
            "ERROR: [Bandcamp] x: Unable to download webpage: HTTP Error 403: Forbidden",
            "ERROR: [Bandcamp] x: Unable to download webpage: HTTP Error 406: Not Acceptable",
        ] {
            let error = failure(Site::Bandcamp, message, None, WAIT);
            let YtDlpError::Extract(error) = error else {
                panic!("{message}: {error}");
            };
            assert_eq!(
                (error.kind(), error.retry_after()),
                (Kind::BotCheck, Some(WAIT))
            );
        }
        let elsewhere = failure(
            Site::YouTube,
            "ERROR: HTTP Error 403: Forbidden",
            None,
            WAIT,
        );
        assert!(matches!(elsewhere, YtDlpError::Broken(_)), "{elsewhere}");
    }
}
