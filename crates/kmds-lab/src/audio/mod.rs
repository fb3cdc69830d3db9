//! Audio of any length, in every container the three sites use.
//!
//! Owns the few seconds of frames in `audio/` (made once by `audio/make.sh`). It repeats them to a given duration and
//! pads them to a given number of bytes. One file for each container knows how to write it. It does not encode, and
//! makes different bytes for each mark.

mod mp3;
mod mp4;
mod muxed;
mod ogg;
mod seeds;
mod webm;

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

pub use mp4::{FRAMES_PER_SEGMENT, HlsAac, hls_aac_init};
pub use ogg::PACKETS_PER_PAGE;

/// A real picture, 320 × 180.
pub const COVER_JPEG: &[u8] = include_bytes!("../../audio/cover.jpg");

/// MPEG audio frames in the first HLS segment of an MP3, then in each later one (SoundCloud notes, 9).
pub const MP3_FIRST_SEGMENT_FRAMES: usize = 76;
pub const MP3_SEGMENT_FRAMES: usize = 382;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Fragmented MP4 with a `sidx`, AAC 44.1 kHz stereo (itag 140).
    Mp4,
    /// The same at 22.05 kHz mono (itags 139, 599).
    Mp4Low,
    /// WebM with its Cues in front, Opus (itags 249 to 251, 600).
    WebM,
    /// MPEG audio, 128 kbit/s constant, behind an ID3v2 tag.
    Mp3,
    /// Ogg Opus, 60 kbit/s. Never padded.
    Ogg,
    /// Fragmented MP4 as HLS pieces joined and patched: AAC 44.1 kHz stereo. Never padded.
    HlsAac,
    /// Progressive MP4 with a picture track and AAC (itag 18).
    Muxed,
}

/// A file that is made when it is first asked for.
pub struct Clip {
    pub shape: Shape,
    pub seconds: f64,
    /// Exact length in bytes; the natural one when `None`. Too few bytes for the duration shorten the duration.
    pub size_bytes: Option<u64>,
    /// Whose bytes these are: another mark, other bytes.
    pub mark: String,
    made: OnceLock<Made>,
}

struct Made {
    bytes: Bytes,
    init_end: u64,
    index_end: u64,
    cuts: Vec<Cut>,
}

/// A piece of a file as HLS serves it.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub from: u64,
    /// First byte that is no longer part of it.
    pub to: u64,
    pub seconds: f64,
}

/// What a container's writer gives back.
pub struct Written {
    pub bytes: Vec<u8>,
    init_end: u64,
    index_end: u64,
    cuts: Vec<Cut>,
}

impl Clip {
    pub fn new(
        shape: Shape,
        seconds: f64,
        size_bytes: Option<u64>,
        mark: impl Into<String>,
    ) -> Self {
        Self {
            shape,
            seconds,
            size_bytes,
            mark: mark.into(),
            made: OnceLock::new(),
        }
    }

    pub fn bytes(&self) -> Bytes {
        self.made().bytes.clone()
    }

    /// The length; known without making the file when it was asked for.
    pub fn len(&self) -> u64 {
        self.size_bytes
            .unwrap_or_else(|| self.made().bytes.len() as u64)
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// Last byte of the header, last byte of the index (`initRange`, `indexRange`).
    pub fn index_ranges(&self) -> (u64, u64) {
        (self.made().init_end, self.made().index_end)
    }

    /// The slices that HLS serves; joined they are the file (of AAC: what follows the initialisation section).
    pub fn cuts(&self) -> &[Cut] {
        &self.made().cuts
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let mark = Mark::of(&self.mark);
            let written = match self.shape {
                Shape::Mp4 => {
                    mp4::fragmented(seeds::stereo_aac(), self.seconds, self.size_bytes, mark)
                }
                Shape::Mp4Low => {
                    mp4::fragmented(seeds::mono_aac(), self.seconds, self.size_bytes, mark)
                }
                Shape::WebM => webm::write(self.seconds, self.size_bytes, mark),
                Shape::Mp3 => mp3::write(self.seconds, self.size_bytes, mark),
                Shape::Ogg => ogg::write(self.seconds, mark),
                Shape::HlsAac => HlsAac::new(self.seconds, &self.mark).joined(),
                Shape::Muxed => muxed::write(self.seconds, self.size_bytes, mark),
            };
            Made {
                bytes: Bytes::from(written.bytes),
                init_end: written.init_end,
                index_end: written.index_end,
                cuts: written.cuts,
            }
        })
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Clip({:?}, {} s, {:?} bytes, {})",
            self.shape, self.seconds, self.size_bytes, self.mark
        )
    }
}

/// What makes the bytes of one song differ from another's.
#[derive(Debug, Clone, Copy)]
struct Mark(u64);

impl Mark {
    fn of(text: &str) -> Self {
        Self(crate::sign::fingerprint(text.as_bytes()))
    }

    /// Where in the seed this song begins.
    fn turn(self, frames: usize) -> usize {
        usize::try_from(self.0 % frames.max(1) as u64).unwrap_or(0)
    }

