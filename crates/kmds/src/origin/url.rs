//! The URLs that KMDS may request: https, the usual port, a host on the site's list.
//!
//! Owns the check of every URL before a connection is made, redirects included, and printing a URL without its
//! signature. Hosts are compared in lower case, in ASCII (IDNA). It never resolves a name.

use std::fmt;

use kmds_extract::recipes::{Hosts, is_public_name};
use kmds_extract::{Recipes, Site};
use url::{Host, Url};

/// The kind of a URL's target; each has its own list of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Page,
    Media,
    Cover,
}

/// A URL of an allowed host. It may be signed, so it prints as scheme, host and path only.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaUrl(Url);

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("not a URL")]
    Syntax,
    #[error("only https on its usual port is asked, not {0}")]
    NotHttps(String),
    #[error("{0} is not a host of this site")]
    ForeignHost(String),
}

impl MediaUrl {
    /// # Errors
    /// No https URL without user and port, or a host (names only, never an address) that is not on the list.
    pub fn parse(text: &str, hosts: &Hosts, purpose: Purpose) -> Result<Self, UrlError> {
        Self::check(
            Url::parse(text).map_err(|_| UrlError::Syntax)?,
            hosts,
            purpose,
        )
    }

    /// Where a redirect leads, checked like any other URL.
    /// # Errors
    /// As [`MediaUrl::parse`].
    pub fn join(&self, location: &str, hosts: &Hosts, purpose: Purpose) -> Result<Self, UrlError> {
        Self::check(
            self.0.join(location).map_err(|_| UrlError::Syntax)?,
            hosts,
            purpose,
        )
    }

