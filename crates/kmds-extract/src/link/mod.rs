//! Every link that KMDS accepts; no other module reads links.
//!
//! Owns the rules by which a pasted text becomes a typed link, and each site's canonical form. It makes no request; its
//! results are ids and paths whose letters are all checked.

pub mod bandcamp;
mod pasted;
pub mod search;
pub mod soundcloud;
pub mod youtube;

pub use bandcamp::{BandPage, BandcampLink};
pub use pasted::bare;
pub(crate) use pasted::trimmed;
pub use search::SearchLink;
pub use soundcloud::SoundCloudLink;
pub use youtube::YouTubeLink;

use crate::site::Site;

/// Longest link that is looked at, in bytes (docs/api.md, "The door").
pub const MAX_LINK_BYTES: usize = 2048;

/// A link one of the three sites answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Link {
    YouTube(YouTubeLink),
    SoundCloud(SoundCloudLink),
    Bandcamp(BandcampLink),
}

/// Why a text is not an accepted link. Each says which link would work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not a link to any of the three sites.
    #[error(
        "not a link we know; paste one to a song or list on YouTube, SoundCloud or Bandcamp \
         (of a band's own domain: open the page, use its bandcamp.com link), or search: ytsearch:WORDS, scsearch:WORDS"
    )]
    NotOurs,
    #[error("the link is longer than {MAX_LINK_BYTES} bytes")]
    TooLong,
    /// Only one of them could be used, and the other would be lost in silence.
    #[error("there are two links in this text; send one link at a time")]
    TwoLinks,
    /// A page of one of the sites that is no song and no list of songs.
    #[error("{site}: {reason}")]
    Unsupported { site: Site, reason: &'static str },
    /// It looks right, but the id in it cannot exist.
    #[error("{site}: the id in this link cannot be right; copy the link again")]
    InvalidId { site: Site },
}

/// A text split as an http(s) URL by rules common to the sites: no control character, no backslash, no user info,
/// no port but the scheme's own; a missing scheme is `https`.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Lower case, after IDNA mapping. A trailing dot is kept: sites differ about it.
    pub host: String,
    /// Still percent-encoded, starts with `/`.
    pub path: String,
    /// Raw, without `?`.
    pub query: String,
}

impl Link {
    /// Reads a pasted link, with what chats and prose leave around it.
    /// # Errors
    /// See [`LinkError`].
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        pasted::read(text, Self::alone)
    }

    /// Reads a text that is a link and nothing else.
    fn alone(text: &str) -> Result<Self, LinkError> {
        if let Some(link) = soundcloud::parse_urn(text) {
            return link.map(Self::SoundCloud);
        }
        let parts = split(text).ok_or(LinkError::NotOurs)?;
        match site_of(&parts.host).ok_or(LinkError::NotOurs)? {
            Site::YouTube => youtube::parse(&parts).map(Self::YouTube),
            // A link without a scheme is accepted; SoundCloud has no `//host` (field notes, 2).
            Site::SoundCloud if !text.starts_with("//") => {
                soundcloud::parse(&parts).map(Self::SoundCloud)
            }
            Site::Bandcamp => bandcamp::parse(&parts).map(Self::Bandcamp),
            Site::SoundCloud | Site::Other => Err(LinkError::NotOurs),
        }
    }

    /// The canonical form of this link; parsing it gives an equal link.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::YouTube(link) => link.canonical(),
            Self::SoundCloud(link) => link.canonical(),
            Self::Bandcamp(link) => link.canonical(),
        }
    }

    #[must_use]
    pub const fn site(&self) -> Site {
        match self {
            Self::YouTube(_) => Site::YouTube,
            Self::SoundCloud(_) => Site::SoundCloud,
            Self::Bandcamp(_) => Site::Bandcamp,
        }
    }

    /// The whole list of a `watch?v=…&list=…` link; any other link as it is.
    #[must_use]
    pub fn whole_list(self) -> Self {
        match self {
            Self::YouTube(link) => Self::YouTube(link.whole_list()),
            other => other,
        }
    }

    /// Whether this is a band's page, which may lead to another release on another day.
    #[must_use]
    pub const fn is_band_page(&self) -> bool {
        matches!(self, Self::Bandcamp(BandcampLink::Band { .. }))
    }

    /// Whether this names a list, as far as the link alone tells: lists get more time.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        match self {
            Self::YouTube(link) => link.is_list(),
            Self::SoundCloud(link) => link.is_list(),
            Self::Bandcamp(link) => link.is_list(),
        }
    }
}

