//! The HTTP client that commands use to ask a running server.
//!
//! Owns the server's address, the token, bounds on every answer, and the meaning of refusals. It starts no server and
//! asks no site.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use super::Problem;
use crate::config;
use crate::text::printable;

/// A list may take a minute to resolve (docs/api.md, "POST /fetch").
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// A refusal is a sentence and its fields.
const LONGEST_REFUSAL_BYTES: usize = 64 << 10;
const MOST_REDIRECTS: usize = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A server that sends nothing for this long in the middle of a file counts as gone.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// A list of 5,000 songs is about 10 MB of JSON.
const LONGEST_ANSWER_BYTES: usize = 64 << 20;
/// Ten hours of WAV are 6 GB; a longer file is no song.
pub const LONGEST_SONG_BYTES: u64 = 8 << 30;

/// Least time between two requests that wait for one song: a server that is about to stop answers without waiting.
pub const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why a server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("`{0}` is no server address; write http://HOST:PORT or unix:/path")]
    Address(String),
    #[error("the server's socket: {0}")]
    Socket(String),
    #[error(
        "no server answers at {at} ({why}); start one with `kmds serve`, or name another with --server"
    )]
    Away { at: String, why: String },
    /// The server's own sentence, which says what to change.
    #[error("{sentence}")]
    Refused {
        status: u16,
        sentence: String,
        kind: Option<String>,
    },
    #[error(
        "{at} does not speak HTTPS; KMDS itself speaks plain HTTP: write http://, or name the reverse proxy in front of it"
    )]
    NoTls { at: String },
    #[error("the certificate of {at} is not trusted here: {why}")]
    Untrusted { at: String, why: String },
    #[error("{at} does not answer like a KMDS server: {why}")]
    Strange { at: String, why: String },
    #[error(
        "KMDS_TOKEN has characters that a token cannot have; use printable ASCII without spaces"
    )]
    Token,
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
    /// A server by the address in an argument. The token comes from `KMDS_TOKEN`.
    /// # Errors
    /// [`ServerError::Address`].
    pub fn new(address: &str) -> Result<Self, ServerError> {
        // For https:// the library needs a list of ciphers.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = || ServerError::Address(address.to_owned());
        let builder = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_FOR);
        let builder = builder.redirect(Policy::custom(stay));
        let (at, builder) = match address.strip_prefix("unix:") {
            Some(path) => {
                let path = config::given_path(path.into()).map_err(ServerError::Socket)?;
                ("http://localhost".to_owned(), builder.unix_socket(path))
            }
            None => {
                let full = if address.contains("://") {
                    address.to_owned()
                } else {
                    format!("http://{address}")
                };
                let url = url::Url::parse(&full).map_err(|_| wrong())?;
                if !matches!(url.scheme(), "http" | "https")
                    || url.host_str().is_none_or(str::is_empty)
                {
                    return Err(wrong());
                }
                (full.trim_end_matches('/').to_owned(), builder)
            }
        };
        let http = builder.build().map_err(|error| ServerError::Strange {
            at: at.clone(),
            why: error.to_string(),
        })?;
        let token = std::env::var_os("KMDS_TOKEN").filter(|token| !token.is_empty());
        let token = token
            .map(|token| read_token(&token).ok_or(ServerError::Token))
            .transpose()?;
        Ok(Self { at, http, token })
    }

    /// The server of `--server`, else of `KMDS_SERVER`; `None` where neither names one.
    /// # Errors
    /// As [`Server::new`].
    pub fn named(flag: Option<&str>) -> Result<Option<Self>, ServerError> {
        let variable = || {
            std::env::var("KMDS_SERVER")
                .ok()
                .filter(|at| !at.is_empty())
        };
        let address = flag.map(str::to_owned).or_else(variable);
        address.as_deref().map(Self::new).transpose()
    }

    /// The named server, else the server that these settings start: `own` gives its address and base path.
    /// # Errors
    /// As [`Server::new`], or a setting that cannot be used.
    pub fn named_or_own(
        flag: Option<&str>,
        own: impl FnOnce() -> Result<(String, String), Problem>,
    ) -> Result<Self, Problem> {
        if let Some(named) = Self::named(flag)? {
            return Ok(named);
        }
        let (listen, base_path) = own()?;
        let server = Self::new(
            &listen
                .replace("0.0.0.0:", "127.0.0.1:")
                .replace("[::]:", "[::1]:"),
        )?;
        Ok(Self {
            at: format!("{}{base_path}", server.at),
            ..server
        })
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
        let request = self
            .http
            .post(format!("{}{path}", self.at))
            .header("content-type", "application/json");
        self.with_token(request.body(body))
    }

    /// `DELETE path`, below the base path.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.with_token(self.http.delete(format!("{}{path}", self.at)))
    }

    /// `GET` of a path from the server's own reply, which includes the base path already.
    /// # Errors
    /// [`ServerError::Strange`] for a path of another server: the token is sent to this one only.
    pub fn get_replied(&self, path: &str) -> Result<RequestBuilder, ServerError> {
        let strange = || ServerError::Strange {
            at: self.at.clone(),
            why: format!("`{path}` is no path of it"),
        };
        let own = url::Url::parse(&self.at).map_err(|_| strange())?;
        let asked = own.join(path).map_err(|_| strange())?;
        if !path.starts_with('/') || asked.origin() != own.origin() {
            return Err(strange());
        }
        Ok(self.with_token(self.http.get(asked)))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends; any status is an answer.
    /// # Errors
    /// [`ServerError::Away`], [`ServerError::NoTls`] or [`ServerError::Untrusted`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ServerError> {
        request.send().await.map_err(|error| {
            let at = self.at.clone();
            match tls_failure(&error) {
                Some(rustls::Error::InvalidCertificate(why)) => ServerError::Untrusted {
                    at,
                    why: untrusted(why),
                },
                Some(rustls::Error::InvalidMessage(_)) => ServerError::NoTls { at },
                _ => ServerError::Away {
                    at,
                    why: root(&error),
                },
            }
        })
    }

    /// Sends, and reads the answer as JSON of the wanted shape.
    /// # Errors
    /// See [`ServerError`]; a refusal keeps the server's words.
    pub async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ServerError> {
        let answer = self.send(request.timeout(ANSWER_WITHIN)).await?;
        let status = answer.status().as_u16();
        if status >= 400 {
            return Err(refusal(status, &short(answer).await));
        }
        let strange = |why: String| ServerError::Strange {
            at: self.at.clone(),
            why,
        };
        let (body, whole) = up_to(answer, LONGEST_ANSWER_BYTES)
            .await
            .map_err(|error| ServerError::Cut(root(&error)))?;
        if !whole {
            return Err(strange(format!(
                "its answer is longer than {} MiB",
                LONGEST_ANSWER_BYTES >> 20
            )));
        }
        serde_json::from_slice(&body).map_err(|error| strange(error.to_string()))
    }
}

