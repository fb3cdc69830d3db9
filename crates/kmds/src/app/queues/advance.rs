//! The task of a queue: its near songs become ready, in their order, and are held.
//!
//! Owns what is near: the first `ahead` songs that were not begun, without those that fail. A song's site is asked for
//! it only then, one song after the other. A song that fails for good is passed over; one whose failure may pass is
//! tried again after a while, and only a few of them are passed over at a time, so that a site that is down does not
//! make a queue run through.

use std::time::Duration;

use futures_util::future::select_all;
use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Kind, Resolved, Track, TrackId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::api::{Holder, Key, State};
use super::super::target::Target;
use super::super::{Inner, too_slow};
use super::PLAYED_KEPT;
use super::entry::KnownSong;
use super::live::SongNote;
use crate::jobs::{Status, store_failure};
use crate::store::{PlayQueue, Row};

/// Songs that failed, and are passed over at most.
const MOST_FAILED: usize = 25;
/// At most so many of them have a failure that may pass.
const MOST_PASSING: usize = 3;
/// A song whose failure may pass is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// After so long a queue is looked at again when the catalog failed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What a look at a queue leaves to do.
#[derive(Default)]
pub(super) struct Pass {
    /// The site has to be asked for the song at this place, of this order of the songs.
    resolve: Option<(usize, u64, Target)>,
    /// Songs that wait or run.
    jobs: Vec<watch::Receiver<Status>>,
    /// A song is tried again, or the queue ends.
    wake: Option<Instant>,
}

/// What a song of a queue is to it now.
enum SongInQueue {
    /// It is ready, or on its way.
    Near(Near),
    /// It is known; songs before it come first.
    Later(Key),
    /// Its site has to be asked.
    Unknown(Target),
    /// It is passed over; its failure may pass then.
    Failed(Option<Instant>),
}

struct Near {
    key: Key,
    is_ready: bool,
    /// Set for a song that waits or runs.
    job: Option<watch::Receiver<Status>>,
}

/// A look at a queue from its first song on.
struct Look {
    facts: PlayQueue,
    near: Vec<(usize, Key)>,
    coming: Vec<Key>,
    /// Songs that were not begun, and are ready.
    ready: usize,
    /// Near songs that are not known yet.
    unknown: usize,
    failed: usize,
    passing: usize,
    pass: Pass,
}

impl Inner {
    /// Looks after a queue until it has ended.
    pub(super) async fn follow(&self, name: &str, requester: u64, bell: &Notify) {
        loop {
            let pass = {
                let _turn = self.queues.turn.lock().await;
                let is_ours = |facts: PlayQueue| facts.requester == requester;
                if !self.queues.facts(name).is_some_and(is_ours) {
                    return;
                }
                self.pass(name).await
            };
            let pass = match pass {
                Ok(Some(pass)) => pass,
                Ok(None) => return,
                Err(failure) => {
                    tracing::warn!(target: "kmds::app", %failure, queue = name, "a queue cannot be looked after");
                    Pass {
                        wake: Some(Instant::now() + LOOK_AGAIN),
                        ..Pass::default()
                    }
                }
            };
            if let Some((place, order, target)) = pass.resolve {
                tokio::select! {
                    () = bell.notified() => {}
                    () = self.resolve_entry(name, (place, order), &target) => {}
                }
                continue;
            }
            let over = async {
                let waits = pass.jobs.into_iter().map(|mut job| {
                    // An error means that the job was forgotten: its row tells why.
                    Box::pin(async move { drop(job.wait_for(Status::is_over).await) })
                });
                let waits: Vec<_> = waits.collect();
                if waits.is_empty() {
                    std::future::pending().await
                } else {
                    drop(select_all(waits).await);
                }
            };
            let wake = async {
                match pass.wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = bell.notified() => {}
                () = over => {}
                () = wake => {}
            }
        }
    }

    /// Queues what of a queue is near and holds it; lets go what is not near any more. `None`: the queue has ended. The
    /// caller holds `turn`.
    pub(super) async fn pass(&self, name: &str) -> Result<Option<Pass>, Failure> {
        let Some((facts, mut seen, _)) = self.queues.look(name) else {
            return Ok(None);
        };
        let Ok(left) = Duration::try_from(facts.until.duration_since(Timestamp::now())) else {
            self.end_queue(name).await?;
            return Ok(None);
        };
        self.note_begun(name, facts.begun).await?;
        let from = facts.begun.saturating_sub(PLAYED_KEPT);
        let most = PLAYED_KEPT + facts.ahead + MOST_FAILED;
        let songs = self.store.queue_songs(name, from, most).await;
        let mut look = Look::new(facts, left);
        seen.retain(|place, _| *place >= from);
        for (song, place) in songs.map_err(store_failure)?.iter().zip(from..) {
            if look.is_enough(place) {
                break;
            }
            let seen = seen.entry(place).or_default();
            let standing = self.standing(&look, place, song, seen).await?;
            look.note(place, standing);
        }
        self.take_up(name, &mut look, left, seen).await?;
        Ok(Some(look.pass))
    }

