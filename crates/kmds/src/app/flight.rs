//! One job a song and form: late askers join it.
//!
//! Owns the jobs that wait or run, their states as watchers see them, and starting what the queue allows. Hides tasks.
//! Never downloads: [`super::work`] does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kmds_extract::recipes::Times;
use kmds_extract::{Format, Recipes};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::events::{Board, News};
use super::queue::{Queue, Requester};
use super::words::{Failure, Key, QueueStats, State};
use crate::store::Partial;

/// The least pause after a limit, in seconds, whatever the site says.
const LEAST_PAUSE_SECONDS: f64 = 1.0;
/// Pauses in a row that are as short as the site says.
const TIMES_TAKEN_AT_ITS_WORD: u32 = 3;

/// What a watcher of a job sees.
#[derive(Debug, Clone)]
pub struct Status {
    pub state: State,
    pub total: Option<u64>,
    /// The growing file, once the site has answered the first media request.
    pub partial: Option<Arc<Partial>>,
    /// Of what is arriving.
    pub format: Option<Format>,
    pub failure: Option<Failure>,
    /// It goes on by itself then, as far as is known.
    pub waits_until: Option<Instant>,
}

impl Status {
    pub fn received(&self) -> u64 {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.progress().written)
    }

    pub fn total(&self) -> Option<u64> {
        self.partial
            .as_ref()
            .and_then(|partial| partial.progress().total)
            .or(self.total)
    }

    fn end(&mut self, end: Result<Format, Failure>) {
        match end {
            Ok(format) => {
                self.state = State::Ready;
                self.format = Some(format);
            }
            Err(failure) => {
                self.state = State::Failed;
                self.failure = Some(failure);
            }
        }
    }

    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Ready | State::Failed)
    }
}

#[derive(Debug)]
pub struct Job {
    pub key: Key,
    pub requester: Requester,
    status: watch::Sender<Status>,
    pub cancel: CancellationToken,
    /// Somebody waits for its audio or was told to come back.
    listeners: AtomicU32,
    /// How often and since when the site's limit has made it wait.
    limited: Mutex<Limited>,
    /// It was put back once because its audio was not to be had yet.
    was_held_back: AtomicBool,
}

#[derive(Debug, Default)]
struct Limited {
    since: Option<Instant>,
    times: u32,
}

impl Job {
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub fn listens(&self) {
        self.listeners.fetch_add(1, Ordering::Relaxed);
    }

    pub fn is_wanted(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// How long to wait for the site's limit now: what it said, else a pause that doubles. `None`, and not counted, if
    /// that is longer than `most`, or once this job would have waited too long in all.
    pub fn wait_for_limit(
        &self,
        told: Option<Duration>,
        most: Duration,
        recipes: &Recipes,
    ) -> Option<Duration> {
        let mut limited = self.limited.lock();
        let since = *limited.since.get_or_insert_with(Instant::now);
        let site = self.key.track().site();
        let ours = recipes.limit_pause(site, limited.times);
        let wait = match told {
            // A site that says "now" again and again is not taken at its word.
            Some(told) if limited.times >= TIMES_TAKEN_AT_ITS_WORD => told.max(ours),
            Some(told) => told.max(
                recipes
                    .limit_pause(site, 0)
                    .min(Times::seconds(LEAST_PAUSE_SECONDS)),
            ),
            None => ours,
        };
        let in_time =
            since.elapsed().saturating_add(wait) <= Times::seconds(recipes.time.limit_wait);
        let waits = in_time && wait <= most;
        limited.times += u32::from(waits);
        waits.then_some(wait)
    }

    /// Whether it may leave its place while it waits for its audio: once, and only before any of it has arrived.
    pub fn may_be_held_back(&self) -> bool {
        self.status.borrow().partial.is_none() && !self.was_held_back.swap(true, Ordering::Relaxed)
    }

    /// Bytes arrive: the limit has passed.
    pub fn flows(&self) {
        *self.limited.lock() = Limited::default();
    }
}

/// All jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    inner: Mutex<Inner>,
    board: Arc<Board>,
    /// Rung when something may start.
    bell: Notify,
    stop: CancellationToken,
}

