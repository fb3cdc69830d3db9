//! The answers with audio: head and body, for a whole file, for ranges, and for a file that grows.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED,
};
use http::{HeaderName, HeaderValue, StatusCode};

use super::super::error::Refusal;
use super::super::sendfile::FileQueue;
use super::body::{AudioBody, Piece, Sending};
use super::range::{self, ByteRange, RangeSpec, Selection};
use super::{conditional, disposition};
use crate::app::{App, Audio};

use crate::random;

/// The receiver of an answer.
pub(super) struct Recipient<'a> {
    pub(super) app: &'a App,
    pub(super) files: Option<FileQueue>,
}

pub(super) fn of_known_length(
    audio: Audio,
    total: u64,
    ranges: Option<&[RangeSpec]>,
    to: &Recipient<'_>,
) -> Result<Response, Refusal> {
    match ranges.map_or(Selection::Whole, |specs| range::select(specs, total)) {
        Selection::Unsatisfiable => Err(Refusal::beyond_the_end(total)),
        Selection::Whole => Ok(finished_whole(audio, total, to)),
        Selection::Ranges(ranges) => match ranges.as_slice() {
            [range] => Ok(one_range(audio, *range, Some(total), to)),
            ranges => Ok(many_ranges(audio, ranges, total, to)),
        },
    }
}

fn finished_whole(audio: Audio, total: u64, to: &Recipient<'_>) -> Response {
    let mut response = head(&audio, StatusCode::OK);
    set(&mut response, CONTENT_LENGTH, total.to_string());
    let all = Piece::Span {
        at: 0,
        end: Some(total),
    };
    fill(response, audio, [all], to)
}

pub(super) fn growing_whole(audio: Audio, to: &Recipient<'_>) -> Response {
    let response = head(&audio, StatusCode::OK);
    fill(response, audio, [Piece::Span { at: 0, end: None }], to)
}

pub(super) fn not_modified(audio: &Audio) -> Response {
    let mut response = head(audio, StatusCode::NOT_MODIFIED);
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_DISPOSITION);
    response
}

pub(super) fn precondition_failed(audio: &Audio) -> Refusal {
    let now = audio.etag.as_deref().map_or_else(
        || "has no ETag yet".to_owned(),
        |etag| format!("has the ETag {etag}"),
    );
    let sentence = format!(
        "the file {now} and is not as the condition wants it; ask again without the condition"
    );
    Refusal::bad_request(sentence).with_status(StatusCode::PRECONDITION_FAILED)
}

/// One range; of a file whose length is not known yet without its total (`/*`).
pub(super) fn one_range(
    audio: Audio,
    range: ByteRange,
    total: Option<u64>,
    to: &Recipient<'_>,
) -> Response {
    let mut response = head(&audio, StatusCode::PARTIAL_CONTENT);
    set(&mut response, CONTENT_LENGTH, range.length().to_string());
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    let content_range = format!("bytes {}-{}/{total}", range.first, range.last);
    set(&mut response, CONTENT_RANGE, content_range);
    fill(response, audio, [piece(range)], to)
}

/// `multipart/byteranges` (RFC 9110, 14.6).
fn many_ranges(audio: Audio, ranges: &[ByteRange], total: u64, to: &Recipient<'_>) -> Response {
    let boundary = format!("kmds-{}", random::id());
    let content_type = audio.content_type;
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    let mut length = 0;
    for (index, range) in ranges.iter().enumerate() {
        let start = if index == 0 { "" } else { "\r\n" };
        let (first, last) = (range.first, range.last);
        let text = format!(
            "{start}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n"
        );
        length += text.len() as u64 + range.length();
        pieces.push(Piece::Text(text.into()));
        pieces.push(piece(*range));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    pieces.push(Piece::Text(end.into()));
    let mut response = head(&audio, StatusCode::PARTIAL_CONTENT);
    set(&mut response, CONTENT_LENGTH, length.to_string());
    set(
        &mut response,
        CONTENT_TYPE,
        format!("multipart/byteranges; boundary={boundary}"),
    );
    fill(response, audio, pieces, to)
}

const fn piece(range: ByteRange) -> Piece {
    Piece::Span {
        at: range.first,
        end: Some(range.last + 1),
    }
}

/// The headers of every answer about the file.
fn head(audio: &Audio, status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(audio.content_type));
    headers.insert(CONTENT_DISPOSITION, disposition::inline(&audio.file_name));
    // Ranges of a file of unknown length are served but not advertised: libavformat would seek from fragment to
    // fragment of an MP4 by open ranges, which wait for the end, before it plays the first.
    if audio.total.is_some() {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    // The name may stand for another file tomorrow: caches ask again, by the tag.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    set(
        &mut response,
        LAST_MODIFIED,
        httpdate::fmt_http_date(conditional::whole_seconds(audio.modified)),
    );
    if let Some(etag) = &audio.etag {
        set(&mut response, ETAG, etag.clone());
    }
    response
}

fn set(response: &mut Response, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn fill(
    response: Response,
    audio: Audio,
    pieces: impl IntoIterator<Item = Piece>,
    to: &Recipient<'_>,
) -> Response {
    let sending = Sending::new(audio, to.app).by(to.files.clone());
    let body = AudioBody::new(sending, pieces.into_iter().collect());
    response.map(|_| Body::new(body))
}
