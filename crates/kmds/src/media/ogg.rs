//! Ogg: pages, each with its own check sum.
//!
//! Owns the page (RFC 3533 §6), the check sum, and what the first packet and the granule positions say of codec and
//! duration; links of a chain are added up. Writes pages too, for [`super::webm::OpusToOgg`].
//! Never looks into an audio packet.

use std::time::Duration;

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of, tail};

const HEADER_BYTES: usize = 27;
/// Segments a page can name.
pub(super) const MAX_SEGMENTS: usize = 255;
/// The largest page there can be.
const MAX_PAGE_BYTES: usize = HEADER_BYTES + MAX_SEGMENTS + MAX_SEGMENTS * 255;
/// Logical streams side by side in one file: one of audio, perhaps a skeleton or pictures.
const MAX_OPEN: usize = 16;

const CONTINUED: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const LAST: u8 = 4;
/// Granule position of a page on which no packet ends.
const NO_GRANULE: u64 = u64::MAX;

/// The rate of all Opus granule positions (RFC 7845 §4).
pub(super) const OPUS_RATE: u32 = 48_000;

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

fn crc_over(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let row = usize::from((crc >> 24) as u8 ^ byte);
        crc << 8 ^ CRC_TABLE.get(row).copied().unwrap_or_default()
    })
}

/// One page, ready to be written.
pub(super) struct Page<'a> {
    pub flags: u8,
    pub granule: u64,
    pub serial: u32,
    pub sequence: u32,
    /// At most [`MAX_SEGMENTS`] lacing values.
    pub segments: &'a [u8],
    pub body: &'a [u8],
}

impl Page<'_> {
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut header = Vec::with_capacity(HEADER_BYTES + self.segments.len());
        header.extend_from_slice(b"OggS\0");
        header.push(self.flags);
        header.extend_from_slice(&self.granule.to_le_bytes());
        header.extend_from_slice(&self.serial.to_le_bytes());
        header.extend_from_slice(&self.sequence.to_le_bytes());
        let (before_crc, mut after_crc) = (header.len(), vec![self.segments.len() as u8]);
        after_crc.extend_from_slice(self.segments);
        let crc = [&[0; 4], &*after_crc, self.body]
            .into_iter()
            .fold(crc_over(0, &header), crc_over);
        debug_assert_eq!(before_crc, 22, "the check sum stands at byte 22");
        into.extend_from_slice(&header);
        into.extend_from_slice(&crc.to_le_bytes());
        into.extend_from_slice(&after_crc);
        into.extend_from_slice(self.body);
    }
}

/// One page as read.
struct Seen<'a> {
    flags: u8,
    granule: u64,
    serial: u32,
    sequence: u32,
    bytes: usize,
    body: &'a [u8],
    /// Its last packet goes on on the next page.
    goes_on: bool,
}

fn page_at<'w>(window: &'w mut Window<'_>, at: u64) -> Result<Seen<'w>, Broken> {
    let len = window.len();
    let cut = Broken::Cut {
        at: len,
        what: "inside an Ogg page",
    };
    let page = window.peek(at, MAX_PAGE_BYTES)?;
    let Some((header, rest)) = page.split_first_chunk::<HEADER_BYTES>() else {
        let is_page = page.starts_with(b"OggS") || b"OggS".starts_with(page);
        return Err(if is_page {
            cut
        } else {
            Broken::Malformed {
                at,
                what: "not an Ogg page",
            }
        });
    };
    let [
        b'O',
        b'g',
        b'g',
        b'S',
        0,
        flags,
        g0,
        g1,
        g2,
        g3,
        g4,
        g5,
        g6,
        g7,
        rest_of_header @ ..,
    ] = *header
    else {
        return Err(Broken::Malformed {
            at,
            what: "not an Ogg page",
        });
    };
    let [s0, s1, s2, s3, n0, n1, n2, n3, c0, c1, c2, c3, count] = rest_of_header;
    let Some(table) = rest.get(..usize::from(count)) else {
        return Err(cut);
    };
    let body_bytes = table
        .iter()
        .map(|&lacing| usize::from(lacing))
        .sum::<usize>();
    let Some(body) = rest.get(table.len()..table.len() + body_bytes) else {
        return Err(cut);
    };
    let crc = crc_over(0, header.get(..22).unwrap_or_default());
    let crc = [&[0, 0, 0, 0, count], table, body]
        .into_iter()
        .fold(crc, crc_over);
    if crc != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(Broken::Malformed {
            at,
            what: "the check sum of an Ogg page is wrong",
        });
    }
    Ok(Seen {
        flags,
        granule: u64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]),
        serial: u32::from_le_bytes([s0, s1, s2, s3]),
        sequence: u32::from_le_bytes([n0, n1, n2, n3]),
        bytes: HEADER_BYTES + table.len() + body_bytes,
        body,
        goes_on: table.last() == Some(&255),
    })
}

