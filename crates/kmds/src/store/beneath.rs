//! Opens, renames and removes files below the cache folder.
//!
//! Owns every system call on a name of the shared drive. Each call opens the path again from `cache.dir` downwards, one
//! folder after the other, so that it works on a drive that was unmounted and mounted again. Other programs write to
//! the drive too. So it follows no link below `cache.dir` (`cache.dir` itself may be a link: the operator chose it),
//! opens only plain files, which cannot block, and reads no file without a limit. It does not know what a file means.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Most bytes of a note, a sidecar or a mark that are read: ours have a few thousand.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// Pauses between the tries of a call when the drive is busy: SMB needs a moment after a file was closed.
const BUSY_PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
];

/// A file in the state folder. It says that the cache folder was on its own file system.
pub(super) const DRIVE_NOTE: &str = "cache-drive";

/// A path below the cache folder, with `/`: only [`super::layout::Layout`] makes one, out of names without `/` and `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot(String);

impl Spot {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path of `name` in this folder; the name comes from [`Cache::names`] or is our own.
    pub(super) fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// The same with the suffix `-new`: the file that is written before it takes this place.
    fn new_one(&self) -> Self {
        Self(format!("{}-new", self.0))
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file at a path. A link counts as itself, not as its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) is_plain: bool,
    pub(super) is_folder: bool,
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime_ns: i64,
    /// The file has more names than one: it may belong to another program under one of them.
    pub(super) is_shared: bool,
}

impl Found {
    /// If the clock ran backwards, every file counts as young.
    pub(super) fn is_younger_than(&self, age: Duration) -> bool {
        let changed = SystemTime::UNIX_EPOCH
            + Duration::from_nanos(u64::try_from(self.mtime_ns).unwrap_or(0));
        SystemTime::now()
            .duration_since(changed)
            .map_or(true, |found| found < age)
    }
}

/// The names of an open folder.
pub(super) struct Names(Dir);

impl Iterator for Names {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match self.0.read()? {
                Ok(entry) => entry.file_name().to_bytes().to_vec(),
                Err(error) => return Some(Err(error.into())),
            };
            match String::from_utf8(name) {
                Ok(name) if name != "." && name != ".." => return Some(Ok(name)),
                _ => {}
            }
        }
    }
}

/// A folder, with its file system.
type Identity = (u64, u64);

/// The cache folder.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    /// A folder below it that only KMDS makes: if it exists, this is the right drive.
    mark: Spot,
    /// The folder that was last recognised as ours.
    known: Mutex<Option<Identity>>,
    /// The drive was found away, and the log says so.
    told_away: AtomicBool,
}

impl Cache {
    pub(super) const fn new(path: PathBuf, mark: Spot) -> Self {
        Self {
            path,
            mark,
            known: Mutex::new(None),
            told_away: AtomicBool::new(false),
        }
    }

    /// Takes the folder that is there now as ours, and marks it.
    pub(super) fn take(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        let root = self.open_root()?;
        *self.known() = Some(identity(&root)?);
        self.make_folder(&self.mark)
    }

    /// Takes the folder that is there now as ours, without marking it.
    pub(super) fn find(&self) -> io::Result<()> {
        *self.known() = Some(identity(&self.open_root()?)?);
        Ok(())
    }

    /// Takes no folder as ours until one has our mark: the drive is not mounted yet.
    pub(super) fn wait_for_mark(&self) {
        *self.known() = Some((u64::MAX, u64::MAX));
    }

