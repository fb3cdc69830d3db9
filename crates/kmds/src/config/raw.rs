//! All sources of settings in their order: defaults, the file, variables, flags.
//!
//! Owns which source wins. [`RawConfig::get`] gives a value in the type that the table states for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kmds_extract::Site;

use super::error::ConfigError;
use super::settings::{BASE_PATH, LISTEN, SETTINGS};
use super::typed::{Key, Setting, Typed};
use super::value::Value;
use super::{file, folders, variables};

/// Where settings come from, the weakest first.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// Given by `--config`: must exist.
    pub file: Option<PathBuf>,
    /// Names and values of environment variables, also of those that are not settings.
    pub environment: Vec<(String, String)>,
    /// Dotted keys.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The environment of this process.
    /// # Errors
    /// [`ConfigError::NotUtf8`].
    pub fn from_process(
        file: Option<PathBuf>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            file,
            environment: variables::of_process()?,
            flags,
        })
    }
}

/// Every given setting, and its source.
#[derive(Debug, Default, Clone)]
pub struct RawConfig {
    pub(super) values: BTreeMap<String, (Value, String)>,
}

impl RawConfig {
    /// Reads all sources. Unknown settings and values of the wrong shape are errors.
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        let own_file = || folders::config().map(|folder| folder.join("kmds.toml"));
        let file = sources
            .file
            .clone()
            .or_else(|| own_file().filter(|file| file::is_there(file)));
        if let Some(file) = file {
            let from = file.display().to_string();
            raw.set_all(file::read(&file)?, &from)?;
        }
        let mut given = BTreeSet::new();
        for (name, text) in &sources.environment {
            let Some(key) = variables::key_of(name) else {
                continue;
            };
            let from = format!("environment variable {name}");
            if !text.is_empty() && !given.insert(key.clone()) {
                return Err(ConfigError::Twice { key, from });
            }
            raw.set(&key, &Value::Text(text.clone()), &from)?;
        }
        for (key, text) in &sources.flags {
            raw.set(key, &Value::Text(text.clone()), &format!("flag for {key}"))?;
        }
        Ok(raw)
    }

    pub(super) fn set_all(&mut self, given: file::Given, from: &str) -> Result<(), ConfigError> {
        given
            .iter()
            .try_for_each(|(key, value)| self.set(key, value, from))
    }

    pub(super) fn set(&mut self, key: &str, value: &Value, from: &str) -> Result<(), ConfigError> {
        let known = |setting: &&Setting| setting.keys().any(|known| known == key);
        let Some(setting) = SETTINGS.iter().find(known) else {
            return Err(ConfigError::Unknown {
                key: key.to_owned(),
                from: from.to_owned(),
            });
        };
        if *value == Value::Text(String::new()) {
            // Empty means "as if not given here": an empty variable does not hide the file's value.
            return Ok(());
        }
        let parsed = setting
            .shape
            .read(value)
            .map_err(|wanted| ConfigError::Value {
                key: key.to_owned(),
                value: value.to_string(),
                wanted,
                from: from.to_owned(),
            })?;
        self.values
            .insert(key.to_owned(), (parsed, from.to_owned()));
        Ok(())
    }

    /// The given settings with their sources, for `kmds config show`.
    pub fn given(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.values
            .iter()
            .map(|(key, (value, from))| (key.as_str(), value.to_string(), from.as_str()))
    }

    /// The value of a setting: given, or its default.
    pub(super) fn get<T: Typed>(&self, key: &Key<T>) -> Result<T, ConfigError> {
        self.get_named(key.setting.key, key)
    }

    /// The value for one site: a setting of its own wins over the common one.
    pub(super) fn get_for<T: Typed>(
        &self,
        site: Option<Site>,
        key: &Key<T>,
    ) -> Result<T, ConfigError> {
        let own = site
            .map(|site| format!("{}.{}", site.as_str(), key.setting.key))
            .filter(|own| self.values.contains_key(own));
        self.get_named(own.as_deref().unwrap_or(key.setting.key), key)
    }

    fn get_named<T: Typed>(&self, name: &str, key: &Key<T>) -> Result<T, ConfigError> {
        let given = self.values.get(name).map(|(value, _)| value.clone());
        let value = match given {
            Some(value) => Ok(Some(value)),
            None => key.setting.default_value(),
        };
        // A test reads every default, so no operator ever sees this.
        let mistake = |wanted: String| ConfigError::Value {
            key: name.to_owned(),
            value: key.setting.default.to_owned(),
            wanted,
            from: "defaults".to_owned(),
        };
        let unread = || mistake("this is a mistake in KMDS: please report it".to_owned());
        T::read(value.map_err(mistake)?).ok_or_else(unread)
    }

    /// `server.listen` and `server.base_path`, for a command that only asks the server.
    /// # Errors
    /// As [`RawConfig::check`].
    pub fn address(&self) -> Result<(String, String), ConfigError> {
        let base_path = self.get(&BASE_PATH)?.unwrap_or_default();
        let base_path = match base_path.trim_matches('/') {
            "" => String::new(),
            inner => format!("/{inner}"),
        };
        Ok((self.get(&LISTEN)?, base_path))
    }
}
