//! Checks whether a file is whole, and rewrites containers without re-encoding.
//!
//! Owns what a container must look like from its first byte to its last, how long its audio is, and three rewrites that
//! leave every audio packet as it was: durations into an HLS init piece ([`mp4::patch_durations`]), the audio out of a
//! muxed MP4 ([`mp4::extract_audio`]), Opus from WebM into Ogg ([`webm::OpusToOgg`]). It reads in pieces of 64 KiB, so
//! memory does not grow with the file. It decodes no audio, and does not decide what to do with a broken file. All
//! functions wait for the disk: call them on a blocking thread.
//!
//! Only Ogg and FLAC have check sums; the sample bytes of an MP4, WAV or MP3 are not checked. Some cuts are legal ends
//! of their format, so that a check without an expected duration cannot see them: a fragmented MP4 without `sidx` cut
//! between fragments, a WebM of unknown size cut between elements, an Ogg stream cut between pages that end a packet,
//! an MP3 without a frame count cut between frames.

pub mod flac;
pub mod mp3;
pub mod mp4;
pub mod ogg;
mod sniff;
mod tail;
pub mod wav;
pub mod webm;
mod window;

#[cfg(test)]
mod tests;

use std::{fs::File, io, time::Duration};

use kmds_extract::{Codec, Container};

pub use sniff::{Sniffed, sniff};
use window::Bytes;
pub(crate) use window::Window;

/// Bytes [`sniff()`] looks at.
pub const SNIFF_BYTES: usize = 4096;

/// How far a duration may be from the expected one: encoders add and trim at the ends.
const DURATION_SLACK: Duration = Duration::from_secs(2);
/// An expected duration in whole seconds was at least rounded: it may differ by this share (1 / 100) more.
const DURATION_SLACK_DIVISOR: u32 = 100;

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub container: Container,
    /// The codec of the (first) audio track.
    pub codec: Codec,
    /// Length of the audio; unknown for a few files that never say and cannot be counted.
    pub duration: Option<Duration>,
    /// Average over the whole file: its bits by its duration.
    pub bitrate_bps: Option<u32>,
    pub size_bytes: u64,
}

