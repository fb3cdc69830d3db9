//! Which fetches ask for a song, and what is left when some of them take it back.
//!
//! Owns the rule that a song waits or runs as long as one fetch asks for it; [`super::super::requesters`] keeps them. A
//! cancelled song leaves the queue here; the caller ends its job.

use std::sync::Arc;

use super::{Table, TableState};
use crate::jobs::job::Job;
use crate::jobs::lane::Requester;
use crate::jobs::requesters::{Left, Requesters};
use crate::store::{Key, State};

/// What [`Table::withdraw`] found.
#[derive(Debug, Default)]
pub struct Withdrawn {
    /// Songs that no other fetch asks for, and where they stood. Those that waited do not start any more.
    pub ended: Vec<(Arc<Job>, State)>,
    /// Songs that another fetch asks for too.
    pub kept: usize,
}

impl Table {
    /// As [`Self::add`], for a fetch of another node.
    pub fn add_for_node(&self, key: &Key, requester: Requester, total: Option<u64>) {
        let is_new = {
            let mut inner = self.inner();
            let is_new = self.push(&mut inner, key, requester, total);
            inner.requesters_of(key).add_node(requester);
            is_new
        };
        if is_new {
            self.tell_queued(key, total);
        }
    }

    /// Whether only other nodes asked for the song.
    pub fn is_for_nodes_only(&self, key: &Key) -> bool {
        let inner = self.inner();
        let asked = inner.requesters.get(key);
        asked.is_some_and(|asked| asked.are_nodes(inner.first_requester(key)))
    }

    /// Takes back what these fetches asked for: of these songs those that no other fetch asks for. The songs that
    /// waited have left the queue; the caller ends their jobs as those that run.
    pub fn withdraw(&self, keys: &[Key], requesters: &[Requester]) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        let mut inner = self.inner();
        for key in keys {
            let Some(first) = inner.first_requester(key) else {
                continue;
            };
            match inner.cancel(key, first, requesters) {
                Left::AsItWas => continue,
                Left::ToOthers => {
                    withdrawn.kept += 1;
                    continue;
                }
                Left::ToNone => {}
            }
            let total = inner.queue.waits(key).and_then(|song| song.total);
            let job = inner.job(key, first, total, &self.stop);
            let state = job.status().state;
            inner.queue.remove(key);
            withdrawn.ended.push((job, state));
        }
        withdrawn
    }

    /// Takes back what a queue asked for: of these songs those that wait, and that no client and no other fetch asks
    /// for, do not start any more. The caller ends their jobs.
    pub fn leave(&self, keys: &[Key], queue: Requester) -> Vec<Arc<Job>> {
        let mut left = Vec::new();
        let mut inner = self.inner();
        for key in keys {
            if !inner.leaves(key, queue) {
                continue;
            }
            let total = inner.queue.waits(key).and_then(|song| song.total);
            left.push(inner.job(key, queue, total, &self.stop));
            inner.remove(key);
        }
        left
    }
}

impl TableState {
    /// The fetch that a song waits or runs for.
    pub(super) fn first_requester(&self, key: &Key) -> Option<Requester> {
        let waits = self.queue.waits(key).map(|song| song.requester);
        waits.or_else(|| self.jobs.get(key).map(|job| job.requester))
    }

    /// A queue does not ask for a song any more: whether it is left to wait for nothing.
    fn leaves(&mut self, key: &Key, queue: Requester) -> bool {
        let Some(first) = self.first_requester(key) else {
            return false;
        };
        if self.cancel(key, first, &[queue]) != Left::ToNone {
            return false;
        }
        let is_wanted = self.jobs.get(key).is_some_and(|job| job.is_wanted());
        !is_wanted && self.queue.waits(key).is_some()
    }

    /// Another fetch asks for a song that waits or runs.
    pub(super) fn note(&mut self, key: &Key, requester: Requester) {
        let first = self.first_requester(key);
        if first != Some(requester) || self.requesters.contains_key(key) {
            self.requesters_of(key).add(first, requester);
        }
    }

    fn cancel(&mut self, key: &Key, first: Requester, fetches: &[Requester]) -> Left {
        match self.requesters.get_mut(key) {
            Some(asked) => asked.remove(first, fetches),
            None => Requesters::default().remove(first, fetches),
        }
    }

    fn requesters_of(&mut self, key: &Key) -> &mut Requesters {
        self.requesters.entry(key.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::tests::{song, table};
    use super::*;

    /// The songs that leave a queue.
    fn left(table: &Table, keys: &[Key], queue: Requester) -> Vec<Key> {
        let left = table.leave(keys, queue).into_iter();
        left.map(|job| job.key.clone()).collect()
    }

    #[test]
    fn a_song_that_leaves_a_queue_waits_on_only_if_another_asks_for_it() {
        let table = table(&CancellationToken::new());
        for number in 1..=4 {
            table.add(&song(number), 7, None);
        }
        table.add(&song(2), 8, None);
        table.add(&song(5), 8, None);
        table.add(&song(5), 7, None);
        table.promote(&table.get(&song(3)).expect("it waits"));
        let all: Vec<Key> = (1..=5).map(song).collect();
        assert_eq!(left(&table, &all, 7), [song(1), song(4)]);
        assert_eq!(table.waiting(), 3);
        assert_eq!(left(&table, &all, 8), [song(2), song(5)], "theirs now");
    }

    #[test]
    fn a_song_that_comes_back_to_a_queue_is_not_lost_with_the_list_that_asked_for_it_too() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 7, None);
        table.add(&song(1), 8, None);
        assert!(table.leave(&[song(1)], 7).is_empty(), "the list's now");
        table.add(&song(1), 7, None);
        let withdrawn = table.withdraw(&[song(1)], &[8]);
        assert_eq!((withdrawn.ended.len(), withdrawn.kept), (0, 1));
        let left = left(&table, &[song(1)], 7);
        assert_eq!(left, [song(1)], "the queue's alone");
    }

    #[tokio::test]
    async fn a_song_that_is_fetched_again_while_it_is_removed_is_the_new_fetchs_alone() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        table.add(&song(1), 2, None);
        let removed = table.next().await;
        assert_eq!(table.withdraw(&[song(1)], &[1]).kept, 1);
        removed.cancel.cancel();
        table.add(&song(1), 3, None);
        let withdrawn = table.withdraw(&[song(1)], &[3]);
        assert_eq!((withdrawn.ended.len(), withdrawn.kept), (1, 0));
    }
}
