//! The service as other programs meet it: those that are told, those that ask, and those that stand before it.

#[path = "../harness/mod.rs"]
mod harness;

mod channel;
mod classic_client;
mod description;
mod js_client;
mod nginx;
mod packaging;
mod python_client;
mod release;
mod songbird;
mod webhook;
mod who_may;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where a program is found, by the path of this process.
fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = ["/usr/sbin".into(), "/usr/local/sbin".into()];
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Says that a promise was not tested here, and why.
fn skipped(what: &str, why: &str) {
    eprintln!("!!! SKIPPED: {what}: {why}");
}

/// A python that runs the tests: `./test`'s own, else the machine's.
fn python() -> Option<PathBuf> {
    std::env::var_os("KMDS_TEST_PYTHON")
        .map(PathBuf::from)
        .or_else(|| which("python3"))
}
