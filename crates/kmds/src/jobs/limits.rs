//! How long a job waits for its site's limit. Pure: the caller passes in the time.

use std::time::Duration;

use kmds_extract::{Recipes, Site};

/// The least pause after a limit, even if the site asks for a shorter one.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// How many pauses in a row are as short as the site says.
const TIMES_AS_TOLD: u32 = 3;

/// The limits that one job has met since its last byte.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// All waits so far, without the time in the queue behind others.
    waited: Duration,
    times: u32,
}

impl Limits {
    /// How long to wait now: what the site `told`, else a pause that doubles. `None`, and not counted, if that is longer
    /// than `most`, or if the job would have waited longer in all than the recipes allow.
    pub(super) fn wait(
        &mut self,
        site: Site,
        told: Option<Duration>,
        most: Duration,
        recipes: &Recipes,
    ) -> Option<Duration> {
        let ours = recipes.limit_pause(site, self.times);
        let wait = match told {
            // If a site says "now" again and again, the pause doubles instead.
            Some(told) if self.times >= TIMES_AS_TOLD => told.max(ours),
            Some(told) => told.max(recipes.limit_pause(site, 0).min(LEAST_PAUSE)),
            None => ours,
        };
        let in_all = self.waited.saturating_add(wait);
        if in_all > recipes.time.limit_wait || wait > most {
            return None;
        }
        self.waited = in_all;
        self.times += 1;
        Some(wait)
    }

    /// Bytes arrive: the limit has passed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_job_waits_as_told_or_twice_as_long_each_time_and_not_for_ever() {
        let recipes = Recipes::built_in();
        let seconds = Duration::from_secs;
        for (site, first) in [
            (Site::YouTube, 30),
            (Site::SoundCloud, 60),
            (Site::Bandcamp, 60),
        ] {
            let mut limits = Limits::default();
            let mut wait = |told, most| limits.wait(site, told, most, &recipes);
            let longer_than_held = wait(None, seconds(1));
            assert_eq!(longer_than_held, None, "it may not be held for so long");
            for pause in [first, 2 * first, 4 * first] {
                assert_eq!(wait(None, Duration::MAX), Some(seconds(pause)), "{site}");
            }
            limits.clear();
            let mut wait = |told| limits.wait(site, told, Duration::MAX, &recipes);
            assert_eq!(wait(Some(seconds(7))), Some(seconds(7)), "{site}");
            assert_eq!(wait(Some(Duration::MAX)), None);
        }
    }

    #[test]
    fn a_site_that_says_now_again_and_again_is_given_the_recipes_pause() {
        let recipes = Recipes::built_in();
        let mut limits = Limits::default();
        let mut told_now = || {
            let told = Some(Duration::ZERO);
            limits.wait(Site::YouTube, told, Duration::MAX, &recipes)
        };
        let waits: Vec<u64> = (0..4)
            .filter_map(|_| told_now())
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [1, 1, 1, 240]);
    }

    #[test]
    fn a_job_that_waited_for_fifteen_minutes_waits_no_more_and_its_time_in_the_queue_does_not_count()
     {
        let recipes = Recipes::built_in();
        let mut limits = Limits::default();
        let told = Some(Duration::from_secs(60));
        let mut wait = || limits.wait(Site::Bandcamp, told, Duration::MAX, &recipes);
        let most = recipes.time.limit_wait;
        let mut waited = Duration::ZERO;
        while let Some(wait) = wait() {
            waited += wait;
        }
        assert!(
            waited + recipes.limit_pause(Site::Bandcamp, 3) > most && waited <= most,
            "{waited:?}"
        );
    }
}
