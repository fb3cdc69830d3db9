//! How a node knows that a message in NATS comes from a node with its secret, and comes now.
//!
//! A signed message is an HMAC-SHA256, the time, a number that is used once, and the text. The key is made of the
//! secret in `cluster.token_file` ([`ClusterToken::signing_key`]). The subject is signed too, so that a message for one
//! subject is no message on another. A message is read once, and only within [`WINDOW`] of its time: a client of NATS
//! that repeats a message changes nothing. So the clocks of the nodes have to agree within that time. Without a secret
//! the text goes as it is.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ring::hmac;

use crate::config::ClusterToken;
use crate::random;

const TAG_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
const NUMBER_BYTES: usize = 12;
const HEAD_BYTES: usize = TAG_BYTES + TIME_BYTES + NUMBER_BYTES;
/// Clocks that NTP sets differ by less than a second.
const WINDOW: Duration = Duration::from_secs(30);
/// The most numbers that are remembered, 40 bytes each. A cluster of twenty nodes sends fewer messages within twice the
/// window.
const MOST_NUMBERS: usize = 100_000;
/// Begins the text that is signed.
const SIGNED_TEXT: &[u8] = b"kmds cluster 3\n";
/// What began it in earlier versions. The first of them signed no time and no number.
const EARLIER_TEXTS: [&[u8]; 2] = [b"kmds cluster 2\n", b"kmds cluster\n"];
/// Ends the subject of reports, which are JSON objects.
const REPORTS: &str = ".nodes";

pub(super) struct Seal {
    keys: Option<Keys>,
    heard: Mutex<Numbers>,
}

struct Keys {
    own: hmac::Key,
    /// As versions before signed, when the secret had one key. It only finds out why a message cannot be read.
    earlier: hmac::Key,
}

/// Why a message is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unopened {
    /// It was not signed with this secret.
    Foreign,
    /// It is a report that was not signed at all.
    Unsigned,
    /// It was signed, and this node has no secret.
    Signed,
    /// It was signed with this secret, by a node of an earlier version.
    Earlier,
    /// The clock of its sender differs, or it was held back.
    WrongTime,
    /// It came before.
    Repeated,
}

/// The numbers of the messages of the last minute, in the order of arrival.
#[derive(Default)]
struct Numbers {
    known: HashSet<[u8; NUMBER_BYTES]>,
    order: VecDeque<(u64, [u8; NUMBER_BYTES])>,
}

impl Seal {
    pub(super) fn new(token: Option<&ClusterToken>) -> Self {
        Self {
            keys: token.map(|token| Keys {
                own: token.signing_key(),
                earlier: token.earlier_key(),
            }),
            heard: Mutex::default(),
        }
    }

    /// The message as it goes out on this subject.
    pub(super) fn close(&self, subject: &str, message: Bytes, now_ms: u64) -> Bytes {
        let Some(keys) = &self.keys else {
            return message;
        };
        let number = random::nonce(NUMBER_BYTES);
        let signed = [&now_ms.to_be_bytes()[..], number.as_bytes(), &message].concat();
        let tag = hmac::sign(&keys.own, &text(subject, &signed));
        [tag.as_ref(), &signed].concat().into()
    }

    /// The time in a message; `None` without a secret. Nothing is checked.
    pub(super) fn sent_ms(&self, sealed: &[u8]) -> Option<u64> {
        self.keys.as_ref()?;
        let time = sealed.get(TAG_BYTES..)?.first_chunk()?;
        Some(u64::from_be_bytes(*time))
    }

