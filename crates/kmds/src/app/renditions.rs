//! Copies as clients ask for them: which rendition a wish for a format or for tags comes down to.
//!
//! Owns that choice, and the row and the place in the queue of a copy that has to be made; [`crate::jobs`] makes it.

use kmds_extract::{Failure, TrackId};

use super::api::{CopyForm, Key, Song, State};
use super::{App, Inner};
use crate::jobs::{names, store_failure};
use crate::store::{Accepted, Row};

/// What a client's request comes down to.
enum Wished {
    /// Something the site gave.
    Original(Key),
    Copy(Box<Song>, CopyForm),
}

impl App {
    /// The key of a copy; queues its making unless it is made already, or the site sent the song like that. `None` for a
    /// song that was never asked for.
    /// # Errors
    /// The catalog failed.
    pub async fn rendition(&self, id: &TrackId, form: CopyForm) -> Result<Option<Key>, Failure> {
        match self.wished(id, form).await? {
            Some(Wished::Copy(song, form)) => self.inner.queue_copy(&song, form).await.map(Some),
            Some(Wished::Original(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    /// The same key, for those who only look: nothing is queued.
    /// # Errors
    /// As [`App::rendition`].
    pub async fn peek_rendition(
        &self,
        id: &TrackId,
        form: CopyForm,
    ) -> Result<Option<Key>, Failure> {
        Ok(self.wished(id, form).await?.map(|wished| match wished {
            Wished::Copy(song, form) => Key::copy(song.key.track().clone(), form),
            Wished::Original(key) => key,
        }))
    }

    async fn wished(&self, id: &TrackId, mut form: CopyForm) -> Result<Option<Wished>, Failure> {
        let Some(song) = self.song(id).await? else {
            return Ok(None);
        };
        if song.key.is_copy() {
            return Ok(Some(Wished::Original(song.key)));
        }
        if let Some(format) = form.format.filter(|_| !form.tagged) {
            // Asked of the site in this format before: it need not be made.
            let rows = self.inner.store.renditions(id).await;
            let rows = rows.map_err(store_failure)?;
            let fits = |row: &&Row| {
                !row.key.is_copy() && row.format == format && row.state != State::Deleted
            };
            if let Some(row) = rows.iter().rev().find(fits) {
                return Ok(Some(Wished::Original(row.key.clone())));
            }
        }
        // Where the site sent it in this format already, no encoder runs.
        form.format = form.format.filter(|format| *format != song.format);
        Ok(Some(if form == CopyForm::default() {
            Wished::Original(song.key)
        } else {
            Wished::Copy(Box::new(song), form)
        }))
    }
}

impl Inner {
    async fn queue_copy(&self, song: &Song, form: CopyForm) -> Result<Key, Failure> {
        let key = Key::copy(song.key.track().clone(), form);
        let format = form.format.unwrap_or(song.format);
        let accepted = Accepted {
            key: key.clone(),
            track: song.track.clone(),
            listed: true,
            canonical_name: format!("{}.{}.{format}", key.track(), key.slug()),
            human_name: names::rename(&song.file_name, format.ext()),
            format,
            total_bytes: None,
            approximate_bytes: None,
            accept: self.accept.clone(),
            requester: "0".to_owned(),
            enqueue: true,
        };
        let rows = self.store.accept(vec![accepted]).await;
        let rows = rows.map_err(store_failure)?;
        if rows.iter().any(|done| done.row.state.is_pending()) {
            self.table.add(&key, 0, None);
            if song.state != State::Ready {
                // Its job waits for the original, as a listener does.
                self.move_window(&song.key).await?;
            }
        }
        Ok(key)
    }
}
