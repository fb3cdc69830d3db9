//! The tokens in force, and the one that a request carries.
//!
//! Owns the tokens of `server.tokens_file` and their reading anew. A file that cannot be used leaves the old tokens in
//! force.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use kmds_extract::Kind;
use parking_lot::RwLock;

use super::super::error::Refusal;
use super::super::tokens::{Token, Tokens};

/// The tokens of one file.
pub(super) struct Credentials {
    file: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
}

impl Credentials {
    /// # Errors
    /// See [`Tokens::read`].
    pub(super) fn read(file: PathBuf) -> Result<Self, String> {
        let tokens = RwLock::new(Arc::new(Tokens::read(&file)?));
        Ok(Self { file, tokens })
    }

    /// Reads the file again; what came of it is logged.
    pub(super) fn reload(&self) {
        let file = self.file.display();
        match Tokens::read(&self.file) {
            Ok(read) => {
                let names: Vec<&str> = read.iter().map(|token| &*token.name).collect();
                tracing::info!(target: "kmds::http", tokens = names.join(" "), "{file} is read: these tokens are in force");
                *self.tokens.write() = Arc::new(read);
            }
            Err(why) => {
                tracing::warn!(target: "kmds::http", "server.tokens_file {file} cannot be used, the tokens stay as they were: {why}");
            }
        }
    }

    /// The token of a request.
    pub(super) fn of(&self, request: &Parts) -> Option<Arc<Token>> {
        let tokens = Arc::clone(&self.tokens.read());
        let sent = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
        tokens.of_header(sent).cloned()
    }

    /// The answer to a request that needs a token and carries none of ours.
    pub(super) fn missing(request: &Parts) -> Refusal {
        let sentence = if request.headers.contains_key(AUTHORIZATION) {
            "the token is not one of this server's; send Authorization: Bearer TOKEN with one from server.tokens_file"
        } else {
            "a token is needed; send Authorization: Bearer TOKEN with one from server.tokens_file"
        };
        Refusal::new(Kind::Unauthorized, sentence)
    }
}
