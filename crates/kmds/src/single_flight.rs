//! One running question for each key, however many callers ask it.
//!
//! Owns the questions under way: all callers with the same key wait for the answer that one of them is finding. If that
//! caller is dropped, the next waiting one finds the answer instead. Nothing is remembered: an entry is removed with
//! its answer, or with its last caller. The lock is never held across an await.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// The questions under way. Invariant: an entry exists while one of its [`Seat`]s does, and has no answer yet.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, V> {
    open: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlight<K, V> {
    /// The answer of the question under way for this key, else of `ask`.
    pub(crate) async fn run<F>(&self, key: K, ask: impl FnOnce() -> F) -> V
    where
        F: Future<Output = V>,
    {
        self.join(key).answer(ask).await
    }

    /// Takes part in the question of this key. Until [`Seat::close`] or its answer, later callers take part in it too.
    pub(crate) fn join(&self, key: K) -> Seat<'_, K, V> {
        let cell = Arc::clone(self.open.lock().entry(key.clone()).or_default());
        Seat {
            flight: self,
            key,
            cell,
        }
    }
}

/// One caller's part in a question; the last one that is dropped removes the entry.
#[derive(Debug)]
pub(crate) struct Seat<'f, K: Eq + Hash, V> {
    flight: &'f SingleFlight<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Eq + Hash, V: Clone> Seat<'_, K, V> {
    /// Waits for the answer; of all seats one runs its `ask`.
    pub(crate) async fn answer<F>(&self, ask: impl FnOnce() -> F) -> V
    where
        F: Future<Output = V>,
    {
        self.cell.get_or_init(ask).await.clone()
    }
}

impl<K: Eq + Hash, V> Seat<'_, K, V> {
    /// Whether later callers still take part in this question.
    pub(crate) fn is_open(&self) -> bool {
        let open = self.flight.open.lock();
        open.get(&self.key)
            .is_some_and(|have| Arc::ptr_eq(have, &self.cell))
    }

    /// Later callers start a new question.
    pub(crate) fn close(&self) {
        let mut open = self.flight.open.lock();
        if open
            .get(&self.key)
            .is_some_and(|have| Arc::ptr_eq(have, &self.cell))
        {
            open.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        // Only this seat and the map hold it: no other seat is left.
        if Arc::strong_count(&self.cell) <= 2 || self.cell.initialized() {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_who_ask_at_once_get_one_answer_and_a_later_caller_asks_anew() {
        let flight = SingleFlight::default();
        let asked = AtomicU32::new(0);
        let ask = || async {
            tokio::task::yield_now().await;
            asked.fetch_add(1, Ordering::Relaxed)
        };
        let all = (0..9).map(|_| flight.run("song", ask));
        assert_eq!(join_all(all).await, [0; 9]);
        assert_eq!(flight.run("song", ask).await, 1);
        assert!(flight.open.lock().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_the_question_to_the_next() {
        let flight = SingleFlight::default();
        let never = Notify::new();
        let mut first = Box::pin(flight.run(7, || async {
            never.notified().await;
            "first"
        }));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(flight.run(7, || async { "second" }));
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        drop(first);
        assert_eq!(second.await, "second");
        drop(flight.join(8));
        assert!(flight.open.lock().is_empty());
    }

    #[tokio::test]
    async fn a_closed_question_takes_no_more_callers() {
        let flight = SingleFlight::default();
        let seat = flight.join("list");
        seat.close();
        let other = flight.join("list");
        assert!(!seat.is_open() && other.is_open());
        assert_eq!(seat.answer(|| async { 1 }).await, 1);
        assert_eq!(other.answer(|| async { 2 }).await, 2);
        drop(seat);
        assert!(other.is_open() || other.cell.initialized());
    }
}
