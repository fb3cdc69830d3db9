//! The circuit breaker of one site: while it is open, yt-dlp goes before the native engine.
//!
//! Owns the counts that open it, the time it stays open, and the one probe after that time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kmds_extract::{ExtractError, Site};
use parking_lot::Mutex;

use crate::origin::SharedRecipes;

/// The last calls that count (YouTube field notes, 5).
const WINDOW: usize = 20;
/// Refusals of this address among them that open the breaker …
const REFUSALS: usize = 5;
/// … if nothing succeeded for this long, or ever.
const NO_SUCCESS: Duration = Duration::from_secs(120);
/// Changed pages in a row that open it.
const CHANGED_IN_A_ROW: u32 = 3;
/// If a probe has no outcome for this long, its caller gave it up; the next call is another probe.
const PROBE_LIFE: Duration = Duration::from_secs(60);

pub struct Breaker {
    recipes: SharedRecipes,
    /// Invariant: `opened` is set only by `failure` and `wall`, and cleared only by `success`; `probing` is set only
    /// while it is open.
    seen: Mutex<EngineRecord>,
}

#[derive(Default)]
struct EngineRecord {
    refused: VecDeque<bool>,
    changed_in_a_row: u32,
    last_success: Option<Instant>,
    opened: Option<Instant>,
    /// The refusal of this address that opened it, if one did.
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

