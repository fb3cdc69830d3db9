//! Ogg Opus: repeated packets, one second in each page, with its own serial number and checksums.

use std::sync::OnceLock;

use super::{Cut, Mark, Written, frame_count, seeds};

/// Packets of 20 ms in one page.
pub const PACKETS_PER_PAGE: usize = 50;
/// Pages in one HLS slice.
const PAGES_PER_CUT: usize = 10;
/// Samples at 48 kHz that a decoder throws away first.
const PRE_SKIP: u16 = 312;

pub fn write(seconds: f64, mark: Mark) -> Written {
    let seed = seeds::opus_60k();
    let turn = mark.turn(seed.frames.len());
    let samples = (seconds.max(0.02) * 48_000.0).round() as u64;
    let packets = frame_count(
        (samples + u64::from(PRE_SKIP)) as f64 / 48_000.0 + 0.0099,
        960,
        48_000,
    );
    let serial = mark.low_word();
    let mut out = Vec::new();
    page(
        &mut out,
        &Page {
            flags: 2,
            granule: 0,
            serial,
            sequence: 0,
        },
        &[&head()],
    );
    let init_end = out.len() as u64 - 1;
    page(
        &mut out,
        &Page {
            flags: 0,
            granule: 0,
            serial,
            sequence: 1,
        },
        &[&tags(mark)],
    );
    let mut cuts = Vec::new();
    let (mut from, mut cut_packets) = (0, 0);
    let pages = packets.div_ceil(PACKETS_PER_PAGE);
    for number in 0..pages {
        let first = number * PACKETS_PER_PAGE;
        let last = (first + PACKETS_PER_PAGE).min(packets);
        let body: Vec<&[u8]> = (first..last).map(|n| seed.frame(turn, n)).collect();
        let ends = number + 1 == pages;
        let granule = if ends {
            samples + u64::from(PRE_SKIP)
        } else {
            last as u64 * 960
        };
        let sequence = number as u32 + 2;
        page(
            &mut out,
            &Page {
                flags: if ends { 4 } else { 0 },
                granule,
                serial,
                sequence,
            },
            &body,
        );
        cut_packets += last - first;
        if ends || (number + 1) % PAGES_PER_CUT == 0 {
            cuts.push(Cut {
                from,
                to: out.len() as u64,
                seconds: cut_packets as f64 * 0.02,
            });
            from = out.len() as u64;
            cut_packets = 0;
        }
    }
    Written {
        init_end,
        index_end: init_end,
        bytes: out,
        cuts,
    }
}

/// `OpusHead` (RFC 7845, 5.1): version 1, two channels, 48 kHz.
pub fn head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&PRE_SKIP.to_le_bytes());
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

fn tags(mark: Mark) -> Vec<u8> {
    let comment = format!("LAB={:016x}", mark.0);
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&8_u32.to_le_bytes());
    tags.extend_from_slice(b"kmds-lab");
    tags.extend_from_slice(&1_u32.to_le_bytes());
    tags.extend_from_slice(&(comment.len() as u32).to_le_bytes());
    tags.extend_from_slice(comment.as_bytes());
    tags
}

struct Page {
    flags: u8,
    granule: u64,
    serial: u32,
    sequence: u32,
}

fn page(out: &mut Vec<u8>, page: &Page, packets: &[&[u8]]) {
    let start = out.len();
    out.extend_from_slice(b"OggS\0");
    out.push(page.flags);
    out.extend_from_slice(&page.granule.to_le_bytes());
    out.extend_from_slice(&page.serial.to_le_bytes());
    out.extend_from_slice(&page.sequence.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let lacing: Vec<u8> = packets
        .iter()
        .flat_map(|packet| {
            std::iter::repeat_n(255, packet.len() / 255).chain([(packet.len() % 255) as u8])
        })
        .collect();
    out.push(lacing.len() as u8);
    out.extend_from_slice(&lacing);
    for packet in packets {
        out.extend_from_slice(packet);
    }
    let sum = checksum(out.get(start..).unwrap_or_default());
    if let Some(field) = out.get_mut(start + 22..start + 26) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Ogg's CRC-32: polynomial 0x04c11db7, nothing reflected, nothing inverted.
fn checksum(bytes: &[u8]) -> u32 {
    static TABLE: OnceLock<[u32; 256]> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = [0; 256];
        for (byte, entry) in table.iter_mut().enumerate() {
            let mut value = (byte as u32) << 24;
            for _ in 0..8 {
                value = if value & 0x8000_0000 == 0 {
                    value << 1
                } else {
                    value << 1 ^ 0x04c1_1db7
                };
            }
            *entry = value;
        }
        table
    });
    bytes.iter().fold(0, |sum: u32, byte| {
        sum << 8
            ^ table
                .get((sum >> 24) as usize ^ usize::from(*byte))
                .copied()
                .unwrap_or(0)
    })
}
