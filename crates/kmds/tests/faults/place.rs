//! Where the song of a cell comes from: the site, the delivery, and the hosts that may be asked.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Site, Song};

/// Where a song comes from, and how it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    YouTube,
    SoundCloudHls,
    SoundCloudFile,
    Bandcamp,
}

pub const PLACES: [Place; 4] = [
    Place::YouTube,
    Place::SoundCloudHls,
    Place::SoundCloudFile,
    Place::Bandcamp,
];
/// Pages do not depend on the delivery.
pub const SITES: [Place; 3] = [Place::YouTube, Place::SoundCloudFile, Place::Bandcamp];

impl Place {
    pub const fn site(self) -> Site {
        match self {
            Self::YouTube => Site::YouTube,
            Self::SoundCloudHls | Self::SoundCloudFile => Site::SoundCloud,
            Self::Bandcamp => Site::Bandcamp,
        }
    }

    /// About a mebibyte and a half: two ranges, eight segments.
    pub fn song(self, lab: &Lab) -> Song {
        let soundcloud = |format| {
            lab.soundcloud()
                .track("ordinary-days")
                .seconds(70.0)
                .formats(&[format])
                .publish()
        };
        match self {
            Self::YouTube => lab
                .youtube()
                .video("Ordinary Days")
                .seconds(95.0)
                .aac_only()
                .publish(),
            Self::SoundCloudHls => soundcloud(Format::AacHls),
            Self::SoundCloudFile => soundcloud(Format::Mp3Progressive),
            Self::Bandcamp => lab
                .bandcamp()
                .track("Ordinary Days")
                .seconds(80.0)
                .publish(),
        }
    }
}

pub fn is_page_host(host: &str) -> bool {
    [
        "youtubei.googleapis.com",
        "www.youtube.com",
        "soundcloud.com",
        "bandcamp.com",
    ]
    .iter()
    .any(|own| host.ends_with(own))
}

/// A host of one of the sites.
pub fn is_known(host: &str) -> bool {
    const OWN: [&str; 8] = [
        "youtubei.googleapis.com",
        "youtube.com",
        "googlevideo.com",
        "soundcloud.com",
        "sndcdn.com",
        "soundcloud.cloud",
        "bandcamp.com",
        "bcbits.com",
    ];
    OWN.iter().any(|own| {
        host == *own
            || host
                .strip_suffix(own)
                .is_some_and(|rest| rest.ends_with('.'))
    })
}
