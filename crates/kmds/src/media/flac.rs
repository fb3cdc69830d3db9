//! FLAC: metadata blocks, then frames to the end.
//!
//! Owns the walk over all frames. Each frame has a check sum of its header, one of the whole frame, and a number that
//! is one higher than the last. No field states the length of a frame: it ends where its check sum is right and the
//! next frame begins. No frame is decoded.

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of, mp3, tail};

/// The length of a STREAMINFO block.
const STREAM_INFO_BYTES: u64 = 34;
/// The longest header: sync and codes 4, number 7, block size 2, sample rate 2, check sum 1.
const HEADER_BYTES: usize = 16;
/// Bytes read from the window at once: far fewer than it holds, so that no byte is read from the drive twice.
const STEP_BYTES: usize = 4096;
/// The largest frame that can be: 65,535 samples of 32 bits in 8 channels, stored as they are, and a little.
const MAX_FRAME_BYTES: u64 = 65_536 * 4 * 8 + 1024;

struct StreamInfo {
    sample_rate: u32,
    /// 0 is unknown.
    samples: u64,
    /// Samples a frame, if the number never changes.
    block_samples: u64,
    /// The offset of the eight bytes that hold rate, channels, depth and samples.
    packed_at: u64,
}

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let (stream, counted) = frames(window)?;
    if counted < stream.samples {
        return Err(Broken::Cut {
            at: window.len(),
            what: "the header promises more samples",
        });
    }
    let samples = if stream.samples == 0 {
        counted
    } else {
        stream.samples
    };
    Ok(Walked {
        codec: Codec::Flac,
        content: duration_of(samples, stream.sample_rate),
        claimed: None,
    })
}

/// The offset of the number of samples and its right value, for a file whose writer left it open.
pub(super) fn length_patches(window: &mut Window<'_>) -> Result<Vec<(u64, Vec<u8>)>, Broken> {
    let (stream, counted) = frames(window)?;
    // The lower 36 bits of these eight bytes.
    let packed: [u8; 8] = window.array(stream.packed_at, "inside the stream information")?;
    let packed = u64::from_be_bytes(packed) & !0xF_FFFF_FFFF | (counted & 0xF_FFFF_FFFF);
    Ok(vec![(stream.packed_at, packed.to_be_bytes().to_vec())])
}

/// The stream information, and how many samples all frames hold.
fn frames(window: &mut Window<'_>) -> Result<(StreamInfo, u64), Broken> {
    let start = mp3::behind_id3(window)?;
    let (stream, mut at) = metadata(window, start)?;
    let ends = tail::starts(window)?;
    if ends.contains(&at) {
        return Err(Broken::Cut {
            at: window.len(),
            what: "no frame follows",
        });
    }
    let mut frame = frame_at(window, at)?.ok_or(Broken::Malformed {
        at,
        what: "not a FLAC frame",
    })?;
    let mut samples: u64 = 0;
    loop {
        samples = samples.saturating_add(frame.samples);
        let (end, next) = frame_end(window, at, &frame, &stream, &ends)?;
        let Some(next) = next else {
            return Ok((stream, samples));
        };
        (at, frame) = (end, next);
    }
}

/// Where the frame at `at` ends, and the frame after it; `None` where the audio ends.
fn frame_end(
    window: &mut Window<'_>,
    at: u64,
    frame: &Frame,
    stream: &StreamInfo,
    ends: &[u64],
) -> Result<(u64, Option<Frame>), Broken> {
    let (mut here, mut crc) = (at, 0);
    while here < window.len() && here - at < MAX_FRAME_BYTES {
        let piece = window.peek(here, STEP_BYTES)?;
        // The place behind the byte at which the check sum comes out; a frame is never shorter than its header.
        let mut out = None;
        for (index, byte) in piece.iter().enumerate() {
            crc = crc16(crc, *byte);
            if crc == 0 {
                out = Some(index + 1);
                break;
            }
        }
        let Some(bytes) = out else {
            here += piece.len() as u64;
            continue;
        };
        here += bytes as u64;
        if ends.contains(&here) {
            return Ok((here, None));
        }
        if let Some(next) = frame_at(window, here)? {
            return match frame.goes_on_as(&next, stream) {
                true => Ok((here, Some(next))),
                false => Err(Broken::Malformed {
                    at: here,
                    what: "a FLAC frame is missing, or comes twice",
                }),
            };
        }
    }
    match here < window.len() {
        true => Err(Broken::Malformed {
            at,
            what: "the check sum of a FLAC frame is wrong",
        }),
        false => Err(Broken::Cut {
            at,
            what: "the check sum of a FLAC frame is wrong",
        }),
    }
}