    fn check(mut url: Url, hosts: &Hosts, purpose: Purpose) -> Result<Self, UrlError> {
        let plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !plain {
            return Err(UrlError::NotHttps(printable(&url)));
        }
        let allowed = match url.host() {
            Some(Host::Domain(name)) => match purpose {
                Purpose::Page => hosts.allows_page(name),
                Purpose::Media => hosts.allows_media(name),
                Purpose::Cover => hosts.allows_cover(name),
            },
            _ => false,
        };
        if !allowed {
            return Err(UrlError::ForeignHost(
                url.host_str().unwrap_or("no host").to_owned(),
            ));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// The whole URL with its signature, only for the request itself.
    #[must_use]
    pub fn signed(&self) -> &str {
        self.0.as_str()
    }

    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(super) fn into_url(self) -> Url {
        self.0
    }
}

/// A link of a site that only yt-dlp may know: https, the usual port, no user, a public name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicLink(Url);

impl PublicLink {
    /// # Errors
    /// A sentence for the client that sent the link.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text.trim()).map_err(|_| "this is not a link")?;
        let plain =
            url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
        if !plain || url.port().is_some() || text.contains(['\\', '\0']) {
            return Err("only plain https links are taken, without user or port");
        }
        match url.domain() {
            Some(name) if is_public_name(name) => Ok(Self(url)),
            _ => Err("only links to public host names are taken"),
        }
    }

    #[must_use]
    pub fn host(&self) -> &str {
        self.0.domain().unwrap_or_default()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The hosts of a site, in these recipes.
/// # Errors
/// The recipes have none.
pub(super) fn site_hosts(recipes: &Recipes, site: Site) -> Result<&Hosts, String> {
    recipes
        .hosts(site)
        .ok_or_else(|| "the hosts of this site are not known".to_owned())
}

/// A host of the site, of pages or of audio, as a URL to connect to.
pub(super) fn host_url(host: &str, hosts: &Hosts) -> Option<MediaUrl> {
    let url = format!("https://{host}/");
    [Purpose::Page, Purpose::Media]
        .into_iter()
        .find_map(|purpose| MediaUrl::parse(&url, hosts, purpose).ok())
}

fn printable(url: &Url) -> String {
    format!(
        "{}://{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}

impl fmt::Display for MediaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl fmt::Debug for MediaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::Recipes;

    use super::*;

    fn soundcloud(text: &str, purpose: Purpose) -> Result<MediaUrl, UrlError> {
        MediaUrl::parse(text, &Recipes::built_in().soundcloud.hosts, purpose)
    }

    #[test]
    fn only_https_on_allowed_names_passes() {
        for (text, purpose, allowed) in [
            ("https://api-v2.soundcloud.com/resolve", Purpose::Page, true),
            ("https://API-V2.SoundCloud.com/resolve", Purpose::Page, true),
            (
                "https://api-v2.soundcloud.com:443/resolve",
                Purpose::Page,
                true,
            ),
            ("http://api-v2.soundcloud.com/resolve", Purpose::Page, false),
            (
                "https://api-v2.soundcloud.com:8443/resolve",
                Purpose::Page,
                false,
            ),
            ("https://me@api-v2.soundcloud.com/", Purpose::Page, false),
            (
                "https://api-v2.soundcloud.com.evil.example/",
                Purpose::Page,
                false,
            ),
            ("https://api-v2.soundcloud.com./", Purpose::Page, false),
            ("https://169.254.169.254/latest", Purpose::Page, false),
            ("https://[::1]/", Purpose::Media, false),
            ("https://2852039166/", Purpose::Media, false),
            ("file:///etc/passwd", Purpose::Page, false),
            (
                "https://cf-media.sndcdn.com/a.mp3?Policy=x",
                Purpose::Media,
                true,
            ),
            (
                "https://cf-media.sndcdn.com/a.mp3?Policy=x",
                Purpose::Page,
                false,
            ),
            ("https://evilsndcdn.com/a.mp3", Purpose::Media, false),
            (
                "https://i1.sndcdn.com/artworks-t500x500.jpg",
                Purpose::Cover,
                true,
            ),
            ("nonsense", Purpose::Page, false),
        ] {
            assert_eq!(
                soundcloud(text, purpose).is_ok(),
                allowed,
                "{text} as {purpose:?}"
            );
        }
    }

    #[test]
    fn a_redirect_is_checked_like_a_link() {
        let hosts = Recipes::built_in().soundcloud.hosts;
        let at =
            soundcloud("https://cf-media.sndcdn.com/a/b.mp3?x=1", Purpose::Media).expect("allowed");
        let next = at
            .join("../c.mp3", &hosts, Purpose::Media)
            .expect("relative");
        assert_eq!(next.signed(), "https://cf-media.sndcdn.com/c.mp3");
        assert!(
            at.join("//evil.example/c.mp3", &hosts, Purpose::Media)
                .is_err()
        );
        assert!(
            at.join("http://cf-media.sndcdn.com/c.mp3", &hosts, Purpose::Media)
                .is_err()
        );
    }

    #[test]
    fn a_signature_is_never_printed() {
        let url = soundcloud(
            "https://cf-media.sndcdn.com/a.mp3?Signature=s3cret#frag",
            Purpose::Media,
        )
        .expect("allowed");
        assert_eq!(
            format!("{url} {url:?}"),
            "https://cf-media.sndcdn.com/a.mp3 https://cf-media.sndcdn.com/a.mp3"
        );
        let refused = soundcloud("http://u:pw@evil.example/a?token=s3cret", Purpose::Media)
            .expect_err("refused");
        assert!(
            !refused.to_string().contains("s3cret") && !refused.to_string().contains("pw"),
            "{refused}"
        );
    }

    #[test]
    fn links_of_other_sites_name_public_hosts_over_plain_https() {
        for (text, taken) in [
            ("https://media.example/a?b=c", true),
            ("https://MEDIA.Example/a", true),
            ("https://media.example:443/a", true),
            ("http://media.example/a", false),
            ("https://media.example:8443/a", false),
            ("https://me:word@media.example/a", false),
            ("https://127.0.0.1/a", false),
            ("https://2130706433/a", false),
            ("https://[::1]/a", false),
            ("https://router/a", false),
            ("https://localhost/a", false),
            ("https://x.localhost/a", false),
            ("https://nas.local/a", false),
            ("https://db.internal/a", false),
            ("https://db.internal./a", false),
            ("https://1.0.0.127.in-addr.arpa/a", false),
            ("https://media.example\\@router/a", false),
            ("file:///etc/passwd", false),
            ("--exec=x", false),
            ("", false),
        ] {
            assert_eq!(PublicLink::parse(text).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn audio_of_other_sites_comes_from_public_names_only_and_their_pages_are_never_asked() {
        let recipes = Recipes::built_in();
        let hosts = recipes.hosts(Site::Other).expect("a rule");
        let allowed = |text: &str, purpose| MediaUrl::parse(text, hosts, purpose).is_ok();
        assert!(allowed(
            "https://cdn.media.example/a.mp3?sig=x",
            Purpose::Media
        ));
        assert!(allowed("https://cdn.media.example/a.jpg", Purpose::Cover));
        assert!(!allowed("https://cdn.media.example/", Purpose::Page));
        for hidden in [
            "https://10.0.0.1/a",
            "https://[fd00::1]/a",
            "https://nas/a",
            "https://nas.lan/a",
            "http://a.example/",
        ] {
            assert!(!allowed(hidden, Purpose::Media), "{hidden}");
        }
    }
}
