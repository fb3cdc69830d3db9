//! The one link in a pasted text.
//!
//! Owns what chats and prose leave around a link, alike for all sites: brackets, quotes, bars, stars, punctuation, invisible
//! characters, other words, the label of a link written in Markdown or by Slack. Hides how a second link is told from the
//! parts of one. Never judges a link itself.

use super::{LinkError, MAX_LINK_BYTES, Parts, split};

/// Opens before a link.
const OPENING: &[char] = &[
    '<', '>', '(', '[', '{', '"', '\'', '`', '*', '_', '~', '|', '“', '„', '‘', '‚', '«', '»', '‹',
    '›', '「', '『', '【', '（', '《', '〈',
];
/// Ends a path: no page of the three sites has one of these in its path.
const ENDING: &[char] = &[
    '<', '>', '(', ')', '[', ']', '{', '}', '"', '\'', '`', '*', '~', '|', '^', ',', ';', '!', '…',
    '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›', '「', '」', '『', '』', '【', '】', '（',
    '）', '《', '》', '〈', '〉', '、', '，', '。', '！', '？', '；', '：', '｜',
];
/// May stand in a link, but not last.
const TRAILING: &[char] = &['.', ':', '?'];

/// Takes up no room, or looks like a blank: what copying leaves behind.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffc}' | '\u{e0000}'..='\u{e01ef}')
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// A text without blanks and invisible characters around it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// A pasted text without blanks around it and without `<…>`.
#[must_use]
pub fn bare(text: &str) -> &str {
    let text = text.trim_matches(is_blank);
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    inner.map_or(text, |inner| inner.trim_matches(is_blank))
}

/// A word without the brackets and quotes that open it.
pub(super) fn unopened(word: &str) -> &str {
    word.trim_start_matches(OPENING)
}

/// Whether a word is a link, perhaps behind what opens.
pub(super) fn is_link(word: &str) -> bool {
    starting(word).is_some()
}

/// Finds the one link, and has `parse` read it.
/// # Errors
/// What `parse` says of the link, or of the whole text where no part of it looks like one; [`LinkError::TwoLinks`].
pub(super) fn read<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, LinkError>,
) -> Result<T, LinkError> {
    if text.len() > MAX_LINK_BYTES {
        return Err(LinkError::TooLong);
    }
    let text = text.trim_matches(is_blank);
    let found = one(text, &parse);
    if matches!(&found, Err(why) if *why != LinkError::TwoLinks) && text.contains(is_invisible) {
        // Between the letters of the link, not around it: where a chat breaks its lines.
        let joined: String = text.chars().filter(|c| !is_invisible(*c)).collect();
        return one(&joined, &parse).or(found);
    }
    found
}

fn one<T>(text: &str, parse: &impl Fn(&str) -> Result<T, LinkError>) -> Result<T, LinkError> {
    let text = unlabelled(text);
    let mut links = text.split(is_blank_or_control).filter_map(starting);
    let first = links.next();
    if links.next().is_some() {
        return Err(LinkError::TwoLinks);
    }
    // Lines may stand before a link; what follows one in the next line may be the rest of it.
    let link_at = first
        .as_ref()
        .and_then(|word| text.find(word.link))
        .unwrap_or(0);
    let broken = |(at, c): (usize, char)| {
        c == '\\' || c.is_control() && !(at < link_at && c.is_whitespace())
    };
    if text.char_indices().any(broken) {
        return Err(LinkError::NotOurs);
    }
    let Some(first) = first else {
        return parse(&text);
    };
    let parsed = parse(first.alone())?;
    if first.has_another() {
        Err(LinkError::TwoLinks)
    } else {
        Ok(parsed)
    }
}

fn is_blank_or_control(c: char) -> bool {
    is_blank(c) || c.is_control()
}

/// A word that starts with a link, perhaps behind what opens.
struct Word<'a> {
    link: &'a str,
    /// `_` before it: as many may close behind it, and are none of its letters.
    underscores: usize,
}

fn starting(word: &str) -> Option<Word<'_>> {
    let link = word.trim_start_matches(OPENING);
    let opening = word.strip_suffix(link).unwrap_or_default();
    looks_like_one(link).then(|| Word {
        link,
        underscores: opening.matches('_').count(),
    })
}

