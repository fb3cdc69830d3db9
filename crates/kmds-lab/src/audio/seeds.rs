//! The committed seconds of audio, cut into frames.
//!
//! Owns the reading of ADTS, MPEG audio and Ogg, as far as our own seeds need it. It reads nothing else: the seeds are
//! ours, so a wrong one is a mistake in `make.sh`.

use std::sync::OnceLock;

/// Frames of one codec that may be repeated in a circle.
pub struct Seed {
    pub frames: Vec<&'static [u8]>,
    pub samples_per_frame: u32,
    pub rate_hz: u32,
    pub channels: u16,
}

impl Seed {
    /// Frame `number` of a song whose first frame is `turn`.
    pub fn frame(&self, turn: usize, number: usize) -> &'static [u8] {
        let count = self.frames.len().max(1);
        self.frames
            .get((turn + number) % count)
            .copied()
            .unwrap_or_default()
    }
}

pub fn stereo_aac() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| adts(include_bytes!("../../audio/stereo-44100.aac"), 44_100, 2))
}

pub fn mono_aac() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| adts(include_bytes!("../../audio/mono-22050.aac"), 22_050, 1))
}

pub fn mp3() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| Seed {
        frames: mpeg_frames(include_bytes!("../../audio/stereo-44100.mp3")),
        samples_per_frame: 1152,
        rate_hz: 44_100,
        channels: 2,
    })
}

pub fn opus_22k() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| opus(include_bytes!("../../audio/stereo-48000-22k.opus")))
}

pub fn opus_60k() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| opus(include_bytes!("../../audio/stereo-48000-60k.opus")))
}

/// One key picture as NAL units without their start codes: parameter sets first, the slice last.
pub fn picture() -> Vec<&'static [u8]> {
    let mut rest: &'static [u8] = include_bytes!("../../audio/picture.h264");
    let mut units = Vec::new();
    while let Some(at) = start_code(rest) {
        rest = rest.get(at..).unwrap_or_default();
        let end = start_code(rest).map_or(rest.len(), |next| {
            if rest.get(next - 4) == Some(&0) {
                next - 4
            } else {
                next - 3
            }
        });
        units.push(rest.get(..end).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default();
    }
    units
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(3)
        .position(|three| three == [0, 0, 1])
        .map(|at| at + 3)
}

fn adts(bytes: &'static [u8], rate_hz: u32, channels: u16) -> Seed {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some([0xff, b1, _, b3, b4, b5]) = bytes.get(at..at + 6) {
        let length = usize::from(b3 & 3) << 11 | usize::from(*b4) << 3 | usize::from(b5 >> 5);
        let header = if b1 & 1 == 1 { 7 } else { 9 };
        frames.push(bytes.get(at + header..at + length).unwrap_or_default());
        at += length.max(header);
    }
    // The encoder's first frames are its run-in: quiet, and odd to meet in the middle of a song.
    let frames = frames.split_off(2.min(frames.len()));
    Seed {
        frames,
        samples_per_frame: 1024,
        rate_hz,
        channels,
    }
}

fn mpeg_frames(bytes: &'static [u8]) -> Vec<&'static [u8]> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some([0xff, _, b2]) = bytes.get(at..at + 3) {
        // 128 kbit/s at 44.1 kHz: 144 × 128,000 / 44,100 = 417.96 bytes, the fraction made up by a padding bit.
        let length = 417 + usize::from(b2 >> 1 & 1);
        frames.push(bytes.get(at..at + length).unwrap_or_default());
        at += length;
    }
    frames
}

fn opus(bytes: &'static [u8]) -> Seed {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 27) {
        let count = usize::from(header.get(26).copied().unwrap_or(0));
        let lacing = bytes.get(at + 27..at + 27 + count).unwrap_or_default();
        let mut from = at + 27 + count;
        let mut length = 0;
        for lace in lacing {
            length += usize::from(*lace);
            if *lace < 255 {
                frames.push(bytes.get(from..from + length).unwrap_or_default());
                from += length;
                length = 0;
            }
        }
        at = from;
    }
    // Head, tags, and the encoder's run-in.
    let frames = frames.split_off(4.min(frames.len()));
    Seed {
        frames,
        samples_per_frame: 960,
        rate_hz: 48_000,
        channels: 2,
    }
}
