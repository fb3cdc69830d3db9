//! Which stream of a track to fetch: pure policy.
//!
//! Owns the order of preference among a track's streams and what has to be done to the bytes to suit a client.
//! Hides how containers and client wishes are matched. Never fetches, never converts.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stream::{Codec, Container, Stream};

/// One form that a client can play. `ogg` is Vorbis in Ogg, `opus` is Opus in Ogg, `webm` is Opus in WebM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    M4a,
    Mp3,
    Ogg,
    Opus,
    WebM,
}

impl Form {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M4a => "m4a",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Opus => "opus",
            Self::WebM => "webm",
        }
    }

    /// The form a stream has as the site sends it; `None` for what no client names.
    #[must_use]
    pub const fn of(container: Container, codec: Codec) -> Option<Self> {
        match (container, codec) {
            (Container::Mp4, _) => Some(Self::M4a),
            (Container::Mp3, _) => Some(Self::Mp3),
            (Container::Ogg, Codec::Opus) => Some(Self::Opus),
            (Container::Ogg, _) => Some(Self::Ogg),
            (Container::WebM, _) => Some(Self::WebM),
            (Container::Flac | Container::Wav, _) => None,
        }
    }
}

impl FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim().to_ascii_lowercase().as_str() {
            "m4a" | "mp4" | "aac" => Ok(Self::M4a),
            "mp3" => Ok(Self::Mp3),
            "ogg" | "vorbis" => Ok(Self::Ogg),
            "opus" => Ok(Self::Opus),
            "webm" => Ok(Self::WebM),
            _ => Err(()),
        }
    }
}

/// What a client can play, the most welcome first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accept(Vec<Form>);

impl Default for Accept {
    /// Old players and the bot take `.m4a` and `.mp3`; Vorbis is what conversions yield (docs/sites.md).
    fn default() -> Self {
        Self(vec![Form::M4a, Form::Mp3, Form::Ogg])
    }
}

impl Accept {
    /// `None` when nothing is left: a client must be able to play something. Repeats are dropped.
    #[must_use]
    pub fn new(forms: impl IntoIterator<Item = Form>) -> Option<Self> {
        let mut kept = Vec::new();
        for form in forms {
            if !kept.contains(&form) {
                kept.push(form);
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    #[must_use]
    pub fn forms(&self) -> &[Form] {
        &self.0
    }

    fn place(&self, form: Form) -> Option<usize> {
        self.0.iter().position(|have| *have == form)
    }

    /// Opus, in any container, is more welcome than AAC and MP3.
    fn asks_for_opus(&self) -> bool {
        let opus = [Form::Opus, Form::WebM]
            .iter()
            .filter_map(|form| self.place(*form))
            .min();
        let rest = [Form::M4a, Form::Mp3]
            .iter()
            .filter_map(|form| self.place(*form))
            .min();
        opus.is_some_and(|opus| rest.is_none_or(|rest| opus < rest))
    }
}

/// What happens to a chosen stream's bytes on the way to the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Byte for byte as the site sends it.
    Keep,
    /// Opus from WebM into Ogg, in process, without touching the audio.
    OpusToOgg,
    /// The client plays nothing the site has: an encoder must run.
    Convert,
}

/// One way to satisfy a client, and what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub stream: Stream,
    pub treatment: Treatment,
}

/// The ways to get this track to a client that plays `accept`, best first; empty only if `streams` is.
///
/// Streams the client plays come before those that need converting, Opus leads only where it was asked for first,
/// and within that the site's own [`Stream::rank`] decides. A muxed stream (video in it) is always last.
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

/// A client that names MP3 before AAC gets it that way round; otherwise the site's rank stands.
fn order(stream: &Stream, accept: &Accept) -> usize {
    let mp3_first = match (accept.place(Form::Mp3), accept.place(Form::M4a)) {
        (Some(mp3), Some(m4a)) => mp3 < m4a,
        _ => false,
    };
    usize::from(mp3_first && stream.codec != Codec::Mp3)
}

fn treatment(stream: &Stream, accept: &Accept) -> Treatment {
    match Form::of(stream.container, stream.codec) {
        Some(Form::WebM) if stream.codec == Codec::Opus => {
            match (accept.place(Form::WebM), accept.place(Form::Opus)) {
                (Some(webm), Some(opus)) if opus < webm => Treatment::OpusToOgg,
                (Some(_), _) => Treatment::Keep,
                (None, Some(_)) => Treatment::OpusToOgg,
                (None, None) => Treatment::Convert,
            }
        }
        Some(form) if accept.place(form).is_some() => Treatment::Keep,
        _ => Treatment::Convert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Delivery;
    use crate::track::Site;

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

    fn labels(accept: &[Form]) -> Vec<(String, Treatment)> {
        let accept = Accept::new(accept.iter().copied()).expect("not empty");
        choose(&offered(), &accept)
            .into_iter()
            .map(|choice| (choice.stream.label, choice.treatment))
            .collect()
    }

    #[test]
    fn the_classic_client_gets_aac_then_mp3_and_opus_only_converted() {
        let got = labels(Accept::default().forms());
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
            labels(&[Form::Opus, Form::M4a])[0],
            ("WebM Opus 3".to_owned(), Treatment::OpusToOgg)
        );
        assert_eq!(
            labels(&[Form::WebM])[0],
            ("WebM Opus 3".to_owned(), Treatment::Keep)
        );
        assert_eq!(labels(&[Form::WebM, Form::Opus])[0].1, Treatment::Keep);
    }

    #[test]
    fn opus_merely_playable_does_not_lead() {
        assert_eq!(
            labels(&[Form::M4a, Form::Mp3, Form::Opus])[0].0,
            "Mp4 Aac 0"
        );
    }

    #[test]
    fn mp3_named_before_aac_comes_first() {
        assert_eq!(labels(&[Form::Mp3, Form::M4a])[0].0, "Mp3 Mp3 1");
    }

    #[test]
    fn a_client_that_plays_nothing_offered_gets_a_conversion() {
        assert!(
            labels(&[Form::Ogg])
                .iter()
                .all(|(_, treatment)| *treatment == Treatment::Convert)
        );
    }
}
