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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Severity;

    #[test]
    fn each_node_is_told_of_with_what_to_do() {
        let node = |name: &str| NodeSeen {
            node: name.to_owned(),
            is_this: false,
            version: "1.2".to_owned(),
            is_understood: true,
            address: Some("http://10.0.0.2:1".to_owned()),
            unreached: None,
            ahead_ms: Some(3),
        };
        let far = NodeSeen {
            unreached: Some("gives no connection".to_owned()),
            ..node("far")
        };
        let late = NodeSeen {
            ahead_ms: Some(-9_000),
            ..node("late")
        };
        let older = NodeSeen {
            is_understood: false,
            ..node("older")
        };
        for (seen, severity, says) in [
            (node("near"), Severity::Ok, "3 ms"),
            (far, Severity::Fail, "no connection"),
            (late, Severity::Warn, "-9 s"),
            (older, Severity::Warn, "another version"),
        ] {
            let found = finding(&seen);
            assert_eq!(found.severity, severity, "{}", found.says);
            assert!(found.says.contains(says) && found.says.contains("1.2"));
        }
        let alone = findings(Ok(NodesSeen::default()));
        assert!(alone[0].says.contains("no other node"));
    }
}