    fn known(&self) -> MutexGuard<'_, Option<Identity>> {
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
    fn root(&self) -> io::Result<OwnedFd> {
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
            walk(&root, &self.mark.0).map_err(|_| away())?;
            *self.known() = Some(found);
        }
        Ok(root)
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        walk(&self.root()?, path)
    }

    /// Makes this folder and those above it, if they are missing.
    pub(super) fn make_folder(&self, spot: &Spot) -> io::Result<()> {
        let mut above = self.root()?;
        for name in spot.0.split('/') {
            match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            above = step(&above, name)?;
        }
        Ok(())
    }

    /// The file at this path; `None` if there is none.
    pub(super) fn look(&self, spot: &Spot) -> io::Result<Option<Found>> {
        let (folder, name) = spot.split();
        if_there(again_if_stale(|| found(&self.folder(folder)?, name)))
    }

    /// Opens a file for reading. Its size has no limit.
    pub(super) fn open(&self, spot: &Spot) -> io::Result<File> {
        self.open_as(spot, OFlags::RDONLY)
    }

    /// Opens a file for reading and writing.
    pub(super) fn open_to_write(&self, spot: &Spot) -> io::Result<File> {
        self.open_as(spot, OFlags::RDWR)
    }

    /// Creates a file for reading and writing; an earlier file there is removed, not overwritten.
    pub(super) fn create(&self, spot: &Spot) -> io::Result<File> {
        self.remove(spot)?;
        self.open_as(spot, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open_as(&self, spot: &Spot, how: OFlags) -> io::Result<File> {
        // A pipe is opened without waiting for its other end, and then refused.
        let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (folder, name) = spot.split();
        let opened = again_if_stale(|| {
            let opened =
                rustix::fs::openat(self.folder(folder)?, name, how, Mode::from_raw_mode(0o666));
            Ok(File::from(opened.map_err(|error| match error {
                Errno::LOOP | Errno::NXIO | Errno::ISDIR => not_plain(spot),
                error => error.into(),
            })?))
        });
        let file = opened?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(not_plain(spot))
        }
    }

    /// The whole of a small file.
    pub(super) fn read(&self, spot: &Spot) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.open(spot)?
            .take(SMALL_FILE_BYTES + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > SMALL_FILE_BYTES {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("`{spot}` is too large to be ours"),
            ));
        }
        Ok(text)
    }

    /// Writes a small file so that it is either the old or the new one, never half. Once, as [`Cache::rename`].
    pub(super) fn write_whole(&self, spot: &Spot, text: &[u8], durable: bool) -> io::Result<()> {
        self.write_over(spot, &spot.new_one(), text, durable)
    }

    /// The same by way of `temporary`.
    pub(super) fn write_over(
        &self,
        spot: &Spot,
        temporary: &Spot,
        text: &[u8],
        durable: bool,
    ) -> io::Result<()> {
        let mut file = self.create(temporary)?;
        file.write_all(text)?;
        if durable {
            flush(&file)?;
        }
        drop(file);
        self.rename(temporary, spot)
    }

    /// Tries once. Some drives refuse it for a moment: see [`patiently`].
    pub(super) fn rename(&self, from: &Spot, to: &Spot) -> io::Result<()> {
        let ((from_folder, from), (to_folder, to)) = (from.split(), to.split());
        let root = self.root()?;
        Ok(rustix::fs::renameat(
            walk(&root, from_folder)?,
            from,
            walk(&root, to_folder)?,
            to,
        )?)
    }

    /// Removes a file; a missing file is not an error.
    pub(super) fn remove(&self, spot: &Spot) -> io::Result<()> {
        let (folder, name) = spot.split();
        let removed = again_if_stale(|| {
            rustix::fs::unlinkat(self.folder(folder)?, name, AtFlags::empty()).map_err(|error| {
                match error {
                    Errno::ISDIR => not_plain(spot),
                    error => error.into(),
                }
            })
        });
        if_there(removed).map(drop)
    }

    /// Removes an empty folder.
    pub(super) fn remove_folder(&self, spot: &Spot) -> io::Result<()> {
        let (folder, name) = spot.split();
        Ok(rustix::fs::unlinkat(
            self.folder(folder)?,
            name,
            AtFlags::REMOVEDIR,
        )?)
    }

    /// The names in a folder, without those that are no text. For folders that are not large.
    pub(super) fn names<C: FromIterator<String>>(&self, spot: &Spot) -> io::Result<C> {
        self.listing(spot)?.collect()
    }

    /// The same one by one, as the drive gives them.
    pub(super) fn listing(&self, spot: &Spot) -> io::Result<Names> {
        Ok(Names(Dir::read_from(self.open_folder(spot)?)?))
    }

    fn open_folder(&self, spot: &Spot) -> io::Result<OwnedFd> {
        let (folder, name) = spot.split();
        let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.folder(folder)?, name, how, Mode::empty())
            .map_err(|error| no_folder(error, name))
    }

    /// Makes a rename in this folder survive a power cut, if the drive can do that (NFS, SMB and FAT may not).
    pub(super) fn sync_folder(&self, spot: &Spot) {
        let _ = self
            .open_folder(spot)
            .and_then(|folder| Ok(rustix::fs::fsync(folder)?));
    }

    /// Bytes that an ordinary user may still write, and the size of the drive; `None` if the drive does not tell them.
    pub(super) fn space(&self) -> Option<(u64, u64)> {
        let found = rustix::fs::fstatvfs(self.root().ok()?).ok()?;
        (found.f_blocks > 0).then(|| {
            (
                found.f_bavail.saturating_mul(found.f_frsize),
                found.f_blocks.saturating_mul(found.f_frsize),
            )
        })
    }
}

