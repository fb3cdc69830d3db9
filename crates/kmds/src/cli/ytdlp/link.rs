//! Reads an argument as a link.
//!
//! Owns how yt-dlp reads it: a bare video id, `ytsearch:` for one result, words if `--default-search` allows them.
//! Pure.

use kmds_extract::link::SearchLink;
use kmds_extract::search::MOST_RESULTS;
use kmds_extract::{Kind, Link};

use super::song::Trouble;

const PREFIXES: [&str; 4] = ["ytsearch", "ytmsearch", "scsearch", "bcsearch"];

/// A link as KMDS reads it, and whether there will be fewer results than requested.
pub struct Meant {
    pub link: String,
    pub is_cut: bool,
}

/// Reads an argument.
/// # Errors
/// The argument is not a link, and words are not searched.
pub fn read(word: &str, default_search: Option<&str>) -> Result<Meant, Trouble> {
    let word = word.trim();
    if let Some(meant) = search(word) {
        return Ok(meant);
    }
    let as_it_is = |link: &str| {
        Ok(Meant {
            link: link.to_owned(),
            is_cut: false,
        })
    };
    if word.contains("://") || Link::parse(word).is_ok() || SearchLink::parse(word).is_some() {
        return as_it_is(word);
    }
    let is_id = word.len() == 11
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_id {
        return as_it_is(&format!("https://www.youtube.com/watch?v={word}"));
    }
    let prefix = match default_search {
        Some("auto" | "auto_warning") => "ytsearch1",
        None | Some("error" | "fixup_error") => return Err(no_link(word)),
        Some(prefix) => prefix.trim_end_matches(':'),
    };
    search(&format!("{prefix}:{word}")).ok_or_else(|| {
        Trouble::new(
            Kind::UnsupportedLink,
            format!(
                "--default-search {prefix} is not known; use {}",
                PREFIXES.join(", ")
            ),
        )
    })
}

fn no_link(word: &str) -> Trouble {
    Trouble::new(
        Kind::BadRequest,
        format!(
            "[generic] '{word}' is not a valid URL. Set --default-search \"ytsearch\" (or run  yt-dlp \"ytsearch:{word}\" ) to search YouTube"
        ),
    )
}

/// `ytsearch:` and `ytsearch5:`, always as a list.
fn search(text: &str) -> Option<Meant> {
    let (head, words) = text.split_once(':')?;
    let letters = head.trim_end_matches(|c: char| c.is_ascii_digit());
    let (bare, all) = match letters.strip_suffix("all") {
        Some(bare) => (bare, true),
        None => (letters, false),
    };
    let prefix = PREFIXES
        .into_iter()
        .find(|prefix| bare.eq_ignore_ascii_case(prefix))?;
    let wanted: usize = match head.get(letters.len()..).unwrap_or_default() {
        _ if all => MOST_RESULTS,
        "" => 1,
        digits => digits.parse().unwrap_or(usize::MAX),
    };
    let count = wanted.min(MOST_RESULTS);
    Some(Meant {
        link: format!("{prefix}{count}:{words}"),
        is_cut: wanted > count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ids_and_searches_are_read_as_yt_dlp_reads_them() {
        for (word, default, link) in [
            (
                "https://youtu.be/dQw4w9WgXcQ",
                None,
                "https://youtu.be/dQw4w9WgXcQ",
            ),
            (
                "dQw4w9WgXcQ",
                None,
                "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
            ),
            ("ytsearch:a b", None, "ytsearch1:a b"),
            ("ytsearch5:a", None, "ytsearch5:a"),
            ("ytsearchall:a", None, "ytsearch25:a"),
            ("scsearch99:a", None, "scsearch25:a"),
            ("a song", Some("ytsearch"), "ytsearch1:a song"),
            ("a song", Some("ytsearch5:"), "ytsearch5:a song"),
            ("a song", Some("auto"), "ytsearch1:a song"),
            ("youtu.be/dQw4w9WgXcQ", Some("auto"), "youtu.be/dQw4w9WgXcQ"),
        ] {
            let meant = read(word, default).map_err(|trouble| trouble.sentence);
            assert_eq!(meant.map(|meant| meant.link).as_deref(), Ok(link), "{word}");
        }
        for (word, default) in [
            ("a song", None),
            ("a song", Some("error")),
            ("a song", Some("gvsearch")),
        ] {
            assert!(read(word, default).is_err(), "{word} {default:?}");
        }
    }
}