    fn seen(&self) -> parking_lot::MutexGuard<'_, EngineRecord> {
        self.seen.lock()
    }

    /// Read each time, so that a shorter pause in reloaded recipes counts at once.
    fn pause(&self) -> Duration {
        self.recipes.current().time.breaker_pause
    }

    /// Whether yt-dlp goes first for this call. When the pause is over, one call probes the native engine; the others
    /// keep using yt-dlp until the probe has an outcome.
    pub fn prefers_ytdlp(&self) -> bool {
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

    /// The answer instead of a native call, if more calls only make it worse: YouTube distrusts this address. After a
    /// changed page more calls do no harm.
    pub fn refusal(&self) -> Option<ExtractError> {
        let pause = self.pause();
        let seen = self.seen();
        let left = pause.saturating_sub(seen.opened?.elapsed());
        // Whole seconds, rounded up: a call at that time may be the probe.
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

    /// As [`Self::refusal`], but only until the pause is over: for searches, which are no probe, since their success
    /// says nothing about songs.
    pub fn refusal_while_open(&self) -> Option<ExtractError> {
        let pause = self.pause();
        let opened = self.seen().opened?;
        if opened.elapsed() < pause {
            self.refusal()
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

    /// Opens the breaker: no client of the native engine gets this site's audio any more. Metadata without audio is of
    /// no use.
    pub fn wall(&self, reason: &str) {
        let mut seen = self.seen();
        seen.failures += 1;
        seen.reason = Some(reason.to_owned());
        seen.opened = Some(Instant::now());
        seen.refusal = None;
        seen.probing = None;
    }

    /// Counts a failure; true if it opens the breaker again.
    pub fn failure(&self, error: &ExtractError) -> bool {
        let refused = matches!(
            error,
            ExtractError::BotCheck { .. }
                | ExtractError::RateLimited { .. }
                | ExtractError::OriginRefused { .. }
        );
        let changed = matches!(error, ExtractError::PageChanged { .. });
        let mut seen = self.seen();
        // The probe has an outcome. If that says nothing about the engine, the next call is the next probe.
        let probed = seen.probing.take().is_some();
        if !refused && !changed {
            if matches!(error, ExtractError::Refused { .. }) {
                // The site refused the song itself, so its pages can be read, and it answers this address.
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

    fn with_pause(seconds: u64) -> (Breaker, SharedRecipes) {
        let recipes = SharedRecipes::default();
        set_pause(&recipes, seconds);
        (Breaker::new(recipes.clone()), recipes)
    }

    fn set_pause(recipes: &SharedRecipes, seconds: u64) {
        let built_in = Recipes::built_in();
        let time = Times {
            breaker_pause: Duration::from_secs(seconds),
            ..built_in.time.clone()
        };
        recipes.replace(Recipes { time, ..built_in });
    }

    #[test]
    fn three_changed_pages_in_a_row_let_the_other_engine_go_first_until_one_succeeds() {
        let (breaker, _) = with_pause(900);
        assert!(!breaker.failure(&changed()));
        breaker.success();
        assert!(!breaker.failure(&changed()) && !breaker.failure(&changed()));
        assert!(!breaker.prefers_ytdlp());
        assert!(breaker.failure(&changed()));
        assert!(
            !breaker.failure(&changed()),
            "told once, however long it fails"
        );
        assert!(breaker.prefers_ytdlp() && breaker.prefers_ytdlp());
        breaker.success();
        assert!(!breaker.prefers_ytdlp());
    }

    #[test]
    fn a_wall_in_the_audio_lets_ytdlp_go_first_at_once_and_refuses_no_call() {
        let (breaker, recipes) = with_pause(900);
        breaker.success();
        breaker.wall("no audio beyond byte 7");
        assert!(breaker.prefers_ytdlp());
        assert_eq!(breaker.refusal(), None);
        assert_eq!(
            breaker.state(),
            (true, 1, Some("no audio beyond byte 7".to_owned()))
        );
        set_pause(&recipes, 0);
        assert!(!breaker.prefers_ytdlp(), "the probe");
        breaker.success();
        assert!(!breaker.state().0);
    }

    #[test]
    fn after_the_pause_one_call_probes_and_the_others_go_the_sure_way() {
        let (breaker, recipes) = with_pause(900);
        for _ in 0..3 {
            breaker.failure(&changed());
        }
        assert!(breaker.prefers_ytdlp());
        set_pause(&recipes, 0);
        assert!(!breaker.prefers_ytdlp(), "the probe");
        assert!(breaker.prefers_ytdlp(), "only one");
        assert!(breaker.state().0, "still open while it is probed");
        assert!(breaker.failure(&changed()), "a failed probe opens it again");
        set_pause(&recipes, 900);
        assert!(breaker.prefers_ytdlp());
    }

    #[test]
    fn a_probe_that_meets_a_private_song_leaves_the_question_open() {
        let (breaker, _) = with_pause(0);
        for _ in 0..3 {
            breaker.failure(&changed());
        }
        assert!(!breaker.prefers_ytdlp());
        assert!(!breaker.failure(&private()));
        assert!(!breaker.prefers_ytdlp(), "the next call probes again");
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
        let (breaker, recipes) = with_pause(900);
        assert!((0..4).all(|_| !breaker.failure(&bot_check())));
        assert_eq!(breaker.refusal(), None);
        assert!(breaker.failure(&bot_check()));
        let told = breaker.refusal().expect("kept away");
        assert_eq!(breaker.refusal_while_open(), Some(told.clone()));
        assert_eq!(
            (told.kind(), told.retry_after()),
            (Kind::BotCheck, Some(Duration::from_secs(900)))
        );
        set_pause(&recipes, 0);
        assert_eq!(
            breaker.refusal_while_open(),
            None,
            "a search may ask, and takes the probe from no song"
        );
        assert!(!breaker.prefers_ytdlp(), "the probe");
        breaker.success();
        assert_eq!(breaker.refusal(), None);
    }

    #[test]
    fn refusals_among_answers_do_not_open_it_and_changed_pages_refuse_no_call() {
        for answered in [Breaker::success, |breaker: &Breaker| {
            breaker.failure(&private());
        }] {
            let (breaker, _) = with_pause(900);
            answered(&breaker);
            assert!(
                (0..20).all(|_| !breaker.failure(&bot_check())),
                "it spoke to us just now"
            );
            for _ in 0..3 {
                breaker.failure(&changed());
            }
            assert!(breaker.prefers_ytdlp());
            assert_eq!(breaker.refusal(), None);
        }
    }

    #[test]
    fn a_sites_last_word_never_opens_it_and_ends_a_row_of_changed_pages() {
        let (breaker, _) = with_pause(900);
        assert!((0..50).all(|_| !breaker.failure(&private())));
        assert!(!breaker.failure(&changed()) && !breaker.failure(&changed()));
        assert!(!breaker.failure(&private()));
        assert!(!breaker.failure(&changed()));
    }
}
