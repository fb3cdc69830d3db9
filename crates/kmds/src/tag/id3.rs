//! ID3v2.4 (id3.org): in front of MP3 frames, and as a chunk of WAV.

use std::io::Write;

use super::original::Original;
use super::{Gain, TagError, TagFacts};

/// UTF-8, and Latin-1 if the text is only ASCII.
const UTF8: u8 = 3;
const LATIN1: u8 = 0;
const FRONT_COVER: u8 = 3;

pub fn copy(
    original: &mut Original<'_>,
    facts: &TagFacts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let audio = original.after_id3()?;
    into.write_all(&tag(facts)?)?;
    original.pass(audio, original.len, into)
}

/// The whole tag, its header included.
pub fn tag(facts: &TagFacts<'_>) -> Result<Vec<u8>, TagError> {
    let mut frames = Vec::new();
    let of = |number: u32| {
        facts
            .total
            .map_or_else(|| number.to_string(), |total| format!("{number}/{total}"))
    };
    let number = facts.number.map(of);
    let texts = [
        (b"TIT2", Some(facts.title)),
        (b"TPE1", facts.artist),
        (b"TALB", facts.album),
        (b"TPE2", facts.album_artist),
        (b"TRCK", number.as_deref()),
        (b"TDRC", facts.date),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            frame(&mut frames, name, &[&[UTF8], line(text).as_bytes()])?;
        }
    }
    // No language, and no name.
    frame(
        &mut frames,
        b"COMM",
        &[&[UTF8], b"XXX\0", line(facts.link).as_bytes()],
    )?;
    if let Some(gain) = facts.gain {
        let text = format!("{}\0{}", Gain::NAME, gain.replay_gain());
        frame(&mut frames, b"TXXX", &[&[UTF8], text.as_bytes()])?;
    }
    if let Some(cover) = facts.cover {
        let head = [&[LATIN1], cover.media_type.as_bytes(), &[0, FRONT_COVER, 0]].concat();
        frame(&mut frames, b"APIC", &[&head, cover.bytes])?;
    }
    let mut tag = Vec::with_capacity(10 + frames.len());
    tag.extend_from_slice(b"ID3\x04\0\0");
    tag.extend_from_slice(&syncsafe(frames.len())?);
    tag.append(&mut frames);
    Ok(tag)
}

fn frame(into: &mut Vec<u8>, name: &[u8; 4], body: &[&[u8]]) -> Result<(), TagError> {
    into.extend_from_slice(name);
    into.extend_from_slice(&syncsafe(body.iter().map(|part| part.len()).sum())?);
    into.extend_from_slice(&[0, 0]);
    body.iter().for_each(|part| into.extend_from_slice(part));
    Ok(())
}

/// A zero would end the text.
fn line(text: &str) -> String {
    text.replace('\0', "")
}

/// 28 bits, seven a byte.
fn syncsafe(size: usize) -> Result<[u8; 4], TagError> {
    let size = u32::try_from(size)
        .ok()
        .filter(|size| size >> 28 == 0)
        .ok_or(TagError::NotTaken("they are too large"))?;
    Ok([21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8))
}