/// Follows redirects to the same host only: a reverse proxy may redirect to `https://`.
fn stay(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let asked = attempt
        .previous()
        .first()
        .and_then(|url| url.host_str().map(str::to_owned));
    match attempt.url().host_str().map(str::to_owned) {
        _ if attempt.previous().len() > MOST_REDIRECTS => attempt.error("it redirects without end"),
        host if host == asked => attempt.follow(),
        _ => attempt.error("it redirects to another host"),
    }
}

/// A token as its file has it.
fn read_token(token: &std::ffi::OsStr) -> Option<String> {
    token
        .to_str()
        .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
}

/// The beginning of a body, and whether it is all.
async fn up_to(mut answer: Response, most: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        if piece.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// The body of a refusal, as much of it as arrived.
pub async fn short(answer: Response) -> Vec<u8> {
    let within = tokio::time::timeout(ANSWER_WITHIN, up_to(answer, LONGEST_REFUSAL_BYTES));
    within
        .await
        .map(Result::unwrap_or_default)
        .unwrap_or_default()
        .0
}

/// A refusal in the server's words, of either face.
pub fn refusal(status: u16, body: &[u8]) -> ServerError {
    let reply: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |keys: [&str; 2]| {
        keys.iter()
            .find_map(|key| reply.get(*key)?.as_str())
            .map(|text| printable(text).into_owned())
    };
    let mut sentence =
        text(["Error", "detail"]).unwrap_or_else(|| format!("the server answers {status}"));
    if status == 401 {
        sentence.push_str(" (this command takes it from the variable KMDS_TOKEN)");
    }
    ServerError::Refused {
        status,
        sentence,
        kind: text(["Kind", "kind"]),
    }
}

/// Writes an answer's body into a file, which is replaced, and returns its size. The HTTP library refuses a body
/// shorter than announced; a body of more than `most` bytes is an error.
/// # Errors
/// [`ServerError::Cut`] or [`ServerError::File`]; the file is then useless.
pub async fn save(mut answer: Response, path: &Path, most: u64) -> Result<u64, ServerError> {
    let failed = |why| ServerError::File {
        path: path.display().to_string(),
        why,
    };
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // A new file, so that nothing is written through a symbolic link.
    let mut file = tokio::fs::File::create_new(path).await.map_err(failed)?;
    let mut written = 0;
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| ServerError::Cut(root(&error)))?
    {
        written += piece.len() as u64;
        if written > most {
            drop(file);
            let _ = tokio::fs::remove_file(path).await;
            return Err(ServerError::Cut(format!(
                "it sends more than the {most} bytes that the song may have"
            )));
        }
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(written)
}

/// What went wrong in TLS, if that is why a request failed.
fn tls_failure(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        // The error that an I/O error wraps is not its source.
        let wrapped = inner.downcast_ref().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    None
}

/// What is wrong with a certificate, and what to do.
fn untrusted(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
    };
    match why {
        Expired | ExpiredContext { .. } => {
            "it has expired; renew it, or set this machine's clock".to_owned()
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "it is for another name; use that name in the address".to_owned()
        }
        _ => "no authority that this machine knows has signed it; add the authority to the system's certificates, \
              or put it into a PEM file and name that in SSL_CERT_FILE"
            .to_owned(),
    }
}

/// The innermost cause: the library's own sentences repeat the address.
fn root(error: &dyn Error) -> String {
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
        assert_eq!(
            Server::new("127.0.0.1:1").expect("short").at(),
            "http://127.0.0.1:1"
        );
        assert_eq!(
            Server::new("http://host/kmds/").expect("full").at(),
            "http://host/kmds"
        );
        assert_eq!(
            Server::new("unix:/run/kmds.sock").expect("a socket").at(),
            "http://localhost"
        );
        for bad in ["ftp://host", "http://", "::"] {
            let error = Server::new(bad).expect_err(bad).to_string();
            assert!(error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_words_of_either_face() {
        let classic = refusal(
            403,
            br#"{"Status":403,"Error":"it is private","Kind":"private"}"#,
        );
        assert_eq!(classic.to_string(), "it is private");
        let v1 = refusal(403, br#"{"detail":"it is private","kind":"private"}"#);
        assert!(
            matches!(v1, ServerError::Refused { status: 403, kind: Some(kind), .. } if kind == "private")
        );
    }
}
