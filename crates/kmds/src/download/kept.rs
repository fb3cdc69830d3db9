//! What is left of an earlier download, from which a later one goes on.
//!
//! Owns the one value that a job hands in and both kinds of transfer read. The job reads both numbers from the note beside
//! the partial file; how a mark is written is the secret of the transfer that made it.

/// What an earlier download of the same stream (equal validators) left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub bytes: u64,
    /// [`Download::progress_mark`](super::Download::progress_mark) of that download; without it less can be used.
    pub mark: Option<String>,
}
