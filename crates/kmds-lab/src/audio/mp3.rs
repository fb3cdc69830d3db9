//! MPEG audio: repeated frames behind an ID3v2 tag that pads to any length.

use super::{Cut, MP3_FIRST_SEGMENT_FRAMES, MP3_SEGMENT_FRAMES, Mark, Written, frame_count, seeds};

/// Length of the tag of a file of natural length.
const NATURAL_TAG_BYTES: usize = 512;
/// Tag header, frame header, owner and its zero.
const SMALLEST_TAG_BYTES: usize = 10 + 10 + 9 + 16;

pub fn write(seconds: f64, size: Option<u64>, mark: Mark) -> Written {
    let seed = seeds::mp3();
    let turn = mark.turn(seed.frames.len());
    let mut count = frame_count(seconds, 1152, 44_100);
    let mut audio: usize = (0..count).map(|n| seed.frame(turn, n).len()).sum();
    let tag = match size {
        None => NATURAL_TAG_BYTES,
        Some(size) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            while count > 0 && audio + SMALLEST_TAG_BYTES > size {
                count -= 1;
                audio -= seed.frame(turn, count).len();
            }
            size.saturating_sub(audio)
        }
    };
    let mut out = Vec::with_capacity(tag + audio);
    id3(&mut out, tag, mark);
    let mut cuts = Vec::new();
    let (mut from, mut in_cut) = (0, 0);
    for number in 0..count {
        out.extend_from_slice(seed.frame(turn, number));
        in_cut += 1;
        let wanted = if cuts.is_empty() {
            MP3_FIRST_SEGMENT_FRAMES
        } else {
            MP3_SEGMENT_FRAMES
        };
        if in_cut == wanted || number + 1 == count {
            cuts.push(Cut {
                from,
                to: out.len() as u64,
                seconds: f64::from(in_cut as u32) * 1152.0 / 44_100.0,
            });
            from = out.len() as u64;
            in_cut = 0;
        }
    }
    Written {
        init_end: tag as u64,
        index_end: tag as u64,
        bytes: out,
        cuts,
    }
}

/// One ID3v2.4 tag of exactly `length` bytes, holding one private frame.
fn id3(out: &mut Vec<u8>, length: usize, mark: Mark) {
    out.extend_from_slice(b"ID3\x04\x00\x00");
    out.extend_from_slice(&syncsafe(length.saturating_sub(10)));
    out.extend_from_slice(b"PRIV");
    out.extend_from_slice(&syncsafe(length.saturating_sub(20)));
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(b"kmds-lab\0");
    mark.fill(out, length.saturating_sub(29));
    // A stray 0xff 0xe. in the padding must not look like a frame.
    for byte in out.iter_mut().skip(29) {
        *byte &= 0x7f;
    }
}

fn syncsafe(value: usize) -> [u8; 4] {
    [
        (value >> 21) as u8 & 0x7f,
        (value >> 14) as u8 & 0x7f,
        (value >> 7) as u8 & 0x7f,
        value as u8 & 0x7f,
    ]
}
