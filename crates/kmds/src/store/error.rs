//! Errors of the store and its drive.
//!
//! Owns [`StoreError`], one variant for each thing that the caller would do next. It names no path outside the cache
//! folder, since clients get its sentences.

use std::io;
use std::sync::Arc;

use kmds_extract::Kind;
use rustix::io::Errno;

use super::busy;

/// The limit that left no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceLimit {
    /// The file system itself.
    Drive,
    /// `cache.min_free_bytes`.
    MinFree,
    /// `cache.max_bytes`.
    MaxBytes,
}

impl std::fmt::Display for SpaceLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Drive => "on the drive",
            Self::MinFree => "above cache.min_free_bytes",
            Self::MaxBytes => "within cache.max_bytes",
        })
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing more can be evicted. Numbers are bytes; `have_bytes` counts the bytes that eviction could still free,
    /// `held_bytes` those that it could free if no file were held.
    #[error(
        "the disk is full: {need_bytes} bytes are needed, {have_bytes} can be had {limit}{}; make room and try again",
        also_held(*.held_bytes)
    )]
    DiskFull {
        need_bytes: u64,
        have_bytes: u64,
        held_bytes: u64,
        limit: SpaceLimit,
    },
    /// The file, the row or the kept bytes are not there (any more), or are not what they were.
    #[error("the file is no longer there")]
    Gone,
    /// The catalog cannot grow.
    #[error("the drive of state.dir, where the catalog is, is full; make room there and try again")]
    StateFull,
    /// Another program's file has the name that ours needs.
    #[error(
        "`{file}` in the cache folder is not ours and stays; move it away, or give KMDS a cache.dir of its own"
    )]
    Foreign { file: String },
    /// More songs would wait than may.
    #[error("too many songs are waiting already")]
    QueueFull,
    /// A song's lease, or the state folder, is held already, and only one holder is possible.
    #[error("{what} is in use already")]
    Busy { what: String },
    /// The written bytes are not what the site announced; they are never published.
    #[error("{written} bytes arrived where {total} were announced")]
    Incomplete { written: u64, total: u64 },
    #[error("could not {what}: {source}{}", advice(.source))]
    Io {
        what: String,
        source: Arc<io::Error>,
    },
    /// `advice` is empty, or begins with a semicolon.
    #[error("the catalog could not {what}: {source}{advice}")]
    Catalog {
        what: &'static str,
        source: Arc<dyn std::error::Error + Send + Sync>,
        advice: &'static str,
    },
}

impl StoreError {
    /// The drive itself failed: its earlier writes cannot be relied on either. (A failed flush drops the bytes that it
    /// could not write, and the next flush succeeds.)
    #[must_use]
    pub(super) fn spoils(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_ill(source))
    }

    /// Whether the drive may accept later what it refused now.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Io { source, .. } if busy::is_busy(source))
    }

    /// The kind for clients, metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::DiskFull { .. } | Self::StateFull => Kind::DiskFull,
            Self::Incomplete { .. } => Kind::Truncated,
            Self::QueueFull => Kind::QueueFull,
            Self::Gone
            | Self::Foreign { .. }
            | Self::Busy { .. }
            | Self::Io { .. }
            | Self::Catalog { .. } => Kind::Internal,
        }
    }
}

fn also_held(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!(", and {bytes} more are held for clients"),
    }
}

/// The advice, if there is one.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the drive is read-only: make it writable and try again"
        }
        io::ErrorKind::PermissionDenied => "; let the service's user write there and try again",
        _ if is_ill(error) => "; the drive fails: check it, and try again when it works",
        _ => "",
    }
}

/// Whether it is the error of a failing drive, or of a network drive whose server is gone.
fn is_ill(error: &io::Error) -> bool {
    let ill = [
        Errno::IO,
        Errno::REMOTEIO,
        Errno::STALE,
        Errno::NOTCONN,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ill.contains(&errno))
}

/// Adds the operation to an error of the drive. A full drive is recognised here, once.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> StoreError {
    move |source| {
        if is_full(&source) {
            StoreError::DiskFull {
                need_bytes: 1,
                have_bytes: 0,
                held_bytes: 0,
                limit: SpaceLimit::Drive,
            }
        } else {
            StoreError::Io {
                what: what.into(),
                source: Arc::new(source),
            }
        }
    }
}

/// The same in the state folder.
pub(super) fn state_io(what: &str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| {
        if is_full(&source) {
            StoreError::StateFull
        } else {
            io(what)(source)
        }
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
