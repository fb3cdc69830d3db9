//! The file that is copied, read in pieces at any place.
//!
//! Never moves the file's cursor, and never holds more than is asked for.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::TagError;

/// Bytes of audio that are passed on at once.
const PIECE_BYTES: usize = 64 << 10;

pub struct Original<'a> {
    file: &'a File,
    pub len: u64,
}

impl<'a> Original<'a> {
    pub fn open(file: &'a File) -> io::Result<Self> {
        Ok(Self {
            file,
            len: file.metadata()?.len(),
        })
    }

    pub fn array<const N: usize>(&self, at: u64) -> Result<[u8; N], TagError> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at).map_err(cut)?;
        Ok(bytes)
    }

    /// Up to `N` bytes; zeros behind the end.
    pub fn head<const N: usize>(&self, at: u64) -> Result<[u8; N], TagError> {
        let mut bytes = [0; N];
        let there = usize::try_from(self.len.saturating_sub(at))
            .unwrap_or(N)
            .min(N);
        if let Some(into) = bytes.get_mut(..there) {
            self.file.read_exact_at(into, at).map_err(cut)?;
        }
        Ok(bytes)
    }

    /// A part that is held whole.
    pub fn bytes(&self, from: u64, to: u64, most: u64) -> Result<Vec<u8>, TagError> {
        let size = to
            .checked_sub(from)
            .filter(|_| to <= self.len)
            .ok_or(TagError::NotTaken("it is cut"))?;
        let size = usize::try_from(size).ok().filter(|_| size <= most);
        let mut bytes = vec![0; size.ok_or(TagError::NotTaken("its tables are too large"))?];
        self.file.read_exact_at(&mut bytes, from).map_err(cut)?;
        Ok(bytes)
    }

    /// Passes a part on, piece by piece.
    pub fn pass(&self, from: u64, to: u64, into: &mut dyn Write) -> Result<(), TagError> {
        if from > to || to > self.len {
            return Err(TagError::NotTaken("it is cut"));
        }
        let (mut at, mut piece) = (
            from,
            vec![0; PIECE_BYTES.min(usize::try_from(to - from).unwrap_or(PIECE_BYTES))],
        );
        while at < to {
            let size = usize::try_from(to - at)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let Some(piece) = piece.get_mut(..size) else {
                break;
            };
            self.file.read_exact_at(piece, at).map_err(cut)?;
            into.write_all(piece)?;
            at += size as u64;
        }
        Ok(())
    }

    /// Where the audio begins behind ID3v2 tags, which other containers than MP3 are given too.
    pub fn after_id3(&self) -> Result<u64, TagError> {
        let mut at = 0;
        while let [b'I', b'D', b'3', version, _, flags, size @ ..] = self.head::<10>(at)?
            && version < 0xff
            && size.iter().all(|byte| byte & 0x80 == 0)
        {
            let footer = if flags & 0x10 == 0 { 0 } else { 10 };
            at += 10
                + size
                    .into_iter()
                    .fold(0, |sum, byte| sum << 7 | u64::from(byte))
                + footer;
        }
        Ok(at)
    }
}

fn cut(error: io::Error) -> TagError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        TagError::NotTaken("it is cut")
    } else {
        error.into()
    }
}