/// Why a file is not what it should be. `at` is a byte offset from the start of the file.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the file is empty")]
    Empty,
    #[error("the file is {found}, not the audio that was asked for")]
    WrongContainer { found: Sniffed },
    #[error("the file is cut at byte {at}: {what}")]
    Cut { at: u64, what: &'static str },
    #[error("the file makes no sense at byte {at}: {what}")]
    Malformed { at: u64, what: &'static str },
    #[error("the audio is too short: {have:.1?} of {expected:.1?}")]
    TooShort { have: Duration, expected: Duration },
    #[error("the audio is too long: {have:.1?} instead of {expected:.1?}")]
    TooLong { have: Duration, expected: Duration },
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// The result of reading a file to its end.
#[derive(Debug)]
struct Walked {
    codec: Codec,
    /// Counted from the audio itself.
    content: Option<Duration>,
    /// The duration in a header, if the format can have it beside the content (WebM).
    claimed: Option<Duration>,
}

/// Walks `file` from its first byte to its last and checks that it is a whole `container`, about as long as expected.
///
/// The file's cursor is neither used nor moved. Padding is fine wherever the format allows it. A file of unknown
/// duration is not a failure; a duration may differ from `expected` by 2 s, and by another 1 % where that is in whole
/// seconds.
/// # Errors
/// See [`Broken`].
pub fn check(
    file: &File,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, Broken> {
    check_bytes(file, container, expected)
}

fn check_bytes(
    bytes: &dyn Bytes,
    container: Container,
    expected: Option<Duration>,
) -> Result<Checked, Broken> {
    let mut window = Window::open(bytes)?;
    let found = match sniff(window.peek(0, SNIFF_BYTES)?) {
        // Some taggers write ID3v2 in front of FLAC too, with pictures of any size.
        Sniffed::Mp3 if container == Container::Flac => {
            let behind = mp3::behind_id3(&mut window)?;
            sniff(window.peek(behind, SNIFF_BYTES)?)
        }
        found => found,
    };
    // An MP3 may begin with padding or the tail of a frame: only its walk can tell.
    let may_be = Sniffed::from(container) == found
        || (container == Container::Mp3 && found == Sniffed::Unknown);
    match found {
        Sniffed::Empty => return Err(Broken::Empty),
        found if !may_be => return Err(Broken::WrongContainer { found }),
        _ => {}
    }
    let walked = match container {
        Container::Mp4 => mp4::walk(&mut window),
        Container::WebM => webm::walk(&mut window),
        Container::Ogg => ogg::walk(&mut window),
        Container::Mp3 => mp3::walk(&mut window),
        Container::Flac => flac::walk(&mut window),
        Container::Wav => wav::walk(&mut window),
    }?;
    let duration = agree(walked.content, walked.claimed, expected)?;
    Ok(Checked {
        container,
        codec: walked.codec,
        duration,
        bitrate_bps: duration.and_then(|duration| bitrate_bps(window.len(), duration)),
        size_bytes: window.len(),
    })
}

/// Checks one HLS piece as it arrives: an MP4 init piece or fragment whose boxes fill it exactly; of MP3 and Ogg, which
/// come as byte slices of one file, only that it is something and not a page of text.
/// # Errors
/// See [`Broken`]; offsets are within the piece.
pub fn check_segment(container: Container, bytes: &[u8]) -> Result<(), Broken> {
    match sniff(bytes.get(..SNIFF_BYTES).unwrap_or(bytes)) {
        Sniffed::Empty => Err(Broken::Empty),
        found if found.is_text() => Err(Broken::WrongContainer { found }),
        found if container == Container::Mp4 && found != Sniffed::Mp4 => {
            Err(Broken::WrongContainer { found })
        }
        _ if container == Container::Mp4 => mp4::walk_segment(&mut Window::open(&bytes)?),
        _ => Ok(()),
    }
}

/// Writes the length into the header of a file whose writer could not seek back: the number of samples in FLAC, the
/// sizes in WAV. Other containers need nothing.
/// # Errors
/// The file is not whole, or cannot be written.
pub fn state_length(file: &File, container: Container) -> Result<(), Broken> {
    use std::os::unix::fs::FileExt as _;
    let bytes: &dyn Bytes = file;
    let mut window = Window::open(bytes)?;
    let patches = match container {
        Container::Flac => flac::length_patches(&mut window)?,
        Container::Wav => wav::length_patches(&mut window)?,
        Container::Mp4 | Container::Mp3 | Container::Ogg | Container::WebM => Vec::new(),
    };
    for (at, bytes) in patches {
        file.write_all_at(&bytes, at)?;
    }
    Ok(())
}

/// The duration to report: the counted one, or the claimed one if it is nearer to the expected one.
fn agree(
    content: Option<Duration>,
    claimed: Option<Duration>,
    expected: Option<Duration>,
) -> Result<Option<Duration>, Broken> {
    let Some(expected) = expected else {
        return Ok(content.or(claimed));
    };
    let nearest = [content, claimed]
        .into_iter()
        .flatten()
        .min_by_key(|have| have.abs_diff(expected));
    let Some(have) = nearest else { return Ok(None) };
    let rounded = expected.subsec_nanos() == 0;
    let slack = DURATION_SLACK
        + if rounded {
            expected / DURATION_SLACK_DIVISOR
        } else {
            Duration::ZERO
        };
    match have.abs_diff(expected) > slack {
        true if have < expected => Err(Broken::TooShort { have, expected }),
        true => Err(Broken::TooLong { have, expected }),
        false => Ok(Some(have)),
    }
}

fn bitrate_bps(size_bytes: u64, duration: Duration) -> Option<u32> {
    let bits_per_second = (size_bytes as f64) * 8.0 / duration.as_secs_f64();
    (bits_per_second.is_finite() && bits_per_second < f64::from(u32::MAX))
        .then_some(bits_per_second.round() as u32)
}

/// `units` of 1 / `timescale` seconds; nothing when there are none, or when the timescale is 0.
fn duration_of(units: u64, timescale: u32) -> Option<Duration> {
    if units == 0 || timescale == 0 {
        return None;
    }
    let nanos = u128::from(units) * 1_000_000_000 / u128::from(timescale);
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}
