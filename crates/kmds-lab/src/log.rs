//! The requests to the lab: one line for each, for tests to count.
//!
//! Owns the list, and wakes the tasks that wait for it to grow. It decides no answer.

use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::world::Site;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pages, scripts and API calls.
    Page,
    /// Audio, HLS playlists and segments.
    Media,
    Cover,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The address that it came from.
    pub from: IpAddr,
    pub site: Option<Site>,
    pub kind: Kind,
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// `context.client.clientName` of a YouTube call.
    pub client_name: Option<String>,
    /// `visitorData` of a YouTube call, from the body or the header.
    pub visitor: Option<String>,
    pub user_agent: String,
    /// The id of the song asked for, where there is one.
    pub song: Option<String>,
    /// Status that was to be sent; what a fault made of it is not told here.
    pub status: u16,
    /// Name of the fault that met this request.
    pub fault: Option<String>,
    /// Body bytes handed to the connection so far.
    pub sent_bytes: u64,
    pub at: Instant,
}

/// A connection asked of the proxy.
#[derive(Debug, Clone)]
pub struct Connection {
    pub host: String,
    pub at: Instant,
}

pub struct Log {
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<Vec<Connection>>,
    /// Plain requests through the proxy, which were refused.
    plain: Mutex<Vec<String>>,
    grown: watch::Sender<u64>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            connections: Mutex::default(),
            plain: Mutex::default(),
            grown: watch::Sender::new(0),
        }
    }
}

impl Log {
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.seen.lock().iter().filter(|seen| wanted(seen)).count()
    }

    pub fn sent_bytes(&self, wanted: impl Fn(&Seen) -> bool) -> u64 {
        let seen = self.seen.lock();
        seen.iter()
            .filter(|seen| wanted(seen))
            .map(|seen| seen.sent_bytes)
            .sum()
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.connections.lock().clone()
    }

    pub fn plain(&self) -> Vec<String> {
        self.plain.lock().clone()
    }

    /// Forgets everything, between the acts of one test.
    pub fn clear(&self) {
        self.seen.lock().clear();
        self.connections.lock().clear();
        self.plain.lock().clear();
    }

    /// A receiver that changes whenever a request or some of its bytes are noted.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Notes a request and gives the number under which its bytes are counted.
    pub(crate) fn note(&self, seen: Seen) -> usize {
        let number = {
            let mut all = self.seen.lock();
            all.push(seen);
            all.len() - 1
        };
        self.grown.send_modify(|count| *count += 1);
        number
    }

    pub(crate) fn add_sent(&self, number: usize, bytes: u64) {
        if let Some(seen) = self.seen.lock().get_mut(number) {
            seen.sent_bytes += bytes;
        }
        self.grown.send_modify(|count| *count += 1);
    }

    pub(crate) fn note_connection(&self, host: &str) {
        let connection = Connection {
            host: host.to_owned(),
            at: Instant::now(),
        };
        self.connections.lock().push(connection);
    }

    pub(crate) fn note_plain(&self, target: &str) {
        self.plain.lock().push(target.to_owned());
    }
}
