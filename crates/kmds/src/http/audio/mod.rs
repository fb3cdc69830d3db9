//! Audio over HTTP: whole, in ranges, or while it arrives. Both faces serve through it.
//!
//! Owns the head of every answer with audio: validators, conditions, ranges, names, and what each means for a file that
//! still grows. Hides RFC 9110, 13 and 14. Never starts or ends a download, and never picks a song.

mod body;
mod conditional;
pub(super) mod disposition;
mod range;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use kmds_extract::Kind;

use self::body::{AudioBody, Piece};
pub(super) use self::body::{Cut, Sending};
use self::conditional::{Validators, Verdict};
use self::range::{Asked, Meaning, Span};
use super::ask::fresh_id;
use super::error::Refusal;
use super::guard::foreign_page;
use crate::app::{App, Audio, Failure, Key, NotServed, Want};

/// How long an answer that needs the end of a file of unknown length waits for it: conversions of the longest mixes.
const END_WITHIN: Duration = Duration::from_secs(3600);
/// Positions from here on are waited for as the end of the file: no file has them.
const NO_FILE_REACHES: u64 = 1 << 62;

/// Why no audio is sent.
#[derive(Debug)]
pub(super) enum Denied {
    NotServed(NotServed),
    Refused(Refusal),
}

impl Denied {
    /// As `/tunnel` and `/audio` say it: 404, 418 or 500.
    pub(super) fn for_file(self) -> Refusal {
        match self {
            Self::NotServed(reason) => Refusal::of_audio(reason),
            Self::Refused(refusal) => refusal,
        }
    }

    /// What is not here is not fetched because a foreign page asks for it.
    pub(super) fn unless_foreign(self, foreign: bool) -> Self {
        match self {
            Self::NotServed(NotServed::Unfinished { .. }) if foreign => foreign_page().into(),
            other => other,
        }
    }

    /// As `/play` says it: a failure has the status of its kind, as with `/fetch`.
    pub(super) fn for_link(self) -> Refusal {
        match self {
            Self::NotServed(NotServed::Failed(failure)) => failure.into(),
            other => other.for_file(),
        }
    }
}

impl From<NotServed> for Denied {
    fn from(reason: NotServed) -> Self {
        Self::NotServed(reason)
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Answers `request` with the audio of `key`.
/// # Errors
/// The song is not there, or not in the range asked for.
pub(super) async fn serve(
    app: &App,
    key: &Key,
    want: Want,
    request: &Parts,
) -> Result<Response, Denied> {
    let mut audio = app.audio(key, want).await?;
    let mut asked = counted_ranges(&audio, request);
    // Without a body (`HEAD`) there is nothing to wait for; who only looks waits for nothing.
    if audio.total.is_none()
        && request.method != Method::HEAD
        && needs_the_end(asked.as_deref(), request.version)
    {
        audio = app.audio(key, whole_within(want)).await?;
        asked = counted_ranges(&audio, request);
    }
    match conditional::weigh(&request.headers, validators(&audio)) {
        Verdict::Go => {}
        Verdict::NotModified => return Ok(not_modified(&audio)),
        Verdict::Failed => return Err(not_as_the_client_has_it(&audio).into()),
    }
    let total = match (audio.total, asked.as_deref()) {
        (Some(total), _) => total,
        (None, Some([Asked::Closed(first, last)])) => {
            let span = Span {
                first: *first,
                last: *last,
            };
            match audio.reader.read_at(span.last, 1).await {
                Ok(byte) if !byte.is_empty() => return Ok(part_of_unknown(audio, span, app)),
                // The file ended before: its length is known now, and its tag.
                Ok(_) => audio = app.audio(key, whole_within(want)).await?,
                Err(broken) => return Err(why_it_broke(app, key, &broken).await.into()),
            }
            audio.total.ok_or_else(|| {
                Refusal::new(
                    Kind::Internal,
                    "a finished file without a length; report it",
                )
            })?
        }
        (None, _) => return Ok(growing_whole(audio, app)),
    };
    Ok(of_known_length(audio, total, asked.as_deref(), app)?)
}

const fn whole_within(want: Want) -> Want {
    if want.only_looks() {
        Want::Peek
    } else {
        Want::WholeWithin(END_WITHIN)
    }
}

/// The ranges that count: only `GET` has any (RFC 9110, 14.2), one header of them, and `If-Range` may disagree.
fn counted_ranges(audio: &Audio, request: &Parts) -> Option<Vec<Asked>> {
    if request.method != Method::GET
        || !conditional::range_counts(&request.headers, validators(audio))
    {
        return None;
    }
    let mut headers = request.headers.get_all(RANGE).iter();
    let (first, second) = (headers.next()?, headers.next());
    if second.is_some() {
        None
    } else {
        range::parse(first.to_str().ok()?)
    }
}

/// Whether an answer has to wait until the length is known: for ranges counted from the end or open to it, for several
/// at once, and for clients older than chunked bodies, which could not tell a cut answer from a whole one.
fn needs_the_end(asked: Option<&[Asked]>, version: Version) -> bool {
    match asked {
        None | Some([Asked::Open(0)]) => version < Version::HTTP_11,
        Some([Asked::Closed(_, last)]) => *last >= NO_FILE_REACHES,
        Some(_) => true,
    }
}

/// The kind of a failure that a reader met: the application knows it.
pub(super) async fn why_it_broke(
    app: &App,
    key: &Key,
    broken: &impl std::fmt::Display,
) -> NotServed {
    match app.audio(key, Want::Peek).await {
        Err(failed @ NotServed::Failed(_)) => failed,
        _ => NotServed::Failed(Failure::new(Kind::Internal, format!("{broken}; ask again"))),
    }
}

fn validators(audio: &Audio) -> Validators<'_> {
    Validators {
        etag: audio.etag.as_deref(),
        modified: audio.finished.then_some(audio.modified),
    }
}

fn of_known_length(
    audio: Audio,
    total: u64,
    asked: Option<&[Asked]>,
    app: &App,
) -> Result<Response, Refusal> {
    match asked.map_or(Meaning::Whole, |asked| range::resolve(asked, total)) {
        Meaning::Beyond => Err(Refusal::beyond_the_end(total)),
        Meaning::Whole => {
            let mut response = head(&audio, StatusCode::OK);
            set(&mut response, CONTENT_LENGTH, total.to_string());
            Ok(fill(
                response,
                audio,
                [Piece::Span {
                    at: 0,
                    end: Some(total),
                }],
                app,
            ))
        }
        Meaning::Parts(spans) => match spans.as_slice() {
            [span] => Ok(single_part(audio, *span, total, app)),
            spans => Ok(many_parts(audio, spans, total, app)),
        },
    }
}

fn growing_whole(audio: Audio, app: &App) -> Response {
    let response = head(&audio, StatusCode::OK);
    fill(response, audio, [Piece::Span { at: 0, end: None }], app)
}

fn not_modified(audio: &Audio) -> Response {
    let mut response = head(audio, StatusCode::NOT_MODIFIED);
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_DISPOSITION);
    response
}

