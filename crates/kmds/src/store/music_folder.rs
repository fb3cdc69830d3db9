//! The folder of a music library (`library.dir`), which other programs read and in which people sort files.
//!
//! Owns how a song gets there: step by step below the folder, without following a link (the folder itself may be one),
//! into a file with a temporary name, which is renamed when it is whole. A file that is there is never written to,
//! renamed or removed: the same song is left as it is, another one of that name stays beside the new one. The folder
//! itself is never made, so that nothing is written under a mount point whose drive is gone. Every call waits for the
//! drive. One call at a time: the temporary name is the same for all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::busy::patiently;
use super::cache_folder::flush;
use super::error::{advice, is_full};
use super::reader::READ_BYTES;
use super::shared::Shared;
use super::spot::step;
use super::start::{is_on_its_own, write_whole};

/// A file in the state folder: the music folder was on a file system of its own.
const LIBRARY_NOTE: &str = "library-drive";
/// Files of one name that are compared at most.
const MOST_ALIKE: u32 = 1000;

/// Where a song stands now, below the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    New(String),
    /// It stood there before.
    There(String),
}

/// Why a song is not in the folder.
#[derive(Debug, thiserror::Error)]
pub enum MusicError {
    #[error(
        "the folder library.dir is not there; mount its drive or make the folder, and try again"
    )]
    Missing,
    #[error(
        "the drive of library.dir is not mounted; mount it and try again, or, if the folder that is there now is meant, remove \
         `{LIBRARY_NOTE}` from state.dir"
    )]
    Unmounted,
    #[error("the drive of library.dir is full; make room there and try again")]
    Full,
    #[error(
        "`{0}` in library.dir is no folder, and KMDS follows no links there; move it away and try again"
    )]
    NoFolder(String),
    #[error("library.dir has {MOST_ALIKE} other files called `{0}`; move some away and try again")]
    TooManyAlike(String),
    #[error(
        "the drive of library.dir does not take this song's name or folder: {0}; shorten its title where you can, or use another drive"
    )]
    Name(io::Error),
    #[error("could not write to library.dir: {source}{}", advice(.source))]
    Drive { source: io::Error },
    #[error("could not read the song from the cache: {0}; try again")]
    Song(io::Error),
}

impl MusicError {
    /// The next song would fail too.
    #[must_use]
    pub fn is_of_the_drive(&self) -> bool {
        !matches!(
            self,
            Self::NoFolder(_) | Self::TooManyAlike(_) | Self::Name(_) | Self::Song(_)
        )
    }
}

impl From<io::Error> for MusicError {
    fn from(error: io::Error) -> Self {
        let of_name = [Errno::NAMETOOLONG, Errno::INVAL, Errno::ILSEQ];
        if is_full(&error) {
            Self::Full
        } else if Errno::from_io_error(&error).is_some_and(|errno| of_name.contains(&errno)) {
            Self::Name(error)
        } else {
            Self::Drive { source: error }
        }
    }
}

impl From<Errno> for MusicError {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// The music folder. Each call looks for it again.
#[derive(Debug)]
pub struct MusicFolder {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl MusicFolder {
    pub(super) const fn new(path: PathBuf, shared: Arc<Shared>) -> Self {
        Self { path, shared }
    }

    /// Whether songs can be put there: the folder is there, on its drive, and a file can be made.
    /// # Errors
    /// What is wrong, with the way out.
    pub fn look(&self) -> Result<(), MusicError> {
        let root = self.root()?;
        let temporary = self.temporary();
        drop(create(&root, &temporary)?);
        remove(&root, &temporary);
        Ok(())
    }

    /// Puts the first `size` bytes of a file under these names: folders, then the file without its extension. `is_song`
    /// says of a file that stands there whether it is this song.
    /// # Errors
    /// Nothing was changed then, but folders may have been made.
    pub fn put(
        &self,
        (song, size): (&File, u64),
        path: &[String],
        ext: &str,
        is_song: impl Fn(&File) -> bool,
    ) -> Result<Put, MusicError> {
        let mut folder = self.root()?;
        let Some((stem, folders)) = path.split_last() else {
            return Err(MusicError::TooManyAlike(String::new()));
        };
        for name in folders {
            folder = make_step(&folder, name)?;
        }
        let below = |name: &str| {
            let above = folders.iter().map(String::as_str);
            above.chain([name]).collect::<Vec<_>>().join("/")
        };
        let temporary = self.temporary();
        let mut is_written = false;
        for mark in 1..=MOST_ALIKE {
            let name = match mark {
                1 => format!("{stem}.{ext}"),
                mark => format!("{stem} ({mark}).{ext}"),
            };
            match standing(&folder, &name)? {
                AtName::File(there) if is_song(&there) || is_same(song, size, &there) => {
                    if is_written {
                        remove(&folder, &temporary);
                    }
                    return Ok(Put::There(below(&name)));
                }
                AtName::File(_) | AtName::Other => continue,
                AtName::Nothing => {}
            }
            if !is_written {
                write(&folder, &temporary, song, size)
                    .inspect_err(|_| remove(&folder, &temporary))?;
                is_written = true;
            }
            match patiently(|| rename_to_free(&folder, &temporary, &name)) {
                Ok(()) => {
                    sync(&folder);
                    return Ok(Put::New(below(&name)));
                }
                // Another program has taken the name meanwhile.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    remove(&folder, &temporary);
                    return Err(error.into());
                }
            }
        }
        if is_written {
            remove(&folder, &temporary);
        }
        Err(MusicError::TooManyAlike(format!("{stem}.{ext}")))
    }

