//! Environment variables: which are settings, and which only look like one.
//!
//! Owns the spelling (`server.listen` is `KMDS_SERVER__LISTEN`), and a warning for every variable that looks like a
//! mistyped setting. It changes no variable.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::error::ConfigError;
use super::folders;
use super::settings::SETTINGS;
use super::typed::Setting;

/// Variables of KMDS that are not settings.
const NO_SETTINGS: [&str; 4] = ["KMDS_LOG", "KMDS_LOG_FORMAT", "KMDS_SERVER", "KMDS_TOKEN"];
/// Letters to add, remove or change that count as a typing mistake.
const MOST_SLIPS: usize = 2;
/// A shorter name is similar to too many others to be called a typing mistake.
const LEAST_FOR_A_SLIP: usize = 6;
const PREFIX: &str = "KMDS_";

/// `KMDS_SERVER__LISTEN` for `server.listen`.
pub fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// `server.listen` for `KMDS_SERVER__LISTEN`; `None` for what is no setting.
pub fn key_of(name: &str) -> Option<String> {
    let path = name
        .strip_prefix(PREFIX)
        .filter(|path| path.contains("__"))?;
    Some(path.to_ascii_lowercase().replace("__", "."))
}

/// The settings among the variables of this process.
/// # Errors
/// A name or a value of a setting is not UTF-8. It is not ignored: it may be the way out.
pub fn of_process() -> Result<Vec<(String, String)>, ConfigError> {
    std::env::vars_os()
        .filter_map(|(name, value)| setting(name, value))
        .collect()
}

fn setting(name: OsString, value: OsString) -> Option<Result<(String, String), ConfigError>> {
    let bytes = name.as_bytes();
    if !bytes.starts_with(PREFIX.as_bytes()) || !bytes.windows(2).any(|two| two == b"__") {
        return None;
    }
    Some(match (name.to_str(), value.to_str()) {
        (Some(name), Some(value)) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ConfigError::NotUtf8 {
            name: name.to_string_lossy().into_owned(),
            value: value.to_string_lossy().into_owned(),
        }),
    })
}

/// A sentence for each variable of this process that is ignored although an operator most likely meant it: one that
/// looks like a mistyped setting, one that should name a folder and does not, and the variables of a config folder that
/// this user may not enter.
pub fn ignored() -> impl Iterator<Item = String> {
    let nearly = std::env::vars_os().filter_map(|(name, _)| {
        let name = name.to_str()?;
        let meant = meant_by(name);
        let meant = (!meant.is_empty()).then(|| meant.join(" or "))?;
        Some(format!(
            "the variable {name} is not a setting and is ignored; did you mean {meant}?"
        ))
    });
    let folders = folders::ignored()
        .map(|name| format!("the variable {name} is not a path from / on and is ignored"));
    let closed = folders::config().and_then(|folder| {
        match std::fs::symlink_metadata(folder.join("kmds.toml")) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(format!(
                "the folder {} is closed to this user, and settings in it are ignored",
                folder.display()
            )),
            _ => None,
        }
    });
    nearly.chain(folders).chain(closed)
}

/// The settings' variables that a name without two underscores most likely stands for; none for any other name.
fn meant_by(name: &str) -> Vec<String> {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Vec::new();
    };
    if rest.is_empty() || name.contains("__") || NO_SETTINGS.contains(&name) {
        return Vec::new();
    }
    let all: Vec<String> = SETTINGS
        .iter()
        .flat_map(Setting::keys)
        .map(|key| name_of(&key))
        .collect();
    // One underscore too few.
    let joined = |known: &str| known.replace("__", "_");
    if let Some(known) = all.iter().find(|known| joined(known) == name) {
        return vec![known.clone()];
    }
    // No section at all: the plain settings, not those of a single site.
    let plain = || SETTINGS.iter().map(|setting| name_of(setting.key));
    let without_section: Vec<String> = plain()
        .filter(|known| known.rsplit("__").next() == Some(rest))
        .collect();
    if !without_section.is_empty() || rest.len() < LEAST_FOR_A_SLIP {
        return without_section;
    }
    let slips = |known: &str| {
        let last = known.rsplit("__").next().unwrap_or_default();
        strsim::levenshtein(&joined(known), name).min(strsim::levenshtein(last, rest))
    };
    let nearest = plain().map(|known| (slips(&known), known)).min();
    nearest
        .filter(|(slips, _)| *slips <= MOST_SLIPS)
        .map(|(_, known)| known)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_known_for_what_was_meant() {
        for (name, meant) in [
            ("KMDS_SERVER_LISTEN", "KMDS_SERVER__LISTEN"),
            ("KMDS_YOUTUBE_EGRESS_PROXY", "KMDS_YOUTUBE__EGRESS__PROXY"),
            ("KMDS_LISTEN", "KMDS_SERVER__LISTEN"),
            ("KMDS_PROXY", "KMDS_EGRESS__PROXY"),
            ("KMDS_MAX_BYTES", "KMDS_CACHE__MAX_BYTES"),
            (
                "KMDS_DIR",
                "KMDS_CACHE__DIR or KMDS_LIBRARY__DIR or KMDS_STATE__DIR",
            ),
            ("KMDS_LISTNE", "KMDS_SERVER__LISTEN"),
            ("KMDS_CACHE_MAX_BYTE", "KMDS_CACHE__MAX_BYTES"),
        ] {
            assert_eq!(meant_by(name).join(" or "), meant, "{name}");
        }
        for own in [
            "KMDS_",
            "KMDS_LOG",
            "KMDS_TOKEN",
            "KMDS_SERVER",
            "KMDS_SERVER__LISTEN",
            "KMDS_SERVER_PORT",
            "KMDS_TEST_YTDLP",
            "KMDS_RECORDINGS",
            "KMDS_BLESS",
            "SERVER_LISTEN",
        ] {
            assert_eq!(meant_by(own), [""; 0], "{own}");
        }
    }
}
