//! Re-wraps Opus from WebM into Ogg (RFC 7845) while it arrives.
//!
//! Owns a streaming reader of the WebM side and the pages of the Ogg side: headers, granule positions, check sums, the
//! trim at the end. Packets pass through untouched; the same input and seed give the same output. It holds at most one
//! element, of 4 MiB at most, and a second of packets.

use kmds_extract::Codec;

use super::{
    block::BlockHead,
    ebml::{self, Header},
    opus,
    tracks::{AudioTrack, audio_tracks},
};
use crate::media::{
    Broken,
    ogg::{FIRST, LAST, MAX_SEGMENTS, OPUS_RATE, Page},
};

/// Bytes an element may have that must be read whole; a block of 120 ms has 61 KiB at the very most.
const MAX_ELEMENT_BYTES: u64 = 4 << 20;
/// Samples on one page, about: a second.
const PAGE_SAMPLES: u64 = OPUS_RATE as u64;
const VENDOR: &[u8] = b"KMDS";

/// Re-wraps Opus from WebM into Ogg, piece by piece as it arrives.
pub struct OpusToOgg {
    /// Bytes that have arrived and are not read yet: less than one element.
    waiting: Vec<u8>,
    /// Bytes still to come of an element that is skipped.
    skip: u64,
    /// Where in the input `waiting` begins.
    at: u64,
    segment_end: Option<u64>,
    track: Option<u64>,
    pages: Pages,
}