/// A scheme that we read, or a page of a site's host without one.
fn looks_like_one(text: &str) -> bool {
    let starts = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    starts("https://") || starts("http://") || starts("soundcloud:") || {
        let end = text.find(ENDING).unwrap_or(text.len());
        text.get(..end)
            .and_then(split)
            .is_some_and(|parts| is_ours(&parts))
    }
}

fn is_ours(parts: &Parts) -> bool {
    (parts.path != "/" || !parts.query.is_empty()) && super::site_of(&parts.host).is_some()
}

impl<'a> Word<'a> {
    /// The link without what closes behind it.
    fn alone(&self) -> &'a str {
        let path_end = self.link.find(['?', '#']).unwrap_or(self.link.len());
        let end = self
            .link
            .find(ENDING)
            .filter(|end| *end < path_end)
            .unwrap_or(self.link.len());
        let mut link = self.link.get(..end).unwrap_or(self.link);
        let mut underscores = self.underscores;
        loop {
            link = link.trim_end_matches(|c| ENDING.contains(&c) || TRAILING.contains(&c));
            match link.strip_suffix('_').filter(|_| underscores > 0) {
                Some(shorter) => (link, underscores) = (shorter, underscores - 1),
                None => return link,
            }
        }
    }

    /// Whether another link is glued to this one. One in a value of its query (`url=https://…`) is a part of it.
    fn has_another(&self) -> bool {
        let lower = self.link.to_ascii_lowercase();
        let glued = |scheme: &str| {
            let mut places = lower.match_indices(scheme).filter(|(at, _)| *at > 0);
            places.any(|(at, _)| !lower.get(..at).is_some_and(|before| before.ends_with('=')))
        };
        glued("https://") || glued("http://") || lower.split(ENDING).skip(1).any(looks_like_one)
    }
}

