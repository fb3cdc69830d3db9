//! What a command of the operator learns of the other nodes, beside a running node of the same settings.
//!
//! It has a connection to NATS of its own, waits until each node has told of itself, and asks the nodes one after the
//! other. It tells nothing of itself, so no node takes it for a node.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use futures_util::StreamExt as _;

use super::nats::Nats;
use super::presence::PROTOCOL;
use super::questions::{Question, Reply, pack, unpack_reply};
use super::songs::ANSWERS_WITHIN;
use super::{NodeReport, NodeSeen, NodesSeen};
use crate::clock::unix_millis;

/// Within this time every node has told of itself.
const ONE_BEAT: Duration = Duration::from_millis(2_500);

/// A report, and how far its sender's clock is ahead of this one's, if it was signed.
type Heard = (NodeReport, Option<i64>);

impl Nats {
    /// See [`super::Membership::blind_to`].
    pub async fn blind_to(&self, file: &str) -> Result<(Vec<String>, usize), String> {
        let client = self.connect().await?;
        let nodes = self.heard(&client).await?;
        let question = pack(&Question::Sees {
            file: file.to_owned(),
        });
        let mut blind = Vec::new();
        for node in nodes.keys() {
            let asked = self
                .request(&client, node, question.clone(), ANSWERS_WITHIN)
                .await;
            // A node of an earlier version does not understand.
            if let Some(Reply::Sees(false)) = asked.as_deref().and_then(unpack_reply) {
                blind.push(node.clone());
            }
        }
        Ok((blind, nodes.len()))
    }

    /// See [`super::Membership::look`].
    pub async fn look(&self) -> Result<NodesSeen, String> {
        let client = self.connect().await?;
        let mut nodes = Vec::new();
        for (node, (report, ahead_ms)) in self.heard(&client).await? {
            let unreached = match &report.address {
                Some(address) if node != self.config.node => self.relay.try_out(address).await,
                _ => None,
            };
            nodes.push(NodeSeen {
                is_this: node == self.config.node,
                is_understood: report.protocol == PROTOCOL,
                node,
                version: report.version,
                address: report.address,
                unreached,
                ahead_ms,
            });
        }
        Ok(NodesSeen {
            nodes,
            ignored: self.messages.ignored(),
        })
    }

    /// The nodes that tell of themselves now, by their names.
    async fn heard(&self, client: &Client) -> Result<BTreeMap<String, Heard>, String> {
        let told = client.subscribe(self.nodes_subject()).await;
        let mut told = told.map_err(|error| error.to_string())?;
        let _ = tokio::time::timeout(ANSWERS_WITHIN, client.flush()).await;
        if client.connection_state() != State::Connected {
            return Err("NATS does not answer".to_owned());
        }
        let mut nodes = BTreeMap::new();
        let _ = tokio::time::timeout(ONE_BEAT, async {
            while let Some(message) = told.next().await {
                let ahead_ms = self.messages.ahead_ms(&message, unix_millis());
                let text = self.messages.opened(&message);
                let report = text.and_then(|text| serde_json::from_slice::<NodeReport>(&text).ok());
                if let Some(report) = report.filter(|report| !report.leaves) {
                    nodes.insert(report.node.clone(), (report, ahead_ms));
                }
            }
        })
        .await;
        Ok(nodes)
    }
}
