//! Which nodes are present. One lock around a map, held for a few lines.
//!
//! A node gets its own reports too. So if no report comes at all, NATS is away: then the map stays as it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kmds_extract::{Kind, Site};
use parking_lot::Mutex;

use super::{Closed, NodeReport, SiteReport};

/// The version of the nodes' messages. Nodes of another version are ignored.
pub(super) const PROTOCOL: u32 = 1;
/// A node that sent no report for so long is gone: three beats.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(6);

/// After so long without any report NATS is away.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(3);
/// A node that stops lets its answers finish (`server.stop_within`); others read its bytes for so long.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// The most downloads that a report may say a node can start; a higher number counts as this one.
const MOST_FREE: i64 = 10_000;
const MOST_SITES: usize = 16;

/// The last report of each other node.
#[derive(Debug, Default)]
pub(super) struct LastReports(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    nodes: BTreeMap<String, (Instant, NodeReport)>,
    /// When the last report of any node came, this node included.
    last: Option<Instant>,
}

impl Heard {
    /// When it is for what is known.
    fn now(&self, now: Instant) -> Instant {
        let last = self.last.unwrap_or(now);
        let is_away = now.saturating_duration_since(last) > STANDS_STILL_AFTER;
        if is_away { last } else { now }
    }
}

impl LastReports {
    /// A report of any node has come.
    pub(super) fn note_report(&self, now: Instant) {
        let mut heard = self.0.lock();
        let silent = now.saturating_duration_since(heard.now(now));
        for (at, _) in heard.nodes.values_mut() {
            *at += silent;
        }
        heard.last = Some(now);
    }

    /// Whether this node has not got its own report for so long that NATS is away. Before the first one NATS counts as
    /// present.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let last = self.0.lock().last;
        last.is_some_and(|last| now.saturating_duration_since(last) > GONE_AFTER)
    }

    /// Whether the node is a new one, or was started again.
    pub(super) fn hear(&self, mut report: NodeReport, now: Instant) -> bool {
        let mut heard = self.0.lock();
        let known = &mut heard.nodes;
        known.retain(|_, (at, _)| now.saturating_duration_since(*at) < STOPS_WITHIN);
        if report.leaves && !known.contains_key(&report.node) {
            return false;
        }
        report.sites.truncate(MOST_SITES);
        for told in &mut report.sites {
            told.free = told.free.clamp(-MOST_FREE, MOST_FREE);
        }
        let (leaves, instance) = (report.leaves, report.instance.clone());
        let before = known.insert(report.node.clone(), (now, report));
        let was_there = before
            .is_some_and(|(at, before)| is_there(at, &before, now) && before.instance == instance);
        !leaves && !was_there
    }

    pub(super) fn there(&self, now: Instant) -> Vec<NodeReport> {
        let heard = self.0.lock();
        let now = heard.now(now);
        let there = heard.nodes.values();
        let there = there.filter(|(at, report)| is_there(*at, report, now));
        there
            .map(|(at, report)| as_of(now.saturating_duration_since(*at), report))
            .collect()
    }

    /// Whether this node goes on reading from that node: it is present, or lets its answers finish.
    pub(super) fn sends(&self, node: &str, now: Instant) -> bool {
        let heard = self.0.lock();
        let now = heard.now(now);
        heard.nodes.get(node).is_some_and(|(at, report)| {
            let stops = now.saturating_duration_since(*at) < STOPS_WITHIN;
            is_there(*at, report, now) || (report.leaves && stops)
        })
    }

    /// Counts one free place less, until the node's next report.
    pub(super) fn took(&self, node: &str, site: Site) {
        self.change(node, site, |_, told| told.free -= 1);
    }

    /// Notes that the site limits the node, until the node's next report.
    pub(super) fn limited(&self, node: &str, site: Site, closed: Closed, now: Instant) {
        self.change(node, site, |at, told| {
            let age = now.saturating_duration_since(at);
            let end = Some(age.saturating_add(closed.left).as_secs());
            if end >= told.limited_seconds {
                told.limited_seconds = end;
                told.is_challenged = closed.kind == Kind::BotCheck;
            }
        });
    }

    fn change(&self, node: &str, site: Site, change: impl FnOnce(Instant, &mut SiteReport)) {
        let mut heard = self.0.lock();
        let Some((at, report)) = heard.nodes.get_mut(node) else {
            return;
        };
        let mut sites = report.sites.iter_mut();
        if let Some(told) = sites.find(|told| told.site == site.as_str()) {
            change(*at, told);
        }
    }
}

