//! A long reply as JSON, written as it is read.
//!
//! Owns how the songs of a list are spelled one after the other, each when the client has read up to it: the list stands in
//! memory once, for all who asked for it, and no reply stands there whole; a client that stops reading loses the rest.
//! Never decides how a song is spelled.

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
use tokio::sync::mpsc;

use super::ask::Addresses;
use crate::app::{Fetched, Song};

const PIECE_BYTES: usize = 16 << 10;
/// A client that takes no piece for so long is cut: few long lists are held at a time, and others wait for theirs.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
/// Shorter lists are replied to at once, with their length.
const LONG_LIST_SONGS: usize = 100;

/// Status 200 with a reply around `songs`, which stand under `name`; `spell` makes the reply around the songs it is given.
pub(super) fn reply<Reply: Serialize, Shape: Serialize + 'static>(
    fetched: Fetched,
    addresses: Addresses,
    name: &str,
    spell: impl for<'a> Fn(&'a Fetched, Vec<Shape>) -> Reply,
    shape: fn(&Song, &Addresses) -> Shape,
) -> Response {
    if fetched.songs.len() < LONG_LIST_SONGS {
        let songs = fetched
            .songs
            .iter()
            .map(|song| shape(song, &addresses))
            .collect();
        return Json(spell(&fetched, songs)).into_response();
    }
    // Inside a text every quotation mark is escaped: this is the list itself.
    let mark = format!("\"{name}\":[");
    let whole = serde_json::to_string(&spell(&fetched, Vec::new())).unwrap_or_default();
    let Some((head, tail)) = whole.split_once(&mark) else {
        return Json(whole).into_response();
    };
    let mut written = Written {
        head: format!("{head}{mark}"),
        next: 0,
        tail: tail.to_owned(),
        fetched,
        addresses,
    };
    let pieces = std::iter::from_fn(move || {
        let more = written.next <= written.fetched.songs.len();
        more.then(|| written.piece(shape))
    });
    let body = Body::from_stream(sent(pieces, PIECE_WITHIN));
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}

/// The pieces as they are read. A task holds what they are made of, so that it is let go when nobody asks for the next.
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
        // The end that tells a whole reply from one that was cut.
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

/// How far a reply is written. It holds the list, and its place among the long ones.
struct Written {
    head: String,
    /// One more than there are songs: the end is written too.
    next: usize,
    tail: String,
    fetched: Fetched,
    addresses: Addresses,
}

impl Written {
    fn piece<Shape: Serialize>(&mut self, shape: fn(&Song, &Addresses) -> Shape) -> Bytes {
        let mut piece = std::mem::take(&mut self.head);
        let songs = Arc::clone(&self.fetched.songs);
        while piece.len() < PIECE_BYTES
            && let Some(song) = songs.get(self.next)
        {
            if self.next > 0 {
                piece.push(',');
            }
            piece.push_str(
                &serde_json::to_string(&shape(song, &self.addresses)).unwrap_or_default(),
            );
            self.next += 1;
        }
        if self.next == songs.len() {
            piece.push_str(&self.tail);
            self.next += 1;
        }
        piece.into()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    /// Many pieces, made of what `list` stands for.
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
}
