//! Resolved metadata, as nodes send it to each other. Pure.

use kmds_extract::track::Unavailable;
use kmds_extract::{Collection, Delivery, Entry, ExtractError, Failure, Resolved, Stream, Track};

use crate::cluster::{ListTold, PlaceTold, Reply, SongTold};

/// The resolved metadata, for another node.
pub(super) fn told(resolved: &Resolved) -> Reply {
    match resolved {
        Resolved::Track(track) => Reply::Song(Box::new(song_told(track))),
        Resolved::Collection(list) => Reply::List(Box::new(ListTold {
            id: list.id.clone(),
            site: list.site,
            link: list.link.clone(),
            title: list.title.clone(),
            artist: list.artist.clone(),
            cover_url: list.cover_url.clone(),
            places: list.entries.iter().map(place_told).collect(),
            // If it was cut for lack of time, the rest is not read from another node.
            truncated: list.truncated || list.rest.is_some(),
            endless: list.endless,
        })),
    }
}

fn place_told(entry: &Entry) -> PlaceTold {
    match entry {
        Entry::Track(track) => PlaceTold::Song(Box::new(song_told(track))),
        Entry::Unavailable(missing) => PlaceTold::Missing {
            title: missing.title.clone(),
            number: missing.number,
            failure: Failure::from(&missing.error),
        },
    }
}

fn song_told(track: &Track) -> SongTold {
    let without_address = |stream: &Stream| {
        let mut stream = stream.clone();
        forget_url(&mut stream);
        stream
    };
    SongTold {
        track: Track {
            streams: Vec::new(),
            ..track.clone()
        },
        streams: track.streams.iter().map(without_address).collect(),
    }
}

/// The metadata that another node resolved; `None` for an answer to another question.
pub(super) fn resolved(reply: Reply) -> Option<Resolved> {
    match reply {
        Reply::Song(told) => Some(Resolved::Track(Box::new(song(*told)))),
        Reply::List(told) => Some(Resolved::Collection(list(*told))),
        Reply::Hits(_)
        | Reply::Taken
        | Reply::Sees(_)
        | Reply::Forms(_)
        | Reply::Done(_)
        | Reply::Cancelled(_)
        | Reply::Refused(_) => None,
    }
}

fn song(told: SongTold) -> Track {
    let SongTold { track, streams } = told;
    Track { streams, ..track }
}

fn list(told: ListTold) -> Collection {
    let site = told.site;
    let entry = |place| match place {
        PlaceTold::Song(told) => Entry::Track(Box::new(song(*told))),
        PlaceTold::Missing {
            title,
            number,
            failure,
        } => Entry::Unavailable(Unavailable {
            title,
            number,
            error: ExtractError::Refused {
                site,
                kind: failure.kind,
                // The receiver puts the site's name in front again.
                reason: failure
                    .sentence
                    .strip_prefix(&format!("{site}: "))
                    .unwrap_or(&failure.sentence)
                    .to_owned(),
                title: None,
            },
        }),
    };
    Collection {
        id: told.id,
        site,
        link: told.link,
        title: told.title,
        artist: told.artist,
        cover_url: told.cover_url,
        entries: told.places.into_iter().map(entry).collect(),
        truncated: told.truncated,
        endless: told.endless,
        rest: None,
    }
}

/// A remembered list has no URLs of streams, since they expire and are long.
pub(super) fn forget_url(stream: &mut Stream) {
    stream.delivery = Delivery::File { url: String::new() };
    stream.headers = Vec::new();
}
