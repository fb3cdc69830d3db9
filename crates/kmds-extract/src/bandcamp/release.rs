//! A release from any of Bandcamp's three interfaces, and the track or collection made from it.
//!
//! Owns the shape for the page, the mobile answer and the embedded player, which songs are available, and the tracks
//! and collections made from them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::naming::{Credit, Naming, credit};
use super::stream::Files;
use super::{date, stream};
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::{BandcampLink, Link};
use crate::recipes::BandcampRecipe;
use crate::site::Site;
use crate::track::{
    BandcampSource, Collection, Entry, Refreshed, Resolved, Source, Track, TrackId, Unavailable,
};

/// What a release is made of, in the site's words. Everything optional is shown when it is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Release {
    pub is_album: bool,
    pub id: u64,
    pub title: Option<String>,
    pub artist: Option<String>,
    /// The album that a lone track belongs to.
    pub album: Option<String>,
    pub art_id: Option<u64>,
    /// `YYYY-MM-DD`.
    pub date: Option<String>,
    pub preorder: bool,
    pub members_only: bool,
    pub band_id: Option<u64>,
    /// Where people and we find it again.
    pub link: BandcampLink,
    /// A lone track's title without artist, where the page says it.
    pub bare_title: Option<String>,
    pub songs: Vec<Song>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Song {
    pub id: Option<u64>,
    pub title: Option<String>,
    pub artist: Option<String>,
    pub number: Option<u32>,
    pub duration: Option<Duration>,
    pub files: Files,
    pub unreleased: bool,
    pub preorder: bool,
    /// `/track/slug`, or a whole link.
    pub page: Option<String>,
    /// Its own cover.
    pub art_id: Option<u64>,
}

/// What reading needs beside the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageContext<'a> {
    pub recipe: &'a BandcampRecipe,
    pub now_unix: u64,
    /// Name of the page in errors.
    pub page: &'static str,
}

/// No album has more songs: a greater number of a lone track is none.
const MOST_SONGS: u32 = 9_999;

/// Lengths beyond a week are nonsense.
const LONGEST_SECONDS: f64 = 7.0 * 86_400.0;

/// Seconds as Bandcamp writes them; 0.0 means that there is no audio.
pub(super) fn duration(seconds: Option<f64>) -> Option<Duration> {
    seconds
        .filter(|seconds| *seconds > 0.0 && *seconds < LONGEST_SECONDS)
        .map(Duration::from_secs_f64)
}

impl Release {
    /// An album's songs by the site's numbers where these count them all, each once; else by their places. Some albums
    /// give every song the same number, or begin without one, or start again with each disc.
    pub(super) fn counted(mut self) -> Self {
        let most = if self.is_album {
            u32::try_from(self.songs.len()).unwrap_or(u32::MAX)
        } else {
            MOST_SONGS
        };
        let mut seen = BTreeSet::new();
        let counts = |song: &Song| {
            song.number
                .is_some_and(|number| (1..=most).contains(&number) && seen.insert(number))
        };
        if !self.is_album {
            self.songs.iter_mut().for_each(|song| {
                song.number = song.number.filter(|number| (1..=most).contains(number))
            });
        } else if !self.songs.iter().all(counts) {
            (1..)
                .zip(&mut self.songs)
                .for_each(|(place, song)| song.number = Some(place));
        }
        self
    }

    /// The track, or the album with every song in its place.
    /// # Errors
    /// A final refusal for a lone track that cannot be played and for an album that hides all its songs; `page_changed`
    /// when a lone track has no id or no usable stream.
    pub(super) fn resolved(&self, reading: PageContext<'_>) -> Result<Resolved, ExtractError> {
        if self.members_only {
            return Err(self.refused(Kind::MembersOnly, self.title.clone(), reading));
        }
        if self.is_album {
            return self.collection(reading).map(Resolved::Collection);
        }
        let at = self
            .songs
            .iter()
            .position(|song| song.id == Some(self.id))
            .unwrap_or(0);
        self.track(at, reading)
            .map(|track| Resolved::Track(Box::new(track)))
    }

    /// The song with this id, and the others that can be played.
    /// # Errors
    /// `not_found` if the release has it no longer, else as for a lone track.
    pub(super) fn with_neighbours(
        &self,
        track_id: u64,
        reading: PageContext<'_>,
    ) -> Result<Refreshed, ExtractError> {
        if self.members_only {
            return Err(self.refused(Kind::MembersOnly, self.title.clone(), reading));
        }
        let is_it = |song: &Song| song.id == Some(track_id);
        match self.songs.iter().position(is_it) {
            Some(at) => {
                let track = self.track(at, reading)?;
                let others = self
                    .songs
                    .iter()
                    .enumerate()
                    .filter(|(_, song)| !is_it(song));
                Ok(Refreshed {
                    track,
                    beside: others
                        .filter_map(|(at, _)| self.track(at, reading).ok())
                        .collect(),
                })
            }
            None if self.songs.is_empty() => Err(self.locked(None, reading)),
            None => Err(super::answer::not_found()),
        }
    }

    fn collection(&self, reading: PageContext<'_>) -> Result<Collection, ExtractError> {
        if self.songs.is_empty() {
            return Err(self.locked(None, reading));
        }
        let entries = self
            .songs
            .iter()
            .enumerate()
            .map(|(at, song)| match self.track(at, reading) {
                Ok(track) => Entry::Track(Box::new(track)),
                Err(error) => Entry::Unavailable(Unavailable {
                    title: Some(self.credit(at, song, reading).title),
                    number: self.place(at, song),
                    error,
                }),
            })
            .collect();
        Ok(Collection {
            id: self.id.to_string(),
            site: Site::Bandcamp,
            link: self.link.canonical(),
            title: self.title.clone(),
            artist: self.artist.clone(),
            cover_url: self.cover(None, reading.recipe),
            entries,
            truncated: false,
            endless: false,
            rest: None,
        })
    }

