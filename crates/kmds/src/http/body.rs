//! Reading the body of a request.
//!
//! Owns the largest size of a body, how many long ones are in memory, the time in which a body must arrive, and the
//! first step from bytes to JSON. A body that is too large is read and dropped up to a limit, so that the client gets
//! the answer 413 and not a reset connection. A route with long bodies reads the first 16 KiB like any other; the body
//! takes a place when more arrives.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap};
use http_body_util::BodyExt;
use kmds_extract::Kind;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::Refusal;

/// Longest request body in bytes (docs/api.md, "The door").
const MAX_BODY_BYTES: usize = 16 << 10;
/// The same for a list of songs: 10,000 links of 100 bytes.
const MAX_LIST_BYTES: usize = 1 << 20;
/// Bodies longer than [`MAX_BODY_BYTES`] that are in memory at once; the next one waits for as long as a body may take.
const LISTS_AT_ONCE: usize = 4;
/// Bytes of an oversized body that are read and dropped: many clients send all before they read the answer.
const DRAINED_BYTES: usize = 16 << 20;
/// Time for a whole body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The body of a request, whole.
/// # Errors
/// `too_large`, or `bad_request` when it breaks off or does not arrive in time.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let (body, _) = read_up_to(MAX_BODY_BYTES, headers, body, None).await?;
    Ok(body)
}

/// Places for long bodies: only a few of them are in memory at a time.
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
        let (body, _place) = read_up_to(MAX_LIST_BYTES, headers, body, Some(&self.0)).await?;
        parse(&body)
    }
}

async fn take(places: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
    let place = tokio::time::timeout(BODY_WITHIN, places.acquire()).await;
    let Ok(Ok(place)) = place else {
        let sentence = "too many clients send long lists now; try again in a moment";
        return Err(Refusal::new(Kind::QueueFull, sentence));
    };
    Ok(place)
}

/// The body, and the place that a long one has taken.
async fn read_up_to<'p>(
    most_bytes: usize,
    headers: &HeaderMap,
    mut body: Body,
    places: Option<&'p Semaphore>,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'p>>), Refusal> {
    let stated = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(EXPECT) && stated.is_some_and(|stated| stated > most_bytes as u64) {
        // The client sends nothing before this answer.
        return Err(too_large(most_bytes));
    }
    let (mut kept, mut arrived, mut place) = (Vec::new(), 0, None);
    let mut until = Instant::now() + BODY_WITHIN;
    let end = loop {
        if arrived > DRAINED_BYTES {
            break Ok(());
        }
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => break Err("the request body was cut; send the whole body"),
            Err(_) => break Err("the request body did not arrive within 10 s; send it at once"),
        };
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        arrived += piece.len();
        if arrived > MAX_BODY_BYTES
            && place.is_none()
            && let Some(places) = places
        {
            let asked = Instant::now();
            place = Some(take(places).await?);
            until += asked.elapsed();
        }
        if arrived <= most_bytes {
            kept.extend_from_slice(piece);
        }
    };
    if arrived > most_bytes {
        return Err(too_large(most_bytes));
    }
    end.map_err(Refusal::bad_request)?;
    Ok((kept, place))
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
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::{Bytes, HttpBody};
    use futures_util::FutureExt as _;
    use http_body::Frame;

    use super::*;

    /// Sends so many bytes, and no more.
    struct Slow(usize);

    impl HttpBody for Slow {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match std::mem::take(&mut self.0) {
                0 => Poll::Pending,
                sent => Poll::Ready(Some(Ok(Frame::data(vec![b'x'; sent].into())))),
            }
        }
    }

    #[tokio::test]
    async fn slow_bodies_take_the_places_of_long_ones_only_when_they_are_long() {
        let lists = ListBodies::default();
        let headers = HeaderMap::new();
        let parse = |body: &[u8]| Ok(body.len());
        let read = |body: Body| Box::pin(lists.read(&headers, body, parse));
        for (sent, free) in [(1, LISTS_AT_ONCE), (MAX_BODY_BYTES + 1, 0)] {
            let mut slow: Vec<_> = (0..LISTS_AT_ONCE)
                .map(|_| read(Body::new(Slow(sent))))
                .collect();
            for body in &mut slow {
                assert!(body.now_or_never().is_none());
            }
            assert_eq!(lists.0.available_permits(), free, "{sent}");
            let short = read(Body::from(vec![b'x'; MAX_BODY_BYTES])).await;
            assert_eq!(short, Ok(MAX_BODY_BYTES));
            let long = read(Body::from(vec![b'x'; MAX_LIST_BYTES])).now_or_never();
            assert_eq!(long.is_some(), free > 0);
        }
        assert_eq!(lists.0.available_permits(), LISTS_AT_ONCE);
    }

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
