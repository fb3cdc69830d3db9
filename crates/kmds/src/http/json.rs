//! A long reply as JSON, written as it is read.
//!
//! Owns how the songs of a list are spelled one after the other, each when the client has read up to it: the list stands in
//! memory once, for all who asked for it, and no reply stands there whole. Never decides how a song is spelled.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::ask::Addresses;
use crate::app::{Fetched, Song};

const PIECE_BYTES: usize = 16 << 10;
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
        let songs = fetched.songs.iter().map(|song| shape(song, &addresses)).collect();
        return Json(spell(&fetched, songs)).into_response();
    }
    // Inside a text every quotation mark is escaped: this is the list itself.
    let mark = format!("\"{name}\":[");
    let whole = serde_json::to_string(&spell(&fetched, Vec::new())).unwrap_or_default();
    let Some((head, tail)) = whole.split_once(&mark) else { return Json(whole).into_response() };
    let written = Written { head: format!("{head}{mark}"), next: 0, tail: tail.to_owned(), fetched, addresses };
    let pieces = stream::unfold(Some(written), move |written| async move {
        let mut written = written?;
        let piece = written.piece(shape);
        let more = written.next <= written.fetched.songs.len();
        Some((Ok::<_, Infallible>(piece), more.then_some(written)))
    });
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from_stream(pieces)).into_response()
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
            piece.push_str(&serde_json::to_string(&shape(song, &self.addresses)).unwrap_or_default());
            self.next += 1;
        }
        if self.next == songs.len() {
            piece.push_str(&self.tail);
            self.next += 1;
        }
        piece.into()
    }
}
