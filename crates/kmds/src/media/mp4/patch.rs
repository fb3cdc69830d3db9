//! Writes durations into the init piece of an HLS stream, where SoundCloud leaves zeros.
//!
//! Owns which four boxes carry a duration and in whose timescale. Fields are overwritten in place, so no byte moves. A
//! duration that is there is not replaced.

use std::time::Duration;

use super::{boxes::BoxAt, movie::timescale_and_units};
use crate::media::{Broken, Window};

/// Writes `duration` into `mvhd`, every `tkhd` and `mdhd`, and `mehd` if there is one, each in its own timescale
/// (`tkhd` and `mehd`: the movie's). Fields that hold a duration already stay; zero and all ones (unknown) are filled.
/// # Errors
/// [`Broken::Malformed`] or [`Broken::Cut`] when there is no readable `moov`.
pub fn patch_durations(init: &[u8], duration: Duration) -> Result<Vec<u8>, Broken> {
    let fields = duration_fields(&mut Window::open(&init)?)?;
    let mut patched = init.to_vec();
    for field in fields {
        let units = duration
            .as_nanos()
            .saturating_mul(u128::from(field.timescale))
            + 500_000_000;
        let units = units / 1_000_000_000;
        let start = usize::try_from(field.at).unwrap_or(usize::MAX);
        if field.wide {
            let units = u64::try_from(units).unwrap_or(u64::MAX - 1);
            fill(&mut patched, start, &units.to_be_bytes());
        } else {
            let units = u32::try_from(units).unwrap_or(u32::MAX - 1);
            fill(&mut patched, start, &units.to_be_bytes());
        }
    }
    Ok(patched)
}

struct Field {
    at: u64,
    /// 64 bits instead of 32 (version 1).
    wide: bool,
    timescale: u32,
}

fn fill(patched: &mut [u8], start: usize, units: &[u8]) {
    let Some(field) = start
        .checked_add(units.len())
        .and_then(|end| patched.get_mut(start..end))
    else {
        return;
    };
    if field.iter().all(|&byte| byte == 0) || field.iter().all(|&byte| byte == 0xFF) {
        field.copy_from_slice(units);
    }
}

fn duration_fields(window: &mut Window<'_>) -> Result<Vec<Field>, Broken> {
    let len = window.len();
    let file = BoxAt {
        kind: *b"file",
        start: 0,
        body: 0,
        end: len,
    };
    let moov = file.find(window, &[*b"moov"])?.ok_or(Broken::Cut {
        at: len,
        what: "no `moov` box follows",
    })?;
    let mvhd = moov.find(window, &[*b"mvhd"])?;
    let mvhd = mvhd.ok_or(Broken::Malformed {
        at: moov.start,
        what: "no `mvhd` box in `moov`",
    })?;
    let (movie_timescale, _) = timescale_and_units(window, &mvhd)?;
    let mut fields = vec![field(window, &mvhd, 16, 24, movie_timescale)?];
    for child in moov.children(window, 0)? {
        if child.kind == *b"trak" {
            if let Some(tkhd) = child.find(window, &[*b"tkhd"])? {
                fields.push(field(window, &tkhd, 20, 28, movie_timescale)?);
            }
            if let Some(mdhd) = child.find(window, &[*b"mdia", *b"mdhd"])? {
                let (timescale, _) = timescale_and_units(window, &mdhd)?;
                fields.push(field(window, &mdhd, 16, 24, timescale)?);
            }
        } else if child.kind == *b"mvex"
            && let Some(mehd) = child.find(window, &[*b"mehd"])?
        {
            fields.push(field(window, &mehd, 4, 4, movie_timescale)?);
        }
    }
    Ok(fields)
}

/// Where a box keeps its duration: `narrow_at` of the payload in version 0, `wide_at` in version 1.
fn field(
    window: &mut Window<'_>,
    of: &BoxAt,
    narrow_at: u64,
    wide_at: u64,
    timescale: u32,
) -> Result<Field, Broken> {
    let wide = of.version_flags(window)?.0 != 0;
    let (at, bytes) = if wide { (wide_at, 8) } else { (narrow_at, 4) };
    if at + bytes > of.size() {
        return Err(Broken::Malformed {
            at: of.start,
            what: "a box is too short for its fields",
        });
    }
    Ok(Field {
        at: of.body + at,
        wide,
        timescale,
    })
}
