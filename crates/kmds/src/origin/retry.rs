//! The pauses between two tries of one request.

use std::time::Duration;

use kmds_extract::Site;

use super::client::Client;
use super::counters::count;
use crate::random;

/// Waits before try number `tries + 1` of audio, and counts it.
pub(crate) async fn pause_before_retry(
    client: &Client,
    site: Site,
    pauses: &[Duration],
    tries: u32,
) {
    count(&client.counters().site(site).retries, 1);
    tokio::time::sleep(random::varied(pause_before(pauses, tries))).await;
}

/// The pause before try number `tries + 1`; the last pause also counts for all later tries.
pub(super) fn pause_before(pauses: &[Duration], tries: u32) -> Duration {
    let place = usize::try_from(tries)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    pauses
        .get(place)
        .or(pauses.last())
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_as_listed_and_the_last_one_stays() {
        let pauses = [500, 1000, 2000].map(Duration::from_millis);
        let got: Vec<_> = (1..=5)
            .map(|tries| pause_before(&pauses, tries).as_millis())
            .collect();
        assert_eq!(got, [500, 1000, 2000, 2000, 2000]);
        assert_eq!(pause_before(&[], 1), Duration::ZERO);
    }
}
