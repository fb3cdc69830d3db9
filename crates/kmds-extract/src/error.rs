//! What a site's refusal means, in the words both APIs, the metrics and the logs share.
//!
//! Owns [`Kind`], the closed list of failure kinds, and [`ExtractError`], one variant per thing a reader would do next.
//! Hides nothing. Never says which HTTP status our own answer gets: that is the service's business.

use std::time::Duration;

use crate::track::Site;

/// Every way a request or a song can fail. The word is what clients, logs and metrics see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    UnsupportedLink,
    Live,
    NotFound,
    Private,
    LoginRequired,
    AgeRestricted,
    MembersOnly,
    PaidOnly,
    PreviewOnly,
    DrmOnly,
    GeoBlocked,
    Unreleased,
    Unavailable,
    BotCheck,
    RateLimited,
    OriginRefused,
    OriginFailed,
    PageChanged,
    Truncated,
    Timeout,
    QueueFull,
    DiskFull,
    ConversionFailed,
    ConversionUnavailable,
    Cancelled,
    Internal,
    BadRequest,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    TooLarge,
    RangeNotSatisfiable,
    NotReady,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 33] = [
        Self::UnsupportedLink,
        Self::Live,
        Self::NotFound,
        Self::Private,
        Self::LoginRequired,
        Self::AgeRestricted,
        Self::MembersOnly,
        Self::PaidOnly,
        Self::PreviewOnly,
        Self::DrmOnly,
        Self::GeoBlocked,
        Self::Unreleased,
        Self::Unavailable,
        Self::BotCheck,
        Self::RateLimited,
        Self::OriginRefused,
        Self::OriginFailed,
        Self::PageChanged,
        Self::Truncated,
        Self::Timeout,
        Self::QueueFull,
        Self::DiskFull,
        Self::ConversionFailed,
        Self::ConversionUnavailable,
        Self::Cancelled,
        Self::Internal,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::RangeNotSatisfiable,
        Self::NotReady,
    ];

    /// The reverse of [`Kind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedLink => "unsupported_link",
            Self::Live => "live",
            Self::NotFound => "not_found",
            Self::Private => "private",
            Self::LoginRequired => "login_required",
            Self::AgeRestricted => "age_restricted",
            Self::MembersOnly => "members_only",
            Self::PaidOnly => "paid_only",
            Self::PreviewOnly => "preview_only",
            Self::DrmOnly => "drm_only",
            Self::GeoBlocked => "geo_blocked",
            Self::Unreleased => "unreleased",
            Self::Unavailable => "unavailable",
            Self::BotCheck => "bot_check",
            Self::RateLimited => "rate_limited",
            Self::OriginRefused => "origin_refused",
            Self::OriginFailed => "origin_failed",
            Self::PageChanged => "page_changed",
            Self::Truncated => "truncated",
            Self::Timeout => "timeout",
            Self::QueueFull => "queue_full",
            Self::DiskFull => "disk_full",
            Self::ConversionFailed => "conversion_failed",
            Self::ConversionUnavailable => "conversion_unavailable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::NotReady => "not_ready",
        }
    }

    /// Whether the same request may succeed later without anything being changed by the one who asks.
    /// Final ones are remembered for ten minutes (docs/api.md, "Kinds of failure").
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::BotCheck
                | Self::RateLimited
                | Self::OriginRefused
                | Self::OriginFailed
                | Self::PageChanged
                | Self::Truncated
                | Self::Timeout
                | Self::QueueFull
                | Self::DiskFull
                | Self::ConversionFailed
                | Self::ConversionUnavailable
                | Self::Cancelled
                | Self::Internal
                | Self::NotReady
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a link could not be resolved or a stream not be located.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExtractError {
    /// The link is none we read, or names something that is not a song or a list of songs. No request was made.
    #[error("{reason}")]
    UnsupportedLink { reason: String },

    /// The site's last word about this song or list: private, deleted, paid, blocked … `kind` says which.
    /// `reason` is a whole sentence; `title` is there when the site told it all the same.
    #[error("{site}: {reason}")]
    Refused {
        site: Site,
        kind: Kind,
        reason: String,
        title: Option<String>,
    },

    /// Withheld from our native client only (made for kids …): the metadata is known, another engine may have the audio.
    #[error("{site} withholds this from our client: {reason}")]
    Withheld {
        site: Site,
        reason: String,
        title: Option<String>,
    },

    #[error("{site} wants proof of a human from this address; use another address, or give yt-dlp cookies{}", after(.retry_after))]
    BotCheck {
        site: Site,
        retry_after: Option<Duration>,
    },

    #[error("{site} limits requests from this address{}", after(.retry_after))]
    RateLimited {
        site: Site,
        retry_after: Option<Duration>,
    },

    /// What came back is no longer what we know how to read.
    #[error("{site} changed: its {page} has no usable `{field}`; update KMDS, or report the link")]
    PageChanged {
        site: Site,
        page: &'static str,
        field: &'static str,
    },

    /// The site refused the request itself (401, 403) and a fresh session did not help.
    #[error(
        "{site} refused our request for its {page} (HTTP {status}); try another address, or later"
    )]
    OriginRefused {
        site: Site,
        page: &'static str,
        status: u16,
    },

    /// The site failed (5xx, cut answers, an unreachable host), after retries.
    #[error("{site} failed to answer for its {page}: {reason}; try again later")]
    OriginFailed {
        site: Site,
        page: &'static str,
        reason: String,
    },

    /// The operator's rules keep us from asking the site now, and any other engine too.
    #[error("{site} is not asked: {reason}")]
    Closed { site: Site, reason: String },

    #[error("{site} did not answer in time for its {page}; try again later")]
    Timeout { site: Site, page: &'static str },

    /// One encoding is switched off; the track may have others. Never leaves the service.
    #[error("{site} no longer serves this encoding")]
    StreamGone { site: Site },
}

fn after(wait: &Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| {
        format!("; try again in {} s", wait.as_secs().max(1))
    })
}

impl ExtractError {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::UnsupportedLink { .. } => Kind::UnsupportedLink,
            Self::Refused { kind, .. } => *kind,
            Self::Withheld { .. } => Kind::Unavailable,
            Self::BotCheck { .. } => Kind::BotCheck,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::PageChanged { .. } => Kind::PageChanged,
            Self::OriginRefused { .. } => Kind::OriginRefused,
            Self::OriginFailed { .. } | Self::Closed { .. } | Self::StreamGone { .. } => {
                Kind::OriginFailed
            }
            Self::Timeout { .. } => Kind::Timeout,
        }
    }

    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BotCheck { retry_after, .. } | Self::RateLimited { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// The song's title, where the site told it although it refused the song.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        match self {
            Self::Refused { title, .. } | Self::Withheld { title, .. } => title.as_deref(),
            _ => None,
        }
    }
}
