//! A song of a queue, from the text that a client sent to the row that it asks for.
//!
//! Owns what such a text may be, and which form of a song a queue asks for. Asks no site.

use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Kind, Site, Track, TrackId};

use super::super::Inner;
use super::super::target::Target;
use super::live::SongNote;
use crate::jobs::{Requester, formats, names, store_failure};
use crate::store::{Accepted, Key, Row, SongName, State};

/// What a client sent for a song.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// `site/id`.
    Song(TrackId),
    Link(Box<Target>),
}

impl Entry {
    /// The song, where the text alone tells which it is.
    pub(super) fn track(&self) -> Option<TrackId> {
        match self {
            Self::Song(id) => Some(id.clone()),
            Self::Link(target) => target.song(),
        }
    }

    /// How the catalog may know it.
    pub(super) fn identity(&self) -> SongName {
        match (self.track(), self) {
            (Some(id), _) => SongName::Id(id),
            (None, Self::Link(target)) => SongName::Link(target.key()),
            (None, Self::Song(id)) => SongName::Id(id.clone()),
        }
    }
}

/// A song that can be queued without asking its site.
pub(super) struct KnownSong {
    /// As it stands; `None`: it was not asked for in this form.
    pub(super) row: Option<Row>,
    pub(super) asked: Accepted,
}

impl Inner {
    /// Reads a song of a queue.
    pub(super) fn read_entry(&self, text: &str) -> Result<Entry, Failure> {
        let bad = |sentence: String| Failure::new(Kind::UnsupportedLink, sentence);
        let text = text.trim();
        if let Some((site, id)) = text.split_once('/')
            && Site::parse(site).is_none()
            && let Some(site) = Site::parse(&site.to_ascii_lowercase())
        {
            let site = site.as_str();
            let sentence = format!("the site is written in small letters: {site}/{id}");
            return Err(bad(sentence));
        }
        if let Some((site, id)) = text.split_once('/')
            && let Some(site) = Site::parse(site)
        {
            let id = TrackId::new(site, id).ok_or_else(|| {
                bad(format!(
                    "no song of {site} has this id; send site/id as a reply to a fetch has them, or a link"
                ))
            })?;
            self.resolver.check_site(site)?;
            return Ok(Entry::Song(id));
        }
        let target = self.resolver.read(text, false)?;
        if target.is_list() {
            let sentence = "this is a list; fetch it, and send its songs";
            return Err(bad(sentence.to_owned()));
        }
        Ok(Entry::Link(Box::new(target)))
    }

    /// What a site is asked for a song that the catalog does not know.
    pub(super) fn target_of(&self, entry: &Entry) -> Result<Target, Failure> {
        let id = match entry {
            Entry::Link(target) => return Ok((**target).clone()),
            Entry::Song(id) => id,
        };
        let link = match id.site() {
            Site::YouTube => format!("https://www.youtube.com/watch?v={}", id.id()),
            Site::SoundCloud => format!("https://api.soundcloud.com/tracks/{}", id.id()),
            Site::Bandcamp => format!("https://bandcamp.com/EmbeddedPlayer/track={}", id.id()),
            Site::Other => {
                let sentence = "this song was never asked for; send its link";
                return Err(Failure::new(Kind::NotFound, sentence));
            }
        };
        let target = self.resolver.read(&link, false)?;
        if target.song().as_ref() == Some(id) {
            return Ok(target);
        }
        let sentence = format!("no song of {} can have this id", id.site());
        Err(Failure::new(Kind::NotFound, sentence))
    }

    /// The song if the catalog knows it, and what to ask for it in the form that the queue's client plays.
    pub(super) async fn known_entry(
        &self,
        entry: &Entry,
        seen: &SongNote,
        accept: Option<&Accept>,
        requester: Requester,
    ) -> Result<Option<KnownSong>, Failure> {
        let id = match (&seen.key, entry) {
            (Some(key), _) => Some(key.track().clone()),
            (None, Entry::Song(id)) => Some(id.clone()),
            (None, Entry::Link(target)) => self.resolver.song_of(target).await,
        };
        let Some(id) = id else {
            return Ok(None);
        };
        let Some(track) = self.store.track(&id).await.map_err(store_failure)? else {
            return Ok(None);
        };
        let rows = self.store.renditions(&id).await.map_err(store_failure)?;
        let row = match &seen.key {
            Some(key) => rows.into_iter().find(|row| row.key == *key),
            None => asked_before(rows, accept),
        };
        let asked = match &row {
            Some(row) => asked_again(row, track, requester),
            None => self.asked_first(track, accept, requester),
        };
        Ok(Some(KnownSong { row, asked }))
    }

    /// A song that was not asked for in a form that this client plays.
    fn asked_first(&self, track: Track, accept: Option<&Accept>, requester: Requester) -> Accepted {
        let accept = accept.unwrap_or(&self.accept).clone();
        let expected = formats::expected(&track, &accept, self.opus, &self.recipes.current());
        let format = expected.format;
        Accepted {
            key: Key::original(track.id.clone(), format),
            canonical_name: format!("{}.{format}", track.id),
            human_name: names::with_extension(&names::stem(&track), format.ext()),
            track,
            listed: true,
            format,
            total_bytes: None,
            approximate_bytes: expected.approximate_size,
            accept,
            requester: requester.to_string(),
            enqueue: true,
        }
    }
}

/// The row of a song that a client with the same wishes asked for before; without wishes the one that was asked for
/// last.
fn asked_before(rows: Vec<Row>, accept: Option<&Accept>) -> Option<Row> {
    let mut live = rows
        .into_iter()
        .rev()
        .filter(|row| row.state != State::Deleted && !row.key.is_copy());
    match accept {
        None => live.next(),
        Some(accept) => {
            let same: Vec<Row> = live.filter(|row| row.accept == *accept).collect();
            let ready = same.iter().position(|row| row.state == State::Ready);
            same.into_iter().nth(ready.unwrap_or(0))
        }
    }
}

fn asked_again(row: &Row, track: Track, requester: Requester) -> Accepted {
    Accepted {
        key: row.key.clone(),
        track,
        listed: true,
        canonical_name: row.canonical_name.clone(),
        human_name: row.human_name.clone(),
        format: row.key.form().unwrap_or(row.format),
        total_bytes: None,
        approximate_bytes: row.size_bytes.or(row.total_bytes),
        accept: row.accept.clone(),
        requester: requester.to_string(),
        enqueue: true,
    }
}
