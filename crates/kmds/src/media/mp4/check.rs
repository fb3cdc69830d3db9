//! Checks whether an MP4, progressive or fragmented, is whole.
//!
//! Owns what must be there (`moov`, samples) and that every box, fragment and chunk lies within the file.
//! The order of boxes does not matter, and unknown boxes are skipped.

use std::time::Duration;

use super::{boxes::BoxAt, movie::Movie};
use crate::media::{Broken, Walked, Window, duration_of, tail};

/// Left over at the end: fewer zero bytes than a padding box needs.
const MAX_LEFT_OVER: u64 = 7;

#[derive(Default)]
struct Walk {
    movie: Option<Movie>,
    /// Payload of all `mdat` so far.
    media_bytes: u64,
    /// Bytes that the last fragment announced and that are still to come.
    owed_bytes: u64,
    fragments: u64,
    /// Sum of what `sidx` boxes say, and how far into the file they say it reaches.
    indexed: Duration,
    indexed_end: u64,
}

pub(in crate::media) fn walk(window: &mut Window<'_>) -> Result<Walked, Broken> {
    let (len, mut at, mut walk) = (window.len(), 0, Walk::default());
    while at < len {
        if len - at <= MAX_LEFT_OVER && window.skip_zeros(at)? == len {
            break;
        }
        if walk.owes_nothing(at) && window.skip_zeros(at)? == len {
            break;
        }
        let top = match BoxAt::read(window, at, len) {
            Err(_) if at > 0 && tail::is_tags(window, at)? => break,
            top => top?,
        };
        walk.take(window, &top)?;
        at = top.end;
    }
    walk.finish(len)
}

impl Walk {
    /// Whether all audio stands before `at`, so that zeros from there on are no hole: the sample tables cover it, or an
    /// index.
    fn owes_nothing(&self, at: u64) -> bool {
        let covered = match self.fragments {
            0 => self.media_bytes > 0,
            _ => self.indexed_end > 0 && self.indexed_end <= at,
        };
        self.movie.is_some() && self.owed_bytes == 0 && covered
    }

    fn take(&mut self, window: &mut Window<'_>, top: &BoxAt) -> Result<(), Broken> {
        match &top.kind {
            b"moov" if self.movie.is_none() => self.movie = Some(Movie::read(window, top)?),
            b"moof" => {
                let Some(movie) = &mut self.movie else {
                    return Err(Broken::Malformed {
                        at: top.start,
                        what: "a fragment before `moov`",
                    });
                };
                // Nothing may be owed: the fragment before has had its `mdat`.
                if self.owed_bytes > 0 {
                    return Err(Broken::Malformed {
                        at: top.start,
                        what: "the fragment before has too little `mdat`",
                    });
                }
                self.owed_bytes = movie.add_fragment(window, top)?;
                self.fragments += 1;
            }
            b"mdat" => {
                self.media_bytes += top.size();
                self.owed_bytes = self.owed_bytes.saturating_sub(top.size());
            }
            b"sidx" => {
                let (indexed, end) = index(window, top)?;
                self.indexed += indexed;
                self.indexed_end = self.indexed_end.max(end);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, len: u64) -> Result<Walked, Broken> {
        let cut = |what| Broken::Cut { at: len, what };
        let movie = self.movie.ok_or(cut("no `moov` box follows"))?;
        let audio = movie.audio().ok_or(Broken::Malformed {
            at: 0,
            what: "no audio track",
        })?;
        if self.media_bytes == 0 {
            return Err(cut("no audio follows"));
        }
        if self.owed_bytes > 0 {
            return Err(cut("the last fragment has too little `mdat`"));
        }
        if self.indexed_end > len {
            return Err(cut("the index promises more fragments"));
        }
        let table_bytes = movie
            .tracks
            .iter()
            .fold(0_u64, |sum, track| sum.saturating_add(track.table_bytes));
        if table_bytes > self.media_bytes
            || movie.tracks.iter().any(|track| track.last_chunk >= len)
        {
            return Err(cut("the sample tables promise more"));
        }
        let units = if audio.units == 0 {
            audio.claimed_units
        } else {
            audio.units
        };
        let content = if audio.units == 0 && !self.indexed.is_zero() {
            Some(self.indexed)
        } else {
            duration_of(units, audio.timescale)
        };
        Ok(Walked {
            codec: audio.codec.unwrap_or(kmds_extract::Codec::Other),
            content,
            claimed: None,
        })
    }
}

/// The duration of a `sidx`, and where the last piece of the file it names ends.
fn index(window: &mut Window<'_>, sidx: &BoxAt) -> Result<(Duration, u64), Broken> {
    let (version, _) = sidx.version_flags(window)?;
    let timescale = sidx.u32(window, 8)?;
    let (first_offset, head) = match version {
        0 => (u64::from(sidx.u32(window, 16)?), 20),
        _ => (sidx.u64(window, 20)?, 28),
    };
    let [_, _, c0, c1]: [u8; 4] = sidx.array(window, head)?;
    let (mut units, mut end) = (0, sidx.end.saturating_add(first_offset));
    for entry in 0..u64::from(u16::from_be_bytes([c0, c1])) {
        let at = head + 4 + entry * 12;
        let reference = sidx.u32(window, at)?;
        end = end.saturating_add(u64::from(reference & 0x7FFF_FFFF));
        // The high bit marks another index, which will count its own pieces.
        if reference >> 31 == 0 {
            units += u64::from(sidx.u32(window, at + 4)?);
        }
    }
    Ok((duration_of(units, timescale).unwrap_or_default(), end))
}

/// One HLS piece: boxes fill it exactly, and it is an init piece (`moov`) or holds fragments (`moof`, `mdat`).
pub(in crate::media) fn walk_segment(window: &mut Window<'_>) -> Result<(), Broken> {
    let (len, mut at) = (window.len(), 0);
    let (mut init, mut fragments, mut media_bytes, mut owes) = (false, 0_u64, 0, false);
    while at < len {
        let top = BoxAt::read(window, at, len)?;
        match &top.kind {
            b"moov" => init = Movie::read(window, &top)?.audio().is_some(),
            b"moof" => {
                fragments += 1;
                owes = true;
            }
            b"mdat" => {
                media_bytes += top.size();
                owes = false;
            }
            _ => {}
        }
        at = top.end;
    }
    match (init, fragments) {
        (true, 0) => Ok(()),
        (_, 1..) if media_bytes > 0 && !owes => Ok(()),
        (_, 1..) => Err(Broken::Cut {
            at: len,
            what: "no audio follows its `moof` box",
        }),
        (false, _) => Err(Broken::Cut {
            at: len,
            what: "neither `moov` nor `moof` in it",
        }),
    }
}
