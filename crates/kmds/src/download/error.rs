//! Why a download stopped, and what helps: the failure tables of the field notes, for audio.
//!
//! No error carries a URL.

use std::time::Duration;

use kmds_extract::{Kind, Site};

use crate::media::Sniffed;

/// Why a download brought no, or no more, bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// 403, and on Bandcamp and SoundCloud 410: with a fresh URL of the same stream the download may continue at the
    /// same byte.
    #[error("{site} refused the audio: its URL has expired, or this address is not served")]
    Expired { site: Site },
    /// The same if the site serves only bounded ranges: it refused even the smallest range from byte `at` on. A fresh
    /// URL is worth one try before the first byte, and three tries later. If several URLs are refused at the same byte,
    /// that is a wall.
    #[error(
        "{site} refused the audio from byte {at} on: its URL has expired, or this client or this address is not served"
    )]
    Denied { site: Site, at: u64 },
    /// The site throttles this URL; a fresh one may be faster. The job decides so, by
    /// [`Download::is_slow`](super::Download::is_slow).
    #[error("{site} sends the audio hardly faster than it plays")]
    Slow { site: Site },
    /// 404, on YouTube 410 too.
    #[error("{site} no longer has this audio file")]
    Gone { site: Site },
    #[error("{site} sent {found} instead of audio")]
    NotAudio { site: Site, found: String },
    #[error("{site} sent an empty answer instead of audio")]
    Empty { site: Site },
    /// The downloaded bytes belong to another file.
    #[error("{site} changed the audio file while it was being downloaded")]
    Changed { site: Site },
    #[error("{site} limits downloads from this address{}", .retry_after.map_or_else(String::new, |wait| format!("; try again in {} s", wait.as_secs().max(1))))]
    Limited {
        site: Site,
        retry_after: Option<Duration>,
    },
    #[error("{site} stopped sending audio; try again later")]
    Stalled { site: Site },
    #[error("{site} refused the audio with HTTP {status}")]
    Refused { site: Site, status: u16 },
    /// Broken connections or cut answers, after all tries; or a closed way out.
    #[error("{site} failed to send the audio: {reason}")]
    Failed { site: Site, reason: String },
    /// The answer contradicts itself (another range than asked for, more bytes than announced) or cannot be this song
    /// (far too large, a first segment without a header).
    #[error("{site} sent wrong audio: {what}")]
    Wrong { site: Site, what: String },
    /// The playlist of segments cannot be joined.
    #[error("{site} offers this audio in a form that cannot be joined: {why}")]
    Playlist { site: Site, why: String },
}

/// What the job can do about an error. The field notes set the limits; the job counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Ask the site for a fresh URL of the same stream and continue after the kept bytes, at most `times` for one file.
    AskAgain { times: u32 },
    /// Remove the bytes and start again, once.
    StartOver,
    /// Keep the bytes, wait for the time that the site named, else the time in the recipes, and call `next` again.
    Wait(Option<Duration>),
    /// Another stream or another engine may help; a retry does not.
    None,
}

impl DownloadError {
    /// The bytes are `found`: not audio, or not the kind of audio that the stream should be.
    pub(super) fn no_audio(site: Site, found: Sniffed) -> Self {
        let found = match found {
            Sniffed::Unknown => format!("bytes {found}"),
            found => found.to_string(),
        };
        Self::NotAudio { site, found }
    }

    #[must_use]
    pub const fn site(&self) -> Site {
        match self {
            Self::Expired { site }
            | Self::Denied { site, .. }
            | Self::Slow { site }
            | Self::Gone { site }
            | Self::NotAudio { site, .. }
            | Self::Empty { site }
            | Self::Changed { site }
            | Self::Limited { site, .. }
            | Self::Stalled { site }
            | Self::Refused { site, .. }
            | Self::Failed { site, .. }
            | Self::Wrong { site, .. }
            | Self::Playlist { site, .. } => *site,
        }
    }

