//! What the reports of other nodes say: which nodes are present, which speak another version, and whether another
//! program has this node's name.
//!
//! Owns [`LastReports`], and the waits after a start, before the first report has come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::NodeReport;
use super::presence::{GONE_AFTER, LastReports, PROTOCOL};
use super::songs::ANSWERS_WITHIN;
use crate::random;

/// A node that has just started has the reports of all others after so long: they answer its first report, or send
/// theirs at their next beat.
const KNOWS_ALL_AFTER: Duration = Duration::from_millis(2500);
/// The most nodes of another version that the log names.
const MOST_STRANGE: usize = 100;

pub(super) struct Reports {
    node: String,
    instance: String,
    known: Arc<LastReports>,
    /// When a node of the same name and of a lower instance sent its last report.
    twin: Mutex<Option<Instant>>,
    /// Nodes of another version; the log names each once.
    strange: Mutex<BTreeSet<String>>,
    started: Instant,
    /// When NATS gave the first report.
    first: watch::Sender<Option<Instant>>,
}

impl Reports {
    pub(super) fn new(node: String) -> Self {
        Self {
            node,
            instance: random::id(),
            known: Arc::default(),
            twin: Mutex::default(),
            strange: Mutex::default(),
            started: Instant::now(),
            first: watch::Sender::new(None),
        }
    }

    /// Names this run of the program.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) const fn known(&self) -> &Arc<LastReports> {
        &self.known
    }

    /// Whether it is the first report of a node.
    pub(super) fn hear(&self, report: NodeReport) -> bool {
        self.known.note_report(Instant::now());
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(Instant::now);
            is_first
        });
        if report.node == self.node {
            if report.instance != self.instance {
                self.meet_twin(&report);
            }
            return false;
        }
        if report.protocol != PROTOCOL {
            self.pass_by(&report);
            return false;
        }
        let node = report.node.clone();
        let is_new = self.known.hear(report, Instant::now());
        if is_new {
            tracing::info!(node, "a node is there");
        }
        is_new
    }

    fn pass_by(&self, report: &NodeReport) {
        let mut strange = self.strange.lock();
        if strange.len() < MOST_STRANGE && strange.insert(report.node.clone()) {
            let older = if report.protocol < PROTOCOL {
                "that node"
            } else {
                "this one"
            };
            tracing::warn!(
                node = report.node,
                version = report.version,
                "the node speaks another version of the cluster's language: each passes the other by; update {older}"
            );
        }
    }

    /// Another program has this node's name. Of the two, the one with the higher instance works alone.
    fn meet_twin(&self, twin: &NodeReport) {
        let is_second = !twin.leaves && self.instance > twin.instance;
        let met = is_second.then(Instant::now);
        let before = std::mem::replace(&mut *self.twin.lock(), met);
        if is_second && before.is_none() {
            tracing::error!(
                node = twin.node,
                "another node has the same name, and this one works alone; set cluster.node to another name here or there"
            );
        }
    }

    /// Whether another program has this node's name, and works under it.
    pub(super) fn is_second(&self) -> bool {
        let met = *self.twin.lock();
        met.is_some_and(|met| met.elapsed() < GONE_AFTER)
    }

    /// Waits after a start until NATS answers, else until it is clear that it is away.
    pub(super) async fn until_connected(&self) {
        let mut first = self.first.subscribe();
        let left = ANSWERS_WITHIN.saturating_sub(self.started.elapsed());
        let _ = tokio::time::timeout(left, first.wait_for(Option::is_some)).await;
    }

    /// Waits after a start until the other nodes had time to report.
    pub(super) async fn until_all_are_known(&self) {
        let first = *self.first.borrow();
        let since = first.map_or(Duration::ZERO, |first| first.elapsed());
        tokio::time::sleep(KNOWS_ALL_AFTER.saturating_sub(since)).await;
    }

    pub(super) fn is_there(&self, node: &str) -> bool {
        self.report_of(node).is_some()
    }

    /// The address of a present node's HTTP.
    pub(super) fn url(&self, node: &str, path: &str) -> Option<String> {
        let address = self.report_of(node)?.address?;
        Some(format!("{address}{path}"))
    }

    fn report_of(&self, node: &str) -> Option<NodeReport> {
        let there = self.known.there(Instant::now());
        there.into_iter().find(|report| report.node == node)
    }
}
