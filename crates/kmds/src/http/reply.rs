//! The reply to a fetch. A long one is written song by song, as its client reads it.
//!
//! A long list is in memory once, for all clients that asked for it, and no reply is in memory whole. One task for each
//! such reply holds its share of the list; it ends after the last song, or when its client has not read for 10 s: then
//! the connection is cut. `classic` and `v1` decide how a song looks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::links::Addresses;
use crate::app::{Fetched, Song};

const PIECE_BYTES: usize = 16 << 10;
/// A client that takes no piece for this long is cut: only a few long lists are held at a time, and other clients wait
/// for their place.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
/// A reply with fewer songs is written whole, with its length.
const LONG_LIST_SONGS: usize = 100;

/// The songs of one link. A long list is held by its permit.
pub(super) struct Songs {
    songs: Arc<Vec<Song>>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Songs {
    pub(super) fn of(fetched: &Fetched) -> Self {
        Self {
            songs: Arc::clone(&fetched.songs),
            _permit: fetched.room.clone(),
        }
    }
}

/// Status 200, with all songs under `name`. `around` makes the reply around the songs that it is given; `shape` makes
/// one song.
pub(super) fn list<Reply: Serialize, Shape: Serialize + 'static>(
    lists: Vec<Songs>,
    addresses: Addresses,
    name: &str,
    around: impl Fn(Vec<Shape>) -> Reply,
    shape: fn(&Song, &Addresses) -> Shape,
) -> Response {
    let songs = || lists.iter().flat_map(|list| list.songs.iter());
    if songs().count() < LONG_LIST_SONGS {
        let songs = songs().map(|song| shape(song, &addresses)).collect();
        return Json(around(songs)).into_response();
    }
    // Inside a JSON string every quotation mark is escaped, so that only the list itself matches.
    let mark = format!("\"{name}\":[");
    let whole = serde_json::to_string(&around(Vec::new())).unwrap_or_default();
    let Some((head, tail)) = whole.split_once(&mark) else {
        return Json(whole).into_response();
    };
    let mut writing = Writing {
        head: format!("{head}{mark}"),
        lists: lists.into(),
        next: 0,
        is_first: true,
        tail: tail.to_owned(),
        addresses,
    };
    let pieces = std::iter::from_fn(move || writing.piece(shape));
    let body = Body::from_stream(sent(pieces, PIECE_WITHIN));
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}

/// The pieces, as the client reads them. A task holds the list, and drops it when the client stops reading.
fn sent(
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
    within: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in pieces {
            if !matches!(
                tokio::time::timeout(within, sender.send(Some(piece))).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
        // Distinguishes a whole reply from a cut one.
        let _ = sender.send(None).await;
    });
    stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver: mpsc::Receiver<Option<Bytes>> = receiver?;
        match receiver.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(receiver))),
            Some(None) => None,
            None => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// A reply that is being written. A list is dropped when its last song is written.
struct Writing {
    head: String,
    lists: VecDeque<Songs>,
    /// The next song of the first list.
    next: usize,
    /// No song is written yet.
    is_first: bool,
    tail: String,
    addresses: Addresses,
}

impl Writing {
    /// The next piece; `None` after the last.
    fn piece<Shape: Serialize>(&mut self, shape: fn(&Song, &Addresses) -> Shape) -> Option<Bytes> {
        let mut piece = std::mem::take(&mut self.head);
        while piece.len() < PIECE_BYTES
            && let Some(list) = self.lists.front()
        {
            let Some(song) = list.songs.get(self.next) else {
                self.lists.pop_front();
                self.next = 0;
                continue;
            };
            if !std::mem::take(&mut self.is_first) {
                piece.push(',');
            }
            let song = serde_json::to_string(&shape(song, &self.addresses));
            piece.push_str(&song.unwrap_or_default());
            self.next += 1;
        }
        if self.lists.is_empty() {
            piece.push_str(&std::mem::take(&mut self.tail));
        }
        (!piece.is_empty()).then(|| piece.into())
    }
}

/// Seconds to the microsecond: sites tell up to four digits, and more is noise of the conversion.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    /// Many pieces, which share `list`.
    fn pieces(list: Arc<()>) -> impl Iterator<Item = Bytes> + Send {
        (0..100_u8).map(move |piece| {
            let _ = &list;
            Bytes::copy_from_slice(&[piece])
        })
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_a_long_list_lets_it_go_and_is_cut() {
        let list = Arc::new(());
        let mut reading =
            std::pin::pin!(sent(pieces(Arc::clone(&list)), Duration::from_millis(20)));
        assert_eq!(
            reading.next().await.and_then(Result::ok).as_deref(),
            Some(&[0][..])
        );
        while Arc::strong_count(&list) > 1 {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = reading.collect().await;
        assert!(rest.len() < 99, "{}", rest.len());
        assert_eq!(
            rest.last()
                .and_then(|last| last.as_ref().err())
                .map(io::Error::kind),
            Some(io::ErrorKind::TimedOut)
        );
    }

    #[tokio::test]
    async fn a_long_list_that_is_read_ends_whole() {
        let all: Vec<_> = sent(pieces(Arc::default()), PIECE_WITHIN).collect().await;
        assert!(all.len() == 100 && all.iter().all(Result::is_ok));
    }

    #[test]
    fn lengths_are_told_as_the_site_tells_them() {
        for told in [0.0, 64.9913, 95.1733, 877.184, 356.118, 345.6789] {
            assert_eq!(
                seconds(Duration::from_secs_f64(told)).to_string(),
                told.to_string()
            );
        }
    }
}
