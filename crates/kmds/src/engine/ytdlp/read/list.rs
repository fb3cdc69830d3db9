//! The lines of a list: its songs, each at its place.
//!
//! Owns the places: yt-dlp leaves out songs that it cannot read, and KMDS uses its numbers only if they make sense.

use kmds_extract::track::Unavailable;
use kmds_extract::{Collection, Entry, ExtractError, Site};
use serde_json::Value;

use super::super::error::YtDlpError;
use super::{number, one, parse, text};

/// Places of a list that yt-dlp may leave out before KMDS ignores its numbers.
const MOST_GAPS: u32 = 1_000;

/// The lines of one run as a list. A song that cannot be read keeps its place.
pub fn collection(site: Site, link: &str, lines: &[String]) -> Result<Collection, YtDlpError> {
    let all: Vec<Value> = lines
        .iter()
        .map(|line| parse(line))
        .collect::<Result<_, _>>()?;
    let head = all.first().cloned().unwrap_or(Value::Null);
    let listed = number(&head, "playlist_count").map_or(all.len(), |count| count as usize);
    let title = text(&head, "playlist_title");
    let (mut entries, mut next, mut gaps) = (Vec::new(), 1, MOST_GAPS);
    for fields in &all {
        let place = number(fields, "playlist_index").map(|index| index as u32);
        let place = place
            .filter(|place| (next..=next + gaps).contains(place))
            .unwrap_or(next);
        // yt-dlp leaves out songs that it could not read: their place stays.
        entries.extend((next..place).map(|number| Entry::Unavailable(unread(site, number))));
        (gaps, next) = (gaps - (place - next), place + 1);
        entries.push(match one(site, fields) {
            Ok(mut track) => {
                track.number = Some(place);
                if track.album.is_none() && site != Site::YouTube {
                    track.album.clone_from(&title);
                }
                Entry::Track(Box::new(track))
            }
            Err(YtDlpError::Extract(error)) => Entry::Unavailable(Unavailable {
                title: text(fields, "title"),
                number: place,
                error,
            }),
            Err(error) => {
                tracing::debug!(%error, place, "one song of yt-dlp's list cannot be read");
                Entry::Unavailable(Unavailable {
                    title: text(fields, "title"),
                    ..unread(site, place)
                })
            }
        });
    }
    let total = u32::try_from(listed.max(entries.len())).unwrap_or(u32::MAX);
    for entry in &mut entries {
        if let Entry::Track(track) = entry {
            track.total = Some(total);
        }
    }
    Ok(Collection {
        id: text(&head, "playlist_id").unwrap_or_default(),
        site,
        link: link.to_owned(),
        title,
        artist: None,
        cover_url: None,
        truncated: listed > entries.len(),
        entries,
        endless: false,
        rest: None,
    })
}

fn unread(site: Site, number: u32) -> Unavailable {
    let reason = "yt-dlp could not read this song".to_owned();
    Unavailable {
        title: None,
        number,
        error: ExtractError::OriginFailed {
            site,
            page: "yt-dlp answer",
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_the_places_of_what_yt_dlp_left_out_or_mumbled() {
        let line = |index: u32, rest: &str| {
            format!(r#"{{"playlist_count": 5, "playlist_index": {index}{rest}}}"#)
        };
        let lines = [
            line(
                1,
                r#", "id": "1", "title": "One", "webpage_url": "https://a.bandcamp.com/track/one""#,
            ),
            line(
                3,
                r#", "id": "3", "title": "Three", "webpage_url": "https://a.bandcamp.com/track/three""#,
            ),
            line(4, r#", "title": "No id""#),
        ];
        let list =
            collection(Site::Bandcamp, "https://a.bandcamp.com/album/b", &lines).expect("a list");
        let places: Vec<(u32, bool)> = list
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Track(track) => (track.number.expect("numbered"), true),
                Entry::Unavailable(gone) => (gone.number, false),
            })
            .collect();
        assert_eq!(places, [(1, true), (2, false), (3, true), (4, false)]);
        assert!(list.truncated, "a fifth song is promised");
    }

    #[test]
    fn numbers_of_a_list_are_believed_as_far_as_they_make_sense() {
        let line =
            |index: f64| format!(r#"{{"playlist_index": {index}, "id": "1", "title": "One"}}"#);
        let lines = [4.0, 2.0, 1e9, 900.0, 1800.0].map(line);
        let list =
            collection(Site::Bandcamp, "https://a.bandcamp.com/album/b", &lines).expect("a list");
        let songs: Vec<(Option<u32>, Option<u32>)> = list
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Track(track) => Some((track.number, track.total)),
                Entry::Unavailable(_) => None,
            })
            .collect();
        // A place that was passed, a place that is too far away, or one after more gaps than a list may have.
        assert_eq!(
            songs,
            [4, 5, 6, 900, 901].map(|number| (Some(number), Some(901)))
        );
    }
}
