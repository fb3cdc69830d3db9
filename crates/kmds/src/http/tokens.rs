//! Access tokens: reading the tokens file, and comparing them with what a client sent.
//!
//! Only the hashes of tokens are kept, and no token is logged.

use std::path::Path;

use ring::digest::{Digest, SHA256, digest};

/// A longer line is hardly a token: the file is probably another one.
const LONGEST_TOKEN_BYTES: usize = 1024;

/// The tokens that are accepted.
pub(super) struct Tokens {
    hashes: Vec<Digest>,
}

impl Tokens {
    /// Reads a file with one token per line; empty lines and lines starting with `#` are skipped.
    /// # Errors
    /// A sentence: no file, no token in it, or one that no header can carry.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let mut hashes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let token = line.trim();
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            if token.len() > LONGEST_TOKEN_BYTES
                || !token.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(format!(
                    "line {} is no token; use printable ASCII without spaces",
                    index + 1
                ));
            }
            hashes.push(digest(&SHA256, token.as_bytes()));
        }
        if hashes.is_empty() {
            return Err("there is no token in it; write one per line".to_owned());
        }
        Ok(Self { hashes })
    }

    /// Whether the value of an `Authorization` header carries one of the tokens. Takes the same time whichever it is,
    /// and however many of its characters are right: hashes of one length are compared, all of them, to the end.
    pub(super) fn accept(&self, authorization: &str) -> bool {
        let Some((scheme, token)) = authorization.trim().split_once(' ') else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return false;
        }
        let asked = digest(&SHA256, token.trim().as_bytes());
        self.hashes.iter().fold(false, |open, hash| {
            open | same(hash.as_ref(), asked.as_ref())
        })
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("kmds-tokens-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a temporary file");
        path
    }

    #[test]
    fn each_line_is_a_token_and_nothing_else_opens() {
        let tokens =
            Tokens::read(&file("two", "# the bot\nabc123\n\n  second-one \r\n")).expect("valid");
        for open in ["Bearer abc123", "bearer  second-one", "BEARER abc123 "] {
            assert!(tokens.accept(open), "{open}");
        }
        for shut in [
            "abc123",
            "Bearer abc12",
            "Bearer abc1234",
            "Bearer ",
            "Bearer # the bot",
            "Basic abc123",
            "",
        ] {
            assert!(!tokens.accept(shut), "{shut}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        assert!(Tokens::read(&file("none", "# none yet\n\n")).is_err());
        assert!(
            Tokens::read(&file("space", "two words\n")).is_err_and(|why| why.contains("line 1"))
        );
        assert!(Tokens::read(Path::new("/nowhere/at/all")).is_err());
    }
}
