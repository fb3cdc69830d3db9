//! One box: its kind, where it begins and ends, and the boxes inside it.
//!
//! Reads 32-bit, 64-bit and open sizes. It does not interpret a box.

use crate::media::{Broken, Window};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxAt {
    pub kind: [u8; 4],
    pub start: u64,
    /// Where its payload begins.
    pub body: u64,
    pub end: u64,
}

impl BoxAt {
    /// The box at `at`, which must end at `end` or before.
    pub fn read(window: &mut Window<'_>, at: u64, end: u64) -> Result<Self, Broken> {
        let [s0, s1, s2, s3, kind @ ..]: [u8; 8] = window.array(at, "inside a box header")?;
        let (size, header) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (end - at, 8),
            1 => (window.u64_be(at + 8, "inside a box header")?, 16),
            size => (u64::from(size), 8),
        };
        // A hole left by a lost piece reads as a box of kind 0000 that runs to the end.
        let named = kind.iter().all(|&byte| matches!(byte, 0x20..=0x7E | 0xA9));
        if !named || size < header {
            return Err(Broken::Malformed {
                at,
                what: "not an MP4 box",
            });
        }
        match at.checked_add(size) {
            Some(box_end) if box_end <= end => Ok(Self {
                kind,
                start: at,
                body: at + header,
                end: box_end,
            }),
            _ if end == window.len() => Err(Broken::Cut {
                at: end,
                what: inside(kind),
            }),
            _ => Err(Broken::Malformed {
                at,
                what: "a box is larger than the one around it",
            }),
        }
    }

    /// Bytes of payload.
    pub const fn size(&self) -> u64 {
        self.end - self.body
    }

    /// The boxes from `skip` bytes after the start of the payload to its end. Up to 7 bytes may be left over: some
    /// writers end a list with a zero word.
    pub fn children(&self, window: &mut Window<'_>, skip: u64) -> Result<Vec<Self>, Broken> {
        /// The most boxes in one box; no song has a `moov` of 500 tracks.
        const MAX_CHILDREN: usize = 1024;
        let (mut children, mut at) = (Vec::new(), self.body + skip);
        while at + 8 <= self.end && children.len() < MAX_CHILDREN {
            let child = Self::read(window, at, self.end)?;
            at = child.end;
            children.push(child);
        }
        Ok(children)
    }

    /// The box at the end of a path of kinds, the first of each kind.
    pub fn find(&self, window: &mut Window<'_>, path: &[[u8; 4]]) -> Result<Option<Self>, Broken> {
        let mut here = *self;
        for kind in path {
            match here
                .children(window, 0)?
                .into_iter()
                .find(|child| child.kind == *kind)
            {
                Some(child) => here = child,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// `N` bytes at `at` of the payload; they must lie within the box.
    pub fn array<const N: usize>(
        &self,
        window: &mut Window<'_>,
        at: u64,
    ) -> Result<[u8; N], Broken> {
        if at.checked_add(N as u64).is_none_or(|end| end > self.size()) {
            return Err(Broken::Malformed {
                at: self.start,
                what: "a box is too short for its fields",
            });
        }
        window.array(self.body + at, inside(self.kind))
    }

    pub fn u32(&self, window: &mut Window<'_>, at: u64) -> Result<u32, Broken> {
        self.array(window, at).map(u32::from_be_bytes)
    }

    pub fn u64(&self, window: &mut Window<'_>, at: u64) -> Result<u64, Broken> {
        self.array(window, at).map(u64::from_be_bytes)
    }

    /// Version and flags of a full box.
    pub fn version_flags(&self, window: &mut Window<'_>) -> Result<(u8, u32), Broken> {
        let [version, f0, f1, f2]: [u8; 4] = self.array(window, 0)?;
        Ok((version, u32::from_be_bytes([0, f0, f1, f2])))
    }

    /// How many entries of `entry_bytes` follow the count at `count_at`; they must all lie within the box.
    pub fn entries(
        &self,
        window: &mut Window<'_>,
        count_at: u64,
        entry_bytes: u64,
    ) -> Result<u64, Broken> {
        let count = u64::from(self.u32(window, count_at)?);
        match count * entry_bytes <= self.size().saturating_sub(count_at + 4) {
            true => Ok(count),
            false => Err(Broken::Malformed {
                at: self.start,
                what: "a table is larger than its box",
            }),
        }
    }
}

/// Where the first fragment begins; `None` while `head` ends before it.
pub fn first_fragment(head: &[u8]) -> Option<usize> {
    let mut window = Window::open(&head).ok()?;
    let mut at = 0;
    loop {
        let [_, _, _, _, kind @ ..]: [u8; 8] = window.array(at, "before a fragment").ok()?;
        if kind == *b"moof" {
            return usize::try_from(at).ok();
        }
        at = BoxAt::read(&mut window, at, head.len() as u64).ok()?.end;
    }
}

const fn inside(kind: [u8; 4]) -> &'static str {
    match &kind {
        b"moov" => "inside the `moov` box",
        b"moof" => "inside a `moof` box",
        b"mdat" => "inside an `mdat` box",
        b"free" | b"skip" => "inside a padding box",
        _ => "inside a box",
    }
}