fn identity(folder: &OwnedFd) -> io::Result<Identity> {
    let about = rustix::fs::fstat(folder)?;
    Ok((about.st_dev, about.st_ino))
}

fn walk(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
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

fn found(folder: &OwnedFd, name: &str) -> io::Result<Found> {
    let about = rustix::fs::statat(
        folder,
        OsStr::from_bytes(name.as_bytes()),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let kind = FileType::from_raw_mode(about.st_mode);
    let nanoseconds = i64::try_from(about.st_mtime_nsec).unwrap_or(0);
    Ok(Found {
        is_plain: kind == FileType::RegularFile,
        is_folder: kind == FileType::Directory,
        bytes: u64::try_from(about.st_size).unwrap_or(0),
        mtime_ns: about
            .st_mtime
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
        is_shared: about.st_nlink > 1,
    })
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

/// There is a file under one of our names that KMDS did not make.
#[derive(Debug, thiserror::Error)]
#[error("`{spot}` in cache.dir is {what}; KMDS follows no links there: remove it")]
struct NotOurs {
    spot: String,
    what: &'static str,
}

fn not_plain(spot: &Spot) -> io::Error {
    io::Error::other(NotOurs {
        spot: spot.to_string(),
        what: "no plain file",
    })
}

fn no_folder(error: Errno, name: &str) -> io::Error {
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

/// A missing file is not an error.
pub(super) fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A network drive's answer about a file can be out of date: asked again, it gives a new one. If a program on the
/// drive's own machine holds a lease on a file, the drive gets it back in a moment.
fn again_if_stale<T>(deed: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let first = deed();
    match first.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::STALE) => deed(),
        Some(Errno::AGAIN) => patiently(&deed),
        _ => first,
    }
}

/// Whether the drive may accept later what it refuses now. Drives that lock open files report this in three ways.
pub(super) fn is_busy(error: &io::Error) -> bool {
    let busy = [Errno::BUSY, Errno::TXTBSY, Errno::ACCESS, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| busy.contains(&errno))
}

/// Tries a call again, for less than two seconds, while the drive is busy. Never call it while you hold the catalog.
pub(super) fn patiently<T>(deed: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_if(is_busy, deed)
}

/// The same, with the caller's own test for "busy".
pub(super) fn patiently_if<T, E>(
    is_busy: impl Fn(&E) -> bool,
    mut deed: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for pause in BUSY_PAUSES {
        match deed() {
            Err(error) if is_busy(&error) => std::thread::sleep(pause),
            done => return done,
        }
    }
    deed()
}

/// Flushes a file. On a drive that cannot flush this does nothing: the start has warned of it.
pub(super) fn flush(file: &File) -> io::Result<()> {
    let cannot = [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOTTY];
    match file.sync_all() {
        Err(error) if Errno::from_io_error(&error).is_some_and(|errno| cannot.contains(&errno)) => {
            Ok(())
        }
        done => done,
    }
}
