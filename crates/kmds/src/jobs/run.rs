//! One job's work on an original: from its row to the published file, or to the reason of its failure.
//!
//! Owns the one loop over engines, streams and restarts: [`Run::make`] over what the site offers, [`Run::try_streams`]
//! over an offer's streams, [`Run::try_stream`] over restarts of one of them. What follows a failure comes back to it
//! as a [`Next`]. A `Run` holds the song's lease; dropping it keeps the bytes for the next start. The queue decides
//! which job runs.

use std::time::Duration;

use kmds_extract::choose::{Accept, Choice, Treatment, choose};
use kmds_extract::{ExtractError, Failure, Format, Kind, Loudness, Site, Stream, Track};
use tokio::time::Instant;

use super::attempts::{Attempts, End, Next, goes_on, order_for};
use super::fill::{FillError, Work, announce_length, check, lease};
use super::offers::{Asking, Offer};
use super::rewrite::{Rewrite, Rewriting};
use super::{formats, names};
use crate::clock::unix_now;
use crate::download::DownloadError;
use crate::engine::Engine;
use crate::store::{Checked, Lease, Publish, Row, Started, State};

/// A file that is whole, under its lease.
struct WholeFile {
    format: Format,
    loudness_db: Option<Loudness>,
    stream: String,
    checked: Checked,
}

/// The site's offers to this job that are not used up.
#[derive(Default)]
struct Offers {
    /// The offer to try next, whose URLs must be asked for when the download starts.
    at_hand: Option<Offer>,
    /// The offer to use if no faster one comes: the site throttles it.
    slow: Option<Offer>,
    /// Why the last client identity was refused.
    refused: Option<Failure>,
}

/// One job under way.
pub(super) struct Run<'a> {
    work: Work<'a>,
    lease: Lease,
    track: Track,
    accept: Accept,
    human_name: String,
    attempts: Attempts,
    /// The bytes in the lease must not be kept.
    bytes_are_bad: bool,
}

impl<'a> Run<'a> {
    /// Takes the right to write the song, waiting until an earlier job that was cancelled has let go of it.
    pub(super) async fn begin(work: Work<'a>, track: Track, row: Row) -> Result<Self, End> {
        announce(work).await?;
        let lease = lease(&work.at.store, &work.job.key).await?;
        Ok(Self::with(work, lease, track, row))
    }

    /// Goes on under this lease, and with its listeners where the site has the file that it holds.
    pub(super) async fn go_on(
        work: Work<'a>,
        lease: Lease,
        track: Track,
        row: Row,
    ) -> Result<Self, End> {
        announce(work).await?;
        Ok(Self::with(work, lease, track, row))
    }

    fn with(work: Work<'a>, lease: Lease, track: Track, row: Row) -> Self {
        Self {
            work,
            lease,
            track,
            accept: row.accept,
            human_name: row.human_name,
            attempts: Attempts::default(),
            bytes_are_bad: false,
        }
    }

    /// Makes all attempts at the song; returns the format of the published file.
    pub(super) async fn finish(self) -> Result<Format, End> {
        self.finish_or_keep().await.0
    }

    /// As [`Self::finish`]. Beside an end without a song it returns the lease whose bytes can be continued: readers
    /// stay while it lives.
    pub(super) async fn finish_or_keep(mut self) -> (Result<Format, End>, Option<Lease>) {
        match self.make().await {
            Ok(done) => (self.publish(done).await, None),
            Err(end) if self.bytes_are_bad => {
                let _ = self.lease.discard().await;
                (Err(end), None)
            }
            Err(end) => (Err(end), Some(self.lease)),
        }
    }

    /// One offer of the site after the other, then the second engine's.
    async fn make(&mut self) -> Result<WholeFile, End> {
        let mut offers = Offers::default();
        loop {
            let offer = match self.next_offer(&mut offers).await {
                Ok(offer) => offer,
                Err(next) => return self.after_native(next).await,
            };
            if offer.track.offered.is_some() {
                self.track.offered.clone_from(&offer.track.offered);
            }
            match self.try_streams(&offer).await {
                Ok(done) => return Ok(done),
                Err(Next::AskAgain(_)) => {
                    self.attempts.asked += 1;
                    // A URL of this kind is requested again; the data for the request does not expire.
                    offers.at_hand = Some(offer).filter(Offer::is_asked_late);
                }
                Err(Next::AskAsAnother(failure)) => offers.refused = Some(failure),
                Err(Next::AskFaster) => {
                    self.attempts.asked_faster = true;
                    offers.slow = Some(offer);
                }
                // The site may have changed the song: now it may offer other streams (SoundCloud field notes, 15).
                Err(Next::StreamGone) if !self.attempts.looked_again && offer.may_come_back() => {
                    self.attempts.asked += 1;
                    self.attempts.looked_again = true;
                }
                Err(Next::StreamGone) => {
                    let gone = Next::OtherEngine(offer.all_gone());
                    return self.after_native(gone).await;
                }
                Err(next) => {
                    if serves_later(&next, self.track.id.site()) {
                        let Track { id, streams, .. } = offer.track;
                        self.work.at.streams.keep(&id, streams);
                    }
                    return self.after_native(next).await;
                }
            }
        }
    }

