//! The part of an earlier download from which a later one continues.
//!
//! Owns the value that a job passes in and that both kinds of transfer read. The job reads both numbers from the note
//! beside the partial file; only the transfer that made a mark knows how to read it.

/// What an earlier download of the same stream (equal validators) left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub bytes: u64,
    /// [`Download::progress_mark`](super::Download::progress_mark) of that download; without it less can be used.
    pub mark: Option<String>,
}
