//! What follows a failed attempt at a song. Pure: this module does not wait, write or ask.
//!
//! Owns [`Next`] and [`End`], the two kinds of decision, and what one job remembers of its attempts, which limits them
//! (field notes, failure tables). [`super::run`] carries the decisions out.

use std::time::Duration;

use kmds_extract::choose::{Choice, Treatment};
use kmds_extract::{ExtractError, Failure, Kind, Stream, Track};
use tokio::time::Instant;

use super::fill::FillError;
use super::internal;
use super::job::Relay;
use crate::cluster::{Closed, is_of_address};
use crate::download::{DownloadError, Remedy};
use crate::store::{Lease, StoreError};

/// Fresh URLs that must be refused at the same byte in mid-file, beside the first one, before the client identity
/// counts as refused at that byte.
const FRESH_URLS_AT_A_WALL: u32 = 2;

/// Fresh URLs for one file, whatever the reasons.
const MOST_FRESH_URLS: u32 = 3;

/// How a job without a song ends.
#[derive(Debug)]
pub(super) enum End {
    Failed(Failure),
    /// The site limits requests: the bytes are kept, and the job goes back into the queue.
    Limited {
        told: Option<Duration>,
        failure: Failure,
    },
    /// The site serves the audio from that time on: the job leaves its place to others.
    NotBefore(Instant),
    /// No node may ask the site, and the song was not tried everywhere: all songs of the site wait.
    AllLimited(Closed),
    /// Another node is to bring the song, or (`None`) this one after all: the job leaves its place to others.
    HandedOver(Option<Relay>),
    /// Cancelled, or the service stops: the catalog decides what happens next.
    Stopped,
}

/// A limit that is not waited for any longer. A node that was not asked may be challenged: it says so.
pub(super) fn of_limit(failure: Failure) -> Failure {
    let kind = failure.kind;
    Failure {
        kind: if is_of_address(kind) {
            kind
        } else {
            Kind::RateLimited
        },
        ..failure
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failure::new(error.kind(), error.to_string()))
    }
}

/// What to try after a failed stream.
#[derive(Debug)]
pub(super) enum Next {
    /// The same stream once more.
    SameStream,
    /// The song's next stream; after the last one, the second engine.
    OtherStream(Failure),
    /// The next stream, since this one is switched off. If all are, the reason depends on what else the site lists.
    StreamGone,
    /// Fresh URLs from the site; the download continues after the kept bytes.
    AskAgain(Failure),
    /// Fresh URLs, once: the site throttles this one. If they are no better, the slow one is used.
    AskFaster,
    /// Streams for another client identity, since this one is refused from here on. The download continues.
    AskAsAnother(Failure),
    /// The second engine: this one has nothing else to try.
    OtherEngine(Failure),
    /// Nothing more.
    Stop(End),
}

impl From<StoreError> for Next {
    fn from(error: StoreError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<&ExtractError> for Next {
    /// After a failed request for metadata or a stream's URL: both engines were asked already.
    fn from(error: &ExtractError) -> Self {
        let failure = Failure::from(error);
        Self::Stop(match error {
            ExtractError::RateLimited { .. } => End::Limited {
                told: failure.retry_after,
                failure,
            },
            _ => End::Failed(failure),
        })
    }
}

/// What follows a failed download, and whether its bytes are dropped first.
#[derive(Debug)]
pub(super) struct Decision {
    pub next: Next,
    pub drops_bytes: bool,
}

/// One song's attempts so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// How often the site was asked for fresh URLs after a failure.
    pub asked: u32,
    /// How often of those because a URL led to nothing.
    dead: u32,
    /// The last refused byte, and how often it was refused.
    refused: Option<(u64, u32)>,
    /// Client identities that were refused for good at some byte.
    pub walled: Vec<String>,
    /// The bytes were dropped once already.
    restarted: bool,
    /// KMDS asked once for a fresh URL because the first was slow.
    pub asked_faster: bool,
    /// The site was asked for the song again because it served none of its encodings.
    pub looked_again: bool,
}

impl Attempts {
    /// Whether the job has learnt nothing yet that it would have to learn again after a restart.
    pub(super) const fn is_fresh(&self) -> bool {
        self.asked == 0
            && self.refused.is_none()
            && self.walled.is_empty()
            && !self.restarted
            && !self.asked_faster
    }

