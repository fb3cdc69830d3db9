//! What a client can send instead of a token: a browser's session cookie, or an address with a signature.
//!
//! Owns the key (`door.key` in the state folder, made when tokens are first configured), what is signed, and how it is
//! written. A token's name and hash are signed too: if the token is removed, or gets another secret, its sessions and
//! addresses end. The server stores nothing for either.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use ring::hmac;

use super::tokens::{Token, Tokens};
use crate::{hex, random};

/// Name of the key's file in the state folder.
const KEY_FILE: &str = "door.key";
/// Characters of the shortest key that is taken from the file.
const SHORTEST_KEY: usize = 32;
const SESSION: &str = "session";
const ADDRESS: &str = "address";
const EXPIRES: &str = "expires";
const SIGNATURE: &str = "signature";
/// Parameters that a player may add to a signed address: they change how the bytes are sent, not which.
const NOT_SIGNED: [&str; 5] = [EXPIRES, SIGNATURE, "stream", "wait", "range"];

/// Signs, and checks signatures.
pub(super) struct Signer(hmac::Key);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads the key; makes one where there is none.
    /// # Errors
    /// The file can be neither read nor written.
    pub(super) fn open(state_dir: &Path) -> std::io::Result<Self> {
        let file = state_dir.join(KEY_FILE);
        let secret = match std::fs::read_to_string(&file) {
            Ok(text) if text.trim().len() >= SHORTEST_KEY => text.trim().to_owned(),
            Ok(_) => {
                tracing::warn!(target: "kmds::http", "{} is no key; a new one ends all sessions and signed addresses", file.display());
                make_key(&file)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make_key(&file)?,
            Err(error) => return Err(error),
        };
        Ok(Self::of(&secret))
    }

    fn of(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The value of a session's cookie.
    pub(super) fn session(&self, token: &Token, expires: u64) -> String {
        let tag = hmac::sign(&self.0, &session_text(token, expires));
        format!("{expires}.{}", hex::encode(tag.as_ref()))
    }

    /// The token that a session was opened with.
    pub(super) fn of_session(&self, tokens: &Tokens, value: &str, now: u64) -> Option<Arc<Token>> {
        let (expires, tag) = value.split_once('.')?;
        let expires = unexpired(expires, now)?;
        self.signed_by(tokens, tag, |token| session_text(token, expires))
    }

    /// `path?query` with its expiry and signature behind it; the path begins below the base path.
    fn address(&self, token: &Token, address: &str, expires: u64) -> String {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let tag = hmac::sign(&self.0, &address_text(token, path, query, expires));
        let joint = if query.is_empty() { "?" } else { "&" };
        let path = address.trim_end_matches('?');
        format!(
            "{path}{joint}{EXPIRES}={expires}&{SIGNATURE}={}",
            hex::encode(tag.as_ref())
        )
    }

    /// The token that an address was signed with.
    pub(super) fn of_address(&self, tokens: &Tokens, uri: &Uri, now: u64) -> Option<Arc<Token>> {
        let query = uri.query()?;
        let expires = unexpired(&value(query, EXPIRES)?, now)?;
        let tag = value(query, SIGNATURE)?;
        self.signed_by(tokens, &tag, |token| {
            address_text(token, uri.path(), query, expires)
        })
    }

    /// All tokens are tried, each in constant time.
    fn signed_by(
        &self,
        tokens: &Tokens,
        tag: &str,
        text: impl Fn(&Token) -> Vec<u8>,
    ) -> Option<Arc<Token>> {
        let tag = hex::decode(tag)?;
        let is_of = |token: &&Arc<Token>| hmac::verify(&self.0, &text(token), &tag).is_ok();
        tokens.iter().filter(is_of).last().cloned()
    }
}

/// Signs the addresses of one reply, for the token that asked.
#[derive(Debug, Clone)]
pub(super) struct AddressSigner {
    pub(super) signer: Arc<Signer>,
    pub(super) token: Arc<Token>,
    /// Unix time.
    pub(super) expires: u64,
}

impl AddressSigner {
    /// See [`Signer::address`].
    pub(super) fn sign(&self, address: &str) -> String {
        self.signer.address(&self.token, address, self.expires)
    }
}

/// Whether an address carries a signature, good or not.
pub(super) fn is_signed(uri: &Uri) -> bool {
    uri.query()
        .is_some_and(|query| value(query, SIGNATURE).is_some())
}

/// The address without expiry and signature: handlers refuse unknown parameters, and no log line may show a signature.
/// `None` if it has neither.
pub(super) fn unsigned(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let is_ours = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name != EXPIRES && name != SIGNATURE
    };
    let kept: Vec<&str> = query.split('&').filter(is_ours).collect();
    if kept.len() == query.split('&').count() {
        return None;
    }
    let joint = if kept.is_empty() { "" } else { "?" };
    format!("{}{joint}{}", uri.path(), kept.join("&"))
        .parse()
        .ok()
}

fn make_key(file: &Path) -> std::io::Result<String> {
    let secret = random::secret().map_err(Error::other)?;
    let new = file.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    written.write_all(secret.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&new, file)?;
    Ok(secret)
}

fn unexpired(expires: &str, now: u64) -> Option<u64> {
    let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
    expires.parse().ok().filter(|at| is_number && *at > now)
}

/// The first value of a parameter.
fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(have, _)| have == name)
        .map(|(_, value)| value.into())
}

fn session_text(token: &Token, expires: u64) -> Vec<u8> {
    text(SESSION, token, expires, &[])
}

