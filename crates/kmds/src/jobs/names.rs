//! File names for people, safe on every file system.
//!
//! Owns how a title becomes a file name, and which characters FAT, SMB and shells dislike. Files in the cache are not
//! named here: their names are ids.

use std::collections::{HashMap, HashSet};

use kmds_extract::Track;

/// Longest name in bytes of UTF-8, extension included (docs/api.md, "POST /fetch").
const MAX_BYTES: usize = 200;
/// `.webm`, with its dot.
const LONGEST_EXTENSION: usize = 5;

/// `Artist - Title`, or `Title` if the title names the artist already: a name without extension, before it is made
/// unique within a reply.
pub fn stem(track: &Track) -> String {
    let artist = track.artist.as_deref().unwrap_or("").trim();
    let named = artist.is_empty() || names(&track.title.to_lowercase(), &artist.to_lowercase());
    let full = if named {
        track.title.clone()
    } else {
        format!("{artist} - {}", track.title)
    };
    let safe = sanitize(&full);
    if safe.is_empty() {
        track.id.to_string()
    } else {
        safe
    }
}

/// Whether `title` has `artist` in it as words of their own: "Eve" is not in "Everything". Both in lower case. Scripts
/// without letter case write words without blanks, so for them any place counts.
fn names(title: &str, artist: &str) -> bool {
    let inside_a_word = |c: Option<char>| c.is_some_and(|c| c.is_lowercase() || c.is_numeric());
    let joins = |edge: Option<char>, neighbour: Option<char>| {
        inside_a_word(edge) && inside_a_word(neighbour)
    };
    title.match_indices(artist).any(|(at, found)| {
        let (before, after) = (
            title[..at].chars().next_back(),
            title[at + found.len()..].chars().next(),
        );
        !joins(found.chars().next(), before) && !joins(found.chars().next_back(), after)
    })
}

/// `stem.ext`, with the stem cut after a character so that the name fits.
pub fn with_extension(stem: &str, ext: &str) -> String {
    format!("{}.{ext}", cut(stem, MAX_BYTES - ext.len() - 1))
}

/// The same name with the extension of the arrived file.
pub fn rename(human_name: &str, ext: &str) -> String {
    let stem = human_name
        .rsplit_once('.')
        .map_or(human_name, |(stem, _)| stem);
    with_extension(stem, ext)
}

/// Gives the second and third song of one name ` (2)`, ` (3)`; the same song twice keeps its name.
#[derive(Debug, Default)]
pub struct Unique {
    /// By song.
    given: HashMap<String, String>,
    /// Lower case: file systems compare without it.
    taken: HashSet<String>,
    /// The next number to try for a name.
    next: HashMap<String, usize>,
}

impl Unique {
    /// `identity` tells different songs apart.
    pub fn stem(&mut self, stem: &str, identity: &str) -> String {
        if let Some(have) = self.given.get(identity) {
            return have.clone();
        }
        let base = cut(stem, MAX_BYTES - LONGEST_EXTENSION);
        let number = self.next.entry(base.to_lowercase()).or_insert(1);
        let name = loop {
            let mark = if *number == 1 {
                String::new()
            } else {
                format!(" ({number})")
            };
            let name = format!(
                "{}{mark}",
                cut(base, MAX_BYTES - LONGEST_EXTENSION - mark.len())
            );
            *number += 1;
            if self.taken.insert(name.to_lowercase()) {
                break name;
            }
        };
        self.given.insert(identity.to_owned(), name.clone());
        name
    }
}

