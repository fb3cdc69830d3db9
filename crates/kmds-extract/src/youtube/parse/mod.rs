//! YouTube's answers → values, pure.
//!
//! Owns the common parts of player and list answers: covers, lengths written as text. It sends no request.

mod advertisement;
mod answer;
pub(super) mod list;
pub(super) mod music;
pub(super) mod player;
pub(super) mod search;
pub(super) mod status;
pub(super) mod streams;
pub(super) mod xtags;

use std::time::Duration;

use serde::Deserialize;

use crate::json::lenient::{Number, Obj, Seq, Text};
use crate::link::youtube::VideoId;
use crate::recipes::Hosts;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Thumbnails {
    pub thumbnails: Seq<Obj<Thumbnail>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Thumbnail {
    pub url: Text,
    pub width: Number,
}

/// Names that every video has, whose query may be dropped (field notes, 2.8).
const STANDARD_COVERS: [&str; 11] = [
    "default",
    "mqdefault",
    "hqdefault",
    "sddefault",
    "maxresdefault",
    "mq1",
    "mq2",
    "mq3",
    "hq1",
    "hq2",
    "hq3",
];

/// The cover of a video from the site's list: the largest if `hq720` shows that it exists, else the one that always
/// exists; an unknown name in the list is used unchanged.
pub(super) fn cover<'a>(
    video: VideoId,
    listed: impl Iterator<Item = &'a Thumbnail>,
    hosts: &Hosts,
) -> String {
    let named = |name: &str| format!("https://i.ytimg.com/vi/{video}/{name}.jpg");
    let mut largest: Option<&Thumbnail> = None;
    for thumbnail in listed {
        let name = file_name(&thumbnail.url.0);
        if name == "hq720" || name == "maxresdefault" {
            return named("maxresdefault");
        }
        if largest.is_none_or(|so_far| thumbnail.width.0 > so_far.width.0) {
            largest = Some(thumbnail);
        }
    }
    match largest {
        Some(one)
            if !STANDARD_COVERS.contains(&file_name(&one.url.0)) && is_cover(&one.url.0, hosts) =>
        {
            one.url.0.clone()
        }
        _ => named("hqdefault"),
    }
}

/// The last part of a URL's path, without its ending.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default()
}

fn is_cover(url: &str, hosts: &Hosts) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        url.scheme() == "https" && url.host_str().is_some_and(|host| hosts.allows_cover(host))
    })
}

/// `[h:]m:ss`; anything else ("LIVE", "SHORTS") is no length.
pub(super) fn clock(text: &str) -> Option<Duration> {
    let parts: Vec<&str> = text.trim().split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    let mut seconds: u64 = 0;
    for part in parts {
        if part.is_empty() || part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs(seconds))
}

/// The artist's name from a channel's name: music channels made by the site end in ` - Topic`.
pub(super) fn artist(channel: &str) -> Option<String> {
    let channel = channel.trim();
    let name = channel.strip_suffix(" - Topic").unwrap_or(channel).trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clock_times_are_lengths() {
        assert_eq!(clock("12:05"), Some(Duration::from_secs(725)));
        assert_eq!(clock("1:02:03"), Some(Duration::from_secs(3723)));
        for text in [
            "LIVE",
            "SHORTS",
            "Upcoming",
            "",
            "5",
            "1:2:3:4",
            ":30",
            "1:-2",
            "99999999999999999999:00",
        ] {
            assert_eq!(clock(text), None, "{text}");
        }
    }

    #[test]
    fn covers_follow_what_the_site_lists() {
        let hosts = crate::Recipes::built_in().youtube.hosts;
        let video = VideoId::parse("K4DyBUG242c").expect("an id");
        let chosen = |urls: &[(&str, u64)]| {
            let listed: Vec<Thumbnail> = urls
                .iter()
                .map(|(url, width)| Thumbnail {
                    url: Text((*url).to_owned()),
                    width: Number(Some(*width)),
                })
                .collect();
            cover(video, listed.iter(), &hosts)
        };
        let hq = "https://i.ytimg.com/vi/K4DyBUG242c/hqdefault.jpg";
        assert_eq!(
            chosen(&[
                (
                    "https://i.ytimg.com/vi/K4DyBUG242c/mqdefault.jpg?sqp=x",
                    320
                ),
                ("https://i.ytimg.com/vi/K4DyBUG242c/hq720.jpg?sqp=y", 1280)
            ]),
            "https://i.ytimg.com/vi/K4DyBUG242c/maxresdefault.jpg"
        );
        assert_eq!(
            chosen(&[("https://i.ytimg.com/vi/K4DyBUG242c/mqdefault.jpg", 320)]),
            hq
        );
        assert_eq!(
            chosen(&[("https://i.ytimg.com/vi/K4DyBUG242c/mq2.jpg", 320)]),
            hq
        );
        assert_eq!(chosen(&[]), hq);
        let odd = "https://i.ytimg.com/vi/K4DyBUG242c/frame0.jpg?sqp=z";
        assert_eq!(chosen(&[(odd, 640)]), odd);
        assert_eq!(chosen(&[("http://evil.example/x.jpg", 640)]), hq);
    }

    #[test]
    fn topic_channels_are_named_after_their_artist() {
        assert_eq!(artist("The Weeknd - Topic").as_deref(), Some("The Weeknd"));
        assert_eq!(artist("Off Topic").as_deref(), Some("Off Topic"));
        assert_eq!(artist(" "), None);
    }
}
