//! The origin client: the one way out of this service to the sites.
//!
//! Owns which host may be asked ([`url`]), which address may be connected to ([`resolver`]), from where and through
//! which proxy ([`egress`]), how fast ([`pace`]), how often again and how long ([`client`]), how large ([`page`]), what
//! is connected to meanwhile ([`ahead`]), the small memory between resolves ([`memory`]), and closing a way out that
//! leads from a forbidden address ([`outside`]), and holding yt-dlp to the same rules ([`relay`]). Hides the HTTP library: no type of it appears outside.
//! Never interprets a page or an audio byte, never writes audio, and never prints a signed URL.

mod ahead;
pub mod client;
pub mod egress;
pub mod media;
pub mod memory;
mod outside;
mod pace;
mod page;
mod random;
pub mod relay;
pub mod resolver;
pub mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kmds_extract::{Recipes, Site};
use parking_lot::RwLock;

pub use client::{Client, ClientConfig};
pub use egress::{EgressConfig, EgressError, Family};
pub use media::{ByteRange, ContentRange, Cover, MediaAnswer, MediaAsk, MediaBody, MediaError};
pub use relay::Relay;
pub use url::MediaUrl;

/// The recipes in force, shared by everyone who reads them; a reload replaces them whole.
#[derive(Debug, Clone, Default)]
pub struct SharedRecipes(Arc<RwLock<Arc<Recipes>>>);

impl SharedRecipes {
    #[must_use]
    pub fn new(recipes: Recipes) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(recipes))))
    }

    #[must_use]
    pub fn current(&self) -> Arc<Recipes> {
        Arc::clone(&self.0.read())
    }

    pub fn replace(&self, recipes: Recipes) {
        *self.0.write() = Arc::new(recipes);
    }
}

/// What was asked of one site since the start; only ever grows.
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

/// One row a site, read by the metrics.
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

/// Waits before try number `tries + 1` of audio, and counts it.
pub(crate) async fn pause_before_retry(client: &Client, site: Site, pauses: &[f64], tries: u32) {
    count(&client.counters().site(site).retries, 1);
    tokio::time::sleep(random::varied(client::pause_before(pauses, tries))).await;
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_recipes_are_seen_by_everyone_who_shares_them() {
        let ours = SharedRecipes::default();
        let theirs = ours.clone();
        let before = theirs.current();
        ours.replace(Recipes {
            date: "2031-01-01".to_owned(),
            ..Recipes::built_in()
        });
        assert_eq!(theirs.current().date, "2031-01-01");
        assert_ne!(
            before.date, "2031-01-01",
            "who holds the old ones keeps them whole"
        );
    }
}
