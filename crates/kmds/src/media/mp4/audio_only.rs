//! The audio of a muxed MP4 (YouTube's itag 18), packets untouched.
//!
//! Owns the new file around the old chunks: `ftyp`, `moov` with the one track, `mdat`. All tables of the track are
//! copied as they are but for the chunk offsets. It decodes nothing, and does not read fragmented files.

use std::{
    fs::File,
    io::{self, Write},
};

use kmds_extract::{Codec, Container};

use super::{
    boxes::BoxAt,
    movie::{Track, timescale_and_units},
};
use crate::media::{Broken, Checked, Window, bitrate_bps, duration_of, window::PIECE_BYTES};

/// Bytes of tables held in memory: ten hours of AAC need 6 MiB.
const MAX_TABLE_BYTES: u64 = 32 << 20;

const FTYP: &[u8] = b"\0\0\0\x1CftypM4A \0\0\x02\0M4A isommp42";

/// A run of bytes of the input that goes into the output.
struct Chunk {
    at: u64,
    bytes: u64,
}

/// Writes the AAC track of the progressive MP4 `input` as an MP4 of its own, and says what came out.
///
/// `input`'s cursor is neither used nor moved. Memory holds the track's tables, never its audio.
/// # Errors
/// [`Broken::Malformed`] when there is no AAC track or the file is fragmented, [`Broken::Cut`] when the audio is not
/// all there, [`Broken::Unreadable`] also when `output` cannot be written. What has been written by then is worthless.
pub fn extract_audio(input: &File, output: &mut impl Write) -> Result<Checked, Broken> {
    let mut window = Window::open(input)?;
    let window = &mut window;
    let moov = find_moov(window)?;
    let (trak, track) = aac_track(window, &moov)?;
    let (chunks, media_bytes) = checked_chunks(window, &trak)?;
    // Offsets are as wide either way as they need to be, so a first pass tells where `mdat` begins.
    let wide = media_bytes > u64::from(u32::MAX) - MAX_TABLE_BYTES;
    let mdat_header = if wide { 16 } else { 8 };
    let mut moov_for = |first| {
        let chunks = &chunks;
        let offsets = NewOffsets {
            chunks,
            first,
            wide,
        };
        new_moov(window, &moov, &trak, &track, &offsets)
    };
    let first = (FTYP.len() + moov_for(0)?.len()) as u64 + mdat_header;
    let moov = moov_for(first)?;

    output.write_all(FTYP)?;
    output.write_all(&moov)?;
    output.write_all(&box_header(*b"mdat", media_bytes, wide))?;
    for chunk in &chunks {
        copy(window, chunk, output)?;
    }
    let size_bytes = first + media_bytes;
    let duration = duration_of(track.units, track.timescale);
    let bitrate_bps = duration.and_then(|duration| bitrate_bps(size_bytes, duration));
    Ok(Checked {
        container: Container::Mp4,
        codec: Codec::Aac,
        duration,
        bitrate_bps,
        size_bytes,
    })
}

/// The chunks of a track, and the bytes in all of them.
fn checked_chunks(window: &mut Window<'_>, trak: &BoxAt) -> Result<(Vec<Chunk>, u64), Broken> {
    let at = trak.start;
    let malformed = |what| Err(Broken::Malformed { at, what });
    if trak.size() > MAX_TABLE_BYTES {
        return malformed("the sample tables are too large");
    }
    let chunks = chunks(window, trak)?;
    let media_bytes = chunks.iter().map(|chunk| chunk.bytes).sum();
    if media_bytes > window.len() {
        return malformed("the sample tables name bytes twice");
    }
    Ok((chunks, media_bytes))
}

fn find_moov(window: &mut Window<'_>) -> Result<BoxAt, Broken> {
    let mut at = 0;
    while at < window.len() {
        let top = BoxAt::read(window, at, window.len())?;
        match &top.kind {
            b"moov" => return Ok(top),
            b"moof" => break,
            _ => at = top.end,
        }
    }
    Err(Broken::Cut {
        at: window.len(),
        what: "no `moov` box follows",
    })
}

fn aac_track(window: &mut Window<'_>, moov: &BoxAt) -> Result<(BoxAt, Track), Broken> {
    for trak in moov
        .children(window, 0)?
        .into_iter()
        .filter(|child| child.kind == *b"trak")
    {
        let track = Track::read(window, &trak)?;
        if track.handler == Some(*b"soun")
            && track.codec == Some(Codec::Aac)
            && track.table_bytes > 0
        {
            return Ok((trak, track));
        }
    }
    Err(Broken::Malformed {
        at: moov.start,
        what: "no AAC track with sample tables",
    })
}

