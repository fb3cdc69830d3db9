//! What a link led to: the songs that can be had, and the places of those that cannot. Pure.

use kmds_extract::{Collection, Entry, Failure, Kind, Resolved, Site, Track};

use super::api::{ListFacts, Missing};

/// What a link led to, before its songs are rows.
pub(super) struct Contents<'a> {
    pub(super) id: String,
    pub(super) site: Site,
    pub(super) link: String,
    /// The requested link, in its canonical form.
    pub(super) asked: String,
    pub(super) list: Option<ListFacts>,
    /// Held once, by all requests for the same list.
    pub(super) tracks: Vec<&'a Track>,
    pub(super) unavailable: Vec<Missing>,
    pub(super) truncated: bool,
}

impl<'a> Contents<'a> {
    /// `asked` is the link in its one form.
    pub(super) fn of(resolved: &'a Resolved, asked: String) -> Self {
        match resolved {
            Resolved::Track(track) => Self {
                id: track.id.id().to_owned(),
                site: track.id.site(),
                link: track.link.clone(),
                asked,
                list: None,
                tracks: vec![track],
                unavailable: Vec::new(),
                truncated: false,
            },
            Resolved::Collection(list) => Self::of_list(list, asked),
        }
    }

    fn of_list(list: &'a Collection, asked: String) -> Self {
        let mut tracks = Vec::new();
        let mut unavailable = Vec::new();
        for entry in &list.entries {
            match entry {
                Entry::Track(track) => tracks.push(&**track),
                Entry::Unavailable(missing) => unavailable.push(Missing {
                    title: missing
                        .title
                        .clone()
                        .or_else(|| missing.error.title().map(str::to_owned)),
                    number: missing.number,
                    failure: Failure::from(&missing.error),
                }),
            }
        }
        Self {
            id: list.id.clone(),
            site: list.site,
            link: list.link.clone(),
            asked,
            list: Some(ListFacts {
                title: list.title.clone(),
                artist: list.artist.clone(),
                cover_url: list.cover_url.clone(),
                total: list.entries.len(),
            }),
            tracks,
            unavailable,
            truncated: list.truncated,
        }
    }

    /// No song of a list is available: the first reason that is not "gone", else 404; an empty list is 404 too
    /// (docs/api.md, "POST /fetch").
    pub(super) fn no_song(&self) -> Failure {
        let telling = self
            .unavailable
            .iter()
            .find(|missing| missing.failure.kind != Kind::NotFound);
        let first = telling.or(self.unavailable.first());
        match first {
            Some(missing) => {
                let sentence = format!(
                    "no song of the list is available: {}",
                    missing.failure.sentence
                );
                Failure {
                    retry_after: missing.failure.retry_after,
                    ..Failure::new(missing.failure.kind, sentence)
                }
            }
            None => Failure::new(Kind::NotFound, "the list is empty"),
        }
    }
}

/// The part of a track that the catalog and replies have: stream URLs expire and are long.
pub(super) fn without_streams(track: &Track) -> Track {
    let Track {
        id,
        source,
        link,
        title,
        artist,
        album,
        ..
    } = track;
    Track {
        artist: artist.clone(),
        album: album.clone(),
        album_artist: track.album_artist.clone(),
        number: track.number,
        total: track.total,
        duration: track.duration,
        cover_url: track.cover_url.clone(),
        date: track.date.clone(),
        loudness_db: track.loudness_db,
        offered: track.offered.clone(),
        withheld: track.withheld.clone(),
        ..Track::new(id.clone(), source.clone(), link.clone(), title.clone())
    }
}