    fn track(&self, at: usize, reading: PageContext<'_>) -> Result<Track, ExtractError> {
        let Some(song) = self.songs.get(at) else {
            return Err(self.locked(None, reading));
        };
        let changed = |field| ExtractError::PageChanged {
            site: Site::Bandcamp,
            page: reading.page,
            field,
        };
        let id = song.id.ok_or(changed("track_id"))?;
        if song.files.0.is_empty() {
            return Err(self.locked(Some((at, song)), reading));
        }
        let stream = stream::offered(
            &song.files,
            id,
            song.duration,
            reading.now_unix,
            reading.recipe,
        )
        .ok_or(changed("file"))?;
        let Credit { title, artist } = self.credit(at, song, reading);
        Ok(Track {
            id: TrackId::new(Site::Bandcamp, &id.to_string()).ok_or(changed("track_id"))?,
            source: Source::Bandcamp(BandcampSource {
                page: self.source_page(),
                track_id: id,
                band_id: self.band_id,
            }),
            link: self.song_link(song, id),
            title,
            artist,
            album: if self.is_album {
                self.title.clone()
            } else {
                self.album.clone()
            },
            album_artist: self
                .artist
                .clone()
                .filter(|_| self.is_album || self.album.is_some()),
            number: if self.is_album {
                Some(self.place(at, song))
            } else {
                song.number
            },
            total: self
                .is_album
                .then(|| u32::try_from(self.songs.len()).unwrap_or(u32::MAX)),
            duration: song.duration,
            cover_url: self.cover(song.art_id, reading.recipe),
            date: self.date.clone(),
            streams: vec![stream],
            loudness_db: None,
            offered: None,
            withheld: None,
        })
    }

    fn credit(&self, at: usize, song: &Song, reading: PageContext<'_>) -> Credit {
        let own = if self.is_album {
            None
        } else {
            self.title.as_deref()
        };
        let nameless = format!("Track {}", self.place(at, song));
        let naming = Naming {
            title: song.title.as_deref().or(own).unwrap_or(&nameless),
            song_artist: song.artist.as_deref(),
            release_artist: self.artist.as_deref(),
            alone: !self.is_album,
            bare_title: self.bare_title.as_deref(),
        };
        credit(naming, reading.recipe)
    }

    /// 1-based; every song of an album has a number.
    fn place(&self, at: usize, song: &Song) -> u32 {
        song.number
            .unwrap_or_else(|| u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1))
    }

    fn cover(&self, own: Option<u64>, recipe: &BandcampRecipe) -> Option<String> {
        let id = own.or(self.art_id)?;
        Some(format!(
            "{}/a{id:010}_{}.jpg",
            recipe.cover_base, recipe.cover_size
        ))
    }

    /// The page that holds the song's stream; none for what was reached by its id alone.
    fn source_page(&self) -> Option<String> {
        matches!(
            self.link,
            BandcampLink::Track { .. } | BandcampLink::Album { .. }
        )
        .then(|| self.link.canonical())
    }

    fn song_link(&self, song: &Song, id: u64) -> String {
        let (BandcampLink::Album { band, .. } | BandcampLink::Track { band, .. }) = &self.link
        else {
            return BandcampLink::TrackById { id }.canonical();
        };
        if !self.is_album {
            return self.link.canonical();
        }
        let page = song
            .page
            .as_deref()
            .map(|page| match page.strip_prefix('/') {
                Some(path) => format!("https://{band}.bandcamp.com/{path}"),
                None => page.to_owned(),
            });
        match page.as_deref().map(Link::parse) {
            Some(Ok(link @ Link::Bandcamp(BandcampLink::Track { .. }))) => link.canonical(),
            _ => BandcampLink::TrackById { id }.canonical(),
        }
    }

    /// Why a song, or the whole release, has no audio (field notes, 14).
    fn locked(&self, song: Option<(usize, &Song)>, reading: PageContext<'_>) -> ExtractError {
        let title = match song {
            Some((at, song)) => Some(self.credit(at, song, reading).title),
            None => self.title.clone(),
        };
        let all_locked = self.songs.iter().all(|song| song.files.0.is_empty());
        let announced = song.is_some_and(|(_, song)| {
            song.unreleased || ((song.preorder || self.preorder) && song.page.is_none())
        });
        let nothing_yet =
            all_locked && (self.is_future(reading) || (self.songs.is_empty() && self.preorder));
        let kind = if announced || nothing_yet {
            Kind::Unreleased
        } else {
            Kind::PaidOnly
        };
        self.refused(kind, title, reading)
    }

    fn refused(&self, kind: Kind, title: Option<String>, reading: PageContext<'_>) -> ExtractError {
        let reason = match (kind, &self.date) {
            (Kind::MembersOnly, _) => "only the band's subscribers can listen to this".to_owned(),
            (Kind::Unreleased, Some(day)) if self.is_future(reading) => {
                format!("it will be released on {day}")
            }
            (Kind::Unreleased, _) => "it is not released yet".to_owned(),
            _ => "it can only be played after buying it".to_owned(),
        };
        ExtractError::Refused {
            site: Site::Bandcamp,
            kind,
            reason,
            title,
        }
    }

    fn is_future(&self, reading: PageContext<'_>) -> bool {
        self.date.as_ref().is_some_and(|day| {
            date::day_of_unix(reading.now_unix).is_some_and(|today| *day > today)
        })
    }
}
