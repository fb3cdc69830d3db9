//! Where a site has the encodings of a song, for clients that read from the site themselves.
//!
//! Owns asking for streams outside of a job. It never downloads: [`crate::jobs`] does.

use kmds_extract::{ExtractError, Failure, Kind, Lack, Stream, Track, TrackId};

use super::{App, Inner};
use crate::clock::unix_now;

impl App {
    /// The encodings of a known song with addresses that work now. They expire.
    /// # Errors
    /// The song was never resolved, or the site refuses.
    pub async fn streams(&self, id: &TrackId) -> Result<Vec<Stream>, Failure> {
        let offered = match self.inner.streams.take_fresh(id, unix_now()) {
            Some(streams) => streams,
            None => {
                let unknown = || Failure::new(Kind::NotFound, "this song was not resolved yet");
                let track = self.song(id).await?.ok_or_else(unknown)?.track;
                self.inner.offered(&track).await?
            }
        };
        // This removes them from memory; a download that follows needs them.
        self.inner.streams.keep(id, offered.clone());
        self.inner.located(offered).await
    }
}

impl Inner {
    /// The streams of a song, from a new request to the site.
    async fn offered(&self, track: &Track) -> Result<Vec<Stream>, Failure> {
        let lack = Lack::Streams;
        let fresh = self.engines.refresh(track, lack, &self.accept).await;
        let (fresh, _) = fresh.map_err(|error| Failure::from(&error))?;
        for beside in fresh.beside {
            self.streams.keep(&beside.id, beside.streams);
        }
        Ok(fresh.track.streams)
    }

    async fn located(&self, offered: Vec<Stream>) -> Result<Vec<Stream>, Failure> {
        let mut located = Vec::new();
        for stream in offered {
            match self.engines.locate(&stream).await {
                Ok(stream) => located.push(stream),
                Err(ExtractError::StreamGone { .. }) => {}
                Err(error) => return Err(Failure::from(&error)),
            }
        }
        Ok(located)
    }
}
