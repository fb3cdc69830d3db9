//! Where a song goes in a music folder.
//!
//! Owns paths below the target folder, and the rule that no file is ever overwritten: [`put`] takes a free name. Names
//! come from sites and servers, so no part of one leads out of the folder. It does not change the content of a file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kmds_extract::Format;

use super::Wanted;
use crate::app::{Filed, filed};
use crate::{media, tag};

/// Files of one name that are compared at most.
const MOST_ALIKE: u32 = 1000;

/// A free path for a song, or the path where it lies already.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    Free(PathBuf),
    Present(PathBuf),
}

/// The path of a song below the target folder.
pub fn relative(song: &Wanted, ext: &str) -> PathBuf {
    let stem = song
        .file_name
        .strip_suffix(&format!(".{}", song.ext))
        .unwrap_or(&song.file_name);
    let mut parts = filed(&Filed {
        title: &song.title,
        artist: song.artist.as_deref(),
        album: song.album.as_deref(),
        album_artist: song.album_artist.as_deref(),
        number: song.number,
        total: song.total,
        list: song.list.as_deref(),
        stem,
        id: &song.id,
    });
    let name = parts.pop().unwrap_or_default();
    let folder: PathBuf = parts.iter().collect();
    folder.join(format!("{name}.{ext}"))
}

/// Makes the folder of unfinished songs.
/// # Errors
/// The drive refuses, or the folder is a symbolic link: files would be written and removed somewhere else.
pub fn work_folder(root: &Path, work: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    if fs::symlink_metadata(work).is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::other(
            "it is a link, and KMDS writes through no link; remove it",
        ));
    }
    fs::create_dir_all(work)
}

/// Makes a song's folder below the target folder, one level after the other, and refuses a symbolic link that leads
/// out.
fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    let whole_root = fs::canonicalize(root)?;
    let below = folder.strip_prefix(root).map_err(io::Error::other)?;
    let mut at = root.to_owned();
    for name in below.components() {
        at.push(name);
        match fs::create_dir(&at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ if fs::canonicalize(&at)?.starts_with(&whole_root) => {}
            _ => {
                let why = format!(
                    "{} is a link that leads out of {}; remove it, or choose another -o",
                    at.display(),
                    root.display()
                );
                return Err(io::Error::other(why));
            }
        }
    }
    Ok(())
}

/// The first free name of a song, or the existing file of this song. `alike` is a further test of an existing file.
pub fn destination(
    root: &Path,
    song: &Wanted,
    ext: &str,
    alike: impl Fn(&Path) -> bool,
) -> Destination {
    let first = root.join(relative(song, ext));
    let mut path = first.clone();
    for mark in 2..MOST_ALIKE {
        if fs::symlink_metadata(&path).is_err() {
            break;
        }
        if is_song(&path, song, ext) || alike(&path) {
            return Destination::Present(path);
        }
        let stem = first.file_stem().unwrap_or_default().to_string_lossy();
        path = first.with_file_name(format!("{stem} ({mark}).{ext}"));
    }
    Destination::Free(path)
}

/// Whether a file is this song, and whole: its tags hold the song's link, or its size is exactly the one the site
/// states.
fn is_song(path: &Path, song: &Wanted, ext: &str) -> bool {
    let says_so = || {
        let file = File::open(path).ok();
        let link = file.and_then(|file| tag::source_link(&file));
        link.is_some_and(|link| link == song.link)
    };
    let sized = || {
        song.size_bytes.is_some()
            && fs::metadata(path).ok().map(|found| found.len()) == song.size_bytes
    };
    // Reading a pipe would wait for its writer.
    fs::metadata(path).is_ok_and(|found| found.is_file())
        && (says_so() || sized())
        && is_whole(path, song, ext)
}

fn is_whole(path: &Path, song: &Wanted, ext: &str) -> bool {
    let Some(format) = Format::parse(ext) else {
        return false;
    };
    File::open(path)
        .is_ok_and(|file| media::check(&file, format.container(), song.duration).is_ok())
}

