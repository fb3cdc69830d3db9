//! Checks whether a WebM file is whole.
//!
//! Owns the flat walk over segment, clusters and blocks to the last byte. Padding may stand anywhere, sizes may be
//! unknown. It accepts cues, tags and unknown elements, if they are whole.

use kmds_extract::Codec;

use super::{
    block::BlockHead,
    ebml::{self, Header},
    opus,
    tracks::{AudioTrack, audio_tracks},
};
use crate::media::{Broken, Walked, Window, duration_of, tail, window::PIECE_BYTES};

/// Most zero bytes that may be left over at the end.
const MAX_LEFT_OVER: u64 = 7;
/// Nanoseconds of one unit where `Info` does not say.
const DEFAULT_SCALE: u64 = 1_000_000;
/// Packets looked at in one block: lacing can hold 256.
const BLOCK_LOOK_BYTES: usize = PIECE_BYTES;

struct Walk {
    segment: bool,
    /// Where the segment ends, if it says so.
    segment_end: Option<u64>,
    track: Option<AudioTrack>,
    scale_nanos: u64,
    claimed_nanos: Option<u64>,
    cluster_time: u64,
    cluster_end: Option<u64>,
    blocks: u64,
    end_nanos: u64,
    last_start_nanos: u64,
}

pub(in crate::media) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let (len, mut at) = (window.len(), 0);
    let mut walk = Walk {
        segment: false,
        segment_end: None,
        track: None,
        scale_nanos: DEFAULT_SCALE,
        claimed_nanos: None,
        cluster_time: 0,
        cluster_end: None,
        blocks: 0,
        end_nanos: 0,
        last_start_nanos: 0,
    };
    while at < len {
        if len - at <= MAX_LEFT_OVER && window.skip_zeros(at)? == len {
            break;
        }
        // Behind the segment, which is whole, zeros and tags are no loss.
        if walk.segment_end.is_some_and(|end| at >= end)
            && (window.skip_zeros(at)? == len || tail::is_tags(window, at)?)
        {
            break;
        }
        at = walk.step(window, at)?;
    }
    walk.finish(len)
}

fn header_at(window: &mut Window<'_>, at: u64) -> Result<Header, Broken> {
    let len = window.len();
    match Header::parse(window.peek(at, ebml::MAX_HEADER_BYTES)?) {
        Ok(Some(header)) => Ok(header),
        Ok(None) => Err(Broken::Cut {
            at: len,
            what: "inside an element header",
        }),
        Err(ebml::NotEbml) => Err(Broken::Malformed {
            at,
            what: "not a WebM element",
        }),
    }
}

impl Walk {
    /// Reads the element at `at`; gives back where the next one begins: inside it or behind it.
    fn step(&mut self, window: &mut Window<'_>, at: u64) -> Result<u64, Broken> {
        let len = window.len();
        let header = header_at(window, at)?;
        let body = at + header.bytes as u64;
        let end = header
            .size
            .map_or(Some(len), |size| body.checked_add(size))
            .filter(|&end| end <= len);
        let end = end.ok_or(Broken::Cut {
            at: len,
            what: inside(header.id),
        })?;
        match header.id {
            ebml::SEGMENT => {
                self.segment = true;
                self.segment_end = header.size.map(|_| end);
                return Ok(body);
            }
            ebml::CLUSTER => {
                self.cluster_time = 0;
                self.cluster_end = header.size.map(|_| end);
                return Ok(body);
            }
            _ if header.size.is_none() => {
                return Err(Broken::Malformed {
                    at,
                    what: "an element of unknown size that must have one",
                });
            }
            _ => {}
        }
        if at < self.cluster_end.unwrap_or(0) && Some(end) > self.cluster_end {
            return Err(Broken::Malformed {
                at,
                what: "an element is larger than its cluster",
            });
        }
        self.take(window, header.id, body, end)?;
        Ok(end)
    }

    fn take(
        &mut self,
        window: &mut Window<'_>,
        id: u32,
        body: u64,
        end: u64,
    ) -> Result<(), Broken> {
        let size = usize::try_from(end - body).unwrap_or(usize::MAX);
        match id {
            ebml::TIMESTAMP => self.cluster_time = ebml::unsigned(window.peek(body, size.min(8))?),
            ebml::SIMPLE_BLOCK => self.block(window.peek(body, size.min(BLOCK_LOOK_BYTES))?, None),
            ebml::BLOCK_GROUP => {
                let group = window.peek(body, size.min(BLOCK_LOOK_BYTES))?;
                let find = |wanted: u32| ebml::children(group).find(|(id, _)| *id == wanted);
                let lasts = find(ebml::BLOCK_DURATION).map(|(_, payload)| ebml::unsigned(payload));
                if let Some((_, block)) = find(ebml::BLOCK) {
                    self.block(block, lasts);
                }
            }
            ebml::INFO => {
                for (id, payload) in ebml::children(window.peek(body, size)?) {
                    match id {
                        ebml::TIMESTAMP_SCALE => self.scale_nanos = ebml::unsigned(payload).max(1),
                        ebml::DURATION => {
                            self.claimed_nanos = ebml::float(payload).map(|units| units as u64)
                        }
                        _ => {}
                    }
                }
            }
            ebml::TRACKS if self.track.is_none() => {
                self.track = audio_tracks(window.peek(body, size)?).next();
                if self.track.is_none() {
                    return Err(Broken::Malformed {
                        at: body,
                        what: "no audio track",
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], lasts_units: Option<u64>) {
        let Some(track) = &self.track else { return };
        let Some(head) = BlockHead::parse(block).filter(|head| head.track == track.number) else {
            return;
        };
        self.blocks += 1;
        let start = self
            .cluster_time
            .saturating_add_signed(i64::from(head.time))
            .saturating_mul(self.scale_nanos);
        let packets = head.packets(block).unwrap_or_default();
        let lasts = match (lasts_units, track.codec, track.frame_nanos) {
            (Some(units), _, _) => units.saturating_mul(self.scale_nanos),
            (None, Codec::Opus, _) => {
                let samples = packets
                    .iter()
                    .filter_map(|packet| opus::packet_samples(packet))
                    .map(u64::from);
                samples.sum::<u64>() * 1_000_000 / 48
            }
            (None, _, 0) => start.saturating_sub(self.last_start_nanos),
            (None, _, frame_nanos) => frame_nanos.saturating_mul(packets.len() as u64),
        };
        self.last_start_nanos = start;
        self.end_nanos = self.end_nanos.max(start.saturating_add(lasts));
    }

    fn finish(self, len: u64) -> Result<Walked, Broken> {
        let cut = |what| Broken::Cut { at: len, what };
        if !self.segment {
            return Err(cut("no `Segment` follows"));
        }
        let track = self.track.ok_or(cut("no `Tracks` follow"))?;
        if self.blocks == 0 {
            return Err(cut("no audio follows"));
        }
        let content = duration_of(self.end_nanos, 1_000_000_000);
        let claimed = self
            .claimed_nanos
            .and_then(|units| units.checked_mul(self.scale_nanos));
        let claimed = claimed.and_then(|nanos| duration_of(nanos, 1_000_000_000));
        Ok(Walked {
            codec: track.codec,
            content,
            claimed,
        })
    }
}

const fn inside(id: u32) -> &'static str {
    match id {
        ebml::SEGMENT => "the `Segment` promises more",
        ebml::CLUSTER => "inside a `Cluster`",
        ebml::VOID => "inside a `Void`",
        ebml::SIMPLE_BLOCK | ebml::BLOCK_GROUP => "inside a block",
        _ => "inside an element",
    }
}
