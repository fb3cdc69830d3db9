//! Ogg: the comment packet is written on new pages, and the audio's pages get new numbers (RFC 3533 §6, RFC 7845 §3).

use std::io::Write;

use super::original::Original;
use super::{Gain, TagError, TagFacts, vorbis};
use crate::media::ogg::{CONTINUED, FIRST, FULL_SEGMENT, MAX_SEGMENTS, NO_GRANULE, Page};

/// Bytes of the old comments that are kept: only the vendor is used, which stands first.
const KEPT_OF_COMMENTS: usize = 4 << 10;
/// Largest code books of Vorbis; they usually have some KB.
const MAX_SETUP_BYTES: usize = 1 << 20;

/// The headers before the audio.
struct Headers {
    is_opus: bool,
    serial: u32,
    /// Number of the file's first page.
    first_sequence: u32,
    /// The vendor in the old comments.
    vendor: Vec<u8>,
    /// The third packet, which only Vorbis has.
    setup: Option<Vec<u8>>,
    /// Number of the first page of audio, and where it begins.
    audio_sequence: u32,
    audio: u64,
}

pub fn copy(
    original: &mut Original<'_>,
    facts: &TagFacts<'_>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let headers = headers(original, into)?;
    let (serial, audio_sequence, mut at) = (headers.serial, headers.audio_sequence, headers.audio);
    let sequence = headers.first_sequence.wrapping_add(1);
    let sequence = write_headers(headers.packets(facts), serial, sequence, into)?;
    let shift = sequence.wrapping_sub(audio_sequence);
    let mut in_first_link = true;
    while let Some(mut page) = page_at(original, at)? {
        at += page.size() as u64;
        // The next stream of a chain numbers its pages by itself.
        in_first_link &= !(page.flags & FIRST != 0 && page.serial == serial);
        if in_first_link && page.serial == serial {
            page.sequence = page.sequence.wrapping_add(shift);
        }
        write(page, into)?;
    }
    original.pass(at, original.len, into)
}

/// `None` if no page begins there: padding or tags after the last one.
fn page_at<'o>(original: &'o mut Original<'_>, at: u64) -> Result<Option<Page<'o>>, TagError> {
    match original.window.peek(at, 4)? {
        b"OggS" => Ok(Some(Page::read(&mut original.window, at)?)),
        _ => Ok(None),
    }
}

fn write(page: Page<'_>, into: &mut dyn Write) -> Result<(), TagError> {
    let mut bytes = Vec::with_capacity(page.size());
    page.write(&mut bytes);
    Ok(into.write_all(&bytes)?)
}

/// Reads up to the first page of audio; passes on the pages that are not replaced.
fn headers(original: &mut Original<'_>, into: &mut dyn Write) -> Result<Headers, TagError> {
    let first = page_at(original, 0)?.ok_or(TagError::NotTaken("it is no Ogg file"))?;
    let mut pieces = first.pieces();
    let is_opus = match (pieces.next(), pieces.next()) {
        (Some((head, true)), None) if head.starts_with(b"OpusHead") => true,
        (Some((head, true)), None) if head.starts_with(b"\x01vorbis") => false,
        _ => return Err(TagError::NotTaken("it holds neither Opus nor Vorbis")),
    };
    let (serial, first_sequence) = (first.serial, first.sequence);
    let mut at = first.size() as u64;
    drop(pieces);
    write(first, into)?;
    let mut packets = Packets::new(is_opus);
    loop {
        let page = page_at(original, at)?.ok_or(TagError::NotTaken("it ends before its audio"))?;
        at += page.size() as u64;
        if page.serial != serial {
            write(page, into)?;
            continue;
        }
        let audio_sequence = page.sequence.wrapping_add(1);
        if packets.take(&page)? {
            let [comments, setup] = packets.kept;
            return Ok(Headers {
                is_opus,
                serial,
                first_sequence,
                vendor: vendor(&comments, is_opus),
                setup: (!is_opus).then_some(setup),
                audio_sequence,
                audio: at,
            });
        }
    }
}

/// The packets behind the first one: comments, and the code books of Vorbis.
struct Packets {
    kept: [Vec<u8>; 2],
    ended: usize,
    wanted: usize,
}

impl Packets {
    const MOST_BYTES: [usize; 2] = [KEPT_OF_COMMENTS, MAX_SETUP_BYTES];

    fn new(is_opus: bool) -> Self {
        Self {
            kept: Default::default(),
            ended: 0,
            wanted: if is_opus { 1 } else { 2 },
        }
    }

    /// Takes a page; true if all header packets are whole. Audio must not begin on the same page.
    fn take(&mut self, page: &Page<'_>) -> Result<bool, TagError> {
        for (piece, ends) in page.pieces() {
            let (Some(packet), Some(most)) = (
                self.kept
                    .get_mut(self.ended)
                    .filter(|_| self.ended < self.wanted),
                Self::MOST_BYTES.get(self.ended),
            ) else {
                return Err(TagError::NotTaken(
                    "its audio begins in the middle of a page",
                ));
            };
            let room = most.saturating_sub(packet.len());
            if self.ended == 1 && piece.len() > room {
                return Err(TagError::NotTaken("its code books are too large"));
            }
            packet.extend_from_slice(piece.get(..room).unwrap_or(piece));
            self.ended += usize::from(ends);
        }
        Ok(self.ended == self.wanted)
    }
}

/// The vendor string; empty if it cannot be read.
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
    /// The packets that replace the old ones.
    fn packets(self, facts: &TagFacts<'_>) -> Vec<Vec<u8>> {
        let mut packet = if self.is_opus {
            b"OpusTags".to_vec()
        } else {
            b"\x03vorbis".to_vec()
        };
        let picture = facts.cover.map(vorbis::picture);
        let gain = if self.is_opus {
            facts.gain.map(|gain| (Gain::OPUS_NAME, gain.r128()))
        } else {
            vorbis::replay_gain(facts)
        };
        vorbis::comments(&mut packet, &self.vendor, facts, gain, picture.as_deref());
        if !self.is_opus {
            // Vorbis ends its comments with a set bit.
            packet.push(1);
        }
        std::iter::once(packet).chain(self.setup).collect()
    }
}

/// Writes packets on pages of their own; returns the number of the page behind them.
fn write_headers(
    packets: Vec<Vec<u8>>,
    serial: u32,
    mut sequence: u32,
    into: &mut dyn Write,
) -> Result<u32, TagError> {
    // Each segment, and whether its packet continues after it.
    let mut segments: Vec<(&[u8], bool)> = Vec::new();
    for packet in &packets {
        let mut pieces = packet.chunks_exact(usize::from(FULL_SEGMENT));
        segments.extend(pieces.by_ref().map(|piece| (piece, true)));
        segments.push((pieces.remainder(), false));
    }
    let mut continued = false;
    for on_page in segments.chunks(MAX_SEGMENTS) {
        let ends = on_page.iter().any(|(_, goes_on)| !goes_on);
        let lacing = on_page.iter().map(|(piece, _)| piece.len() as u8);
        let body: Vec<&[u8]> = on_page.iter().map(|(piece, _)| *piece).collect();
        let page = Page {
            flags: if continued { CONTINUED } else { 0 },
            granule: if ends { 0 } else { NO_GRANULE },
            serial,
            sequence,
            segments: &lacing.collect::<Vec<u8>>(),
            body: &body.concat(),
        };
        write(page, into)?;
        continued = on_page.last().is_some_and(|(_, goes_on)| *goes_on);
        sequence = sequence.wrapping_add(1);
    }
    Ok(sequence)
}
