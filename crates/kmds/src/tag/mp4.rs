//! MP4: iTunes' items in `moov`. The size of `moov` changes, so all offsets that count from the start of the file are
//! corrected (ISO 14496-12).

use std::io::Write;

use super::original::Original;
use super::{Gain, Picture, TagError, TagFacts};
use crate::media::Window;
use crate::media::mp4::BoxAt;

/// Bytes of tables held in memory: ten hours of AAC need 6 MiB.
const MAX_TABLE_BYTES: u64 = 32 << 20;
/// Types of values: numbers, text, pictures.
const PLAIN: u32 = 0;
const UTF8: u32 = 1;
const JPEG: u32 = 13;
const PNG: u32 = 14;

/// A move of all bytes from `from` on, by `by` bytes.
#[derive(Clone, Copy)]
struct Move {
    from: u64,
    by: i64,
}

impl Move {
    fn of(self, at: u64) -> Result<u64, TagError> {
        let moved = if at >= self.from {
            at.checked_add_signed(self.by)
        } else {
            Some(at)
        };
        moved.ok_or(TagError::NotTaken("an offset leads nowhere"))
    }
}

pub fn copy(
    original: &mut Original<'_>,
    facts: &TagFacts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let mut at = 0;
    let moov = loop {
        let found = BoxAt::read(&mut original.window, at, original.len)?;
        if found.kind == *b"moov" {
            break found;
        }
        at = found.end;
    };
    let old = original.bytes(moov.body, moov.end, MAX_TABLE_BYTES)?;
    let mut new = with_items(&old, facts)?;
    let by = i64::try_from(new.len()).unwrap_or(i64::MAX)
        - i64::try_from(moov.end - moov.start).unwrap_or(i64::MAX);
    let shift = Move { from: moov.end, by };
    shift_chunks(&mut new, shift)?;
    drop(old);
    let mut at = 0;
    // Bytes after the last box (zeros, tags of another kind) are passed on unchanged.
    while let Ok(here) = BoxAt::read(&mut original.window, at, original.len) {
        match &here.kind {
            b"moov" if here.start == moov.start => into.write_all(&new)?,
            b"moof" => {
                let mut fragment = original.bytes(here.start, here.end, MAX_TABLE_BYTES)?;
                shift_bases(&mut fragment, shift)?;
                into.write_all(&fragment)?;
            }
            // An index whose offsets are wrong now; players do not need it.
            b"mfra" => pass_as_padding(original, here, into)?,
            b"sidx" if here.start < moov.start => pass_as_padding(original, here, into)?,
            _ => original.pass(here.start, here.end, into)?,
        }
        at = here.end;
    }
    original.pass(at, original.len, into)
}

/// The boxes in a part of `bytes`. Up to seven bytes may be left over: some writers end a list with a zero word.
fn children(bytes: &[u8], from: usize, to: usize) -> Result<Vec<(BoxAt, [usize; 3])>, TagError> {
    let mut window = Window::open(&bytes)?;
    let (mut found, mut at) = (Vec::new(), from);
    while at + 8 <= to {
        let child = BoxAt::read(&mut window, at as u64, to as u64)?;
        let place = [child.start, child.body, child.end]
            .map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        found.push((child, place));
        at = place[2];
    }
    Ok(found)
}

/// `moov` with new items instead of the old ones.
fn with_items(old: &[u8], facts: &TagFacts<'_>) -> Result<Vec<u8>, TagError> {
    let (mut kept, mut user) = (Vec::with_capacity(old.len()), Vec::new());
    for (child, [start, body, end]) in children(old, 0, old.len())? {
        if child.kind != *b"udta" {
            kept.extend_from_slice(old.get(start..end).unwrap_or_default());
            continue;
        }
        for (item, [start, _, end]) in children(old, body, end)? {
            if item.kind != *b"meta" {
                user.extend_from_slice(old.get(start..end).unwrap_or_default());
            }
        }
    }
    user.extend_from_slice(&meta(facts)?);
    kept.extend_from_slice(&boxed(b"udta", &[&user])?);
    boxed(b"moov", &[&kept])
}

