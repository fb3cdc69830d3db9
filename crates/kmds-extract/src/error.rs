//! Why a site does not give a song or its audio.
//!
//! Owns [`ExtractError`], one variant for each thing a caller would do next, and how it reads as a [`Failure`].

use std::time::Duration;

use crate::failure::{Failure, Kind};
use crate::site::Site;

/// Why a link could not be resolved or a stream not be located.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExtractError {
    /// The link is not one that KMDS reads, or names something that is not a song or a list of songs. No request was
    /// made.
    #[error("{reason}")]
    UnsupportedLink { reason: String },

    /// The site's final refusal of this song or list: private, deleted, paid, blocked … `kind` says which. `reason` is
    /// a whole sentence; `title` is there if the site told it.
    #[error("{site}: {reason}")]
    Refused {
        site: Site,
        kind: Kind,
        reason: String,
        title: Option<String>,
    },

    /// Refused for the native client only (made for kids …): the metadata is known, another engine may get the audio.
    #[error("{site} does not give this to KMDS's own client: {reason}")]
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

    /// The answer no longer has the known shape.
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
    #[error("{site} did not send its {page}: {reason}; try again later")]
    OriginFailed {
        site: Site,
        page: &'static str,
        reason: String,
    },

    /// The operator's rules forbid asking the site now, for any engine.
    #[error("{site} is not asked: {reason}")]
    Closed { site: Site, reason: String },

    #[error("{site} did not send its {page} in time; try again later")]
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

    /// The song's title, if the site told it although it refused the song.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        match self {
            Self::Refused { title, .. } | Self::Withheld { title, .. } => title.as_deref(),
            _ => None,
        }
    }
}

impl From<&ExtractError> for Failure {
    fn from(error: &ExtractError) -> Self {
        let sentence = match error.title() {
            Some(title) => format!("{error} (“{title}”)"),
            None => error.to_string(),
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(error.kind(), sentence)
        }
    }
}
