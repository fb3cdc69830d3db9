//! The artist and the title of a song.
//!
//! Owns the rules by which Bandcamp writes an artist into a title (field notes, 6). It does not guess: a " - " that no
//! rule explains stays in the title.

use crate::recipes::BandcampRecipe;

/// Title and artist as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credit {
    pub title: String,
    pub artist: Option<String>,
}

/// What a page says about a song, for [`credit`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming<'a> {
    pub title: &'a str,
    pub song_artist: Option<&'a str>,
    pub release_artist: Option<&'a str>,
    /// The song's own page or answer, in which the release's artist is the song's.
    pub alone: bool,
    /// The title without an artist, if the page has it (`ld+json`).
    pub bare_title: Option<&'a str>,
}

const BETWEEN: &str = " - ";

pub(super) fn credit(naming: Naming<'_>, recipe: &BandcampRecipe) -> Credit {
    let Naming {
        title,
        song_artist,
        release_artist,
        alone,
        bare_title,
    } = naming;
    if let Some(artist) = song_artist {
        return Credit {
            title: without_prefix(title, artist).unwrap_or(title).to_owned(),
            artist: Some(artist.to_owned()),
        };
    }
    if release_artist.is_some_and(|artist| is_various(artist, recipe))
        && let Some((artist, rest)) = only_split(title)
    {
        return Credit {
            title: rest.to_owned(),
            artist: Some(artist.to_owned()),
        };
    }
    let bare = release_artist
        .filter(|_| alone)
        .and_then(|artist| without_prefix(title, artist))
        .filter(|rest| bare_title.is_none_or(|bare| bare == *rest));
    Credit {
        title: bare.unwrap_or(title).to_owned(),
        artist: release_artist.map(str::to_owned),
    }
}

/// The title after exactly `{artist} - `; `None` when it does not start so, or nothing would be left.
fn without_prefix<'a>(title: &'a str, artist: &str) -> Option<&'a str> {
    title
        .strip_prefix(artist)?
        .strip_prefix(BETWEEN)
        .filter(|rest| !rest.trim().is_empty())
}

/// Both sides of the one " - " of a title; `None` when there are several, or a side is empty.
fn only_split(title: &str) -> Option<(&str, &str)> {
    let (artist, rest) = title.split_once(BETWEEN)?;
    let (artist, rest) = (artist.trim(), rest.trim());
    (!artist.is_empty() && !rest.is_empty() && title.matches(BETWEEN).count() == 1)
        .then_some((artist, rest))
}

/// Short words must match to the letter: there may be a band "Va".
fn is_various(artist: &str, recipe: &BandcampRecipe) -> bool {
    let artist = artist.trim();
    recipe
        .various_artists
        .iter()
        .any(|name| name == artist || (name.len() > 3 && name.eq_ignore_ascii_case(artist)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes::Recipes;

    fn shown(
        title: &str,
        song_artist: Option<&str>,
        release_artist: &str,
        alone: bool,
        bare: Option<&str>,
    ) -> (String, String) {
        let naming = Naming {
            title,
            song_artist,
            release_artist: Some(release_artist),
            alone,
            bare_title: bare,
        };
        let credit = credit(naming, &Recipes::built_in().bandcamp);
        (credit.title, credit.artist.unwrap_or_default())
    }

    #[test]
    fn artists_are_taken_out_of_titles_only_where_a_rule_says_so() {
        let rows = [
            // A song's own artist stands before its title.
            (
                "Ann - Sea",
                Some("Ann"),
                "Label",
                false,
                None,
                ("Sea", "Ann"),
            ),
            (
                "Ann - Sea - Live",
                Some("Ann"),
                "Label",
                false,
                None,
                ("Sea - Live", "Ann"),
            ),
            ("Sea", Some("Ann"), "Label", false, None, ("Sea", "Ann")),
            (
                "Anna - Sea",
                Some("Ann"),
                "Label",
                false,
                None,
                ("Anna - Sea", "Ann"),
            ),
            (
                "Ann - ",
                Some("Ann"),
                "Label",
                false,
                None,
                ("Ann - ", "Ann"),
            ),
            // Without an own artist it has the release's, and the title stays.
            (
                "Ann - Sea",
                None,
                "Band",
                false,
                None,
                ("Ann - Sea", "Band"),
            ),
            (
                "Band - Sea",
                None,
                "Band",
                false,
                None,
                ("Band - Sea", "Band"),
            ),
            // Compilations, only by name and only when there is one way to split.
            (
                "Ann - Sea",
                None,
                "Various Artists",
                false,
                None,
                ("Sea", "Ann"),
            ),
            (
                "Ann - Sea",
                None,
                "various artists",
                false,
                None,
                ("Sea", "Ann"),
            ),
            ("Ann - Sea", None, "Various", false, None, ("Sea", "Ann")),
            ("Ann - Sea", None, "V/A", false, None, ("Sea", "Ann")),
            ("Ann - Sea", None, "VA", false, None, ("Sea", "Ann")),
            ("Ann - Sea", None, "Va", false, None, ("Ann - Sea", "Va")),
            (
                "Ann - Sea - Live",
                None,
                "Various Artists",
                false,
                None,
                ("Ann - Sea - Live", "Various Artists"),
            ),
            (
                "Ann-Sea",
                None,
                "Various Artists",
                false,
                None,
                ("Ann-Sea", "Various Artists"),
            ),
            (
                " - Sea",
                None,
                "Various Artists",
                false,
                None,
                (" - Sea", "Various Artists"),
            ),
            // On its own page the artist is the song's and the title still has it.
            ("Ann - Sea", None, "Ann", true, Some("Sea"), ("Sea", "Ann")),
            ("Ann - Sea", None, "Ann", true, None, ("Sea", "Ann")),
            (
                "Ann - Sea",
                None,
                "Ann",
                true,
                Some("Ann - Sea"),
                ("Ann - Sea", "Ann"),
            ),
            ("Bob - Sea", None, "Ann", true, None, ("Bob - Sea", "Ann")),
        ];
        for (title, song_artist, release_artist, alone, bare, (want_title, want_artist)) in rows {
            let got = shown(title, song_artist, release_artist, alone, bare);
            assert_eq!(
                got,
                (want_title.to_owned(), want_artist.to_owned()),
                "{title} by {song_artist:?} on {release_artist}"
            );
        }
    }
}
