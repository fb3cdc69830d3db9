//! Messages of the cluster as bytes in NATS: signed on their way out, opened where they come in.
//!
//! Owns the seal, and why messages were passed by: each reason is told once.

use std::collections::HashSet;

use async_nats::Message;
use bytes::Bytes;
use parking_lot::Mutex;

use super::seal::{Seal, Unopened};
use crate::clock::unix_millis;

pub(super) struct Messages {
    seal: Seal,
    passed_by: Mutex<HashSet<Unopened>>,
}

impl Messages {
    pub(super) fn new(secret: Option<&str>) -> Self {
        Self {
            seal: Seal::new(secret),
            passed_by: Mutex::default(),
        }
    }

    pub(super) fn sealed(&self, subject: &str, message: Bytes) -> Bytes {
        self.seal.close(subject, message, unix_millis())
    }

    /// What a message says, if a node of this cluster sent it, now and once.
    pub(super) fn opened(&self, message: &Message) -> Option<Bytes> {
        let subject = message.subject.as_str();
        let opened = self.seal.open(subject, &message.payload, unix_millis());
        let why = match opened {
            Ok(text) => return Some(text),
            Err(why) => why,
        };
        if self.passed_by.lock().insert(why) {
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
