//! The other nodes: whether each is reached, its version, and its clock.

use super::Finding;
use crate::app::{NodeSeen, NodesSeen};

/// Messages with a difference of 30 s are ignored; long before that something sets the clock wrong.
const CLOCK_TOO_FAR_MS: u64 = 5_000;

pub(super) fn findings(seen: Result<NodesSeen, String>) -> Vec<Finding> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => {
            let advice = "look at cluster.nats and cluster.credentials_file";
            return vec![Finding::warn("nodes", why, advice)];
        }
    };
    let ignored = seen.ignored.iter().map(|sentence| {
        let advice = "compare cluster.token_file, version and clock of the nodes";
        Finding::warn("nodes", *sentence, advice)
    });
    let mut findings: Vec<Finding> = ignored.collect();
    findings.extend(seen.nodes.iter().map(finding));
    if seen.nodes.iter().all(|node| node.is_this) {
        let advice = "start one, or compare cluster.nats, cluster.name and cluster.token_file";
        findings.push(Finding::warn("nodes", "no other node is present", advice));
    }
    findings
}

fn finding(seen: &NodeSeen) -> Finding {
    let at = seen.address.as_deref().unwrap_or("no address: a door");
    let name = format!("{} is version {}, {at}", seen.node, seen.version);
    if seen.is_this {
        return Finding::ok("nodes", format!("{name}: this node"));
    }
    if !seen.is_understood {
        let says = format!("{name}: it speaks another version of the cluster's language");
        return Finding::warn("nodes", says, "update the older one: each works alone");
    }
    if let Some(why) = &seen.unreached {
        let advice = "set cluster.address there to where this host reaches it, open the way, and use the same cluster.token_file";
        return Finding::fail("nodes", format!("{name}: it {why}"), advice);
    }
    match seen.ahead_ms {
        Some(ahead) if ahead.unsigned_abs() > CLOCK_TOO_FAR_MS => {
            let says = format!("{name}: its clock differs by {} s", ahead / 1000);
            Finding::warn("nodes", says, "set the clocks of all nodes by NTP")
        }
        Some(ahead) => {
            let says = format!("{name}: reached; its clock differs by {ahead} ms at most");
            Finding::ok("nodes", says)
        }
        None => Finding::ok("nodes", format!("{name}: reached")),
    }
}
