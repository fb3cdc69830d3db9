//! Access tokens: their names, what each may do, and which one a client sent.
//!
//! KMDS keeps only hashes of secrets. It logs names, never a secret. SHA-256 without salt and rounds is enough here: a
//! secret has [`SHORTEST_SECRET`] characters at least and is made at random, so that it cannot be guessed from its
//! hash.

mod file;

use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::config::ClusterToken;
use crate::{hex, random};

/// Characters of the shortest secret: 16 random ones are 96 bits.
pub(super) const SHORTEST_SECRET: usize = 16;

/// What a token may do. No scope includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Get what is here: songs, lists, events, numbers.
    Listen,
    /// Start work at the sites: fetch links, search, retry.
    Fetch,
    /// Remove songs, reload recipes.
    Manage,
}

impl Scope {
    pub(super) const ALL: [Self; 3] = [Self::Listen, Self::Fetch, Self::Manage];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Fetch => "fetch",
            Self::Manage => "manage",
        }
    }
}

/// SHA-256 of a secret.
pub(super) type Hash = [u8; SHA256_OUTPUT_LEN];

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// For the log, the metrics and refusals.
    pub(super) name: Arc<str>,
    pub(super) hash: Hash,
    scopes: Vec<Scope>,
    /// `None`: the limit of the settings.
    pub(super) requests_per_minute: Option<u64>,
}

impl Token {
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// The tokens that are accepted, as one reading of their file gave them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokens(Vec<Arc<Token>>);

impl Tokens {
    /// Reads the file: TOML if its name ends in `.toml`, else a token a line.
    /// # Errors
    /// A sentence without any secret: no file, no token in it, or one that cannot be used.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{error}; use the path of a file with tokens"))?;
        let text = text.trim_start_matches('\u{feff}');
        let tokens = if file.extension().is_some_and(|ext| ext == "toml") {
            file::read_toml(text)
        } else {
            file::read_lines(text)
        }?;
        Ok(Self(tokens.into_iter().map(Arc::new).collect()))
    }

    /// What the nodes of a cluster show ([`ClusterToken::bearer`]).
    /// # Errors
    /// As [`Self::read`], or there are several secrets, or the one is too short.
    pub(super) fn read_one(file: &Path) -> Result<Self, String> {
        let token = ClusterToken::read(file)?;
        file::read_lines(token.secret())?;
        let tokens = file::read_lines(&token.bearer())?;
        Ok(Self(tokens.into_iter().map(Arc::new).collect()))
    }

