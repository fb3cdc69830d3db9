//! Where every file lies.
//!
//! Owns every path below the cache and the state folder. It takes no path from outside: names come only from [`Key`]s.

use std::path::{Path, PathBuf};

use kmds_extract::{Format, Site};

use super::key::Key;
use super::spot::Spot;

/// The folder of unfinished files, inside the cache folder: a rename out of it is atomic.
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
///   .kmds-work/{instance}/needed          on a drive that several instances share: the songs that this one needs
/// state.dir/                              local
///   kmds.db, instance, lock, cache-drive
/// ```
#[derive(Debug, Clone)]
pub(super) struct Layout {
    cache: PathBuf,
    state: PathBuf,
    work: Spot,
}

impl Layout {
    pub(super) fn new(cache: &Path, state: &Path, instance: &str) -> Self {
        Self {
            cache: cache.to_owned(),
            state: state.to_owned(),
            work: Spot::new(WORK).join(instance),
        }
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// A finished file for other programs of this machine. KMDS itself uses [`Layout::audio`].
    pub(super) fn local_path(&self, key: &Key, format: Format) -> PathBuf {
        self.cache.join(key.relative_path(format))
    }

    /// This instance's own work folder. No other program makes a folder with this name, so it also marks the drive as
    /// ours.
    pub(super) const fn work(&self) -> &Spot {
        &self.work
    }

    /// The work folders of all instances.
    pub(super) fn all_work() -> Spot {
        Spot::new(WORK)
    }

    pub(super) fn owner_mark() -> Spot {
        Spot::new(OWNER_MARK)
    }

    pub(super) fn site(site: Site) -> Spot {
        Spot::new(site.as_str())
    }

    pub(super) fn audio(key: &Key, format: Format) -> Spot {
        Spot::new(key.relative_path(format))
    }

    pub(super) fn sidecar(key: &Key, format: Format) -> Spot {
        Spot::new(format!("{}.json", key.relative_path(format)))
    }

    pub(super) fn part(&self, key: &Key) -> Spot {
        self.work.join(&format!("{}.part", key.work_name()))
    }

    pub(super) fn note(&self, key: &Key) -> Spot {
        self.work.join(&format!("{}.note", key.work_name()))
    }

    pub(super) fn staged(&self, key: &Key) -> Spot {
        self.work.join(&format!("{}.staged", key.work_name()))
    }
}

/// The nearest folder that stands above this path.
pub(super) fn nearest_folder(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|above| above.is_dir())
}

/// `relative` as a client sees it: below `client_path` if one is configured, with the separators of that path.
#[must_use]
pub(super) fn client_view(client_path: Option<&str>, relative: &str) -> String {
    let Some(base) = client_path else {
        return relative.to_owned();
    };
    let drive = matches!(base.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if base.contains('\\') || (drive && !base.contains('/')) {
        format!(
            "{}\\{}",
            base.trim_end_matches(['\\', '/']),
            relative.replace('/', "\\")
        )
    } else {
        format!("{}/{relative}", base.trim_end_matches('/'))
    }
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
