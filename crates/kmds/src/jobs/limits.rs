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
    /// How long to wait now: what the site `told`, else the recipes' pause, which doubles. `None`, and not counted, if
    /// that is longer than `most`, or if the job would have waited longer in all than the recipes allow.
    pub(super) fn wait(
        &mut self,
        site: Site,
        told: Option<Duration>,
        most: Duration,
        recipes: &Recipes,
    ) -> Option<Duration> {
        let ours = recipes.limit_pause(site, self.times);
        let wait = match told {
            Some(told) => {
                let told = told.max(recipes.limit_pause(site, 0).min(LEAST_PAUSE));
                told.max(told.saturating_mul(self.doubled()).min(ours))
            }
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

    /// By how much a told pause is lengthened. A site may name a short pause again and again, and a song that is
    /// refused often may only have come after the site's other songs: so the pause doubles from what the site names,
    /// and not at once to the recipes' pause of so many times.
    fn doubled(&self) -> u32 {
        let times = self.times.saturating_sub(TIMES_AS_TOLD - 1);
        1 << times.min(16)
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
    fn a_short_pause_that_a_site_names_again_and_again_doubles_from_the_fourth_time_on() {
        let recipes = Recipes::built_in();
        for (told, pauses) in [(0, [1, 1, 1, 2, 4, 8, 16]), (5, [5, 5, 5, 10, 20, 40, 80])] {
            let mut limits = Limits::default();
            let mut wait = || {
                let told = Some(Duration::from_secs(told));
                limits.wait(Site::YouTube, told, Duration::MAX, &recipes)
            };
            let waits: Vec<u64> = (0..7)
                .filter_map(|_| wait())
                .map(|wait| wait.as_secs())
                .collect();
            assert_eq!(waits, pauses);
        }
    }

    #[test]
    fn a_pause_that_a_site_names_is_not_lengthened_beyond_the_recipes_pause() {
        let recipes = Recipes::built_in();
        let mut limits = Limits::default();
        let mut wait = |told| {
            limits.wait(
                Site::YouTube,
                Some(Duration::from_secs(told)),
                Duration::MAX,
                &recipes,
            )
        };
        let waits: Vec<_> = (0..3).map(|_| wait(1)).collect();
        assert_eq!(waits, [Some(Duration::from_secs(1)); 3]);
        assert_eq!(
            wait(200),
            Some(Duration::from_secs(240)),
            "the recipes' fourth pause"
        );
        assert_eq!(wait(590), Some(Duration::from_secs(590)));
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