/// The site that a host belongs to.
fn site_of(host: &str) -> Option<Site> {
    if youtube::owns(host) {
        Some(Site::YouTube)
    } else if soundcloud::owns(host) {
        Some(Site::SoundCloud)
    } else {
        bandcamp::owns(host).then_some(Site::Bandcamp)
    }
}

/// Splits by the common rules; `None` for anything that is no plain http(s) URL.
fn split(text: &str) -> Option<Parts> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    let with_scheme = if text.starts_with("//") {
        format!("https:{text}")
    } else if has_scheme(text) {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    // The parser accepts `https:host` and `https:///host`; KMDS does not.
    let after = with_scheme
        .get(..8)
        .filter(|head| head.eq_ignore_ascii_case("https://"))
        .map(|_| 8)
        .or_else(|| {
            with_scheme
                .get(..7)
                .filter(|head| head.eq_ignore_ascii_case("http://"))
                .map(|_| 7)
        })?;
    let authority = with_scheme[after..].split(['/', '?', '#']).next()?;
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let url = url::Url::parse(&with_scheme).ok()?;
    if url.port().is_some() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = url.domain()?.to_owned();
    // From the text, not from the parser: `..` must be checked, not resolved.
    let rest = &with_scheme[after + authority.len()..];
    let rest = rest.split('#').next()?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Some(Parts {
        host,
        path: if path.is_empty() {
            "/".to_owned()
        } else {
            path.to_owned()
        },
        query: query.to_owned(),
    })
}

/// `word:` at the start, unless it is `host:port`.
fn has_scheme(text: &str) -> bool {
    let Some((word, rest)) = text.split_once(':') else {
        return false;
    };
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_word && !(word.contains('.') && rest.starts_with(|c: char| c.is_ascii_digit()))
}

impl Parts {
    /// The first value of a query key, decoded once; `None` if absent or not UTF-8.
    pub fn query_value(&self, key: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == key)
                .then(|| decode(&value.replace('+', " ")))
                .flatten()
        })
    }

    /// Path parts between slashes, decoded once, empty ones left out; `None` if one is not UTF-8 or holds a control
    /// character, a slash or a backslash after decoding.
    pub fn segments(&self) -> Option<Vec<String>> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| {
                decode(part).filter(|part| {
                    !part
                        .chars()
                        .any(|c| c.is_control() || matches!(c, '/' | '\\'))
                })
            })
            .collect()
    }
}

/// Percent-decodes once.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// Reads a link wrapped in another one, by the same rules.
pub(crate) fn unwrap(text: &str) -> Option<Parts> {
    (text.len() <= MAX_LINK_BYTES)
        .then(|| split(text))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,300}") {
            let _ = Link::parse(&text);
        }

        #[test]
        fn parsing_almost_links_never_panics_and_canonical_forms_stand(
            host in "(www\\.youtube\\.com|youtu\\.be|soundcloud\\.com|on\\.soundcloud\\.com|x\\.bandcamp\\.com|bandcamp\\.com)",
            path in "(/[a-zA-Z0-9%_.:-]{0,14}){0,4}",
            query in "[a-z=&%A-Z0-9]{0,40}",
        ) {
            if let Ok(link) = Link::parse(&format!("https://{host}{path}?{query}")) {
                prop_assert_eq!(Link::parse(&link.canonical()), Ok(link));
            }
        }
    }

    #[test]
    fn a_link_longer_than_the_limit_is_refused() {
        let long = format!(
            "https://youtu.be/M4gD1WSo5mA?x={}",
            "a".repeat(MAX_LINK_BYTES)
        );
        assert_eq!(Link::parse(&long), Err(LinkError::TooLong));
    }
}
