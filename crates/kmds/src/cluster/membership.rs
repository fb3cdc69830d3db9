//! This node's part in a cluster, from the start of the service to its stop.
//!
//! The only place that knows whether the build has a cluster in it.

#[cfg(feature = "cluster")]
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

#[cfg(feature = "cluster")]
use super::NodesSeen;
#[cfg(feature = "cluster")]
use super::nats::Nats;
use super::{Peers, Service};
use crate::config::ClusterConfig;

/// Nothing, for a host of its own.
pub struct Membership {
    #[cfg(feature = "cluster")]
    nats: Option<Arc<Nats>>,
}

#[cfg(feature = "cluster")]
impl Membership {
    /// Connects to nothing yet.
    /// # Errors
    /// A sentence: a file that cannot be used.
    pub fn new(config: Option<&ClusterConfig>) -> Result<Self, String> {
        let nats = config.cloned().map(Nats::new).transpose()?;
        Ok(Self {
            nats: nats.map(Arc::new),
        })
    }

    #[must_use]
    pub fn peers(&self) -> Peers {
        match &self.nats {
            Some(nats) => Peers::joined(Arc::<Nats>::clone(nats)),
            None => Peers::alone(),
        }
    }

    /// The nodes of the cluster that do not see this file in their cache folder; and how many there are. Works beside a
    /// running node of the same settings.
    /// # Errors
    /// A sentence: NATS does not answer.
    pub async fn blind_to(&self, file: &str) -> Result<(Vec<String>, usize), String> {
        match &self.nats {
            Some(nats) => nats.blind_to(file).await,
            None => Ok((Vec::new(), 0)),
        }
    }

    /// The nodes that are present, and whether this host reaches their HTTP. Works beside a running node of the same
    /// settings.
    /// # Errors
    /// A sentence: NATS does not answer.
    pub async fn look(&self) -> Result<NodesSeen, String> {
        match &self.nats {
            Some(nats) => nats.look().await,
            None => Ok(NodesSeen::default()),
        }
    }

    /// Works among the others until `stop`. They reach this node's HTTP at `address`.
    pub async fn run(self, address: Option<String>, service: Service, stop: CancellationToken) {
        let Some(nats) = self.nats else { return };
        if let Err(why) = nats.run(address, service, stop).await {
            tracing::error!("this node works alone: {why}");
        }
    }
}

#[cfg(not(feature = "cluster"))]
impl Membership {
    /// # Errors
    /// A cluster is asked for, and this build has none.
    pub fn new(config: Option<&ClusterConfig>) -> Result<Self, String> {
        match config {
            Some(_) => Err(
                "this build of kmds works on one host only; take the full image, build it with --features cluster, \
                 or leave cluster.nats out"
                    .to_owned(),
            ),
            None => Ok(Self {}),
        }
    }

    #[must_use]
    pub fn peers(&self) -> Peers {
        Peers::alone()
    }

    pub async fn blind_to(&self, _file: &str) -> Result<(Vec<String>, usize), String> {
        Ok((Vec::new(), 0))
    }

    pub async fn run(self, _address: Option<String>, service: Service, _stop: CancellationToken) {
        // No node asks it.
        let Service {
            telling,
            answering,
            news,
            hearing,
        } = service;
        drop((telling, answering, news, hearing));
    }
}