    /// The text of a message that a node with this secret sent on this subject. It is given once.
    pub(super) fn open(
        &self,
        subject: &str,
        sealed: &Bytes,
        now_ms: u64,
    ) -> Result<Bytes, Unopened> {
        let Some(keys) = &self.keys else {
            let is_signed = subject.ends_with(REPORTS) && !is_report(sealed);
            return if is_signed {
                Err(Unopened::Signed)
            } else {
                Ok(sealed.clone())
            };
        };
        let (tag, signed) = sealed
            .split_at_checked(TAG_BYTES)
            .ok_or(Unopened::Foreign)?;
        if hmac::verify(&keys.own, &text(subject, signed), tag).is_err() {
            return Err(keys.why_unsigned(subject, sealed, tag, signed));
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

impl Keys {
    /// Why the tag is not of this version's key.
    fn why_unsigned(&self, subject: &str, sealed: &Bytes, tag: &[u8], signed: &[u8]) -> Unopened {
        let is_earlier = EARLIER_TEXTS.into_iter().any(|begin| {
            let text = [begin, subject.as_bytes(), b"\n", signed].concat();
            hmac::verify(&self.earlier, &text, tag).is_ok()
        });
        match is_earlier {
            true => Unopened::Earlier,
            false if is_report(sealed) => Unopened::Unsigned,
            false => Unopened::Foreign,
        }
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

fn is_report(message: &[u8]) -> bool {
    message.starts_with(b"{") && message.ends_with(b"}")
}

fn text(subject: &str, signed: &[u8]) -> Vec<u8> {
    [SIGNED_TEXT, subject.as_bytes(), b"\n", signed].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn message() -> Bytes {
        Bytes::from_static(b"hello")
    }

    fn seal_of(secret: &str) -> Seal {
        Seal::new(Some(&ClusterToken::from(secret)))
    }

    #[test]
    fn a_message_is_read_with_its_secret_and_on_its_subject_only() {
        let seal = seal_of("a secret");
        let sealed = seal.close("c.ask.a", message(), NOW);
        assert_eq!(seal.open("c.ask.b", &sealed, NOW), Err(Unopened::Foreign));
        assert_eq!(seal.open("c.ask.a", &sealed, NOW), Ok(message()));
        let other = seal_of("another");
        assert_eq!(other.open("c.ask.a", &sealed, NOW), Err(Unopened::Foreign));
        for forged in [&b""[..], b"hello", &[0; 40], &[0; 48], &[0; 60]] {
            let forged = Bytes::copy_from_slice(forged);
            assert_eq!(seal.open("c.ask.a", &forged, NOW), Err(Unopened::Foreign));
        }
    }

    #[test]
    fn a_message_is_read_once_and_only_in_its_time() {
        let seal = seal_of("a secret");
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
    fn a_message_of_an_earlier_version_is_known_as_such() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret");
        let seal = seal_of("a secret");
        for begin in ["kmds cluster\n", "kmds cluster 2\n"] {
            let tag = hmac::sign(&key, format!("{begin}c\na report").as_bytes());
            let sealed: Bytes = [tag.as_ref(), b"a report"].concat().into();
            assert_eq!(seal.open("c", &sealed, NOW), Err(Unopened::Earlier));
        }
    }

    #[test]
    fn a_node_with_a_secret_and_one_without_know_what_is_between_them() {
        let report = Bytes::from_static(br#"{"node":"a node that has a name","protocol":1}"#);
        let (with, without) = (seal_of("a secret"), Seal::new(None));
        let signed = with.close("c.nodes", report.clone(), NOW);
        assert_eq!(with.open("c.nodes", &report, NOW), Err(Unopened::Unsigned));
        assert_eq!(without.open("c.nodes", &signed, NOW), Err(Unopened::Signed));
        assert_eq!(without.open("c.nodes", &report, NOW), Ok(report));
        assert_eq!(without.open("c.ask.a", &message(), NOW), Ok(message()));
    }

    #[test]
    fn the_token_that_nodes_show_by_http_signs_no_message() {
        let token = ClusterToken::from("a secret");
        let seal = Seal::new(Some(&token));
        let forged = seal_of(&token.bearer()).close("c", message(), NOW);
        assert_eq!(seal.open("c", &forged, NOW), Err(Unopened::Foreign));
    }
}
