//! Reading audio, finished or still arriving.
//!
//! Owns one reader's open file and its wait for bytes. A read runs on the runtime's thread if the kernel has the bytes
//! in memory, else on a thread that may wait. Dropping a reader ends its claim on the file and never stops a download.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::watch;

use super::catalog::{Row, blocking};
use super::claims::ReadHold;
use super::error::{StoreError, io};
use super::partial::{Outcome, Partial, Progress, SharedFile};

/// The most bytes of one read, and so the memory of a listener
/// (ARCHITECTURE.md, "Where memory goes").
pub const READ_BYTES: usize = 64 << 10;

/// After this many bytes a listener of a growing file waits for larger pieces: a player starts with less, and then has
/// seconds to play.
const GATHERS_AFTER: u64 = 256 << 10;
/// How large such a piece is, and how long a listener waits for it, at most; at the end of the bytes it does not wait.
/// Without this, a site that sends small pieces would wake every listener for each.
const GATHER_BYTES: u64 = 256 << 10;
const GATHER: Duration = Duration::from_millis(500);

/// One reader of one file, at any position. While it reads, the file is not evicted; after a pause it may be, and the
/// reader continues with its open file.
#[derive(Debug)]
pub struct Reader {
    source: OpenFile,
    extent: Extent,
    /// The file system answers reads without waiting (`RWF_NOWAIT`); the first read finds this out.
    nowait: bool,
    /// Bytes handed out.
    given: u64,
    /// The reader is another node: it does not wait here for what another node brings.
    for_node: bool,
    hold: ReadHold,
}

/// Bytes of a file that the kernel has in memory, so that sending them waits for no drive.
#[derive(Debug)]
pub struct FileSpan {
    pub file: Arc<File>,
    pub at: u64,
    /// Bytes; at least one.
    pub length: u64,
}

impl FileSpan {
    /// Its beginning, of at most `most` bytes.
    pub fn first(&self, most: u64) -> Self {
        Self {
            file: Arc::clone(&self.file),
            at: self.at,
            length: self.length.min(most).max(1),
        }
    }

    /// Whether its ends are in memory. A page in the middle may be missing all the same.
    pub fn is_in_memory(&self) -> bool {
        is_in_memory(&self.file, self.at)
            && is_in_memory(&self.file, self.at + self.length.saturating_sub(1))
    }

    /// Brings it into memory; waits for the drive.
    pub fn read_ahead(&self) {
        let mut buffer = vec![0; READ_BYTES];
        let (mut at, end) = (self.at, self.at.saturating_add(self.length));
        while at < end
            && let Ok(read) = self.file.read_at(&mut buffer, at)
            && read > 0
        {
            at += read as u64;
        }
    }
}

#[derive(Debug)]
enum OpenFile {
    Own(Arc<File>),
    Shared(Arc<SharedFile>),
}

#[derive(Debug)]
enum Extent {
    Whole(u64),
    Growing {
        progress: watch::Receiver<Progress>,
        has_all: watch::Receiver<bool>,
    },
}

impl Reader {
    pub(super) fn whole(file: File, size_bytes: u64, hold: ReadHold) -> Self {
        Self {
            source: OpenFile::Own(Arc::new(file)),
            extent: Extent::Whole(size_bytes),
            nowait: true,
            given: 0,
            for_node: false,
            hold,
        }
    }

    pub(super) fn growing(partial: &Partial, hold: ReadHold) -> Self {
        let (source, extent) = (
            OpenFile::Shared(partial.held()),
            Extent::Growing {
                progress: partial.subscribe(),
                has_all: partial.subscribe_to_end(),
            },
        );
        Self {
            source,
            extent,
            nowait: true,
            given: 0,
            for_node: false,
            hold,
        }
    }

    /// The same for another node. Where a third node brings the rest of the file, it ends with [`StoreError::Gone`]
    /// after the bytes that are there: otherwise two nodes could wait for each other's bytes.
    #[must_use]
    pub fn for_node(self, for_node: bool) -> Self {
        Self { for_node, ..self }
    }

    /// The file itself, for reading at any place; it stays readable even if its name is removed.
    /// # Errors
    /// [`StoreError::Gone`] while it gets its final name.
    pub fn file(&self) -> Result<Arc<File>, StoreError> {
        match &self.source {
            OpenFile::Own(file) => Ok(Arc::clone(file)),
            OpenFile::Shared(held) => held.file().ok_or(StoreError::Gone),
        }
    }

