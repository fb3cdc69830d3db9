//! What a client's text asks for: a link of a site, any other link, or words. Pure.

use kmds_extract::link::{BandcampLink, SearchLink, SoundCloudLink, YouTubeLink};
use kmds_extract::{Failure, Kind, Link, Site, TrackId};

use crate::origin::url::PublicLink;

/// A link, or a search.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Native(Link),
    /// An https link that only yt-dlp may know.
    Other(String),
    /// A search: words for which a site finds songs.
    Search(SearchLink),
}

impl Target {
    /// A link that only yt-dlp may know, if the settings allow it.
    pub(super) fn other(text: &str) -> Result<Self, Failure> {
        match PublicLink::parse(text) {
            Ok(link) => Ok(Self::Other(link.as_str().to_owned())),
            Err(why) => Err(Failure::new(Kind::UnsupportedLink, why)),
        }
    }

    /// Equal for equal links, in any pasted form.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Native(link) => link.canonical(),
            Self::Other(url) => url.clone(),
            Self::Search(search) => search.canonical(),
        }
    }

    /// A short link of SoundCloud may turn out to be a list.
    pub(super) const fn may_be_list(&self) -> bool {
        match self {
            Self::Native(link) => {
                link.is_list() || matches!(link, Link::SoundCloud(SoundCloudLink::Short { .. }))
            }
            Self::Other(_) | Self::Search(_) => false,
        }
    }

    pub(super) const fn is_list(&self) -> bool {
        match self {
            Self::Native(link) => link.is_list(),
            Self::Other(_) => false,
            Self::Search(search) => search.count.is_some(),
        }
    }

    /// The site of a link that the native engine reads.
    pub(super) const fn native_site(&self) -> Option<Site> {
        match self {
            Self::Native(link) => Some(link.site()),
            Self::Other(_) | Self::Search(_) => None,
        }
    }

    /// The song that a link names by its id alone.
    pub(super) fn song(&self) -> Option<TrackId> {
        let Self::Native(link) = self else {
            return None;
        };
        match link {
            Link::YouTube(YouTubeLink::Video { id, .. }) => {
                TrackId::new(Site::YouTube, id.as_str())
            }
            Link::SoundCloud(SoundCloudLink::TrackById { id, token: None }) => {
                TrackId::new(Site::SoundCloud, &id.to_string())
            }
            Link::Bandcamp(BandcampLink::TrackById { id }) => {
                TrackId::new(Site::Bandcamp, &id.to_string())
            }
            _ => None,
        }
    }
}