fn address_text(token: &Token, path: &str, query: &str, expires: u64) -> Vec<u8> {
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !NOT_SIGNED.contains(&&**name))
        .collect();
    let fields = pairs.iter().flat_map(|(name, value)| [&**name, &**value]);
    let fields: Vec<&str> = std::iter::once(path).chain(fields).collect();
    text(ADDRESS, token, expires, &fields)
}

/// Each field with its length before it, so that no two lists of fields are one text.
fn text(purpose: &str, token: &Token, expires: u64, fields: &[&str]) -> Vec<u8> {
    let expires = expires.to_string();
    let first = [
        purpose.as_bytes(),
        token.name.as_bytes(),
        &token.hash,
        expires.as_bytes(),
    ];
    let mut text = Vec::new();
    for field in first
        .into_iter()
        .chain(fields.iter().map(|field| field.as_bytes()))
    {
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secrets: &[(&str, &str)]) -> Tokens {
        Tokens::of_names(secrets)
    }

    fn uri(text: &str) -> Uri {
        text.parse().expect("an address")
    }

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_session_is_its_tokens_until_it_expires_or_the_secret_changes() {
        let signer = Signer::of("a key of this test, long enough");
        let two = tokens(&[
            ("ada", "first-of-two-secrets"),
            ("bob", "second-of-two-secrets"),
        ]);
        let ada = two.of_secret("first-of-two-secrets").expect("ada");
        let cookie = signer.session(ada, NOW + 10);
        let name = |tokens: &Tokens, value: &str, now| {
            let token = signer.of_session(tokens, value, now);
            token.map(|token| token.name.to_string())
        };
        assert_eq!(name(&two, &cookie, NOW).as_deref(), Some("ada"));
        assert_eq!(name(&two, &cookie, NOW + 10), None, "expired");
        let longer = cookie.replace(&(NOW + 10).to_string(), &(NOW + 99).to_string());
        for bad in [
            longer.as_str(),
            "",
            ".",
            "9999999999.",
            &cookie[..cookie.len() - 1],
        ] {
            assert_eq!(name(&two, bad, NOW), None, "{bad}");
        }
        let changed = tokens(&[
            ("ada", "another-secret-of-ada"),
            ("bob", "second-of-two-secrets"),
        ]);
        assert_eq!(name(&changed, &cookie, NOW), None);
        let other = Signer::of("another key of this test, as long");
        assert!(other.of_session(&two, &cookie, NOW).is_none());
        assert!(!cookie.contains("first-of"));
    }

    #[test]
    fn an_address_is_signed_with_all_that_says_which_bytes_and_a_player_may_add_how() {
        let signer = Signer::of("a key of this test, long enough");
        let one = tokens(&[("bot", "the-secret-of-the-bot")]);
        let bot = one.of_secret("the-secret-of-the-bot").expect("bot");
        let opens = |address: &str, now| signer.of_address(&one, &uri(address), now).is_some();
        let signed = signer.address(bot, "/tunnel?file=a%2Bb.m4a", NOW + 10);
        assert!(signed.starts_with("/tunnel?file=a%2Bb.m4a&expires=1800000010&signature="));
        assert!(opens(&signed, NOW) && !opens(&signed, NOW + 10));
        for fine in ["&stream=1", "&wait=60", "&range=0-99", "&stream=1&wait=2"] {
            assert!(opens(&format!("{signed}{fine}"), NOW), "{fine}");
        }
        assert!(
            opens(&signed.replace("a%2Bb", "%61%2bb"), NOW),
            "the same name"
        );
        for (from, to) in [
            ("/tunnel", "/play"),
            ("a%2Bb.m4a", "b.m4a"),
            ("expires=1800000010", "expires=1800000099"),
            ("expires=1800000010&", ""),
            ("?file", "?x=y&file"),
            ("&signature=", "&signature=0"),
        ] {
            assert!(!opens(&signed.replace(from, to), NOW), "{from} {to}");
        }
        for more in ["&rendition=flac", "&tags=1", "&hold=99", "&file=b.m4a"] {
            assert!(!opens(&format!("{signed}{more}"), NOW), "{more}");
        }
        let plain = signer.address(bot, "/api/v1/tracks/bandcamp/1/audio", NOW + 10);
        assert!(opens(&plain, NOW), "{plain}");
        let session = signer.session(bot, NOW + 10);
        let (expires, tag) = session.split_once('.').expect("two parts");
        let misused = format!("/tunnel?expires={expires}&signature={tag}");
        assert!(!opens(&misused, NOW), "a session is no address");
    }

    #[test]
    fn handlers_see_an_address_without_its_signature() {
        for (signed, plain) in [
            (
                "/t?file=a&expires=1&signature=2&stream=1",
                Some("/t?file=a&stream=1"),
            ),
            ("/t?expires=1&signature=2", Some("/t")),
            ("/t?file=a", None),
            ("/t", None),
        ] {
            let seen = unsigned(&uri(signed)).map(|uri| uri.to_string());
            assert_eq!(seen.as_deref(), plain, "{signed}");
        }
    }

    #[test]
    fn the_key_is_made_once_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("kmds-door-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let one = tokens(&[("bot", "the-secret-of-the-bot")]);
        let bot = one.of_secret("the-secret-of-the-bot").expect("bot");
        let signed = Signer::open(&folder).expect("made").session(bot, NOW + 1);
        let again = Signer::open(&folder).expect("read");
        assert!(again.of_session(&one, &signed, NOW).is_some());
        let file = folder.join(KEY_FILE);
        let mode = std::fs::metadata(&file)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&file, "").expect("emptied");
        let new = Signer::open(&folder).expect("made anew");
        assert!(new.of_session(&one, &signed, NOW).is_none());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
