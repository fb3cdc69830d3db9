//! Words instead of a link.
//!
//! Owns what searches are remembered, and for how long: ten minutes, like lists. Hides that many who search for the same
//! words at once are one request. Never decides which result is played.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_extract::search::{Hit, NoWords, SearchSite, words};
use kmds_extract::{ExtractError, Kind};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::App;
use super::words::Failure;

/// Searches remembered at once; one with 25 results is about 15 KB.
const REMEMBERED: usize = 64;

type Hits = Arc<Vec<Hit>>;
type Key = (SearchSite, String);
/// Since when, and what was found.
type Cell = (Instant, Arc<OnceCell<Hits>>);

/// The searches of the last minutes. A cell that is empty belongs to those who ask right now.
#[derive(Default)]
pub(super) struct Searches(Mutex<HashMap<Key, Cell>>);

impl Searches {
    /// What was found, or what `ask` finds now, for all who want it at once.
    pub(super) async fn find<F>(
        &self,
        key: Key,
        life: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<Hits, ExtractError>
    where
        F: Future<Output = Result<Vec<Hit>, ExtractError>>,
    {
        let cell = self.cell(key, life);
        cell.get_or_try_init(|| async { ask().await.map(Arc::new) })
            .await
            .map(Arc::clone)
    }

    /// What was found, if it is remembered.
    pub(super) fn recall(&self, key: &Key, life: Duration) -> Option<Hits> {
        let inner = self.0.lock();
        let (_, cell) = inner.get(key).filter(|(at, _)| at.elapsed() < life)?;
        cell.get().map(Arc::clone)
    }

    fn cell(&self, key: Key, life: Duration) -> Arc<OnceCell<Hits>> {
        let mut inner = self.0.lock();
        inner.retain(|_, (at, _)| at.elapsed() < life);
        while inner.len() >= REMEMBERED && !inner.contains_key(&key) {
            let oldest = inner
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            inner.remove(&oldest);
        }
        let (_, cell) = inner
            .entry(key)
            .or_insert_with(|| (Instant::now(), Arc::default()));
        Arc::clone(cell)
    }
}

/// What a search gave.
#[derive(Debug, Clone)]
pub struct Searched {
    pub words: String,
    pub at: SearchSite,
    pub hits: Hits,
}

impl App {
    /// Whether these words can be searched for there; nobody is asked. Without a place it is the one of the settings.
    /// # Errors
    /// No words, too many, or a site that is switched off.
    pub fn check_search(
        &self,
        text: &str,
        at: Option<SearchSite>,
    ) -> Result<(SearchSite, String), Failure> {
        let at = at.unwrap_or(self.inner.search_site);
        let words =
            words(text).map_err(|why: NoWords| Failure::new(Kind::BadRequest, why.to_string()))?;
        self.inner.resolver.check_site(at.site())?;
        Ok((at, words))
    }

    /// What a site finds for words, asked of it once in ten minutes.
    /// # Errors
    /// As [`App::check_search`], or the site's refusal.
    pub async fn search(&self, text: &str, at: Option<SearchSite>) -> Result<Searched, Failure> {
        let (at, words) = self.check_search(text, at)?;
        let hits = self.inner.resolver.search(at, &words).await?;
        Ok(Searched { words, at, hits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn searches_are_bounded_kept_for_their_time_and_failures_are_not_kept() {
        let searches = Searches::default();
        let life = Duration::from_secs(600);
        let key = |number: usize| (SearchSite::YouTube, number.to_string());
        let found = || async { Ok(Vec::new()) };
        let failed = || async {
            Err(ExtractError::StreamGone {
                site: kmds_extract::Site::YouTube,
            })
        };
        assert!(searches.find(key(0), life, failed).await.is_err());
        assert!(searches.recall(&key(0), life).is_none());
        assert!(searches.find(key(0), life, found).await.is_ok());
        assert!(
            searches.find(key(0), life, failed).await.is_ok(),
            "it is remembered"
        );
        assert!(
            searches.find(key(0), Duration::ZERO, failed).await.is_err(),
            "its time is over"
        );
        for number in 0..3 * REMEMBERED {
            assert!(searches.find(key(number), life, found).await.is_ok());
        }
        assert_eq!(searches.0.lock().len(), REMEMBERED);
        assert!(
            searches.recall(&key(0), life).is_none()
                && searches.recall(&key(3 * REMEMBERED - 1), life).is_some()
        );
    }
}