    /// What follows `error` for this stream. `has_another` records that its client identity is refused from this byte
    /// on, and says whether there is another identity.
    pub(super) fn after(
        &mut self,
        error: FillError,
        stream: &Stream,
        has_another: impl FnOnce(u64) -> bool,
    ) -> Decision {
        let error = match error {
            FillError::Broken(what) => return self.broken(&what, stream),
            FillError::Store(error) => return Decision::keep(error.into()),
            FillError::Convert(failure) => return Decision::keep(Next::Stop(End::Failed(failure))),
            FillError::Internal(what) => {
                return Decision::keep(Next::Stop(End::Failed(internal(what))));
            }
            FillError::Download(DownloadError::Slow { .. }) => {
                return Decision::keep(Next::AskFaster);
            }
            FillError::Download(error) => error,
        };
        let failure = Failure::new(error.kind(), error.to_string());
        match error.remedy() {
            Remedy::StartOver => self.start_over(failure),
            Remedy::Wait(told) => Decision::keep(Next::Stop(End::Limited { told, failure })),
            Remedy::AskAgain { times } => Decision::keep(match error {
                DownloadError::Denied { at, .. } => {
                    self.denied(at, times, failure, stream, has_another)
                }
                DownloadError::Gone { .. } | DownloadError::Empty { .. } => {
                    self.dead(times, failure)
                }
                _ if self.asked < times => Next::AskAgain(failure),
                _ => Next::OtherStream(failure),
            }),
            Remedy::None if error.is_of_all_streams() => {
                Decision::keep(Next::Stop(End::Failed(failure)))
            }
            Remedy::None => Decision::keep(Next::OtherStream(failure)),
        }
    }

    /// A URL that leads to nothing is replaced `times`, also after others have expired.
    fn dead(&mut self, times: u32, failure: Failure) -> Next {
        self.dead += 1;
        if self.dead <= times && self.asked < MOST_FRESH_URLS {
            Next::AskAgain(failure)
        } else {
            Next::OtherStream(failure)
        }
    }

    /// A fresh URL, until several of them were refused at the same byte; then another client identity. If there is
    /// none, and no byte has arrived yet, another encoding may work.
    fn denied(
        &mut self,
        at: u64,
        times: u32,
        failure: Failure,
        stream: &Stream,
        has_another: impl FnOnce(u64) -> bool,
    ) -> Next {
        if !self.meets_wall(at, times) {
            return Next::AskAgain(failure);
        }
        self.walled.push(stream.client.clone());
        match has_another(at) {
            true => Next::AskAsAnother(failure),
            false if at == 0 => Next::OtherStream(failure),
            false => Next::OtherEngine(failure),
        }
    }

    /// A URL was refused from byte `at` on, and at most `times` fresh URLs are worth a request. Returns whether the
    /// client identity is refused there: after an expired URL, the next one continues. The first URL of a later
    /// identity is not renewed for this test.
    fn meets_wall(&mut self, at: u64, times: u32) -> bool {
        let before = self
            .refused
            .filter(|(byte, _)| *byte == at)
            .map_or(0, |(_, count)| count);
        self.refused = Some((at, before + 1));
        let enough = if !self.walled.is_empty() || at == 0 {
            1
        } else {
            FRESH_URLS_AT_A_WALL
        };
        before >= enough || self.asked >= times
    }

    /// The length is right, but not the content: try once more, then another encoding.
    fn broken(&mut self, what: &str, stream: &Stream) -> Decision {
        let site = stream.site;
        let sentence = format!("{site} sent audio that is not whole ({what}); try again later");
        self.start_over(Failure::new(Kind::Truncated, sentence))
    }

    fn start_over(&mut self, failure: Failure) -> Decision {
        let next = if self.restarted {
            Next::OtherStream(failure)
        } else {
            Next::SameStream
        };
        self.restarted = true;
        Decision {
            next,
            drops_bytes: true,
        }
    }
}

impl Decision {
    const fn keep(next: Next) -> Self {
        Self {
            next,
            drops_bytes: false,
        }
    }
}

/// Whether the bytes kept so far are of one of these streams.
pub(super) fn goes_on(track: &Track, lease: &Lease) -> bool {
    lease.kept().is_none_or(|kept| {
        let is_kept = |stream: &Stream| kept.is_of(&stream.validator);
        track.streams.iter().any(is_kept)
    })
}

/// The stream whose bytes are kept goes first among those that are as good for the client: its download is continued. A
/// lower-quality stream that was only a fallback is not moved to the front, because the best stream may work this time.
pub(super) fn order_for(mut choices: Vec<Choice>, lease: &Lease) -> Vec<Choice> {
    if let Some(kept) = lease.kept() {
        let best = choices
            .first()
            .and_then(|choice| choice.stream.bitrate_bps)
            .unwrap_or(0);
        let as_good = |choice: &Choice| {
            let bitrate = choice.stream.bitrate_bps;
            bitrate.is_none_or(|bitrate| bitrate >= best / 4 * 3)
        };
        let kept_first = |choice: &Choice| {
            choice.treatment == Treatment::Keep
                && kept.is_of(&choice.stream.validator)
                && as_good(choice)
        };
        choices.sort_by_key(|choice| !kept_first(choice));
    }
    choices
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Codec, Container, Delivery, Site};

    use super::*;

    fn stream(client: &str) -> Stream {
        Stream {
            site: Site::YouTube,
            delivery: Delivery::default(),
            container: Container::Mp4,
            codec: Codec::Aac,
            rank: 3,
            bitrate_bps: None,
            size_bytes: None,
            duration: None,
            loudness_db: None,
            validator: "v".to_owned(),
            expires_unix: None,
            headers: Vec::new(),
            bounded_ranges: true,
            muxed: false,
            available_unix: None,
            client: client.to_owned(),
            label: "itag 140".to_owned(),
        }
    }

