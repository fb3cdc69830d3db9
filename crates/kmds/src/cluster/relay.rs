//! A song's bytes from another node, over its HTTP.
//!
//! Owns the client and the token for that. It asks the addresses that nodes tell, follows no redirect and uses no
//! proxy. A body ends without an error only if the other node sent all of it: a node that goes away cuts it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE, RETRY_AFTER,
};
use kmds_extract::{Failure, Format, Kind};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;

use super::{Arriving, NODE_HEADER, NotGiven, SongHead, UNHEARD_HEADER, VALIDATOR_HEADER};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// After so long without a byte this node checks whether the other one is present: it may wait for its site.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most time of a short answer.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// The most bytes of a refusal: a sentence and its fields.
const LONGEST_REFUSAL_BYTES: usize = 64 << 10;

/// The way to the HTTP of the other nodes.
pub(super) struct Relay {
    http: reqwest::Client,
    /// [`crate::config::ClusterToken::bearer`].
    bearer: Option<String>,
    /// This node's name.
    node: String,
}

/// Whether a node is present.
pub(super) type Watch = Arc<dyn Fn() -> bool + Send + Sync>;

/// The fields of a refusal that this node reads (docs/api.md, "Kinds of failure").
#[derive(Deserialize)]
struct Problem {
    kind: String,
    detail: String,
}

impl Relay {
    /// # Errors
    /// The client cannot be made.
    pub(super) fn new(node: String, bearer: Option<String>) -> Result<Self, String> {
        // The library needs ciphers even if it speaks no TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .build();
        let http = http.map_err(|error| error.to_string())?;
        Ok(Self { http, bearer, node })
    }

    fn get(&self, url: &str) -> RequestBuilder {
        let request = self.http.get(url).header(NODE_HEADER, &self.node);
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, format!("Bearer {bearer}")),
            None => request,
        }
    }

    pub(super) async fn open(
        &self,
        url: &str,
        from: Option<(u64, String)>,
        listened: bool,
        is_there: Watch,
    ) -> Result<Arriving, NotGiven> {
        let mut request = self.get(url);
        if !listened {
            request = request.header(UNHEARD_HEADER, "true");
        }
        if let Some((byte, etag)) = from {
            request = request
                .header(RANGE, format!("bytes={byte}-"))
                .header(IF_RANGE, etag);
        }
        let mut asked = std::pin::pin!(request.send());
        let response = loop {
            match tokio::time::timeout(LOOK_EVERY, asked.as_mut()).await {
                Ok(response) => break response.map_err(|_| NotGiven::Unreachable)?,
                Err(_) if is_there() => {}
                Err(_) => return Err(NotGiven::Lost),
            }
        };
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                arriving(response, is_there).ok_or(NotGiven::Lost)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Err(NotGiven::OutOfRange),
            _ => Err(refusal(response).await),
        }
    }

    /// Why the HTTP at this address gives this node nothing: a sentence.
    pub(super) async fn try_out(&self, address: &str) -> Option<String> {
        let request = self.get(&format!("{address}/api/v1/stats"));
        match request.timeout(CONNECT_WITHIN).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => None,
            Ok(answer) => Some(format!("answers {}", answer.status().as_u16())),
            Err(_) => Some("gives no connection".to_owned()),
        }
    }

    pub(super) async fn read(&self, url: &str, most: usize) -> Option<Bytes> {
        let request = self.get(url).timeout(READ_WITHIN);
        let mut response = request.send().await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        up_to(&mut response, most).await
    }
}

async fn up_to(response: &mut Response, most: usize) -> Option<Bytes> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > most {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes.into())
}

/// The head of an answer with audio, and its bytes.
fn arriving(response: Response, is_there: Watch) -> Option<Arriving> {
    let text = |name| response.headers().get(name)?.to_str().ok();
    let content_type = text(CONTENT_TYPE)?;
    let format = Format::ALL
        .into_iter()
        .find(|format| format.content_type() == content_type)?;
    let length: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let start = match response.status() {
        StatusCode::PARTIAL_CONTENT => text(CONTENT_RANGE).and_then(first_byte)?,
        _ => 0,
    };
    let head = SongHead {
        format,
        total: length.map(|length| start + length),
        etag: text(ETAG).map(str::to_owned),
        validator: response
            .headers()
            .get(VALIDATOR_HEADER)
            .and_then(|value| String::from_utf8(value.as_bytes().to_vec()).ok())
            .filter(|validator| !validator.is_empty()),
        start,
    };
    Some(Arriving {
        head,
        body: Box::pin(body(response, is_there)),
    })
}

/// Reads the first byte of `bytes 5-9/10`.
fn first_byte(range: &str) -> Option<u64> {
    let range = range.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

fn body(response: Response, is_there: Watch) -> impl Stream<Item = Result<Bytes, NotGiven>> + Send {
    futures_util::stream::unfold(Some(response), move |response| {
        let is_there = Arc::clone(&is_there);
        async move {
            let mut response = response?;
            loop {
                match tokio::time::timeout(LOOK_EVERY, response.chunk()).await {
                    Ok(Ok(Some(chunk))) => return Some((Ok(chunk), Some(response))),
                    Ok(Ok(None)) => return None,
                    Err(_) if is_there() => {}
                    Ok(Err(_)) | Err(_) => return Some((Err(NotGiven::Lost), None)),
                }
            }
        }
    })
}

/// A node's refusal of a song. A refusal that concerns only that node counts as no answer.
async fn refusal(mut response: Response) -> NotGiven {
    let wait = response.headers().get(RETRY_AFTER);
    let wait: Option<u64> = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
    let Some(bytes) = up_to(&mut response, LONGEST_REFUSAL_BYTES).await else {
        return NotGiven::Lost;
    };
    let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) else {
        return NotGiven::Lost;
    };
    match Kind::parse(&problem.kind) {
        None
        | Some(
            Kind::NotReady
            | Kind::Cancelled
            | Kind::Internal
            | Kind::QueueFull
            | Kind::DiskFull
            | Kind::ClusterUnavailable,
        ) => NotGiven::NotThere,
        // It has no such song.
        Some(Kind::NotFound) if problem.detail.contains("was never asked for") => {
            NotGiven::NotThere
        }
        Some(kind @ (Kind::Unauthorized | Kind::Forbidden)) => {
            tracing::warn!(
                kind = kind.as_str(),
                "a node refuses this one ({}); cluster.token_file has to hold the same secret on all nodes",
                problem.detail
            );
            NotGiven::NotThere
        }
        Some(kind) => NotGiven::Refused(Failure {
            retry_after: wait.map(Duration::from_secs),
            ..Failure::new(kind, problem.detail)
        }),
    }
}
