//! Fragmented MP4 with AAC: one file with an index (YouTube), or pieces for HLS (SoundCloud).

use super::seeds::Seed;
use super::{Cut, Mark, Written, frame_count, seeds};

/// Frames in one fragment: 431 × 1,024 at 44.1 kHz are 10.0078 s (SoundCloud notes, 9).
pub const FRAMES_PER_SEGMENT: usize = 431;
/// Smallest box: its length and its name.
const FREE_HEADER_BYTES: usize = 8;
/// Units a second in `mvhd` and `tkhd`.
const MOVIE_TIMESCALE: u32 = 1000;

pub fn fragmented(seed: &'static Seed, seconds: f64, size: Option<u64>, mark: Mark) -> Written {
    let mut count = frame_count(seconds, seed.samples_per_frame.into(), seed.rate_hz.into());
    loop {
        let fragments = Fragments { seed, count, mark };
        let bodies = fragments.all();
        let natural = lay_out(&fragments, &bodies, &vec![0; bodies.len()])
            .bytes
            .len();
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return lay_out(&fragments, &bodies, &vec![0; bodies.len()]);
        };
        if natural == size || natural + FREE_HEADER_BYTES <= size {
            return lay_out(&fragments, &bodies, &shares(size - natural, bodies.len()));
        }
        if count == 1 {
            return Written {
                bytes: vec![0; size],
                init_end: 0,
                index_end: 0,
                cuts: Vec::new(),
            };
        }
        count -= ((natural + FREE_HEADER_BYTES - size) / 400).clamp(1, count - 1);
    }
}

/// Splits the padding over the fragments, so that bytes and seconds stay in proportion.
pub fn shares(padding: usize, fragments: usize) -> Vec<usize> {
    let each = padding / fragments.max(1);
    let mut shares = vec![if each < FREE_HEADER_BYTES { 0 } else { each }; fragments];
    let given: usize = shares.iter().sum();
    if let Some(last) = shares.last_mut() {
        *last += padding - given;
    }
    shares
}

fn lay_out(fragments: &Fragments, bodies: &[Vec<u8>], padding: &[usize]) -> Written {
    let rate = fragments.seed.rate_hz;
    let total = fragments.count as u64 * u64::from(fragments.seed.samples_per_frame);
    let mut out = boxed(b"ftyp", b"dash\0\0\0\0iso6mp41");
    out.extend_from_slice(&movie(
        fragments.seed,
        Durations::of(total, rate),
        fragments.mark.low_word(),
    ));
    let init_end = out.len() as u64 - 1;
    let sizes: Vec<usize> = bodies
        .iter()
        .zip(padding)
        .map(|(body, padding)| body.len() + padding)
        .collect();
    out.extend_from_slice(&index(fragments, 0, &sizes));
    let index_end = out.len() as u64 - 1;
    for (body, padding) in bodies.iter().zip(padding) {
        out.extend_from_slice(body);
        free(&mut out, *padding, fragments.mark);
    }
    Written {
        bytes: out,
        init_end,
        index_end,
        cuts: Vec::new(),
    }
}

/// One AAC song as SoundCloud's HLS serves it: an initialisation section whose durations are zero, and segments.
pub struct HlsAac {
    pub init: Vec<u8>,
    pub segments: Vec<(Vec<u8>, f64)>,
    rate_hz: u32,
}

impl HlsAac {
    pub fn new(seconds: f64, mark: &str) -> Self {
        let seed = seeds::stereo_aac();
        let count = frame_count(seconds, seed.samples_per_frame.into(), seed.rate_hz.into());
        let fragments = Fragments {
            seed,
            count,
            mark: Mark::of(mark),
        };
        let init = hls_aac_init(mark);
        let segments = fragments
            .all()
            .into_iter()
            .enumerate()
            .map(|(number, body)| {
                let mut segment = boxed(b"styp", b"msdh\0\0\0\0msdhmsix");
                segment.extend_from_slice(&index(&fragments, number, &[body.len()]));
                segment.extend_from_slice(&body);
                (
                    segment,
                    fragments.samples_in(number) as f64 / f64::from(seed.rate_hz),
                )
            })
            .collect();
        Self {
            init,
            segments,
            rate_hz: seed.rate_hz,
        }
    }

