//! Ogg: the comment packet on new pages, the audio's pages renumbered (RFC 3533 §6, RFC 7845 §3).

use std::io::Write;

use super::original::Original;
use super::{Facts, TagError, vorbis};

const HEADER_BYTES: usize = 27;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
/// Segments a page can name, and bytes a segment can have.
const MAX_SEGMENTS: usize = 255;
const SEGMENT_BYTES: usize = 255;
/// Of the comments before only the vendor is wanted; it stands in front.
const KEPT_OF_COMMENTS: usize = 4 << 10;
/// The code books of Vorbis: some KB.
const MAX_SETUP_BYTES: usize = 1 << 20;

/// One page, as it stands in the file.
struct Page {
    bytes: Vec<u8>,
    segments: usize,
}

impl Page {
    /// `None` where no page begins: padding behind the last one.
    fn read(original: &Original<'_>, at: u64) -> Result<Option<Self>, TagError> {
        let header: [u8; HEADER_BYTES] = original.head(at)?;
        let [b'O', b'g', b'g', b'S', .., count] = header else {
            return Ok(None);
        };
        let body = at + (HEADER_BYTES + usize::from(count)) as u64;
        let table = original.bytes(at + HEADER_BYTES as u64, body, SEGMENT_BYTES as u64)?;
        let size: u64 = table.iter().map(|&bytes| u64::from(bytes)).sum();
        let bytes = original.bytes(at, body + size, u64::MAX)?;
        Ok(Some(Self {
            bytes,
            segments: table.len(),
        }))
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or([0; N])
    }

    fn is_first(&self) -> bool {
        let [flags] = self.field(5);
        flags & FIRST != 0
    }

    fn serial(&self) -> [u8; 4] {
        self.field(14)
    }

    fn sequence(&self) -> u32 {
        u32::from_le_bytes(self.field(18))
    }

    /// Its pieces of packets, each with whether the packet ends there.
    fn pieces(&self) -> Vec<(&[u8], bool)> {
        let (table, mut body) = self
            .bytes
            .get(HEADER_BYTES..)
            .unwrap_or_default()
            .split_at(self.segments);
        let mut pieces = Vec::new();
        for segments in table.split_inclusive(|&bytes| usize::from(bytes) < SEGMENT_BYTES) {
            let size = segments.iter().map(|&bytes| usize::from(bytes)).sum();
            let (piece, rest) = body.split_at_checked(size).unwrap_or((body, &[]));
            pieces.push((
                piece,
                segments
                    .last()
                    .is_some_and(|&bytes| usize::from(bytes) < SEGMENT_BYTES),
            ));
            body = rest;
        }
        pieces
    }

    fn renumbered(mut self, sequence: u32) -> Vec<u8> {
        put(&mut self.bytes, 18, sequence.to_le_bytes());
        sealed(self.bytes)
    }
}

/// What stands before the audio.
struct Headers {
    is_opus: bool,
    /// Of the comments there were.
    vendor: Vec<u8>,
    /// Vorbis has a third packet.
    setup: Option<Vec<u8>>,
    /// Number of the first page of audio, and where it begins.
    audio_sequence: u32,
    audio: u64,
}

pub fn copy(
    original: &Original<'_>,
    facts: &Facts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let first = Page::read(original, 0)?.ok_or(TagError::NotTaken("it is no Ogg file"))?;
    let (serial, mut first_link) = (first.serial(), true);
    let headers = headers(original, &first, into)?;
    let (audio, audio_sequence) = (headers.audio, headers.audio_sequence);
    let sequence = write_headers(
        headers.packets(facts),
        serial,
        first.sequence().wrapping_add(1),
        into,
    )?;
    let shift = sequence.wrapping_sub(audio_sequence);
    let mut at = audio;
    while let Some(page) = Page::read(original, at)? {
        at += page.bytes.len() as u64;
        // The next link of a chain counts anew.
        first_link &= !(page.is_first() && page.serial() == serial);
        if first_link && page.serial() == serial {
            let sequence = page.sequence().wrapping_add(shift);
            into.write_all(&page.renumbered(sequence))?;
        } else {
            into.write_all(&page.bytes)?;
        }
    }
    original.pass(at, original.len, into)
}