    /// The next offer: fresh streams, or the slow ones if there are no fresh ones or those are of another file.
    async fn next_offer(&self, offers: &mut Offers) -> Result<Offer, Next> {
        let offer = match offers.at_hand.take() {
            Some(at_hand) => at_hand,
            None => match (self.asking().fresh().await, offers.slow.take()) {
                (Ok(fresh), Some(slow)) if !goes_on(&fresh.track, &self.lease) => slow,
                (Err(_), Some(slow)) => slow,
                (fresh, _) => fresh?,
            },
        };
        let walled = &self.attempts.walled;
        let is_spent = |stream: &Stream| walled.contains(&stream.client);
        match offers.refused.take() {
            // The other identities were refused meanwhile, so the first one was asked again.
            Some(failure) if offer.track.streams.iter().all(is_spent) => {
                Err(Next::OtherEngine(failure))
            }
            refused => {
                offers.refused = refused;
                Ok(offer)
            }
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            at: self.work.at,
            track: &self.track,
            accept: &self.accept,
            attempts: &self.attempts,
        }
    }

    /// The end of the native engine's attempts: the job's end, or the second engine's streams.
    async fn after_native(&mut self, next: Next) -> Result<WholeFile, End> {
        let failure = match next {
            Next::Stop(end) => return Err(end),
            Next::OtherStream(failure)
            | Next::OtherEngine(failure)
            | Next::AskAgain(failure)
            | Next::AskAsAnother(failure) => failure,
            Next::StreamGone | Next::AskFaster | Next::SameStream => {
                Failure::from(&kmds_extract::all_gone(&self.track))
            }
        };
        if let Some(offer) = self.asking().second_engine(&failure).await {
            for choice in choose(&offer.track.streams, &self.accept) {
                match self.try_stream(&choice, offer.engine).await {
                    Ok(done) => return Ok(done),
                    Err(Next::Stop(_)) => break,
                    Err(_) => {}
                }
            }
        }
        self.bytes_are_bad = failure.kind == Kind::Truncated;
        Err(End::Failed(failure))
    }

    /// Tries one stream of an offer after the other. [`Next::StreamGone`] is returned only if it is true of all.
    async fn try_streams(&mut self, offer: &Offer) -> Result<WholeFile, Next> {
        let mut last = Next::StreamGone;
        let choices = choose(&offer.track.streams, &self.accept);
        for choice in order_for(choices, &self.lease) {
            match self.try_stream(&choice, offer.engine).await {
                Err(next @ Next::OtherStream(_)) => last = next,
                Err(Next::StreamGone) => {}
                end => return end,
            }
        }
        Err(last)
    }

    /// Tries one stream: locates it, downloads it, and tries once more if that may help.
    async fn try_stream(&mut self, choice: &Choice, engine: Engine) -> Result<WholeFile, Next> {
        let stream = match self.work.at.engines.locate(&choice.stream).await {
            Ok(stream) => stream,
            Err(ExtractError::StreamGone { .. }) => return Err(Next::StreamGone),
            Err(error) => return Err((&error).into()),
        };
        let choice = Choice {
            stream,
            treatment: choice.treatment,
        };
        self.wait_for_advertisement(&choice.stream, engine).await?;
        loop {
            let error = match self.download(&choice, engine).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match self.after(error, &choice.stream, engine).await {
                Next::SameStream => {}
                next => return Err(next),
            }
        }
    }

    async fn after(&mut self, error: FillError, stream: &Stream, engine: Engine) -> Next {
        match &error {
            FillError::Broken(what) => {
                tracing::warn!(track = %self.track.id, what, "the received file is not whole");
            }
            FillError::Download(DownloadError::Slow { .. }) => {}
            FillError::Download(error) => {
                tracing::debug!(track = %self.track.id, stream = stream.label, %error, "the download stopped");
            }
            FillError::Store(_) | FillError::Convert(_) | FillError::Internal(_) => {}
        }
        let engines = &self.work.at.engines;
        let has_another = |at| engines.walled(stream, engine, at);
        let decision = self.attempts.after(error, stream, has_another);
        if decision.drops_bytes
            && let Err(error) = self.lease.restart().await
        {
            return error.into();
        }
        decision.next
    }

