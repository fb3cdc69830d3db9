//! A node's report of itself, and the order in which nodes are asked. Pure.

use std::time::Duration;

use kmds_extract::{Kind, Site};
use serde::{Deserialize, Serialize};

use super::Closed;

/// A node's report to the others: every two seconds, and when a site begins to limit it. A node ignores fields that its
/// version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: String,
    /// Names this run of the program, so that two programs with one name can be distinguished.
    pub instance: String,
    pub protocol: u32,
    pub version: String,
    /// The address of its HTTP; `None` for a node that has nothing for others.
    pub address: Option<String>,
    /// The sites that it fetches from.
    pub sites: Vec<SiteReport>,
    /// It is about to stop.
    #[serde(default)]
    pub leaves: bool,
}

/// A site that a node fetches from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteReport {
    pub site: String,
    /// Downloads that it could start now; below zero where songs wait.
    pub free: i64,
    /// How long the site limits this address.
    pub limited_seconds: Option<u64>,
    /// The site asks this address for proof of a human; a node of an older version does not tell.
    #[serde(default)]
    pub is_challenged: bool,
}

impl NodeReport {
    /// How long the site limits the node: zero where it does not. `None` for a node that does not fetch from the site.
    pub(super) fn closed(&self, site: Site) -> Option<Closed> {
        let told = self.sites.iter().find(|told| told.site == site.as_str())?;
        let kind = if told.is_challenged {
            Kind::BotCheck
        } else {
            Kind::RateLimited
        };
        let left = Duration::from_secs(told.limited_seconds.unwrap_or(0));
        Some(Closed { left, kind })
    }
}

/// The nodes that fetch from a site: those that it does not limit first, then those with the most room.
pub(super) fn in_order(nodes: &[NodeReport], site: Site) -> Vec<String> {
    let mut rated: Vec<(u64, i64, &str)> = nodes
        .iter()
        .filter_map(|node| {
            let told = node.sites.iter().find(|told| told.site == site.as_str())?;
            let limited = told.limited_seconds.unwrap_or(0);
            Some((limited, -told.free, node.node.as_str()))
        })
        .collect();
    rated.sort_unstable();
    let names = rated.into_iter().map(|(_, _, node)| node.to_owned());
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: &str, free: i64, limited_seconds: Option<u64>) -> NodeReport {
        NodeReport {
            node: node.to_owned(),
            instance: String::new(),
            protocol: 1,
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
    fn a_node_with_room_comes_first_and_one_that_its_site_limits_last() {
        let nodes = [
            report("full", -3, None),
            report("limited", 9, Some(30)),
            report("free", 2, None),
            report("one", 1, None),
        ];
        let expected = ["free", "one", "full", "limited"];
        assert_eq!(in_order(&nodes, Site::YouTube), expected);
        assert!(in_order(&nodes, Site::Bandcamp).is_empty());
    }

    #[test]
    fn a_report_of_a_newer_node_is_read() {
        let text = r#"{"node":"a","instance":"i","protocol":1,"version":"9","address":null,"mood":"good",
            "sites":[{"site":"nowhere","free":2,"limited_seconds":null,"colour":1}]}"#;
        let report: NodeReport = serde_json::from_str(text).expect("a report");
        assert_eq!(report.sites[0].free, 2);
    }
}