/// Puts a finished file in its place under a free name. `from` may be gone or remain afterwards.
/// # Errors
/// The folder cannot be made, or the drive refuses.
pub fn put(from: &Path, root: &Path, song: &Wanted, ext: &str) -> io::Result<Destination> {
    loop {
        let path = match destination(root, song, ext, |there| same_bytes(from, there)) {
            Destination::Free(path) => path,
            present @ Destination::Present(_) => return Ok(present),
        };
        if let Some(folder) = path.parent() {
            make_folder(root, folder)?;
        }
        // A hard link fails if the name is taken, so two calls at once cannot overwrite each other's file.
        match fs::hard_link(from, &path) {
            Ok(()) => return Ok(Destination::Free(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A drive without hard links (FAT, some network drives).
            Err(_) => return fs::rename(from, &path).map(|()| Destination::Free(path)),
        }
    }
}

fn same_bytes(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((found.len(), File::open(path).ok()?))
    };
    let (Some((length, mut one)), Some((other_length, mut other))) = (read(one), read(other))
    else {
        return false;
    };
    if length != other_length {
        return false;
    }
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let (Ok(have), Ok(other_have)) = (fill(&mut one, &mut left), fill(&mut other, &mut right))
        else {
            return false;
        };
        if left.get(..have) != right.get(..other_have) {
            return false;
        }
        if have == 0 {
            return true;
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    use std::io::Read;
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => have += read,
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song() -> Wanted {
        Wanted {
            id: "bandcamp-1".to_owned(),
            title: "Divide by One".to_owned(),
            artist: Some("Mac Layer".to_owned()),
            file_name: "Mac Layer - Divide by One.mp3".to_owned(),
            ext: "mp3".to_owned(),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_music_folder_looks_the_way_libraries_like_it() {
        let single = song();
        let album = Wanted {
            album: Some("Coming/Port".to_owned()),
            number: Some(3),
            total: Some(4),
            ..song()
        };
        let guest = Wanted {
            album_artist: Some("Various".to_owned()),
            artist: Some("Guest".to_owned()),
            ..album.clone()
        };
        let long = Wanted {
            total: Some(120),
            ..album.clone()
        };
        let list = Wanted {
            number: Some(3),
            total: Some(4),
            list: Some("Mix: May".to_owned()),
            ..song()
        };
        let odd = Wanted {
            title: "..".to_owned(),
            artist: None,
            ..album.clone()
        };
        for (song, want) in [
            (&single, "Mac Layer - Divide by One.mp3"),
            (&album, "Mac Layer/Coming_Port/03 Divide by One.mp3"),
            (&guest, "Various/Coming_Port/03 Divide by One.mp3"),
            (&long, "Mac Layer/Coming_Port/003 Divide by One.mp3"),
            (&list, "Mix_ May/03 Mac Layer - Divide by One.mp3"),
            (&odd, "Unknown Artist/Coming_Port/03.mp3"),
        ] {
            assert_eq!(relative(song, "mp3"), Path::new(want));
        }
    }

    #[test]
    fn no_file_is_overwritten_and_the_same_bytes_are_the_same_song() {
        let root = std::env::temp_dir().join(format!("kmds-paths-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a folder");
        let from = root.join("new");
        let name = root.join("Mac Layer - Divide by One.mp3");
        fs::write(&name, "a diary").expect("a file");
        fs::write(&from, "the song").expect("a file");
        let second = root.join("Mac Layer - Divide by One (2).mp3");
        assert_eq!(
            put(&from, &root, &song(), "mp3").expect("put"),
            Destination::Free(second.clone())
        );
        assert_eq!(
            put(&from, &root, &song(), "mp3").expect("put"),
            Destination::Present(second.clone())
        );
        assert_eq!(fs::read_to_string(&name).expect("kept"), "a diary");
        assert_eq!(fs::read_to_string(&second).expect("placed"), "the song");
        fs::remove_dir_all(&root).expect("cleaned");
    }
}
