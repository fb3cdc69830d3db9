//! The nodes' questions and answers, and their bytes: compressed JSON, because a list of 5,000 songs has to fit into a
//! message of NATS (1 MB). URLs of streams are never sent: they are valid only for the address that asked for them.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use kmds_extract::choose::Accept;
use kmds_extract::search::Hit;
use kmds_extract::{Failure, Format, Kind, Site, Stream, Track, TrackId};
use serde::{Deserialize, Serialize};

/// The most bytes of an unpacked message. A list of 5,000 songs is an answer.
const LONGEST_QUESTION_BYTES: u64 = 8 << 20;
const LONGEST_REPLY_BYTES: u64 = 32 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// The metadata of a link in its one form.
    Link { link: String, accept: Accept },
    /// What a site finds for words.
    Search { at: String, words: String },
    /// Whether the node makes this song.
    Song(Box<SongWanted>),
    /// Whether the node sees a file of this name in its cache folder ([`crate::store::PROBE`]).
    Sees { file: String },
    /// The forms that the node knows of a song.
    Find(Sought),
    /// Removes a song there.
    Remove(TrackId),
    /// Forgets there that a song has failed.
    Retry(TrackId),
    /// Ends what of a list still waits or runs there.
    Cancel { list: String },
    /// Ends these songs there, as far as only other nodes asked for them.
    LetGo(Vec<TrackId>),
}

/// The name by which a song is looked up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Sought {
    Song(TrackId),
    /// By its canonical name, or by the one for people.
    Name(String),
}

/// A form of a song that a node knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct FormTold {
    pub track: Track,
    /// The form in its key, and the format that its file has or will have.
    pub form: Format,
    pub format: Format,
    pub accept: Accept,
    pub canonical_name: String,
    pub human_name: String,
}

/// A list that a node has cancelled.
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelTold {
    pub site: Site,
    pub id: String,
    /// Song, rendition, and the state it was in.
    pub ended: Vec<(TrackId, String, String)>,
    pub kept: usize,
}

/// What happened to a song at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewsTold {
    pub track: TrackId,
    pub rendition: String,
    /// A change of state, else more bytes.
    pub is_change: bool,
    pub state: String,
    pub received: u64,
    pub total: Option<u64>,
    #[serde(default)]
    pub kind: Option<Kind>,
    #[serde(default)]
    pub reason: Option<String>,
}

/// A song that a node is asked to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SongWanted {
    pub track: Track,
    /// The form it is known by.
    pub form: Format,
    pub accept: Accept,
    pub human_name: String,
    /// A client waits for it.
    pub listened: bool,
    /// The asking node's number of the fetch that wants it; `None` from an older node.
    #[serde(default)]
    pub requester: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Song(Box<SongTold>),
    List(Box<ListTold>),
    Hits(Vec<Hit>),
    /// The song is made here.
    Taken,
    Sees(bool),
    Forms(Vec<FormTold>),
    /// Whether there was anything to do.
    Done(bool),
    Cancelled(Option<CancelTold>),
    Refused(Failure),
}

/// A song, and what its site offers of it, without addresses.
#[derive(Debug, Serialize, Deserialize)]
pub struct SongTold {
    pub track: Track,
    pub streams: Vec<Stream>,
}

/// A list.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListTold {
    pub id: String,
    pub site: Site,
    pub link: String,
    pub title: Option<String>,
    pub artist: Option<String>,
    pub cover_url: Option<String>,
    pub places: Vec<PlaceTold>,
    pub truncated: bool,
    pub endless: bool,
}

/// One place of a list.
#[derive(Debug, Serialize, Deserialize)]
pub enum PlaceTold {
    Song(Box<SongTold>),
    Missing {
        title: Option<String>,
        number: u32,
        failure: Failure,
    },
}

/// Empty if it cannot be written; no node reads that.
pub(super) fn pack(message: &impl Serialize) -> Bytes {
    let mut text = DeflateEncoder::new(Vec::new(), Compression::fast());
    let written = serde_json::to_vec(message).map(|json| text.write_all(&json).is_ok());
    let packed = written.ok().filter(|written| *written);
    packed
        .and_then(|_| text.finish().ok())
        .map_or_else(Bytes::new, Bytes::from)
}

/// `None` for what no node of this version writes.
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "it is asked nothing")
)]
pub(super) fn unpack_question(packed: &[u8]) -> Option<Question> {
    unpack(packed, LONGEST_QUESTION_BYTES)
}

/// As [`unpack_question`].
pub(super) fn unpack_reply(packed: &[u8]) -> Option<Reply> {
    unpack(packed, LONGEST_REPLY_BYTES)
}

fn unpack<T: for<'de> Deserialize<'de>>(packed: &[u8], most: u64) -> Option<T> {
    let mut text = Vec::new();
    let mut inflated = DeflateDecoder::new(packed).take(most);
    inflated.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_a_refusal_come_back_as_they_were() {
        let question = Question::Link {
            link: "https://youtu.be/M4gD1WSo5mA".to_owned(),
            accept: Accept::default(),
        };
        let back = unpack_question(&pack(&question));
        assert!(matches!(back, Some(Question::Link { link, .. }) if link.ends_with("5mA")));
        let failure = Failure::new(Kind::BotCheck, "wants proof");
        let back = unpack_reply(&pack(&Reply::Refused(failure.clone())));
        assert!(matches!(back, Some(Reply::Refused(told)) if told == failure));
    }

    #[test]
    fn what_is_no_message_is_passed_by() {
        for bytes in [&b""[..], b"{}", b"\x00\xff\x00", &pack(&"a text")] {
            assert!(unpack_question(bytes).is_none());
        }
        let bomb = Question::Link {
            link: "a".repeat(9 << 20),
            accept: Accept::default(),
        };
        assert!(unpack_question(&pack(&bomb)).is_none());
    }
}