/// Reads up to the first page of audio; passes on what is not replaced.
fn headers(
    original: &Original<'_>,
    first: &Page,
    into: &mut dyn Write,
) -> Result<Headers, TagError> {
    let is_opus = match first.pieces().as_slice() {
        [(head, true)] if head.starts_with(b"OpusHead") => true,
        [(head, true)] if head.starts_with(b"\x01vorbis") => false,
        _ => return Err(TagError::NotTaken("it holds neither Opus nor Vorbis")),
    };
    into.write_all(&first.bytes)?;
    let (mut packets, mut ended) = ([Vec::new(), Vec::new()], 0);
    let (wanted, most) = (
        if is_opus { 1 } else { 2 },
        [KEPT_OF_COMMENTS, MAX_SETUP_BYTES],
    );
    let mut at = first.bytes.len() as u64;
    loop {
        let page =
            Page::read(original, at)?.ok_or(TagError::NotTaken("it ends before its audio"))?;
        at += page.bytes.len() as u64;
        if page.serial() != first.serial() {
            into.write_all(&page.bytes)?;
            continue;
        }
        for (piece, ends) in page.pieces() {
            let (Some(packet), Some(most)) = (
                packets.get_mut(ended).filter(|_| ended < wanted),
                most.get(ended),
            ) else {
                return Err(TagError::NotTaken(
                    "its audio begins in the middle of a page",
                ));
            };
            let room = most.saturating_sub(packet.len());
            if ended == 1 && piece.len() > room {
                return Err(TagError::NotTaken("its code books are too large"));
            }
            packet.extend_from_slice(piece.get(..room).unwrap_or(piece));
            ended += usize::from(ends);
        }
        if ended == wanted {
            let [comments, setup] = packets;
            let audio_sequence = page.sequence().wrapping_add(1);
            let setup = (!is_opus).then_some(setup);
            return Ok(Headers {
                is_opus,
                vendor: vendor(&comments, is_opus),
                setup,
                audio_sequence,
                audio: at,
            });
        }
    }
}

/// Who encoded it; nothing where that cannot be read.
fn vendor(comments: &[u8], is_opus: bool) -> Vec<u8> {
    let behind = if is_opus {
        comments.strip_prefix(b"OpusTags")
    } else {
        comments.strip_prefix(b"\x03vorbis")
    };
    let sized = behind.and_then(<[u8]>::split_first_chunk);
    let vendor =
        sized.and_then(|(size, rest)| rest.get(..usize::try_from(u32::from_le_bytes(*size)).ok()?));
    vendor.unwrap_or_default().to_vec()
}

impl Headers {
    /// What replaces those packets.
    fn packets(self, facts: &Facts<'_>) -> Vec<Vec<u8>> {
        let mut packet = if self.is_opus {
            b"OpusTags".to_vec()
        } else {
            b"\x03vorbis".to_vec()
        };
        let picture = facts.cover.map(vorbis::picture);
        vorbis::comments(&mut packet, &self.vendor, facts, picture.as_deref());
        if !self.is_opus {
            // Vorbis ends its comments with a set bit.
            packet.push(1);
        }
        std::iter::once(packet).chain(self.setup).collect()
    }
}

/// Packets on pages of their own; the number of the page behind them.
fn write_headers(
    packets: Vec<Vec<u8>>,
    serial: [u8; 4],
    mut sequence: u32,
    into: &mut dyn Write,
) -> Result<u32, TagError> {
    // Each segment with whether its packet goes on behind it.
    let mut segments: Vec<(&[u8], bool)> = Vec::new();
    for packet in &packets {
        let mut pieces = packet.chunks_exact(SEGMENT_BYTES);
        segments.extend(pieces.by_ref().map(|piece| (piece, true)));
        segments.push((pieces.remainder(), false));
    }
    let mut continued = false;
    for on_page in segments.chunks(MAX_SEGMENTS) {
        let ends = on_page.iter().any(|(_, goes_on)| !goes_on);
        let mut page = b"OggS\0".to_vec();
        page.push(if continued { CONTINUED } else { 0 });
        // All ones where no packet ends.
        page.extend_from_slice(&if ends { 0_u64 } else { u64::MAX }.to_le_bytes());
        page.extend_from_slice(&serial);
        page.extend_from_slice(&sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(u8::try_from(on_page.len()).unwrap_or(u8::MAX));
        page.extend(
            on_page
                .iter()
                .map(|(piece, _)| u8::try_from(piece.len()).unwrap_or(u8::MAX)),
        );
        on_page
            .iter()
            .for_each(|(piece, _)| page.extend_from_slice(piece));
        into.write_all(&sealed(page))?;
        continued = on_page.last().is_some_and(|(_, goes_on)| *goes_on);
        sequence = sequence.wrapping_add(1);
    }
    Ok(sequence)
}

/// With the check sum of what it holds now.
fn sealed(mut page: Vec<u8>) -> Vec<u8> {
    put(&mut page, 22, [0; 4]);
    let crc = page.iter().fold(0, |crc: u32, &byte| {
        let row = usize::from((crc >> 24) as u8 ^ byte);
        crc << 8 ^ CRC_TABLE.get(row).copied().unwrap_or_default()
    });
    put(&mut page, 22, crc.to_le_bytes());
    page
}

fn put<const N: usize>(page: &mut [u8], at: usize, field: [u8; N]) {
    if let Some(into) = page.get_mut(at..at + N) {
        into.copy_from_slice(&field);
    }
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x04C1_1DB7
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};
