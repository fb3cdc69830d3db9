//! The kinds of failure, which both APIs, the metrics, the logs and the catalog share.
//!
//! Owns [`Kind`], the closed list of them, and [`Failure`], a kind with a sentence. Which HTTP status a kind becomes is
//! the service's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// Every way in which a request or a song can fail. Clients, logs and metrics get the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    ClusterUnavailable,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 34] = [
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
        Self::ClusterUnavailable,
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
            Self::ClusterUnavailable => "cluster_unavailable",
        }
    }

    /// Whether the same request may succeed later, without a change by the client. Final ones are remembered for ten
    /// minutes (docs/api.md, "Kinds of failure").
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
                | Self::ClusterUnavailable
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request or a song failed: a kind, a sentence that a person can act on, and when a retry may help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    pub kind: Kind,
    pub sentence: String,
    /// The time to wait, if the site or the queue named one.
    pub retry_after: Option<Duration>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        let sentence: String = sentence.into();
        // It may contain a title, or text of a site.
        let sentence = printable(&sentence).into_owned();
        Self {
            kind,
            sentence,
            retry_after: None,
        }
    }

    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub const fn retryable(&self) -> bool {
        self.kind.retryable()
    }
}
