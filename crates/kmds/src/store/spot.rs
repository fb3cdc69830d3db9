//! Paths below the cache folder, opened one folder after the other.
//!
//! Owns the rule that no link is followed below `cache.dir`, and the error for a name there that another program took.
//! Opens folders only; [`super::cache_folder`] opens the files in them.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A path below the cache folder, with `/`: only [`super::layout::Layout`] makes one, out of names without `/` and
/// `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot(String);

impl Spot {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path of `name` in this folder; the name comes from [`super::cache_folder::CacheFolder::names`] or is our
    /// own.
    pub(super) fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// The same with the suffix `-new`: the file that is written before it takes this place.
    pub(super) fn new_one(&self) -> Self {
        Self(format!("{}-new", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of its folder, and its name there.
    pub(super) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder at this path below `root`; no link is followed.
pub(super) fn walk(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mut folder = root.as_fd().try_clone_to_owned()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        folder = step(&folder, name)?;
    }
    Ok(folder)
}

/// The folder of this name in a folder; no link is followed.
pub(super) fn step(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, how, Mode::empty()).map_err(|error| no_folder(error, name))
}

/// There is a file under one of our names that KMDS did not make.
#[derive(Debug, thiserror::Error)]
#[error("`{spot}` in cache.dir is {what}; KMDS follows no links there: remove it")]
struct NotOurs {
    spot: String,
    what: &'static str,
}

pub(super) fn not_plain(spot: &Spot) -> io::Error {
    io::Error::other(NotOurs {
        spot: spot.to_string(),
        what: "no plain file",
    })
}

pub(super) fn no_folder(error: Errno, name: &str) -> io::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR => io::Error::other(NotOurs {
            spot: name.to_owned(),
            what: "no folder",
        }),
        error => error.into(),
    }
}

/// Whether a name is taken by something that is not a plain file, or not a folder.
pub(super) fn is_not_ours(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotOurs>())
}