    /// What a correct client ends with: the pieces in order, the three zero durations written from the sum of `EXTINF`.
    pub fn joined(&self) -> Written {
        let mut out = self.init.clone();
        let init_end = out.len() as u64 - 1;
        let micros: u64 = self
            .segments
            .iter()
            .map(|(_, seconds)| (seconds * 1e6).round() as u64)
            .sum();
        let in_units = |scale: u32| ((micros * u64::from(scale) + 500_000) / 1_000_000) as u32;
        patch(&mut out, b"mvhd", 16, in_units(MOVIE_TIMESCALE));
        patch(&mut out, b"tkhd", 20, in_units(MOVIE_TIMESCALE));
        patch(&mut out, b"mdhd", 16, in_units(self.rate_hz));
        let mut cuts = Vec::new();
        let mut from = out.len() as u64;
        for (segment, seconds) in &self.segments {
            out.extend_from_slice(segment);
            cuts.push(Cut {
                from,
                to: out.len() as u64,
                seconds: *seconds,
            });
            from = out.len() as u64;
        }
        Written {
            bytes: out,
            init_end,
            index_end: init_end,
            cuts,
        }
    }
}

/// Writes a duration at `offset` of the body of a version 0 box.
fn patch(bytes: &mut [u8], name: &[u8; 4], offset: usize, value: u32) {
    let Some(at) = bytes.windows(4).position(|four| four == name) else {
        return;
    };
    if let Some(field) = bytes.get_mut(at + 4 + offset..at + 8 + offset) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

struct Fragments {
    seed: &'static Seed,
    count: usize,
    mark: Mark,
}

impl Fragments {
    fn all(&self) -> Vec<Vec<u8>> {
        (0..self.count.div_ceil(FRAMES_PER_SEGMENT))
            .map(|number| self.one(number))
            .collect()
    }

    fn samples_in(&self, number: usize) -> u64 {
        let frames = FRAMES_PER_SEGMENT.min(self.count - number * FRAMES_PER_SEGMENT);
        frames as u64 * u64::from(self.seed.samples_per_frame)
    }

    /// `moof` and `mdat` of one fragment.
    fn one(&self, number: usize) -> Vec<u8> {
        let turn = self.mark.turn(self.seed.frames.len());
        let first = number * FRAMES_PER_SEGMENT;
        let last = (first + FRAMES_PER_SEGMENT).min(self.count);
        let frames: Vec<&[u8]> = (first..last).map(|n| self.seed.frame(turn, n)).collect();
        let start = first as u64 * u64::from(self.seed.samples_per_frame);
        let mut run = [&(frames.len() as u32).to_be_bytes()[..], &[0; 4]].concat();
        for frame in &frames {
            run.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        }
        // Default duration and flags in `tfhd`, with default-base-is-moof; data offset and sizes in `trun`.
        let mut header = 1_u32.to_be_bytes().to_vec();
        header.extend_from_slice(&self.seed.samples_per_frame.to_be_bytes());
        header.extend_from_slice(&0x0200_0000_u32.to_be_bytes());
        let build = |run: &[u8]| {
            let track = [
                full(b"tfhd", 0, 0x02_0028, &header),
                full(b"tfdt", 1, 0, &start.to_be_bytes()),
                full(b"trun", 0, 0x201, run),
            ]
            .concat();
            boxed(
                b"moof",
                &[
                    full(b"mfhd", 0, 0, &(number as u32 + 1).to_be_bytes()),
                    boxed(b"traf", &track),
                ]
                .concat(),
            )
        };
        let offset = build(&run).len() as u32 + 8;
        if let Some(field) = run.get_mut(4..8) {
            field.copy_from_slice(&offset.to_be_bytes());
        }
        let mut out = build(&run);
        let length: usize = frames.iter().map(|frame| frame.len()).sum();
        out.extend_from_slice(&(length as u32 + 8).to_be_bytes());
        out.extend_from_slice(b"mdat");
        for frame in frames {
            out.extend_from_slice(frame);
        }
        out
    }
}

/// A `sidx` over the fragments from `first` on, whose lengths are `sizes`.
fn index(fragments: &Fragments, first: usize, sizes: &[usize]) -> Vec<u8> {
    let samples = u64::from(fragments.seed.samples_per_frame);
    let start = (first * FRAMES_PER_SEGMENT) as u64 * samples;
    let mut body = 1_u32.to_be_bytes().to_vec();
    body.extend_from_slice(&fragments.seed.rate_hz.to_be_bytes());
    body.extend_from_slice(&(start as u32).to_be_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&(sizes.len() as u32).to_be_bytes());
    for (number, size) in sizes.iter().enumerate() {
        body.extend_from_slice(&(*size as u32).to_be_bytes());
        body.extend_from_slice(&(fragments.samples_in(first + number) as u32).to_be_bytes());
        body.extend_from_slice(&0x9000_0000_u32.to_be_bytes());
    }
    full(b"sidx", 0, 0, &body)
}

/// The three durations of a movie of one track.
#[derive(Debug, Clone, Copy, Default)]
pub struct Durations {
    movie: u32,
    media: u32,
}

impl Durations {
    pub fn of(samples: u64, rate_hz: u32) -> Self {
        let movie = (samples * u64::from(MOVIE_TIMESCALE) + u64::from(rate_hz) / 2)
            / u64::from(rate_hz).max(1);
        Self {
            movie: movie as u32,
            media: samples as u32,
        }
    }
}

fn movie(seed: &Seed, durations: Durations, created: u32) -> Vec<u8> {
    let tables = [
        full(
            b"stsd",
            0,
            0,
            &[&1_u32.to_be_bytes()[..], &sample_entry(seed)].concat(),
        ),
        full(b"stts", 0, 0, &[0; 4]),
        full(b"stsc", 0, 0, &[0; 4]),
        full(b"stsz", 0, 0, &[0; 8]),
        full(b"stco", 0, 0, &[0; 4]),
    ]
    .concat();
    let track = sound_track(1, seed, durations, &tables);
    let extends = [1_u32, 1, 0, 0, 0].map(u32::to_be_bytes).concat();
    let mvex = boxed(b"mvex", &full(b"trex", 0, 0, &extends));
    boxed(
        b"moov",
        &[movie_header(durations, created, 2), track, mvex].concat(),
    )
}

pub fn movie_header(durations: Durations, created: u32, next_track: u32) -> Vec<u8> {
    let mut body = [
        created,
        created,
        MOVIE_TIMESCALE,
        durations.movie,
        0x0001_0000,
    ]
    .map(u32::to_be_bytes)
    .concat();
    body.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(&matrix());
    body.extend_from_slice(&[0; 24]);
    body.extend_from_slice(&next_track.to_be_bytes());
    full(b"mvhd", 0, 0, &body)
}

fn matrix() -> Vec<u8> {
    [0x0001_0000_u32, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000]
        .map(u32::to_be_bytes)
        .concat()
}

pub fn track_header(
    id: u32,
    durations: Durations,
    volume: u16,
    width: u32,
    height: u32,
) -> Vec<u8> {
    let mut body = [0, 0, id, 0, durations.movie, 0, 0]
        .map(u32::to_be_bytes)
        .concat();
    body.extend_from_slice(&[0, 0, 0, 0]);
    body.extend_from_slice(&volume.to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&matrix());
    body.extend_from_slice(&(width << 16).to_be_bytes());
    body.extend_from_slice(&(height << 16).to_be_bytes());
    full(b"tkhd", 0, 3, &body)
}

pub fn media_header(timescale: u32, duration: u32) -> Vec<u8> {
    let mut body = [0, 0, timescale, duration].map(u32::to_be_bytes).concat();
    // "und", packed into fifteen bits.
    body.extend_from_slice(&[0x55, 0xc4, 0, 0]);
    full(b"mdhd", 0, 0, &body)
}

pub fn handler(kind: &[u8; 4], name: &[u8]) -> Vec<u8> {
    full(
        b"hdlr",
        0,
        0,
        &[&[0; 4][..], kind, &[0; 12], name, b"\0"].concat(),
    )
}

pub fn data_reference() -> Vec<u8> {
    boxed(
        b"dinf",
        &full(
            b"dref",
            0,
            0,
            &[&1_u32.to_be_bytes()[..], &full(b"url ", 0, 1, &[])].concat(),
        ),
    )
}

pub fn sound_track(id: u32, seed: &Seed, durations: Durations, tables: &[u8]) -> Vec<u8> {
    let information = [
        full(b"smhd", 0, 0, &[0; 4]),
        data_reference(),
        boxed(b"stbl", tables),
    ]
    .concat();
    let media = [
        media_header(seed.rate_hz, durations.media),
        handler(b"soun", b"SoundHandler"),
        boxed(b"minf", &information),
    ]
    .concat();
    boxed(
        b"trak",
        &[
            track_header(id, durations, 0x0100, 0, 0),
            boxed(b"mdia", &media),
        ]
        .concat(),
    )
}

/// `mp4a` with its `esds`: AAC LC.
pub fn sample_entry(seed: &Seed) -> Vec<u8> {
    let frequency_index: u16 = if seed.rate_hz == 44_100 { 4 } else { 7 };
    let configuration = (2_u16 << 11 | frequency_index << 7 | seed.channels << 3).to_be_bytes();
    let specific = [&[0x05, 2][..], &configuration].concat();
    let mut decoder = vec![0x04, 13 + specific.len() as u8, 0x40, 0x15, 0, 0, 0];
    decoder.extend_from_slice(&[128_000_u32, 128_000].map(u32::to_be_bytes).concat());
    decoder.extend_from_slice(&specific);
    let mut descriptor = vec![0x03, 3 + decoder.len() as u8 + 3, 0, 1, 0];
    descriptor.extend_from_slice(&decoder);
    descriptor.extend_from_slice(&[0x06, 1, 2]);
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(&seed.channels.to_be_bytes());
    body.extend_from_slice(&[0, 16, 0, 0, 0, 0]);
    body.extend_from_slice(&(seed.rate_hz << 16).to_be_bytes());
    body.extend_from_slice(&full(b"esds", 0, 0, &descriptor));
    boxed(b"mp4a", &body)
}

pub fn free(out: &mut Vec<u8>, length: usize, mark: Mark) {
    if length < FREE_HEADER_BYTES {
        return;
    }
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(b"free");
    mark.fill(out, length - FREE_HEADER_BYTES);
}

pub fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 8);
    out.extend_from_slice(&(body.len() as u32 + 8).to_be_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(body);
    out
}

pub fn full(name: &[u8; 4], version: u8, flags: u32, body: &[u8]) -> Vec<u8> {
    boxed(
        name,
        &[&(u32::from(version) << 24 | flags).to_be_bytes()[..], body].concat(),
    )
}

/// The initialisation section of an HLS song with this mark, its durations zero.
pub fn hls_aac_init(mark: &str) -> Vec<u8> {
    let mut init = boxed(b"ftyp", b"iso5\0\0\x02\0iso5iso6mp41");
    init.extend_from_slice(&movie(
        seeds::stereo_aac(),
        Durations::default(),
        Mark::of(mark).low_word(),
    ));
    init
}
