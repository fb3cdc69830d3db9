//! How nodes know each other's messages: each begins with its HMAC-SHA256 by the secret of `cluster.token_file`, the time and
//! a number that is used once.
//!
//! The subject is signed too, so that no message stands for another. A message that is older than [`WINDOW`], or that came
//! before, is no message: a client of NATS that repeats what it has heard changes nothing. The clocks of nodes have to agree
//! within that time. Without a secret messages go as they are.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ring::hmac;

use crate::random;

const TAG_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
const NUMBER_BYTES: usize = 12;
const HEAD_BYTES: usize = TAG_BYTES + TIME_BYTES + NUMBER_BYTES;
/// Clocks that are kept by NTP differ by less than a second.
const WINDOW: Duration = Duration::from_secs(30);
/// Numbers that are remembered, 40 bytes each: more messages than this within twice the window are none of a cluster of
/// twenty nodes.
const MOST_NUMBERS: usize = 100_000;

pub(super) struct Seal {
    key: Option<hmac::Key>,
    heard: Mutex<Numbers>,
}

/// Why a message is passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unopened {
    /// It was not signed with this secret.
    Foreign,
    /// It was, by a node of an earlier version.
    Earlier,
    /// The clock of the node that sent it differs, or it was kept back.
    WrongTime,
    /// It came before.
    Repeated,
}

/// The numbers of the messages of the last minute, in the order in which they came.
#[derive(Default)]
struct Numbers {
    known: HashSet<[u8; NUMBER_BYTES]>,
    order: VecDeque<(u64, [u8; NUMBER_BYTES])>,
}

impl Seal {
    pub(super) fn new(secret: Option<&str>) -> Self {
        Self {
            key: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
            heard: Mutex::default(),
        }
    }

    pub(super) fn close(&self, subject: &str, message: Bytes, now_ms: u64) -> Bytes {
        let Some(key) = &self.key else { return message };
        let number = random::nonce(NUMBER_BYTES);
        let signed = [&now_ms.to_be_bytes()[..], number.as_bytes(), &message].concat();
        let tag = hmac::sign(key, &text(subject, &signed));
        [tag.as_ref(), &signed].concat().into()
    }

    /// What a node with this secret sent to this subject, once.
    pub(super) fn open(
        &self,
        subject: &str,
        sealed: &Bytes,
        now_ms: u64,
    ) -> Result<Bytes, Unopened> {
        let Some(key) = &self.key else {
            return Ok(sealed.clone());
        };
        let (tag, signed) = sealed
            .split_at_checked(TAG_BYTES)
            .ok_or(Unopened::Foreign)?;
        if hmac::verify(key, &text(subject, signed), tag).is_err() {
            let was_signed = hmac::verify(key, &earlier_text(subject, signed), tag).is_ok();
            return Err(if was_signed {
                Unopened::Earlier
            } else {
                Unopened::Foreign
            });
        }
        let head = signed.split_first_chunk::<TIME_BYTES>();
        let (time, rest) = head.ok_or(Unopened::Foreign)?;
        let number = rest
            .first_chunk::<NUMBER_BYTES>()
            .ok_or(Unopened::Foreign)?;
        let sent_ms = u64::from_be_bytes(*time);
        if Duration::from_millis(now_ms.abs_diff(sent_ms)) > WINDOW {
            return Err(Unopened::WrongTime);
        }
        if !self.heard.lock().note(*number, now_ms) {
            return Err(Unopened::Repeated);
        }
        Ok(sealed.slice(HEAD_BYTES..))
    }
}

impl Numbers {
    /// `false`: it is known.
    fn note(&mut self, number: [u8; NUMBER_BYTES], now_ms: u64) -> bool {
        let kept = 2 * WINDOW.as_millis() as u64;
        while let Some((at, oldest)) = self.order.front()
            && (now_ms.saturating_sub(*at) > kept || self.order.len() >= MOST_NUMBERS)
        {
            self.known.remove(oldest);
            self.order.pop_front();
        }
        let is_new = self.known.insert(number);
        if is_new {
            self.order.push_back((now_ms, number));
        }
        is_new
    }
}

fn text(subject: &str, signed: &[u8]) -> Vec<u8> {
    [&b"kmds cluster 2\n"[..], subject.as_bytes(), b"\n", signed].concat()
}

/// What the first version signed: no time and no number.
fn earlier_text(subject: &str, message: &[u8]) -> Vec<u8> {
    [&b"kmds cluster\n"[..], subject.as_bytes(), b"\n", message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn message() -> Bytes {
        Bytes::from_static(b"hello")
    }

    #[test]
    fn a_message_is_read_with_its_secret_and_on_its_subject_only() {
        let seal = Seal::new(Some("a secret"));
        let sealed = seal.close("c.ask.a", message(), NOW);
        assert_eq!(seal.open("c.ask.b", &sealed, NOW), Err(Unopened::Foreign));
        assert_eq!(seal.open("c.ask.a", &sealed, NOW), Ok(message()));
        let other = Seal::new(Some("another"));
        assert_eq!(other.open("c.ask.a", &sealed, NOW), Err(Unopened::Foreign));
        for forged in [&b""[..], b"hello", &[0; 40], &[0; 48], &[0; 60]] {
            let forged = Bytes::copy_from_slice(forged);
            assert_eq!(seal.open("c.ask.a", &forged, NOW), Err(Unopened::Foreign));
        }
    }

    #[test]
    fn a_message_is_read_once_and_only_in_its_time() {
        let seal = Seal::new(Some("a secret"));
        let sealed = seal.close("c", message(), NOW);
        let late = NOW + WINDOW.as_millis() as u64 + 1;
        assert_eq!(seal.open("c", &sealed, late), Err(Unopened::WrongTime));
        let early = NOW - WINDOW.as_millis() as u64 - 1;
        assert_eq!(seal.open("c", &sealed, early), Err(Unopened::WrongTime));
        assert_eq!(seal.open("c", &sealed, NOW), Ok(message()));
        assert_eq!(seal.open("c", &sealed, NOW), Err(Unopened::Repeated));
        // It is forgotten when its time has long passed.
        assert!(
            seal.open("c", &seal.close("c", message(), late * 2), late * 2)
                .is_ok()
        );
        assert_eq!(seal.heard.lock().known.len(), 1);
    }

    #[test]
    fn a_message_of_the_first_version_is_known_as_such() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret");
        let tag = hmac::sign(&key, &earlier_text("c", b"a report"));
        let sealed: Bytes = [tag.as_ref(), b"a report"].concat().into();
        let seal = Seal::new(Some("a secret"));
        assert_eq!(seal.open("c", &sealed, NOW), Err(Unopened::Earlier));
    }
}
