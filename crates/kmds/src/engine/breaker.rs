//! When the native engine of a site has to stand back.
//!
//! Owns the counts that open the breaker, the time it stays open, and the one probe after it. Hides the clock.
//! Never decides what happens instead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kmds_extract::recipes::Times;
use kmds_extract::{ExtractError, Site};
use parking_lot::Mutex;

use crate::origin::SharedRecipes;

/// Calls looked back at (YouTube field notes, 5).
const WINDOW: usize = 20;
/// Refusals of our address among them that open the breaker …
const REFUSALS: usize = 5;
/// … if nothing succeeded for this long, or ever.
const NO_SUCCESS: Duration = Duration::from_secs(120);
/// Changed pages in a row that open it.
const CHANGED_IN_A_ROW: u32 = 3;
/// A probe that says nothing for this long was given up by its caller; the next call is another one.
const PROBE_LIFE: Duration = Duration::from_secs(60);

pub struct Breaker {
    recipes: SharedRecipes,
    /// Invariant: `opened` is set only by `failure` and `wall`, and cleared only by `success`; `probing` is set only while it is open.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    refused: VecDeque<bool>,
    changed_in_a_row: u32,
    last_success: Option<Instant>,
    opened: Option<Instant>,
    /// What opened it, if that was a refusal of our address.
    refusal: Option<ExtractError>,
    probing: Option<Instant>,
    failures: u64,
    reason: Option<String>,
}