fn not_as_the_client_has_it(audio: &Audio) -> Refusal {
    let now = audio.etag.as_deref().map_or_else(
        || "has no ETag yet".to_owned(),
        |etag| format!("has the ETag {etag}"),
    );
    let sentence = format!(
        "the file {now} and is not as the condition wants it; ask again without the condition"
    );
    Refusal::bad_request(sentence).with_status(StatusCode::PRECONDITION_FAILED)
}

fn single_part(audio: Audio, span: Span, total: u64, app: &App) -> Response {
    let mut response = head(&audio, StatusCode::PARTIAL_CONTENT);
    set(&mut response, CONTENT_LENGTH, span.length().to_string());
    set(
        &mut response,
        CONTENT_RANGE,
        format!("bytes {}-{}/{total}", span.first, span.last),
    );
    fill(response, audio, [piece(span)], app)
}

/// A closed range that has arrived of a file whose length nobody knows yet.
fn part_of_unknown(audio: Audio, span: Span, app: &App) -> Response {
    let mut response = head(&audio, StatusCode::PARTIAL_CONTENT);
    set(&mut response, CONTENT_LENGTH, span.length().to_string());
    set(
        &mut response,
        CONTENT_RANGE,
        format!("bytes {}-{}/*", span.first, span.last),
    );
    fill(response, audio, [piece(span)], app)
}

/// `multipart/byteranges` (RFC 9110, 14.6).
fn many_parts(audio: Audio, spans: &[Span], total: u64, app: &App) -> Response {
    let boundary = format!("kmds-{}", fresh_id());
    let content_type = audio.content_type;
    let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
    let mut length = 0;
    for (index, span) in spans.iter().enumerate() {
        let start = if index == 0 { "" } else { "\r\n" };
        let (first, last) = (span.first, span.last);
        let text = format!(
            "{start}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n"
        );
        length += text.len() as u64 + span.length();
        pieces.push(Piece::Text(text.into()));
        pieces.push(piece(*span));
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
    fill(response, audio, pieces, app)
}

const fn piece(span: Span) -> Piece {
    Piece::Span {
        at: span.first,
        end: Some(span.last + 1),
    }
}

/// What every answer about the file says of it.
fn head(audio: &Audio, status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(audio.content_type));
    headers.insert(CONTENT_DISPOSITION, disposition::inline(&audio.file_name));
    // Ranges of a file of unknown length are served but not advertised: libavformat would jump from fragment to fragment
    // of an MP4 it may seek in, by open ranges, which wait for the end, before it plays the first of them.
    if audio.total.is_some() {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    // A name may stand for another file tomorrow: caches ask again, by the tag.
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
    app: &App,
) -> Response {
    let body = AudioBody::new(Sending::new(audio, app), pieces.into_iter().collect());
    response.map(|_| Body::new(body))
}
