//! Names for people: of files, safe on every file system.
//!
//! Owns how a title becomes a file name. Hides what FAT, SMB and shells dislike. Never names a file on our own drive:
//! those are ids.

use std::collections::HashMap;

use kmds_extract::Track;

/// Longest name in bytes of UTF-8, extension included (`api.md` 1).
const MAX_BYTES: usize = 200;

/// `Artist - Title`, or `Title` where the title names the artist already: a name without extension, before it is made
/// unique within a reply.
pub fn stem(track: &Track) -> String {
    let artist = track.artist.as_deref().unwrap_or("").trim();
    let named = artist.is_empty() || track.title.to_lowercase().contains(&artist.to_lowercase());
    let full = if named { track.title.clone() } else { format!("{artist} - {}", track.title) };
    let safe = sanitize(&full);
    if safe.is_empty() { track.id.to_string() } else { safe }
}

/// `stem.ext`, the stem cut at a character so that all fits.
pub fn with_extension(stem: &str, ext: &str) -> String {
    format!("{}.{ext}", cut(stem, MAX_BYTES - ext.len() - 1))
}

/// Gives the second and third song of one name ` (2)`, ` (3)`; the same song twice keeps its name.
#[derive(Debug, Default)]
pub struct Unique {
    seen: HashMap<String, Vec<String>>,
}

impl Unique {
    /// `identity` tells different songs apart; names are compared without case, as file systems do.
    pub fn stem(&mut self, stem: String, identity: &str) -> String {
        let songs = self.seen.entry(stem.to_lowercase()).or_default();
        let place = songs.iter().position(|have| have == identity).unwrap_or_else(|| {
            songs.push(identity.to_owned());
            songs.len() - 1
        });
        if place == 0 {
            return stem;
        }
        let mark = format!(" ({})", place + 1);
        // Room for the longest extension we have: `.webm`.
        format!("{}{mark}", cut(&stem, MAX_BYTES - mark.len() - 5))
    }
}

/// Safe on every file system: no separators, no wildcards, no control or invisible direction characters, no leading
/// dot, no trailing dot or space, no reserved device name.
pub fn sanitize(name: &str) -> String {
    let replaced: String = name
        .chars()
        .filter(
            |c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'),
        )
        .map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c })
        .collect();
    let trimmed = replaced.trim().trim_start_matches('.').trim_end_matches(['.', ' ']).trim_start();
    let device = trimmed.split('.').next().unwrap_or_default().trim().to_ascii_uppercase();
    let reserved = matches!(device.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (device.len() == 4
            && (device.starts_with("COM") || device.starts_with("LPT"))
            && device.ends_with(|c: char| c.is_ascii_digit()));
    let safe = if reserved { format!("_{trimmed}") } else { trimmed.to_owned() };
    cut(&safe, MAX_BYTES).to_owned()
}

/// At most `bytes` bytes, cut at a character; no space is left at the cut.
fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches([' ', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_file_systems_dislike_is_replaced() {
        for (title, want) in [
            ("AC/DC: Live?", "AC_DC_ Live_"),
            ("..hidden", "hidden"),
            ("trailing. ", "trailing"),
            ("nul.txt", "_nul.txt"),
            ("a\u{202e}b\nc", "ab_c"),
            ("Ünïcödé 日本", "Ünïcödé 日本"),
        ] {
            assert_eq!(sanitize(title), want);
        }
    }

    #[test]
    fn different_songs_of_one_name_are_numbered_and_the_same_song_is_not() {
        let mut unique = Unique::default();
        assert_eq!(unique.stem("Intro".to_owned(), "a"), "Intro");
        assert_eq!(unique.stem("intro".to_owned(), "b"), "intro (2)");
        assert_eq!(unique.stem("Intro".to_owned(), "a"), "Intro");
        assert_eq!(unique.stem("Intro".to_owned(), "c"), "Intro (3)");
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
