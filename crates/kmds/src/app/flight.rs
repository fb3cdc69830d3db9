//! One job a song and form: late askers join it.
//!
//! Owns the jobs that wait or run, their states as watchers see them, and starting what the queue allows. Hides tasks, and
//! that a song of a long list is no more than a key in the queue until a listener asks for it or its download starts.
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
    const fn queued(total: Option<u64>) -> Self {
        Self {
            state: State::Queued,
            total,
            partial: None,
            format: None,
            failure: None,
            waits_until: None,
        }
    }

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

/// Invariant: a key that runs has its job in `jobs`; one in the queue has it there once it is watched.
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

    pub fn stats(&self) -> Vec<QueueStats> {
        self.inner().queue.stats()
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
    fn push(&self, inner: &mut Inner, key: &Key, requester: Requester, total: Option<u64>) -> bool {
        match inner.jobs.get(key) {
            // A cancelled one is on its way out: who asks now wants the song again.
            Some(job) if job.cancel.is_cancelled() && !self.stop.is_cancelled() => {
                inner.jobs.remove(key);
                inner.queue.remove(key);
            }
            Some(_) => return false,
            None if inner.queue.waits(key).is_some() => return false,
            None => {}
        }
        inner.queue.push(key.clone(), requester, total);
        true
    }

    fn tell_queued(&self, key: &Key, total: Option<u64>) {
        self.board.state(&news(key, &Status::queued(total)));
        self.bell.notify_one();
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
        inner
            .queue
            .push(job.key.clone(), job.requester, job.status().total);
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
        self.change(job, |status| status.waits_until = Some(until));
        tokio::time::sleep(pause).await;
        self.change(job, |status| status.waits_until = None);
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
                if let Some((key, song)) = inner.queue.start_next(now) {
                    return inner.job(&key, song.requester, song.total, &self.stop);
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

impl Inner {
    /// The job of a song that waits or starts: the one there is, or a new one.
    fn job(
        &mut self,
        key: &Key,
        requester: Requester,
        total: Option<u64>,
        stop: &CancellationToken,
    ) -> Arc<Job> {
        let new = || {
            Arc::new(Job {
                key: key.clone(),
                requester,
                status: watch::Sender::new(Status::queued(total)),
                cancel: stop.child_token(),
                listeners: AtomicU32::new(0),
                limited: Mutex::default(),
                was_held_back: AtomicBool::new(false),
            })
        };
        Arc::clone(self.jobs.entry(key.clone()).or_insert_with(new))
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
        Job {
            key: Key::original(TrackId::new(site, "7").expect("an id"), Format::M4a),
            requester: 1,
            status: watch::Sender::new(Status::queued(None)),
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

    fn jobs(board: &Arc<Board>) -> Jobs {
        let queue = Queue::new(1, [(super::super::queue::LaneId::Site(Site::YouTube), 1)]);
        Jobs::new(queue, Arc::clone(board), CancellationToken::new())
    }

    fn song(number: usize) -> Key {
        let id = TrackId::new(Site::YouTube, &number.to_string());
        Key::original(id.expect("an id"), Format::M4a)
    }

    #[tokio::test]
    async fn a_waiting_song_has_a_job_only_once_it_is_watched_or_started() {
        let jobs = jobs(&Arc::new(Board::new()));
        for number in 0..3000 {
            jobs.add(&song(number), 1, Some(7));
        }
        assert_eq!((jobs.waiting(), jobs.inner().jobs.len()), (3000, 0));
        let status = jobs.status(&song(2000)).expect("it waits");
        assert_eq!((status.state, status.total()), (State::Queued, Some(7)));
        assert_eq!(jobs.inner().jobs.len(), 0, "a look makes no job");
        let watched = jobs.get(&song(2000)).expect("it waits");
        jobs.promote(&watched);
        let started = jobs.next().await;
        assert!(
            Arc::ptr_eq(&watched, &started),
            "the watched job is the one that runs"
        );
        assert_eq!(jobs.inner().jobs.len(), 1);
        jobs.finish(&started, Ok(Format::M4a), true);
        assert_eq!(
            jobs.next().await.key,
            song(0),
            "the others keep their order"
        );
        assert_eq!((jobs.waiting(), jobs.inner().jobs.len()), (2998, 1));
    }

    #[test]
    fn a_song_behind_a_pause_of_its_site_knows_when_it_goes_on() {
        let jobs = jobs(&Arc::new(Board::new()));
        jobs.add(&song(1), 1, None);
        assert_eq!(jobs.status(&song(1)).expect("it waits").waits_until, None);
        let until = Instant::now() + Duration::from_secs(60);
        jobs.inner().queue.pause(&song(1), until);
        let waits_until = || jobs.status(&song(1)).expect("it waits").waits_until;
        assert_eq!(waits_until(), Some(until));
        jobs.inner()
            .queue
            .hold_back(&song(1), until + Duration::from_secs(9));
        assert_eq!(waits_until(), Some(until + Duration::from_secs(9)));
    }

    #[test]
    fn a_parked_job_lets_go_who_waits_for_it_and_tells_nobody() {
        use futures_util::FutureExt;

        let board = Arc::new(Board::new());
        let jobs = jobs(&board);
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
