//! Looking at songs of the catalog, and at their covers.
//!
//! Owns which form of a song a client is shown, and what a row says once the drive was looked at. Downloads no audio.

use std::path::PathBuf;

use kmds_extract::{Codec, Container, Failure, Kind, Track, TrackId};

use super::api::{CoverFound, Key, ListAsk, Listing, Song, State, Stored};
use super::{App, Inner};
use crate::jobs::{Status, formats, names, store_failure};
use crate::store::{Filter, Row};

impl App {
    /// The song in the form that a client asked for last; `None` if no client asked for it, or it was deleted.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn song(&self, id: &TrackId) -> Result<Option<Song>, Failure> {
        let rows = self
            .inner
            .store
            .renditions(id)
            .await
            .map_err(store_failure)?;
        let live = |row: &&Row| row.state != State::Deleted;
        let plain = rows
            .iter()
            .rev()
            .filter(live)
            .find(|row| !row.key.is_copy());
        let Some(row) = plain.or_else(|| rows.iter().rev().find(live)) else {
            return Ok(None);
        };
        let row = self.inner.as_it_stands(row.clone()).await?;
        self.inner.shown(&row).await
    }

    /// The song in this form; `None` if no client asked for it.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn song_in(&self, key: &Key) -> Result<Option<Song>, Failure> {
        let Some(row) = self.inner.store.row(key).await.map_err(store_failure)? else {
            return Ok(None);
        };
        self.inner.shown(&row).await
    }

    /// Songs of the catalog, the newest first.
    /// # Errors
    /// The cursor is not valid, or the catalog cannot be read.
    pub async fn list(&self, ask: ListAsk) -> Result<Listing, Failure> {
        let before = match &ask.cursor {
            Some(text) => Some(text.parse().map_err(|_| {
                Failure::new(
                    Kind::BadRequest,
                    "`cursor` must be the cursor of an earlier page",
                )
            })?),
            None => None,
        };
        let filter = Filter {
            state: ask.state,
            site: ask.site,
            text: ask.query,
            originals_only: ask.originals_only,
        };
        let page = self
            .inner
            .store
            .list(filter, ask.limit, before)
            .await
            .map_err(store_failure)?;
        let mut songs: Vec<Song> = page
            .songs
            .into_iter()
            .map(|listed| self.inner.known_song(&listed.row, listed.track))
            .collect();
        self.inner.note_holds(None, &mut songs).await?;
        Ok(Listing {
            songs,
            cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// Where the finished file of one form lies on this machine; `None` while it is not finished.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn local_file(&self, key: &Key) -> Result<Option<PathBuf>, Failure> {
        let row = self.inner.store.row(key).await.map_err(store_failure)?;
        let ready = row.filter(|row| row.state == State::Ready);
        Ok(ready.map(|row| self.inner.store.local_path(key, row.format)))
    }

    /// Tries the failed forms of a song again now; `None` if the song is unknown.
    /// # Errors
    /// The catalog failed.
    pub async fn retry(&self, id: &TrackId) -> Result<Option<Song>, Failure> {
        self.learn(id).await;
        let failed_elsewhere = self.retry_at_others(id).await;
        let rows = self
            .inner
            .store
            .renditions(id)
            .await
            .map_err(store_failure)?;
        let is_tried = |row: &&Row| {
            row.state == State::Failed || (failed_elsewhere && row.state == State::Evicted)
        };
        for row in rows.iter().filter(is_tried) {
            self.inner.demand.requeue(&row.key, true).await?;
        }
        self.song(id).await
    }

    /// The cover of a known song, or of one that a recent search found: fetched when first asked for and kept, unless
    /// the client `only_looks`; `None` if song or cover do not exist. With `for_node` no third node is asked.
    /// # Errors
    /// The site does not give it.
    pub async fn cover(
        &self,
        id: &TrackId,
        only_looks: bool,
        for_node: bool,
    ) -> Result<Option<CoverFound>, Failure> {
        if !for_node {
            self.learn(id).await;
        }
        let known = self.inner.store.track(id).await.map_err(store_failure)?;
        let Some(track) = known.or_else(|| self.inner.resolver.found_track(id)) else {
            return Ok(None);
        };
        if !only_looks {
            let covers = &self.inner.covers;
            let cover = if for_node {
                covers.of_here(&track).await?
            } else {
                covers.of(&track).await?
            };
            return Ok(cover.map(CoverFound::Here));
        }
        if track.cover_url.is_none() {
            return Ok(None);
        }
        let kept = self.inner.covers.kept(&track).await;
        Ok(Some(kept.map_or(CoverFound::AtTheSite, CoverFound::Here)))
    }
}

impl Inner {
    async fn shown(&self, row: &Row) -> Result<Option<Song>, Failure> {
        let id = row.key.track();
        let Some(track) = self.store.track(id).await.map_err(store_failure)? else {
            return Ok(None);
        };
        let mut song = [self.known_song(row, track)];
        self.note_holds(Some(id), &mut song).await?;
        let [song] = song;
        Ok(Some(song))
    }

    /// The row, evicted if its file was removed or changed by hand. If the drive does not answer, the row stays as it
    /// is.
    pub(super) async fn as_it_stands(&self, row: Row) -> Result<Row, Failure> {
        if row.state == State::Ready && self.store.is_changed(&row).await {
            // This call checks the file, and evicts it.
            let _ = self.store.open_published(&row.key).await;
            return Ok(self
                .store
                .row(&row.key)
                .await
                .map_err(store_failure)?
                .unwrap_or(row));
        }
        Ok(row)
    }

    /// A row as clients see it, with newer values from its job.
    pub(super) fn song(&self, row: &Row, track: Track, approximate_size: Option<u64>) -> Song {
        let status = self.table.status(&row.key);
        let state = status
            .as_ref()
            .map_or_else(|| row.state.shown(), |status| status.state);
        let ready = state == State::Ready && row.state == State::Ready;
        let total = status.as_ref().and_then(Status::total).or(row.total_bytes);
        let received = status.as_ref().map_or(0, Status::received);
        // The names of the file on the drive, else the names in earlier replies.
        let human_name = names::rename(&row.human_name, row.format.ext());
        let canonical_name = if row.key.is_copy() {
            row.canonical_name.clone()
        } else {
            format!("{}.{}", row.key.track(), row.format)
        };
        let cover_name = names::rename(&human_name, "jpg");
        Song {
            key: row.key.clone(),
            state,
            received: if ready {
                row.size_bytes.unwrap_or(0)
            } else {
                received
            },
            total: if ready { row.size_bytes } else { total },
            failure: row
                .failure
                .as_ref()
                .filter(|_| state == State::Failed)
                .cloned(),
            approximate_size: if ready {
                row.size_bytes
            } else {
                total.or(approximate_size)
            },
            cache_path: self.store.cache_path(&row.key, row.format),
            format: row.format,
            file_name: human_name,
            cover_name,
            canonical_name,
            stored: ready.then(|| Stored {
                size_bytes: row.size_bytes.unwrap_or(0),
                sha256: row.sha256.clone().unwrap_or_default(),
                container: row.container.map_or("", Container::as_str),
                codec: row.codec.map_or("", Codec::as_str),
                bitrate_bps: row.bitrate_bps,
                published: row
                    .published_at
                    .map_or(std::time::UNIX_EPOCH, std::time::SystemTime::from),
            }),
            held: None,
            track,
        }
    }

    /// A row with the estimate of its size, which rows do not hold.
    pub(super) fn known_song(&self, row: &Row, track: Track) -> Song {
        // In the row's format: the streams that were chosen from are not kept.
        let approximate_size = formats::estimate(&track, row.format, &self.recipes.current());
        self.song(row, track, approximate_size)
    }
}