    fn root(&self) -> Result<OwnedFd, MusicError> {
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::open(&self.path, how, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(MusicError::Missing),
            other => other?,
        };
        let state = self.shared.layout.state();
        let note = state.join(LIBRARY_NOTE);
        let path = self.path.as_os_str().as_bytes();
        let was_on_its_own = fs::read(&note).is_ok_and(|noted| noted == path);
        match (was_on_its_own, is_on_its_own(&self.path, state)) {
            (true, false) => return Err(MusicError::Unmounted),
            // Without the note only the warning is lost.
            (false, true) => {
                let _ = write_whole(&note, &state.join("library-drive-new"), path);
            }
            _ => {}
        }
        Ok(root)
    }

    /// Players leave out files whose names begin with a dot.
    fn temporary(&self) -> String {
        format!(".kmds-{}.part", self.shared.instance)
    }
}

/// What has a name in a folder.
enum AtName {
    Nothing,
    File(File),
    /// A folder, a link, a pipe, or what may not be read.
    Other,
}

fn standing(folder: &OwnedFd, name: &str) -> Result<AtName, MusicError> {
    // A pipe is opened without waiting for its other end.
    let how =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, how, Mode::empty()) {
        Err(Errno::NOENT) => Ok(AtName::Nothing),
        Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::PERM) => Ok(AtName::Other),
        Err(error) => Err(error.into()),
        Ok(found) => {
            let file = File::from(found);
            let is_plain = file.metadata()?.is_file();
            Ok(if is_plain {
                AtName::File(file)
            } else {
                AtName::Other
            })
        }
    }
}

fn make_step(folder: &OwnedFd, name: &str) -> Result<OwnedFd, MusicError> {
    match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    step(folder, name).map_err(|error| {
        if super::spot::is_not_ours(&error) {
            MusicError::NoFolder(name.to_owned())
        } else {
            error.into()
        }
    })
}

/// A new file; what an earlier process of this instance left under the name is removed.
fn create(folder: &OwnedFd, name: &str) -> io::Result<File> {
    remove(folder, name);
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(folder, name, how, Mode::from_raw_mode(0o666))?;
    Ok(made.into())
}

fn remove(folder: &OwnedFd, name: &str) {
    let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
}

fn write(folder: &OwnedFd, name: &str, song: &File, size: u64) -> Result<(), MusicError> {
    let mut file = create(folder, name)?;
    let mut piece = vec![0; READ_BYTES];
    let mut at = 0;
    while at < size {
        let read = read_piece(song, &mut piece, at, size).map_err(MusicError::Song)?;
        file.write_all(read)?;
        at += read.len() as u64;
    }
    Ok(flush(&file)?)
}

fn read_piece<'a>(file: &File, piece: &'a mut [u8], at: u64, size: u64) -> io::Result<&'a [u8]> {
    let left = usize::try_from(size - at).unwrap_or(usize::MAX);
    let most = left.min(piece.len());
    match file.read_at(piece.get_mut(..most).unwrap_or_default(), at)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        read => Ok(piece.get(..read).unwrap_or_default()),
    }
}

/// Whether a file has the same bytes and no others.
fn is_same(song: &File, size: u64, there: &File) -> bool {
    if there.metadata().map_or(true, |about| about.len() != size) {
        return false;
    }
    let (mut ours, mut theirs) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let mut at = 0;
    while at < size {
        let Ok(ours) = read_piece(song, &mut ours, at, size) else {
            return false;
        };
        let theirs = theirs.get_mut(..ours.len()).unwrap_or_default();
        if there.read_exact_at(theirs, at).is_err() || ours != theirs {
            return false;
        }
        at += ours.len() as u64;
    }
    true
}

/// Gives a file a name that no other has; [`ErrorKind::AlreadyExists`] if one has it.
fn rename_to_free(folder: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return Ok(done?),
    }
    // NFS and older drives: a second name fails where one is taken.
    match rustix::fs::linkat(folder, from, folder, to, AtFlags::empty()) {
        Ok(()) => {
            remove(folder, from);
            return Ok(());
        }
        Err(Errno::EXIST) => return Err(ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    // A drive without both (FAT by way of some servers): the look just before is all there is.
    match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(folder, from, folder, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Makes the rename survive a power cut, where the drive can do that.
fn sync(folder: &OwnedFd) {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let _ = rustix::fs::openat(folder, ".", how, Mode::empty()).and_then(rustix::fs::fsync);
}
