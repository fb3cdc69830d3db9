//! The secret that all nodes of a cluster have.
//!
//! Owns its file and the two keys that are made of it. The secret itself never leaves the host. A node sends the one
//! key as a bearer token by HTTP, and signs its messages in NATS with the other one: a proxy or a log that has seen the
//! bearer token cannot sign a message.

use std::path::Path;

use ring::hmac;

use crate::hex;

pub struct ClusterToken(String);

impl ClusterToken {
    /// Reads the one line of the file that is no comment.
    /// # Errors
    /// A sentence without the secret.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let mut secrets = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (secrets.next(), secrets.next()) {
            (Some(secret), None) => Ok(Self(secret.to_owned())),
            _ => {
                Err("write exactly one line into it, the secret: `openssl rand -hex 32`".to_owned())
            }
        }
    }

    /// The secret as it stands in the file: it is looked at, and never sent.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What a node shows the HTTP of another one.
    #[must_use]
    pub fn bearer(&self) -> String {
        hex::encode(self.derived("kmds cluster: bearer token").as_ref())
    }

    /// Signs messages in NATS.
    #[must_use]
    pub fn signing_key(&self) -> hmac::Key {
        let key = self.derived("kmds cluster: messages");
        hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
    }

    /// Signed the messages of earlier versions, which also sent the secret itself as the bearer token.
    #[must_use]
    pub fn earlier_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes())
    }

    fn derived(&self, label: &str) -> hmac::Tag {
        hmac::sign(&self.earlier_key(), label.as_bytes())
    }
}

#[cfg(test)]
impl From<&str> for ClusterToken {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_token_is_neither_the_secret_nor_the_key_of_messages() {
        let token = ClusterToken::from("a secret");
        let tag = |key: &hmac::Key| hmac::sign(key, b"a message").as_ref().to_vec();
        let shown = token.bearer();
        assert_eq!(shown.len(), 64);
        assert_eq!(shown, ClusterToken::from("a secret").bearer());
        assert_ne!(shown, ClusterToken::from("another").bearer());
        let seen = ClusterToken::from(shown.as_str());
        let bytes = hex::decode(&shown).expect("digits");
        let by_bytes = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let signed = tag(&token.signing_key());
        for forged in [
            seen.signing_key(),
            seen.earlier_key(),
            token.earlier_key(),
            by_bytes,
        ] {
            assert_ne!(tag(&forged), signed);
        }
    }
}
