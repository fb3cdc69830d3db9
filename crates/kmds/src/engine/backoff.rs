//! Back-off: a site that limits requests gets none until the time that it named.
//!
//! Owns how often a site refused in a row, until when it gets no request, and the error for that time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kmds_extract::{ExtractError, Site};
use parking_lot::{Mutex, MutexGuard};

/// Limits in a row that close a site for a time: the limit of one link must not stop all others.
const LIMITS_IN_A_ROW: u32 = 3;
/// Longest accepted time: no site means days.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub struct Backoffs(Mutex<BTreeMap<Site, Refusals>>);

#[derive(Debug)]
struct Refusals {
    in_a_row: u32,
    until: Instant,
    error: ExtractError,
}

impl Refusals {
    /// Whether the site is closed: a bot check is about this address, for every request; limits count after several in
    /// a row.
    fn enough(&self) -> bool {
        matches!(self.error, ExtractError::BotCheck { .. }) || self.in_a_row >= LIMITS_IN_A_ROW
    }
}

impl Backoffs {
    fn inner(&self) -> MutexGuard<'_, BTreeMap<Site, Refusals>> {
        self.0.lock()
    }

    /// The site answered as it should.
    pub fn success(&self, site: Site) {
        self.inner().remove(&site);
    }

    /// Records a limit with a time (`Retry-After`), and a bot check, unless it often passes: then the breaker handles it.
    pub fn record(&self, error: &ExtractError) {
        let (site, wait) = match error {
            ExtractError::RateLimited {
                site,
                retry_after: Some(wait),
            } => (*site, *wait),
            ExtractError::BotCheck {
                site,
                retry_after: Some(wait),
            } if !site.passes_bot_checks() => (*site, *wait),
            _ => return,
        };
        let until = Instant::now() + wait.min(LONGEST);
        let mut inner = self.inner();
        let in_a_row = inner.get(&site).map_or(0, |refusals| refusals.in_a_row) + 1;
        inner.insert(
            site,
            Refusals {
                in_a_row,
                until,
                error: error.clone(),
            },
        );
    }

    /// The site's refusal, with the time that is left; `None` when it may be asked.
    pub fn refusal(&self, site: Site) -> Option<ExtractError> {
        let inner = self.inner();
        let Refusals { until, error, .. } =
            inner.get(&site).filter(|refusals| refusals.enough())?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        // Whole seconds, rounded up: the back-off is over when a client comes back then.
        let retry_after = Some(Duration::from_secs(left.as_secs() + 1));
        Some(match error {
            ExtractError::BotCheck { .. } => ExtractError::BotCheck { site, retry_after },
            _ => ExtractError::RateLimited { site, retry_after },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(site: Site, seconds: u64) -> ExtractError {
        ExtractError::RateLimited {
            site,
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn a_bot_check_stops_requests_at_once() {
        let backoffs = Backoffs::default();
        assert_eq!(backoffs.refusal(Site::SoundCloud), None);
        let wait = Some(Duration::from_secs(600));
        backoffs.record(&ExtractError::BotCheck {
            site: Site::SoundCloud,
            retry_after: wait,
        });
        let told = backoffs
            .refusal(Site::SoundCloud)
            .and_then(|error| error.retry_after())
            .expect("not asked");
        assert!((590..=600).contains(&told.as_secs()), "{told:?}");
        assert_eq!(
            backoffs.refusal(Site::Bandcamp),
            None,
            "the others are asked"
        );
        backoffs.record(&ExtractError::BotCheck {
            site: Site::YouTube,
            retry_after: wait,
        });
        assert_eq!(
            backoffs.refusal(Site::YouTube),
            None,
            "there they pass as often as not"
        );
    }

    #[test]
    fn a_site_that_limits_three_times_in_a_row_is_not_asked() {
        let backoffs = Backoffs::default();
        (0..2).for_each(|_| backoffs.record(&named(Site::Bandcamp, 99)));
        assert_eq!(
            backoffs.refusal(Site::Bandcamp),
            None,
            "two may be one link's"
        );
        backoffs.success(Site::Bandcamp);
        (0..3).for_each(|_| backoffs.record(&named(Site::Bandcamp, 99)));
        assert!(matches!(
            backoffs.refusal(Site::Bandcamp),
            Some(ExtractError::RateLimited { .. })
        ));
        (0..3).for_each(|_| backoffs.record(&named(Site::SoundCloud, 0)));
        assert_eq!(backoffs.refusal(Site::SoundCloud), None, "the time is over");
    }
}
