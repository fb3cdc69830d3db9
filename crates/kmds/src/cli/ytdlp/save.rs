//! Songs into files, or into standard output.
//!
//! Owns the path of a song. A file under that name is whole: it grows under another name. This module never decides
//! which format is kept.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use kmds_extract::Kind;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::call::Call;
use super::fields::Fields;
use super::song::{Format, Song, Trouble};
use super::template::{For, fill};
use super::{Source, say};

/// yt-dlp's own.
const TEMPLATE: &str = "%(title)s [%(id)s].%(ext)s";
/// Longest name of a file, in bytes; the rest is for the suffix of a growing file.
const LONGEST_NAME_BYTES: usize = 240;

/// The result for a song.
pub enum SavedSong {
    /// Its bytes went to standard output.
    Sent,
    Saved(PathBuf),
}

/// A write that failed.
pub fn unwritten(error: std::io::Error) -> Trouble {
    Trouble::new(Kind::Internal, format!("unable to write data: {error}"))
}

/// Where a song goes: `None` for standard output.
pub fn path(asked: &Call, fields: &Fields) -> Result<Option<PathBuf>, String> {
    let template = asked.output.as_deref().unwrap_or(TEMPLATE);
    if template == "-" {
        return Ok(None);
    }
    let missing = asked.missing.as_deref().unwrap_or("NA");
    let goal = For::Path {
        ascii: asked.restrict_names,
    };
    let path = PathBuf::from(fill(template, fields, missing, goal)?);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        format!("the output template \"{template}\" names no file; write -o '%(title)s.%(ext)s'")
    })?;
    let path = path.with_file_name(shorter(&name));
    Ok(Some(match &asked.folder {
        Some(folder) => Path::new(folder).join(path),
        None => path,
    }))
}

/// A name that every file system accepts; its extension stays.
fn shorter(name: &str) -> String {
    if name.len() <= LONGEST_NAME_BYTES {
        return name.to_owned();
    }
    let ext = Path::new(name)
        .extension()
        .map(|ext| format!(".{}", ext.to_string_lossy()));
    let ext = ext.filter(|ext| ext.len() < 10).unwrap_or_default();
    let mut end = LONGEST_NAME_BYTES - ext.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ext}", name.get(..end).unwrap_or_default())
}

/// Saves a song where the call asked for it.
pub async fn keep(
    asked: &Call,
    source: &Source,
    song: &Song,
    format: &Format,
    fields: &Fields,
) -> Result<SavedSong, Trouble> {
    let path = path(asked, fields).map_err(|why| Trouble::new(Kind::BadRequest, why))?;
    let Some(path) = path else {
        let out = std::io::stdout().as_fd().try_clone_to_owned();
        let mut out = File::from_std(out.map_err(unwritten)?.into());
        send(asked, source, song, format, &mut out).await?;
        return Ok(SavedSong::Sent);
    };
    if path.exists() && !asked.overwrites {
        say(
            asked,
            format!("[download] {} has already been downloaded", path.display()),
        );
        return Ok(SavedSong::Saved(path));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| of_file(folder, &error))?;
    }
    say(asked, format!("[download] Destination: {}", path.display()));
    let part = Part(PathBuf::from(format!("{}.part", path.display())));
    let file = std::fs::File::create(&part.0).map_err(|error| of_file(&part.0, &error))?;
    let bytes = send(asked, source, song, format, &mut File::from_std(file)).await?;
    std::fs::rename(&part.0, &path).map_err(|error| of_file(&path, &error))?;
    say(asked, format!("[download] 100% of {bytes} bytes"));
    Ok(SavedSong::Saved(path))
}

/// A growing file; a drop removes it unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn of_file(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::new(
        Kind::Internal,
        format!("unable to open for writing: {}: {error}", path.display()),
    )
}

async fn send(
    asked: &Call,
    source: &Source,
    song: &Song,
    format: &Format,
    sink: &mut File,
) -> Result<u64, Trouble> {
    let other = asked.audio_format.filter(|other| other.ext() != format.ext);
    let sent = if other.is_none() && !asked.tags {
        source.send(song, format, sink).await?
    } else {
        source.send_copy(song, other, asked.tags, sink).await?
    };
    // A thread writes the file: this waits for it.
    sink.flush().await.map_err(unwritten)?;
    Ok(sent)
}
