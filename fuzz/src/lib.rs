//! Fuzz targets: functions of any bytes that promise something about what they read.
//!
//! Owns the place of a target's corpus, the memory limit of a target, and running one with libFuzzer. A target is a
//! test called `fuzz_NAME` beside the code that it tests; `cargo test fuzz_` runs it on the corpus, `./fuzz/run` on
//! everything else. It does not know what a target reads.

mod counted;
#[cfg(feature = "libfuzzer")]
mod libfuzzer;

use std::path::{Path, PathBuf};

/// What a target may hold at once, beside [`BYTES_PER_BYTE`]: a window, tables, a parser's own buffers.
const FREE_BYTES: usize = 4 << 20;
/// And for each byte of its input: JSON values of two characters take some fifty, lists grow by doubling.
const BYTES_PER_BYTE: usize = 256;

/// Runs the target `name` over its corpus; under `./fuzz/run` over the inputs that libFuzzer makes.
/// # Panics
/// When `one` panics, takes too much memory, or has no corpus.
pub fn target(name: &str, one: fn(&[u8])) {
    target_holding(name, FREE_BYTES, one);
}

/// The same for a target that may take more memory, for any input.
/// # Panics
/// As [`target`].
pub fn target_holding(name: &str, free_bytes: usize, one: fn(&[u8])) {
    let one = Target { one, free_bytes };
    #[cfg(feature = "libfuzzer")]
    if let Ok(arguments) = std::env::var("KMDS_FUZZ") {
        libfuzzer::run(&arguments, one);
    }
    let seeds = seeds(name);
    assert!(
        !seeds.is_empty(),
        "fuzz/corpus/{name} holds at least one input"
    );
    for (path, input) in seeds {
        let named = Named(&path);
        one.feed(&input);
        drop(named);
    }
}

#[derive(Clone, Copy)]
struct Target {
    one: fn(&[u8]),
    free_bytes: usize,
}

impl Target {
    /// Feeds it one input, and holds it to its bounds.
    fn feed(self, input: &[u8]) {
        let ((), held_bytes) = counted::most_held(|| (self.one)(input));
        let allowed = self.free_bytes + BYTES_PER_BYTE * input.len();
        assert!(
            held_bytes <= allowed,
            "{} bytes of input took {held_bytes} bytes of memory",
            input.len()
        );
    }
}

/// The corpus of a target, in the order of its names.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| std::fs::read(&path).ok().map(|input| (path, input)))
        .collect()
}

/// Says which input it was when the test fails.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("fuzz: this was {}", self.0.display());
        }
    }
}
