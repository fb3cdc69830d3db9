//! The cache folder's place in the file system: is the drive that KMDS took still mounted there?
//!
//! Owns how the drive is recognised (its file system and folder, else the mark that KMDS left on it), and the log lines
//! when it goes and comes back. Every call below the cache folder begins with [`Mount::root`], so a drive may be
//! unmounted and mounted again between two calls. Its lock is held for a few lines and across no call to the drive.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{Mode, OFlags};

use super::spot::{Spot, walk};

/// A file in the state folder. It says that the cache folder was on its own file system.
pub(super) const DRIVE_NOTE: &str = "cache-drive";

/// A folder, with its file system.
type FolderIdentity = (u64, u64);

/// The place of the cache folder.
#[derive(Debug)]
pub(super) struct Mount {
    path: PathBuf,
    /// A folder below it that only KMDS makes: if it exists, this is the right drive.
    mark: Spot,
    /// The folder that was last recognised as ours.
    known: Mutex<Option<FolderIdentity>>,
    /// The drive was found away, and the log says so.
    told_away: AtomicBool,
}

impl Mount {
    pub(super) const fn new(path: PathBuf, mark: Spot) -> Self {
        Self {
            path,
            mark,
            known: Mutex::new(None),
            told_away: AtomicBool::new(false),
        }
    }

    /// Makes the folder if it is missing, and takes it as ours; the caller marks it.
    pub(super) fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        self.find()
    }

    /// Takes the folder that is there now as ours.
    pub(super) fn find(&self) -> io::Result<()> {
        *self.known() = Some(identity(&self.open_root()?)?);
        Ok(())
    }

    /// Takes no folder as ours until one has our mark: the drive is not mounted yet.
    pub(super) fn wait_for_mark(&self) {
        *self.known() = Some((u64::MAX, u64::MAX));
    }

    fn known(&self) -> MutexGuard<'_, Option<FolderIdentity>> {
        self.known.lock()
    }

    fn open_root(&self) -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(
            &self.path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// The cache folder, if it is the one that KMDS took. Another folder in its place is the same drive, mounted again,
    /// if it has our mark; else it is the folder below a mount point whose drive is gone.
    pub(super) fn root(&self) -> io::Result<OwnedFd> {
        let root = self.find_root();
        let is_away = root.as_ref().is_err_and(is_away);
        if (is_away || root.is_ok()) && self.told_away.swap(is_away, Ordering::Relaxed) != is_away {
            self.tell(is_away);
        }
        root
    }

    /// One line each time the drive goes or comes back.
    fn tell(&self, is_away: bool) {
        let cache = self.path.display();
        if is_away {
            tracing::warn!(%cache, "the drive of cache.dir is away; no file is written until it is mounted again");
        } else {
            tracing::info!(%cache, "the drive of cache.dir is back");
        }
    }

    fn find_root(&self) -> io::Result<OwnedFd> {
        let away = || {
            io::Error::other(Away {
                mark: self.mark.clone(),
            })
        };
        let root = match self.open_root() {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(away());
            }
            other => other?,
        };
        let (found, known) = (identity(&root)?, *self.known());
        if known.is_some_and(|known| known != found) {
            walk(&root, self.mark.as_str()).map_err(|_| away())?;
            *self.known() = Some(found);
        }
        Ok(root)
    }
}

fn identity(folder: &OwnedFd) -> io::Result<FolderIdentity> {
    let about = rustix::fs::fstat(folder)?;
    Ok((about.st_dev, about.st_ino))
}

/// The drive is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "the drive of cache.dir is not there: what is in its place lacks `{mark}`, which KMDS left on it; mount the drive again, \
     or, if this folder is meant, remove `{DRIVE_NOTE}` from state.dir and start KMDS anew"
)]
struct Away {
    mark: Spot,
}

/// Another folder is in the place of the drive.
pub(super) fn is_away(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Away>())
}
