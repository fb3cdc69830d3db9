//! Reading the body of a request.
//!
//! Owns the most a body may hold, how many long ones are in memory, the time a body may take to arrive, and the first step from
//! bytes to JSON. An oversized
//! body is read and dropped up to a bound, so that the client gets the answer 413 and not a reset connection.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap};
use http_body_util::BodyExt;
use kmds_extract::Kind;
use tokio::sync::Semaphore;

use super::error::Refusal;

/// Longest request body in bytes (docs/api.md, "The door").
const MAX_BODY_BYTES: usize = 16 << 10;
/// The same of a list of songs: 10,000 links of 100 bytes.
const MAX_LIST_BYTES: usize = 1 << 20;
/// Bodies of that length that are read at once; the next one waits as long as a body may take.
const LISTS_AT_ONCE: usize = 4;
/// Bytes of an oversized body that are read and dropped: many clients send all before they read the answer.
const DRAINED_BYTES: usize = 16 << 20;
/// Time for a whole body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The body of a request, whole.
/// # Errors
/// `too_large`, or `bad_request` when it breaks off or does not arrive in time.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    read_up_to(MAX_BODY_BYTES, headers, body).await
}

/// Room for long bodies: few of them are in memory at a time.
#[derive(Debug)]
pub(super) struct ListBodies(Semaphore);

impl Default for ListBodies {
    fn default() -> Self {
        Self(Semaphore::new(LISTS_AT_ONCE))
    }
}

impl ListBodies {
    /// The body of a request that may be a long list, read by `parse`.
    /// # Errors
    /// As [`read`], or `queue_full` when others send such bodies for too long.
    pub(super) async fn read<T>(
        &self,
        headers: &HeaderMap,
        body: Body,
        parse: impl FnOnce(&[u8]) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let room = tokio::time::timeout(BODY_WITHIN, self.0.acquire()).await;
        let Ok(Ok(_room)) = room else {
            let sentence = "too many clients send long lists now; try again in a moment";
            return Err(Refusal::new(Kind::QueueFull, sentence));
        };
        parse(&read_up_to(MAX_LIST_BYTES, headers, body).await?)
    }
}

async fn read_up_to(
    most_bytes: usize,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Vec<u8>, Refusal> {
    let stated = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(EXPECT) && stated.is_some_and(|stated| stated > most_bytes as u64) {
        // The client sends nothing before this answer.
        return Err(too_large(most_bytes));
    }
    let mut kept = Vec::new();
    let mut arrived = 0;
    let reading = async {
        while arrived <= DRAINED_BYTES
            && let Some(frame) = body.frame().await
        {
            let frame = frame
                .map_err(|_| Refusal::bad_request("the request body broke off; send it whole"))?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            arrived += piece.len();
            if arrived <= most_bytes {
                kept.extend_from_slice(piece);
            }
        }
        Ok::<_, Refusal>(())
    };
    let in_time = tokio::time::timeout(BODY_WITHIN, reading).await;
    if arrived > most_bytes {
        return Err(too_large(most_bytes));
    }
    in_time.map_err(|_| {
        Refusal::bad_request("the request body did not arrive within 10 s; send it at once")
    })??;
    Ok(kept)
}

/// Parses a body, or a text inside one, as JSON; skips a byte order mark.
/// # Errors
/// The text is no JSON.
pub(super) fn parse_json(text: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

/// Refuses a body whose `Content-Type` is not JSON. `curl -d` sends the type of a form with every body: it is accepted
/// if the body looks like a JSON object.
/// # Errors
/// 415.
pub(super) fn check_json_type(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or("")
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let is_json = match essence.as_str() {
        "application/json" => true,
        "application/x-www-form-urlencoded" => body.trim_ascii_start().starts_with(b"{"),
        other => other.starts_with("application/") && other.ends_with("+json"),
    };
    if is_json {
        return Ok(());
    }
    let sentence = "the body has to be JSON; send it with Content-Type: application/json";
    Err(Refusal::bad_request(sentence).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn too_large(most_bytes: usize) -> Refusal {
    let sentence = format!("the request body is larger than {most_bytes} bytes; send less at once");
    Refusal::new(Kind::TooLarge, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_one_byte_too_long_is_refused_and_a_full_one_is_read() {
        let full = read(&HeaderMap::new(), Body::from(vec![b'x'; MAX_BODY_BYTES])).await;
        assert_eq!(full.map(|body| body.len()), Ok(MAX_BODY_BYTES));
        let over = read(
            &HeaderMap::new(),
            Body::from(vec![b'x'; MAX_BODY_BYTES + 1]),
        )
        .await;
        assert_eq!(over.expect_err("too large").status.as_u16(), 413);
    }
}
