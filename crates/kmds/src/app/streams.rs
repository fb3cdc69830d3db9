//! Which streams of a song are tried, and what the site is asked for when they fail.
//!
//! Owns the way from streams at hand to fresh URLs, to the song as a whole, to nothing more (field notes, failure tables).
//! Hides where streams come from. Never moves bytes, never publishes: [`super::work`] does.

use std::sync::Arc;

use kmds_extract::choose::choose;
use kmds_extract::{Delivery, Lack, Site, Source, Track};

use super::Inner;
use super::attempts::{Attempts, goes_on, order_for};
use super::flight::Job;
use super::pump::Yield;
use super::resolve::now_unix;
use super::words::Failure;
use super::work::{End, Trouble, extract_trouble};
use crate::engine::Engine;
use crate::store::Lease;

/// Only DRM is for good.
fn may_come_back(track: &Track) -> bool {
    is_asked_late(track) && kmds_extract::all_gone(track).kind().retryable()
}

fn is_asked_late(track: &Track) -> bool {
    track
        .streams
        .iter()
        .all(|stream| matches!(stream.delivery, Delivery::Asked { .. }))
}

impl Inner {
    /// The native engine's streams, asked for again as often as the notes allow.
    pub(super) async fn try_streams(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        song: &mut Attempts,
    ) -> Result<Yield, Trouble> {
        let (mut at_hand, mut slow, mut walled) = (None, None, None);
        loop {
            let (track, engine) = match at_hand.take() {
                Some(known) => known,
                None => self.streams_to_go_on(lease, song, slow.take()).await?,
            };
            let spent = track
                .streams
                .iter()
                .all(|stream| song.walled.contains(&stream.client));
            if spent && let Some(failure) = walled {
                // The others were refused meanwhile, so the first was asked again.
                return Err(Trouble::Next(failure));
            }
            let error = match self.try_choices(job, lease, song, &track, engine).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match error {
                Trouble::AskAgain(_) => {
                    song.asked += 1;
                    // A URL that is asked for late is asked for anew; what leads to it does not expire.
                    at_hand = is_asked_late(&track).then_some((track, engine));
                }
                Trouble::Walled(failure, false) => return Err(Trouble::Next(failure)),
                Trouble::Walled(failure, true) => walled = Some(failure),
                Trouble::Slow => {
                    song.hurried = true;
                    slow = Some((track, engine));
                }
                // Processed anew, or changed: what is offered now may be something else (SoundCloud field notes, 15).
                Trouble::Gone if !song.looked_again && may_come_back(&track) => {
                    (song.asked, song.looked_again) = (song.asked + 1, true);
                }
                Trouble::Gone => {
                    return Err(Trouble::Next(Failure::from(&kmds_extract::all_gone(
                        &track,
                    ))));
                }
                Trouble::End(End::Limited { .. }) if track.id.site() != Site::YouTube => {
                    // The limit is not theirs: they serve when it is over.
                    self.resolver.keep_streams(&track.id, track.streams);
                    return Err(error);
                }
                Trouble::End(End::NotBefore(_)) => {
                    self.resolver.keep_streams(&track.id, track.streams);
                    return Err(error);
                }
                error => return Err(error),
            }
        }
    }

    /// One stream after the other. [`Trouble::Gone`] is said only of all.
    async fn try_choices(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        song: &mut Attempts,
        track: &Track,
        engine: Engine,
    ) -> Result<Yield, Trouble> {
        let mut last = Trouble::Gone;
        for choice in order_for(&choose(&track.streams, &song.accept), lease) {
            match self.try_one(job, lease, song, &choice, engine).await {
                Err(next @ Trouble::Next(_)) => last = next,
                Err(Trouble::Gone) => {}
                end => return end,
            }
        }
        Err(last)
    }

    /// Fresh streams; those that were slow, where fresh ones do not come or are of another file.
    async fn streams_to_go_on(
        &self,
        lease: &Lease,
        song: &Attempts,
        slow: Option<(Track, Engine)>,
    ) -> Result<(Track, Engine), Trouble> {
        match (self.with_streams(song).await, slow) {
            (Ok(fresh), Some(slow)) if !goes_on(&fresh.0, lease) => Ok(slow),
            (Err(_), Some(slow)) => Ok(slow),
            (fresh, _) => fresh,
        }
    }

    /// The song with streams whose URLs live long enough.
    async fn with_streams(&self, song: &Attempts) -> Result<(Track, Engine), Trouble> {
        let id = &song.track.id;
        // Whatever is kept there nobody has tried.
        let at_hand = || {
            let streams = self.resolver.fresh_streams(id, now_unix())?;
            Some((
                Track {
                    streams,
                    ..song.track.clone()
                },
                Engine::Native,
            ))
        };
        if let Some(at_hand) = at_hand() {
            return Ok(at_hand);
        }
        // An album's page has the streams of all its songs: the first job's is enough for all.
        let _turn = match song.track.source {
            Source::Bandcamp(_) => Some(self.bandcamp_pages.lock().await),
            _ => None,
        };
        if let Some(at_hand) = at_hand() {
            return Ok(at_hand);
        }
        let lack = if song.asked == 0 && !song.hurried {
            Lack::Streams
        } else {
            Lack::GoodStreams
        };
        match self.engines.refresh(&song.track, lack, &song.accept).await {
            Ok((fresh, engine)) if !fresh.track.streams.is_empty() => {
                fresh
                    .beside
                    .into_iter()
                    .for_each(|track| self.resolver.keep_streams(&track.id, track.streams));
                Ok((fresh.track, engine))
            }
            Ok((fresh, _)) => Err(Trouble::Next(Failure::from(&kmds_extract::all_gone(
                &fresh.track,
            )))),
            Err(error) => Err(extract_trouble(&error)),
        }
    }
}
