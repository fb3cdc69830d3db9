//! The forms of a song as clients ask for them: which key stands for the requested format, list of formats or tags.
//!
//! Owns that choice, and the row and the place in the queue of a form that must be fetched or made; [`crate::jobs`]
//! makes it. If the site has the song in that form, the form is fetched and not converted from another.

use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Format, Kind, TrackId};

use super::api::{CopyForm, FormAsk, Key, Song, State};
use super::{App, Inner};
use crate::jobs::{formats, names, store_failure};
use crate::store::{Accepted, Rendition, Row};

/// The meaning of a client's request for a form.
enum Wished {
    /// A client asked for this form before.
    Known(Key),
    /// The site has it in this format.
    OfSite(Box<Song>, Format),
    Copy(Box<Song>, CopyForm),
}

impl Wished {
    fn key(&self) -> Key {
        match self {
            Self::Known(key) => key.clone(),
            Self::OfSite(song, format) => Key::original(song.key.track().clone(), *format),
            Self::Copy(song, form) => Key::copy(song.key.track().clone(), *form),
        }
    }
}

impl App {
    /// All forms of a song that clients asked for and did not delete, the oldest first.
    /// # Errors
    /// The catalog cannot be read.
    pub async fn forms(&self, id: &TrackId) -> Result<Vec<Song>, Failure> {
        let Some(track) = self.inner.store.track(id).await.map_err(store_failure)? else {
            return Ok(Vec::new());
        };
        let mut songs = Vec::new();
        for row in self.inner.live_rows(id).await? {
            let row = self.inner.as_it_stands(row).await?;
            songs.push(self.inner.known_song(&row, track.clone()));
        }
        self.inner.note_holds(Some(id), &mut songs).await?;
        Ok(songs)
    }

