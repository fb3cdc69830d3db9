//! The file of tokens, in its two forms. An error names the place and never quotes its text.

use serde::Deserialize;

use super::{Hash, SHORTEST_SECRET, Scope, Token, hash};
use crate::hex;

/// A longer line is probably not a token: the file is probably another one.
const LONGEST_SECRET: usize = 1024;
/// Characters of a name, which stands in each log line.
const LONGEST_NAME: usize = 40;
const NONE: &str = "there is no token in it; `kmds token new NAME` makes one";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    token: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    secret: Option<String>,
    sha256: Option<String>,
    scopes: Vec<String>,
    requests_per_minute: Option<u64>,
}

/// `[[token]]` tables.
pub(super) fn read_toml(text: &str) -> Result<Vec<Token>, String> {
    let document: Document = toml::from_str(text).map_err(|error| without_values(text, &error))?;
    let mut tokens: Vec<Token> = Vec::new();
    for row in document.token {
        let token = read_row(row)?;
        if tokens.iter().any(|other| other.name == token.name) {
            return Err(format!("the name `{}` stands twice", token.name));
        }
        if let Some(other) = tokens.iter().find(|other| other.hash == token.hash) {
            return Err(format!(
                "`{}` and `{}` have the same secret; give each its own",
                other.name, token.name
            ));
        }
        tokens.push(token);
    }
    if tokens.is_empty() {
        return Err(NONE.to_owned());
    }
    Ok(tokens)
}

/// The error without the quoted line, which may contain a secret.
fn without_values(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    // "invalid type: integer `1234`, expected …" quotes the value.
    match error.message().split_once("expected ") {
        Some((_, expected)) if error.message().starts_with("invalid") => {
            format!("line {line}: expected {expected}")
        }
        _ => format!("line {line}: {}", error.message()),
    }
}

fn read_row(row: Row) -> Result<Token, String> {
    let name = row.name;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
        return Err(format!(
            "a name has 1 to {LONGEST_NAME} letters, digits or - _ ., and one has not"
        ));
    }
    let at = |why: String| format!("`{name}`: {why}");
    let hash = match (row.secret, row.sha256) {
        (Some(secret), None) => read_secret(&secret).map_err(at)?,
        (None, Some(sum)) => read_sum(&sum).map_err(at)?,
        _ => {
            return Err(at(
                "give either secret or sha256, the SHA-256 of a secret".to_owned()
            ));
        }
    };
    let scopes = read_scopes(&row.scopes).map_err(at)?;
    if row.requests_per_minute == Some(0) {
        return Err(at(
            "requests_per_minute is at least 1; remove the token to refuse it".to_owned(),
        ));
    }
    Ok(Token {
        name: name.into(),
        hash,
        scopes,
        requests_per_minute: row.requests_per_minute,
    })
}

fn read_secret(secret: &str) -> Result<Hash, String> {
    if secret.len() > LONGEST_SECRET || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a secret is printable ASCII without spaces".to_owned());
    }
    if secret.len() < SHORTEST_SECRET {
        return Err(format!(
            "a secret needs at least {SHORTEST_SECRET} characters, made at random; `kmds token new NAME` makes one"
        ));
    }
    Ok(hash(secret))
}

fn read_sum(sum: &str) -> Result<Hash, String> {
    hex::decode(sum)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "sha256 has 64 hexadecimal digits".to_owned())
}

fn read_scopes(words: &[String]) -> Result<Vec<Scope>, String> {
    let scope = |word: &String| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
    let scopes: Option<Vec<Scope>> = words.iter().map(scope).collect();
    scopes
        .filter(|scopes| !scopes.is_empty())
        .ok_or_else(|| "scopes are some of listen, fetch, manage".to_owned())
}

/// One token a line, each with all scopes and named after its line; empty lines and lines that start with `#` are
/// skipped.
pub(super) fn read_lines(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens: Vec<Token> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let secret = line.trim();
        if secret.is_empty() || secret.starts_with('#') {
            continue;
        }
        let at = |why: String| format!("line {}: {why}", index + 1);
        if secret.starts_with("[[") {
            return Err(at(
                "this looks like TOML; give the file a name that ends in .toml".to_owned(),
            ));
        }
        let hash = read_secret(secret).map_err(at)?;
        if tokens.iter().any(|other| other.hash == hash) {
            return Err(at("this token stands twice".to_owned()));
        }
        tokens.push(Token {
            name: format!("line-{}", index + 1).into(),
            hash,
            scopes: Scope::ALL.to_vec(),
            requests_per_minute: None,
        });
    }
    if tokens.is_empty() {
        return Err(NONE.to_owned());
    }
    Ok(tokens)
}