    fn low_word(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Appends `count` bytes that look like nothing in particular.
    fn fill(self, out: &mut Vec<u8>, count: usize) {
        let mut state = self.0 | 1;
        let mut block = Vec::with_capacity(4096);
        while block.len() < 4096.min(count) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let mut left = count;
        while left > 0 {
            let step = left.min(block.len());
            out.extend_from_slice(block.get(..step).unwrap_or_default());
            left -= step;
        }
    }
}

/// How many frames of `samples` at `rate` come nearest to `seconds`, at least one.
fn frame_count(seconds: f64, samples: u64, rate: u64) -> usize {
    let frames = (seconds.max(0.0) * rate as f64 / samples as f64).round();
    (frames as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn ffmpeg_is_here() -> bool {
        let here = Command::new("ffmpeg")
            .arg("-version")
            .output()
            .is_ok_and(|out| out.status.success());
        if !here {
            eprintln!(
                "SKIPPED: no ffmpeg on this machine, so no second opinion on the lab's audio"
            );
        }
        here
    }

    fn piped(program: &str, args: &[&str], input: &[u8]) -> (String, String) {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let out = child.wait_with_output().expect("the program ends");
        feeder.join().expect("fed");
        (
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    }

    fn file_of(clip: &Clip) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!(
            "kmds-lab-clip-{}-{:?}-{}",
            std::process::id(),
            clip.shape,
            crate::sign::fingerprint(format!("{clip:?}").as_bytes())
        ));
        std::fs::write(&path, clip.bytes()).expect("written");
        path
    }

    fn ffmpeg_is_content_with(clip: &Clip, tolerance: f64) {
        let path = file_of(clip);
        let name = path.to_str().expect("a plain path");
        let (duration, _) = piped(
            "ffprobe",
            &[
                "-v",
                "error",
                "-show_entries",
                "format=duration",
                "-of",
                "csv=p=0",
                name,
            ],
            b"",
        );
        let duration: f64 = duration.trim().parse().expect("a duration");
        assert!(
            (duration - clip.seconds).abs() <= tolerance,
            "{clip:?}: ffprobe says {duration}"
        );
        let (_, complaints) = piped(
            "ffmpeg",
            &["-v", "error", "-i", name, "-f", "null", "-"],
            b"",
        );
        assert_eq!(complaints, "", "{clip:?}");
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn every_shape_has_the_right_duration_and_decodes_in_silence() {
        if !ffmpeg_is_here() {
            return;
        }
        for shape in [
            Shape::Mp4,
            Shape::Mp4Low,
            Shape::WebM,
            Shape::Mp3,
            Shape::Ogg,
            Shape::HlsAac,
            Shape::Muxed,
        ] {
            for seconds in [1.0, 3.3, 12.0, 95.173] {
                ffmpeg_is_content_with(&Clip::new(shape, seconds, None, "a"), 0.06);
            }
        }
    }

    #[test]
    fn a_padded_file_has_exactly_the_wanted_length_and_still_decodes() {
        for (shape, seconds, size) in [
            (Shape::Mp4, 45.0, 735_001),
            (Shape::Mp4, 720.724, 11_664_965),
            (Shape::Mp4Low, 720.793, 4_396_078),
            (Shape::WebM, 720.701, 9_496_783),
            (Shape::WebM, 30.0, 120_005),
            (Shape::Mp3, 60.0, 1 << 20),
            (Shape::Muxed, 30.0, 1 << 20),
        ] {
            let clip = Clip::new(shape, seconds, Some(size), "padded");
            assert_eq!(clip.bytes().len() as u64, size, "{clip:?}");
            if ffmpeg_is_here() {
                let tolerance = if shape == Shape::Mp3 { 0.2 } else { 0.06 };
                ffmpeg_is_content_with(&clip, tolerance);
            }
        }
    }

    #[test]
    fn every_length_near_the_natural_one_is_met_exactly() {
        for shape in [Shape::Mp4, Shape::WebM, Shape::Mp3, Shape::Muxed] {
            let natural = Clip::new(shape, 12.0, None, "x").len();
            for size in natural - 40..natural + 40 {
                assert_eq!(
                    Clip::new(shape, 12.0, Some(size), "x").bytes().len() as u64,
                    size,
                    "{shape:?}"
                );
            }
        }
    }

    #[test]
    fn two_songs_never_share_their_bytes() {
        for shape in [
            Shape::Mp4,
            Shape::WebM,
            Shape::Mp3,
            Shape::Ogg,
            Shape::HlsAac,
            Shape::Muxed,
        ] {
            let one = Clip::new(shape, 5.0, None, "one").bytes();
            assert_ne!(one, Clip::new(shape, 5.0, None, "two").bytes(), "{shape:?}");
            assert_eq!(one, Clip::new(shape, 5.0, None, "one").bytes(), "{shape:?}");
        }
    }

    #[test]
    fn the_cuts_of_a_file_touch_and_cover_it() {
        for shape in [Shape::Mp3, Shape::Ogg, Shape::HlsAac] {
            let clip = Clip::new(shape, 61.0, None, "cut");
            let mut at = if shape == Shape::HlsAac {
                hls_aac_init(&clip.mark).len() as u64
            } else {
                0
            };
            for cut in clip.cuts() {
                assert_eq!(cut.from, at, "{shape:?}");
                at = cut.to;
            }
            assert_eq!(at, clip.len(), "{shape:?}");
            let sum: f64 = clip.cuts().iter().map(|cut| cut.seconds).sum();
            assert!((sum - 61.0).abs() < 0.1, "{shape:?}: {sum}");
        }
    }
}