impl OpusToOgg {
    /// `seed` becomes the serial number of the Ogg stream.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        let pages = Pages {
            serial: seed,
            ..Pages::default()
        };
        Self {
            waiting: Vec::new(),
            skip: 0,
            at: 0,
            segment_end: None,
            track: None,
            pages,
        }
    }

    /// Takes the next bytes of the WebM file, of any number; gives back what can be written by now, often nothing.
    /// # Errors
    /// [`Broken::Malformed`] when it is no WebM with an Opus track or an element is too large. Nothing is worth pushing
    /// after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        self.waiting.extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let (mut rest, mut out) = (&*waiting, Vec::new());
        loop {
            let skipped = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            rest = rest.get(skipped..).unwrap_or_default();
            (self.skip, self.at) = (self.skip - skipped as u64, self.at + skipped as u64);
            match self.element(rest, &mut out)? {
                0 => break,
                read => {
                    rest = rest.get(read..).unwrap_or_default();
                    self.at += read as u64;
                }
            }
        }
        self.waiting = rest.to_vec();
        Ok(out)
    }

    /// Ends the stream: the last page, which carries the end flag.
    /// # Errors
    /// [`Broken::Cut`] when the input stopped inside an element or before any audio.
    pub fn finish(self) -> Result<Vec<u8>, Broken> {
        let at = self.at + self.waiting.len() as u64;
        // Up to seven zero bytes may be left over, as in `media::check`.
        let left_over = self.waiting.len() < 8 && self.waiting.iter().all(|&byte| byte == 0);
        if !left_over || self.skip > 0 || self.segment_end.is_some_and(|end| end > at) {
            return Err(Broken::Cut {
                at,
                what: "inside a WebM element",
            });
        }
        let mut out = Vec::new();
        match self.pages.finish(&mut out) {
            true => Ok(out),
            false => Err(Broken::Cut {
                at,
                what: "no audio follows",
            }),
        }
    }

    /// Reads the element at the start of `rest`, or only its header where its children come next. Gives back the bytes
    /// read; 0 when more must arrive first.
    fn element(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Broken> {
        let header = match Header::parse(rest) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(0),
            Err(ebml::NotEbml) if rest.len() < 8 && rest.iter().all(|&byte| byte == 0) => {
                return Ok(0);
            }
            Err(ebml::NotEbml) => return Err(self.malformed("not a WebM element")),
        };
        match (header.id, header.size) {
            (ebml::SEGMENT, size) => {
                self.segment_end =
                    size.map(|size| (self.at + header.bytes as u64).saturating_add(size));
                return Ok(header.bytes);
            }
            (ebml::CLUSTER, _) => return Ok(header.bytes),
            (_, None) => {
                return Err(self.malformed("an element of unknown size that must have one"));
            }
            (ebml::TRACKS | ebml::SIMPLE_BLOCK | ebml::BLOCK_GROUP, Some(size)) => {
                if size > MAX_ELEMENT_BYTES {
                    return Err(self.malformed("an element is too large"));
                }
                let end = header.bytes + usize::try_from(size).unwrap_or(usize::MAX);
                let Some(payload) = rest.get(header.bytes..end) else {
                    return Ok(0);
                };
                self.payload(header.id, payload, out)?;
                return Ok(end);
            }
            (_, Some(size)) => self.skip = size,
        }
        Ok(header.bytes)
    }

    fn payload(&mut self, id: u32, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match id {
            ebml::TRACKS if self.track.is_none() => {
                let track = audio_tracks(payload).find(|track| track.codec == Codec::Opus);
                let track = track.ok_or_else(|| self.malformed("no Opus track"))?;
                let head =
                    opus_head(&track).ok_or_else(|| self.malformed("the Opus header is broken"))?;
                self.track = Some(track.number);
                self.pages.headers(&head, out);
                Ok(())
            }
            ebml::SIMPLE_BLOCK => self.block(payload, 0, out),
            ebml::BLOCK_GROUP => {
                let find = |wanted: u32| ebml::children(payload).find(|(id, _)| *id == wanted);
                let discard =
                    find(ebml::DISCARD_PADDING).map_or(0, |(_, nanos)| ebml::signed(nanos));
                match find(ebml::BLOCK) {
                    Some((_, block)) => self.block(block, u64::try_from(discard).unwrap_or(0), out),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn block(&mut self, block: &[u8], discard_nanos: u64, out: &mut Vec<u8>) -> Result<(), Broken> {
        let track = self
            .track
            .ok_or_else(|| self.malformed("a block before `Tracks`"))?;
        let head =
            BlockHead::parse(block).ok_or_else(|| self.malformed("a block without a head"))?;
        if head.track != track {
            return Ok(());
        }
        let packets = head
            .packets(block)
            .ok_or_else(|| self.malformed("the laces of a block do not fit"))?;
        for packet in packets.into_iter().filter(|packet| !packet.is_empty()) {
            let samples =
                opus::packet_samples(packet).filter(|_| packet.len() / 255 < MAX_SEGMENTS);
            let samples = samples.ok_or_else(|| self.malformed("not an Opus packet"))?;
            self.pages.packet(packet, u64::from(samples), out);
        }
        // Only the discard of the last block counts.
        self.pages.discard = u64::try_from(u128::from(discard_nanos) * 48 / 1_000_000).unwrap_or(0);
        Ok(())
    }

    const fn malformed(&self, what: &'static str) -> Broken {
        Broken::Malformed { at: self.at, what }
    }
}

/// The `OpusHead` packet: the track's `CodecPrivate`, or one made from the track where that is missing.
fn opus_head(track: &AudioTrack) -> Option<Vec<u8>> {
    if !track.codec_private.is_empty() {
        let fits = track.codec_private.starts_with(b"OpusHead")
            && (19..=1024).contains(&track.codec_private.len());
        return fits.then(|| track.codec_private.clone());
    }
    if !matches!(track.channels, 1 | 2) {
        return None;
    }
    let pre_skip = u16::try_from(u128::from(track.codec_delay_nanos) * 48 / 1_000_000).ok()?;
    let mut head = b"OpusHead\x01".to_vec();
    head.push(track.channels);
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&track.sample_rate.to_le_bytes());
    // No gain, the mapping of mono and stereo.
    head.extend_from_slice(&[0, 0, 0]);
    Some(head)
}

/// The Ogg side. The page being filled is kept back, since the last one must know that it is.
#[derive(Default)]
struct Pages {
    serial: u32,
    sequence: u32,
    segments: Vec<u8>,
    body: Vec<u8>,
    /// Samples up to the end of the page being filled, and those on it.
    granule: u64,
    samples: u64,
    /// Samples to skip at the start, and to cut off at the end of the stream.
    pre_skip: u64,
    discard: u64,
}

impl Pages {
    fn headers(&mut self, head: &[u8], out: &mut Vec<u8>) {
        self.pre_skip = head
            .get(10..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .map_or(0, u16::from_le_bytes)
            .into();
        self.add(head);
        self.flush(FIRST, 0, out);
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(VENDOR.len() as u32).to_le_bytes());
        tags.extend_from_slice(VENDOR);
        tags.extend_from_slice(&0_u32.to_le_bytes());
        self.add(&tags);
        self.flush(0, 0, out);
    }

    fn packet(&mut self, packet: &[u8], samples: u64, out: &mut Vec<u8>) {
        let segments = packet.len() / 255 + 1;
        if self.samples >= PAGE_SAMPLES || self.segments.len() + segments > MAX_SEGMENTS {
            self.flush(0, self.granule, out);
        }
        self.add(packet);
        self.samples += samples;
        self.granule += samples;
    }

    fn add(&mut self, packet: &[u8]) {
        self.segments
            .resize(self.segments.len() + packet.len() / 255, 255);
        self.segments.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
    }

    fn flush(&mut self, flags: u8, granule: u64, out: &mut Vec<u8>) {
        let (serial, sequence) = (self.serial, self.sequence);
        Page {
            flags,
            granule,
            serial,
            sequence,
            segments: &self.segments,
            body: &self.body,
        }
        .write(out);
        self.segments.clear();
        self.body.clear();
        (self.samples, self.sequence) = (0, self.sequence.wrapping_add(1));
    }

    /// Whether there was any audio, and some of it is played.
    fn finish(mut self, out: &mut Vec<u8>) -> bool {
        let granule = self.granule - self.discard.min(self.samples);
        if self.samples == 0 || granule <= self.pre_skip {
            return false;
        }
        self.flush(LAST, granule, out);
        true
    }
}
