//! What `moov` and `moof` say about the tracks.
//!
//! Owns sample tables and fragment runs as sums: time, bytes, furthest chunk. It keeps no table in memory.

use kmds_extract::Codec;

use super::boxes::BoxAt;
use crate::media::{Broken, Window};

/// Tracks looked at; more are ignored.
const MAX_TRACKS: usize = 64;

#[derive(Debug, Default)]
pub struct Track {
    pub id: u32,
    /// `soun`, `vide`, …; nothing when the track does not say.
    pub handler: Option<[u8; 4]>,
    pub codec: Option<Codec>,
    /// Units a second.
    pub timescale: u32,
    /// What `mdhd` claims; 0 is unknown.
    pub claimed_units: u64,
    /// Sum of all samples, those of the tables and those of the fragments.
    pub units: u64,
    /// Bytes of all samples in the tables.
    pub table_bytes: u64,
    /// Where the furthest chunk of the tables begins.
    pub last_chunk: u64,
    default_units: u32,
    default_bytes: u32,
}

#[derive(Debug, Default)]
pub struct Movie {
    pub tracks: Vec<Track>,
}

impl Movie {
    pub fn read(window: &mut Window<'_>, moov: &BoxAt) -> Result<Self, Broken> {
        let children = moov.children(window, 0)?;
        let mut movie = Self::default();
        for trak in children
            .iter()
            .filter(|child| child.kind == *b"trak")
            .take(MAX_TRACKS)
        {
            movie.tracks.push(Track::read(window, trak)?);
        }
        for mvex in children.iter().filter(|child| child.kind == *b"mvex") {
            for trex in mvex
                .children(window, 0)?
                .iter()
                .filter(|child| child.kind == *b"trex")
            {
                let id = trex.u32(window, 4)?;
                let (units, bytes) = (trex.u32(window, 12)?, trex.u32(window, 16)?);
                if let Some(track) = movie.tracks.iter_mut().find(|track| track.id == id) {
                    (track.default_units, track.default_bytes) = (units, bytes);
                }
            }
        }
        Ok(movie)
    }

    /// The first audio track, or the first one that does not say what it is.
    pub fn audio(&self) -> Option<&Track> {
        let with = |handler| self.tracks.iter().find(|track| track.handler == handler);
        with(Some(*b"soun")).or_else(|| with(None))
    }

    /// Adds a fragment's runs to the tracks; gives back how many bytes of samples it announces.
    pub fn add_fragment(&mut self, window: &mut Window<'_>, moof: &BoxAt) -> Result<u64, Broken> {
        let mut bytes = 0;
        for traf in moof
            .children(window, 0)?
            .iter()
            .filter(|child| child.kind == *b"traf")
        {
            let parts = traf.children(window, 0)?;
            let Some(tfhd) = parts.iter().find(|part| part.kind == *b"tfhd") else {
                continue;
            };
            let id = tfhd.u32(window, 4)?;
            let mut unknown = Track::default();
            let track = self
                .tracks
                .iter_mut()
                .find(|track| track.id == id)
                .unwrap_or(&mut unknown);
            let (units, size) = fragment_defaults(window, tfhd, track)?;
            for trun in parts.iter().filter(|part| part.kind == *b"trun") {
                let run = run_sums(window, trun, units, size)?;
                track.units = track.units.saturating_add(run.0);
                bytes = run.1.saturating_add(bytes);
            }
        }
        Ok(bytes)
    }
}

impl Track {
    pub fn read(window: &mut Window<'_>, trak: &BoxAt) -> Result<Self, Broken> {
        let mut track = Self::default();
        if let Some(tkhd) = trak.find(window, &[*b"tkhd"])? {
            let (version, _) = tkhd.version_flags(window)?;
            track.id = tkhd.u32(window, if version == 0 { 12 } else { 20 })?;
        }
        if let Some(hdlr) = trak.find(window, &[*b"mdia", *b"hdlr"])? {
            track.handler = Some(hdlr.array(window, 8)?);
        }
        if let Some(mdhd) = trak.find(window, &[*b"mdia", *b"mdhd"])? {
            (track.timescale, track.claimed_units) = timescale_and_units(window, &mdhd)?;
        }
        if let Some(stbl) = trak.find(window, &[*b"mdia", *b"minf", *b"stbl"])? {
            track.read_tables(window, &stbl)?;
        }
        Ok(track)
    }

