//! The jobs that wait or run: one for each song and rendition, however many clients ask for it.
//!
//! Owns the jobs, and starting what the queue allows; [`super::requesters`] knows who asked for each. A song of a long list is no more
//! than a key in the queue until a client watches it or its download starts. One lock for jobs and queue together; a job's
//! `watch` and the event board are told after it is released. Never downloads: [`super::worker`] starts what runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Failure, Format};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::{Board, EventName, Events, News, Origin};
use super::job::{Job, Relay, Status};
use super::queue::{LaneId, LaneStats, Queue, Requester};
use super::requesters::{Left, Numbers, Requesters};
use crate::clock::unix_millis;
use crate::random;
use crate::store::{Key, State};

/// All jobs of this process.
#[derive(Debug)]
pub struct Table {
    inner: Mutex<Inner>,
    board: Arc<Board>,
    /// Rung when something may start.
    bell: Notify,
    /// The parent of every job's `cancel`.
    stop: CancellationToken,
    numbers: Numbers,
}

/// Invariant: a key that runs has its job in `jobs`; one in the queue has it there once it is watched.
#[derive(Debug)]
struct Inner {
    jobs: HashMap<Key, Arc<Job>>,
    queue: Queue,
    /// Of the songs that another fetch than their first asked for, or another node.
    requesters: HashMap<Key, Requesters>,
    /// Songs that go on at the next start: none of them starts again in this process.
    parked: HashSet<Key>,
}

/// What [`Table::withdraw`] found.
#[derive(Debug, Default)]
pub struct Withdrawn {
    /// Songs that no other fetch asks for, and where they stood. Those that waited do not start any more.
    pub ended: Vec<(Arc<Job>, State)>,
    /// Songs that another fetch asks for too.
    pub kept: usize,
}

impl Table {
    pub fn new(queue: Queue, stop: CancellationToken) -> Self {
        Self {
            inner: Mutex::new(Inner {
                jobs: HashMap::new(),
                queue,
                requesters: HashMap::new(),
                parked: HashSet::new(),
            }),
            board: Arc::new(Board::new()),
            bell: Notify::new(),
            stop,
            numbers: Numbers::since(unix_millis(), random::number()),
        }
    }

    /// Whether the service has begun to stop; no job starts any more.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// A number for one fetch.
    pub fn new_requester(&self) -> Requester {
        self.numbers.next()
    }

    /// The number here of a fetch that another node asks for; a new one where that node does not tell.
    pub fn requester_of_node(&self, there: Option<Requester>) -> Requester {
        there.map_or_else(|| self.numbers.next(), |there| self.numbers.of_node(there))
    }

    /// Numbers of an earlier run are not given again.
    pub fn skip_requesters(&self, last: Requester) {
        self.numbers.skip(last);
    }

