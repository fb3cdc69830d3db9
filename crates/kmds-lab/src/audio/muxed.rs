//! Progressive MP4 with one still picture each second and AAC, like itag 18: first `moov`, then one `mdat`.

use super::mp4::{self, Durations, boxed, full};
use super::{Mark, Written, frame_count, seeds};

/// Sound frames in one chunk: 43 × 1,024 at 44.1 kHz are 0.998 s.
const FRAMES_PER_CHUNK: usize = 43;
const PICTURE_TIMESCALE: u32 = 1000;

pub fn write(seconds: f64, size: Option<u64>, mark: Mark) -> Written {
    let mut count = frame_count(seconds, 1024, 44_100);
    loop {
        let natural = lay_out(count, mark);
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return finish(natural, 0, mark);
        };
        if natural.len() == size || natural.len() + 8 <= size {
            let padding = size - natural.len();
            return finish(natural, padding, mark);
        }
        if count == 1 {
            return Written {
                bytes: vec![0; size],
                init_end: 0,
                index_end: 0,
                cuts: Vec::new(),
            };
        }
        count -= ((natural.len() + 8 - size) / 500).clamp(1, count - 1);
    }
}

fn finish(mut bytes: Vec<u8>, padding: usize, mark: Mark) -> Written {
    mp4::free(&mut bytes, padding, mark);
    Written {
        bytes,
        init_end: 0,
        index_end: 0,
        cuts: Vec::new(),
    }
}

fn lay_out(count: usize, mark: Mark) -> Vec<u8> {
    let seed = seeds::stereo_aac();
    let turn = mark.turn(seed.frames.len());
    let units = seeds::picture();
    let slice = units.last().copied().unwrap_or_default();
    let picture = [&(slice.len() as u32).to_be_bytes()[..], slice].concat();
    let chunks: Vec<Vec<&[u8]>> = (0..count.div_ceil(FRAMES_PER_CHUNK))
        .map(|chunk| {
            let first = chunk * FRAMES_PER_CHUNK;
            (first..(first + FRAMES_PER_CHUNK).min(count))
                .map(|n| seed.frame(turn, n))
                .collect()
        })
        .collect();
    let ftyp = boxed(b"ftyp", b"isom\0\0\x02\0isomiso2avc1mp41");
    let plan = Plan {
        units: &units,
        picture: picture.len(),
        chunks: &chunks,
        count,
        mark,
    };
    let start = ftyp.len() + plan.movie(0).len() + 8;
    let mut out = ftyp;
    out.extend_from_slice(&plan.movie(start));
    let length: usize = chunks
        .iter()
        .map(|chunk| picture.len() + length_of(chunk))
        .sum();
    out.extend_from_slice(&(length as u32 + 8).to_be_bytes());
    out.extend_from_slice(b"mdat");
    for chunk in &chunks {
        out.extend_from_slice(&picture);
        for frame in chunk {
            out.extend_from_slice(frame);
        }
    }
    out
}

fn length_of(chunk: &[&[u8]]) -> usize {
    chunk.iter().map(|frame| frame.len()).sum()
}

struct Plan<'a> {
    units: &'a [&'static [u8]],
    picture: usize,
    chunks: &'a [Vec<&'static [u8]>],
    count: usize,
    mark: Mark,
}

