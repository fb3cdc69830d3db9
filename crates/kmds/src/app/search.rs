//! Searches: words instead of a link. The client decides which result to play, not this module.

use kmds_extract::search::{NoWords, SearchSite, words};
use kmds_extract::{Failure, Kind};

use super::App;
use super::answers::Hits;

/// The results of a search.
#[derive(Debug, Clone)]
pub struct Searched {
    pub words: String,
    pub at: SearchSite,
    pub hits: Hits,
}

impl App {
    /// Whether these words can be searched for there; no site is asked. Without a place, the setting's place is used.
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