/// The tables that say where the samples lie.
struct SampleTables {
    stsc: BoxAt,
    stsz: BoxAt,
    offsets: BoxAt,
    /// 64-bit offsets: `co64` instead of `stco`.
    wide: bool,
    chunks: u64,
    samples: u64,
    /// Bytes of every sample; 0 when `stsz` lists them.
    sample_bytes: u32,
}

impl SampleTables {
    fn read(window: &mut Window<'_>, trak: &BoxAt) -> Result<Self, Broken> {
        let malformed = |what| Broken::Malformed {
            at: trak.start,
            what,
        };
        let stbl = trak
            .find(window, &[*b"mdia", *b"minf", *b"stbl"])?
            .ok_or(malformed("no `stbl` box"))?;
        let tables = stbl.children(window, 0)?;
        let table = |kind: &[u8; 4]| tables.iter().find(|table| table.kind == *kind).copied();
        let stsc = table(b"stsc").ok_or(malformed("no `stsc` box"))?;
        let stsz = table(b"stsz").ok_or(malformed("no `stsz` box"))?;
        let stco = table(b"stco");
        let wide = stco.is_none();
        let offsets = stco
            .or_else(|| table(b"co64"))
            .ok_or(malformed("no chunk offsets"))?;
        let chunks = offsets.entries(window, 4, if wide { 8 } else { 4 })?;
        let sample_bytes = stsz.u32(window, 4)?;
        let samples = match sample_bytes {
            0 => stsz.entries(window, 8, 4)?,
            _ => u64::from(stsz.u32(window, 8)?),
        };
        Ok(Self {
            stsc,
            stsz,
            offsets,
            wide,
            chunks,
            samples,
            sample_bytes,
        })
    }

    fn offset(&self, window: &mut Window<'_>, chunk: u64) -> Result<u64, Broken> {
        match self.wide {
            true => self.offsets.u64(window, 8 + chunk * 8),
            false => self.offsets.u32(window, 8 + chunk * 4).map(u64::from),
        }
    }

    /// Bytes of `count` samples from `first` on.
    fn samples_bytes(
        &self,
        window: &mut Window<'_>,
        first: u64,
        count: u64,
    ) -> Result<u64, Broken> {
        let mut bytes = u64::from(self.sample_bytes) * count;
        if self.sample_bytes == 0 {
            for sample in first..first + count {
                bytes += u64::from(self.stsz.u32(window, 12 + sample * 4)?);
            }
        }
        Ok(bytes)
    }
}

/// Where the samples of the track lie, chunk by chunk: `stsc` says how many each holds, `stsz` how large they are.
fn chunks(window: &mut Window<'_>, trak: &BoxAt) -> Result<Vec<Chunk>, Broken> {
    let tables = SampleTables::read(window, trak)?;
    let (stsc, runs) = (&tables.stsc, tables.stsc.entries(window, 4, 12)?);
    // The tables lie far apart and are read side by side: a window each.
    let (mut on_stsc, mut on_stsz, mut on_offsets) =
        (window.another(), window.another(), window.another());
    let (mut run, mut sample, mut chunks) = (0, 0, Vec::new());
    for chunk in 0..tables.chunks {
        while run + 1 < runs && u64::from(stsc.u32(&mut on_stsc, 8 + (run + 1) * 12)?) <= chunk + 1
        {
            run += 1;
        }
        let in_chunk =
            u64::from(stsc.u32(&mut on_stsc, 8 + run * 12 + 4)?).min(tables.samples - sample);
        let bytes = tables.samples_bytes(&mut on_stsz, sample, in_chunk)?;
        sample += in_chunk;
        let at = tables.offset(&mut on_offsets, chunk)?;
        if at.checked_add(bytes).is_none_or(|end| end > window.len()) {
            return Err(Broken::Cut {
                at: window.len(),
                what: "the sample tables promise more",
            });
        }
        chunks.push(Chunk { at, bytes });
    }
    match sample == tables.samples {
        true => Ok(chunks),
        false => Err(Broken::Malformed {
            at: trak.start,
            what: "the chunks hold fewer samples than there are",
        }),
    }
}

struct NewOffsets<'a> {
    chunks: &'a [Chunk],
    /// Where the first chunk stands in the new file.
    first: u64,
    wide: bool,
}

impl NewOffsets<'_> {
    fn table(&self) -> Vec<u8> {
        let mut table = vec![0; 4];
        table.extend_from_slice(&(self.chunks.len() as u32).to_be_bytes());
        let mut at = self.first;
        for chunk in self.chunks {
            // One without samples may be the last: it must not point behind the end.
            let offset = if chunk.bytes == 0 { self.first } else { at };
            if self.wide {
                table.extend_from_slice(&offset.to_be_bytes());
            } else {
                table.extend_from_slice(&(offset as u32).to_be_bytes());
            }
            at += chunk.bytes;
        }
        boxed(if self.wide { *b"co64" } else { *b"stco" }, &table)
    }
}

