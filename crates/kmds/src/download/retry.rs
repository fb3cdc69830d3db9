//! When to try again, and when to give up, at one place of a file.
//!
//! Owns the count of tries and the pauses between them.

use kmds_extract::Site;
use kmds_extract::recipes::Times;

use super::error::DownloadError;
use crate::origin::{self, Client, MediaError};

/// Bytes that make a try count as a success: two seconds of usual audio. Otherwise a site that repeatedly sends a few
/// hundred bytes and then nothing would occupy a place for hours. An answer that is cut because it is too slow
/// (`origin::media`) brings fewer bytes.
const PROGRESS_BYTES: u64 = 32 << 10;

/// A failed try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setback {
    Stalled,
    Interrupted(String),
    /// 5xx and similar: a failure of the site.
    Status(u16),
    /// A segment that is not audio, or empty; an answer that cannot be of the file.
    Unusable(DownloadError),
}

impl Setback {
    fn into_error(self, site: Site) -> DownloadError {
        match self {
            Self::Stalled => DownloadError::Stalled { site },
            Self::Interrupted(reason) => DownloadError::Failed { site, reason },
            Self::Status(status) => DownloadError::Refused { site, status },
            Self::Unusable(error) => error,
        }
    }
}

/// Tries since a fair number of bytes arrived.
#[derive(Debug, Clone)]
pub(super) struct Tries {
    client: Client,
    site: Site,
    times: Times,
    failed: u32,
    stalled: u32,
    /// Bytes since the last setback.
    brought: u64,
}

impl Tries {
    pub(super) fn new(client: &Client, site: Site, times: &Times) -> Self {
        Self {
            client: client.clone(),
            site,
            times: times.clone(),
            failed: 0,
            stalled: 0,
            brought: 0,
        }
    }

    fn reset(&mut self) {
        (self.failed, self.stalled, self.brought) = (0, 0, 0);
    }

    /// Counts bytes that arrived; enough of them reset the count of tries.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.brought += bytes as u64;
        if self.brought >= PROGRESS_BYTES {
            self.reset();
        }
    }

    /// Waits before the next try.
    /// # Errors
    /// The setback's error, after the last try.
    pub(super) async fn again(&mut self, setback: Setback) -> Result<(), DownloadError> {
        self.brought = 0;
        if self.exhausted(&setback) {
            self.reset();
            return Err(setback.into_error(self.site));
        }
        let pauses = match setback {
            Setback::Status(_) => &self.times.retry_pauses,
            _ => &self.times.audio_pauses,
        };
        tracing::debug!(
            site = self.site.as_str(),
            tries = self.failed,
            ?setback,
            "requesting the audio again"
        );
        origin::pause_before_retry(&self.client, self.site, pauses, self.failed).await;
        Ok(())
    }

    fn exhausted(&mut self, setback: &Setback) -> bool {
        self.failed += 1;
        self.stalled += u32::from(*setback == Setback::Stalled);
        // After silence there is one more try if the notes say so; YouTube's silence counts like a broken connection.
        let stalls = if self.site == Site::YouTube {
            self.times.audio_tries
        } else {
            self.times.timeout_tries
        };
        self.failed >= self.times.audio_tries || self.stalled >= stalls
    }
}

/// What a failed media request means: another try, or the end.
pub(super) fn setback(site: Site, error: MediaError) -> Result<Setback, DownloadError> {
    match error {
        MediaError::Stalled => Ok(Setback::Stalled),
        MediaError::Failed(reason) => Ok(Setback::Interrupted(reason)),
        MediaError::NotAllowed(reason) => Err(DownloadError::Failed { site, reason }),
    }
}

/// What a status other than 200, 206 and 416 means.
pub(super) fn refusal(
    site: Site,
    status: u16,
    retry_after: Option<std::time::Duration>,
) -> Result<Setback, DownloadError> {
    Err(match status {
        204 => DownloadError::Empty { site },
        403 => DownloadError::Expired { site },
        410 if site != Site::YouTube => DownloadError::Expired { site },
        404 | 410 => DownloadError::Gone { site },
        429 => DownloadError::Limited { site, retry_after },
        408 | 500.. => return Ok(Setback::Status(status)),
        _ => DownloadError::Refused { site, status },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::origin::{ClientConfig, SharedRecipes};

    fn tries(site: Site) -> Tries {
        let client =
            Client::new(&ClientConfig::default(), SharedRecipes::default()).expect("plain");
        let mut times = client.recipes().time.clone();
        (
            times.audio_tries,
            times.timeout_tries,
            times.audio_pauses,
            times.retry_pauses,
        ) = (4, 2, vec![Duration::ZERO], vec![Duration::ZERO]);
        Tries::new(&client, site, &times)
    }

    #[tokio::test]
    async fn the_last_try_ends_in_the_error_of_its_setback() {
        let site = Site::Bandcamp;
        let broken = || Setback::Interrupted("reset".to_owned());
        let mut tries = tries(site);
        for _ in 0..3 {
            assert_eq!(tries.again(broken()).await, Ok(()));
        }
        assert_eq!(
            tries.again(broken()).await,
            Err(DownloadError::Failed {
                site,
                reason: "reset".to_owned()
            })
        );
    }

    #[tokio::test]
    async fn bytes_in_between_start_the_count_anew() {
        let mut tries = tries(Site::SoundCloud);
        for _ in 0..20 {
            assert_eq!(tries.again(Setback::Status(503)).await, Ok(()));
            tries.arrived(20 << 10);
            tries.arrived(20 << 10);
        }
    }

    #[tokio::test]
    async fn a_few_bytes_before_each_silence_do_not_count() {
        let mut tries = tries(Site::Bandcamp);
        tries.arrived(1 << 20);
        assert_eq!(tries.again(Setback::Stalled).await, Ok(()));
        tries.arrived(18_000);
        assert!(tries.again(Setback::Stalled).await.is_err());
    }

    #[tokio::test]
    async fn silence_is_tried_once_more_and_on_youtube_like_any_break() {
        for (site, more) in [
            (Site::SoundCloud, 1),
            (Site::Bandcamp, 1),
            (Site::YouTube, 3),
        ] {
            let mut tries = tries(site);
            for _ in 0..more {
                assert_eq!(tries.again(Setback::Stalled).await, Ok(()), "{site}");
            }
            assert_eq!(
                tries.again(Setback::Stalled).await,
                Err(DownloadError::Stalled { site })
            );
        }
    }

    #[test]
    fn every_status_has_its_meaning() {
        use DownloadError::{Empty, Expired, Gone, Limited, Refused};
        let wait = Some(Duration::from_secs(9));
        for site in [Site::YouTube, Site::SoundCloud, Site::Bandcamp] {
            let gone = if site == Site::YouTube {
                Gone { site }
            } else {
                Expired { site }
            };
            for (status, wanted) in [
                (204, Err(Empty { site })),
                (304, Err(Refused { site, status: 304 })),
                (401, Err(Refused { site, status: 401 })),
                (403, Err(Expired { site })),
                (404, Err(Gone { site })),
                (408, Ok(Setback::Status(408))),
                (410, Err(gone)),
                (
                    429,
                    Err(Limited {
                        site,
                        retry_after: wait,
                    }),
                ),
                (500, Ok(Setback::Status(500))),
                (503, Ok(Setback::Status(503))),
            ] {
                assert_eq!(refusal(site, status, wait), wanted, "{site} {status}");
            }
        }
    }
}