/// One logical stream.
struct Link {
    serial: u32,
    sequence: u32,
    /// Nothing for pictures and skeletons.
    codec: Option<Codec>,
    rate: u32,
    pre_skip: u64,
    granule: u64,
    goes_on: bool,
    ended: bool,
}

impl Link {
    fn begin(page: &Seen<'_>) -> Self {
        let (codec, rate, pre_skip) = identify(page.body);
        Self {
            serial: page.serial,
            sequence: page.sequence,
            codec,
            rate,
            pre_skip,
            granule: 0,
            goes_on: page.goes_on,
            ended: page.flags & LAST != 0,
        }
    }

    fn take(&mut self, page: &Seen<'_>, at: u64) -> Result<(), Broken> {
        let expected = self.sequence.wrapping_add(1);
        if page.sequence != expected || self.goes_on != (page.flags & CONTINUED != 0) {
            return Err(Broken::Malformed {
                at,
                what: "an Ogg page is missing before it",
            });
        }
        if page.granule != NO_GRANULE {
            self.granule = self.granule.max(page.granule);
        }
        (self.sequence, self.goes_on) = (page.sequence, page.goes_on);
        self.ended |= page.flags & LAST != 0;
        Ok(())
    }

    fn played(&self) -> Duration {
        let played = duration_of(self.granule.saturating_sub(self.pre_skip), self.rate);
        played.filter(|_| self.codec.is_some()).unwrap_or_default()
    }
}

/// Codec, samples a second and samples to skip, from the first packet of a stream.
fn identify(packet: &[u8]) -> (Option<Codec>, u32, u64) {
    let rate_at = |at: usize| {
        packet
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .map_or(0, u32::from_le_bytes)
    };
    if packet.starts_with(b"OpusHead") {
        let pre_skip = packet
            .get(10..12)
            .and_then(|skip| skip.try_into().ok())
            .map_or(0, u16::from_le_bytes);
        (Some(Codec::Opus), OPUS_RATE, u64::from(pre_skip))
    } else if packet.starts_with(b"\x01vorbis") {
        (Some(Codec::Vorbis), rate_at(12), 0)
    } else if packet.starts_with(b"\x7FFLAC") {
        // The native STREAMINFO stands at byte 17, its 20 bits of rate at byte 27.
        let rate = packet
            .get(27..31)
            .and_then(|rate| rate.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        (Some(Codec::Flac), rate >> 12, 0)
    } else if packet.starts_with(b"Speex   ") {
        (Some(Codec::Other), rate_at(36), 0)
    } else {
        (None, 0, 0)
    }
}

pub(super) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let (mut at, mut open, mut codec, mut played) = (0, Vec::<Link>::new(), None, Duration::ZERO);
    while at < window.len() {
        let all_ended = !open.is_empty() && open.iter().all(|link| link.ended);
        if all_ended && window.skip_zeros(at)? == window.len() {
            break;
        }
        if at > 0 && window.peek(at, 4)? != b"OggS" && tail::is_tags(window, at)? {
            break;
        }
        let page = page_at(window, at)?;
        if page.flags & FIRST != 0 {
            // A new link of a chain, or a neighbour of the streams that have just begun.
            if all_ended || open.iter().any(|link| link.serial == page.serial) {
                played += open
                    .drain(..)
                    .map(|link| link.played())
                    .max()
                    .unwrap_or_default();
            }
            if open.len() == MAX_OPEN {
                return Err(Broken::Malformed {
                    at,
                    what: "too many streams side by side",
                });
            }
            let link = Link::begin(&page);
            codec = codec.or(link.codec);
            open.push(link);
        } else if let Some(link) = open.iter_mut().find(|link| link.serial == page.serial) {
            link.take(&page, at)?;
        } else {
            return Err(Broken::Malformed {
                at,
                what: "an Ogg page of a stream that never began",
            });
        }
        at += page.bytes as u64;
    }
    if open.iter().any(|link| link.goes_on) {
        return Err(Broken::Cut {
            at,
            what: "its last Ogg packet goes on",
        });
    }
    played += open.iter().map(Link::played).max().unwrap_or_default();
    let codec = codec.ok_or(Broken::Malformed {
        at: 0,
        what: "no audio stream",
    })?;
    if played.is_zero() {
        return Err(Broken::Cut {
            at,
            what: "no audio follows",
        });
    }
    Ok(Walked {
        codec,
        content: Some(played),
        claimed: None,
    })
}
