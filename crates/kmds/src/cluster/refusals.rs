//! Which refusals of one node another one may avoid. Pure.

use std::time::Duration;

use kmds_extract::{Failure, Kind, Site};

use super::Question;

/// A node says this of a site that limits it, when it refuses a song without a question to the site.
pub const NOT_ASKED: &str = "limits requests from this node's address";

/// A site is not asked from an address: for how long, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    pub left: Duration,
    pub kind: Kind,
}

impl Closed {
    /// What a refusal means; `None` if it names no time.
    #[must_use]
    pub fn by(failure: &Failure) -> Option<Self> {
        let kind = failure.kind;
        failure.retry_after.map(|left| Self { left, kind })
    }

    /// What a node says that refuses a song without a question to the site.
    #[must_use]
    pub fn not_asked(self, site: Site) -> Failure {
        Failure::new(self.kind, format!("{site} {NOT_ASKED}")).after(self.left)
    }
}

/// Of two the one that lasts longer.
#[must_use]
pub fn longer(one: Option<Closed>, other: Option<Closed>) -> Option<Closed> {
    one.into_iter()
        .chain(other)
        .max_by_key(|closed| closed.left)
}

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