    /// Events after `last` as far as they are still kept, then new ones as they come.
    pub fn events(&self, last: Option<u64>) -> Events {
        self.board.subscribe(last)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// The song's job, to watch it.
    pub fn get(&self, key: &Key) -> Option<Arc<Job>> {
        let mut inner = self.inner();
        if let Some(job) = inner.jobs.get(key) {
            return Some(Arc::clone(job));
        }
        let song = inner.queue.waits(key)?;
        Some(inner.job(key, song.requester, song.total, &self.stop))
    }

    /// What a watcher of the song's job would see now, and how long its site's pause keeps it waiting.
    pub fn status(&self, key: &Key) -> Option<Status> {
        let inner = self.inner();
        let mut status = match inner.jobs.get(key) {
            Some(job) => job.status(),
            None => Status::queued(inner.queue.waits(key)?.total),
        };
        let until = inner.queue.waits_until(key, Instant::now());
        status.waits_until = status.waits_until.max(until);
        Some(status)
    }

    pub fn waiting(&self) -> usize {
        self.inner().queue.len()
    }

    pub fn stats(&self) -> Vec<LaneStats> {
        self.inner().queue.stats(Instant::now())
    }

    /// Queues a song that is not watched: at the end of its requester's turn, unless it is queued or has a job.
    pub fn add(&self, key: &Key, requester: Requester, total: Option<u64>) {
        if self.push(&mut self.inner(), key, requester, total) {
            self.tell_queued(key, total);
        }
    }

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

    /// The song's job: the one there is, or a new one at the end of its requester's turn.
    pub fn enqueue(&self, key: &Key, requester: Requester, total: Option<u64>) -> Arc<Job> {
        let (is_new, job) = {
            let mut inner = self.inner();
            let is_new = self.push(&mut inner, key, requester, total);
            let (requester, total) = inner
                .queue
                .waits(key)
                .map_or((requester, total), |song| (song.requester, song.total));
            (is_new, inner.job(key, requester, total, &self.stop))
        };
        if is_new {
            self.tell_queued(key, total);
        }
        job
    }

    /// False if it is queued or has a job already.
    fn push(&self, inner: &mut Inner, key: &Key, requester: Requester, total: Option<u64>) -> bool {
        match inner.jobs.get(key) {
            // A cancelled job is on its way out: this caller wants the song again.
            Some(job) if job.cancel.is_cancelled() && !self.stop.is_cancelled() => {
                inner.remove(key);
            }
            Some(_) => {
                inner.note(key, requester);
                return false;
            }
            None if inner.queue.waits(key).is_some() => {
                inner.note(key, requester);
                return false;
            }
            None => {}
        }
        inner.queue.push(key.clone(), requester, total);
        true
    }

    fn tell_queued(&self, key: &Key, total: Option<u64>) {
        self.board.state(&Status::queued(total).news(key));
        self.bell.notify_one();
    }

    /// Takes back what these fetches asked for: of these songs those that no other fetch asks for. The songs that waited have left the queue; the caller ends their jobs
    /// as those that run.
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

    /// Makes these the songs that a queue plays next: they start in this order, before other songs that no client waits for.
    pub fn come(&self, queue: Requester, keys: Vec<Key>) {
        self.inner().queue.come(queue, keys);
        self.bell.notify_one();
    }

    /// Takes back what a queue asked for: of these songs those that wait, and that no client and no other fetch asks for, do not
    /// start any more. The caller ends their jobs.
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

    /// Whether the song goes on at the next start only.
    pub fn is_parked(&self, key: &Key) -> bool {
        self.inner().parked.contains(key)
    }

    /// Puts a job that ran back into the queue: its site has asked for a pause.
    pub fn requeue_after(&self, job: &Job, pause: Duration) {
        self.put_back(job, None, |queue| {
            queue.pause(&job.key, Instant::now() + pause)
        });
    }

    /// Puts a job that ran back into the queue, before the other songs of its fetch: no node may ask the site before `until`,
    /// which is looked at again at `again`.
    pub fn requeue_first(&self, job: &Job, until: Instant, again: Instant) {
        self.put_back(job, Some(until), |queue| queue.pause(&job.key, again));
        self.inner().queue.bring_forward(&job.key);
    }

    /// Puts a job that ran back into the queue: the site does not serve its audio before `until`.
    pub fn hold_back(&self, job: &Job, until: Instant) {
        self.put_back(job, Some(until), |queue| queue.hold_back(&job.key, until));
    }

    /// The same, and no song of its site starts before `again`.
    pub fn hold_back_and_pause(&self, job: &Job, until: Instant, again: Instant) {
        self.put_back(job, Some(until), |queue| {
            queue.hold_back(&job.key, until);
            queue.pause(&job.key, again);
        });
    }

    /// Puts a job that ran back into the queue, to be brought by another node, or (`None`) by this one.
    pub fn hand_over(&self, job: &Job, relay: Option<Relay>) {
        self.put_back_as(job, relay, None, |_| ());
    }

    fn put_back(&self, job: &Job, until: Option<Instant>, hold: impl FnOnce(&mut Queue)) {
        self.put_back_as(job, None, until, hold);
    }

    fn put_back_as(
        &self,
        job: &Job,
        relay: Option<Relay>,
        until: Option<Instant>,
        hold: impl FnOnce(&mut Queue),
    ) {
        self.change(job, |status| {
            status.state = State::Queued;
            status.partial = None;
            status.waits_until = until;
        });
        let mut inner = self.inner();
        inner.queue.done(job.lane());
        hold(&mut inner.queue);
        job.set_relay(relay);
        job.set_converted(false);
        let (lane, total) = (job.lane(), job.status().total);
        inner
            .queue
            .push_into(lane, job.key.clone(), job.requester, total);
        if job.is_wanted() {
            inner.queue.promote(&job.key);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// The site asks this job, which keeps its place, to wait: nothing else of the site starts meanwhile either.
    pub async fn wait(&self, job: &Job, pause: Duration) {
        let until = Instant::now() + pause;
        self.inner().queue.pause(&job.key, until);
        self.wait_alone(job, until).await;
    }

    /// As [`Self::wait`], while the site's other songs come by other nodes.
    pub async fn wait_alone(&self, job: &Job, until: Instant) {
        self.change(job, |status| status.waits_until = Some(until));
        tokio::time::sleep_until(until).await;
        self.change(job, |status| status.waits_until = None);
    }

    /// All of this song has arrived. While it is converted, its site's place is free for the next song, as long as few songs
    /// are converted: each of them keeps its file twice.
    pub(super) fn has_arrived(&self, job: &Job) {
        let mut inner = self.inner();
        let from = job.lane();
        if matches!(from, LaneId::Site(_)) && inner.queue.move_running(from, LaneId::Conversions) {
            job.set_converted(true);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// A client waits for this song: it goes before the songs that no client waits for.
    pub fn promote(&self, job: &Job) {
        job.want();
        self.inner().queue.promote(&job.key);
        self.bell.notify_one();
    }

    /// A job's end, or nothing if it was forgotten meanwhile. `ran`: it held a place.
    pub fn finish(&self, job: &Job, end: Result<Format, Failure>, ran: bool) {
        self.change(job, |status| status.end(end));
        self.forget(job, ran);
    }

    /// The end of a job that ran, whose song goes on at the next start: its watchers are woken, and no event is sent.
    pub fn park(&self, job: &Job, why: Failure) {
        self.inner().parked.insert(job.key.clone());
        job.change(|status| status.end(Err(why)));
        self.forget(job, true);
    }

    fn forget(&self, job: &Job, ran: bool) {
        drop(job.take_lease());
        let mut inner = self.inner();
        let ours = inner
            .jobs
            .get(&job.key)
            .is_some_and(|have| std::ptr::eq(Arc::as_ptr(have), job));
        if ours {
            inner.remove(&job.key);
        }
        if ran {
            inner.queue.done(job.lane());
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Changes what watchers see, and tells of a change of state.
    pub fn change(&self, job: &Job, change: impl FnOnce(&mut Status)) {
        let mut moved = false;
        job.change(|status| {
            let before = status.state;
            change(status);
            moved = status.state != before;
        });
        if moved {
            self.announce(job);
        }
    }

    /// Tells the event stream how far a job is.
    pub fn progress(&self, job: &Job) {
        self.board.progress(&job.status().news(&job.key));
    }

    fn announce(&self, job: &Job) {
        let origin = if self.is_for_nodes_only(&job.key) {
            Origin::ForNode
        } else {
            Origin::Own
        };
        let status = job.status();
        let news = News {
            origin,
            ..status.news(&job.key)
        };
        // The node that asked for the song may get it from a third one: that node tells how it ends.
        if origin != Origin::ForNode || news.state != State::Failed {
            self.board.state(&news);
        }
    }

    /// What another node tells of a song.
    pub fn hear(&self, news: &News<'_>, name: EventName) {
        let has_job = {
            let inner = self.inner();
            inner.jobs.contains_key(news.key) || inner.queue.waits(news.key).is_some()
        };
        // This node tells of it itself.
        if !has_job {
            self.board.of_node(news, name);
        }
    }

    /// Waits until a job may start. Ends never; drop it to stop.
    pub async fn next(&self) -> Arc<Job> {
        loop {
            match self.take_next(Instant::now()) {
                Ok(job) => return job,
                Err(Some(until)) => tokio::select! {
                    () = self.bell.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                Err(None) => self.bell.notified().await,
            }
        }
    }

    /// The job that starts now; else when the next one may, if it only waits for a pause.
    fn take_next(&self, now: Instant) -> Result<Arc<Job>, Option<Instant>> {
        let mut inner = self.inner();
        match inner.queue.start_next(now) {
            Some((key, song)) => Ok(inner.job(&key, song.requester, song.total, &self.stop)),
            None => Err(inner.queue.next_end_of_pause(now)),
        }
    }
}

impl Inner {
    /// The fetch that a song waits or runs for.
    fn first_requester(&self, key: &Key) -> Option<Requester> {
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
    fn note(&mut self, key: &Key, requester: Requester) {
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

    fn remove(&mut self, key: &Key) {
        self.jobs.remove(key);
        self.queue.remove(key);
        self.requesters.remove(key);
    }

    /// The job of a song that waits or starts: the one there is, or a new one.
    fn job(
        &mut self,
        key: &Key,
        requester: Requester,
        total: Option<u64>,
        stop: &CancellationToken,
    ) -> Arc<Job> {
        let new = || Job::new(key, requester, total, stop.child_token());
        Arc::clone(
            self.jobs
                .entry(key.clone())
                .or_insert_with(|| Arc::new(new())),
        )
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Kind, Site, TrackId};

    use super::super::queue::LaneId;
    use super::*;

    fn table(stop: &CancellationToken) -> Table {
        let queue = Queue::new(1, [(LaneId::Site(Site::YouTube), 1)]);
        Table::new(queue, stop.clone())
    }

    fn song(number: usize) -> Key {
        let id = TrackId::new(Site::YouTube, &number.to_string());
        Key::original(id.expect("an id"), Format::M4a)
    }

    /// The songs that leave a queue.
    fn left(table: &Table, keys: &[Key], queue: Requester) -> Vec<Key> {
        let left = table.leave(keys, queue).into_iter();
        left.map(|job| job.key.clone()).collect()
    }

    #[tokio::test]
    async fn a_waiting_song_has_a_job_only_once_it_is_watched_or_started() {
        let table = table(&CancellationToken::new());
        for number in 0..3000 {
            table.add(&song(number), 1, Some(7));
        }
        assert_eq!((table.waiting(), table.inner().jobs.len()), (3000, 0));
        let status = table.status(&song(2000)).expect("it waits");
        assert_eq!((status.state, status.total()), (State::Queued, Some(7)));
        assert_eq!(table.inner().jobs.len(), 0, "a look makes no job");
        let watched = table.get(&song(2000)).expect("it waits");
        table.promote(&watched);
        let started = table.next().await;
        assert!(
            Arc::ptr_eq(&watched, &started),
            "the watched job is the one that runs"
        );
        assert_eq!(table.inner().jobs.len(), 1);
        table.finish(&started, Ok(Format::M4a), true);
        let next = table.next().await;
        assert_eq!(next.key, song(0), "the others keep their order");
        assert_eq!((table.waiting(), table.inner().jobs.len()), (2998, 1));
    }

    #[test]
    fn a_song_behind_a_pause_of_its_site_knows_when_it_goes_on() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        assert_eq!(table.status(&song(1)).expect("it waits").waits_until, None);
        let until = Instant::now() + Duration::from_secs(60);
        table.inner().queue.pause(&song(1), until);
        let waits_until = || table.status(&song(1)).expect("it waits").waits_until;
        assert_eq!(waits_until(), Some(until));
        let later = until + Duration::from_secs(9);
        table.inner().queue.hold_back(&song(1), later);
        assert_eq!(waits_until(), Some(later));
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

    #[test]
    fn a_parked_job_wakes_its_watchers_and_sends_no_event() {
        use futures_util::FutureExt;

        let table = table(&CancellationToken::new());
        let mut events = table.events(None);
        let mut next = || events.next().now_or_never().flatten();
        let parked = table.enqueue(&song(1), 1, None);
        assert_eq!(next().map(|event| event.state), Some(State::Queued));
        let watch = parked.watch();
        table.park(&parked, Failure::new(Kind::Cancelled, "the service stops"));
        assert!(watch.borrow().is_over() && table.get(&song(1)).is_none());
        assert!(next().is_none(), "the song goes on at the next start");
    }

    #[test]
    fn a_site_that_asks_for_a_pause_gets_it_and_the_song_waits_its_turn_again() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        table.add(&song(2), 2, None);
        let now = Instant::now();
        let limited = table.take_next(now).expect("a free place");
        table.requeue_after(&limited, Duration::from_secs(600));
        assert_eq!(limited.status().state, State::Queued);
        let until = table.take_next(now).expect_err("nothing starts meanwhile");
        let until = until.expect("a pause has an end");
        assert!(until >= now + Duration::from_secs(600));
        let next = table.take_next(until).expect("the pause is over");
        assert_eq!(next.key, song(2), "it is the other requester's turn");
    }

    #[test]
    fn a_song_that_is_held_back_lets_others_pass_and_starts_in_time() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        let now = Instant::now();
        let held = table.take_next(now).expect("a free place");
        assert!(held.may_be_held_back() && !held.may_be_held_back(), "once");
        let until = now + Duration::from_secs(150);
        table.hold_back(&held, until);
        assert_eq!(held.status().waits_until, Some(until));
        table.add(&song(2), 1, None);
        let other = table.take_next(now).expect("the place is free");
        assert_eq!(other.key, song(2));
        table.finish(&other, Ok(Format::M4a), true);
        assert_eq!(table.take_next(now).expect_err("too early"), Some(until));
        assert_eq!(table.take_next(until).expect("in time").key, song(1));
    }

    #[test]
    fn a_pause_in_mid_file_is_told_of_the_job_and_of_the_songs_behind_it() {
        use futures_util::FutureExt;

        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        table.add(&song(2), 1, None);
        let job = table.take_next(Instant::now()).expect("a free place");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().expect("a runtime");
        let _inside = runtime.enter();
        let waiting = table.wait(&job, Duration::from_secs(45));
        assert!(waiting.now_or_never().is_none());
        let [own, behind] = [1, 2].map(|number| {
            let status = table.status(&song(number)).expect("it is known");
            status.waits_until.expect("it waits")
        });
        assert_eq!(own, behind);
    }

    #[tokio::test]
    async fn a_cancelled_job_makes_way_for_a_new_one_and_its_end_does_not_touch_that() {
        let table = table(&CancellationToken::new());
        table.add(&song(1), 1, None);
        let old = table.next().await;
        old.cancel.cancel();
        let new = table.enqueue(&song(1), 2, None);
        assert!(!Arc::ptr_eq(&old, &new));
        table.finish(&old, Err(Failure::new(Kind::Cancelled, "removed")), true);
        assert!(Arc::ptr_eq(&table.next().await, &new));
    }
}
