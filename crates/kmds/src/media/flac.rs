//! FLAC: metadata blocks, then frames to the end.
//!
//! Owns the check that the metadata is whole and that the last frame is whole and the last one promised.
//! Never walks the frames between: their lengths are nowhere written down.

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of, mp3, window::PIECE_BYTES};

/// Bytes before the end in which the last frame must begin: frames of 24-bit stereo stay far below.
const TAIL_BYTES: usize = PIECE_BYTES;
/// The length of an ID3v1 tag, which some taggers hang on.
const ID3V1_BYTES: usize = 128;

struct StreamInfo {
    sample_rate: u32,
    /// 0 is unknown.
    samples: u64,
    /// Samples a frame where that never changes.
    block_samples: u64,
    /// Where the eight bytes stand that hold rate, channels, depth and samples.
    packed_at: u64,
}

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let (stream, end) = ends(window)?;
    match end {
        Some(end) if stream.samples == 0 || end >= stream.samples => {
            let samples = if stream.samples == 0 { end } else { stream.samples };
            Ok(Walked { codec: Codec::Flac, content: duration_of(samples, stream.sample_rate), claimed: None })
        }
        Some(_) => Err(Broken::Cut { at: window.len(), what: "the header promises more samples" }),
        None => Err(Broken::Cut { at: window.len(), what: "inside a FLAC frame" }),
    }
}

/// Where the number of samples stands and what it must be, for a file whose writer left it open.
pub(super) fn length_patches(window: &mut Window<'_>) -> Result<Vec<(u64, Vec<u8>)>, Broken> {
    let (stream, end) = ends(window)?;
    let samples = end.ok_or(Broken::Cut { at: window.len(), what: "inside a FLAC frame" })? & 0xF_FFFF_FFFF;
    // The lower 36 bits of these eight bytes.
    let packed: [u8; 8] = window.array(stream.packed_at, "inside the stream information")?;
    let packed = u64::from_be_bytes(packed) & !0xF_FFFF_FFFF | samples;
    Ok(vec![(stream.packed_at, packed.to_be_bytes().to_vec())])
}

/// The stream information, and the sample at which the last frame ends if it is whole.
fn ends(window: &mut Window<'_>) -> Result<(StreamInfo, Option<u64>), Broken> {
    let start = mp3::after_id3(window.peek(0, super::SNIFF_BYTES)?).map_or(0, |after| after as u64);
    let (stream, audio) = metadata(window, start)?;
    if audio >= window.len() {
        return Err(Broken::Cut { at: window.len(), what: "no frame follows" });
    }
    let from = audio.max(window.len().saturating_sub(TAIL_BYTES as u64));
    let tail = window.peek(from, TAIL_BYTES)?;
    let tag = tail.len().checked_sub(ID3V1_BYTES).filter(|&at| tail.get(at..).is_some_and(|t| t.starts_with(b"TAG")));
    let tail = tail.get(..tag.unwrap_or(tail.len())).unwrap_or_default();
    let end = last_frame_end(tail, stream.block_samples);
    Ok((stream, end))
}

/// STREAMINFO, and where the frames begin.
fn metadata(window: &mut Window<'_>, start: u64) -> Result<(StreamInfo, u64), Broken> {
    if window.peek(start, 4)? != b"fLaC" {
        return Err(Broken::Malformed { at: start, what: "no `fLaC` mark" });
    }
    let (mut at, mut stream) = (start + 4, None);
    loop {
        let [kind, s0, s1, s2]: [u8; 4] = window.array(at, "inside the metadata")?;
        let (body, size) = (at + 4, u64::from(u32::from_be_bytes([0, s0, s1, s2])));
        if kind & 0x7F == 0 {
            stream = Some(stream_info(&window.array(body, "inside the stream information")?, body + 10));
        }
        at = body + size;
        if at > window.len() {
            return Err(Broken::Cut { at: window.len(), what: "inside the metadata" });
        }
        if kind & 0x80 != 0 {
            let stream = stream.ok_or(Broken::Malformed { at: start, what: "no stream information" })?;
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

/// The sample at which the frame that fills `tail` to its end stops; nothing if no whole frame does.
fn last_frame_end(tail: &[u8], block_samples: u64) -> Option<u64> {
    let starts = tail.windows(2).enumerate().rev().filter(|(_, sync)| matches!(sync, [0xFF, 0xF8 | 0xF9]));
    starts.filter_map(|(at, _)| tail.get(at..)).find_map(|frame| {
        let end = frame_end(frame, block_samples)?;
        (crc16(frame) == 0).then_some(end)
    })
}

/// The sample at which this frame ends, read from its header, whose own check sum must fit.
fn frame_end(frame: &[u8], stream_block: u64) -> Option<u64> {
    let (by_sample, sizes) = (frame.get(1)? & 1 == 1, *frame.get(2)?);
    let lead = *frame.get(4)?;
    let more = match lead.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    let mut number = u64::from(if more == 0 { lead } else { lead & (0x7F >> more >> 1) });
    for &byte in frame.get(5..5 + more)? {
        number = number << 6 | u64::from(byte & 0x3F);
    }
    let at = 5 + more;
    let (block, wide) = match sizes >> 4 {
        1 => (192, 0),
        code @ 2..=5 => (144 << code, 0),
        6 => (u64::from(*frame.get(at)?) + 1, 1),
        7 => (u64::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])) + 1, 2),
        code @ 8.. => (1 << code, 0),
        _ => return None,
    };
    let rate_bytes = match sizes & 0x0F {
        12 => 1,
        13 | 14 => 2,
        15 => return None,
        _ => 0,
    };
    let header = frame.get(..=at + wide + rate_bytes)?;
    let step = if stream_block == 0 { block } else { stream_block };
    (crc8(header) == 0).then(|| if by_sample { number + block } else { number * step + block })
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let crc = crc ^ u16::from(*byte) << 8;
        (0..8).fold(crc, |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 })
    })
}
