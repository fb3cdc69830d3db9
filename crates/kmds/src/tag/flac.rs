//! FLAC: the comments and pictures among its metadata blocks (RFC 9639 §8).

use std::io::Write;

use super::original::Original;
use super::{TagError, TagFacts, vorbis};

const PADDING: u8 = 1;
const COMMENTS: u8 = 4;
const PICTURE: u8 = 6;
const LAST: u8 = 0x80;
/// Blocks in front of the audio: there are seven kinds, and few files have more than one picture.
const MAX_BLOCKS: usize = 1000;

pub fn copy(
    original: &mut Original<'_>,
    facts: &TagFacts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let start = original.after_id3()?;
    if original.array(start)? != *b"fLaC" {
        return Err(TagError::NotTaken("it is no FLAC file"));
    }
    into.write_all(b"fLaC")?;
    let mut at = start + 4;
    for _ in 0..MAX_BLOCKS {
        let [kind, s0, s1, s2]: [u8; 4] = original.array(at)?;
        let end = at + 4 + u64::from(u32::from_be_bytes([0, s0, s1, s2]));
        let (is_last, kind) = (kind & LAST != 0, kind & !LAST);
        if !matches!(kind, PADDING | COMMENTS | PICTURE) {
            into.write_all(&[kind])?;
            original.pass(at + 1, end, into)?;
        }
        at = end;
        if is_last {
            write_tags(facts, into)?;
            return original.pass(at, original.len, into);
        }
    }
    Err(TagError::NotTaken("its metadata has no end"))
}

fn write_tags(facts: &TagFacts<'_>, into: &mut dyn Write) -> Result<(), TagError> {
    let mut comments = Vec::new();
    let gain = vorbis::replay_gain(facts);
    vorbis::comments(&mut comments, b"KMDS", facts, gain, None);
    let picture = facts.cover.map(vorbis::picture);
    write_block(
        COMMENTS | if picture.is_none() { LAST } else { 0 },
        &comments,
        into,
    )?;
    picture.map_or(Ok(()), |picture| {
        write_block(PICTURE | LAST, &picture, into)
    })
}

fn write_block(kind: u8, body: &[u8], into: &mut dyn Write) -> Result<(), TagError> {
    let size = u32::try_from(body.len())
        .ok()
        .filter(|size| size >> 24 == 0);
    let [_, s0, s1, s2] = size
        .ok_or(TagError::NotTaken("they are too large"))?
        .to_be_bytes();
    into.write_all(&[kind, s0, s1, s2])?;
    Ok(into.write_all(body)?)
}
