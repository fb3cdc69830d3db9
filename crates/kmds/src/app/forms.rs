//! In which form a song will reach a client: before it is downloaded.
//!
//! Owns the expectation of a reply (extension, size) and the target of a conversion. Hides nothing. Never fetches.

use kmds_extract::choose::{Accept, Choice, Form, Treatment, choose};
use kmds_extract::{Codec, Recipes, Site, Stream, Track, youtube};

use super::names;
use crate::config::OpusForm;
use crate::convert::Target;

/// Bits per second that an encoder makes of music, for estimates.
const CONVERTED_BPS: f64 = 160_000.0;

/// What a reply promises about a song's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub form: Form,
    pub approximate_size: Option<u64>,
    /// Stated by the site, for bytes that are kept as they are.
    pub exact_size: Option<u64>,
}

/// What this client will get, as far as can be told without another request.
pub fn expected(track: &Track, accept: &Accept, opus: OpusForm, recipes: &Recipes) -> Expected {
    let choices = choose(&track.streams, accept);
    let Some(choice) = choices.first() else {
        return unseen(track, accept, recipes);
    };
    let stream = &choice.stream;
    let form = form_of(choice, accept, opus);
    let kept = choice.treatment == Treatment::Keep && !stream.muxed;
    let exact_size = stream.size_bytes.filter(|_| kept);
    let approximate_size = if choice.treatment == Treatment::Convert
        && Some(form) != Form::of(stream.container, stream.codec)
    {
        track
            .duration
            .or(stream.duration)
            .map(|length| (length.as_secs_f64() * CONVERTED_BPS / 8.0).round() as u64)
    } else {
        exact_size.or_else(|| with_duration(stream, track).approximate_size())
    };
    Expected {
        form,
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

fn form_of(choice: &Choice, accept: &Accept, opus: OpusForm) -> Form {
    let own = Form::of(choice.stream.container, choice.stream.codec).unwrap_or(Form::M4a);
    match choice.treatment {
        Treatment::Keep => own,
        Treatment::OpusToOgg => Form::Opus,
        Treatment::Convert => {
            target(accept, opus).map_or(own, |target| form_of_target(target).unwrap_or(own))
        }
    }
}

/// A song of a list whose streams are not known yet: what its site always has.
fn unseen(track: &Track, accept: &Accept, recipes: &Recipes) -> Expected {
    let first = accept.forms().first().copied();
    let form = match (track.id.site(), first) {
        (Site::YouTube | Site::Other, Some(form @ (Form::Opus | Form::WebM))) => form,
        (Site::YouTube | Site::Other, _) if accept.forms().contains(&Form::M4a) => Form::M4a,
        (Site::YouTube | Site::Other, form) => form.unwrap_or(Form::M4a),
        (Site::SoundCloud, _) if accept.forms().contains(&Form::M4a) => Form::M4a,
        (Site::SoundCloud | Site::Bandcamp, _) => Form::Mp3,
    };
    Expected {
        form,
        approximate_size: estimate(track, form, recipes),
        exact_size: None,
    }
}

/// The size of a song whose streams are not known, by its length and the form it will have.
pub fn estimate(track: &Track, form: Form, recipes: &Recipes) -> Option<u64> {
    match track.id.site() {
        Site::YouTube => youtube::estimated_size(track.duration, recipes),
        Site::SoundCloud | Site::Bandcamp => track
            .duration
            .map(|length| (length.as_secs_f64() * bytes_per_second(form)).round() as u64),
        Site::Other => None,
    }
}

/// Of what SoundCloud and Bandcamp send: 20.2, 16 and 8 bytes a millisecond.
const fn bytes_per_second(form: Form) -> f64 {
    match form {
        Form::M4a => 20_200.0,
        Form::Mp3 => 16_000.0,
        Form::Ogg => CONVERTED_BPS / 8.0,
        Form::Opus | Form::WebM => 8_000.0,
    }
}

/// What a song is converted to for a client that plays none of its encodings; `None`: it is kept as it is.
pub fn target(accept: &Accept, opus: OpusForm) -> Option<Target> {
    let preferred = match opus {
        OpusForm::Keep => return None,
        OpusForm::Vorbis => (Form::Ogg, Target::Ogg),
        OpusForm::Aac => (Form::M4a, Target::M4a),
        OpusForm::Mp3 => (Form::Mp3, Target::Mp3),
    };
    if accept.forms().contains(&preferred.0) {
        return Some(preferred.1);
    }
    accept.forms().iter().find_map(|form| match form {
        Form::M4a => Some(Target::M4a),
        Form::Mp3 => Some(Target::Mp3),
        Form::Ogg => Some(Target::Ogg),
        Form::Opus => Some(Target::Opus),
        // Nothing is ever converted to WebM: Opus in Ogg is the same audio.
        Form::WebM => None,
    })
}

const fn form_of_target(target: Target) -> Option<Form> {
    match target {
        Target::Ogg => Some(Form::Ogg),
        Target::M4a => Some(Form::M4a),
        Target::Mp3 => Some(Form::Mp3),
        Target::Opus => Some(Form::Opus),
        Target::Flac | Target::Wav => None,
    }
}

/// The same name with the extension of what arrived.
pub fn rename(human_name: &str, ext: &str) -> String {
    let stem = human_name
        .rsplit_once('.')
        .map_or(human_name, |(stem, _)| stem);
    names::with_extension(stem, ext)
}

/// Word of a codec for replies and sidecars.
pub const fn codec_word(codec: Codec) -> &'static str {
    match codec {
        Codec::Aac => "aac",
        Codec::Mp3 => "mp3",
        Codec::Opus => "opus",
        Codec::Vorbis => "vorbis",
        Codec::Flac => "flac",
        Codec::Pcm => "pcm",
        Codec::Other => "other",
    }
}
