//! Failures as answers: status, kind and body, for both faces.
//!
//! Owns the one table from [`Kind`] to HTTP status and title, `Retry-After`, and the classic and problem+json bodies,
//! which only this module makes.

pub(super) mod bodies;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use kmds_extract::Kind;

use self::bodies::{ClassicError, ClassicFailed, ClassicUnfinished, Problem};
use crate::app::{Failure, NotServed, State};

/// `Retry-After` of 429 when neither the site nor the queue names a time.
const ASK_AGAIN_LIMITED: Duration = Duration::from_secs(60);
/// The same of 503: a queue or a disk has room again sooner.
const ASK_AGAIN_BUSY: Duration = Duration::from_secs(15);
/// The same of 418: old clients poll once a second (docs/api.md, "GET /tunnel").
const POLL_AGAIN: Duration = Duration::from_secs(1);

/// Which of the two APIs answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Classic,
    V1,
}

impl Face {
    /// The face a path belongs to: all below `/api/v1` is v1, all else classic.
    pub(super) fn of(path: &str) -> Self {
        match path.strip_prefix("/api/v1") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::V1,
            _ => Self::Classic,
        }
    }
}

/// The status and the title of a kind (docs/api.md, "Kinds of failure").
pub(super) const fn status_and_title(kind: Kind) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match kind {
        Kind::UnsupportedLink => (S::BAD_REQUEST, "No link we can read"),
        Kind::Live => (S::BAD_REQUEST, "A live stream has no file"),
        Kind::NotFound => (S::NOT_FOUND, "Not found"),
        Kind::Private => (S::FORBIDDEN, "Private"),
        Kind::LoginRequired => (S::FORBIDDEN, "Needs a sign-in at the site"),
        Kind::AgeRestricted => (S::FORBIDDEN, "Restricted by age"),
        Kind::MembersOnly => (S::FORBIDDEN, "For members only"),
        Kind::PaidOnly => (S::FORBIDDEN, "For buyers only"),
        Kind::PreviewOnly => (S::FORBIDDEN, "Only a preview is offered"),
        Kind::DrmOnly => (S::FORBIDDEN, "Protected by DRM"),
        Kind::GeoBlocked => (S::FORBIDDEN, "Blocked in this country"),
        Kind::Unreleased => (S::FORBIDDEN, "Not released yet"),
        Kind::Unavailable => (S::FORBIDDEN, "Unavailable at the site"),
        Kind::BotCheck => (S::TOO_MANY_REQUESTS, "The site wants proof of a human"),
        Kind::RateLimited => (S::TOO_MANY_REQUESTS, "Too many requests"),
        Kind::OriginRefused => (S::BAD_GATEWAY, "The site refused our request"),
        Kind::OriginFailed => (S::BAD_GATEWAY, "The site failed"),
        Kind::PageChanged => (S::BAD_GATEWAY, "The site changed"),
        Kind::Truncated => (S::BAD_GATEWAY, "The site sent a broken file"),
        Kind::Timeout => (S::GATEWAY_TIMEOUT, "The site did not answer in time"),
        Kind::QueueFull => (S::SERVICE_UNAVAILABLE, "The queue is full"),
        Kind::DiskFull => (S::INSUFFICIENT_STORAGE, "The disk is full"),
        Kind::ConversionFailed => (S::INTERNAL_SERVER_ERROR, "The conversion failed"),
        Kind::ConversionUnavailable => (S::INTERNAL_SERVER_ERROR, "Nothing here converts"),
        Kind::Cancelled => (S::CONFLICT, "Cancelled"),
        Kind::Internal => (S::INTERNAL_SERVER_ERROR, "A fault of ours"),
        Kind::BadRequest => (S::BAD_REQUEST, "Bad request"),
        Kind::Unauthorized => (S::UNAUTHORIZED, "A token is needed"),
        Kind::Forbidden => (S::FORBIDDEN, "Refused at the door"),
        Kind::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "Not this method"),
        Kind::TooLarge => (S::PAYLOAD_TOO_LARGE, "Too large"),
        Kind::RangeNotSatisfiable => (S::RANGE_NOT_SATISFIABLE, "Beyond the end"),
        Kind::NotReady => (S::IM_A_TEAPOT, "Not finished yet"),
        Kind::ClusterUnavailable => (S::SERVICE_UNAVAILABLE, "No node can be asked"),
    }
}

