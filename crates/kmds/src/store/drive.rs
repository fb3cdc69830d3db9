//! What the cache's drive can do.
//!
//! Owns the start-up probe and the question how much is free. Hides `statvfs`. Never touches published files.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the probe found. `sentences` are for the operator, the worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveReport {
    pub writable: bool,
    /// A file can be replaced by renaming another over it: publishing needs this.
    pub renames_over: bool,
    /// Flushing a file is obeyed (or at least not refused).
    pub flushes: bool,
    /// `a` and `A` are two files. If not, two YouTube ids could be one file there.
    pub case_sensitive: bool,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
    pub sentences: Vec<String>,
}

/// Bytes an ordinary user may still write; `None` where the drive does not say (some network drives tell 0 of 0).
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    space(folder).map(|(free, _)| free)
}

fn space(folder: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(folder).ok()?;
    (found.f_blocks > 0)
        .then(|| (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Tries everything publishing needs inside `folder`, and cleans up.
pub(super) fn probe(folder: &Path, min_free_bytes: u64) -> DriveReport {
    // Several may be at it at once: the start, and whoever asks whether we are ready.
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let (process, turn) = (std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed));
    let name = |suffix: &str| folder.join(format!("probe-{process}-{turn}-{suffix}"));
    let (one, other, upper) = (name("a"), name("b"), name("A"));
    let written = fs::create_dir_all(folder).and_then(|()| write(&one, b"old")).and_then(|()| write(&other, b"new"));
    let case_sensitive = !upper.exists();
    let flushed = OpenOptions::new().write(true).open(&one).and_then(|file| file.sync_all());
    let renamed = fs::rename(&other, &one).and_then(|()| fs::read(&one));
    for path in [&one, &other, &upper] {
        let _ = fs::remove_file(path);
    }
    let space = space(folder);
    let mut report = DriveReport {
        writable: written.is_ok(),
        renames_over: renamed.as_ref().is_ok_and(|text| text == b"new"),
        flushes: flushed.is_ok(),
        case_sensitive,
        free_bytes: space.map(|(free, _)| free),
        total_bytes: space.map(|(_, total)| total),
        sentences: Vec::new(),
    };
    let why = written.err().or(renamed.err()).map(|error| error.to_string());
    report.sentences = sentences(&report, min_free_bytes, why.as_deref());
    report
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    File::create(path)?.write_all(text)
}

fn sentences(report: &DriveReport, min_free_bytes: u64, why: Option<&str>) -> Vec<String> {
    let mut told = Vec::new();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    if !report.writable {
        told.push(format!("The cache folder cannot be written{why}: nothing can be downloaded until it can."));
        return told;
    }
    if !report.renames_over {
        told.push(format!("The drive does not replace a file by renaming{why}: songs cannot be published on it."));
    }
    if !report.case_sensitive {
        told.push(
            "The drive takes `a` and `A` for the same name: YouTube songs whose ids differ in case only replace each other."
                .to_owned(),
        );
    }
    if !report.flushes {
        told.push("The drive does not flush on request: a power cut can cost songs that were called ready.".to_owned());
    }
    match report.free_bytes {
        None => {
            told.push("The drive does not say how much room it has: only cache.max_bytes bounds the cache.".to_owned())
        }
        Some(free) if free < min_free_bytes => told.push(format!(
            "The drive has {free} bytes free, fewer than the {min_free_bytes} that cache.min_free_bytes keeps: every \
             download evicts, or is refused."
        )),
        Some(_) => {}
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_at_the_same_time_do_not_take_each_others_files() {
        let folder = std::env::temp_dir().join(format!("kmds-probes-{}", std::process::id()));
        let probes = || (0..50).map(|_| probe(&folder, 0).sentences).find(|told| !told.is_empty());
        let troubles = std::thread::scope(|scope| {
            let both = [scope.spawn(probes), scope.spawn(probes)];
            both.map(|one| one.join().expect("probed"))
        });
        assert_eq!(troubles, [None, None]);
        fs::remove_dir(&folder).expect("nothing is left in it");
    }
}