impl Plan<'_> {
    /// `moov`, with the media starting at byte `start` of the file.
    fn movie(&self, start: usize) -> Vec<u8> {
        let seed = seeds::stereo_aac();
        let durations = Durations::of(self.count as u64 * 1024, seed.rate_hz);
        let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
        let mut at = start;
        for chunk in self.chunks {
            pictures.push(at as u32);
            at += self.picture;
            sounds.push(at as u32);
            at += length_of(chunk);
        }
        let sizes: Vec<u32> = self
            .chunks
            .iter()
            .flatten()
            .map(|frame| frame.len() as u32)
            .collect();
        let last = self.chunks.last().map_or(0, Vec::len) as u32;
        let n = self.chunks.len() as u32;
        let mut to_chunk = vec![1, FRAMES_PER_CHUNK as u32, 1];
        if n == 1 {
            to_chunk = vec![1, last, 1];
        } else if last != FRAMES_PER_CHUNK as u32 {
            to_chunk.extend([n, last, 1]);
        }
        let sound_tables = [
            full(
                b"stsd",
                0,
                0,
                &[&1_u32.to_be_bytes()[..], &mp4::sample_entry(seed)].concat(),
            ),
            full(b"stts", 0, 0, &words(&[1, self.count as u32, 1024])),
            table(b"stsc", (to_chunk.len() / 3) as u32, &to_chunk),
            full(
                b"stsz",
                0,
                0,
                &[words(&[0, sizes.len() as u32]), words(&sizes)].concat(),
            ),
            table(b"stco", n, &sounds),
        ]
        .concat();
        let sound = mp4::sound_track(2, seed, durations, &sound_tables);
        boxed(
            b"moov",
            &[
                mp4::movie_header(durations, self.mark.low_word(), 3),
                self.picture_track(durations, &pictures),
                sound,
            ]
            .concat(),
        )
    }

    fn picture_track(&self, durations: Durations, places: &[u32]) -> Vec<u8> {
        let n = places.len() as u32;
        let frame = (FRAMES_PER_CHUNK as u32 * 1024 * PICTURE_TIMESCALE) / 44_100;
        let tables = [
            full(
                b"stsd",
                0,
                0,
                &[&1_u32.to_be_bytes()[..], &self.picture_entry()].concat(),
            ),
            full(b"stts", 0, 0, &words(&[1, n, frame])),
            table(b"stsc", 1, &[1, 1, 1]),
            full(b"stsz", 0, 0, &words(&[self.picture as u32, n])),
            table(b"stco", n, places),
        ]
        .concat();
        let information = [
            full(b"vmhd", 0, 1, &[0; 8]),
            mp4::data_reference(),
            boxed(b"stbl", &tables),
        ]
        .concat();
        let media = [
            mp4::media_header(PICTURE_TIMESCALE, n * frame),
            mp4::handler(b"vide", b"VideoHandler"),
            boxed(b"minf", &information),
        ]
        .concat();
        boxed(
            b"trak",
            &[
                mp4::track_header(1, durations, 0, 64, 36),
                boxed(b"mdia", &media),
            ]
            .concat(),
        )
    }

    /// `avc1` with its `avcC`.
    fn picture_entry(&self) -> Vec<u8> {
        let set = |kind: u8| {
            self.units
                .iter()
                .copied()
                .find(|unit| unit.first().is_some_and(|b| b & 0x1f == kind))
                .unwrap_or_default()
        };
        let (sequence, picture) = (set(7), set(8));
        let profile = sequence.get(1..4).unwrap_or(&[66, 0, 30]);
        let mut configuration = [&[1][..], profile, &[0xff, 0xe1]].concat();
        configuration.extend_from_slice(&(sequence.len() as u16).to_be_bytes());
        configuration.extend_from_slice(sequence);
        configuration.push(1);
        configuration.extend_from_slice(&(picture.len() as u16).to_be_bytes());
        configuration.extend_from_slice(picture);
        let mut body = vec![0; 24];
        if let Some(index) = body.get_mut(7) {
            *index = 1;
        }
        body.extend_from_slice(&[0, 64, 0, 36, 0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1]);
        body.extend_from_slice(&[0; 32]);
        body.extend_from_slice(&[0, 0x18, 0xff, 0xff]);
        body.extend_from_slice(&boxed(b"avcC", &configuration));
        boxed(b"avc1", &body)
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn table(name: &[u8; 4], count: u32, values: &[u32]) -> Vec<u8> {
    full(name, 0, 0, &[words(&[count]), words(values)].concat())
}
