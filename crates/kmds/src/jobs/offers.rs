//! Which streams of a song the site offers a job now.
//!
//! Owns the ways to streams: those that came along with metadata, fresh URLs, the second engine's. One job at a time
//! asks for an album's page, since the page has the streams of all songs. This module moves no bytes, and does not
//! decide how often to ask.

use kmds_extract::choose::Accept;
use kmds_extract::{Delivery, Failure, Kind, Lack, Source, Track};

use super::Context;
use super::attempts::{Attempts, Next};
use crate::clock::unix_now;
use crate::engine::Engine;

/// Held during the request for an album's page: afterwards the jobs of its other songs find their streams.
static ALBUM_PAGE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A song with streams, and the engine that named them.
pub(super) struct Offer {
    pub track: Track,
    pub engine: Engine,
}

impl Offer {
    /// Whether all its URLs must be asked for when the download starts.
    pub(super) fn is_asked_late(&self) -> bool {
        self.track
            .streams
            .iter()
            .all(|stream| matches!(stream.delivery, Delivery::Asked { .. }))
    }

    /// Whether a later request may find an encoding of a song that now has none; DRM is final.
    pub(super) fn may_come_back(&self) -> bool {
        self.is_asked_late() && kmds_extract::all_gone(&self.track).kind().retryable()
    }

    /// Why no stream of it can be fetched.
    pub(super) fn all_gone(&self) -> Failure {
        Failure::from(&kmds_extract::all_gone(&self.track))
    }
}

/// A job that asks for streams.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub at: &'a Context,
    pub track: &'a Track,
    pub accept: &'a Accept,
    pub attempts: &'a Attempts,
}

impl Asking<'_> {
    /// The song with streams whose URLs are valid long enough to start a download.
    pub(super) async fn fresh(self) -> Result<Offer, Next> {
        // No job has tried the held streams.
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let _turn = match self.track.source {
            Source::Bandcamp(_) => Some(ALBUM_PAGE.lock().await),
            _ => None,
        };
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let lack = if self.attempts.asked == 0 && !self.attempts.asked_faster {
            Lack::Streams
        } else {
            Lack::GoodStreams
        };
        let refreshing = self.at.engines.refresh(self.track, lack, self.accept);
        let (fresh, engine) = refreshing.await.map_err(|error| Next::from(&error))?;
        let offer = Offer {
            track: fresh.track,
            engine,
        };
        if offer.track.streams.is_empty() {
            return Err(Next::OtherStream(offer.all_gone()));
        }
        for track in fresh.beside {
            self.at.streams.keep(&track.id, track.streams);
        }
        Ok(offer)
    }

    fn held(self) -> Option<Offer> {
        let streams = self.at.streams.take_fresh(&self.track.id, unix_now())?;
        let track = Track {
            streams,
            ..self.track.clone()
        };
        Some(Offer {
            track,
            engine: Engine::Native,
        })
    }

    /// The second engine's streams, after the native ones failed for this reason.
    pub(super) async fn second_engine(self, failure: &Failure) -> Option<Offer> {
        let may = matches!(
            failure.kind,
            Kind::OriginRefused | Kind::OriginFailed | Kind::Truncated | Kind::PageChanged
        ) || (failure.kind == Kind::Unavailable && self.track.withheld.is_some());
        if !may || matches!(self.track.source, Source::Other { .. }) {
            return None;
        }
        tracing::info!(track = %self.track.id, "asking yt-dlp for the audio: {failure}");
        let track = self.at.engines.rescue(self.track, self.accept).await?;
        Some(Offer {
            track,
            engine: Engine::YtDlp,
        })
    }
}