impl Breaker {
    pub fn new(recipes: SharedRecipes) -> Self {
        Self {
            recipes,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> parking_lot::MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    /// Read anew each time: a shorter pause in reloaded recipes counts at once.
    fn pause(&self) -> Duration {
        Times::seconds(self.recipes.current().time.breaker_pause)
    }

    /// Whether the second engine goes first for this call. When the pause is over one call is the native engine's
    /// probe, and the others still go the sure way until it has answered.
    pub fn stands_back(&self) -> bool {
        let pause = self.pause();
        let mut seen = self.seen();
        let Some(opened) = seen.opened else {
            return false;
        };
        if opened.elapsed() < pause
            || seen
                .probing
                .is_some_and(|since| since.elapsed() < PROBE_LIFE)
        {
            return true;
        }
        seen.probing = Some(Instant::now());
        false
    }

    /// What to answer instead of asking natively, where more calls only make it worse: YouTube distrusts our address. A
    /// page that changed may be asked on and on.
    pub fn keeps_away(&self) -> Option<ExtractError> {
        let pause = self.pause();
        let seen = self.seen();
        let left = pause.saturating_sub(seen.opened?.elapsed());
        // Whole seconds, rounded up: who comes back then may be the probe.
        let retry_after = Some(Duration::from_secs(left.as_secs() + 1));
        match seen.refusal.clone()? {
            ExtractError::BotCheck {
                site: site @ Site::YouTube,
                ..
            } => Some(ExtractError::BotCheck { site, retry_after }),
            ExtractError::RateLimited {
                site: site @ Site::YouTube,
                ..
            } => Some(ExtractError::RateLimited { site, retry_after }),
            _ => None,
        }
    }

    /// As [`Self::keeps_away`], but only until the pause is over: for calls that are no probe, whose success would say
    /// nothing about songs.
    pub fn rests(&self) -> Option<ExtractError> {
        let pause = self.pause();
        let opened = self.seen().opened?;
        if opened.elapsed() < pause {
            self.keeps_away()
        } else {
            None
        }
    }

    /// Open or not, failures so far, and why.
    pub fn state(&self) -> (bool, u64, Option<String>) {
        let seen = self.seen();
        (seen.opened.is_some(), seen.failures, seen.reason.clone())
    }

    pub fn success(&self) {
        let mut seen = self.seen();
        seen.refused.clear();
        seen.changed_in_a_row = 0;
        seen.last_success = Some(Instant::now());
        seen.opened = None;
        seen.refusal = None;
        seen.probing = None;
        seen.reason = None;
    }

    /// Audio that no client of ours gets any more: metadata may be answered as ever, and would be of no use.
    pub fn wall(&self, reason: &str) {
        let mut seen = self.seen();
        seen.failures += 1;
        seen.reason = Some(reason.to_owned());
        seen.opened = Some(Instant::now());
        seen.refusal = None;
        seen.probing = None;
    }

    /// Counts a failure; true when it opens the breaker anew.
    pub fn failure(&self, error: &ExtractError) -> bool {
        let refused = matches!(
            error,
            ExtractError::BotCheck { .. }
                | ExtractError::RateLimited { .. }
                | ExtractError::OriginRefused { .. }
        );
        let changed = matches!(error, ExtractError::PageChanged { .. });
        let mut seen = self.seen();
        // Whatever it was, the probe has answered. What says nothing about the engine leaves the next call to probe.
        let probed = seen.probing.take().is_some();
        if !refused && !changed {
            if matches!(error, ExtractError::Refused { .. }) {
                // A site's last word was read: its pages are not unreadable, and it speaks to us.
                seen.changed_in_a_row = 0;
                seen.last_success = Some(Instant::now());
            }
            return false;
        }
        seen.failures += 1;
        seen.reason = Some(error.to_string());
        seen.changed_in_a_row = if changed {
            seen.changed_in_a_row + 1
        } else {
            0
        };
        seen.refused.push_back(refused);
        if seen.refused.len() > WINDOW {
            seen.refused.pop_front();
        }
        let refusals = seen.refused.iter().filter(|refused| **refused).count();
        let quiet = seen
            .last_success
            .is_none_or(|when| when.elapsed() >= NO_SUCCESS);
        let opens =
            probed || seen.changed_in_a_row >= CHANGED_IN_A_ROW || (refusals >= REFUSALS && quiet);
        let anew = opens && (probed || seen.opened.is_none());
        if opens {
            seen.opened = Some(Instant::now());
            seen.refusal = refused.then(|| error.clone());
        }
        anew
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::recipes::Times;
    use kmds_extract::{Kind, Recipes, Site};

    use super::*;

    fn changed() -> ExtractError {
        ExtractError::PageChanged {
            site: Site::YouTube,
            page: "player answer",
            field: "url",
        }
    }

    fn private() -> ExtractError {
        ExtractError::Refused {
            site: Site::YouTube,
            kind: Kind::Private,
            reason: "private".to_owned(),
            title: None,
        }
    }

    fn with_pause(seconds: f64) -> (Breaker, SharedRecipes) {
        let recipes = SharedRecipes::default();
        set_pause(&recipes, seconds);
        (Breaker::new(recipes.clone()), recipes)
    }

    fn set_pause(recipes: &SharedRecipes, seconds: f64) {
        let built_in = Recipes::built_in();
        let time = Times {
            breaker_pause: seconds,
            ..built_in.time.clone()
        };
        recipes.replace(Recipes { time, ..built_in });
    }

    #[test]
    fn three_changed_pages_in_a_row_let_the_other_engine_go_first_until_one_succeeds() {
        let (breaker, _) = with_pause(900.0);
        assert!(!breaker.failure(&changed()));
        breaker.success();
        assert!(!breaker.failure(&changed()) && !breaker.failure(&changed()));
        assert!(!breaker.stands_back());
        assert!(breaker.failure(&changed()));
        assert!(
            !breaker.failure(&changed()),
            "told once, however long it fails"
        );
        assert!(breaker.stands_back() && breaker.stands_back());
        breaker.success();
        assert!(!breaker.stands_back());
    }

    #[test]
    fn a_wall_in_the_audio_lets_the_other_engine_go_first_at_once_and_keeps_nobody_away() {
        let (breaker, recipes) = with_pause(900.0);
        breaker.success();
        breaker.wall("no audio beyond byte 7");
        assert!(breaker.stands_back());
        assert_eq!(breaker.keeps_away(), None);
        assert_eq!(
            breaker.state(),
            (true, 1, Some("no audio beyond byte 7".to_owned()))
        );
        set_pause(&recipes, 0.0);
        assert!(!breaker.stands_back(), "the probe");
        breaker.success();
        assert!(!breaker.state().0);
    }

    #[test]
    fn after_the_pause_one_call_probes_and_the_others_go_the_sure_way() {
        let (breaker, recipes) = with_pause(900.0);
        for _ in 0..3 {
            breaker.failure(&changed());
        }
        assert!(breaker.stands_back());
        set_pause(&recipes, 0.0);
        assert!(!breaker.stands_back(), "the probe");
        assert!(breaker.stands_back(), "only one");
        assert!(breaker.state().0, "still open while it is probed");
        assert!(breaker.failure(&changed()), "a failed probe opens it again");
        set_pause(&recipes, 900.0);
        assert!(breaker.stands_back());
    }

    #[test]
    fn a_probe_that_meets_a_private_song_leaves_the_question_open() {
        let (breaker, _) = with_pause(0.0);
        for _ in 0..3 {
            breaker.failure(&changed());
        }
        assert!(!breaker.stands_back());
        assert!(!breaker.failure(&private()));
        assert!(!breaker.stands_back(), "the next call probes again");
        breaker.success();
        assert!(!breaker.state().0);
    }

    fn bot_check() -> ExtractError {
        ExtractError::BotCheck {
            site: Site::YouTube,
            retry_after: None,
        }
    }

    #[test]
    fn five_refusals_without_a_success_keep_us_away_and_tell_until_when() {
        let (breaker, recipes) = with_pause(900.0);
        assert!((0..4).all(|_| !breaker.failure(&bot_check())));
        assert_eq!(breaker.keeps_away(), None);
        assert!(breaker.failure(&bot_check()));
        let told = breaker.keeps_away().expect("kept away");
        assert_eq!(breaker.rests(), Some(told.clone()));
        assert_eq!(
            (told.kind(), told.retry_after()),
            (Kind::BotCheck, Some(Duration::from_secs(900)))
        );
        set_pause(&recipes, 0.0);
        assert_eq!(
            breaker.rests(),
            None,
            "a search may ask, and takes the probe from no song"
        );
        assert!(!breaker.stands_back(), "the probe");
        breaker.success();
        assert_eq!(breaker.keeps_away(), None);
    }

    #[test]
    fn refusals_beside_answers_are_moods_and_changed_pages_keep_nobody_away() {
        for answered in [Breaker::success, |breaker: &Breaker| {
            breaker.failure(&private());
        }] {
            let (breaker, _) = with_pause(900.0);
            answered(&breaker);
            assert!(
                (0..20).all(|_| !breaker.failure(&bot_check())),
                "it spoke to us just now"
            );
            for _ in 0..3 {
                breaker.failure(&changed());
            }
            assert!(breaker.stands_back());
            assert_eq!(breaker.keeps_away(), None);
        }
    }

    #[test]
    fn a_sites_last_word_never_opens_it_and_ends_a_row_of_changed_pages() {
        let (breaker, _) = with_pause(900.0);
        assert!((0..50).all(|_| !breaker.failure(&private())));
        assert!(!breaker.failure(&changed()) && !breaker.failure(&changed()));
        assert!(!breaker.failure(&private()));
        assert!(!breaker.failure(&changed()));
    }
}
