//! Links that clients send, and links in replies.
//!
//! Owns the longest accepted link, and the addresses of this service as the client can use them: below the configured
//! public address, else below the address of the request.

use kmds_extract::TrackId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::Refusal;
use super::guard::Caller;
use super::signatures::AddressSigner;
use super::state::Http;
use crate::app::Fetched;

/// Longest link in bytes (docs/api.md, "The door").
const MAX_LINK_BYTES: usize = 2048;

/// Escaped in a query value: all but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The link that a client sent.
/// # Errors
/// The link is missing (`missing` says what to send), or too long.
pub(super) fn sent_link(text: Option<String>, missing: &str) -> Result<String, Refusal> {
    let text = text.ok_or_else(|| Refusal::bad_request(missing))?;
    if text.len() > MAX_LINK_BYTES {
        let sentence = format!(
            "the link is longer than {MAX_LINK_BYTES} bytes; send it without its tracking parameters"
        );
        return Err(Refusal::bad_request(sentence));
    }
    Ok(text)
}

/// The addresses that a reply to one client carries.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    /// Scheme, host and base path, without a slash at the end.
    origin: String,
    base_path: String,
    signer: Option<AddressSigner>,
    own_covers: bool,
}

impl Addresses {
    /// For the client that sent this request.
    pub(super) fn of(http: &Http, caller: &Caller) -> Self {
        let base_path = http.base_path().to_owned();
        let origin = match http.public_url() {
            Some(public) if public.ends_with(&base_path) => public.to_owned(),
            Some(public) => format!("{public}{base_path}"),
            None => {
                let scheme = if caller.https { "https" } else { "http" };
                format!("{scheme}://{}{base_path}", caller.authority)
            }
        };
        Self {
            origin,
            base_path,
            signer: caller.signer.clone(),
            own_covers: http.own_covers(),
        }
    }

    /// The whole address of a song's cover, whose address at the site is `at_site`: that one, or one of this service if
    /// the settings say so.
    pub(super) fn cover(&self, id: &TrackId, at_site: Option<&String>) -> Option<String> {
        let at_site = at_site?;
        Some(if self.own_covers {
            format!("{}{}", self.origin, self.signed(cover_path(id)))
        } else {
            at_site.clone()
        })
    }

    /// For a result that has a cover only at the site; none if the settings keep clients away from there.
    pub(super) fn cover_at_site(&self, at_site: Option<&String>) -> Option<String> {
        at_site.filter(|_| !self.own_covers).cloned()
    }

    /// The same for a list, which has no cover of its own here: the cover of its first song that has one.
    pub(super) fn list_cover(&self, fetched: &Fetched) -> Option<String> {
        if !self.own_covers {
            return fetched.list.as_ref()?.cover_url.clone();
        }
        fetched
            .songs
            .iter()
            .find_map(|song| self.cover(&song.track.id, song.track.cover_url.as_ref()))
    }

    /// The address of a song's cover for a player.
    pub(super) fn cover_link(&self, id: &TrackId) -> String {
        self.open_path(cover_path(id))
    }

    /// `/tunnel?file=…`, below the base path.
    pub(super) fn tunnel_path(&self, name: &str) -> String {
        format!("{}{}", self.base_path, self.tunnel(name))
    }

    pub(super) fn tunnel_url(&self, name: &str) -> String {
        format!("{}{}", self.origin, self.tunnel(name))
    }

    fn tunnel(&self, name: &str) -> String {
        self.signed(format!("/tunnel?file={}", utf8_percent_encode(name, VALUE)))
    }

    /// A path of this service, below its base path, that a player can open: signed if tokens are needed.
    pub(super) fn open_path(&self, path: String) -> String {
        format!("{}{}", self.base_path, self.signed(path))
    }

    /// A link's audio in one request: a song, or the playlist of a list; or an archive of this layout.
    pub(super) fn play_path(&self, link: &str, is_list: bool, archive: Option<&str>) -> String {
        let mut path = format!("/play?url={}", utf8_percent_encode(link, VALUE));
        if is_list {
            path.push_str("&playlist=true");
        }
        if let Some(layout) = archive {
            path.push_str(&format!("&archive={layout}"));
        }
        self.open_path(path)
    }

    fn signed(&self, path: String) -> String {
        self.signer
            .as_ref()
            .map_or_else(|| path.clone(), |signer| signer.sign(&path))
    }

    /// A path of this service, below its base path.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path)
    }
}

fn cover_path(id: &TrackId) -> String {
    format!("/api/v1/tracks/{}/{}/cover", id.site().as_str(), id.id())
}
