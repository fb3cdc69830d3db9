//! Which refusals of one node another one may avoid. Pure.

use kmds_extract::{Failure, Kind};

use super::Question;

/// Whether the site has refused this address, and is not asked from it for a while.
#[must_use]
pub const fn is_of_address(kind: Kind) -> bool {
    matches!(kind, Kind::BotCheck | Kind::RateLimited)
}

/// Whether another address, or another line, may get what this one does not.
#[must_use]
pub const fn passes_on(kind: Kind) -> bool {
    is_of_address(kind)
        || matches!(
            kind,
            Kind::OriginFailed | Kind::OriginRefused | Kind::Timeout | Kind::GeoBlocked
        )
}

/// Whether the next node is asked after this refusal. A song is offered to all nodes.
pub(super) fn asks_on(question: &Question, failure: &Failure) -> bool {
    let is_song = matches!(question, Question::Song(_));
    let is_busy = failure.kind == Kind::QueueFull;
    passes_on(failure.kind) || is_busy || (is_song && failure.retryable())
}

/// The one of two refusals with the shorter pause; without pauses the later one.
#[must_use]
pub fn sooner(before: Option<Failure>, last: Failure) -> Failure {
    match (
        before.as_ref().and_then(|one| one.retry_after),
        last.retry_after,
    ) {
        (Some(one), other) if other.is_none_or(|other| one < other) => before.unwrap_or(last),
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_all_refusals_the_shortest_pause_is_told() {
        let limited = |seconds: Option<u64>| {
            let failure = Failure::new(Kind::RateLimited, "limited");
            Failure {
                retry_after: seconds.map(Duration::from_secs),
                ..failure
            }
        };
        for (refusals, told) in [
            ([Some(60), Some(2), Some(30)], Some(2)),
            ([None, Some(7), None], Some(7)),
            ([None, None, None], None),
        ] {
            let refusals = refusals.into_iter().map(limited);
            let last = refusals.fold(None, |before, last| Some(sooner(before, last)));
            let pause = last.expect("one").retry_after;
            assert_eq!(pause, told.map(Duration::from_secs));
        }
    }
}
