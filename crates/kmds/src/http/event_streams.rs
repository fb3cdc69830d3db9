//! How many event streams each client has: a stream lasts as long as the client wants, so their number is limited.

use std::sync::Arc;

use kmds_extract::Kind;
use parking_lot::Mutex;

use super::error::Refusal;
use super::network::Peer;

/// The event streams of one client may not use the last quarter of all connections. A page for each of a thousand
/// people behind one address is no attack, but streams must not take every connection.
const STREAMS_LEAVE: usize = 4;

/// How many streams each client holds.
#[derive(Debug)]
pub(super) struct EventStreams {
    most: usize,
    held: Arc<Mutex<Vec<(Peer, usize)>>>,
}

impl EventStreams {
    pub(super) fn new(most_connections: usize) -> Self {
        Self {
            most: most_connections - most_connections / STREAMS_LEAVE,
            held: Arc::default(),
        }
    }

    /// Counts one more stream, until the returned value is dropped.
    /// # Errors
    /// The client holds too many.
    pub(super) fn open(&self, client: Peer) -> Result<OpenStream, Refusal> {
        let mut held = self.held.lock();
        let place = held
            .iter()
            .position(|(peer, _)| *peer == client)
            .unwrap_or(held.len());
        if held
            .get(place)
            .is_some_and(|(_, count)| *count >= self.most)
        {
            let sentence = format!(
                "{client} holds {} event streams; one stream tells of all songs, so close the others",
                self.most
            );
            return Err(Refusal::new(Kind::QueueFull, sentence));
        }
        match held.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => held.push((client, 1)),
        }
        Ok(OpenStream {
            client,
            held: Arc::clone(&self.held),
        })
    }
}

/// Counts one stream while it lives.
pub(super) struct OpenStream {
    client: Peer,
    held: Arc<Mutex<Vec<(Peer, usize)>>>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some((_, count)) = held.iter_mut().find(|(peer, _)| *peer == self.client) {
            *count -= 1;
        }
        held.retain(|(_, count)| *count > 0);
    }
}