/// Invariant: a key in the queue, or running, has its job in `jobs`.
#[derive(Debug)]
struct Inner {
    jobs: HashMap<Key, Arc<Job>>,
    queue: Queue,
}

impl Jobs {
    pub fn new(queue: Queue, board: Arc<Board>, stop: CancellationToken) -> Self {
        Self {
            inner: Mutex::new(Inner {
                jobs: HashMap::new(),
                queue,
            }),
            board,
            bell: Notify::new(),
            stop,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Job>> {
        self.inner().jobs.get(key).cloned()
    }

    pub fn waiting(&self) -> usize {
        self.inner().queue.len()
    }

    pub fn stats(&self) -> Vec<QueueStats> {
        self.inner().queue.stats()
    }

    /// The song's job: the one there is, or a new one at the end of its requester's turn.
    pub fn enqueue(&self, key: &Key, requester: Requester, total: Option<u64>) -> Arc<Job> {
        let job = {
            let mut inner = self.inner();
            // A cancelled one is on its way out: whoever asks now wants the song again.
            if let Some(job) = inner
                .jobs
                .get(key)
                .filter(|job| !job.cancel.is_cancelled() || self.stop.is_cancelled())
            {
                return Arc::clone(job);
            }
            inner.queue.remove(key);
            let status = Status {
                state: State::Queued,
                total,
                partial: None,
                format: None,
                failure: None,
                waits_until: None,
            };
            let job = Arc::new(Job {
                key: key.clone(),
                requester,
                status: watch::Sender::new(status),
                cancel: self.stop.child_token(),
                listeners: AtomicU32::new(0),
                limited: Mutex::default(),
                was_held_back: AtomicBool::new(false),
            });
            inner.jobs.insert(key.clone(), Arc::clone(&job));
            inner.queue.push(key.clone(), requester);
            job
        };
        self.announce(&job);
        self.bell.notify_one();
        job
    }

    /// Puts a job that ran back into the queue: its site has asked for a pause.
    pub fn again(&self, job: &Job, pause: Duration) {
        self.put_back(job, None, |queue| {
            queue.pause(&job.key, Instant::now() + pause)
        });
    }

    /// Puts a job that ran back into the queue: its own audio cannot be had before `until`.
    pub fn hold_back(&self, job: &Job, until: Instant) {
        self.put_back(job, Some(until), |queue| queue.hold_back(&job.key, until));
    }

    fn put_back(&self, job: &Job, until: Option<Instant>, hold: impl FnOnce(&mut Queue)) {
        self.change(job, |status| {
            status.state = State::Queued;
            status.partial = None;
            status.waits_until = until;
        });
        let mut inner = self.inner();
        inner.queue.done(&job.key);
        hold(&mut inner.queue);
        inner.queue.push(job.key.clone(), job.requester);
        if job.is_wanted() {
            inner.queue.promote(&job.key);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Nothing else of this job's site starts for a while.
    pub fn pause(&self, job: &Job, pause: Duration) {
        self.inner().queue.pause(&job.key, Instant::now() + pause);
    }

    /// Somebody waits for this song: it goes before what nobody waits for.
    pub fn promote(&self, job: &Job) {
        job.listens();
        self.inner().queue.promote(&job.key);
        self.bell.notify_one();
    }

    /// A job's end, or nothing if it was forgotten meanwhile. `ran`: it held a place.
    pub fn finish(&self, job: &Job, end: Result<Format, Failure>, ran: bool) {
        self.change(job, |status| status.end(end));
        self.forget(job, ran);
    }

    /// The end of a job that ran, whose song goes on at the next start: who waits for it is let go, and nothing is told.
    pub fn park(&self, job: &Job, why: Failure) {
        job.status.send_modify(|status| status.end(Err(why)));
        self.forget(job, true);
    }

    fn forget(&self, job: &Job, ran: bool) {
        let mut inner = self.inner();
        let ours = inner
            .jobs
            .get(&job.key)
            .is_some_and(|have| std::ptr::eq(Arc::as_ptr(have), job));
        if ours {
            inner.jobs.remove(&job.key);
            inner.queue.remove(&job.key);
        }
        if ran {
            inner.queue.done(&job.key);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Changes what watchers see, and tells of a change of state.
    pub fn change(&self, job: &Job, change: impl FnOnce(&mut Status)) {
        let mut moved = false;
        job.status.send_modify(|status| {
            let before = status.state;
            change(status);
            moved = status.state != before;
        });
        if moved {
            self.announce(job);
        }
    }

    /// Tells watchers of the event stream how far a job is.
    pub fn progress(&self, job: &Job) {
        self.board.progress(&news(&job.key, &job.status()));
    }

    fn announce(&self, job: &Job) {
        self.board.state(&news(&job.key, &job.status()));
    }

    /// Waits until a job may start. Ends never; drop it to stop.
    pub async fn next(&self) -> Arc<Job> {
        loop {
            let pause = {
                let now = Instant::now();
                let mut inner = self.inner();
                if let Some(key) = inner.queue.start_next(now) {
                    if let Some(job) = inner.jobs.get(&key) {
                        return Arc::clone(job);
                    }
                    inner.queue.done(&key);
                    continue;
                }
                inner.queue.next_end_of_pause(now)
            };
            match pause {
                Some(until) => tokio::select! {
                    () = self.bell.notified() => {}
                    () = tokio::time::sleep_until(until.into()) => {}
                },
                None => self.bell.notified().await,
            }
        }
    }
}

fn news<'a>(key: &'a Key, status: &Status) -> News<'a> {
    News {
        key,
        state: status.state,
        received: status.received(),
        total: status.total(),
        failure: status
            .failure
            .as_ref()
            .map(|failure| (failure.kind, failure.sentence.clone())),
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Format, Site, TrackId};

    use super::*;

    fn job(site: Site) -> Job {
        let status = Status {
            state: State::Queued,
            total: None,
            partial: None,
            format: None,
            failure: None,
            waits_until: None,
        };
        Job {
            key: Key::original(TrackId::new(site, "7").expect("an id"), Format::M4a),
            requester: 1,
            status: watch::Sender::new(status),
            cancel: CancellationToken::new(),
            listeners: AtomicU32::new(0),
            limited: Mutex::default(),
            was_held_back: AtomicBool::new(false),
        }
    }

    #[test]
    fn a_limited_job_waits_as_told_or_twice_as_long_each_time_and_not_for_ever() {
        let recipes = Recipes::built_in();
        let seconds = Duration::from_secs;
        for (site, first) in [
            (Site::YouTube, 30),
            (Site::SoundCloud, 60),
            (Site::Bandcamp, 60),
        ] {
            let job = job(site);
            assert_eq!(
                job.wait_for_limit(None, seconds(1), &recipes),
                None,
                "longer than it may be held"
            );
            for wait in [first, 2 * first, 4 * first] {
                assert_eq!(
                    job.wait_for_limit(None, Duration::MAX, &recipes),
                    Some(seconds(wait)),
                    "{site}"
                );
            }
            job.flows();
            assert_eq!(
                job.wait_for_limit(Some(seconds(7)), Duration::MAX, &recipes),
                Some(seconds(7)),
                "{site}"
            );
            assert_eq!(
                job.wait_for_limit(Some(Duration::MAX), Duration::MAX, &recipes),
                None
            );
        }
    }

    #[test]
    fn a_parked_job_lets_go_who_waits_for_it_and_tells_nobody() {
        use futures_util::FutureExt;

        let board = Arc::new(Board::new());
        let queue = Queue::new(1, [(super::super::queue::LaneId::Site(Site::YouTube), 1)]);
        let jobs = Jobs::new(queue, Arc::clone(&board), CancellationToken::new());
        let key = job(Site::YouTube).key;
        let mut events = board.subscribe(None);
        let parked = jobs.enqueue(&key, 1, None);
        assert_eq!(
            events
                .next()
                .now_or_never()
                .flatten()
                .map(|event| event.state),
            Some(State::Queued)
        );
        let watch = parked.watch();
        jobs.park(
            &parked,
            Failure::new(kmds_extract::Kind::Cancelled, "the service stops"),
        );
        assert!(watch.borrow().is_over() && jobs.get(&key).is_none());
        assert!(
            events.next().now_or_never().is_none(),
            "the song goes on at the next start"
        );
    }
}
