//! Audio over HTTP: whole, in ranges, or while it arrives. Both faces serve through [`serve`].
//!
//! Owns the head of every answer with audio: validators, conditions (RFC 9110, 13), ranges (RFC 9110, 14) and names,
//! and what each means for a file that still grows:
//!
//! - A request for a range that has not arrived yet waits.
//! - While the length is unknown, `bytes=0-` is a chunked 200 and one closed range a 206 with `/*`. All other ranges,
//!   and clients older than HTTP/1.1, wait for the end of the file.
//! - If the file fails, the connection is cut: a client never takes a part for the whole file.

mod answer;
mod body;
mod conditional;
pub(super) mod disposition;
mod range;

use std::time::Duration;

use axum::response::Response;
use http::header::RANGE;
use http::request::Parts;
use http::{HeaderValue, Method, Version};
use kmds_extract::Kind;

use self::answer::{
    Recipient, growing_whole, not_modified, of_known_length, one_range, precondition_failed,
};
pub(super) use self::body::{Cut, Sending};
use self::conditional::{Precondition, Validators};
use self::range::{ByteRange, RangeSpec};
use super::error::Refusal;
use super::guard::Barred;
use super::query::Wait;
use super::sendfile::FileQueue;
use crate::app::{App, Audio, Failure, Key, NODE_HEADER, NotServed, VALIDATOR_HEADER, Want};

/// How long an answer waits for the end of a file of unknown length: conversions of the longest mixes take that long.
const END_WITHIN: Duration = Duration::from_secs(3600);
/// No file is so long: a range that ends here or later waits for the end of the file.
const NO_FILE_REACHES: u64 = 1 << 62;

/// Why no audio is sent.
#[derive(Debug)]
pub(super) enum Denied {
    NotServed(NotServed),
    Refused(Refusal),
}

impl Denied {
    /// As `/tunnel` says it: 404, 418 or 500.
    pub(super) fn for_file(self) -> Refusal {
        match self {
            Self::NotServed(reason) => Refusal::of_audio(reason),
            Self::Refused(refusal) => refusal,
        }
    }

    /// Refuses a song that would have to be fetched, if the request must start nothing.
    pub(super) fn unless_barred(self, barred: Option<Barred>) -> Self {
        match (self, barred) {
            (Self::NotServed(NotServed::Unfinished { .. }), Some(barred)) => {
                barred.refusal().into()
            }
            (other, _) => other,
        }
    }

