//! Which format of a song a client will get, and its size, before the download. Pure.
//!
//! Owns what a reply predicts about a song's file, and the target format for a client that plays none of the song's
//! encodings.

use std::fs::File;
use std::time::Duration;

use kmds_extract::choose::{Accept, Choice, Treatment, choose, expect};
use kmds_extract::{Format, Recipes, Site, Stream, Track, youtube};

use crate::config::OpusForm;
use crate::{media, tag};

/// Bits per second that an encoder makes of music, for estimates.
const CONVERTED_BPS: f64 = 160_000.0;

/// Whether a file in a folder of another program is this song, and whole: its tags have the song's link. Waits for the
/// drive.
pub fn is_song(file: &File, link: &str, format: Format, duration: Option<Duration>) -> bool {
    tag::source_link(file).is_some_and(|found| found == link)
        && media::check(file, format.container(), duration).is_ok()
}

/// The facts about a song's file in a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub format: Format,
    pub approximate_size: Option<u64>,
    /// Stated by the site, for bytes that are kept unchanged.
    pub exact_size: Option<u64>,
}

/// The form that this client will get, as far as known without another request.
pub fn expected(track: &Track, accept: &Accept, opus: OpusForm, recipes: &Recipes) -> Expected {
    let choices = choose(&track.streams, accept);
    let Some(choice) = choices.first() else {
        return unseen(track, accept, opus, recipes);
    };
    let stream = &choice.stream;
    let format = format_of(choice, accept, opus);
    let kept = choice.treatment == Treatment::Keep && !stream.muxed;
    let exact_size = stream.size_bytes.filter(|_| kept);
    let approximate_size = if choice.treatment == Treatment::Convert && format != stream.format() {
        track
            .duration
            .or(stream.duration)
            .map(|length| (length.as_secs_f64() * CONVERTED_BPS / 8.0).round() as u64)
    } else {
        exact_size.or_else(|| with_duration(stream, track).approximate_size())
    };
    Expected {
        format,
        approximate_size,
        exact_size,
    }
}

fn with_duration(stream: &Stream, track: &Track) -> Stream {
    Stream {
        duration: stream.duration.or(track.duration),
        ..stream.clone()
    }
}

fn format_of(choice: &Choice, accept: &Accept, opus: OpusForm) -> Format {
    let own = match choice.stream.format() {
        // No client asks for these formats: the song gets the name of the most usual one.
        Format::Flac | Format::Wav => Format::M4a,
        format => format,
    };
    match choice.treatment {
        Treatment::Keep => own,
        Treatment::OpusToOgg => Format::Opus,
        Treatment::Convert => target(accept, opus).unwrap_or(own),
    }
}

/// A song of a list whose streams are not known yet. The format is one that this client plays: its name is in the
/// reply, and a client that plays other formats must not get the same name.
fn unseen(track: &Track, accept: &Accept, opus: OpusForm, recipes: &Recipes) -> Expected {
    let usual = usual(track.id.site());
    let format = expect(usual, accept)
        .or_else(|| target(accept, opus))
        .or(usual.first().copied())
        .unwrap_or(Format::M4a);
    Expected {
        format,
        approximate_size: estimate(track, format, recipes),
        exact_size: None,
    }
}

/// The formats that a site has for nearly every song, its best first. Sites that yt-dlp reads are mostly like YouTube.
const fn usual(site: Site) -> &'static [Format] {
    match site {
        Site::YouTube | Site::Other => &[Format::M4a, Format::Opus, Format::WebM],
        Site::SoundCloud => &[Format::M4a, Format::Mp3, Format::Opus],
        Site::Bandcamp => &[Format::Mp3],
    }
}

/// Whether to ask the site for a song in this format before converting it: the site has it, or has most songs in it and
/// did not list this one.
pub fn is_offered(track: &Track, format: Format) -> bool {
    let site = track.id.site();
    match &track.offered {
        Some(offered) => offered.contains(&format),
        None => site != Site::Other && usual(site).contains(&format),
    }
}

/// The size of a song whose streams are not known, from its length and its expected format; `None` if only the encoder
/// decides it.
pub fn estimate(track: &Track, format: Format, recipes: &Recipes) -> Option<u64> {
    let bytes_per_second = bytes_per_second(format)?;
    match track.id.site() {
        Site::YouTube => youtube::estimated_size(track.duration, recipes),
        Site::SoundCloud | Site::Bandcamp => track
            .duration
            .map(|length| (length.as_secs_f64() * bytes_per_second).round() as u64),
        Site::Other => None,
    }
}

/// The rates of SoundCloud and Bandcamp: 20.2, 16 and 8 bytes a millisecond.
const fn bytes_per_second(format: Format) -> Option<f64> {
    match format {
        Format::M4a => Some(20_200.0),
        Format::Mp3 => Some(16_000.0),
        Format::Ogg => Some(CONVERTED_BPS / 8.0),
        Format::Opus | Format::WebM => Some(8_000.0),
        Format::Flac | Format::Wav => None,
    }
}

/// The target format for a client that plays none of the song's encodings; `None`: the song is not converted.
pub fn target(accept: &Accept, opus: OpusForm) -> Option<Format> {
    let preferred = match opus {
        OpusForm::Keep => return None,
        OpusForm::Vorbis => Format::Ogg,
        OpusForm::Aac => Format::M4a,
        OpusForm::Mp3 => Format::Mp3,
    };
    if accept.formats().contains(&preferred) {
        return Some(preferred);
    }
    // Nothing is ever converted to WebM: Opus in Ogg is the same audio.
    let mut made = accept
        .formats()
        .iter()
        .filter(|format| **format != Format::WebM);
    made.next().copied()
}
