//! Jobs that ran and cannot go on now: back into the queue, or waiting in their place.
//!
//! Owns what each kind of wait does to the job, to its lane and to the other songs of its site. The job's watchers are
//! told first, then it gives its place back, then the dispatcher is woken.

use std::time::Duration;

use tokio::time::Instant;

use super::Table;
use crate::jobs::job::{Job, Relay};
use crate::jobs::lane::LaneId;
use crate::jobs::queue::Queue;
use crate::store::State;

impl Table {
    /// Puts a job that ran back into the queue: its site has asked for a pause.
    pub fn requeue_after(&self, job: &Job, pause: Duration) {
        self.put_back(job, None, |queue| {
            queue.pause(&job.key, Instant::now() + pause)
        });
    }

    /// Puts a job that ran back into the queue, before the other songs of its fetch: no node may ask the site before
    /// `until`, which is looked at again at `again`.
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

    /// All of this song has arrived. While it is converted, its site's place is free for the next song, as long as few
    /// songs are converted: each of them keeps its file twice.
    pub(in crate::jobs) fn has_arrived(&self, job: &Job) {
        let mut inner = self.inner();
        let from = job.lane();
        if matches!(from, LaneId::Site(_)) && inner.queue.move_running(from, LaneId::Conversions) {
            job.set_converted(true);
        }
        drop(inner);
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::Format;
    use tokio_util::sync::CancellationToken;

    use super::super::tests::{song, table};
    use super::*;

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
}