    /// The kind of failure once no remedy helped (field notes: YouTube 5, SoundCloud 15, Bandcamp 17).
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Expired {
                site: Site::YouTube,
            }
            | Self::Denied { .. } => Kind::OriginRefused,
            // YouTube answers 503 to an address that asks too much.
            Self::Refused {
                site: Site::YouTube,
                status: 503,
            }
            | Self::Limited { .. } => Kind::RateLimited,
            Self::Refused {
                site: Site::YouTube,
                status,
            } if *status < 500 => Kind::OriginRefused,
            Self::Wrong { .. } => Kind::Truncated,
            Self::Stalled { .. } | Self::Slow { .. } => Kind::Timeout,
            Self::Playlist { .. } => Kind::PageChanged,
            Self::Expired { .. }
            | Self::Gone { .. }
            | Self::NotAudio { .. }
            | Self::Empty { .. }
            | Self::Changed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. } => Kind::OriginFailed,
        }
    }

    /// Whether the song's other streams would fail in the same way: the same machines send them.
    #[must_use]
    pub const fn is_of_all_streams(&self) -> bool {
        match self {
            Self::Stalled { .. }
            | Self::Failed {
                site: Site::YouTube,
                ..
            } => true,
            Self::Refused {
                site: Site::YouTube,
                status,
            } => *status >= 500,
            _ => false,
        }
    }

    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Expired { .. } => Remedy::AskAgain { times: 3 },
            Self::Denied { at: 1.., .. } => Remedy::AskAgain { times: 3 },
            Self::Denied { at: 0, .. }
            | Self::Slow { .. }
            | Self::Gone { .. }
            | Self::Empty { .. } => Remedy::AskAgain { times: 1 },
            Self::NotAudio { .. } | Self::Changed { .. } | Self::Wrong { .. } => Remedy::StartOver,
            Self::Limited { retry_after, .. } => Remedy::Wait(*retry_after),
            Self::Stalled { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Playlist { .. } => Remedy::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_failure_tables_has_its_kind_and_its_remedy() {
        let again = |times| Remedy::AskAgain { times };
        for site in [Site::YouTube, Site::SoundCloud, Site::Bandcamp] {
            let youtube = site == Site::YouTube;
            let refused = if youtube {
                Kind::OriginRefused
            } else {
                Kind::OriginFailed
            };
            let unavailable = if youtube {
                Kind::RateLimited
            } else {
                Kind::OriginFailed
            };
            let minute = Some(Duration::from_secs(60));
            let text = String::new;
            for (error, kind, remedy) in [
                (DownloadError::Expired { site }, refused, again(3)),
                (
                    DownloadError::Denied { site, at: 0 },
                    Kind::OriginRefused,
                    again(1),
                ),
                (
                    DownloadError::Denied { site, at: 1 },
                    Kind::OriginRefused,
                    again(3),
                ),
                (DownloadError::Slow { site }, Kind::Timeout, again(1)),
                (DownloadError::Gone { site }, Kind::OriginFailed, again(1)),
                (DownloadError::Empty { site }, Kind::OriginFailed, again(1)),
                (
                    DownloadError::NotAudio {
                        site,
                        found: text(),
                    },
                    Kind::OriginFailed,
                    Remedy::StartOver,
                ),
                (
                    DownloadError::Changed { site },
                    Kind::OriginFailed,
                    Remedy::StartOver,
                ),
                (
                    DownloadError::Wrong { site, what: text() },
                    Kind::Truncated,
                    Remedy::StartOver,
                ),
                (
                    DownloadError::Limited {
                        site,
                        retry_after: minute,
                    },
                    Kind::RateLimited,
                    Remedy::Wait(minute),
                ),
                (DownloadError::Stalled { site }, Kind::Timeout, Remedy::None),
                (
                    DownloadError::Refused { site, status: 401 },
                    refused,
                    Remedy::None,
                ),
                (
                    DownloadError::Refused { site, status: 500 },
                    Kind::OriginFailed,
                    Remedy::None,
                ),
                (
                    DownloadError::Refused { site, status: 503 },
                    unavailable,
                    Remedy::None,
                ),
                (
                    DownloadError::Failed {
                        site,
                        reason: text(),
                    },
                    Kind::OriginFailed,
                    Remedy::None,
                ),
                (
                    DownloadError::Playlist { site, why: text() },
                    Kind::PageChanged,
                    Remedy::None,
                ),
            ] {
                assert_eq!((error.kind(), error.remedy()), (kind, remedy), "{error:?}");
                assert_eq!(error.site(), site);
            }
        }
    }
}