    /// Tokens of all scopes by name and secret.
    #[cfg(test)]
    pub(super) fn of_names(secrets: &[(&str, &str)]) -> Self {
        let token = |(name, secret): &(&str, &str)| Token {
            name: (*name).into(),
            hash: hash(secret),
            scopes: Scope::ALL.to_vec(),
            requests_per_minute: None,
        };
        Self(secrets.iter().map(token).map(Arc::new).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.0.iter()
    }

    /// The token in the value of an `Authorization` header.
    pub(super) fn of_header(&self, authorization: &str) -> Option<&Arc<Token>> {
        let (scheme, secret) = authorization.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.of_secret(secret.trim())
    }

    /// The token of this secret. It takes the same time for any number of right characters: hashes of one length are
    /// compared, all of them, to the end.
    pub(super) fn of_secret(&self, secret: &str) -> Option<&Arc<Token>> {
        let asked = hash(secret);
        self.0.iter().fold(None, |found, token| {
            if same(&token.hash, &asked) {
                Some(token)
            } else {
                found
            }
        })
    }
}

/// A token that is just made: its secret, and the table for the file of tokens, which has the secret's hash.
#[derive(Debug)]
pub struct NewToken {
    pub secret: String,
    pub table: String,
}

impl NewToken {
    /// # Errors
    /// A name or a scope that cannot be used, or a system without random numbers.
    pub fn make(name: &str, scopes: &[String]) -> Result<Self, String> {
        let secret = random::secret()?;
        let table = format!(
            "[[token]]\nname = {name:?}\nsha256 = \"{}\"\nscopes = {scopes:?}\n",
            hex::encode(&hash(&secret))
        );
        file::read_toml(&table)?;
        Ok(Self { secret, table })
    }
}

fn hash(secret: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

fn same(one: &Hash, other: &Hash) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Tokens, String> {
        static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("kmds-tokens-{}-{serial}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        let read = Tokens::read(&path);
        std::fs::remove_file(&path).expect("it was written");
        read
    }

    #[test]
    fn each_line_is_a_token_of_all_scopes_and_nothing_else_opens() {
        let text = "# the bot\nabcdefgh12345678\n\n  second-one-of-some-length \r\n";
        let tokens = read("two", text).expect("valid");
        for (open, name) in [
            ("Bearer abcdefgh12345678", "line-2"),
            ("bearer  second-one-of-some-length", "line-4"),
            ("BEARER abcdefgh12345678 ", "line-2"),
        ] {
            let token = tokens.of_header(open).expect(open);
            assert_eq!(&*token.name, name);
            assert!(Scope::ALL.into_iter().all(|scope| token.may(scope)));
        }
        for shut in [
            "abcdefgh12345678",
            "Bearer abcdefgh1234567",
            "Bearer abcdefgh123456789",
            "Bearer ",
            "Bearer # the bot",
            "Basic abcdefgh12345678",
            "",
        ] {
            assert_eq!(tokens.of_header(shut), None, "{shut}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_says_where_and_why_without_a_secret() {
        for (name, text, said) in [
            ("none", "# none yet\n\n", "no token"),
            ("space", "two words\n", "line 1"),
            (
                "short",
                "# a\nfifteen-letters\n",
                "line 2: a secret needs at least 16",
            ),
            ("toml", "[[token]]\nname = \"a\"\n", ".toml"),
            ("twice", "sixteen-letters!\nsixteen-letters!\n", "line 2"),
            ("none.toml", "", "no token"),
            (
                "a.toml",
                "[[token]]\nname = \"a\"\nscopes = [\"listen\"]\n",
                "secret or sha256",
            ),
            (
                "b.toml",
                "[[token]]\nname = \"a\"\nsecret = \"fifteen-letters\"\nscopes = [\"listen\"]\n",
                "at least 16",
            ),
            (
                "c.toml",
                "[[token]]\nname = \"a b\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\"]\n",
                "name",
            ),
            (
                "d.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscopes = []\n",
                "scopes",
            ),
            (
                "e.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscopes = [\"all\"]\n",
                "listen, fetch, manage",
            ),
            (
                "f.toml",
                "[[token]]\nname = \"a\"\nsha256 = \"12\"\nscopes = [\"listen\"]\n",
                "64",
            ),
            (
                "g.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\nscopes = 1\n",
                "line 3",
            ),
            (
                "h.toml",
                "[[token]]\nname = \"a\"\nsecret = 1234567890123456\nscopes = [\"listen\"]\n",
                "line 3",
            ),
            (
                "i.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscope = [\"listen\"]\n",
                "scope",
            ),
            (
                "j.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\"]\n\
                        [[token]]\nname = \"a\"\nsecret = \"seventeen-letters\"\nscopes = [\"listen\"]\n",
                "twice",
            ),
            (
                "k.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\"]\n\
                        [[token]]\nname = \"b\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\"]\n",
                "same secret",
            ),
            (
                "l.toml",
                "[[token]]\nname = \"a\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\"]\nrequests_per_minute = 0\n",
                "requests_per_minute",
            ),
        ] {
            let why = read(name, text).expect_err(name);
            assert!(why.contains(said), "{name}: {why}");
            for secret in ["sixteen-letters", "fifteen-letters", "1234567890123456"] {
                assert!(!why.contains(secret), "{name}: {why}");
            }
        }
        assert!(Tokens::read(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_toml_file_gives_names_scopes_and_limits_and_takes_a_secret_or_its_hash() {
        let text = "# people\n[[token]]\nname = \"bot\"\nsecret = \"sixteen-letters!\"\nscopes = [\"listen\", \"fetch\"]\n\
                    requests_per_minute = 90\n\n[[token]]\nname = \"ada\"\n\
                    sha256 = \"26cd7c5a5bc5f2efde3b4cae48a94ac06a05d6e7b2fc4c1f0b4ab9b5ab5a1b0e\"\nscopes = [\"manage\"]\n";
        let sum = hex::encode(&hash("seventeen-letters"));
        let text = text.replace(
            "26cd7c5a5bc5f2efde3b4cae48a94ac06a05d6e7b2fc4c1f0b4ab9b5ab5a1b0e",
            &sum.to_uppercase(),
        );
        let tokens = read("both.toml", &text).expect("valid");
        let bot = tokens.of_secret("sixteen-letters!").expect("the secret");
        assert_eq!((&*bot.name, bot.requests_per_minute), ("bot", Some(90)));
        assert!(bot.may(Scope::Listen) && bot.may(Scope::Fetch) && !bot.may(Scope::Manage));
        let ada = tokens.of_secret("seventeen-letters").expect("by its hash");
        assert_eq!((&*ada.name, ada.requests_per_minute), ("ada", None));
        assert_eq!(tokens.of_secret(&sum), None, "the hash is no secret");
    }
}
