//! The only place that reads the system's clock as Unix time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 if the machine's clock is before that.
#[must_use]
pub fn unix_now() -> u64 {
    since_1970().as_secs()
}

/// As [`unix_now`], in milliseconds.
#[must_use]
pub fn unix_millis() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
