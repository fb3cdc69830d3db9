//! Which nodes are there. One lock around a map, held for a few lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kmds_extract::Site;
use parking_lot::Mutex;

use super::NodeReport;

/// What nodes say to each other has this version; nodes of another one are passed by.
pub(super) const PROTOCOL: u32 = 1;
/// A node that was not heard of for so long is gone: three beats.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(6);

/// The other nodes, as they were heard of last.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<BTreeMap<String, (Instant, NodeReport)>>);

impl Known {
    /// Whether the node is a new one.
    pub(super) fn hear(&self, report: NodeReport, now: Instant) -> bool {
        let mut known = self.0.lock();
        known.retain(|_, (at, _)| now.saturating_duration_since(*at) < GONE_AFTER);
        if report.leaves {
            known.remove(&report.node);
            return false;
        }
        known.insert(report.node.clone(), (now, report)).is_none()
    }

    pub(super) fn there(&self, now: Instant) -> Vec<NodeReport> {
        let known = self.0.lock();
        let fresh = known
            .values()
            .filter(|(at, _)| now.saturating_duration_since(*at) < GONE_AFTER);
        fresh.map(|(_, report)| report.clone()).collect()
    }

    /// One place less, until the node tells anew.
    pub(super) fn took(&self, node: &str, site: Site) {
        let mut known = self.0.lock();
        let sites = known.get_mut(node).map(|(_, report)| &mut report.sites);
        let of_site = sites.into_iter().flatten();
        for told in of_site.filter(|told| told.site == site.as_str()) {
            told.free -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::SiteReport;

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
            }],
            leaves: false,
        }
    }

    #[test]
    fn a_node_is_gone_when_it_says_so_or_nothing() {
        let (known, now) = (Known::default(), Instant::now());
        assert!(known.hear(report("a", 1, None), now));
        assert!(known.hear(report("b", 1, None), now));
        assert!(!known.hear(report("b", 1, None), now));
        known.took("a", Site::YouTube);
        assert_eq!(known.there(now)[0].sites[0].free, 0);
        let leaves = NodeReport {
            leaves: true,
            ..report("b", 1, None)
        };
        assert!(!known.hear(leaves, now));
        assert_eq!(known.there(now).len(), 1);
        assert!(known.there(now + GONE_AFTER).is_empty());
    }
}