/// The text without the labels of its links: of `[label](link)` and `<link|label>` the link stays.
fn unlabelled(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find("](") {
        let Some(open) = text.get(..at).and_then(|before| before.rfind('[')) else {
            break;
        };
        text.replace_range(open..=at, " ");
    }
    let mut from = 0;
    while let Some(open) = text.get(from..).and_then(|rest| rest.find('<')) {
        from += open + 1;
        let Some(inside) = text
            .get(from..)
            .and_then(|rest| rest.split_once('>'))
            .map(|(inside, _)| inside)
        else {
            break;
        };
        let end = from + inside.len();
        if let Some(bar) = inside
            .find('|')
            .filter(|bar| inside.get(..*bar).is_some_and(looks_like_one))
        {
            text.replace_range(from + bar..end, "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Link, YouTubeLink};
    use crate::site::Site;

    const LINKS: [&str; 9] = [
        "https://youtu.be/dQw4w9WgXcQ",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&si=AbCdEf",
        "https://music.youtube.com/playlist?list=OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM&si=x",
        "youtube.com/watch?v=dQw4w9WgXcQ",
        "https://soundcloud.com/some-one/a_song-1",
        "https://on.soundcloud.com/Ab12",
        "soundcloud.com/some-one/sets/a-set?si=1",
        "https://band.bandcamp.com/track/a-song_2",
        "band.bandcamp.com/album/an-album",
    ];

    fn is_read_as(text: &str, link: &str) {
        assert_eq!(Link::parse(text), Link::parse(link), "{text:?}");
    }

    #[test]
    fn a_link_out_of_a_chat_is_the_link_alike_on_all_sites() {
        for link in LINKS {
            let read = Link::parse(link);
            assert!(read.is_ok(), "{link}");
            for (before, after) in [
                ("<", ">"),
                ("(", ")"),
                ("[", "]"),
                ("{", "}"),
                ("«", "»"),
                ("“", "”"),
                ("„", "“"),
                ("‘", "’"),
                ("\"", "\""),
                ("'", "'"),
                ("`", "`"),
                ("```", "```"),
                ("||", "||"),
                ("*", "*"),
                ("**", "**"),
                ("_", "_"),
                ("__", "__"),
                ("***", "***"),
                ("**_", "_**"),
                ("~~", "~~"),
                ("||<", ">||"),
                ("(<", ">)."),
                ("<(", ")>"),
                ("「", "」"),
                ("（", "）。"),
                ("> ", ""),
                ("", ")"),
                ("", "),"),
                ("", "."),
                ("", "..."),
                ("", "…"),
                ("", "!"),
                ("", "?"),
                ("", "?!"),
                ("", ";"),
                ("", ":"),
                ("", ">"),
                ("", "\""),
                ("", "'"),
                ("", "*"),
                ("", "~"),
                ("", "|"),
                ("", "]"),
                ("", "}"),
                ("", ">."),
                ("", ")."),
                ("", "，"),
                ("listen to ", " please"),
                ("song: ", ""),
                ("Artist - Title (Official Video) ", " :)"),
                ("¿ ", " ?"),
                ("this (", ") is good, and so on"),
                ("Listen on #SoundCloud\n", ""),
                ("a\r\n\tb ", "\r\n"),
                ("[a title](", ")"),
                ("[a title](", "), is good"),
                ("look: [youtu.be](<", ">)"),
                ("[t](", " \"title\")"),
                ("[](", ")"),
            ] {
                is_read_as(&format!("{before}{link}{after}"), link);
                is_read_as(&format!(" {before}{link}{after} "), link);
            }
            let same = format!("[{link}]({link})");
            is_read_as(&same, link);
            is_read_as(&format!("<{link}|a title>"), link);
            is_read_as(&format!("<{link}|{link}> please"), link);
        }
        is_read_as(
            "https://band.bandcamp.com/track/a b",
            "https://band.bandcamp.com/track/a",
        );
    }

    #[test]
    fn invisible_characters_are_not_seen_before_inside_the_edges_and_after() {
        for unseen in [
            "\u{feff}",
            "\u{200b}",
            "\u{200c}",
            "\u{200d}",
            "\u{200e}",
            "\u{200f}",
            "\u{202a}",
            "\u{202e}",
            "\u{2060}",
            "\u{2064}",
            "\u{2066}",
            "\u{2069}",
            "\u{fe0f}",
            "\u{a0}",
            "\u{ad}",
            "\u{61c}",
            "\u{3000}",
            "\u{2028}",
            "\u{180e}",
            "\u{e0020}",
        ] {
            for link in LINKS {
                for (before, after) in [
                    ("", ""),
                    ("<", ">"),
                    ("(", ")."),
                    ("||", "||"),
                    ("**", "**"),
                    ("", ","),
                    ("[t](", ")"),
                ] {
                    is_read_as(&format!("{unseen}{before}{link}{after}"), link);
                    is_read_as(&format!("{before}{link}{after}{unseen}"), link);
                    is_read_as(&format!("{before}{unseen}{link}{unseen}{after}"), link);
                    is_read_as(
                        &format!("{unseen}{unseen} {before}{unseen}{link}{unseen}{after}{unseen}"),
                        link,
                    );
                }
            }
        }
        // Where a chat breaks a line inside a link.
        is_read_as(
            "https://youtu.be/dQw4\u{200b}w9WgXcQ",
            "https://youtu.be/dQw4w9WgXcQ",
        );
        is_read_as(
            "https://sound\u{ad}cloud.com/some-one/a-song",
            "https://soundcloud.com/some-one/a-song",
        );
    }

    #[test]
    fn of_two_links_none_is_dropped_in_silence() {
        let second = "https://youtu.be/M4gD1WSo5mA";
        for first in LINKS {
            for between in [
                " ", "\n", ",", ", ", ";", "|", " and ", " | ", ") (", "\u{200b}", "> <", "\t", "",
                "#", "\"", "...",
            ] {
                for second in [
                    second,
                    "https://soundcloud.com/else/where",
                    "http://band.bandcamp.com/track/x",
                    first,
                ] {
                    let text = format!("{first}{between}{second}");
                    let glued_into_the_first =
                        between.is_empty() || between == "#" || between == "...";
                    match Link::parse(&text) {
                        Err(LinkError::TwoLinks) => {}
                        // One that cannot be read with the other's letters in it, or has no scheme of its own.
                        Err(_) if glued_into_the_first => {}
                        Ok(_) if glued_into_the_first && !second.contains("://") => {}
                        other => panic!("{text:?}: {other:?}"),
                    }
                }
            }
            for text in [
                format!("{first} youtu.be/M4gD1WSo5mA"),
                format!("{first} (see https://example.com/x)"),
                format!("<{first}> <{second}>"),
            ] {
                assert_eq!(Link::parse(&text), Err(LinkError::TwoLinks), "{text}");
            }
            assert_eq!(
                Link::parse(&format!("[a]({first}) [b]({second})")),
                Err(LinkError::TwoLinks)
            );
        }
        // A link within a link's query is a part of it, a bare host in a sentence is a word.
        let inner =
            "https://w.soundcloud.com/player/?url=https://api.soundcloud.com/tracks/1&color=x";
        is_read_as(inner, "https://api.soundcloud.com/tracks/1");
        is_read_as(&format!("from youtube.com: {second}"), second);
    }

    #[test]
    fn what_is_no_link_on_its_own_is_none_in_a_text() {
        for text in [
            "",
            " ",
            "\u{200b}",
            "<>",
            "words only",
            "dQw4w9WgXcQ",
            "javascript:location='https://youtu.be/dQw4w9WgXcQ'",
            "data:text/html,https://youtu.be/dQw4w9WgXcQ",
            "see:https://youtu.be/dQw4w9WgXcQ",
            "ftp://youtu.be/dQw4w9WgXcQ",
            "https://evil.example/(https://youtu.be/dQw4w9WgXcQ)",
            "https://evil.example/#https://youtu.be/dQw4w9WgXcQ",
            "https://youtu.be/dQw4\nw9WgXcQ",
            "https://youtu.be/dQw4w9WgXcQ\nX: y",
            "https://youtu.be/dQw4w9WgXcQ\u{1b}[0m",
            "https://youtu.be\\@evil.example/dQw4w9WgXcQ",
            "\u{0}https://youtu.be/dQw4w9WgXcQ",
        ] {
            assert_eq!(Link::parse(text), Err(LinkError::NotOurs), "{text:?}");
        }
        // A letter that may belong to the id is a part of it.
        assert_eq!(
            Link::parse("https://youtu.be/dQw4w9WgXcQ_"),
            Err(LinkError::InvalidId {
                site: Site::YouTube
            })
        );
        assert_eq!(
            bare(" <\u{200b}https://example.com/a,b> "),
            "https://example.com/a,b"
        );
    }

    #[test]
    fn every_share_form_of_youtube_music_is_what_it_shares() {
        let list = "OLAK5uy_lEBUW9iTwqf0IlYPxZ8LrzpgqjAHZgZpM";
        let video = "https://youtu.be/dQw4w9WgXcQ";
        for host in [
            "music.youtube.com",
            "www.youtube.com",
            "m.youtube.com",
            "youtube.com",
        ] {
            for more in ["", "&si=AbC_d-E", "&feature=share", "&feature=shared&si=x"] {
                is_read_as(&format!("https://{host}/watch?v=dQw4w9WgXcQ{more}"), video);
                is_read_as(
                    &format!("https://{host}/watch?v=dQw4w9WgXcQ&list={list}{more}"),
                    video,
                );
                is_read_as(
                    &format!("https://{host}/watch?v=dQw4w9WgXcQ&list=RDAMVMdQw4w9WgXcQ{more}"),
                    video,
                );
                let whole = Link::parse(&format!(
                    "https://{host}/watch?list={list}&v=dQw4w9WgXcQ{more}"
                ))
                .map(Link::whole_list);
                let album = Link::parse(&format!("https://{host}/playlist?list={list}{more}"));
                assert_eq!(whole, album);
                assert!(
                    matches!(&album, Ok(Link::YouTube(YouTubeLink::List(id))) if id.as_str() == list),
                    "{album:?}"
                );
                is_read_as(
                    &format!("https://{host}/channel/UCBR8-60-B28hp2BmDPdntcQ?x=1{more}"),
                    "https://www.youtube.com/channel/UCBR8-60-B28hp2BmDPdntcQ",
                );
            }
        }
        for more in ["", "?si=AbC", "?feature=share", "/"] {
            is_read_as(&format!("https://youtu.be/dQw4w9WgXcQ{more}"), video);
            is_read_as(
                &format!("https://music.youtube.com/browse/VL{list}{more}"),
                &format!("https://www.youtube.com/playlist?list={list}"),
            );
            let album = Link::parse(&format!(
                "https://music.youtube.com/browse/MPREb_K8qWMWVqXGi{more}"
            ));
            assert!(
                matches!(album, Ok(Link::YouTube(YouTubeLink::MusicAlbum(id))) if id == "MPREb_K8qWMWVqXGi")
            );
            let mix = Link::parse(&format!(
                "https://music.youtube.com/browse/VLRDAMVMdQw4w9WgXcQ{more}"
            ));
            assert!(
                matches!(
                    mix,
                    Ok(Link::YouTube(YouTubeLink::Mix { seed: Some(_), .. }))
                ),
                "{mix:?}"
            );
        }
    }
}
