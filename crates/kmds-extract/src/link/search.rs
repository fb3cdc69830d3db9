//! Links that are searches: `ytsearch:a song`, `scsearch5:a song`.
//!
//! Owns their prefixes and the number between prefix and words. Other programs use the same prefixes. It does not
//! search.

use super::{LinkError, MAX_LINK_BYTES, pasted};
use crate::search::{MOST_RESULTS, NoWords, SearchSite, words};

const PREFIXES: [(&str, SearchSite); 4] = [
    ("ytsearch", SearchSite::YouTube),
    ("ytmsearch", SearchSite::YouTubeMusic),
    ("scsearch", SearchSite::SoundCloud),
    ("bcsearch", SearchSite::Bandcamp),
];

/// A search, which stands for its first results.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SearchLink {
    pub at: SearchSite,
    pub words: String,
    /// The number of songs of a list; `None`: the first song itself.
    pub count: Option<usize>,
}

impl SearchLink {
    /// Reads a text that starts like one; `None` for any other.
    ///
    /// The inner error is the problem: no words, too many, a number out of range, another link after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, LinkError>> {
        let text = pasted::bare(text);
        let Some((at, count, rest)) = split(text) else {
            return is_beside_a_link(text).then_some(Err(LinkError::TwoLinks));
        };
        if text.len() > MAX_LINK_BYTES {
            return Some(Err(LinkError::TooLong));
        }
        Some(read(at, count, rest))
    }

    /// The canonical form of this link; parsing it gives an equal link.
    #[must_use]
    pub fn canonical(&self) -> String {
        let prefix = PREFIXES
            .iter()
            .find(|(_, at)| *at == self.at)
            .map_or("", |(prefix, _)| prefix);
        let count = self
            .count
            .map(|count| count.to_string())
            .unwrap_or_default();
        format!("{prefix}{count}:{}", self.words)
    }
}

/// The place, the digits and the words; `None` where the text starts with something else.
fn split(text: &str) -> Option<(SearchSite, &str, &str)> {
    let (head, rest) = text.split_once(':')?;
    let letters = head.trim_end_matches(|c: char| c.is_ascii_digit());
    let (_, at) = PREFIXES
        .iter()
        .find(|(prefix, _)| prefix.eq_ignore_ascii_case(letters))?;
    Some((*at, head.get(letters.len()..).unwrap_or_default(), rest))
}

fn read(at: SearchSite, count: &str, rest: &str) -> Result<SearchLink, LinkError> {
    let unsupported = |reason| LinkError::Unsupported {
        site: at.site(),
        reason,
    };
    let count = match count {
        "" => None,
        digits => match digits.parse() {
            Ok(count) if (1..=MOST_RESULTS).contains(&count) => Some(count),
            _ => {
                return Err(unsupported(
                    "a search gives 1 to 25 songs; write a number in this range, like ytsearch5:",
                ));
            }
        },
    };
    let words = words(rest).map_err(|why| {
        unsupported(match why {
            NoWords::None => {
                "there are no words to search for; write them after the colon, like ytsearch:title artist"
            }
            NoWords::TooMany => "these are more than 200 characters to search for; write fewer words",
        })
    })?;
    // The words may be a single link: a site finds a video by it.
    let several = words.contains(' ');
    if words
        .split(' ')
        .any(|word| split(pasted::unopened(word)).is_some() || several && pasted::is_link(word))
    {
        return Err(LinkError::TwoLinks);
    }
    Ok(SearchLink { at, words, count })
}

/// Whether a text that does not start with a search contains both a link and a search.
fn is_beside_a_link(text: &str) -> bool {
    let words = || text.split(char::is_whitespace);
    text.len() <= MAX_LINK_BYTES
        && words().any(|word| split(pasted::unopened(word)).is_some())
        && words().any(pasted::is_link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;
    use proptest::prelude::*;

    /// The place, the number of results, and the words of a search.
    type Read = (SearchSite, Option<usize>, String);

    fn read(text: &str) -> Option<Result<Read, LinkError>> {
        SearchLink::parse(text).map(|read| read.map(|link| (link.at, link.count, link.words)))
    }

    #[test]
    fn each_prefix_is_its_place_and_a_number_makes_a_list() {
        use SearchSite::{Bandcamp, SoundCloud, YouTube, YouTubeMusic};
        for (text, at, count, words) in [
            ("ytsearch:a b", YouTube, None, "a b"),
            ("ytmsearch: a  b ", YouTubeMusic, None, "a b"),
            ("scsearch:a:b", SoundCloud, None, "a:b"),
            ("bcsearch:椎名林檎", Bandcamp, None, "椎名林檎"),
            ("ytsearch5:a", YouTube, Some(5), "a"),
            ("ytsearch25:a", YouTube, Some(25), "a"),
            ("YTSearch1:a", YouTube, Some(1), "a"),
            ("<ytsearch:a b>", YouTube, None, "a b"),
            (" \u{200b}scsearch3:a\n", SoundCloud, Some(3), "a"),
            (
                "ytsearch:https://youtu.be/dQw4w9WgXcQ",
                YouTube,
                None,
                "https://youtu.be/dQw4w9WgXcQ",
            ),
        ] {
            assert_eq!(
                read(text),
                Some(Ok((at, count, words.to_owned()))),
                "{text}"
            );
        }
        for text in [
            "",
            "a b",
            "ytsearch a",
            "ytsearchall:a",
            "search:a",
            "https://youtu.be/dQw4w9WgXcQ",
            "a ytsearch:b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_searched_for_says_why() {
        for text in [
            "ytsearch:",
            "ytsearch: \n",
            "ytsearch0:a",
            "ytsearch26:a",
            "ytsearch99999999999999999999:a",
        ] {
            assert!(
                matches!(
                    read(text),
                    Some(Err(LinkError::Unsupported {
                        site: Site::YouTube,
                        ..
                    }))
                ),
                "{text}"
            );
        }
        assert!(matches!(
            read(&format!("scsearch:{}", "x".repeat(201))),
            Some(Err(LinkError::Unsupported { .. }))
        ));
        assert_eq!(
            read(&format!("scsearch:{}", "x".repeat(10_000))),
            Some(Err(LinkError::TooLong))
        );
        for text in [
            "ytsearch:a ytsearch:b",
            "ytsearch:a <scsearch:b>",
            "ytsearch:a\nhttps://youtu.be/dQw4w9WgXcQ",
            "https://youtu.be/dQw4w9WgXcQ ytsearch:a",
            "ytsearch:ytsearch:a",
        ] {
            assert_eq!(read(text), Some(Err(LinkError::TwoLinks)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_words_stand_in_their_one_form(prefix in "(yt|ytm|sc|bc)search(|[0-9]{1,3})", words in ".{0,220}") {
            if let Some(Ok(link)) = SearchLink::parse(&format!("{prefix}:{words}")) {
                prop_assert!(link.words.chars().count() <= 200);
                prop_assert_eq!(SearchLink::parse(&link.canonical()), Some(Ok(link)));
            }
        }
    }
}
