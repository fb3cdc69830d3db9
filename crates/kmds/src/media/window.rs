//! Reading a file in pieces.
//!
//! Owns one buffer of 64 KiB and its place in the file. The bytes come from a file or from memory. It does not move the
//! file's own cursor, and does not grow with the file.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::Broken;

/// Bytes read at once: more than the largest Ogg page (65,307), and still little memory.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

pub(crate) trait Bytes {
    fn size_bytes(&self) -> io::Result<u64>;
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }
}

impl Bytes for &[u8] {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut from = usize::try_from(at)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        io::Read::read(&mut from, into)
    }
}

pub(crate) struct Window<'a> {
    of: &'a dyn Bytes,
    piece: Vec<u8>,
    start: u64,
    len: u64,
}

impl<'a> Window<'a> {
    pub fn open(of: &'a dyn Bytes) -> io::Result<Self> {
        Ok(Self {
            of,
            piece: Vec::new(),
            start: 0,
            len: of.size_bytes()?,
        })
    }

    /// A second window on the same bytes.
    pub fn another(&self) -> Self {
        Self {
            of: self.of,
            piece: Vec::new(),
            start: 0,
            len: self.len,
        }
    }

    pub const fn len(&self) -> u64 {
        self.len
    }

    /// The bytes at `at`, `want` of them (at most [`PIECE_BYTES`]); fewer only where the file ends.
    pub fn peek(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = want.min(left).min(PIECE_BYTES);
        if at < self.start || at + want as u64 > self.start + self.piece.len() as u64 {
            self.refill(at)?;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let have = self.piece.get(from..).unwrap_or_default();
        Ok(have.get(..want).unwrap_or(have))
    }

    /// Exactly `N` bytes at `at`.
    pub fn array<const N: usize>(
        &mut self,
        at: u64,
        what: &'static str,
    ) -> Result<[u8; N], Broken> {
        self.peek(at, N)?
            .try_into()
            .map_err(|_| Broken::Cut { at, what })
    }

    pub fn u32_be(&mut self, at: u64, what: &'static str) -> Result<u32, Broken> {
        self.array(at, what).map(u32::from_be_bytes)
    }

    pub fn u64_be(&mut self, at: u64, what: &'static str) -> Result<u64, Broken> {
        self.array(at, what).map(u64::from_be_bytes)
    }

    /// Where the run of zero bytes that begins at `at` ends: the first other byte, or the end of the file.
    pub fn skip_zeros(&mut self, mut at: u64) -> io::Result<u64> {
        loop {
            let piece = self.peek(at, PIECE_BYTES)?;
            if piece.is_empty() {
                return Ok(at);
            }
            match piece.iter().position(|&byte| byte != 0) {
                Some(run) => return Ok(at + run as u64),
                None => at += piece.len() as u64,
            }
        }
    }

    fn refill(&mut self, at: u64) -> io::Result<()> {
        self.start = at;
        // Not more than the file has: a small file needs no large piece.
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        self.piece.resize(PIECE_BYTES.min(left), 0);
        let mut filled = 0;
        while let Some(rest) = self.piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.of.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.piece.clear();
                    return Err(error);
                }
            }
        }
        self.piece.truncate(filled);
        Ok(())
    }
}
