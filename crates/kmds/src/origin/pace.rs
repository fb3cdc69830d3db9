//! The least time between two page requests to one site.
//!
//! Owns when the next request may start: a fixed time after the last one started, and also after it was answered, since
//! a new connection may bring it to the site late. A client's request books the next free moment. Background work takes
//! a moment only if no request has booked it, so it never delays a client.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// First moment that is not booked. It only ever moves forward.
    free: Mutex<Option<Instant>>,
    /// Background work waits one behind the other.
    background: tokio::sync::Mutex<()>,
}

impl Pace {
    /// Waits for the next moment with `apart` between starts.
    /// # Errors
    /// The wait, if it is longer than `longest`; then nothing was booked and nothing waited.
    pub(super) async fn book(&self, apart: Duration, longest: Duration) -> Result<(), Duration> {
        if apart.is_zero() {
            return Ok(());
        }
        let start = {
            let mut free = self.free.lock();
            let now = Instant::now();
            let start = free.map_or(now, |free| free.max(now));
            if start - now > longest {
                return Err(start - now);
            }
            *free = Some(start + apart);
            start
        };
        tokio::time::sleep_until(start).await;
        Ok(())
    }

    /// A request was answered just now.
    pub(super) fn answered(&self, apart: Duration) {
        if !apart.is_zero() {
            let mut free = self.free.lock();
            let next = Instant::now() + apart;
            *free = Some(free.map_or(next, |free| free.max(next)));
        }
    }

    /// Waits without a limit for a moment that is not booked.
    pub(super) async fn wait_behind(&self, apart: Duration) {
        if apart.is_zero() {
            return;
        }
        let _turn = self.background.lock().await;
        loop {
            let start = {
                let mut free = self.free.lock();
                let now = Instant::now();
                match *free {
                    Some(at) if at > now => at,
                    _ => {
                        *free = Some(now + apart);
                        return;
                    }
                }
            };
            tokio::time::sleep_until(start).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Short, so that the tests are; long enough that a slow machine keeps the order.
    const APART: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn starts_are_apart_and_the_first_waits_for_nothing() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.book(Duration::from_secs(60), Duration::ZERO)
            .await
            .expect("it is the first");
        let pace_of_others = Pace::default();
        for place in 0..4 {
            pace_of_others
                .book(APART, 5 * APART)
                .await
                .expect("short wait");
            assert!(begun.elapsed() >= place * APART);
        }
    }

    #[tokio::test]
    async fn a_late_answer_moves_the_next_free_moment() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.book(APART, Duration::ZERO).await.expect("first");
        tokio::time::sleep(3 * APART).await;
        pace.answered(APART);
        pace.book(APART, 5 * APART).await.expect("short wait");
        assert!(begun.elapsed() >= 4 * APART);
    }

    #[tokio::test]
    async fn a_wait_beyond_the_longest_is_told_and_books_nothing() {
        let pace = Pace::default();
        let minute = Duration::from_secs(60);
        pace.book(minute, minute / 2).await.expect("first");
        for _ in 0..2 {
            let wait = pace
                .book(minute, minute / 2)
                .await
                .expect_err("one is before it");
            assert!(wait > minute / 2 && wait <= minute, "{wait:?}");
        }
    }

    #[tokio::test]
    async fn background_work_waits_behind_all_clients() {
        let pace = Arc::new(Pace::default());
        pace.book(APART, 5 * APART).await.expect("first");
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = ["background", "client", "client", "client"]
            .into_iter()
            .map(|who| {
                let (pace, order) = (Arc::clone(&pace), Arc::clone(&order));
                tokio::spawn(async move {
                    match who {
                        "client" => pace.book(APART, 5 * APART).await.expect("short wait"),
                        _ => pace.wait_behind(APART).await,
                    }
                    order.lock().push(who);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.lock(), ["client", "client", "client", "background"]);
    }
}
