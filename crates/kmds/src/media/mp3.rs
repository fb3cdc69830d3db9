//! MP3: MPEG layer III frames, one after another, with tags around them.
//!
//! Owns the frame header, the tags that may stand before, between and after the frames (ID3v1, ID3v2, APEv2, Lyrics3),
//! and the frame count of a Xing, Info or VBRI header. No frame is decoded; a frame in free format (no bitrate in its
//! header) counts as junk.

use std::time::Duration;

use kmds_extract::Codec;

use super::{Broken, Walked, Window, tail};

/// Bytes of junk stepped over at one place: encoders' leftovers are a frame or less, a lost piece is more.
const JUNK_BYTES: u64 = 4096;
/// Bytes looked at to find the end of a Lyrics3 tag (its size field has six digits).
const LYRICS_BYTES: u64 = 1_000_000;
/// One in this many promised frames may be missing: 1 %.
const LOST_FRAME_DIVISOR: u64 = 100;
/// `LYRICSBEGIN`, the longest mark of a tag.
const MARK_BYTES: usize = 11;

#[derive(Debug, Clone, Copy)]
struct Frame {
    bytes: u64,
    samples: u32,
    sample_rate: u32,
    /// Where a Xing or Info header stands in it.
    xing_at: u64,
}

/// Where audio begins behind the ID3v2 tag that `head` begins with.
pub(crate) fn after_id3(head: &[u8]) -> Option<usize> {
    let &[b'I', b'D', b'3', version, _, flags, s0, s1, s2, s3, ..] = head else {
        return None;
    };
    if version == 0xFF || (s0 | s1 | s2 | s3) & 0x80 != 0 {
        return None;
    }
    let size = [s0, s1, s2, s3]
        .iter()
        .fold(0, |size, &byte| size << 7 | usize::from(byte));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

/// Where the file begins behind the ID3v2 tags in front of it.
pub(crate) fn behind_id3(window: &mut Window<'_>) -> std::io::Result<u64> {
    let mut at = 0;
    while at < window.len()
        && let Some(size) = after_id3(window.peek(at, MARK_BYTES)?)
    {
        at += size as u64;
    }
    Ok(at)
}

/// Whether `head` begins with frames, zero padding in front allowed. As many as `head` holds must fit together.
pub(super) fn begins(head: &[u8]) -> bool {
    let zeros = head.iter().take_while(|byte| **byte == 0).count();
    let Some(head) = head.get(zeros..) else {
        return false;
    };
    let Some(first) = head.first_chunk().and_then(frame) else {
        return false;
    };
    let next = usize::try_from(first.bytes)
        .ok()
        .and_then(|at| head.get(at..))
        .and_then(<[u8]>::first_chunk);
    next.is_none_or(|next| {
        frame(next).is_some() || next.starts_with(b"TAG") || next.starts_with(b"\0\0")
    })
}

/// Reads a frame header: version, layer III, bitrate, rate, padding, channels (ISO 11172-3 §2.4.2.3, 13818-3).
fn frame(&[sync, kind, rates, mode]: &[u8; 4]) -> Option<Frame> {
    const MPEG1: [u32; 15] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const MPEG2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    if sync != 0xFF || kind & 0xE6 != 0xE2 {
        return None;
    }
    let (first, shift) = match kind >> 3 & 3 {
        3 => (true, 0),
        2 => (false, 1),
        0 => (false, 2),
        _ => return None,
    };
    let table = if first { &MPEG1 } else { &MPEG2 };
    let kbps = *table
        .get(usize::from(rates >> 4))
        .filter(|&&kbps| kbps > 0)?;
    let sample_rate = RATES.get(usize::from(rates >> 2 & 3))? >> shift;
    let samples = if first { 1152 } else { 576 };
    let padding = u64::from(rates >> 1 & 1);
    let mono = mode >> 6 == 3;
    let side = match (first, mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let bytes = u64::from(samples / 8 * kbps * 1000 / sample_rate) + padding;
    Some(Frame {
        bytes,
        samples,
        sample_rate,
        xing_at: 4 + side,
    })
}

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let mut seen = FrameSum::default();
    let mut at = 0;
    while at < window.len() {
        let there = frame_at(window, at)?;
        if let Some(frame) = there.filter(|_| seen.frames > 0 || seen.in_step) {
            at = seen.take(window, at, frame)?;
        } else if seen.frames > 0 && tail::is_tags(window, at)? {
            break;
        } else if let Some(next) = after_tag(window, at)? {
            at = next;
            seen.in_step = true;
        } else {
            at = resync(window, at, seen.frames > 0)?;
            seen.in_step = true;
        }
    }
    seen.finish(window.len())
}

#[derive(Default)]
struct FrameSum {
    frames: u64,
    played: Duration,
    /// What a Xing, Info or VBRI header promises.
    promised: Option<u64>,
    /// The place follows a tag or two headers in a row, so one header is enough proof.
    in_step: bool,
}

impl FrameSum {
    fn take(&mut self, window: &mut Window<'_>, at: u64, frame: Frame) -> Result<u64, Broken> {
        let next = at + frame.bytes;
        if next > window.len() {
            return Err(Broken::Cut {
                at: window.len(),
                what: "inside an MP3 frame",
            });
        }
        if self.frames == 0 && self.promised.is_none() {
            self.promised = promised_frames(window, at, frame)?;
            if self.promised.is_some() {
                return Ok(next);
            }
        }
        self.frames += 1;
        self.played +=
            Duration::from_secs_f64(f64::from(frame.samples) / f64::from(frame.sample_rate));
        Ok(next)
    }

    fn finish(self, len: u64) -> Result<Walked, Broken> {
        if self.frames == 0 {
            return Err(match self.promised {
                Some(_) => Broken::Cut {
                    at: len,
                    what: "no MP3 frame follows",
                },
                None => Broken::Malformed {
                    at: 0,
                    what: "no MP3 frame",
                },
            });
        }
        let lost = self.promised.unwrap_or(0).saturating_sub(self.frames);
        if lost > 1 + self.frames / LOST_FRAME_DIVISOR {
            return Err(Broken::Cut {
                at: len,
                what: "the header promises more MP3 frames",
            });
        }
        Ok(Walked {
            codec: Codec::Mp3,
            content: Some(self.played),
            claimed: None,
        })
    }
}

fn frame_at(window: &mut Window<'_>, at: u64) -> Result<Option<Frame>, Broken> {
    Ok(window.peek(at, 4)?.first_chunk().and_then(frame))
}

/// The frame count in the first frame, which then has no audio itself.
fn promised_frames(window: &mut Window<'_>, at: u64, frame: Frame) -> Result<Option<u64>, Broken> {
    /// A VBRI header stands 32 bytes behind the frame header, its frame count 14 bytes further.
    const VBRI_AT: u64 = 4 + 32;
    let xing: [u8; 12] = window
        .array(at + frame.xing_at, "inside an MP3 frame")
        .unwrap_or_default();
    if let [b'X', b'i', b'n', b'g', flags @ .., n0, n1, n2, n3]
    | [b'I', b'n', b'f', b'o', flags @ .., n0, n1, n2, n3] = xing
    {
        let counted = flags.last().is_some_and(|flags| flags & 1 == 1);
        return Ok(Some(if counted {
            u64::from(u32::from_be_bytes([n0, n1, n2, n3]))
        } else {
            0
        }));
    }
    if window.peek(at + VBRI_AT, 4)? == b"VBRI" {
        return Ok(Some(u64::from(
            window.u32_be(at + VBRI_AT + 14, "inside an MP3 frame")?,
        )));
    }
    Ok(None)
}

/// Where a tag that begins at `at` ends.
fn after_tag(window: &mut Window<'_>, at: u64) -> Result<Option<u64>, Broken> {
    let mark = window.peek(at, MARK_BYTES)?;
    let size = if let Some(size) = after_id3(mark) {
        size as u64
    } else if mark.starts_with(b"TAG+") {
        227
    } else if mark.starts_with(b"TAG") || (b"TAG".starts_with(mark)) {
        128
    } else if mark.starts_with(b"APETAGEX") {
        ape_bytes(window.array(at, "inside an APE tag")?)
    } else if mark == b"LYRICSBEGIN" {
        return lyrics_end(window, at).map(Some);
    } else {
        return Ok(None);
    };
    match at + size {
        end if end > window.len() => Err(Broken::Cut {
            at: window.len(),
            what: "inside a tag",
        }),
        end => Ok(Some(end)),
    }
}

/// A header counts the items and the footer behind it; a lone footer is the end of its tag.
fn ape_bytes(header: [u8; 32]) -> u64 {
    let size = header.get(12..).and_then(<[u8]>::first_chunk).copied();
    let is_header = header.get(23).is_some_and(|flags| flags & 0x20 != 0);
    let items = size.map_or(0, u32::from_le_bytes);
    32 + if is_header { u64::from(items) } else { 0 }
}

fn lyrics_end(window: &mut Window<'_>, from: u64) -> Result<u64, Broken> {
    let mut at = from;
    while at < window.len() && at < from + LYRICS_BYTES {
        let piece = window.peek(at, super::SNIFF_BYTES)?;
        let end = piece
            .windows(9)
            .position(|mark| mark == b"LYRICS200" || mark == b"LYRICSEND");
        if let Some(end) = end {
            return Ok(at + end as u64 + 9);
        }
        at += piece.len().saturating_sub(8).max(1) as u64;
    }
    Err(Broken::Cut {
        at: window.len(),
        what: "inside a Lyrics3 tag",
    })
}

/// Steps over padding and junk to the next frame (two headers in a row), tag, or the end of the file.
///
/// Any number of zeros may stand in front of the first frame, a tag or the end. Between frames zeros are junk like
/// other bytes: a lost piece of a file leaves a hole of zeros.
fn resync(window: &mut Window<'_>, from: u64, between: bool) -> Result<u64, Broken> {
    let mut at = window.skip_zeros(from)?;
    if at >= window.len() || (at > from && after_tag(window, at)?.is_some()) {
        return Ok(at);
    }
    let start = if between { from } else { at };
    loop {
        if at - start > JUNK_BYTES {
            return Err(Broken::Malformed {
                at: start,
                what: "not MP3 frames",
            });
        }
        if at >= window.len() {
            let last = window.peek(start, 2)?;
            return match last {
                [0xFF, rest @ ..] if between && rest.iter().all(|&byte| byte >= 0xE0) => {
                    Err(Broken::Cut {
                        at: window.len(),
                        what: "inside an MP3 frame header",
                    })
                }
                _ => Ok(at),
            };
        }
        let here = frame_at(window, at)?;
        if let Some(frame) = here {
            let next = at + frame.bytes;
            if next >= window.len()
                || frame_at(window, next)?.is_some()
                || after_tag(window, next)?.is_some()
            {
                return Ok(at);
            }
        } else if at > from && after_tag(window, at)?.is_some() {
            return Ok(at);
        }
        at += 1;
    }
}
