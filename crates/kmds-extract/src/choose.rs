//! Which stream of a track to fetch: pure policy.
//!
//! Owns which formats a client may ask for, the order of preference among a track's streams, and how the bytes must be
//! rewritten for a client. It fetches and converts nothing.

use serde::{Deserialize, Serialize};

use crate::format::{Codec, Format};
use crate::stream::Stream;

/// The formats a client may ask a song to arrive in. The others are made on request, of a finished song.
pub const PLAYABLE: [Format; 5] = [
    Format::M4a,
    Format::Mp3,
    Format::Ogg,
    Format::Opus,
    Format::WebM,
];

/// Words for several formats: the formats that one kind of client plays.
const LISTS: [(&str, &[Format]); 1] = [(DISCORD, &[Format::Opus])];
/// Discord's voice channels take Opus packets: libraries for bots pass those of an Ogg file on as they are.
const DISCORD: &str = "discord";

/// Every documented word of [`Accept::read`].
pub const ACCEPT_WORDS: [&str; 6] = [
    Format::M4a.ext(),
    Format::Mp3.ext(),
    Format::Ogg.ext(),
    Format::Opus.ext(),
    Format::WebM.ext(),
    DISCORD,
];

/// The formats that a client can play, the preferred one first. Never empty, and only [`PLAYABLE`] ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Format>")]
pub struct Accept(Vec<Format>);

impl Default for Accept {
    /// Old players and the bot take `.m4a` and `.mp3`; Vorbis is what conversions yield (docs/sites.md).
    fn default() -> Self {
        Self(vec![Format::M4a, Format::Mp3, Format::Ogg])
    }
}

impl TryFrom<Vec<Format>> for Accept {
    type Error = &'static str;

    fn try_from(formats: Vec<Format>) -> Result<Self, Self::Error> {
        Self::new(formats).ok_or("no format that a client can play")
    }
}

impl Accept {
    /// `None` when nothing is left: a client must be able to play something. Repeats are dropped, and so is what is not
    /// [`PLAYABLE`].
    #[must_use]
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Option<Self> {
        let mut kept = Vec::new();
        for format in formats {
            if PLAYABLE.contains(&format) && !kept.contains(&format) {
                kept.push(format);
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// Reads the words of a client or an operator; `None` when no known word is left. Unknown words are passed over: a
    /// newer client may name newer formats.
    #[must_use]
    pub fn read<'w>(words: impl IntoIterator<Item = &'w str>) -> Option<Self> {
        Self::new(words.into_iter().flat_map(formats_named))
    }

    /// The formats that one word in place of a list stands for: `discord`.
    #[must_use]
    pub fn list_named(word: &str) -> Option<Self> {
        Self::new(list_named(word)?.iter().copied())
    }

    #[must_use]
    pub fn formats(&self) -> &[Format] {
        &self.0
    }

    fn place(&self, format: Format) -> Option<usize> {
        self.0.iter().position(|have| *have == format)
    }

    /// Whether the client prefers Opus, in any container, to AAC and MP3.
    fn asks_for_opus(&self) -> bool {
        let first_of = |formats: [Format; 2]| {
            formats
                .into_iter()
                .filter_map(|format| self.place(format))
                .min()
        };
        let opus = first_of([Format::Opus, Format::WebM]);
        let rest = first_of([Format::M4a, Format::Mp3]);
        opus.is_some_and(|opus| rest.is_none_or(|rest| opus < rest))
    }
}

fn list_named(word: &str) -> Option<&'static [Format]> {
    let named = |(name, _): &&(&str, _)| word.trim().eq_ignore_ascii_case(name);
    LISTS.iter().find(named).map(|(_, formats)| *formats)
}

fn formats_named(word: &str) -> Vec<Format> {
    list_named(word).map_or_else(
        || format_named(word).into_iter().collect(),
        <[Format]>::to_vec,
    )
}

/// Clients also call a format by its container or its codec.
fn format_named(word: &str) -> Option<Format> {
    match word.trim().to_ascii_lowercase().as_str() {
        "mp4" | "aac" => Some(Format::M4a),
        "vorbis" => Some(Format::Ogg),
        word => Format::parse(word),
    }
}

/// The rewrite of a chosen stream's bytes on the way to the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Byte for byte as the site sends it.
    Keep,
    /// Opus from WebM into Ogg, in process, without touching the audio.
    OpusToOgg,
    /// The client plays none of the site's formats: an encoder must run.
    Convert,
}