    /// The key of a form, which is fetched or made unless it was asked for before. `None` for a song that no client
    /// asked for.
    /// # Errors
    /// The catalog failed, or the song is not available in this form.
    pub async fn form(&self, id: &TrackId, ask: &FormAsk) -> Result<Option<Key>, Failure> {
        match self.wished(id, ask).await? {
            Some(Wished::Known(key)) => Ok(Some(key)),
            Some(Wished::OfSite(song, format)) => {
                self.inner.queue_of_site(&song, format).await.map(Some)
            }
            Some(Wished::Copy(song, form)) => self.inner.queue_copy(&song, form).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same key, for requests that only look: nothing is queued.
    /// # Errors
    /// As [`App::form`].
    pub async fn peek_form(&self, id: &TrackId, ask: &FormAsk) -> Result<Option<Key>, Failure> {
        let wished = self.wished(id, ask).await?;
        Ok(wished.map(|wished| wished.key()))
    }

    async fn wished(&self, id: &TrackId, ask: &FormAsk) -> Result<Option<Wished>, Failure> {
        let Some(song) = self.song(id).await? else {
            return Ok(None);
        };
        if song.key.is_copy() {
            return Ok(Some(Wished::Known(song.key)));
        }
        let rows = self.inner.live_rows(id).await?;
        match ask {
            FormAsk::Format(format) => in_format(song, &rows, *format),
            FormAsk::Accept(accept) => first_of(song, &rows, accept),
            FormAsk::Rendition(form) if *form == CopyForm::default() => Ok(Wished::Known(song.key)),
            FormAsk::Rendition(form) => {
                let copy = Rendition::Copy(*form);
                if let Some(row) = rows.iter().find(|row| row.key.rendition() == copy) {
                    return Ok(Some(Wished::Known(row.key.clone())));
                }
                let form = of_the_original(&song, &rows, *form);
                Ok(Wished::Copy(Box::new(song), form))
            }
        }
        .map(Some)
    }
}

/// A tagged copy has the name of the original if that has the format already. A copy with that name may be older, and
/// made from another original.
fn of_the_original(song: &Song, rows: &[Row], form: CopyForm) -> CopyForm {
    let plain = CopyForm {
        format: None,
        ..form
    };
    let copy = Rendition::Copy(plain);
    let is_other = |row: &Row| row.key.rendition() == copy && Some(row.format) != form.format;
    if form.format == Some(song.format) && !rows.iter().any(is_other) {
        plain
    } else {
        form
    }
}

/// The song in this format, without tags.
fn in_format(song: Song, rows: &[Row], format: Format) -> Result<Wished, Failure> {
    if let Some(row) = asked_before(rows, format) {
        return Ok(Wished::Known(row.key.clone()));
    }
    if formats::is_offered(&song.track, format) {
        return Ok(Wished::OfSite(Box::new(song), format));
    }
    let form = CopyForm {
        format: Some(format),
        tagged: false,
    };
    match format {
        // Other programs play the same audio in Ogg.
        Format::WebM => {
            let sentence = "KMDS converts nothing to WebM; ask for opus, which is the same audio";
            Err(Failure::new(Kind::BadRequest, sentence))
        }
        _ => Ok(Wished::Copy(Box::new(song), form)),
    }
}

/// The song in the first of these formats that is in the cache, is on its way, or is the site's own.
fn first_of(song: Song, rows: &[Row], accept: &Accept) -> Result<Wished, Failure> {
    for format in accept.formats().iter().copied() {
        let known = asked_before(rows, format);
        // A ready song may have another format than expected.
        let comes = |row: &&Row| {
            row.format == format && (row.state == State::Ready || row.state.is_pending())
        };
        if let Some(row) = known.filter(comes) {
            return Ok(Wished::Known(row.key.clone()));
        }
        let has_failed = known.is_some_and(|row| row.state == State::Failed);
        if !has_failed && formats::is_offered(&song.track, format) {
            return in_format(song, rows, format);
        }
    }
    let mut made = accept
        .formats()
        .iter()
        .filter(|format| **format != Format::WebM);
    in_format(song, rows, made.next().copied().unwrap_or(Format::WebM))
}

/// The form that a client asked for in this format; else one that arrived in it.
fn asked_before(rows: &[Row], format: Format) -> Option<&Row> {
    let original = Rendition::Original(format);
    let copy = Rendition::Copy(CopyForm {
        format: Some(format),
        tagged: false,
    });
    let arrived =
        |row: &&Row| row.state == State::Ready && row.format == format && !row.key.is_copy();
    let is_kept = |row: &&Row| row.state == State::Ready || row.state.is_pending();
    let named = |rendition| move |row: &&Row| row.key.rendition() == rendition;
    rows.iter()
        .find(named(original))
        .or_else(|| rows.iter().rev().find(arrived))
        .or_else(|| rows.iter().find(named(copy)).filter(is_kept))
}

impl Inner {
    /// The rows of a song that a client did not delete, the oldest first.
    async fn live_rows(&self, id: &TrackId) -> Result<Vec<Row>, Failure> {
        let mut rows = self.store.renditions(id).await.map_err(store_failure)?;
        rows.retain(|row| row.state != State::Deleted);
        Ok(rows)
    }

    async fn queue_of_site(&self, song: &Song, format: Format) -> Result<Key, Failure> {
        let track = song.key.track();
        let estimate = formats::estimate(&song.track, format, &self.recipes.current());
        let accepted = Accepted {
            key: Key::original(track.clone(), format),
            canonical_name: format!("{track}.{format}"),
            approximate_bytes: estimate,
            accept: Accept::new([format]).unwrap_or_else(|| self.accept.clone()),
            ..self.accepted(song, format)
        };
        self.queue_form(accepted).await
    }

    async fn queue_copy(&self, song: &Song, form: CopyForm) -> Result<Key, Failure> {
        let key = Key::copy(song.key.track().clone(), form);
        let format = form.format.unwrap_or(song.format);
        let accepted = Accepted {
            canonical_name: format!("{}.{}.{format}", key.track(), key.slug()),
            key,
            ..self.accepted(song, format)
        };
        let key = self.queue_form(accepted).await?;
        if song.state != State::Ready && self.table.status(&key).is_some() {
            // The job of the copy waits for the original, as a listener does.
            self.move_window(&song.key).await?;
        }
        Ok(key)
    }

    /// A form of a known song in this format; the caller sets its key and its name.
    fn accepted(&self, song: &Song, format: Format) -> Accepted {
        Accepted {
            key: song.key.clone(),
            track: song.track.clone(),
            listed: true,
            canonical_name: String::new(),
            human_name: names::rename(&song.file_name, format.ext()),
            format,
            total_bytes: None,
            approximate_bytes: None,
            accept: self.accept.clone(),
            requester: "0".to_owned(),
            enqueue: true,
        }
    }

    async fn queue_form(&self, accepted: Accepted) -> Result<Key, Failure> {
        let key = accepted.key.clone();
        let _gate = self.gate.read().await;
        let rows = self.store.accept(vec![accepted]).await;
        let rows = rows.map_err(store_failure)?;
        let Some(row) = rows.into_iter().next().map(|done| done.row) else {
            return Ok(key);
        };
        if row.state.is_pending() {
            self.table.add(&row.key, 0, None);
        }
        Ok(row.key)
    }
}
