//! The one link in a pasted text.
//!
//! Owns the text that chats and prose leave around a link, equally for all sites: brackets, quotes, bars, stars,
//! punctuation, invisible characters, other words, the label of a link written in Markdown or by Slack; and how a
//! second link is distinguished from a part of the first. It does not judge the link itself.

use super::{LinkError, MAX_LINK_BYTES, Parts, split};

/// Characters that may open before a link.
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
/// Characters that may be in a link, but not at its end.
const TRAILING: &[char] = &['.', ':', '?'];

/// Characters without width, or that look like a blank: copying leaves them.
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

/// Whether a word is a link, perhaps after opening characters.
pub(super) fn is_link(word: &str) -> bool {
    starting(word).is_some()
}

/// Finds the one link, and lets `parse` read it.
/// # Errors
/// The error of `parse` for the link, or for the whole text if no part of it looks like a link;
/// [`LinkError::TwoLinks`].
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
        // Between the letters of the link: a chat may break its lines there.
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
    // Lines may come before a link; the text in the line after it may be the rest of the link.
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

/// A word that starts with a link, perhaps after opening characters.
struct Word<'a> {
    link: &'a str,
    /// Number of `_` before it: as many may close after it, and do not belong to it.
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

/// Whether it has a known scheme, or is a page of a site's host without one.
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
    /// The link without closing characters after it.
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

    /// Whether another link follows this one directly. A link in a value of its query (`url=https://…`) is a part of
    /// it.
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
mod tests;
