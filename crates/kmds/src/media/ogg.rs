//! Ogg: pages, each with its own check sum.
//!
//! Owns the page (RFC 3533 §6), the check sum, and what the first packet and the granule positions say of codec and
//! duration; the lengths of a chained file are added up. This module also writes pages, for [`super::webm::OpusToOgg`]
//! and for tags. It does not look into audio packets.

use std::time::Duration;

use kmds_extract::Codec;

use super::{Broken, Walked, Window, duration_of, tail};

const HEADER_BYTES: usize = 27;
const MARK: &[u8] = b"OggS";
const VERSION: u8 = 0;
/// Where the fields of a header stand.
const FLAGS_AT: usize = 5;
const GRANULE_AT: usize = 6;
const SERIAL_AT: usize = 14;
const SEQUENCE_AT: usize = 18;
const CRC_AT: usize = 22;
const COUNT_AT: usize = 26;

/// Bytes of a segment behind which its packet goes on.
pub(crate) const FULL_SEGMENT: u8 = 255;
/// Segments a page can name.
pub(crate) const MAX_SEGMENTS: usize = 255;
/// The largest page there can be.
const MAX_PAGE_BYTES: usize = HEADER_BYTES + MAX_SEGMENTS + MAX_SEGMENTS * 255;
/// Logical streams side by side in one file: one of audio, perhaps a skeleton or pictures.
const MAX_OPEN: usize = 16;

pub(crate) const CONTINUED: u8 = 1;
pub(crate) const FIRST: u8 = 2;
pub(super) const LAST: u8 = 4;
/// Granule position of a page on which no packet ends.
pub(crate) const NO_GRANULE: u64 = u64::MAX;

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

/// One page, as it was read or as it is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    pub flags: u8,
    pub granule: u64,
    pub serial: u32,
    pub sequence: u32,
    /// At most [`MAX_SEGMENTS`] lacing values.
    pub segments: &'a [u8],
    pub body: &'a [u8],
}

/// Why no page is read.
enum NoPage {
    /// Something else stands here.
    Other,
    /// The file ends inside the page.
    Cut,
    /// The check sum is wrong.
    Damaged,
}

impl<'a> Page<'a> {
    /// The page at `at`, if it is whole and its check sum is right.
    pub fn read(window: &'a mut Window<'_>, at: u64) -> Result<Self, Broken> {
        let len = window.len();
        let malformed = |what| Broken::Malformed { at, what };
        Self::parse(window.peek(at, MAX_PAGE_BYTES)?).map_err(|why| match why {
            NoPage::Other => malformed("not an Ogg page"),
            NoPage::Damaged => malformed("the check sum of an Ogg page is wrong"),
            NoPage::Cut => Broken::Cut {
                at: len,
                what: "inside an Ogg page",
            },
        })
    }

    /// The page at the start of `bytes`, which may go on behind it.
    fn parse(bytes: &'a [u8]) -> Result<Self, NoPage> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            let is_beginning = bytes.starts_with(MARK) || MARK.starts_with(bytes);
            return Err(if is_beginning {
                NoPage::Cut
            } else {
                NoPage::Other
            });
        };
        let [count] = field(header, COUNT_AT);
        if !header.starts_with(MARK) || field(header, MARK.len()) != [VERSION] {
            return Err(NoPage::Other);
        }
        let (segments, rest) = rest
            .split_at_checked(usize::from(count))
            .ok_or(NoPage::Cut)?;
        let body_bytes = segments.iter().map(|&lacing| usize::from(lacing)).sum();
        let [flags] = field(header, FLAGS_AT);
        let page = Self {
            flags,
            granule: u64::from_le_bytes(field(header, GRANULE_AT)),
            serial: u32::from_le_bytes(field(header, SERIAL_AT)),
            sequence: u32::from_le_bytes(field(header, SEQUENCE_AT)),
            segments,
            body: rest.get(..body_bytes).ok_or(NoPage::Cut)?,
        };
        match page.crc() == u32::from_le_bytes(field(header, CRC_AT)) {
            true => Ok(page),
            false => Err(NoPage::Damaged),
        }
    }

    pub fn write(&self, into: &mut Vec<u8>) {
        let mut header = self.header();
        put(&mut header, CRC_AT, &self.crc().to_le_bytes());
        into.extend_from_slice(&header);
        into.extend_from_slice(self.segments);
        into.extend_from_slice(self.body);
    }

    /// Bytes of the whole page.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.segments.len() + self.body.len()
    }

    /// Whether its last packet goes on on the next page.
    pub fn goes_on(&self) -> bool {
        self.segments.last() == Some(&FULL_SEGMENT)
    }

    /// Its pieces of packets, each with whether the packet ends there.
    pub fn pieces(&self) -> impl Iterator<Item = (&'a [u8], bool)> {
        let mut body = self.body;
        let ends = |lacing: &u8| *lacing != FULL_SEGMENT;
        self.segments.split_inclusive(ends).map(move |segments| {
            let size = segments.iter().map(|&lacing| usize::from(lacing)).sum();
            let (piece, rest) = body.split_at_checked(size).unwrap_or((body, &[]));
            body = rest;
            (piece, segments.last().is_some_and(ends))
        })
    }

    /// The header with zeros for the check sum.
    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        put(&mut header, 0, MARK);
        put(&mut header, FLAGS_AT, &[self.flags]);
        put(&mut header, GRANULE_AT, &self.granule.to_le_bytes());
        put(&mut header, SERIAL_AT, &self.serial.to_le_bytes());
        put(&mut header, SEQUENCE_AT, &self.sequence.to_le_bytes());
        put(&mut header, COUNT_AT, &[self.segments.len() as u8]);
        header
    }

    fn crc(&self) -> u32 {
        let header = self.header();
        [&header, self.segments, self.body]
            .into_iter()
            .fold(0, crc_over)
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let found = header.get(at..).and_then(<[u8]>::first_chunk);
    found.copied().unwrap_or([0; N])
}

