//! The fetches that ask for one song, and their numbers.
//!
//! A song waits or runs for the fetch that came first: the queue and the job know that one. This file knows the others,
//! and whether the song is left to no fetch when some are cancelled. Plain values; the lock of `table` guards them,
//! except the numbers, which have their own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::lane::Requester;

/// How many fetches get a number from one millisecond, as a power of two: two runs may begin in the same second.
const A_MILLISECOND: u32 = 20;
/// The most other fetches that are recorded for one song.
const MOST_OTHERS: usize = 16;

/// The most fetches of other nodes whose numbers here are remembered.
const MOST_OF_NODES: usize = 256;

/// Gives each fetch a number.
#[derive(Debug)]
pub(super) struct Numbers {
    next: AtomicU64,
    /// The fetches that other nodes asked for songs of, by their numbers there, and their numbers here; the newest
    /// first.
    of_nodes: Mutex<VecDeque<(Requester, Requester)>>,
}

/// The fetches of one song beside its first one, while it waits or runs.
#[derive(Debug, Default)]
pub(super) struct Requesters {
    others: Vec<Requester>,
    /// The fetches of other nodes.
    of_nodes: Vec<Requester>,
    /// The first fetch was cancelled: the song is for the others.
    first_left: bool,
}

/// A song's state after fetches were cancelled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// None of the cancelled fetches asked for it.
    AsItWas,
    /// Another fetch asks for it.
    ToOthers,
    ToNone,
}

impl Numbers {
    /// Starts from this millisecond: rows keep the number of their fetch, so no number is used again after a restart.
    /// `any` number is added to it, so that two nodes that start at the same time give different ones.
    pub fn since(unix_millis: u64, any: u64) -> Self {
        let within = any & ((1 << A_MILLISECOND) - 1);
        Self {
            next: AtomicU64::new((unix_millis << A_MILLISECOND) | within),
            of_nodes: Mutex::default(),
        }
    }

    pub fn next(&self) -> Requester {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The number here of a fetch that has this number at another node: the same for all songs of the fetch, so that it
    /// gets its turn here too.
    pub fn of_node(&self, there: Requester) -> Requester {
        let mut of_nodes = self.of_nodes.lock();
        let at = of_nodes.iter().position(|(number, _)| *number == there);
        let known = at.and_then(|at| of_nodes.remove(at));
        let (_, here) = known.unwrap_or_else(|| (there, self.next()));
        of_nodes.push_front((there, here));
        of_nodes.truncate(MOST_OF_NODES);
        here
    }

    /// Skips all numbers up to `last`.
    pub fn skip(&self, last: Requester) {
        self.next
            .fetch_max(last.saturating_add(1), Ordering::Relaxed);
    }
}

impl Requesters {
    /// A fetch asks for a song that waits or runs for `first`.
    pub fn add(&mut self, first: Option<Requester>, fetch: Requester) {
        if first == Some(fetch) {
            // It may have been cancelled meanwhile.
            self.first_left = false;
        } else if self.others.len() < MOST_OTHERS && !self.others.contains(&fetch) {
            self.others.push(fetch);
        }
    }

    /// Marks a recorded fetch as that of another node.
    pub fn add_node(&mut self, fetch: Requester) {
        if self.of_nodes.len() <= MOST_OTHERS && !self.of_nodes.contains(&fetch) {
            self.of_nodes.push(fetch);
        }
    }

    /// Whether only other nodes asked.
    pub fn are_nodes(&self, first: Option<Requester>) -> bool {
        let mut all = first.iter().chain(&self.others);
        !self.of_nodes.is_empty() && all.all(|fetch| self.of_nodes.contains(fetch))
    }

    /// Removes cancelled fetches. If no other fetch asks for the song, the caller ends it.
    pub fn remove(&mut self, first: Requester, cancelled: &[Requester]) -> Left {
        let count = self.others.len();
        self.others.retain(|fetch| !cancelled.contains(fetch));
        let first_leaves = !self.first_left && cancelled.contains(&first);
        if self.others.len() == count && !first_leaves {
            return Left::AsItWas;
        }
        if self.others.is_empty() && (self.first_left || first_leaves) {
            return Left::ToNone;
        }
        self.first_left |= first_leaves;
        Left::ToOthers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(others: impl IntoIterator<Item = Requester>) -> Requesters {
        let mut asked = Requesters::default();
        for fetch in others {
            asked.add(Some(1), fetch);
        }
        asked
    }

    #[test]
    fn a_song_is_left_to_none_once_its_last_fetch_is_cancelled() {
        assert_eq!(asked_by([]).remove(1, &[1]), Left::ToNone);
        assert_eq!(asked_by([]).remove(1, &[9]), Left::AsItWas);
        let mut asked = asked_by([2, 3]);
        assert_eq!(asked.remove(1, &[9]), Left::AsItWas);
        assert_eq!(asked.remove(1, &[1, 2]), Left::ToOthers);
        assert_eq!(asked.remove(1, &[1]), Left::AsItWas, "it left before");
        assert_eq!(asked.remove(1, &[3]), Left::ToNone);
        assert_eq!(asked_by([2, 3]).remove(1, &[1, 2, 3]), Left::ToNone);
        assert_eq!(asked_by([2]).remove(1, &[2]), Left::ToOthers, "the first's");
    }

    #[test]
    fn a_first_fetch_that_asks_again_counts_again() {
        let mut asked = asked_by([2]);
        assert_eq!(asked.remove(1, &[1]), Left::ToOthers);
        asked.add(Some(1), 1);
        assert_eq!(asked.remove(1, &[2]), Left::ToOthers);
        assert_eq!(asked.remove(1, &[1]), Left::ToNone);
    }

    #[test]
    fn a_song_that_a_client_asks_for_too_is_not_for_nodes_only() {
        let mut asked = asked_by([2]);
        assert!(!asked.are_nodes(Some(1)));
        asked.add_node(1);
        assert!(!asked.are_nodes(Some(1)), "the second is a client's");
        asked.add_node(2);
        assert!(asked.are_nodes(Some(1)));
    }

    #[test]
    fn a_node_that_asks_for_a_song_again_and_again_leaves_room_for_another_one() {
        let mut asked = asked_by([2]);
        (0..1000).for_each(|_| asked.add_node(1));
        asked.add_node(2);
        assert!(asked.are_nodes(Some(1)));
    }

    #[test]
    fn of_a_song_that_all_ask_for_few_fetches_are_noted() {
        let mut asked = asked_by(2..1000);
        asked.add(Some(1), 2);
        (2..1000).for_each(|fetch| asked.add_node(fetch));
        assert_eq!(asked.others.len(), MOST_OTHERS);
        assert!(asked.of_nodes.len() <= MOST_OTHERS + 1);
    }

    #[test]
    fn numbers_of_an_earlier_run_are_not_given_again() {
        let numbers = Numbers::since(7, u64::MAX);
        let first = numbers.next();
        numbers.skip(0);
        assert!(numbers.next() > first);
        numbers.skip(first + 9);
        assert_eq!(numbers.next(), first + 10);
    }

    #[test]
    fn a_fetch_of_another_node_has_one_number_here_for_all_its_songs() {
        let numbers = Numbers::since(7, 0);
        let first = numbers.of_node(3);
        assert_ne!(numbers.of_node(4), first);
        assert_eq!(numbers.of_node(3), first);
        for there in 100..1000 {
            numbers.of_node(there);
        }
        assert!(numbers.of_nodes.lock().len() <= MOST_OF_NODES);
        assert_ne!(numbers.of_node(3), first, "it was long ago");
    }
}