/// One stream for a client, and the rewrite that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub stream: Stream,
    pub treatment: Treatment,
}

/// The ways to get this track to a client that plays `accept`, best first; empty only if `streams` is.
///
/// Streams that the client plays come before those that need converting. Opus leads only if the client asked for it
/// first. Within that, the site's own [`Stream::rank`] decides. A muxed stream (with video) is always last.
#[must_use]
pub fn choose(streams: &[Stream], accept: &Accept) -> Vec<Choice> {
    let opus_first = accept.asks_for_opus();
    let mut choices: Vec<Choice> = streams
        .iter()
        .map(|stream| Choice {
            stream: stream.clone(),
            treatment: treatment(stream, accept),
        })
        .collect();
    choices.sort_by_key(|choice| {
        let stream = &choice.stream;
        let second_choice_codec = if opus_first {
            stream.codec != Codec::Opus
        } else {
            stream.codec == Codec::Opus
        };
        (
            choice.treatment == Treatment::Convert,
            stream.muxed,
            second_choice_codec,
            order(stream, accept),
            stream.rank,
        )
    });
    choices
}

/// Which of these formats this client would get, if the streams of a song are not known yet; `None` if it plays none of
/// them. `usual` has the usual formats of the song's site, its best first. It decides as [`choose`] does.
#[must_use]
pub fn expect(usual: &[Format], accept: &Accept) -> Option<Format> {
    let opus_first = accept.asks_for_opus();
    let playable = usual
        .iter()
        .copied()
        .filter(|format| accept.place(*format).is_some());
    playable.min_by_key(|format| {
        let is_opus = matches!(format, Format::Opus | Format::WebM);
        (
            is_opus != opus_first,
            mp3_first(accept) && *format != Format::Mp3,
            // One stream, re-wrapped as Ogg or unchanged.
            if is_opus { accept.place(*format) } else { None },
        )
    })
}

/// A client that names MP3 before AAC gets MP3 first; otherwise the site's rank counts.
fn order(stream: &Stream, accept: &Accept) -> usize {
    usize::from(mp3_first(accept) && stream.codec != Codec::Mp3)
}

fn mp3_first(accept: &Accept) -> bool {
    match (accept.place(Format::Mp3), accept.place(Format::M4a)) {
        (Some(mp3), Some(m4a)) => mp3 < m4a,
        _ => false,
    }
}