/// STREAMINFO, and where the frames begin.
fn metadata(window: &mut Window<'_>, start: u64) -> Result<(StreamInfo, u64), Broken> {
    if window.peek(start, 4)? != b"fLaC" {
        return Err(Broken::Malformed {
            at: start,
            what: "no `fLaC` mark",
        });
    }
    let (mut at, mut stream) = (start + 4, None);
    loop {
        let [kind, s0, s1, s2]: [u8; 4] = window.array(at, "inside the metadata")?;
        let (body, size) = (at + 4, u64::from(u32::from_be_bytes([0, s0, s1, s2])));
        if kind & 0x7F == 0 {
            if size < STREAM_INFO_BYTES {
                return Err(Broken::Malformed {
                    at,
                    what: "the stream information is too short",
                });
            }
            stream = Some(stream_info(
                &window.array(body, "inside the stream information")?,
                body + 10,
            ));
        }
        at = body + size;
        if at > window.len() {
            return Err(Broken::Cut {
                at: window.len(),
                what: "inside the metadata",
            });
        }
        if kind & 0x80 != 0 {
            let stream = stream.ok_or(Broken::Malformed {
                at: start,
                what: "no stream information",
            })?;
            return Ok((stream, at));
        }
    }
}

fn stream_info(block: &[u8; 18], packed_at: u64) -> StreamInfo {
    let [b0, b1, b2, b3, .., p0, p1, p2, p3, p4, p5, p6, p7] = *block;
    let (min, max) = (u16::from_be_bytes([b0, b1]), u16::from_be_bytes([b2, b3]));
    // 20 bits of rate, 3 of channels, 5 of depth, 36 of samples.
    let packed = u64::from_be_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
    StreamInfo {
        sample_rate: (packed >> 44) as u32,
        samples: packed & 0xF_FFFF_FFFF,
        block_samples: u64::from(if min == max { min } else { 0 }),
        packed_at,
    }
}

/// What the header of a frame says.
struct Frame {
    /// The number is the first sample's, not the frame's.
    by_sample: bool,
    number: u64,
    samples: u64,
}

impl Frame {
    /// Whether `next` is the frame behind this one.
    fn goes_on_as(&self, next: &Self, stream: &StreamInfo) -> bool {
        let by_frame = next.number == self.number + 1;
        let by_sample = next.number == self.number + self.samples;
        // Before FLAC 1.2 nothing but varying block sizes told that samples are numbered.
        let fits = if self.by_sample {
            by_sample
        } else {
            by_frame || (stream.block_samples == 0 && by_sample)
        };
        self.by_sample == next.by_sample && fits
    }
}

/// Reads the header of the frame at `at`, whose own check sum must fit.
fn frame_at(window: &mut Window<'_>, at: u64) -> Result<Option<Frame>, Broken> {
    Ok(frame(window.peek(at, HEADER_BYTES)?))
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let &[0xFF, sync @ (0xF8 | 0xF9), sizes, _, lead, ..] = bytes else {
        return None;
    };
    let more = match lead.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    let mut number = u64::from(if more == 0 {
        lead
    } else {
        lead & (0x7F >> more >> 1)
    });
    for &byte in bytes.get(5..5 + more)? {
        number = number << 6 | u64::from(byte & 0x3F);
    }
    let at = 5 + more;
    let (samples, wide) = match sizes >> 4 {
        1 => (192, 0),
        code @ 2..=5 => (144 << code, 0),
        6 => (u64::from(*bytes.get(at)?) + 1, 1),
        7 => (
            u64::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])) + 1,
            2,
        ),
        code @ 8.. => (1 << code, 0),
        _ => return None,
    };
    let rate_bytes = match sizes & 0x0F {
        12 => 1,
        13 | 14 => 2,
        15 => return None,
        _ => 0,
    };
    let header = bytes.get(..=at + wide + rate_bytes)?;
    (crc8(header) == 0).then_some(Frame {
        by_sample: sync & 1 == 1,
        number,
        samples,
    })
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            if crc & 0x80 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x07
            }
        })
    })
}

const CRC16_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x8005
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc16(crc: u16, byte: u8) -> u16 {
    crc << 8
        ^ CRC16_TABLE
            .get(usize::from((crc >> 8) as u8 ^ byte))
            .copied()
            .unwrap_or_default()
}
