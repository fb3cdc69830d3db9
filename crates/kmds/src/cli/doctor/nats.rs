//! Whether NATS is there, and able to do what a node needs of it.
//!
//! Reads the line with which a server greets. Logs in to nothing.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use url::Url;

use super::Finding;
use crate::config::ClusterConfig;

const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
const LONGEST_GREETING: u64 = 64 << 10;
const DEFAULT_PORT: u16 = 4222;
/// The first release that can do what is needed.
const OLDEST: (u32, u32) = (2, 11);

/// What follows `INFO ` in the greeting.
#[derive(Deserialize)]
struct Greeting {
    version: String,
    #[serde(default)]
    jetstream: bool,
}

/// One finding for each server.
pub(super) async fn findings(config: &ClusterConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in &config.servers {
        findings.push(finding(server).await);
    }
    findings
}

async fn finding(server: &str) -> Finding {
    let Some((host, port)) = place(server) else {
        let advice = "use nats://HOST:PORT or tls://HOST:PORT in cluster.nats";
        return Finding::fail("nats", "a server has no host", advice);
    };
    let at = format!("{host}:{port}");
    let greeted = tokio::time::timeout(ANSWERS_WITHIN, greeting(&host, port)).await;
    let Some(greeting) = greeted.ok().flatten() else {
        let advice =
            "start it, open the way to it, or set cluster.nats; until then this node works alone";
        return Finding::warn("nats", format!("{at} does not answer"), advice);
    };
    let version = greeting.version;
    if !is_new_enough(&version) {
        let advice = "install 2.11 or newer";
        return Finding::fail("nats", format!("{at} is NATS {version}"), advice);
    }
    if !greeting.jetstream {
        let says = format!("{at} is NATS {version} without JetStream");
        return Finding::fail("nats", says, "start it with --jetstream");
    }
    let says = format!("{at} is NATS {version} with JetStream; kmds status shows the nodes");
    Finding::ok("nats", says)
}

fn place(server: &str) -> Option<(String, u16)> {
    let url = Url::parse(server).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    Some((host.to_owned(), url.port().unwrap_or(DEFAULT_PORT)))
}

async fn greeting(host: &str, port: u16) -> Option<Greeting> {
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(LONGEST_GREETING));
    reader.read_line(&mut line).await.ok()?;
    serde_json::from_str(line.strip_prefix("INFO ")?).ok()
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_versions_are_read() {
        assert_eq!(place("nats://me:secret@h:1"), Some(("h".to_owned(), 1)));
        assert_eq!(place("tls://[::1]"), Some(("::1".to_owned(), 4222)));
        assert!(is_new_enough("2.11.0") && is_new_enough("3.0.0-beta"));
        assert!(!is_new_enough("2.9.10") && !is_new_enough("one"));
    }
}