    fn read_tables(&mut self, window: &mut Window<'_>, stbl: &BoxAt) -> Result<(), Broken> {
        for table in stbl.children(window, 0)? {
            match &table.kind {
                b"stsd" => self.codec = codec(window, &table)?,
                b"stts" => {
                    for entry in 0..table.entries(window, 4, 8)? {
                        let at = 8 + entry * 8;
                        let (count, units) = (table.u32(window, at)?, table.u32(window, at + 4)?);
                        self.units = self
                            .units
                            .saturating_add(u64::from(count) * u64::from(units));
                    }
                }
                b"stsz" => self.table_bytes = stsz_bytes(window, &table)?,
                b"stco" => {
                    for entry in 0..table.entries(window, 4, 4)? {
                        self.last_chunk = self
                            .last_chunk
                            .max(u64::from(table.u32(window, 8 + entry * 4)?));
                    }
                }
                b"co64" => {
                    for entry in 0..table.entries(window, 4, 8)? {
                        self.last_chunk = self.last_chunk.max(table.u64(window, 8 + entry * 8)?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Timescale and duration of `mvhd` and `mdhd`, which are laid out alike; an unknown duration is 0.
pub fn timescale_and_units(window: &mut Window<'_>, header: &BoxAt) -> Result<(u32, u64), Broken> {
    let (version, _) = header.version_flags(window)?;
    if version == 0 {
        let units = header.u32(window, 16)?;
        return Ok((
            header.u32(window, 12)?,
            if units == u32::MAX {
                0
            } else {
                u64::from(units)
            },
        ));
    }
    let units = header.u64(window, 24)?;
    Ok((
        header.u32(window, 20)?,
        if units == u64::MAX { 0 } else { units },
    ))
}

fn stsz_bytes(window: &mut Window<'_>, stsz: &BoxAt) -> Result<u64, Broken> {
    let each = stsz.u32(window, 4)?;
    if each != 0 {
        return Ok(u64::from(each) * u64::from(stsz.u32(window, 8)?));
    }
    let mut sum = 0_u64;
    for entry in 0..stsz.entries(window, 8, 4)? {
        sum += u64::from(stsz.u32(window, 12 + entry * 4)?);
    }
    Ok(sum)
}

fn codec(window: &mut Window<'_>, stsd: &BoxAt) -> Result<Option<Codec>, Broken> {
    let Some(entry) = stsd.children(window, 8)?.first().copied() else {
        return Ok(None);
    };
    Ok(Some(match &entry.kind {
        b"mp4a" => mp4a_codec(window, &entry)?,
        b".mp3" => Codec::Mp3,
        b"Opus" => Codec::Opus,
        b"fLaC" => Codec::Flac,
        b"sowt" | b"twos" | b"lpcm" | b"ipcm" | b"fpcm" => Codec::Pcm,
        _ => Codec::Other,
    }))
}

/// `mp4a` is AAC unless its decoder configuration says MP3 (object types 0x69 and 0x6B) or Vorbis (0xDD).
fn mp4a_codec(window: &mut Window<'_>, entry: &BoxAt) -> Result<Codec, Broken> {
    /// Bytes of an `esds` before its object type, descriptor lengths of one byte each: enough to look through.
    const LOOK_BYTES: usize = 64;
    let look = usize::try_from(entry.size())
        .unwrap_or(LOOK_BYTES)
        .min(LOOK_BYTES + 36);
    let entry = window.peek(entry.body, look)?;
    let esds = entry
        .windows(4)
        .position(|kind| kind == b"esds")
        .and_then(|at| entry.get(at + 8..));
    // Descriptor 4 (decoder configuration): its length is 1 to 4 bytes, all but the last with the high bit set.
    let object = esds.and_then(|esds| {
        let at = esds.iter().position(|&tag| tag == 4)?;
        let length = esds
            .get(at + 1..)?
            .iter()
            .take_while(|&&byte| byte & 0x80 != 0)
            .count()
            + 1;
        esds.get(at + 1 + length).copied()
    });
    Ok(match object {
        Some(0x69 | 0x6B) => Codec::Mp3,
        Some(0xDD) => Codec::Vorbis,
        _ => Codec::Aac,
    })
}

/// Units and bytes of a sample where its run says nothing: from `tfhd`, else from the track.
fn fragment_defaults(
    window: &mut Window<'_>,
    tfhd: &BoxAt,
    track: &Track,
) -> Result<(u32, u32), Broken> {
    let (_, flags) = tfhd.version_flags(window)?;
    let mut at = 8;
    let mut field = |bit: u32, bytes: u64| {
        let here = at;
        let there = flags & bit != 0;
        at += if there { bytes } else { 0 };
        there.then_some(here)
    };
    let (_base, _description) = (field(0x01, 8), field(0x02, 4));
    let (units_at, bytes_at) = (field(0x08, 4), field(0x10, 4));
    let units = units_at
        .map(|at| tfhd.u32(window, at))
        .transpose()?
        .unwrap_or(track.default_units);
    let bytes = bytes_at
        .map(|at| tfhd.u32(window, at))
        .transpose()?
        .unwrap_or(track.default_bytes);
    Ok((units, bytes))
}

/// Units and bytes of all samples of a run.
fn run_sums(
    window: &mut Window<'_>,
    trun: &BoxAt,
    units: u32,
    bytes: u32,
) -> Result<(u64, u64), Broken> {
    let (_, flags) = trun.version_flags(window)?;
    let count = u64::from(trun.u32(window, 4)?);
    let head = 8 + if flags & 0x1 == 0 { 0 } else { 4 } + if flags & 0x4 == 0 { 0 } else { 4 };
    let field_bytes = |bit: u32| if flags & bit == 0 { 0 } else { 4 };
    let entry_bytes = [0x100, 0x200, 0x400, 0x800]
        .into_iter()
        .map(field_bytes)
        .sum::<u64>();
    if count * entry_bytes > trun.size().saturating_sub(head) {
        return Err(Broken::Malformed {
            at: trun.start,
            what: "a run is larger than its box",
        });
    }
    let (mut sum_units, mut sum_bytes) = (count * u64::from(units), count * u64::from(bytes));
    if flags & 0x300 != 0 {
        (sum_units, sum_bytes) = (
            if flags & 0x100 == 0 { sum_units } else { 0 },
            if flags & 0x200 == 0 { sum_bytes } else { 0 },
        );
        for entry in 0..count {
            let at = head + entry * entry_bytes;
            if flags & 0x100 != 0 {
                sum_units += u64::from(trun.u32(window, at)?);
            }
            if flags & 0x200 != 0 {
                sum_bytes += u64::from(trun.u32(window, at + field_bytes(0x100))?);
            }
        }
    }
    Ok((sum_units, sum_bytes))
}
