//! The user's folders by the XDG rules, with systemd's variables first.
//!
//! Owns which variables name a folder. It makes no folder.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The variables of systemd and of XDG, and the path below the home folder.
const CONFIG: [&str; 3] = ["CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME", ".config"];
const CACHE: [&str; 3] = ["CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache"];
const STATE: [&str; 3] = ["STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state"];

/// The folder that a variable names, if its path begins at the root: the XDG rules say to ignore all others.
fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name)?.into_vec();
    // systemd separates several by colons.
    let first = value.split(|byte| *byte == b':').next().unwrap_or_default();
    Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
}

fn under([systemd, xdg, below_home]: [&str; 3]) -> Option<PathBuf> {
    variable(systemd)
        .or_else(|| variable(xdg).map(|dir| dir.join("kmds")))
        .or_else(|| home().map(|dir| dir.join(below_home).join("kmds")))
}

#[must_use]
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

#[must_use]
pub fn config() -> Option<PathBuf> {
    under(CONFIG)
}

#[must_use]
pub fn cache() -> Option<PathBuf> {
    under(CACHE)
}

#[must_use]
pub fn state() -> Option<PathBuf> {
    under(STATE)
}

/// Variables that should name a folder, but are ignored since their value is not a folder's path.
pub fn ignored() -> impl Iterator<Item = &'static str> {
    let names = [CONFIG, CACHE, STATE]
        .into_iter()
        .flat_map(|[systemd, xdg, _]| [systemd, xdg])
        .chain(["HOME"]);
    names.filter(|name| {
        std::env::var_os(name).is_some_and(|value| !value.is_empty()) && variable(name).is_none()
    })
}