    /// What a song is to its queue now; it is queued if it is its turn.
    async fn standing(
        &self,
        look: &Look,
        place: usize,
        song: &str,
        seen: &mut SongNote,
    ) -> Result<SongInQueue, Failure> {
        if let Some((failure, at)) = &seen.failure {
            let again = *at + TRY_AGAIN;
            if !failure.retryable() {
                return Ok(SongInQueue::Failed(None));
            }
            if again > Instant::now() {
                return Ok(SongInQueue::Failed(Some(again)));
            }
            seen.failure = None;
        }
        let entry = match self.read_entry(song) {
            Ok(entry) => entry,
            // Its site was switched off since.
            Err(failure) => return Ok(failed(seen, failure)),
        };
        let (facts, is_begun) = (&look.facts, place < look.facts.begun);
        let accept = facts.accept.as_ref();
        let known = self.known_entry(&entry, seen, accept, facts.requester);
        let known = match known.await {
            Ok(known) => known,
            Err(failure) => return Ok(failed(seen, failure)),
        };
        let Some(KnownSong { row, asked }) = known else {
            if is_begun {
                return Ok(SongInQueue::Failed(None));
            }
            return Ok(match self.target_of(&entry) {
                Ok(target) => SongInQueue::Unknown(target),
                Err(failure) => failed(seen, failure),
            });
        };
        let key = asked.key.clone();
        self.windows.leave(std::slice::from_ref(key.track()));
        if row.is_none()
            && let Some(removed) = self.removed_form(&facts.name, key.track(), accept).await?
        {
            (seen.key, seen.accepted) = (Some(removed), true);
            return Ok(SongInQueue::Failed(None));
        }
        if is_begun {
            let (is_ready, job) = (false, None);
            return Ok(SongInQueue::Near(Near { key, is_ready, job }));
        }
        let needs = match &row {
            Some(row) if seen.accepted => match needs(row) {
                Ok(needs) => needs,
                Err(again) => return Ok(SongInQueue::Failed(again)),
            },
            _ => true,
        };
        if look.unknown > 0 && needs {
            return Ok(SongInQueue::Later(key));
        }
        let row = match row {
            Some(row) if !needs => row,
            _ => match self.accept_song(asked, facts.requester).await {
                Ok(row) => row,
                Err(failure) => return Ok(failed(seen, failure)),
            },
        };
        (seen.key, seen.accepted) = (Some(row.key.clone()), true);
        if row.state == State::Failed {
            return Ok(SongInQueue::Failed(None));
        }
        // One that goes on at the next start only has no job until then.
        let job = (row.state.is_pending() && !self.table.is_parked(&row.key)).then(|| {
            self.table
                .enqueue(&row.key, facts.requester, row.total_bytes)
                .watch()
        });
        Ok(SongInQueue::Near(Near {
            is_ready: row.state == State::Ready,
            key: row.key,
            job,
        }))
    }

    /// Makes what was looked at the queue's near songs.
    async fn take_up(
        &self,
        name: &str,
        look: &mut Look,
        left: Duration,
        seen: std::collections::BTreeMap<usize, SongNote>,
    ) -> Result<(), Failure> {
        let requester = look.facts.requester;
        let keys: Vec<Key> = look.near.iter().map(|(_, key)| key.clone()).collect();
        let holder = Holder::Queue(name.to_owned());
        let held = self
            .store
            .hold_only(keys.clone(), &holder, Some(left))
            .await;
        held.map_err(store_failure)?;
        self.table.come(requester, look.coming.clone());
        let (before, order) = {
            let mut live = self.queues.live.lock();
            let order = live.queues.get_mut(name).map_or(0, |queue| {
                queue.seen = seen;
                queue.ready = look.ready;
                queue.order
            });
            (live.set_near(name, look.near.clone()), order)
        };
        let gone = before.into_iter().filter(|key| !keys.contains(key));
        let gone: Vec<Key> = gone.collect();
        self.let_go(&gone, requester).await?;
        if let Some((_, of_order, _)) = &mut look.pass.resolve {
            *of_order = order;
        }
        Ok(())
    }

    /// Asks the site for a song, and queues it.
    async fn resolve_entry(&self, name: &str, (place, order): (usize, u64), target: &Target) {
        let Some(facts) = self.queues.facts(name) else {
            return;
        };
        let accept = facts.accept.as_ref().unwrap_or(&self.accept);
        let resolving = self.resolver.resolve(target, accept);
        let resolved = timeout(self.resolver.limit(target), resolving).await;
        let resolved = resolved.unwrap_or_else(|_| Err(too_slow()));
        let _turn = self.queues.turn.lock().await;
        let is_same = {
            let live = self.queues.live.lock();
            let queue = live.queues.get(name);
            queue.is_some_and(|queue| queue.order == order)
        };
        if !is_same {
            return;
        }
        let song = match resolved.as_deref() {
            Ok(Resolved::Track(track)) => self.take_unless_removed(track, &facts).await,
            Ok(Resolved::Collection(_)) => {
                let sentence = "this leads to a list; fetch it, and send its songs";
                Err(Failure::new(Kind::UnsupportedLink, sentence))
            }
            Err(failure) => Err(failure.clone()),
        };
        let mut live = self.queues.live.lock();
        let Some(queue) = live.queues.get_mut(name) else {
            return;
        };
        let seen = queue.seen.entry(place).or_default();
        match song {
            Ok(key) => (seen.key, seen.accepted) = (Some(key), true),
            Err(failure) => seen.failure = Some((failure, Instant::now())),
        }
    }

