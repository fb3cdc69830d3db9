//! Tests what the cache's drive can do.
//!
//! The test leaves no file behind and touches no published file.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use kmds_extract::Site;

use super::busy::patiently;
use super::cache_folder::CacheFolder;
use super::layout::{Layout, nearest_folder};
use super::shared::{Access, Shared};
use super::spot::Spot;

/// The result of the test. `sentences` are for the operator, the worst first.
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

/// Tests everything that publishing needs, and cleans up: inside the work folder, or, when only looking, where that
/// folder will be.
pub(super) fn report(shared: &Shared) -> DriveReport {
    let (cache, work) = (&shared.cache, shared.layout.work());
    let least = shared.config.min_free_bytes;
    let inside = |name: &str| work.join(name);
    let Access::Look { is_unused } = shared.access else {
        return probe(cache, cache.make_folder(work), inside, least);
    };
    if matches!(cache.look(work), Ok(Some(found)) if found.is_folder) {
        return probe(cache, Ok(()), inside, least);
    }
    let beside = |name: &str| Spot::new(format!(".kmds-{name}"));
    let folder = &shared.config.cache_dir;
    match nearest_folder(folder) {
        // The path is unused: the first start makes the cache folder there.
        Some(above) if is_unused && !folder.exists() => {
            let above = CacheFolder::new(above.to_owned(), work.clone());
            let found = above.find();
            probe(&above, found, beside, least)
        }
        _ => probe(cache, Ok(()), beside, least),
    }
}

/// `made`: whether the folder for the files exists.
fn probe(
    cache: &CacheFolder,
    made: io::Result<()>,
    place: impl Fn(&str) -> Spot,
    min_free_bytes: u64,
) -> DriveReport {
    // Several may run at once: at the start, and for each request that asks whether the service is ready.
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let (process, turn) = (std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed));
    let name = |suffix: &str| place(&format!("probe-{process}-{turn}-{suffix}"));
    let (one, other, upper) = (name("a"), name("b"), name("A"));
    let write = |spot: &Spot, text: &[u8]| cache.create(spot)?.write_all(text);
    let written = made
        .and_then(|()| write(&one, b"old"))
        .and_then(|()| write(&other, b"new"));
    let case_sensitive = written.is_err() || matches!(cache.look(&upper), Ok(None));
    let flushed = cache.open_to_write(&one).and_then(|file| file.sync_all());
    let renamed = patiently(|| cache.rename(&other, &one)).and_then(|()| cache.read(&one));
    for spot in [&one, &other, &upper] {
        let _ = cache.remove(spot);
    }
    let space = cache.space();
    let mut report = DriveReport {
        writable: written.is_ok(),
        renames_over: renamed.as_ref().is_ok_and(|text| text == b"new"),
        flushes: flushed.is_ok(),
        case_sensitive,
        free_bytes: space.map(|(free, _)| free),
        total_bytes: space.map(|(_, total)| total),
        sentences: Vec::new(),
    };
    let why = written
        .err()
        .or(renamed.err())
        .map(|error| error.to_string());
    report.sentences = sentences(&report, min_free_bytes, why.as_deref());
    report.sentences.extend(taken_folders(cache));
    report
}

/// Names of site folders that are not folders: no song of such a site can be stored.
fn taken_folders(cache: &CacheFolder) -> impl Iterator<Item = String> {
    let taken = |site: &Site| matches!(cache.look(&Layout::site(*site)), Ok(Some(found)) if !found.is_folder);
    let told = |site: Site| {
        format!(
            "`{0}` in the cache folder is no folder: songs of {0} cannot be kept until it is removed.",
            site.as_str()
        )
    };
    super::recover::SITES.into_iter().filter(taken).map(told)
}

fn sentences(report: &DriveReport, min_free_bytes: u64, why: Option<&str>) -> Vec<String> {
    let mut told = Vec::new();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    if !report.writable {
        told.push(format!(
            "The cache folder cannot be written{why}: nothing can be downloaded until it can."
        ));
        return told;
    }
    if !report.renames_over {
        told.push(format!(
            "The drive does not replace a file by renaming{why}: songs cannot be published on it."
        ));
    }
    if !report.case_sensitive {
        told.push(
            "The drive takes `a` and `A` for the same name: YouTube songs whose ids differ only in case replace each other."
                .to_owned(),
        );
    }
    if !report.flushes {
        told.push("The drive does not flush on request: after a power cut, songs that were ready can be lost.".to_owned());
    }
    match report.free_bytes {
        None => {
            told.push("The drive does not tell its free space: only cache.max_bytes limits the cache.".to_owned())
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
        let work = Spot::new("work");
        let cache = CacheFolder::new(folder.clone(), work.clone());
        cache.take().expect("a folder");
        let probes = || {
            (0..50)
                .map(|_| probe(&cache, Ok(()), |name| work.join(name), 0).sentences)
                .find(|told| !told.is_empty())
        };
        let troubles = std::thread::scope(|scope| {
            let both = [scope.spawn(probes), scope.spawn(probes)];
            both.map(|one| one.join().expect("probed"))
        });
        assert_eq!(troubles, [None, None]);
        std::fs::remove_dir(folder.join("work")).expect("nothing is left in it");
        std::fs::remove_dir(&folder).expect("nor beside it");
    }
}
