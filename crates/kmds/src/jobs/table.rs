//! The jobs that wait or run: one for each song and rendition, however many clients ask for it.
//!
//! Owns the jobs, and starting what the queue allows. [`withdraw`] has what fetches ask for and take back, [`requeue`]
//! the jobs that ran and wait again. A song of a long list is no more than a key in the queue until a client watches it
//! or its download starts. One lock guards jobs and queue together; a job's `watch` and the event board are told after
//! it is released. Never downloads: [`super::worker`] starts what runs.

mod requeue;
mod withdraw;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kmds_extract::{Failure, Format};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::{Board, EventName, Events, News, Origin};
use super::job::{Job, Status};
use super::lane::{LaneStats, Requester};
use super::queue::Queue;
use super::requesters::{Numbers, Requesters};
use crate::clock::unix_millis;
use crate::random;
use crate::store::{Key, State};

/// All jobs of this process.
#[derive(Debug)]
pub struct Table {
    inner: Mutex<TableState>,
    board: Arc<Board>,
    /// Rung when something may start.
    bell: Notify,
    /// The parent of every job's `cancel`.
    stop: CancellationToken,
    numbers: Numbers,
}

/// Invariant: a key that runs has its job in `jobs`; one in the queue has it there once it is watched.
#[derive(Debug)]
struct TableState {
    jobs: HashMap<Key, Arc<Job>>,
    queue: Queue,
    /// The requesters of songs for which a second fetch, or another node, has asked.
    requesters: HashMap<Key, Requesters>,
    /// Songs that go on at the next start: none of them starts again in this process.
    parked: HashSet<Key>,
}

impl Table {
    pub fn new(queue: Queue, stop: CancellationToken) -> Self {
        Self {
            inner: Mutex::new(TableState {
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

    fn inner(&self) -> MutexGuard<'_, TableState> {
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
    fn push(
        &self,
        inner: &mut TableState,
        key: &Key,
        requester: Requester,
        total: Option<u64>,
    ) -> bool {
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

    /// Makes these the songs that a queue plays next: they start in this order, before other songs that no client waits
    /// for.
    pub fn come(&self, queue: Requester, keys: Vec<Key>) {
        self.inner().queue.come(queue, keys);
        self.bell.notify_one();
    }

    /// Whether the song goes on at the next start only.
    pub fn is_parked(&self, key: &Key) -> bool {
        self.inner().parked.contains(key)
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

impl TableState {
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

    use super::super::lane::LaneId;
    use super::*;

    pub fn table(stop: &CancellationToken) -> Table {
        let queue = Queue::new(1, [(LaneId::Site(Site::YouTube), 1)]);
        Table::new(queue, stop.clone())
    }

    pub fn song(number: usize) -> Key {
        let id = TrackId::new(Site::YouTube, &number.to_string());
        Key::original(id.expect("an id"), Format::M4a)
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
