//! The tokens in force, and the token that a request uses.
//!
//! Owns the tokens of `server.tokens_file`, their reload, and the ways in which a request shows one: a header, the
//! cookie of a session, a signed address. If a new file cannot be used, the old tokens stay in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use kmds_extract::Kind;
use parking_lot::RwLock;

use super::super::error::Refusal;
use super::super::signatures::{AddressSigner, Signer, is_signed};
use super::super::tokens::{Token, Tokens};
use crate::clock::unix_now;

/// Name of the cookie that a session is kept in.
pub(in crate::http) const SESSION_COOKIE: &str = "kmds_session";
/// How long a browser stays logged in.
pub(in crate::http) const SESSION_SECONDS: u64 = 30 * 24 * 3600;
/// Expiries are whole hours, so that a song keeps its address for an hour: players and caches recognise it. With a
/// shorter lifetime they are multiples of the lifetime.
const EXPIRY_STEP_SECONDS: u64 = 3600;

/// How a request shows its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Header,
    Session,
    Address,
}

/// The token behind a request.
pub(super) struct Grant {
    pub(super) token: Arc<Token>,
    pub(super) means: Means,
}

/// The tokens of one file.
pub(super) struct Credentials {
    file: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
    signer: Option<Arc<Signer>>,
    link_lifetime: Duration,
}

impl Credentials {
    /// # Errors
    /// See [`Tokens::read`]; or the key in the state folder can be neither read nor made.
    pub(super) fn read(
        file: PathBuf,
        state_dir: Option<&Path>,
        link_lifetime: Duration,
    ) -> Result<Self, String> {
        let tokens = RwLock::new(Arc::new(Tokens::read(&file)?));
        let signer = state_dir.map(Signer::open).transpose();
        let signer =
            signer.map_err(|error| format!("the key beside the catalog, in state.dir: {error}"))?;
        Ok(Self {
            file,
            tokens,
            signer: signer.map(Arc::new),
            link_lifetime,
        })
    }

    /// Reads the file again, and logs the result.
    pub(super) fn reload(&self) {
        let file = self.file.display();
        match Tokens::read(&self.file) {
            Ok(read) => {
                let names: Vec<&str> = read.iter().map(|token| &*token.name).collect();
                tracing::info!(target: "kmds::http", tokens = names.join(" "), "{file} is read: these tokens are in force");
                *self.tokens.write() = Arc::new(read);
            }
            Err(why) => {
                tracing::warn!(target: "kmds::http", "server.tokens_file {file} cannot be used, the old tokens stay in force: {why}");
            }
        }
    }

    /// The token of a request. One way of showing it is enough: a proxy may add its own header.
    pub(super) fn of(&self, request: &Parts, may_be_signed: bool) -> Option<Grant> {
        let tokens = Arc::clone(&self.tokens.read());
        let by = |means| move |token| Grant { token, means };
        let sent = request.headers.get(AUTHORIZATION);
        let header = || {
            sent?
                .to_str()
                .ok()
                .and_then(|sent| tokens.of_header(sent))
                .cloned()
        };
        let session = || self.of_cookies(request, &tokens);
        let address = || {
            let signer = self.signer.as_ref().filter(|_| may_be_signed)?;
            signer.of_address(&tokens, &request.uri, unix_now())
        };
        header()
            .map(by(Means::Header))
            .or_else(|| session().map(by(Means::Session)))
            .or_else(|| address().map(by(Means::Address)))
    }

    fn of_cookies(&self, request: &Parts, tokens: &Tokens) -> Option<Arc<Token>> {
        let signer = self.signer.as_ref()?;
        let lines = request.headers.get_all(COOKIE).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == SESSION_COOKIE)
            .find_map(|(_, value)| signer.of_session(tokens, value, unix_now()))
    }

    /// The value of the cookie of a session, for the secret of a token.
    pub(super) fn open_session(&self, secret: &str) -> Option<String> {
        let tokens = Arc::clone(&self.tokens.read());
        let token = tokens.of_secret(secret)?;
        let expires = unix_now() + SESSION_SECONDS;
        Some(self.signer.as_ref()?.session(token, expires))
    }

    /// Signs addresses for this token.
    pub(super) fn signer(&self, token: &Arc<Token>) -> Option<AddressSigner> {
        let lifetime = self.link_lifetime.as_secs();
        // If the operator sets a short time, at most twice that time.
        let step = lifetime.clamp(1, EXPIRY_STEP_SECONDS);
        Some(AddressSigner {
            signer: Arc::clone(self.signer.as_ref()?),
            token: Arc::clone(token),
            expires: (unix_now() + lifetime).next_multiple_of(step),
        })
    }

    /// The answer to a request that needs a token and has no valid one.
    pub(super) fn missing(request: &Parts) -> Refusal {
        let sentence = if request.headers.contains_key(AUTHORIZATION) {
            "the token is not one of this server's; send Authorization: Bearer TOKEN with one from server.tokens_file"
        } else if is_signed(&request.uri) {
            "the signature of this address is not, or no longer, good; fetch the song again for a new address \
             (server.link_lifetime says how long one lasts), or send Authorization: Bearer TOKEN"
        } else {
            "a token is needed; send Authorization: Bearer TOKEN with one from server.tokens_file, or log in at /ui/"
        };
        Refusal::new(Kind::Unauthorized, sentence)
    }
}