/// The answer to a request that is refused or failed, before a face gives it a body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) failure: Failure,
    /// How much of an unfinished song has arrived; only with `not_ready`.
    progress: Option<Progress>,
    /// The body says whether asking again may help: the classic 500 of `/tunnel`.
    tells_retryable: bool,
    /// Length of the file a range lies beyond.
    length: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Progress {
    state: State,
    received: u64,
    total: Option<u64>,
}

impl Refusal {
    pub(super) fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Failure::new(kind, sentence).into()
    }

    pub(super) fn bad_request(sentence: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, sentence)
    }

    /// The refusal of a body that cannot be read: the client gets a sentence that it can act on.
    #[cfg(test)]
    pub(super) fn assert_is_told_in_a_sentence(&self) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST);
        let sentence = &self.failure.sentence;
        let is_short = (20..400).contains(&sentence.len());
        assert!(
            is_short && !sentence.contains(char::is_control),
            "{sentence}"
        );
    }

    pub(super) fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, sentence)
    }

    pub(super) fn method_not_allowed(method: &http::Method) -> Self {
        Self::new(
            Kind::MethodNotAllowed,
            format!("{method} is not allowed here; the Allow header names the allowed methods"),
        )
    }

    pub(super) fn beyond_the_end(length: u64) -> Self {
        let sentence = format!("the range lies beyond the end; the file has {length} bytes");
        Self {
            length: Some(length),
            ..Self::new(Kind::RangeNotSatisfiable, sentence)
        }
    }

    /// The same failure under another status than its kind's own.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// As `/tunnel` answers: only 418, 500 or 404, for any kind, since old clients know no other status.
    pub(super) fn of_audio(reason: NotServed) -> Self {
        match reason {
            NotServed::Unfinished {
                state,
                received,
                total,
                wait,
            } => {
                let state_now = if state == State::Evicted {
                    "not here yet"
                } else {
                    state.as_str()
                };
                let wait = wait.unwrap_or_default().max(POLL_AGAIN);
                let later = match seconds_up(wait) {
                    1 => "a second".to_owned(),
                    seconds => format!("{seconds} seconds, as its site wants"),
                };
                let sentence = format!("the song is {state_now}; ask again in {later}");
                let progress = Some(Progress {
                    state,
                    received,
                    total,
                });
                Self {
                    progress,
                    ..Failure::new(Kind::NotReady, sentence).after(wait).into()
                }
            }
            NotServed::Failed(failure) => Self::failed_for_good(failure),
            NotServed::Unknown => {
                Self::not_found("no such file; POST the song's link to /fetch first")
            }
        }
    }

    /// 500 with the failure's own kind.
    pub(super) fn failed_for_good(failure: Failure) -> Self {
        let failure = Failure {
            retry_after: None,
            ..failure
        };
        Self {
            tells_retryable: true,
            ..Self::from(failure)
        }
        .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn into_response(self, face: Face) -> Response {
        let (content_type, body) = match face {
            Face::Classic => ("application/json", self.classic_body()),
            Face::V1 => ("application/problem+json", self.problem_body()),
        };
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"kmds\""),
            );
        }
        if let Some(value) = self
            .length
            .and_then(|length| HeaderValue::try_from(format!("bytes */{length}")).ok())
        {
            headers.insert(CONTENT_RANGE, value);
        }
        response
    }

    fn retry_after(&self) -> Option<Duration> {
        self.failure.retry_after.or(match self.status {
            StatusCode::TOO_MANY_REQUESTS => Some(ASK_AGAIN_LIMITED),
            StatusCode::SERVICE_UNAVAILABLE => Some(ASK_AGAIN_BUSY),
            _ => None,
        })
    }

    fn classic_body(&self) -> String {
        let (status, error) = (self.status.as_u16(), self.failure.sentence.clone());
        let kind = self.failure.kind;
        match self.progress {
            Some(Progress {
                state,
                received,
                total,
            }) => to_json(&ClassicUnfinished {
                status,
                error,
                state: state.of_five(),
                received,
                total,
            }),
            None if self.tells_retryable => to_json(&ClassicFailed {
                status,
                error,
                kind,
                retryable: self.failure.retryable(),
            }),
            None => to_json(&ClassicError {
                status,
                error,
                kind,
            }),
        }
    }

    fn problem_body(&self) -> String {
        let kind = self.failure.kind;
        let progress = self.progress;
        to_json(&Problem {
            r#type: format!("urn:kmds:kind:{kind}"),
            title: status_and_title(kind).1,
            status: self.status.as_u16(),
            detail: self.failure.sentence.clone(),
            kind,
            retryable: kind.retryable(),
            state: progress.map(|progress| progress.state),
            received_bytes: progress.map(|progress| progress.received),
            total_bytes: progress.and_then(|progress| progress.total),
        })
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = status_and_title(failure.kind).0;
        Self {
            status,
            failure,
            progress: None,
            tells_retryable: false,
            length: None,
        }
    }
}

