//! How nodes know each other's messages: each begins with its HMAC-SHA256 by the secret of `cluster.token_file`.
//!
//! The subject is signed too, so that no message stands for another. Without a secret messages go as they are.

use bytes::Bytes;
use ring::hmac;

const TAG_BYTES: usize = 32;

pub(super) struct Seal(Option<hmac::Key>);

impl Seal {
    pub(super) fn new(secret: Option<&str>) -> Self {
        Self(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    pub(super) fn close(&self, subject: &str, message: Bytes) -> Bytes {
        let Some(key) = &self.0 else { return message };
        let tag = hmac::sign(key, &text(subject, &message));
        [tag.as_ref(), &message[..]].concat().into()
    }

    /// `None` for what no node with this secret sent to this subject.
    pub(super) fn open(&self, subject: &str, sealed: &Bytes) -> Option<Bytes> {
        let Some(key) = &self.0 else {
            return Some(sealed.clone());
        };
        let (tag, message) = sealed.split_at_checked(TAG_BYTES)?;
        hmac::verify(key, &text(subject, message), tag).ok()?;
        Some(sealed.slice(TAG_BYTES..))
    }
}

fn text(subject: &str, message: &[u8]) -> Vec<u8> {
    [&b"kmds cluster\n"[..], subject.as_bytes(), b"\n", message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_with_its_secret_and_on_its_subject_only() {
        let seal = Seal::new(Some("a secret"));
        let sealed = seal.close("c.ask.a", Bytes::from_static(b"hello"));
        assert_eq!(
            seal.open("c.ask.a", &sealed).as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(seal.open("c.ask.b", &sealed), None);
        assert_eq!(Seal::new(Some("another")).open("c.ask.a", &sealed), None);
        for forged in [&b""[..], b"hello", &[0; 40]] {
            assert_eq!(seal.open("c.ask.a", &Bytes::copy_from_slice(forged)), None);
        }
    }
}
