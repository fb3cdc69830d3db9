//! Messages as bytes in NATS: signed before they go out, opened when they come in.
//!
//! Owns the seal, and the reasons for which messages were ignored. The log has each reason once.

use std::collections::HashSet;

use async_nats::Message;
use bytes::Bytes;
use parking_lot::Mutex;

use super::seal::{Seal, Unopened};
use crate::clock::unix_millis;
use crate::config::ClusterToken;

pub(super) struct Messages {
    seal: Seal,
    ignored: Mutex<HashSet<Unopened>>,
}

impl Messages {
    pub(super) fn new(token: Option<&ClusterToken>) -> Self {
        Self {
            seal: Seal::new(token),
            ignored: Mutex::default(),
        }
    }

    pub(super) fn sealed(&self, subject: &str, message: Bytes) -> Bytes {
        self.seal.close(subject, message, unix_millis())
    }

    /// Why messages were ignored until now.
    pub(super) fn ignored(&self) -> Vec<&'static str> {
        self.ignored
            .lock()
            .iter()
            .map(|why| sentence(*why))
            .collect()
    }

    /// How far the clock of the sender is ahead of `now_ms`, if the message is signed.
    pub(super) fn ahead_ms(&self, message: &Message, now_ms: u64) -> Option<i64> {
        let sent_ms = self.seal.sent_ms(&message.payload)?;
        Some(i64::try_from(sent_ms).ok()? - i64::try_from(now_ms).ok()?)
    }

    /// The text of a message, if a node of this cluster sent it now. It is given once.
    pub(super) fn opened(&self, message: &Message) -> Option<Bytes> {
        let subject = message.subject.as_str();
        let opened = self.seal.open(subject, &message.payload, unix_millis());
        let why = match opened {
            Ok(text) => return Some(text),
            Err(why) => why,
        };
        if self.ignored.lock().insert(why) {
            tracing::warn!(subject, "{}", sentence(why));
        }
        None
    }
}

const fn sentence(why: Unopened) -> &'static str {
    match why {
        Unopened::Foreign => {
            "a message without the secret of cluster.token_file is passed by, as all that follow; it has to be the same on all nodes"
        }
        Unopened::Unsigned => {
            "a node without the secret of cluster.token_file, or of an earlier version, is passed by: it works alone; give it the file, or update it"
        }
        Unopened::Signed => {
            "the other nodes sign what they say, and are passed by: this node works alone; set cluster.token_file to the secret that they have"
        }
        Unopened::Earlier => {
            "a node of an earlier version is passed by, as it passes this one by: each works alone; update it"
        }
        Unopened::WrongTime => {
            "a node whose clock differs by more than 30 s is passed by, or a message was kept back; set the clocks of all nodes by NTP"
        }
        Unopened::Repeated => {
            "a message that came before is passed by: another client of NATS repeats what nodes say; give nodes an account of their own there"
        }
    }
}
