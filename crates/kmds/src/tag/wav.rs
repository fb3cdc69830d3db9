//! WAV: an ID3v2 tag as the last chunk of the RIFF.

use std::io::Write;

use super::original::Original;
use super::{TagError, TagFacts, id3};

/// The size that a writer leaves if it cannot seek back: the chunk runs to the end of the file.
const STREAMED: [u32; 2] = [0, u32::MAX];
/// Chunks beside the audio: a handful.
const MAX_CHUNKS: usize = 1000;

/// A chunk of the original, with its header and its padding.
struct Chunk {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

pub fn copy(
    original: &mut Original<'_>,
    facts: &TagFacts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let (form, wave) = (original.array(0)?, original.array(8)?);
    if !matches!((&form, &wave), (b"RIFF" | b"RF64", b"WAVE")) {
        return Err(TagError::NotTaken("it is no WAV file"));
    }
    let chunks = chunks(original)?;
    let mut tag = id3::tag(facts)?;
    // A chunk begins at an even byte.
    tag.resize(tag.len().next_multiple_of(2), 0);
    let kept: u64 = chunks
        .iter()
        .map(|chunk| (chunk.end - chunk.start).next_multiple_of(2))
        .sum();
    let size = 4 + kept + 8 + tag.len() as u64;
    let narrow = u32::try_from(size)
        .ok()
        .filter(|size| !STREAMED.contains(size));
    match (&form, narrow) {
        (b"RIFF", Some(size)) => {
            into.write_all(&[&form[..], &size.to_le_bytes(), &wave].concat())?
        }
        (b"RIFF", None) => return Err(TagError::NotTaken("a WAV file of 4 GiB has no room left")),
        _ => into.write_all(&[&form[..], &u32::MAX.to_le_bytes(), &wave].concat())?,
    }
    for Chunk { kind, start, end } in chunks {
        match &kind {
            // Files above 4 GiB have the size here, in 64 bits.
            b"ds64" if form == *b"RF64" => {
                into.write_all(&original.array::<8>(start)?)?;
                into.write_all(&size.to_le_bytes())?;
                original.pass(start + 16, end, into)?;
            }
            b"data"
                if STREAMED.contains(&u32::from_le_bytes(original.array(start + 4)?))
                    && form == *b"RIFF" =>
            {
                let audio = u32::try_from(end - start - 8)
                    .map_err(|_| TagError::NotTaken("it is too large"))?;
                into.write_all(&[&kind[..], &audio.to_le_bytes()].concat())?;
                original.pass(start + 8, end, into)?;
            }
            _ => original.pass(start, end, into)?,
        }
        if (end - start) % 2 == 1 {
            into.write_all(&[0])?;
        }
    }
    into.write_all(b"id3 ")?;
    into.write_all(&u32::try_from(tag.len()).unwrap_or(u32::MAX).to_le_bytes())?;
    Ok(into.write_all(&tag)?)
}

/// All but the tags there were before.
fn chunks(original: &mut Original<'_>) -> Result<Vec<Chunk>, TagError> {
    let (mut chunks, mut at, mut audio_bytes) = (Vec::new(), 12, None);
    while at + 8 <= original.len {
        let [kind @ .., s0, s1, s2, s3]: [u8; 8] = original.array(at)?;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        let end = match &kind {
            b"data" if size == u32::MAX && audio_bytes.is_some() => {
                at + 8 + audio_bytes.unwrap_or_default()
            }
            b"data" if STREAMED.contains(&size) => original.len,
            _ => at + 8 + u64::from(size),
        };
        if end > original.len || chunks.len() == MAX_CHUNKS {
            return Err(TagError::NotTaken("its chunks have no end"));
        }
        if kind == *b"ds64" {
            audio_bytes = Some(u64::from_le_bytes(original.array(at + 16)?))
                .filter(|size| *size <= original.len);
        }
        // Zeros after the last one are not a chunk.
        if kind != [0; 4] && !kind.eq_ignore_ascii_case(b"id3 ") {
            chunks.push(Chunk {
                kind,
                start: at,
                end,
            });
        }
        at = end.next_multiple_of(2);
    }
    Ok(chunks)
}