fn put(header: &mut [u8; HEADER_BYTES], at: usize, field: &[u8]) {
    if let Some(into) = header.get_mut(at..at + field.len()) {
        into.copy_from_slice(field);
    }
}

/// One logical stream.
struct OggStream {
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

impl OggStream {
    fn begin(page: &Page<'_>) -> Self {
        let (codec, rate, pre_skip) = identify(page.body);
        Self {
            serial: page.serial,
            sequence: page.sequence,
            codec,
            rate,
            pre_skip,
            granule: 0,
            goes_on: page.goes_on(),
            ended: page.flags & LAST != 0,
        }
    }

    fn take(&mut self, page: &Page<'_>, at: u64) -> Result<(), Broken> {
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
        (self.sequence, self.goes_on) = (page.sequence, page.goes_on());
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
    let (mut at, mut streams) = (0, Streams::default());
    while at < window.len() {
        if streams.all_ended() && window.skip_zeros(at)? == window.len() {
            break;
        }
        if at > 0 && window.peek(at, 4)? != MARK && tail::is_tags(window, at)? {
            break;
        }
        let page = Page::read(window, at)?;
        streams.take(&page, at)?;
        at += page.size() as u64;
    }
    streams.finish(at)
}

/// All logical streams so far.
#[derive(Default)]
struct Streams {
    /// Those of the current link of the chain.
    open: Vec<OggStream>,
    codec: Option<Codec>,
    /// How long the links before play.
    played: Duration,
}

impl Streams {
    fn all_ended(&self) -> bool {
        !self.open.is_empty() && self.open.iter().all(|link| link.ended)
    }

    fn take(&mut self, page: &Page<'_>, at: u64) -> Result<(), Broken> {
        let known = self.open.iter().position(|link| link.serial == page.serial);
        if page.flags & FIRST == 0 {
            let link = known.and_then(|known| self.open.get_mut(known));
            return link
                .ok_or(Broken::Malformed {
                    at,
                    what: "an Ogg page of a stream that never began",
                })?
                .take(page, at);
        }
        // A new link of a chain, or a neighbour of the streams that have just begun.
        if known.is_some() || self.all_ended() {
            self.end_link();
        }
        if self.open.len() == MAX_OPEN {
            return Err(Broken::Malformed {
                at,
                what: "too many streams side by side",
            });
        }
        let link = OggStream::begin(page);
        self.codec = self.codec.or(link.codec);
        self.open.push(link);
        Ok(())
    }

    fn end_link(&mut self) {
        let longest = self.open.drain(..).map(|link| link.played()).max();
        self.played += longest.unwrap_or_default();
    }

    fn finish(mut self, at: u64) -> Result<Walked, Broken> {
        let cut = |what| Err(Broken::Cut { at, what });
        if self.open.iter().any(|link| link.goes_on) {
            return cut("its last Ogg packet goes on");
        }
        self.end_link();
        let codec = self.codec.ok_or(Broken::Malformed {
            at: 0,
            what: "no audio stream",
        })?;
        if self.played.is_zero() {
            return cut("no audio follows");
        }
        Ok(Walked {
            codec,
            content: Some(self.played),
            claimed: None,
        })
    }
}
