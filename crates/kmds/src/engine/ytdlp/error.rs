//! Why yt-dlp gave no answer.
//!
//! Owns one difference: what the site says, which is final, and what is wrong with yt-dlp, after which our own engine's
//! error is the answer.

use std::time::Duration;

use kmds_extract::{ExtractError, Site};

/// Why yt-dlp gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum YtDlpError {
    /// It understood the site's answer, and that is a no.
    #[error("{0}")]
    Extract(ExtractError),
    #[error("yt-dlp is not installed (`{command}`): {reason}")]
    Missing { command: String, reason: String },
    #[error("yt-dlp did not finish within {0:?}")]
    TimedOut(Duration),
    /// It crashed, printed nonsense, or too much of it.
    #[error("yt-dlp failed: {0}")]
    Broken(String),
}

impl YtDlpError {
    /// For links that only yt-dlp reads, where its trouble is the whole answer.
    pub(in crate::engine) fn into_extract(self, site: Site) -> ExtractError {
        match self {
            Self::Extract(error) => error,
            Self::TimedOut(_) => ExtractError::Timeout {
                site,
                page: "yt-dlp answer",
            },
            other => ExtractError::OriginFailed {
                site,
                page: "yt-dlp answer",
                reason: other.to_string(),
            },
        }
    }
}
