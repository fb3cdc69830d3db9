//! Promises that hold for any settings an operator may write.

use super::value::Value;
use super::{Config, ConfigError, RawConfig, file};

/// Accepted settings make a whole configuration, and the same one when they are given as flags; others are refused by
/// their name, with a value that would work.
#[test]
fn fuzz_settings() {
    kmds_fuzz::target("settings", |input| {
        let text = String::from_utf8_lossy(input);
        // A file; after a line of dashes, flags as KEY=VALUE.
        let (file, flags) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let flags = flags.lines().filter_map(|line| line.split_once('='));
        match read(file, flags) {
            Ok((raw, config)) => {
                // In a flag a list is divided by commas.
                let again: Vec<(String, String)> = raw
                    .given()
                    .map(|(key, value, _)| (key.to_owned(), value))
                    .collect();
                let divided = raw.values.values().any(|(value, _)| matches!(value, Value::List(list) if list.iter().any(|item| item.contains(',') || item.trim() != item || item.is_empty())));
                let (_, same) = read("", again.iter().map(|(key, value)| (&**key, &**value)))
                    .expect("the same settings");
                assert!(divided || same == config, "{same:?} is not {config:?}");
            }
            Err(error) => refused(&error),
        }
    });
}

fn read<'t>(
    file: &str,
    flags: impl Iterator<Item = (&'t str, &'t str)>,
) -> Result<(RawConfig, Config), ConfigError> {
    let mut raw = RawConfig::default();
    raw.set_all(file::read_toml(file, "kmds.toml")?, "kmds.toml")?;
    for (key, value) in [("cache.dir", "/c"), ("state.dir", "/s")]
        .into_iter()
        .chain(flags)
    {
        raw.set(key, &Value::Text(value.to_owned()), "flag")?;
    }
    Ok((raw.clone(), raw.check()?))
}

fn refused(error: &ConfigError) {
    let sentence = error.to_string();
    match error {
        ConfigError::Unknown { key, .. } => {
            assert!(sentence.contains(&**key) && sentence.contains("kmds config example"))
        }
        ConfigError::Value { key, wanted, .. } => {
            assert!(sentence.contains(&**key) && wanted.len() > 5, "{sentence}")
        }
        ConfigError::File { why, .. } => assert!(!why.is_empty()),
        ConfigError::Twice { key, .. } => assert!(sentence.contains(&**key)),
        ConfigError::NotUtf8 { .. } => panic!("a file of text has no variables"),
    }
}