/// The report, whose pauses have become shorter by its age.
fn as_of(age: Duration, report: &NodeReport) -> NodeReport {
    let mut report = report.clone();
    for told in &mut report.sites {
        let left = told
            .limited_seconds
            .map(|told| told.saturating_sub(age.as_secs()));
        told.limited_seconds = left.filter(|left| *left > 0);
    }
    report
}

fn is_there(at: Instant, report: &NodeReport, now: Instant) -> bool {
    !report.leaves && now.saturating_duration_since(at) < GONE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: &str, free: i64, limited_seconds: Option<u64>) -> NodeReport {
        NodeReport {
            node: node.to_owned(),
            instance: String::new(),
            protocol: PROTOCOL,
            version: String::new(),
            address: None,
            sites: vec![SiteReport {
                site: "youtube".to_owned(),
                free,
                limited_seconds,
                is_challenged: false,
            }],
            leaves: false,
        }
    }

    #[test]
    fn a_node_is_gone_when_it_says_so_or_nothing() {
        let (known, now) = (LastReports::default(), Instant::now());
        assert!(known.hear(report("a", 1, None), now));
        assert!(known.hear(report("b", 1, None), now));
        assert!(!known.hear(report("b", 1, None), now));
        let again = NodeReport {
            instance: "another".to_owned(),
            ..report("b", 1, None)
        };
        assert!(known.hear(again, now), "it was started again");
        known.took("a", Site::YouTube);
        assert_eq!(known.there(now)[0].sites[0].free, 0);
        let leaves = NodeReport {
            leaves: true,
            ..report("b", 1, None)
        };
        assert!(!known.hear(leaves, now));
        assert_eq!(known.there(now).len(), 1);
        assert!(known.sends("b", now), "it lets its answers finish");
        assert!(!known.sends("b", now + STOPS_WITHIN));
        assert!(known.there(now + GONE_AFTER).is_empty());
        assert!(!known.sends("a", now + GONE_AFTER));
    }

    #[test]
    fn a_pause_that_a_node_told_ends_although_the_node_tells_nothing_new() {
        let (known, now) = (LastReports::default(), Instant::now());
        let seconds = Duration::from_secs;
        let pause_after = |past: u64| {
            let there = known.there(now + seconds(past));
            there[0].sites[0].limited_seconds
        };
        known.hear(report("a", 1, Some(4)), now);
        let pauses = [0, 1, 3, 4].map(pause_after);
        assert_eq!(pauses, [Some(4), Some(3), Some(1), None]);
        let closed = Closed {
            left: seconds(9),
            kind: Kind::BotCheck,
        };
        known.limited("a", Site::YouTube, closed, now + seconds(2));
        assert_eq!(pause_after(2), Some(9), "a refusal tells it too");
        known.hear(report("a", 1, None), now + seconds(3));
        assert_eq!(pause_after(3), None, "the node knows best");
    }

    #[test]
    fn while_nats_is_away_what_is_known_stands_still() {
        let (known, now) = (LastReports::default(), Instant::now());
        let seconds = Duration::from_secs;
        known.note_report(now);
        assert!(known.hear(report("a", i64::MIN, None), now));
        assert_eq!(known.there(now)[0].sites[0].free, -MOST_FREE);
        assert!(known.sends("a", now + seconds(100)));
        assert!(known.is_silent(now + seconds(100)));
        // This node gets its own report again, and none of the other node.
        let back = now + seconds(100);
        known.note_report(back);
        assert!(known.sends("a", back));
        for second in 1..7 {
            known.note_report(back + seconds(second));
        }
        assert!(!known.sends("a", back + seconds(6)));
    }
}
