//! WAV: a RIFF of chunks.
//!
//! Owns the sizes a RIFF file states of itself. Never looks at a sample.

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of};

/// What a writer that cannot seek back leaves as a size: it runs to the end of the file.
const STREAMED: [u32; 2] = [0, u32::MAX];

/// The shortest `fmt ` there is.
const FORMAT_BYTES: u32 = 16;

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let stated = u32::from_le_bytes(window.array(4, "inside the RIFF header")?);
    if !STREAMED.contains(&stated) && u64::from(stated) + 8 > window.len() {
        return Err(Broken::Cut { at: window.len(), what: "the RIFF header promises more" });
    }
    let (mut at, mut codec, mut bytes_per_second, mut audio_bytes) = (12, Codec::Other, 0, None);
    while at < window.len() && window.skip_zeros(at)? < window.len() {
        let [kind @ .., s0, s1, s2, s3]: [u8; 8] = window.array(at, "inside a chunk header")?;
        let (body, size) = (at + 8, u32::from_le_bytes([s0, s1, s2, s3]));
        if kind == *b"data" && STREAMED.contains(&size) && STREAMED.contains(&stated) {
            audio_bytes = Some(window.len() - body);
            break;
        }
        at = body + u64::from(size);
        if at > window.len() {
            return Err(Broken::Cut { at: window.len(), what: "inside a chunk" });
        }
        match &kind {
            b"fmt " if size < FORMAT_BYTES => {
                return Err(Broken::Malformed { at: body, what: "`fmt ` is too short" });
            }
            b"fmt " => {
                let format = u16::from_le_bytes(window.array(body, "inside `fmt `")?);
                bytes_per_second = u32::from_le_bytes(window.array(body + 8, "inside `fmt `")?);
                codec = if matches!(format, 1 | 3 | 0xFFFE) { Codec::Pcm } else { Codec::Other };
            }
            b"data" => audio_bytes = Some(audio_bytes.unwrap_or(0) + u64::from(size)),
            _ => {}
        }
        at += u64::from(size % 2);
    }
    let cut = Broken::Cut { at: window.len(), what: "no audio follows" };
    let audio_bytes = audio_bytes.filter(|&bytes| bytes > 0).ok_or(cut)?;
    Ok(Walked { codec, content: duration_of(audio_bytes, bytes_per_second), claimed: None })
}

/// Where the two sizes stand and what they must be, for a file whose writer left them open.
pub(super) fn length_patches(window: &mut Window<'_>) -> Result<Vec<(u64, Vec<u8>)>, Broken> {
    let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    let mut at = 12;
    loop {
        let [kind @ .., s0, s1, s2, s3]: [u8; 8] = window.array(at, "inside a chunk header")?;
        let body = at + 8;
        if kind == *b"data" {
            return Ok(vec![(4, size(window.len() - 8)), (at + 4, size(window.len() - body))]);
        }
        let length = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        at = body + length + length % 2;
    }
}