    /// Up to `max` (at most [`READ_BYTES`]) bytes from `offset`, waiting while none are there yet. Empty at the end.
    /// Dropping the future loses nothing.
    /// # Errors
    /// [`StoreError::Gone`] if the download ended before `offset` was written, or another program cut the file.
    pub async fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let end = self.wait_beyond(offset, READ_BYTES as u64).await?;
        self.hold.reads();
        let there = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = there.min(max).min(READ_BYTES);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let file = self.open_file().await?;
        let bytes = self.fetch(file, offset, wanted).await?;
        self.given += bytes.len() as u64;
        if bytes.is_empty() {
            Err(StoreError::Gone)
        } else {
            Ok(bytes)
        }
    }

    /// The available bytes from `offset` on, at most `max`, without reading them. Waits as [`Reader::read_at`] does.
    /// `None` at the end, and if the kernel does not have them in memory: then they must be read.
    /// # Errors
    /// As [`Reader::read_at`].
    pub async fn span_at(&mut self, offset: u64, max: u64) -> Result<Option<FileSpan>, StoreError> {
        let end = self.wait_beyond(offset, max).await?;
        self.hold.reads();
        let length = end.saturating_sub(offset).min(max);
        if length == 0 || !self.nowait {
            return Ok(None);
        }
        let file = self.open_file().await?;
        let span = FileSpan {
            file,
            at: offset,
            length,
        };
        if !span.is_in_memory() {
            return Ok(None);
        }
        self.given += length;
        Ok(Some(span))
    }

    /// Waits for byte `offset` or the end; returns how far the file reaches. At most `max` bytes are taken then, so
    /// that no more are gathered.
    async fn wait_beyond(&mut self, offset: u64, max: u64) -> Result<u64, StoreError> {
        let (progress, has_all) = match &mut self.extent {
            Extent::Whole(size) => return Ok(*size),
            Extent::Growing { progress, has_all } => (progress, has_all),
        };
        let is_there = |progress: &Progress, bytes: u64| {
            progress.has_all() || progress.written >= offset.saturating_add(bytes)
        };
        if self.given >= GATHERS_AFTER && !is_there(&progress.borrow(), max.min(GATHER_BYTES)) {
            let end = has_all.wait_for(|has_all| *has_all);
            let _ = tokio::time::timeout(GATHER, end).await;
        }
        let is_elsewhere = |progress: &Progress| self.for_node && progress.is_elsewhere;
        let is_beyond = |progress: &Progress| {
            progress.done.is_some() || progress.written > offset || is_elsewhere(progress)
        };
        let reached = progress.wait_for(is_beyond).await;
        let reached = *reached.map_err(|_| StoreError::Gone)?;
        match reached.done {
            Some(Outcome::Published) => {
                self.extent = Extent::Whole(reached.written);
                Ok(reached.written)
            }
            Some(Outcome::Failed | Outcome::Restarted) if reached.written <= offset => {
                Err(StoreError::Gone)
            }
            None if reached.written <= offset => Err(StoreError::Gone),
            _ => Ok(reached.written),
        }
    }

    /// The file; if it is being renamed, after that.
    async fn open_file(&mut self) -> Result<Arc<File>, StoreError> {
        let held = match &self.source {
            OpenFile::Own(file) => return Ok(Arc::clone(file)),
            OpenFile::Shared(held) => held,
        };
        if let Some(file) = held.file() {
            return Ok(file);
        }
        if let Extent::Growing { progress, .. } = &mut self.extent {
            let _ = progress.wait_for(|progress| progress.done.is_some()).await;
        }
        held.file().ok_or(StoreError::Gone)
    }

    async fn fetch(
        &mut self,
        file: Arc<File>,
        offset: u64,
        wanted: usize,
    ) -> Result<Bytes, StoreError> {
        if self.nowait {
            let mut buffer = vec![0; wanted];
            match preadv2(
                &*file,
                &mut [IoSliceMut::new(&mut buffer)],
                offset,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(read) => {
                    buffer.truncate(read);
                    return Ok(Bytes::from(buffer));
                }
                // Not in memory: a thread may wait for the drive, the runtime may not.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.nowait = false,
            }
        }
        blocking(move || {
            let mut buffer = vec![0; wanted];
            let read = file
                .read_at(&mut buffer, offset)
                .map_err(io("read a file"))?;
            buffer.truncate(read);
            Ok(Bytes::from(buffer))
        })
        .await
    }
}

fn is_in_memory(file: &File, at: u64) -> bool {
    let read = preadv2(
        file,
        &mut [IoSliceMut::new(&mut [0])],
        at,
        ReadWriteFlags::NOWAIT,
    );
    read == Ok(1)
}

/// A finished file, open.
#[derive(Debug)]
pub struct Published {
    pub reader: Reader,
    pub size_bytes: u64,
    /// Strong, quoted.
    pub etag: String,
    pub modified: Timestamp,
    pub content_type: &'static str,
    pub row: Row,
}
