//! When the native engine of a site has to stand back.
//!
//! Owns the counts that open the breaker and the time it stays open. Hides the clock.
//! Never decides what happens instead.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kmds_extract::ExtractError;
use kmds_extract::recipes::Times;

use crate::origin::SharedRecipes;

/// Calls looked back at (YouTube field notes, 5).
const WINDOW: usize = 20;
/// Refusals of our address among them that open the breaker …
const REFUSALS: usize = 5;
/// … if nothing succeeded for this long.
const NO_SUCCESS: Duration = Duration::from_secs(120);
/// Changed pages in a row that open it.
const CHANGED_IN_A_ROW: u32 = 3;

pub struct Breaker {
    recipes: SharedRecipes,
    /// Invariant: `open_until` is set only by `failure` and cleared only by `success`.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    refused: VecDeque<bool>,
    changed_in_a_row: u32,
    last_success: Option<Instant>,
    started: Option<Instant>,
    open_until: Option<Instant>,
    failures: u64,
    reason: Option<String>,
}

impl Breaker {
    pub fn new(recipes: SharedRecipes) -> Self {
        Self { recipes, seen: Mutex::new(Seen { started: Some(Instant::now()), ..Seen::default() }) }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether the second engine goes first now. When the pause is over the next call is the native engine's probe.
    pub fn is_open(&self) -> bool {
        self.seen().open_until.is_some_and(|until| Instant::now() < until)
    }

    /// Open or not, failures so far, and why.
    pub fn state(&self) -> (bool, u64, Option<String>) {
        let seen = self.seen();
        (seen.open_until.is_some_and(|until| Instant::now() < until), seen.failures, seen.reason.clone())
    }

    pub fn success(&self) {
        let mut seen = self.seen();
        seen.refused.clear();
        seen.changed_in_a_row = 0;
        seen.last_success = Some(Instant::now());
        seen.open_until = None;
        seen.reason = None;
    }

    /// Counts a failure; true when it opens the breaker anew.
    pub fn failure(&self, error: &ExtractError) -> bool {
        let refused = matches!(
            error,
            ExtractError::BotCheck { .. } | ExtractError::RateLimited { .. } | ExtractError::OriginRefused { .. }
        );
        let changed = matches!(error, ExtractError::PageChanged { .. });
        if !refused && !changed {
            // A site's last word about one song says nothing about the engine.
            return false;
        }
        let pause = Times::seconds(self.recipes.current().time.breaker_pause);
        let mut seen = self.seen();
        seen.failures += 1;
        seen.reason = Some(error.to_string());
        seen.changed_in_a_row = if changed { seen.changed_in_a_row + 1 } else { 0 };
        seen.refused.push_back(refused);
        if seen.refused.len() > WINDOW {
            seen.refused.pop_front();
        }
        let refusals = seen.refused.iter().filter(|refused| **refused).count();
        let quiet = seen.last_success.or(seen.started).is_none_or(|when| when.elapsed() >= NO_SUCCESS);
        // A failed probe opens it again at once.
        let probing = seen.open_until.is_some();
        let opens = probing || seen.changed_in_a_row >= CHANGED_IN_A_ROW || (refusals >= REFUSALS && quiet);
        if opens {
            seen.open_until = Some(Instant::now() + pause);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Kind, Site};

    use super::*;

    fn changed() -> ExtractError {
        ExtractError::PageChanged { site: Site::YouTube, page: "player answer", field: "url" }
    }

    #[test]
    fn three_changed_pages_in_a_row_let_the_other_engine_go_first_until_one_succeeds() {
        let breaker = Breaker::new(SharedRecipes::default());
        assert!(!breaker.failure(&changed()));
        breaker.success();
        assert!(!breaker.failure(&changed()) && !breaker.failure(&changed()));
        assert!(!breaker.is_open());
        assert!(breaker.failure(&changed()));
        assert!(breaker.is_open());
        breaker.success();
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_sites_last_word_never_opens_it() {
        let breaker = Breaker::new(SharedRecipes::default());
        let private = ExtractError::Refused {
            site: Site::YouTube,
            kind: Kind::Private,
            reason: "private".to_owned(),
            title: None,
        };
        assert!((0..50).all(|_| !breaker.failure(&private)));
    }
}