fn treatment(stream: &Stream, accept: &Accept) -> Treatment {
    match stream.format() {
        Format::WebM if stream.codec == Codec::Opus => {
            match (accept.place(Format::WebM), accept.place(Format::Opus)) {
                (Some(webm), Some(opus)) if opus < webm => Treatment::OpusToOgg,
                (Some(_), _) => Treatment::Keep,
                (None, Some(_)) => Treatment::OpusToOgg,
                (None, None) => Treatment::Convert,
            }
        }
        format if accept.place(format).is_some() => Treatment::Keep,
        _ => Treatment::Convert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;
    use crate::stream::{Container, Delivery};

    fn stream(container: Container, codec: Codec, rank: u16) -> Stream {
        Stream {
            site: Site::YouTube,
            delivery: Delivery::File { url: String::new() },
            container,
            codec,
            rank,
            bitrate_bps: None,
            size_bytes: None,
            duration: None,
            loudness_db: None,
            validator: String::new(),
            expires_unix: None,
            headers: Vec::new(),
            bounded_ranges: true,
            muxed: false,
            available_unix: None,
            client: String::new(),
            label: format!("{container:?} {codec:?} {rank}"),
        }
    }

    fn offered() -> Vec<Stream> {
        vec![
            stream(Container::WebM, Codec::Opus, 3),
            stream(Container::Mp3, Codec::Mp3, 1),
            stream(Container::Mp4, Codec::Aac, 0),
            stream(Container::Mp4, Codec::Aac, 2),
        ]
    }

    fn labels(accept: &[Format]) -> Vec<(String, Treatment)> {
        let accept = Accept::new(accept.iter().copied()).expect("not empty");
        choose(&offered(), &accept)
            .into_iter()
            .map(|choice| (choice.stream.label, choice.treatment))
            .collect()
    }

    #[test]
    fn the_classic_client_gets_aac_then_mp3_and_opus_only_converted() {
        let got = labels(Accept::default().formats());
        assert_eq!(
            got,
            [
                ("Mp4 Aac 0".to_owned(), Treatment::Keep),
                ("Mp3 Mp3 1".to_owned(), Treatment::Keep),
                ("Mp4 Aac 2".to_owned(), Treatment::Keep),
                ("WebM Opus 3".to_owned(), Treatment::Convert),
            ]
        );
    }

    #[test]
    fn opus_asked_for_first_leads_and_is_rewrapped_never_converted() {
        assert_eq!(
            labels(&[Format::Opus, Format::M4a])[0],
            ("WebM Opus 3".to_owned(), Treatment::OpusToOgg)
        );
        assert_eq!(
            labels(&[Format::WebM])[0],
            ("WebM Opus 3".to_owned(), Treatment::Keep)
        );
        assert_eq!(labels(&[Format::WebM, Format::Opus])[0].1, Treatment::Keep);
    }

    #[test]
    fn opus_merely_playable_does_not_lead() {
        assert_eq!(
            labels(&[Format::M4a, Format::Mp3, Format::Opus])[0].0,
            "Mp4 Aac 0"
        );
    }

    #[test]
    fn what_no_client_may_ask_for_is_not_accepted() {
        assert_eq!(Accept::read(["flac", "wav", "exe"]), None);
        assert_eq!(Accept::new([Format::Flac]), None);
        assert!(serde_json::from_str::<Accept>("[]").is_err());
        let accept = Accept::read([" AAC", "flac", "vorbis", "m4a"]).expect("two of them");
        assert_eq!(accept.formats(), [Format::M4a, Format::Ogg]);
        let kept = serde_json::to_string(&accept).expect("words");
        assert_eq!(kept, r#"["m4a","ogg"]"#);
        assert_eq!(serde_json::from_str::<Accept>(&kept).ok(), Some(accept));
    }

    #[test]
    fn what_is_expected_of_streams_not_seen_is_what_is_chosen_of_those_seen() {
        let usual = [Format::M4a, Format::Mp3, Format::Opus, Format::WebM];
        let all = PLAYABLE.into_iter();
        let pairs = all.clone().flat_map(|a| PLAYABLE.map(|b| vec![a, b]));
        for formats in all.map(|one| vec![one]).chain(pairs) {
            let accept = Accept::new(formats.clone()).expect("not empty");
            let first = choose(&offered(), &accept).swap_remove(0);
            let chosen = match first.treatment {
                Treatment::Keep => Some(first.stream.format()),
                Treatment::OpusToOgg => Some(Format::Opus),
                Treatment::Convert => None,
            };
            assert_eq!(expect(&usual, &accept), chosen, "{formats:?}");
        }
    }

    #[test]
    fn discord_is_a_word_for_opus_alone_or_in_a_list() {
        let read = |words: &[&str]| Accept::read(words.iter().copied());
        let opus = Accept::new([Format::Opus]);
        assert_eq!(read(&["discord"]), opus);
        assert_eq!(Accept::list_named(" Discord"), opus);
        assert_eq!(Accept::list_named("opus"), None);
        let more = Accept::new([Format::Opus, Format::M4a]);
        assert_eq!(read(&["discord", "opus", "m4a"]), more);
        let words: Vec<&str> = ACCEPT_WORDS.into_iter().take(5).collect();
        assert_eq!(words, PLAYABLE.map(Format::ext));
    }

    #[test]
    fn mp3_named_before_aac_comes_first() {
        assert_eq!(labels(&[Format::Mp3, Format::M4a])[0].0, "Mp3 Mp3 1");
    }

    #[test]
    fn a_client_that_plays_nothing_offered_gets_a_conversion() {
        assert!(
            labels(&[Format::Ogg])
                .iter()
                .all(|(_, treatment)| *treatment == Treatment::Convert)
        );
    }
}