    /// The site refuses audio while it believes that an advertisement runs; a job that waits for that is `queued`. It
    /// gives up its place, unless it would lose what it has learnt about the song.
    async fn wait_for_advertisement(&self, stream: &Stream, engine: Engine) -> Result<(), Next> {
        let job = self.work.job;
        let most = self.work.at.recipes.current().youtube.advertisement_wait;
        let left = stream
            .available_unix
            .map_or(0, |until| until.saturating_sub(unix_now()));
        let wait = Duration::from_secs(left).min(most);
        if wait.is_zero() {
            return Ok(());
        }
        tracing::info!(track = %job.key.track(), wait_s = wait.as_secs(), "waiting for the site's advertisements to end");
        let until = Instant::now() + wait;
        if engine == Engine::Native && self.attempts.is_fresh() && job.may_be_held_back() {
            return Err(Next::Stop(End::NotBefore(until)));
        }
        self.work.change(|status| {
            (status.state, status.waits_until) = (State::Queued, Some(until));
        });
        tokio::time::sleep_until(until).await;
        self.work.change(|status| {
            (status.state, status.waits_until) = (State::Downloading, None);
        });
        Ok(())
    }

    /// Downloads one located stream into the job's lease, in the format that its client takes.
    async fn download(&mut self, choice: &Choice, engine: Engine) -> Result<WholeFile, FillError> {
        let stream = &choice.stream;
        let rewrite = match choice.treatment {
            _ if stream.muxed => Some(Rewrite::TakeAudioOut),
            Treatment::Keep => None,
            Treatment::OpusToOgg => Some(Rewrite::OpusToOgg),
            Treatment::Convert => {
                formats::target(&self.accept, self.work.at.opus).map(Rewrite::Convert)
            }
        };
        let format = rewrite.map_or(stream.format(), Rewrite::format);
        let started = Started {
            format,
            total_bytes: stream.size_bytes.filter(|_| rewrite.is_none()),
            stream: stream.label.clone(),
        };
        self.work.started(started).await?;
        let loudness_db = stream.loudness_db.or(self.track.loudness_db);
        self.work.change(|status| status.loudness_db = loudness_db);
        tracing::debug!(track = %self.track.id, stream = stream.label, engine = engine.as_str(), "downloading");
        let checked = match rewrite {
            None => self.keep(stream, format, engine).await?,
            Some(rewrite) => self.rewrite(stream, rewrite).await?,
        };
        Ok(WholeFile {
            format,
            loudness_db,
            stream: stream.label.clone(),
            checked,
        })
    }

    async fn keep(
        &mut self,
        stream: &Stream,
        format: Format,
        engine: Engine,
    ) -> Result<Checked, FillError> {
        let work = self.work;
        let may_be_slow = engine != Engine::Native || self.attempts.asked_faster;
        let began = |partial| work.show(partial, format);
        work.fill(&mut self.lease, stream, may_be_slow, began)
            .await?;
        announce_length(&mut self.lease);
        let expected = self.expected(stream);
        check(&mut self.lease, format.container(), expected).await
    }

    async fn rewrite(&mut self, stream: &Stream, rewrite: Rewrite) -> Result<Checked, FillError> {
        let expected = self.expected(stream);
        let mut rewriting = Rewriting {
            work: self.work,
            lease: &mut self.lease,
            stream,
            rewrite,
            expected,
        };
        let made = match rewriting.run().await {
            Ok(()) => {
                let container = rewrite.format().container();
                let checked = check(&mut self.lease, container, expected).await;
                checked.map_err(made_here)
            }
            Err(error) => Err(error),
        };
        if made.is_err() {
            // The rewritten bytes are never continued; the raw bytes are.
            let _ = self.lease.restart().await;
        }
        made
    }

    fn expected(&self, stream: &Stream) -> Option<Duration> {
        stream.duration.or(self.track.duration)
    }

    async fn publish(self, done: WholeFile) -> Result<Format, End> {
        let format = done.format;
        let publish = Publish {
            human_name: names::rename(&self.human_name, format.ext()),
            track: Track {
                loudness_db: done.loudness_db,
                ..self.track
            },
            format,
            stream: done.stream,
            checked: done.checked,
        };
        let title = publish.track.title.clone();
        let row = self.lease.publish(publish).await?;
        let bytes = row.size_bytes.unwrap_or(0);
        tracing::info!(track = %self.work.job.key.track(), ?title, bytes, ext = format.ext(), "ready");
        Ok(format)
    }
}

async fn announce(work: Work<'_>) -> Result<(), End> {
    work.change(|status| {
        (status.state, status.waits_until) = (State::Downloading, None);
    });
    let (store, key) = (&work.at.store, &work.job.key);
    store.set_state(key, State::Downloading).await?;
    Ok(())
}

/// Whether the streams can be used after the wait. YouTube's limits belong to the URLs themselves.
fn serves_later(next: &Next, site: Site) -> bool {
    match next {
        Next::Stop(End::Limited { .. }) => site != Site::YouTube,
        Next::Stop(End::NotBefore(_)) => true,
        _ => false,
    }
}

/// The site's bytes were checked on arrival: so an error in the result was made here.
fn made_here(error: FillError) -> FillError {
    match error {
        FillError::Broken(what) => {
            let sentence = format!("the converted file is not whole: {what}");
            FillError::Convert(Failure::new(Kind::ConversionFailed, sentence))
        }
        error => error,
    }
}