    /// Queues a song that its site told of; one that a client removed stays as it is.
    async fn take_unless_removed(&self, track: &Track, facts: &PlayQueue) -> Result<Key, Failure> {
        let wishes = facts.accept.as_ref();
        if let Some(removed) = self.removed_form(&facts.name, &track.id, wishes).await? {
            return Ok(removed);
        }
        let accept = wishes.unwrap_or(&self.accept);
        let song = self.take_song(track, accept, facts.requester).await?;
        Ok(song.key)
    }

    /// The form of a song that a client removed after this queue was written, if the queue is to leave the song out:
    /// all its forms are gone, or the one for this queue's client is.
    async fn removed_form(
        &self,
        queue: &str,
        song: &TrackId,
        accept: Option<&Accept>,
    ) -> Result<Option<Key>, Failure> {
        let removed = self.store.removed_since(queue, song).await;
        let removed = removed.map_err(store_failure)?;
        if removed.is_empty() {
            return Ok(None);
        }
        let mut rows = self.store.renditions(song).await.map_err(store_failure)?;
        rows.retain(|row| !row.key.is_copy());
        let is_gone = rows.iter().all(|row| row.state == State::Deleted);
        let is_meant = |row: &&Row| is_gone || accept == Some(&row.accept);
        let of_queue = rows.iter().filter(is_meant).map(|row| &row.key);
        Ok(of_queue.cloned().rfind(|key| removed.contains(key)))
    }
}

/// Whether a song that was asked for has to be asked for again. When its failure may have passed, if it is to be passed
/// over.
fn needs(row: &Row) -> Result<bool, Option<Instant>> {
    match row.state {
        // A client removed it: only a new order brings it back.
        State::Deleted => Err(None),
        State::Failed if !is_passing(row) => Err(None),
        State::Failed => match needs_again(row) {
            Some(again) if again > Instant::now() => Err(Some(again)),
            _ => Ok(true),
        },
        State::Evicted => Ok(true),
        _ => Ok(false),
    }
}

fn is_passing(row: &Row) -> bool {
    row.failure.as_ref().is_some_and(Failure::retryable)
}

/// When a song that failed is tried again.
fn needs_again(row: &Row) -> Option<Instant> {
    let since = Timestamp::now().duration_since(row.failed_at?);
    let since = Duration::try_from(since).unwrap_or_default();
    Some(Instant::now() + TRY_AGAIN.saturating_sub(since))
}

fn failed(seen: &mut SongNote, failure: Failure) -> SongInQueue {
    let now = Instant::now();
    let again = failure.retryable().then(|| now + TRY_AGAIN);
    seen.failure = Some((failure, now));
    SongInQueue::Failed(again)
}

impl Look {
    fn new(facts: PlayQueue, left: Duration) -> Self {
        Self {
            facts,
            near: Vec::new(),
            coming: Vec::new(),
            ready: 0,
            unknown: 0,
            failed: 0,
            passing: 0,
            pass: Pass {
                wake: Some(Instant::now() + left),
                ..Pass::default()
            },
        }
    }

    /// The songs from this place on are not near.
    fn is_enough(&self, place: usize) -> bool {
        let begun = |(at, _): &&(usize, Key)| *at < self.facts.begun;
        let near = self.near.len() - self.near.iter().filter(begun).count() + self.unknown;
        place >= self.facts.begun
            && (near >= self.facts.ahead
                || self.failed >= MOST_FAILED
                || self.passing >= MOST_PASSING)
    }

    fn note(&mut self, place: usize, standing: SongInQueue) {
        match standing {
            SongInQueue::Near(near) => {
                if place >= self.facts.begun {
                    self.coming.push(near.key.clone());
                    self.ready += usize::from(near.is_ready);
                }
                self.pass.jobs.extend(near.job);
                self.near.push((place, near.key));
            }
            SongInQueue::Later(key) => self.near.push((place, key)),
            SongInQueue::Unknown(target) => {
                if self.unknown == 0 {
                    self.pass.resolve = Some((place, 0, target));
                }
                self.unknown += 1;
            }
            SongInQueue::Failed(again) if place >= self.facts.begun => {
                self.failed += 1;
                self.passing += usize::from(again.is_some());
                self.pass.wake = [self.pass.wake, again].into_iter().flatten().min();
            }
            SongInQueue::Failed(_) => {}
        }
    }
}
