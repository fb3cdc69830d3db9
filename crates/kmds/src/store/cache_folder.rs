//! Opens, renames and removes files below the cache folder.
//!
//! Owns every system call on a file of the shared drive. Each call opens the path again from `cache.dir` downwards
//! ([`super::mount`], [`super::spot`]), so that it works on a drive that was unmounted and mounted again. Other
//! programs write to the drive too. So it follows no link below `cache.dir` (`cache.dir` itself may be a link: the
//! operator chose it), opens only plain files, which cannot block, and reads no file without a limit. It does not know
//! what a file means.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::busy::again_if_stale;
use super::mount::Mount;
use super::spot::{Spot, no_folder, not_plain, step, walk};

/// Most bytes of a note, a sidecar or a mark that are read: ours have a few thousand.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// The file at a path. A link counts as itself, not as its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStat {
    pub(super) is_plain: bool,
    pub(super) is_folder: bool,
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime_ns: i64,
    /// The file has more names than one: it may belong to another program under one of them.
    pub(super) is_shared: bool,
}

impl FileStat {
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

/// The cache folder.
#[derive(Debug)]
pub(super) struct CacheFolder {
    mount: Mount,
    mark: Spot,
}

impl CacheFolder {
    /// `mark`: a folder below `path` that only KMDS makes.
    pub(super) fn new(path: PathBuf, mark: Spot) -> Self {
        Self {
            mount: Mount::new(path, mark.clone()),
            mark,
        }
    }

    /// Takes the folder that is there now as ours, and marks it.
    pub(super) fn take(&self) -> io::Result<()> {
        self.mount.create()?;
        self.make_folder(&self.mark)
    }

    /// Takes the folder that is there now as ours, without marking it.
    pub(super) fn find(&self) -> io::Result<()> {
        self.mount.find()
    }

    /// Takes no folder as ours until one has our mark: the drive is not mounted yet.
    pub(super) fn wait_for_mark(&self) {
        self.mount.wait_for_mark();
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        walk(&self.mount.root()?, path)
    }

    /// Makes this folder and those above it, if they are missing.
    pub(super) fn make_folder(&self, spot: &Spot) -> io::Result<()> {
        let mut above = self.mount.root()?;
        for name in spot.as_str().split('/') {
            match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            above = step(&above, name)?;
        }
        Ok(())
    }

    /// The file at this path; `None` if there is none.
    pub(super) fn look(&self, spot: &Spot) -> io::Result<Option<FileStat>> {
        let (folder, name) = spot.split();
        if_there(again_if_stale(|| stat(&self.folder(folder)?, name)))
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

    /// Writes a small file so that it is either the old or the new one, never half. Once, as [`CacheFolder::rename`].
    pub(super) fn write_whole(&self, spot: &Spot, text: &[u8], durable: bool) -> io::Result<()> {
        self.write_over(spot, &spot.new_one(), text, durable)
    }

    /// The same; the text is first written to `temporary`.
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

    /// Tries once. Some drives refuse it for a moment: see [`super::busy::patiently`].
    pub(super) fn rename(&self, from: &Spot, to: &Spot) -> io::Result<()> {
        let ((from_folder, from), (to_folder, to)) = (from.split(), to.split());
        let root = self.mount.root()?;
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
        let found = rustix::fs::fstatvfs(self.mount.root().ok()?).ok()?;
        (found.f_blocks > 0).then(|| {
            (
                found.f_bavail.saturating_mul(found.f_frsize),
                found.f_blocks.saturating_mul(found.f_frsize),
            )
        })
    }
}

fn stat(folder: &OwnedFd, name: &str) -> io::Result<FileStat> {
    let about = rustix::fs::statat(
        folder,
        OsStr::from_bytes(name.as_bytes()),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let kind = FileType::from_raw_mode(about.st_mode);
    let nanoseconds = i64::try_from(about.st_mtime_nsec).unwrap_or(0);
    Ok(FileStat {
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

/// A missing file is not an error.
pub(super) fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
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