    fn denied(at: u64) -> FillError {
        let site = Site::YouTube;
        DownloadError::Denied { site, at }.into()
    }

    /// What follows each refusal at byte `at`, as texts.
    fn refusals(at: u64, times: usize, has_another: bool) -> Vec<&'static str> {
        let (mut attempts, stream) = (Attempts::default(), stream("one"));
        let mut next = || {
            let decision = attempts.after(denied(at), &stream, |_| has_another);
            assert!(!decision.drops_bytes, "the bytes are continued");
            match decision.next {
                Next::AskAgain(_) => {
                    attempts.asked += 1;
                    "again"
                }
                Next::AskAsAnother(_) => "another",
                Next::OtherStream(_) => "stream",
                Next::OtherEngine(_) => "engine",
                _ => "else",
            }
        };
        (0..times).map(|_| next()).collect()
    }

    #[test]
    fn a_refused_url_is_renewed_until_the_client_identity_is_seen_to_be_refused_there() {
        let mid_file = ["again", "again", "another"];
        assert_eq!(refusals(4096, 3, true), mid_file);
        assert_eq!(refusals(0, 2, true), ["again", "another"]);
        assert_eq!(refusals(4096, 3, false), ["again", "again", "engine"]);
        assert_eq!(refusals(0, 2, false), ["again", "stream"]);
    }

    #[test]
    fn a_second_identity_gets_one_fresh_url_at_the_wall_of_the_first() {
        let mut attempts = Attempts::default();
        for _ in 0..3 {
            let next = attempts.after(denied(7), &stream("one"), |_| true).next;
            attempts.asked += u32::from(matches!(next, Next::AskAgain(_)));
        }
        assert_eq!(attempts.walled, ["one"]);
        assert!(!attempts.is_fresh());
        let further = attempts.after(denied(9), &stream("two"), |_| true).next;
        assert!(matches!(further, Next::AskAgain(_)), "{further:?}");
    }

    #[test]
    fn a_url_that_leads_to_nothing_is_replaced_once_even_after_others_expired() {
        let site = Site::SoundCloud;
        let mut attempts = Attempts::default();
        let mut next = |error: DownloadError| {
            let next = attempts.after(error.into(), &stream("one"), |_| true).next;
            let again = matches!(next, Next::AskAgain(_));
            attempts.asked += u32::from(again);
            again
        };
        assert!(next(DownloadError::Expired { site }));
        assert!(next(DownloadError::Empty { site }));
        assert!(!next(DownloadError::Gone { site }), "once for both");
        assert!(next(DownloadError::Expired { site }));
        assert!(!next(DownloadError::Expired { site }), "three in all");

        let mut attempts = Attempts {
            asked: MOST_FRESH_URLS,
            ..Attempts::default()
        };
        let gone = DownloadError::Gone { site };
        let next = attempts.after(gone.into(), &stream("one"), |_| true).next;
        assert!(matches!(next, Next::OtherStream(_)), "{next:?}");
    }

    #[test]
    fn bytes_that_are_no_song_are_dropped_and_tried_once_more() {
        let mut attempts = Attempts::default();
        let mut broken = || {
            let error = FillError::Broken("it ends early".to_owned());
            attempts.after(error, &stream("one"), |_| true)
        };
        let first = broken();
        assert!(first.drops_bytes && matches!(first.next, Next::SameStream));
        let second = broken();
        assert!(second.drops_bytes);
        let Next::OtherStream(failure) = second.next else {
            panic!("{second:?}");
        };
        assert_eq!(failure.kind, Kind::Truncated);
    }

    #[test]
    fn a_limit_a_full_drive_and_a_conversion_end_the_attempts() {
        let mut attempts = Attempts::default();
        let told = Some(Duration::from_secs(7));
        let limited = DownloadError::Limited {
            site: Site::YouTube,
            retry_after: told,
        };
        let mut end = |error: FillError| match attempts.after(error, &stream("one"), |_| true) {
            Decision {
                next: Next::Stop(end),
                drops_bytes: false,
            } => end,
            decision => panic!("{decision:?}"),
        };
        let limit = end(limited.into());
        assert!(matches!(limit, End::Limited { told: wait, .. } if wait == told));
        for error in [
            FillError::Store(StoreError::Gone),
            FillError::Convert(Failure::new(Kind::ConversionFailed, "no")),
        ] {
            assert!(matches!(end(error), End::Failed(_)));
        }
        assert!(attempts.is_fresh(), "a new start learns nothing new");
    }

    #[test]
    fn a_throttled_url_is_not_an_error() {
        let slow = DownloadError::Slow {
            site: Site::YouTube,
        };
        let decision = Attempts::default().after(slow.into(), &stream("one"), |_| true);
        assert!(!decision.drops_bytes && matches!(decision.next, Next::AskFaster));
    }
}