fn to_json(body: &impl Serialize) -> String {
    // Plain structs of texts and numbers: serializing them cannot fail.
    serde_json::to_string(body).unwrap_or_default()
}

/// Whole seconds, rounded up.
fn seconds_up(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// A refusal in the classic shape.
#[derive(Debug)]
pub(super) struct Classic(Refusal);

/// A refusal as problem+json.
#[derive(Debug)]
pub(super) struct V1(Refusal);

impl<R: Into<Refusal>> From<R> for Classic {
    fn from(refusal: R) -> Self {
        Self(refusal.into())
    }
}

impl<R: Into<Refusal>> From<R> for V1 {
    fn from(refusal: R) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Classic {
    fn into_response(self) -> Response {
        self.0.into_response(Face::Classic)
    }
}

impl IntoResponse for V1 {
    fn into_response(self) -> Response {
        self.0.into_response(Face::V1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_status_that_is_documented() {
        let documented = "unsupported_link 400 live 400 not_found 404 private 403 login_required 403 age_restricted 403 \
            members_only 403 paid_only 403 preview_only 403 drm_only 403 geo_blocked 403 unreleased 403 \
            unavailable 403 bot_check 429 rate_limited 429 origin_refused 502 origin_failed 502 page_changed 502 \
            truncated 502 timeout 504 queue_full 503 disk_full 507 conversion_failed 500 conversion_unavailable 500 \
            cancelled 409 internal 500 bad_request 400 unauthorized 401 forbidden 403 method_not_allowed 405 \
            too_large 413 range_not_satisfiable 416 not_ready 418 \
            cluster_unavailable 503";
        let words: Vec<&str> = documented.split_whitespace().collect();
        assert_eq!(words.len(), Kind::ALL.len() * 2);
        for (row, kind) in words.chunks(2).zip(Kind::ALL) {
            assert_eq!(
                (row[0], row[1]),
                (kind.as_str(), status_and_title(kind).0.as_str())
            );
        }
    }

    #[test]
    fn limits_and_full_queues_always_say_when_to_come_back() {
        for kind in Kind::ALL {
            for face in [Face::Classic, Face::V1] {
                let response = Refusal::new(kind, "why").into_response(face);
                let wanted = matches!(response.status().as_u16(), 429 | 503);
                assert_eq!(
                    response.headers().contains_key(RETRY_AFTER),
                    wanted,
                    "{kind}"
                );
            }
        }
        let failure = Failure::new(Kind::RateLimited, "wait").after(Duration::from_millis(4200));
        assert_eq!(
            Refusal::from(failure).into_response(Face::V1).headers()[RETRY_AFTER],
            "5"
        );
    }

    #[test]
    fn the_bodies_of_the_tunnel_are_those_of_the_contract() {
        let unfinished = NotServed::Unfinished {
            state: State::Downloading,
            received: 1_048_576,
            total: None,
            wait: None,
        };
        let refusal = Refusal::of_audio(unfinished);
        assert_eq!(refusal.status.as_u16(), 418);
        let body: serde_json::Value = serde_json::from_str(&refusal.classic_body()).expect("JSON");
        assert_eq!(body["State"], "downloading");
        assert_eq!(body["Received"], 1_048_576);
        assert!(body.get("Total").is_some_and(serde_json::Value::is_null));

        let failed =
            NotServed::Failed(Failure::new(Kind::GeoBlocked, "not here").after(POLL_AGAIN));
        let refusal = Refusal::of_audio(failed);
        assert_eq!(
            refusal.classic_body(),
            r#"{"Status":500,"Error":"not here","Kind":"geo_blocked","Retryable":false}"#
        );
        assert!(
            !refusal
                .into_response(Face::Classic)
                .headers()
                .contains_key(RETRY_AFTER)
        );
        assert_eq!(Refusal::of_audio(NotServed::Unknown).status.as_u16(), 404);
    }

    #[test]
    fn only_what_lies_below_the_prefix_speaks_v1() {
        for (path, face) in [
            ("/api/v1", Face::V1),
            ("/api/v1/", Face::V1),
            ("/api/v1/tracks", Face::V1),
            ("/api/v10", Face::Classic),
            ("/fetch", Face::Classic),
        ] {
            assert_eq!(Face::of(path), face, "{path}");
        }
    }
}