fn new_moov(
    window: &mut Window<'_>,
    moov: &BoxAt,
    trak: &BoxAt,
    track: &Track,
    offsets: &NewOffsets<'_>,
) -> Result<Vec<u8>, Broken> {
    let mvhd = moov
        .find(window, &[*b"mvhd"])?
        .filter(|mvhd| mvhd.size() <= MAX_TABLE_BYTES);
    let mvhd = mvhd.ok_or(Broken::Malformed {
        at: moov.start,
        what: "no `mvhd` box of sensible size",
    })?;
    let (timescale, _) = timescale_and_units(window, &mvhd)?;
    let wide_at = if mvhd.version_flags(window)?.0 == 0 {
        None
    } else {
        Some(24)
    };
    let mut header = copied(window, &mvhd)?;
    // The movie was as long as its longest track; now it is as long as the audio.
    let nanos = duration_of(track.units, track.timescale)
        .unwrap_or_default()
        .as_nanos();
    let units = u64::try_from(nanos * u128::from(timescale) / 1_000_000_000).unwrap_or(0);
    let body = usize::try_from(mvhd.body - mvhd.start).unwrap_or(8);
    let (at, field) = match wide_at {
        Some(at) => (body + at, units.to_be_bytes().to_vec()),
        None => (
            body + 16,
            u32::try_from(units)
                .unwrap_or(u32::MAX)
                .to_be_bytes()
                .to_vec(),
        ),
    };
    if let Some(there) = header.get_mut(at..at + field.len()) {
        there.copy_from_slice(&field);
    }
    let trak = rebuilt(window, trak, &[*b"mdia", *b"minf", *b"stbl"], offsets)?;
    Ok(boxed(*b"moov", &[header, trak].concat()))
}

/// The box with the chunk offsets at the end of `path` replaced; references to tracks that are gone are left out.
fn rebuilt(
    window: &mut Window<'_>,
    from: &BoxAt,
    path: &[[u8; 4]],
    offsets: &NewOffsets<'_>,
) -> Result<Vec<u8>, Broken> {
    let (mut body, mut written) = (Vec::new(), false);
    let children = from.children(window, 0)?;
    for (index, child) in children.iter().enumerate() {
        // The first table of a kind was read; another one would say something else.
        let again = children
            .iter()
            .take(index)
            .any(|before| before.kind == child.kind);
        match (&child.kind, path) {
            (kind, [next, path @ ..]) if kind == next => {
                body.extend(rebuilt(window, child, path, offsets)?)
            }
            (b"stco" | b"co64", []) if !written => {
                body.extend(offsets.table());
                written = true;
            }
            (b"stco" | b"co64", []) => {}
            (b"stsd" | b"stts" | b"stsc" | b"stsz", []) if again => {}
            (b"tref" | b"udta" | b"meta", _) => {}
            _ => body.extend(copied(window, child)?),
        }
    }
    Ok(boxed(from.kind, &body))
}

fn copied(window: &mut Window<'_>, from: &BoxAt) -> Result<Vec<u8>, Broken> {
    let mut copied = Vec::new();
    copy(
        window,
        &Chunk {
            at: from.start,
            bytes: from.end - from.start,
        },
        &mut copied,
    )?;
    Ok(copied)
}

fn copy(window: &mut Window<'_>, chunk: &Chunk, output: &mut impl Write) -> Result<(), Broken> {
    let (mut at, end) = (chunk.at, chunk.at + chunk.bytes);
    while at < end {
        let want = usize::try_from(end - at)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        let piece = window.peek(at, want)?;
        if piece.is_empty() {
            return Err(Broken::Unreadable(io::ErrorKind::UnexpectedEof.into()));
        }
        output.write_all(piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut boxed = box_header(kind, body.len() as u64, false);
    boxed.extend_from_slice(body);
    boxed
}

/// Everything but `mdat` stays below [`MAX_TABLE_BYTES`] or so: 32 bits do.
fn box_header(kind: [u8; 4], body_bytes: u64, wide: bool) -> Vec<u8> {
    let mut header = Vec::with_capacity(16);
    if wide {
        header.extend_from_slice(&1_u32.to_be_bytes());
        header.extend_from_slice(&kind);
        header.extend_from_slice(&(body_bytes + 16).to_be_bytes());
    } else {
        header.extend_from_slice(&((body_bytes + 8) as u32).to_be_bytes());
        header.extend_from_slice(&kind);
    }
    header
}
