//! WAV: a RIFF of chunks, and its 64-bit forms RF64 and BW64.
//!
//! Owns the sizes that a RIFF file states of itself. Reads no sample.

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of, tail};

/// Sizes that a writer leaves when it cannot seek back: the chunk runs to the end of the file.
const STREAMED: [u32; 2] = [0, u32::MAX];

/// The shortest `fmt ` there is.
const FORMAT_BYTES: u32 = 16;

/// Sizes that need 64 bits, from `ds64`.
#[derive(Clone, Copy)]
struct Wide {
    riff: u64,
    data: u64,
}

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let wide = wide(window)?;
    let promised = promised_bytes(window, wide)?;
    let at_end = window.len();
    let cut = |what| Broken::Cut { at: at_end, what };
    let (too_short, cut_chunk) = (cut("no audio follows"), cut("inside a chunk"));
    let (mut at, mut format, mut audio_bytes) = (12, Format::default(), None);
    while at < window.len() && window.skip_zeros(at)? < window.len() && !tail::is_tags(window, at)?
    {
        let [kind @ .., s0, s1, s2, s3]: [u8; 8] = window.array(at, "inside a chunk header")?;
        let (body, stated_size) = (at + 8, u32::from_le_bytes([s0, s1, s2, s3]));
        let size = match wide {
            Some(wide) if kind == *b"data" && stated_size == u32::MAX => wide.data,
            _ => u64::from(stated_size),
        };
        if kind == *b"data" && promised.is_none() && STREAMED.contains(&stated_size) {
            audio_bytes = Some(window.len() - body);
            break;
        }
        at = body.saturating_add(size);
        if at > window.len() {
            return Err(cut_chunk);
        }
        match &kind {
            b"fmt " => format = Format::read(window, body, size)?,
            b"data" => audio_bytes = Some(audio_bytes.unwrap_or(0) + size),
            _ => {}
        }
        if size % 2 == 1 && is_padded(window, at)? {
            at += 1;
        }
    }
    let audio_bytes = audio_bytes.filter(|&bytes| bytes > 0).ok_or(too_short)?;
    Ok(Walked {
        codec: format.codec,
        content: duration_of(audio_bytes, format.bytes_per_second),
        claimed: None,
    })
}

/// What the RIFF header says of the size behind it; `None` if it was written before the size was known.
fn promised_bytes(window: &mut Window<'_>, wide: Option<Wide>) -> Result<Option<u64>, Broken> {
    let stated = u32::from_le_bytes(window.array(4, "inside the RIFF header")?);
    let promised = match wide {
        Some(wide) if stated == u32::MAX => Some(wide.riff),
        _ => (!STREAMED.contains(&stated)).then_some(u64::from(stated)),
    };
    // Some writers count a last byte of padding that they do not write.
    match promised {
        Some(bytes) if bytes.saturating_add(7) > window.len() => Err(Broken::Cut {
            at: window.len(),
            what: "the RIFF header promises more",
        }),
        promised => Ok(promised),
    }
}

/// What `fmt ` says.
struct Format {
    codec: Codec,
    bytes_per_second: u32,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            codec: Codec::Other,
            bytes_per_second: 0,
        }
    }
}

impl Format {
    fn read(window: &mut Window<'_>, body: u64, size: u64) -> Result<Self, Broken> {
        if size < u64::from(FORMAT_BYTES) {
            return Err(Broken::Malformed {
                at: body,
                what: "`fmt ` is too short",
            });
        }
        let tag = u16::from_le_bytes(window.array(body, "inside `fmt `")?);
        let bytes_per_second = u32::from_le_bytes(window.array(body + 8, "inside `fmt `")?);
        let codec = match tag {
            1 | 3 | 0xFFFE => Codec::Pcm,
            _ => Codec::Other,
        };
        Ok(Self {
            codec,
            bytes_per_second,
        })
    }
}

/// `ds64`, which comes first in an RF64 (EBU 3306) or BW64 (ITU BS.2088) file.
fn wide(window: &mut Window<'_>) -> Result<Option<Wide>, Broken> {
    if window.peek(0, 4)? == b"RIFF" || window.peek(12, 4)? != b"ds64" {
        return Ok(None);
    }
    let sizes: [u8; 16] = window.array(20, "inside `ds64`")?;
    let (riff, data) = sizes.split_at(8);
    let number = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    Ok(Some(Wide {
        riff: number(riff),
        data: number(data),
    }))
}

/// Chunks that follow others in most files. A name among them is a name, also where its size, read as text, makes
/// another one with it: the size of `data` is written when the rest is known.
const USUAL: [&[u8]; 7] = [
    b"data", b"LIST", b"fact", b"fmt ", b"id3 ", b"ID3 ", b"bext",
];

/// Whether a chunk of odd size, which ends at `at`, has the byte of padding that it ought to: some writers forget it,
/// and then a name stands there.
fn is_padded(window: &mut Window<'_>, at: u64) -> Result<bool, Broken> {
    let next = window.peek(at, 5)?;
    if next.get(..4).is_some_and(|name| USUAL.contains(&name)) {
        return Ok(false);
    }
    let named = |name: Option<&[u8]>| {
        name.is_some_and(|name| name.iter().all(|byte| matches!(byte, 0x20..=0x7E)))
    };
    Ok(named(next.get(1..5)) || !named(next.get(..4)))
}

/// Where the two sizes stand and what they must be, for a file whose writer left them open.
pub(super) fn length_patches(window: &mut Window<'_>) -> Result<Vec<(u64, Vec<u8>)>, Broken> {
    let size = |bytes: u64| {
        u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .to_le_bytes()
            .to_vec()
    };
    let mut at = 12;
    loop {
        let [kind @ .., s0, s1, s2, s3]: [u8; 8] = window.array(at, "inside a chunk header")?;
        let body = at + 8;
        if kind == *b"data" {
            return Ok(vec![
                (4, size(window.len() - 8)),
                (at + 4, size(window.len() - body)),
            ]);
        }
        let length = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        at = body + length;
        if length % 2 == 1 && is_padded(window, at)? {
            at += 1;
        }
    }
}
