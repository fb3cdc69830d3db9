//! Replies to long lists: only a few lists are in memory at a time.
//!
//! Owns the places: at most [`AT_ONCE`] lists are held, each until the last of its replies is written. One list at a
//! time is written into the catalog, since its rows are in memory several times meanwhile. Clients that ask for the
//! same list while it waits for its turn share one reply, which is in memory once. A request takes the turn before the
//! place.

use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Failure, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::api::Fetched;
use super::too_slow;
use crate::single_flight::SingleFlight;

/// A list with this many songs is long: it takes some KB for each song until its reply is written.
pub(super) const LONG_LIST_SONGS: usize = 200;
/// Long lists held at once.
const AT_ONCE: usize = 4;
/// How long a client without a place should wait: a reply whose client does not read ends after 10 s.
const RETRY: Duration = Duration::from_secs(10);

/// The places, and the lists that wait for one.
pub(super) struct LongLists {
    turn: tokio::sync::Mutex<()>,
    places: Arc<Semaphore>,
    waiting: SingleFlight<String, Result<Fetched, Failure>>,
}

impl Default for LongLists {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: SingleFlight::default(),
        }
    }
}

impl LongLists {
    /// The result of `take` for a list, once it has a place; all requests for the `same` list meanwhile share it.
    pub(super) async fn reply<F>(
        &self,
        same: String,
        deadline: Instant,
        take: impl FnOnce(Option<Arc<OwnedSemaphorePermit>>) -> F,
    ) -> Result<Fetched, Failure>
    where
        F: Future<Output = Result<Fetched, Failure>>,
    {
        let seat = self.waiting.join(same);
        let in_turn = || async {
            let _turn = self.turn.lock().await;
            let place = Arc::clone(&self.places).acquire_owned().await;
            // Later callers start again: songs may be removed while these are taken.
            seat.close();
            take(place.ok().map(Arc::new)).await
        };
        match timeout_at(deadline, seat.answer(in_turn)).await {
            Ok(fetched) => fetched,
            Err(_) if seat.is_open() => Err(all_taken()),
            Err(_) => Err(too_slow()),
        }
    }
}

/// No place became free in time.
fn all_taken() -> Failure {
    let sentence = format!(
        "{AT_ONCE} replies to long lists are in progress already; try again when one is done"
    );
    Failure::new(Kind::QueueFull, sentence).after(RETRY)
}

#[cfg(test)]
mod tests {
    use kmds_extract::Site;

    use super::*;

    fn fetched(place: Option<Arc<OwnedSemaphorePermit>>) -> Fetched {
        Fetched {
            id: "PL1".to_owned(),
            site: Site::YouTube,
            link: "https://a.example/list".to_owned(),
            list: None,
            songs: Arc::default(),
            unavailable: Vec::new(),
            truncated: false,
            room: place,
        }
    }

    #[tokio::test]
    async fn a_list_without_a_place_waits_for_one_and_not_beyond_its_time() {
        let lists = LongLists::default();
        let ask = |name: &str, within: Duration| {
            let take = |place| async { Ok(fetched(place)) };
            lists.reply(name.to_owned(), Instant::now() + within, take)
        };
        let long = Duration::from_secs(600);
        let mut held = Vec::new();
        for name in ["a", "b", "c", "d"] {
            held.push(ask(name, long).await.expect("there is a place"));
        }
        let refused = ask("e", Duration::ZERO).await.expect_err("all are taken");
        assert_eq!(refused.kind, Kind::QueueFull);
        assert_eq!(refused.retry_after, Some(RETRY));
        let (late, ()) = tokio::join!(ask("e", long), async { drop(held.pop()) });
        assert!(late.is_ok(), "a place became free in time");
    }
}
