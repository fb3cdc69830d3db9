//! One job: a song in one rendition that waits or runs, and what its watchers see of it.
//!
//! Owns its state, the clients that wait for it, and how long it has waited for its site's limit. The table makes it,
//! and tells the event board of its changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kmds_extract::{Failure, Format, Loudness, Recipes};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::{News, Origin};
use super::lane::{LaneId, Requester};
use super::limits::Limits;
use crate::store::{Key, Lease, Partial, State};

/// What a watcher of a job sees.
#[derive(Debug, Clone)]
pub struct Status {
    pub state: State,
    pub total: Option<u64>,
    /// The growing file, once the site has answered the first media request.
    pub partial: Option<Arc<Partial>>,
    /// The format of the arriving file.
    pub format: Option<Format>,
    pub loudness_db: Option<Loudness>,
    pub failure: Option<Failure>,
    /// The time at which it continues by itself, if that is known.
    pub waits_until: Option<Instant>,
    /// Another node shall fetch it. A node that waits for it here is sent to that node, or the two would wait for each
    /// other.
    pub is_elsewhere: bool,
    /// A client waits for its audio, or was told to come back.
    pub is_wanted: bool,
}

impl Status {
    pub(super) const fn queued(total: Option<u64>) -> Self {
        Self {
            state: State::Queued,
            total,
            partial: None,
            format: None,
            loudness_db: None,
            failure: None,
            waits_until: None,
            is_elsewhere: false,
            is_wanted: false,
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

    pub(super) fn end(&mut self, end: Result<Format, Failure>) {
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

    /// The facts for the event stream.
    pub(super) fn news<'a>(&self, key: &'a Key) -> News<'a> {
        let failure = self.failure.as_ref();
        News {
            key,
            state: self.state,
            received: self.received(),
            total: self.total(),
            loudness_db: self.loudness_db,
            failure: failure.map(|failure| (failure.kind, failure.sentence.clone())),
            origin: Origin::Own,
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
    limits: Mutex<Limits>,
    /// It was put back into the queue once because the site did not serve its audio yet.
    was_held_back: AtomicBool,
    /// Another node is to bring it: it takes no place of its site.
    relay: Mutex<Option<Relay>>,
    /// All of it has arrived and is still converted: it takes no place of its site.
    is_converted: AtomicBool,
    /// The node that has claimed it and does not give it: the claim may be taken over.
    gave_up: Mutex<Option<String>>,
    /// The nodes where the site has refused it since its last byte; the empty name is this node's.
    refused_by: Mutex<BTreeSet<String>>,
    /// What has arrived of it, while it waits in another lane; its listeners read on. It is dropped with the job's end.
    lease: Mutex<Option<Lease>>,
}

/// From which node a song is to come.
#[derive(Debug, Clone)]
pub enum Relay {
    /// The one that has claimed it.
    Holder,
    /// Any but this one, which the site may have refused.
    Others(Option<Failure>),
}

impl Job {
    pub(super) fn new(
        key: &Key,
        requester: Requester,
        total: Option<u64>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            key: key.clone(),
            requester,
            status: watch::Sender::new(Status::queued(total)),
            cancel,
            limits: Mutex::default(),
            was_held_back: AtomicBool::new(false),
            relay: Mutex::default(),
            is_converted: AtomicBool::new(false),
            gave_up: Mutex::default(),
            refused_by: Mutex::default(),
            lease: Mutex::default(),
        }
    }

    /// In which lane it waits and runs.
    pub(super) fn lane(&self) -> LaneId {
        if self.relay.lock().is_some() {
            LaneId::Relays
        } else if self.is_converted.load(Ordering::Relaxed) {
            LaneId::Conversions
        } else {
            LaneId::of(&self.key)
        }
    }

    pub fn relay(&self) -> Option<Relay> {
        self.relay.lock().clone()
    }

    pub(super) fn give_up(&self, node: String) {
        *self.gave_up.lock() = Some(node);
    }

    pub(super) fn take_gave_up(&self) -> Option<String> {
        self.gave_up.lock().take()
    }

    pub(super) fn note_refused_by(&self, node: &str) {
        self.refused_by.lock().insert(node.to_owned());
    }

    pub(super) fn refused_by(&self) -> BTreeSet<String> {
        self.refused_by.lock().clone()
    }

    /// All nodes are asked again.
    pub(super) fn forget_refusals(&self) {
        self.refused_by.lock().clear();
    }

    pub(super) fn keep_lease(&self, lease: Option<Lease>) {
        *self.lease.lock() = lease;
    }

    pub(super) fn take_lease(&self) -> Option<Lease> {
        self.lease.lock().take()
    }

    pub(super) fn set_converted(&self, is_converted: bool) {
        self.is_converted.store(is_converted, Ordering::Relaxed);
    }

    pub(super) fn set_relay(&self, relay: Option<Relay>) {
        *self.relay.lock() = relay;
    }

    /// Changes what watchers see, without an event: [`super::table::Table::change`] sends events.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// A client waits for its audio.
    pub(super) fn want(&self) {
        self.status
            .send_if_modified(|status| !std::mem::replace(&mut status.is_wanted, true));
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub fn is_wanted(&self) -> bool {
        self.status.borrow().is_wanted
    }

    /// How long to wait for the site's limit now, `most` at most; `None` if the job may not wait.
    pub fn wait_for_limit(
        &self,
        told: Option<Duration>,
        most: Duration,
        recipes: &Recipes,
    ) -> Option<Duration> {
        let site = self.key.track().site();
        let mut limits = self.limits.lock();
        limits.wait(site, told, most, recipes)
    }

    /// Bytes arrive, so the limit is over.
    pub fn clear_limits(&self) {
        self.limits.lock().clear();
        self.forget_refusals();
    }

    /// Whether it may give up its place while it waits for its audio: once, and only before any of it has arrived.
    pub fn may_be_held_back(&self) -> bool {
        self.status.borrow().partial.is_none() && !self.was_held_back.swap(true, Ordering::Relaxed)
    }
}
