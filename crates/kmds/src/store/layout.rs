//! Where everything lies.
//!
//! Owns every path below the cache and the state folder. Hides nothing else.
//! Never takes a path from outside: names come from [`Key`]s only.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{StoreError, io};
use super::key::Key;

/// Everything that is not finished lies in here, inside the cache folder: a rename out of it is atomic.
pub(super) const WORK: &str = ".kmds-work";
pub(super) const OWNER_MARK: &str = ".kmds-owner.json";

/// ```text
/// cache.dir/                              the shared drive
///   {site}/{id}.{ext}                     a published file
///   {site}/{id}.{ext}.json                its sidecar
///   {site}/{id}.{rendition}.r.{ext}       a copy, made on request
///   .kmds-owner.json                      which instance runs on this folder
///   .kmds-work/{instance}/{song}.part     a partial file       ({song} = {site}-{id}.{rendition})
///   .kmds-work/{instance}/{song}.note     how much of it is good, and of what
///   .kmds-work/{instance}/{song}.staged   the sidecar of a file about to be published
/// state.dir/                              local
///   kmds.db, instance, lock
/// ```
#[derive(Debug, Clone)]
pub(super) struct Layout {
    cache: PathBuf,
    state: PathBuf,
    work: PathBuf,
}

impl Layout {
    pub(super) fn new(cache: &Path, state: &Path, instance: &str) -> Self {
        Self { cache: cache.to_owned(), state: state.to_owned(), work: cache.join(WORK).join(instance) }
    }

    /// Makes the folders that must be there before anything is written.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.work).map_err(io("make the work folder inside cache.dir"))
    }

    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// This instance's own work folder.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// The work folders of all instances.
    pub(super) fn all_work(&self) -> PathBuf {
        self.cache.join(WORK)
    }

    pub(super) fn owner_mark(&self) -> PathBuf {
        self.cache.join(OWNER_MARK)
    }

    pub(super) fn audio(&self, key: &Key, ext: &str) -> PathBuf {
        self.cache.join(key.relative_path(ext))
    }

    pub(super) fn sidecar(&self, key: &Key, ext: &str) -> PathBuf {
        self.cache.join(format!("{}.json", key.relative_path(ext)))
    }

    pub(super) fn part(&self, key: &Key) -> PathBuf {
        self.work.join(format!("{}.part", key.work_name()))
    }

    pub(super) fn note(&self, key: &Key) -> PathBuf {
        self.work.join(format!("{}.note", key.work_name()))
    }

    pub(super) fn staged(&self, key: &Key) -> PathBuf {
        self.work.join(format!("{}.staged", key.work_name()))
    }
}

/// `relative` as a client sees it: below `client_path` where one is configured, with the separators that path uses.
#[must_use]
pub(super) fn client_view(client_path: Option<&str>, relative: &str) -> String {
    let Some(base) = client_path else { return relative.to_owned() };
    let drive = matches!(base.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if base.contains('\\') || (drive && !base.contains('/')) {
        format!("{}\\{}", base.trim_end_matches(['\\', '/']), relative.replace('/', "\\"))
    } else {
        format!("{}/{relative}", base.trim_end_matches('/'))
    }
}

/// Writes a small file so that it is either the old or the new one, never half.
pub(super) fn write_whole(path: &Path, temporary: &Path, text: &[u8], durable: bool) -> std::io::Result<()> {
    let mut file = fs::File::create(temporary)?;
    std::io::Write::write_all(&mut file, text)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(temporary, path)
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What is not there is no error.
pub(super) fn if_there<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Makes a rename in this folder survive a power cut, where the drive can do that (NFS, SMB and FAT may not).
pub(super) fn sync_folder(folder: &Path) {
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::client_view;

    #[test]
    fn cache_paths_are_joined_the_way_the_client_writes_them() {
        for (base, want) in [
            (None, "youtube/a.m4a"),
            (Some("/mnt/music"), "/mnt/music/youtube/a.m4a"),
            (Some("/mnt/music/"), "/mnt/music/youtube/a.m4a"),
            (Some("/"), "/youtube/a.m4a"),
            (Some("D:\\music"), "D:\\music\\youtube\\a.m4a"),
            (Some("D:"), "D:\\youtube\\a.m4a"),
            (Some("D:/music/"), "D:/music/youtube/a.m4a"),
            (Some("\\\\nas\\music\\"), "\\\\nas\\music\\youtube\\a.m4a"),
        ] {
            assert_eq!(client_view(base, "youtube/a.m4a"), want, "{base:?}");
        }
    }
}
