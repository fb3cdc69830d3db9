//! Why settings cannot be used.
//!
//! Owns the sentences, and the guess which setting an operator meant.

use super::settings::SETTINGS;
use super::typed::Setting;

/// Letters to add, remove or change that still count as a typing mistake.
const MOST_SLIPS: usize = 2;

/// A setting that cannot be used: its key, its value, and a value that would work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{from}: unknown setting `{key}`{}", nearest(.key))]
    Unknown { key: String, from: String },
    #[error("{from}: `{key}` is `{value}`; {wanted}")]
    Value {
        key: String,
        value: String,
        wanted: String,
        from: String,
    },
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("{from}: `{key}` is given twice; leave one")]
    Twice { key: String, from: String },
    #[error(
        "the environment variable {name} is `{value}`, which is not UTF-8; write it again (was a character of another encoding pasted?)"
    )]
    NotUtf8 { name: String, value: String },
}

/// Advice for a key that does not exist.
fn nearest(key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let known = || SETTINGS.iter().flat_map(Setting::keys);
    // The right name in the wrong section, else a typing mistake.
    let meant = known().find(|known| last(known) == last(key)).or_else(|| {
        known()
            .map(|known| (strsim::levenshtein(&known, key), known))
            .filter(|(slips, _)| *slips <= MOST_SLIPS)
            .min()
            .map(|(_, known)| known)
    });
    meant.map_or_else(
        || "; `kmds config example` lists them all".to_owned(),
        |known| format!("; did you mean `{known}`? `kmds config example` lists them all"),
    )
}