/// Safe on every file system: no separators, no wildcards, no control or invisible direction characters, no leading
/// dot, no trailing dot or space, no reserved device name. Joiners stay: families of emoji and whole scripts need them.
pub fn sanitize(name: &str) -> String {
    let invisible = |c: &char| matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let replaced: String = name
        .chars()
        .filter(|c| !invisible(c))
        // Unicode's own line ends are not control characters in its tables, but they begin a line.
        .map(|c| {
            if c.is_control() || "/\\:*?\"<>|\u{2028}\u{2029}".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    // Spaces of any script, since a dot after them may hide a file. A joiner at the start has nothing to join.
    let trimmed = replaced.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let trimmed =
        trimmed.trim_start_matches(|c: char| c == '.' || c.is_whitespace() || is_joiner(c));
    let device = trimmed
        .split('.')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_uppercase();
    let reserved = matches!(device.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (device.len() == 4
            && (device.starts_with("COM") || device.starts_with("LPT"))
            && device.ends_with(|c: char| c.is_ascii_digit()));
    let safe = if reserved {
        format!("_{trimmed}")
    } else {
        trimmed.to_owned()
    };
    cut(&safe, MAX_BYTES).to_owned()
}

const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// At most `bytes` bytes, cut at a character; no space or joiner is left at the cut.
fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(|c: char| c == '.' || c.is_whitespace() || is_joiner(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn joiners_stay_where_they_join() {
        for name in ["👩\u{200d}👩\u{200d}👧", "می\u{200c}خواهم", "क्\u{200d}ष"]
        {
            assert_eq!(sanitize(name), name);
        }
        assert_eq!(sanitize("\u{200d}\u{200b} \u{200c}"), "");
        assert_eq!(sanitize("\u{200d}."), "");
        assert_eq!(
            sanitize(&format!("{}abc", "\u{200d}".repeat(65))),
            "abc",
            "a name that is cut begins with what is seen"
        );
        let thin_space_at_the_cut = format!("{}\u{2009}b", "a".repeat(MAX_BYTES - 3));
        assert!(sanitize(&thin_space_at_the_cut).ends_with('a'));
        assert_eq!(
            with_extension(&"👩\u{200d}".repeat(40), "m4a")
                .chars()
                .filter(|c| *c == '👩')
                .count(),
            28
        );
    }

    #[test]
    fn what_file_systems_dislike_is_replaced() {
        for (title, want) in [
            ("AC/DC: Live?", "AC_DC_ Live_"),
            ("..hidden", "hidden"),
            (". .hidden", "hidden"),
            (".\u{a0}.hidden", "hidden"),
            ("a\u{61c}b", "ab"),
            ("trailing. ", "trailing"),
            ("nul.txt", "_nul.txt"),
            ("a\u{202e}b\nc", "ab_c"),
            ("a\u{2028}b\u{2029}c", "a_b_c"),
            (
                "a\u{1b}[31mb\u{9b}c\u{85}d\u{2028}e\u{7f}",
                "a_[31mb_c_d_e_",
            ),
            ("Ünïcödé 日本", "Ünïcödé 日本"),
        ] {
            assert_eq!(sanitize(title), want);
        }
    }

    #[test]
    fn a_title_names_the_artist_by_whole_words() {
        for (title, artist, want) in [
            ("Klaus Veen - Ordinary Days", "klaus veen", true),
            ("Everything", "Eve", false),
            ("Sleep (feat. EVE)", "Eve", true),
            ("Eve's Everything", "Eve", true),
            ("Same", "A", false),
            ("Blink-1821", "Blink-182", false),
            ("!!! - Even When", "!!!", true),
            ("夜に駆ける", "夜", true),
            ("米津玄師mv", "米津玄師", true),
            ("Airport", "Air", false),
            ("Bandage by Band", "Band", true),
        ] {
            assert_eq!(
                names(&title.to_lowercase(), &artist.to_lowercase()),
                want,
                "{artist} in {title}"
            );
        }
    }

    #[test]
    fn different_songs_of_one_name_are_numbered_and_the_same_song_is_not() {
        let mut unique = Unique::default();
        assert_eq!(unique.stem("Intro", "a"), "Intro");
        assert_eq!(unique.stem("intro", "b"), "intro (2)");
        assert_eq!(unique.stem("Intro", "a"), "Intro");
        assert_eq!(unique.stem("Intro", "c"), "Intro (3)");
        // A title that looks like one of our numbers.
        assert_eq!(unique.stem("Intro (2)", "d"), "Intro (2) (2)");
        // Long titles that differ only where names are cut.
        let long = "x".repeat(300);
        assert_ne!(
            unique.stem(&format!("{long}1"), "e"),
            unique.stem(&format!("{long}2"), "f")
        );
    }

    fn song(number: usize, title: &str, artist: &str) -> Track {
        let id = kmds_extract::TrackId::new(kmds_extract::Site::YouTube, &format!("song-{number}"))
            .expect("an id");
        let mut song = Track::new(
            id,
            kmds_extract::Source::YouTube {
                video: String::new(),
            },
            String::new(),
            title.to_owned(),
        );
        song.artist = Some(artist.to_owned());
        song
    }

    /// No part can confuse a file system, a shell or a reader; a second pass changes nothing.
    fn is_safe(name: &str) {
        assert!(!name.is_empty() && name.len() <= MAX_BYTES, "{name:?}");
        assert!(
            !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']),
            "{name:?}"
        );
        let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(
            !name.contains(|c: char| c.is_control()
                || turns(c)
                || matches!(c, '\u{2028}' | '\u{2029}')),
            "{name:?}"
        );
        assert!(
            !name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']),
            "{name:?}"
        );
        let device = name.split('.').next().unwrap_or_default().trim_end();
        assert!(
            !["con", "prn", "aux", "nul", "com1", "lpt9"].contains(&&*device.to_lowercase()),
            "{name:?}"
        );
        assert_eq!(sanitize(name), name);
    }

    /// For any titles, each song has a safe name, and no two songs share one.
    #[test]
    fn fuzz_names() {
        kmds_fuzz::target("names", |input| {
            let text = String::from_utf8_lossy(input);
            let mut lines = text.split('\n');
            let (mut unique, mut given) = (Unique::default(), HashSet::new());
            for number in 0..100 {
                let Some(title) = lines.next() else { break };
                let track = song(number, title, lines.next().unwrap_or(""));
                let stem = stem(&track);
                is_safe(&stem);
                let own = unique.stem(&stem, &track.id.to_string());
                assert_eq!(
                    unique.stem(&stem, &track.id.to_string()),
                    own,
                    "the same song keeps its name"
                );
                for ext in ["m4a", "webm", "jpg"] {
                    let name = with_extension(&own, ext);
                    is_safe(&name);
                    assert!(given.insert(name.to_lowercase()), "{name} twice");
                }
            }
        });
    }

    proptest! {
        #[test]
        fn any_title_becomes_a_safe_name(title in "\\PC{0,400}", ext in "(m4a|mp3|webm)") {
            let name = with_extension(&sanitize(&title), &ext);
            prop_assert!(name.len() <= MAX_BYTES);
            prop_assert!(!name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']));
            prop_assert!(!name.contains(char::is_control));
        }
    }
}