    /// As `/play` and v1 say it: a failure has the status of its kind, as with `/fetch`.
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

/// How a request for a file is served. `HEAD` never moves a song; nor does a request that must start nothing. A foreign
/// page does not wait either.
pub(super) fn wanted(method: &Method, barred: Option<Barred>, streams: bool, wait: Wait) -> Want {
    let foreign = barred == Some(Barred::ForeignPage);
    match (method == Method::HEAD || barred.is_some(), streams) {
        (true, true) => Want::PeekStream,
        (true, false) if foreign || wait.time.is_zero() => Want::Peek,
        (true, false) => Want::PeekWithin(wait.time),
        (_, true) => Want::Stream,
        (_, false) if wait.time.is_zero() => Want::Whole,
        (_, false) => Want::WholeWithin(wait.time),
    }
}

/// Tells the client that its preference was followed, if `want` waits at all.
pub(super) fn acknowledge(wait: Wait, want: Want, response: &mut Response) {
    if matches!(want, Want::WholeWithin(_) | Want::PeekWithin(_)) {
        wait.acknowledge(response.headers_mut());
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
    let (audio, ranges) = open(app, key, want, request).await?;
    match conditional::evaluate(&request.headers, validators(&audio)) {
        Precondition::Met => {}
        Precondition::NotModified => return Ok(not_modified(&audio)),
        Precondition::Failed => return Err(precondition_failed(&audio).into()),
    }
    let to = Recipient {
        app,
        files: request.extensions.get::<FileQueue>().cloned(),
    };
    let is_node = request.headers.contains_key(NODE_HEADER);
    let validator = is_node.then(|| HeaderValue::from_bytes(audio.validator.as_bytes()));
    let mut response = match audio.total {
        Some(total) => of_known_length(audio, total, ranges.as_deref(), &to)?,
        None => of_unknown_length(audio, ranges.as_deref(), &to, key, want).await?,
    };
    if let Some(Ok(validator)) = validator {
        response.headers_mut().insert(VALIDATOR_HEADER, validator);
    }
    Ok(response)
}

/// The audio, and the ranges that apply to it. Waits for the end of the file if the answer needs its length.
async fn open(
    app: &App,
    key: &Key,
    want: Want,
    request: &Parts,
) -> Result<(Audio, Option<Vec<RangeSpec>>), Denied> {
    let audio = app.played(key, want).await?;
    let ranges = applicable_ranges(&audio, request);
    // An answer without a body (`HEAD`) needs no length.
    if audio.total.is_some()
        || request.method == Method::HEAD
        || !needs_the_length(ranges.as_deref(), request.version)
    {
        return Ok((audio, ranges));
    }
    let audio = app.audio(key, at_its_end(want)).await?;
    let ranges = applicable_ranges(&audio, request);
    Ok((audio, ranges))
}

/// The answer while the length is unknown: the whole file as it grows, or one closed range that has arrived.
async fn of_unknown_length(
    mut audio: Audio,
    ranges: Option<&[RangeSpec]>,
    to: &Recipient<'_>,
    key: &Key,
    want: Want,
) -> Result<Response, Denied> {
    let app = to.app;
    let Some([RangeSpec::Closed(first, last)]) = ranges else {
        return Ok(growing_whole(audio, to));
    };
    let (first, last) = (*first, *last);
    match audio.reader.read_at(last, 1).await {
        Ok(byte) if !byte.is_empty() => {
            return Ok(one_range(audio, ByteRange { first, last }, None, to));
        }
        // The file ended before that byte, so its length is known now.
        Ok(_) => {}
        Err(broken) => return Err(why_it_broke(app, key, &broken).await.into()),
    }
    let audio = app.audio(key, at_its_end(want)).await?;
    let total = audio.total.ok_or_else(|| {
        Refusal::new(
            Kind::Internal,
            "a finished file without a length; report it",
        )
    })?;
    Ok(of_known_length(audio, total, ranges, to)?)
}

/// As `want`, but for the finished file. A request that moves nothing does not wait.
const fn at_its_end(want: Want) -> Want {
    if want.only_looks() {
        Want::Peek
    } else {
        Want::WholeWithin(END_WITHIN)
    }
}

/// The ranges that apply: only `GET` has any (RFC 9110, 14.2), in one header, if `If-Range` agrees.
fn applicable_ranges(audio: &Audio, request: &Parts) -> Option<Vec<RangeSpec>> {
    if request.method != Method::GET
        || !conditional::if_range_holds(&request.headers, validators(audio))
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
fn needs_the_length(ranges: Option<&[RangeSpec]>, version: Version) -> bool {
    match ranges {
        None | Some([RangeSpec::Open(0)]) => version < Version::HTTP_11,
        Some([RangeSpec::Closed(_, last)]) => *last >= NO_FILE_REACHES,
        Some(_) => true,
    }
}

/// Why a reader failed: the application knows the kind.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_requests_that_must_start_nothing_only_peek_whatever_else_is_asked() {
        let foreign = Some(Barred::ForeignPage);
        for (method, barred) in [
            (&Method::HEAD, None),
            (&Method::HEAD, foreign),
            (&Method::GET, foreign),
            (&Method::GET, Some(Barred::OnlyListens)),
        ] {
            assert_eq!(
                wanted(method, barred, true, Wait::default()),
                Want::PeekStream
            );
            assert_eq!(wanted(method, barred, false, Wait::default()), Want::Peek);
            let waits = wanted(method, barred, false, Wait::of_seconds(7));
            assert!(waits.only_looks());
            let seconds = Duration::from_secs(7);
            let is_patient = barred != foreign;
            assert_eq!(waits == Want::PeekWithin(seconds), is_patient, "{method}");
        }
        assert_eq!(
            wanted(&Method::GET, None, true, Wait::default()),
            Want::Stream
        );
        assert_eq!(
            wanted(&Method::GET, None, false, Wait::default()),
            Want::Whole
        );
    }
}