fn meta(facts: &TagFacts<'_>) -> Result<Vec<u8>, TagError> {
    let mut items = Vec::new();
    let texts = [
        (b"\xa9nam", Some(facts.title)),
        (b"\xa9ART", facts.artist),
        (b"\xa9alb", facts.album),
        (b"aART", facts.album_artist),
        (b"\xa9day", facts.date),
        (b"\xa9cmt", Some(facts.link)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            items.extend_from_slice(&item(name, UTF8, text.as_bytes())?);
        }
    }
    let short = |number: Option<u32>| {
        number
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or(0)
            .to_be_bytes()
    };
    if facts.number.is_some() || facts.total.is_some() {
        let ([n0, n1], [t0, t1]) = (short(facts.number), short(facts.total));
        items.extend_from_slice(&item(b"trkn", PLAIN, &[0, 0, n0, n1, t0, t1, 0, 0])?);
    }
    if let Some(gain) = facts.gain {
        items.extend_from_slice(&named_item(Gain::NAME, &gain.replay_gain())?);
    }
    if let Some(Picture { media_type, bytes }) = facts.cover {
        items.extend_from_slice(&item(
            b"covr",
            if media_type == "image/png" { PNG } else { JPEG },
            bytes,
        )?);
    }
    let handler = boxed(b"hdlr", &[&[0; 8], b"mdirappl", &[0; 9]])?;
    boxed(b"meta", &[&[0; 4], &handler, &boxed(b"ilst", &[&items])?])
}

fn item(name: &[u8; 4], kind: u32, value: &[u8]) -> Result<Vec<u8>, TagError> {
    boxed(
        name,
        &[&boxed(b"data", &[&kind.to_be_bytes(), &[0; 4], value])?],
    )
}

/// An item that has a name in place of four letters.
fn named_item(name: &str, text: &str) -> Result<Vec<u8>, TagError> {
    let field = |kind, text: &str| boxed(kind, &[&[0; 4], text.as_bytes()]);
    let (mean, name) = (field(b"mean", "com.apple.iTunes")?, field(b"name", name)?);
    let value = boxed(b"data", &[&UTF8.to_be_bytes(), &[0; 4], text.as_bytes()])?;
    boxed(b"----", &[&mean, &name, &value])
}

fn boxed(kind: &[u8; 4], body: &[&[u8]]) -> Result<Vec<u8>, TagError> {
    let size = 8 + body.iter().map(|part| part.len()).sum::<usize>();
    let stated = u32::try_from(size).map_err(|_| TagError::NotTaken("they are too large"))?;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&stated.to_be_bytes());
    bytes.extend_from_slice(kind);
    body.iter().for_each(|part| bytes.extend_from_slice(part));
    Ok(bytes)
}

/// The tables of where the chunks of each track lie.
fn shift_chunks(moov: &mut [u8], shift: Move) -> Result<(), TagError> {
    const PATH: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
    each_under(moov, &PATH, 0, &mut |kind, table| {
        let width = match kind {
            b"stco" => 4,
            b"co64" => 8,
            _ => return Ok(()),
        };
        // Version, flags, and how many follow.
        for offset in table
            .get_mut(8..)
            .unwrap_or_default()
            .chunks_exact_mut(width)
        {
            let moved = shift.of(offset
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)))?;
            let bytes = moved.to_be_bytes();
            let narrow = bytes.split_at(8 - width);
            if narrow.0.iter().any(|&byte| byte != 0) {
                return Err(TagError::NotTaken("its offsets have no room left"));
            }
            offset.copy_from_slice(narrow.1);
        }
        Ok(())
    })
}

/// The base offset of a fragment, if it counts from the start of the file.
fn shift_bases(moof: &mut [u8], shift: Move) -> Result<(), TagError> {
    each_under(moof, &[b"moof", b"traf"], 0, &mut |kind, header| {
        if let (b"tfhd", Some([_, _, _, flags]), Some(base)) = (
            kind,
            header.first_chunk::<4>().copied(),
            header.get_mut(8..16),
        ) && flags & 1 != 0
        {
            let moved = shift.of(base.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))?;
            base.copy_from_slice(&moved.to_be_bytes());
        }
        Ok(())
    })
}

/// Changes the payload of a box of a kind.
type Change<'a> = &'a mut dyn FnMut(&[u8; 4], &mut [u8]) -> Result<(), TagError>;

/// Hands the payload of every box at the end of `path` to `change`.
fn each_under(
    bytes: &mut [u8],
    path: &[&[u8; 4]],
    depth: usize,
    change: Change<'_>,
) -> Result<(), TagError> {
    for (child, [_, body, end]) in children(bytes, 0, bytes.len())? {
        let Some(payload) = bytes.get_mut(body..end) else {
            continue;
        };
        match path.get(depth) {
            Some(kind) if **kind == child.kind => each_under(payload, path, depth + 1, change)?,
            Some(_) => {}
            None => change(&child.kind, payload)?,
        }
    }
    Ok(())
}

/// Writes a box as a `free` box of the same size.
fn pass_as_padding(
    original: &mut Original<'_>,
    here: BoxAt,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    into.write_all(&original.array::<4>(here.start)?)?;
    into.write_all(b"free")?;
    original.pass(here.start + 8, here.end, into)
}
