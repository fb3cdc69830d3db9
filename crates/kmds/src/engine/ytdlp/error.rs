//! Why yt-dlp gave no answer.
//!
//! Owns one difference: an error of the site is final; after an error of yt-dlp itself, the answer is the native
//! engine's error.

use std::time::Duration;

use kmds_extract::{ExtractError, Site};

/// Why yt-dlp gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum YtDlpError {
    /// yt-dlp understood the site's answer, which is a refusal.
    #[error("{0}")]
    Extract(ExtractError),
    #[error("yt-dlp is not installed (`{command}`): {reason}")]
    Missing { command: String, reason: String },
    #[error("yt-dlp did not finish within {0:?}")]
    TimedOut(Duration),
    /// yt-dlp crashed, or its output is invalid or too long.
    #[error("yt-dlp failed: {0}")]
    Broken(String),
}

impl YtDlpError {
    /// For links that only yt-dlp reads: its error is the whole answer.
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
