//! A running server, as a client of its own sees it.
//!
//! Owns the requests that commands make to a server: where it is, the token, what its refusals mean. Hides HTTP.
//! Never starts a server, and never speaks to a site.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use crate::config::Config;

/// A list may take a minute to resolve (docs/api.md, "POST /fetch"), and the answer a moment to come.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A server that sends nothing for so long in the middle of a file is gone.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// The classic server's port, and ours.
const USUAL_PORT: u16 = 60071;

/// Why a server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("`{0}` is no server address; write http://HOST:PORT or unix:/path")]
    Address(String),
    #[error("no server answers at {at} ({why}); start one with `kmds serve`, or name another with --server")]
    Away { at: String, why: String },
    /// Its own words: they say what to change.
    #[error("{sentence}")]
    Refused { status: u16, sentence: String, kind: Option<String> },
    #[error("{at} does not answer like a KMDS server: {why}")]
    Strange { at: String, why: String },
    #[error("the connection to the server broke: {0}")]
    Cut(String),
    #[error("{path} cannot be written: {why}")]
    File { path: String, why: std::io::Error },
}

/// Where a server is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    /// Scheme, host, port and base path, without a slash at the end.
    at: String,
    http: Client,
    token: Option<String>,
}

impl Server {
    /// A server by the address a person gave. The token comes from `KMDS_TOKEN`.
    /// # Errors
    /// [`ServerError::Address`].
    pub fn new(address: &str) -> Result<Self, ServerError> {
        // HTTPS is spoken where the address says so; the library wants to be told by which means.
        let _ = crate::tls::provider().install_default();
        let wrong = || ServerError::Address(address.to_owned());
        let builder = Client::builder().no_proxy().connect_timeout(CONNECT_WITHIN).read_timeout(SILENT_FOR);
        let (at, builder) = match address.strip_prefix("unix:") {
            Some(path) => ("http://localhost".to_owned(), builder.unix_socket(Path::new(path))),
            None => {
                let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
                let url = url::Url::parse(&full).map_err(|_| wrong())?;
                if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
                    return Err(wrong());
                }
                (full.trim_end_matches('/').to_owned(), builder)
            }
        };
        let http = builder.build().map_err(|error| ServerError::Strange { at: at.clone(), why: error.to_string() })?;
        let token = std::env::var("KMDS_TOKEN").ok().filter(|token| !token.is_empty());
        Ok(Self { at, http, token })
    }

    /// The one named, else the one these settings would start.
    /// # Errors
    /// [`ServerError::Address`].
    pub fn named_or_own(named: Option<&str>, config: impl FnOnce() -> Option<Config>) -> Result<Self, ServerError> {
        if let Some(address) = named {
            return Self::new(address);
        }
        let Some(config) = config() else { return Self::new(&format!("127.0.0.1:{USUAL_PORT}")) };
        let listen = config.server.listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let server = Self::new(&listen)?;
        Ok(Self { at: format!("{}{}", server.at, config.server.base_path), ..server })
    }

    pub fn at(&self) -> &str {
        &self.at
    }

    /// `GET path`, below the base path.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.with_token(self.http.get(format!("{}{path}", self.at)))
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: String) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.at)).header("content-type", "application/json");
        self.with_token(request.body(body).timeout(ANSWER_WITHIN))
    }

    /// `GET` of a path from the server's own reply: it has the base path in it already.
    pub fn get_replied(&self, path: &str) -> RequestBuilder {
        let origin =
            url::Url::parse(&self.at).map_or_else(|_| self.at.clone(), |url| url.origin().ascii_serialization());
        self.with_token(self.http.get(format!("{origin}{path}")))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends; any status is an answer.
    /// # Errors
    /// [`ServerError::Away`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ServerError> {
        request.send().await.map_err(|error| ServerError::Away { at: self.at.clone(), why: root(&error) })
    }

    /// Sends, and reads the answer as JSON of the wanted shape.
    /// # Errors
    /// See [`ServerError`]; a refusal keeps the server's words.
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ServerError> {
        let answer = self.send(request).await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| ServerError::Cut(root(&error)))?;
        if status >= 400 {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| ServerError::Strange { at: self.at.clone(), why: error.to_string() })
    }
}

/// A refusal in the server's words, of either face.
pub fn refusal(status: u16, body: &[u8]) -> ServerError {
    let reply: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| reply.get(*key)?.as_str()).map(str::to_owned);
    let mut sentence = text(["Error", "detail"]).unwrap_or_else(|| format!("the server answers {status}"));
    if status == 401 {
        sentence.push_str(" (this command takes it from the variable KMDS_TOKEN)");
    }
    ServerError::Refused { status, sentence, kind: text(["Kind", "kind"]) }
}

/// Writes an answer's body into a file; returns how many bytes. The library refuses a body shorter than announced.
/// # Errors
/// [`ServerError::Cut`] or [`ServerError::File`]; the file is then worth nothing.
pub async fn save(mut answer: Response, path: &Path, mut told: impl FnMut(u64)) -> Result<u64, ServerError> {
    let failed = |why| ServerError::File { path: path.display().to_string(), why };
    let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
    let mut written = 0;
    while let Some(piece) = answer.chunk().await.map_err(|error| ServerError::Cut(root(&error)))? {
        file.write_all(&piece).await.map_err(failed)?;
        written += piece.len() as u64;
        told(written);
    }
    file.flush().await.map_err(failed)?;
    Ok(written)
}

/// The first cause: the library's own sentences repeat the address.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short_and_a_wrong_one_says_what_would_do() {
        assert_eq!(Server::new("127.0.0.1:1").expect("short").at(), "http://127.0.0.1:1");
        assert_eq!(Server::new("http://host/kmds/").expect("full").at(), "http://host/kmds");
        assert_eq!(Server::new("unix:/run/kmds.sock").expect("a socket").at(), "http://localhost");
        for bad in ["ftp://host", "http://", "::"] {
            let error = Server::new(bad).expect_err(bad).to_string();
            assert!(error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_words_of_either_face() {
        let classic = refusal(403, br#"{"Status":403,"Error":"it is private","Kind":"private"}"#);
        assert_eq!(classic.to_string(), "it is private");
        let v1 = refusal(403, br#"{"detail":"it is private","kind":"private"}"#);
        assert!(matches!(v1, ServerError::Refused { status: 403, kind: Some(kind), .. } if kind == "private"));
    }
}
