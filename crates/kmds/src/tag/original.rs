//! The file that is copied. It is read in pieces of 64 KiB at any place; its cursor is never moved.

use std::fs::File;
use std::io::{self, Write};

use super::TagError;
use crate::media::{Broken, Window, mp3};

const CUT: TagError = TagError::NotTaken("it is cut");

pub struct Original<'a> {
    pub window: Window<'a>,
    pub len: u64,
}

impl<'a> Original<'a> {
    pub fn open(file: &'a File) -> io::Result<Self> {
        let window = Window::open(file)?;
        let len = window.len();
        Ok(Self { window, len })
    }

    pub fn array<const N: usize>(&mut self, at: u64) -> Result<[u8; N], TagError> {
        Ok(self.window.array(at, "inside a field")?)
    }

    /// A part of the file, in memory.
    pub fn bytes(&mut self, from: u64, to: u64, most: u64) -> Result<Vec<u8>, TagError> {
        let size = to.checked_sub(from).filter(|_| to <= self.len).ok_or(CUT)?;
        let fits = usize::try_from(size).ok().filter(|_| size <= most);
        let size = fits.ok_or(TagError::NotTaken("its tables are too large"))?;
        let mut bytes = Vec::with_capacity(size);
        self.pass(from, to, &mut bytes)?;
        Ok(bytes)
    }

    /// Passes a part on, piece by piece.
    pub fn pass(&mut self, from: u64, to: u64, into: &mut dyn Write) -> Result<(), TagError> {
        if from > to || to > self.len {
            return Err(CUT);
        }
        let mut at = from;
        while at < to {
            let left = usize::try_from(to - at).unwrap_or(usize::MAX);
            let piece = self.window.peek(at, left)?;
            if piece.is_empty() {
                return Err(CUT);
            }
            into.write_all(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Where the audio begins after ID3v2 tags, which some writers put before other containers than MP3 too.
    pub fn after_id3(&mut self) -> Result<u64, TagError> {
        Ok(mp3::behind_id3(&mut self.window)?)
    }
}

impl From<Broken> for TagError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unreadable(error) => error.into(),
            Broken::Malformed { what, .. } => Self::NotTaken(what),
            _ => CUT,
        }
    }
}
