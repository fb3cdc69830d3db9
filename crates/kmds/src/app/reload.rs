//! Reloading the recipes, for the HTTP faces and SIGHUP.

use std::time::Duration;

use super::{App, Failure, Reloaded};
use crate::recipes::{Refusal, Status};

impl App {
    /// Reads the recipes again; they count from the next request to a site.
    /// # Errors
    /// Nothing was taken, and why.
    pub async fn reload_recipes(&self) -> Result<Reloaded, Failure> {
        self.note(self.inner.loader.reload(&self.inner.client).await)
    }

    /// Takes the recipes of `recipes.url`, if they are newer.
    /// # Errors
    /// Nothing was taken, and why.
    pub async fn fetch_recipes(&self) -> Result<Reloaded, Failure> {
        self.note(self.inner.loader.fetch(&self.inner.client).await)
    }

    /// How often [`Self::fetch_recipes`] should be called.
    #[must_use]
    pub fn recipes_every(&self) -> Option<Duration> {
        self.inner.loader.every()
    }

    fn note(&self, outcome: Result<Reloaded, Refusal>) -> Result<Reloaded, Failure> {
        let word = match &outcome {
            Ok(reloaded) if reloaded.taken => "taken",
            Ok(_) => "unchanged",
            Err(refusal) => refusal.kind.as_str(),
        };
        self.inner.metrics.recipes_reloaded(word);
        for site in outcome.iter().flat_map(|reloaded| &reloaded.rehearsed) {
            self.inner.engines.works_again(*site);
        }
        outcome.map_err(|refusal| Failure::new(refusal.kind, refusal.sentence))
    }

    /// Which recipes are in force, and what the last reload was refused for.
    #[must_use]
    pub fn recipes(&self) -> Status {
        self.inner.loader.status()
    }
}
