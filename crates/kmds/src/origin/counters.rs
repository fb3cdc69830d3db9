//! The requests to each site since the start. The metrics read these numbers, which only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use kmds_extract::Site;

/// One site's counters.
#[derive(Debug, Default)]
pub struct SiteCounters {
    /// Requests for pages, each redirect and each retry included.
    pub page_requests: AtomicU64,
    /// Requests for audio, each range, redirect and retry included.
    pub media_requests: AtomicU64,
    pub cover_requests: AtomicU64,
    /// Tries after the first, of pages and of audio.
    pub retries: AtomicU64,
    /// Bytes of page bodies as they were sent, before decompression.
    pub page_bytes: AtomicU64,
    pub media_bytes: AtomicU64,
}

/// The counters of all sites.
#[derive(Debug, Default)]
pub struct Counters {
    youtube: SiteCounters,
    soundcloud: SiteCounters,
    bandcamp: SiteCounters,
    other: SiteCounters,
}

impl Counters {
    #[must_use]
    pub const fn site(&self, site: Site) -> &SiteCounters {
        match site {
            Site::YouTube => &self.youtube,
            Site::SoundCloud => &self.soundcloud,
            Site::Bandcamp => &self.bandcamp,
            Site::Other => &self.other,
        }
    }
}

pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
