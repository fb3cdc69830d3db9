//! Settings: read once, checked whole.
//!
//! Owns the way from a TOML file, `KMDS_*` variables and flags to one [`Config`], whose parts the modules get.
//! Hides where a value came from, except in errors, which name the key, the value and what would do.
//! Never reads the network, never creates a folder.

pub mod folders;
mod path;
mod settings;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kmds_extract::Site;
use kmds_extract::choose::Accept;
use kmds_extract::search::SearchSite;

pub use path::given as given_path;
pub use settings::{SETTINGS, Setting, example, passed_over};
use value::Value;

/// Everything the service is told. Paths are whole; nothing is created yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: ServerConfig,
    pub cache: CacheConfig,
    pub state_dir: PathBuf,
    pub sites: BTreeMap<Site, SiteConfig>,
    pub ytdlp: YtDlpConfig,
    pub recipes_file: Option<RecipesFile>,
    pub ffmpeg: FfmpegConfig,
    pub accept: Accept,
    pub opus: OpusForm,
    pub queue_max_songs: usize,
    pub queue_max_downloads: usize,
    pub lists_max_songs: usize,
    /// Where words are searched for unless the client says where.
    pub search_site: SearchSite,
    pub webhook: Option<WebhookConfig>,
    pub egress_check_url: Option<String>,
    pub egress_check_every: Duration,
}

/// Where recipes are read from, at the start and again when asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipesFile {
    pub path: PathBuf,
    /// Named by a setting. The one of the config folder may be absent: then the built-in recipes are in force.
    pub named: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// `ADDRESS:PORT`, or `unix:/path`.
    pub listen: String,
    pub public_url: Option<String>,
    /// Starts with `/` and does not end with one; empty for none.
    pub base_path: String,
    pub tokens_file: Option<PathBuf>,
    pub names: Vec<String>,
    pub trusted_proxies: Vec<String>,
    /// `None`: what the limit of open files allows, at most 4,096.
    pub max_connections: Option<usize>,
    /// How long streams may go on after SIGTERM.
    pub stop_within: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CacheConfig {
    pub dir: PathBuf,
    pub client_path: Option<String>,
    pub max_bytes: u64,
    pub max_age: Option<Duration>,
    pub min_free_bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SiteConfig {
    pub enabled: bool,
    pub max_downloads: usize,
    pub egress: EgressSettings,
}

/// How requests of one site leave this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct EgressSettings {
    pub proxy: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub source_address: Option<IpAddr>,
    /// Addresses or networks this service must never be seen from.
    pub forbid: Vec<String>,
    pub check_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct YtDlpConfig {
    pub enabled: bool,
    pub command: String,
    pub max: usize,
    pub any_site: bool,
    pub cookies_file: Option<PathBuf>,
    pub extra_args: Vec<String>,
    pub timeout: Duration,
    /// Address space of one run in bytes.
    pub max_memory: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FfmpegConfig {
    pub command: String,
    pub max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    pub url: String,
    pub secret_file: Option<PathBuf>,
}

/// What becomes of a song that exists as Opus only, for a client that does not play it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpusForm {
    Vorbis,
    Aac,
    Mp3,
    Keep,
}

/// A setting that cannot be used: which, what it was, and what would do.
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
        "the environment variable {name} is `{value}`, which is not UTF-8; write it anew (a character of another encoding was pasted?)"
    )]
    NotUtf8 { name: String, value: String },
}

fn nearest(key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let known = || SETTINGS.iter().flat_map(Setting::keys);
    // The right name in the wrong place, else a slip of the fingers.
    let meant = known().find(|known| last(known) == last(key)).or_else(|| {
        known()
            .map(|known| (slips(&known, key), known))
            .filter(|(slips, _)| *slips <= 2)
            .min()
            .map(|(_, known)| known)
    });
    meant.map_or_else(
        || "; `kmds config example` lists them all".to_owned(),
        |known| format!("; did you mean `{known}`? `kmds config example` lists them all"),
    )
}

/// Letters to add, drop or change to make one text the other.
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut before = at;
        row[0] = at + 1;
        for (place, have) in other.iter().enumerate() {
            let change = before + usize::from(letter != *have);
            before = row[place + 1];
            row[place + 1] = change.min(before + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

/// Where settings come from, weakest first: defaults, the file, the environment, flags.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// Given by `--config`: must exist.
    pub file: Option<PathBuf>,
    /// `KEY=VALUE` as from the environment, names starting with `KMDS_`.
    pub environment: Vec<(String, String)>,
    /// Dotted keys.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The environment of this process.
    /// # Errors
    /// A name or a value of a setting is not UTF-8. What cannot be read is not as if it were not there: it may be the
    /// way out.
    pub fn from_process(
        file: Option<PathBuf>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| variable(name, value))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            file,
            environment,
            flags,
        })
    }
}

/// `None`: `KMDS_LOG` and other names without `__` are no settings.
fn variable(name: OsString, value: OsString) -> Option<Result<(String, String), ConfigError>> {
    let bytes = name.as_bytes();
    if !bytes.starts_with(b"KMDS_") || !bytes.windows(2).any(|two| two == b"__") {
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

/// Every setting that is not at its default, and where it came from.
#[derive(Debug, Default, Clone)]
pub struct RawConfig {
    values: BTreeMap<String, (Value, String)>,
}

impl RawConfig {
    /// Reads all sources; unknown settings and values of the wrong shape are errors.
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        let file = match &sources.file {
            Some(file) => Some(file.clone()),
            None => folders::config()
                .map(|dir| dir.join("kmds.toml"))
                .filter(|file| is_there(file)),
        };
        if let Some(file) = file {
            raw.read_file(&file)?;
        }
        let mut given = BTreeSet::new();
        for (name, text) in &sources.environment {
            let Some(path) = name
                .strip_prefix("KMDS_")
                .filter(|path| path.contains("__"))
            else {
                continue;
            };
            let key = path.to_ascii_lowercase().replace("__", ".");
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

    fn read_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        let at = file.display().to_string();
        let unreadable = |why: String| ConfigError::File {
            path: at.clone(),
            why,
        };
        let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| unreadable(not_utf8(&error)))?;
        // Some editors begin a file with a mark of its encoding.
        let text = text.trim_start_matches('\u{feff}');
        let is_classic = file.extension().is_some_and(|ext| ext == "json");
        if is_classic {
            self.read_classic(text, &at)
        } else {
            self.read_toml(text, &at)
        }
    }

    fn read_toml(&mut self, text: &str, at: &str) -> Result<(), ConfigError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| ConfigError::File {
                    path: at.to_owned(),
                    why: error.to_string(),
                })?;
        let mut flat = Vec::new();
        flatten(&table, "", &mut flat);
        let mut given = BTreeSet::new();
        for (key, value) in flat {
            // TOML itself refuses a key that stands twice; `"server.listen"` and `listen` in `[server]` are two to it.
            if !given.insert(key.clone()) {
                return Err(ConfigError::Twice {
                    key,
                    from: at.to_owned(),
                });
            }
            self.set(&key, &value, at)?;
        }
        Ok(())
    }

    /// The classic service's `Root_CFG.json`: `{"Debug": false, "WebServer": {"Host": "…", "Port": 60071}}`.
    fn read_classic(&mut self, text: &str, at: &str) -> Result<(), ConfigError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Classic {
            web_server: WebServer,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct WebServer {
            host: String,
            port: u16,
        }
        let classic: Classic = serde_json::from_str(text).map_err(|error| ConfigError::File {
            path: at.to_owned(),
            why: error.to_string(),
        })?;
        let WebServer { host, port } = classic.web_server;
        let listen = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        self.set("server.listen", &Value::Text(listen), at)
    }

    fn set(&mut self, key: &str, value: &Value, from: &str) -> Result<(), ConfigError> {
        let Some(setting) = SETTINGS
            .iter()
            .find(|setting| setting.keys().any(|known| known == key))
        else {
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

    /// Settings that differ from their defaults, with where they come from, for `kmds config show`.
    pub fn given(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.values
            .iter()
            .map(|(key, (value, from))| (key.as_str(), value.to_string(), from.as_str()))
    }

    /// The value of a key: given, or its default. Absent when neither is.
    fn value(&self, key: &str) -> Option<Value> {
        if let Some((value, _)) = self.values.get(key) {
            return Some(value.clone());
        }
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.keys().any(|known| known == key))?;
        if setting.default.is_empty() {
            return None;
        }
        setting
            .shape
            .read(&Value::Text(setting.default.to_owned()))
            .ok()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key)
            .map(|value| value.to_string())
            .filter(|text| !text.is_empty())
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.value(key) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    fn size(&self, key: &str) -> usize {
        self.number(key)
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(0)
    }

    fn seconds(&self, key: &str) -> Option<Duration> {
        self.number(key).map(Duration::from_secs)
    }

    fn on(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Value::Bool(true)))
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(list)) => list,
            _ => Vec::new(),
        }
    }

    /// `server.listen` and `server.base_path`, for those who only want to ask the server.
    #[must_use]
    pub fn address(&self) -> (String, String) {
        let base_path = self.text("server.base_path").unwrap_or_default();
        let base_path = match base_path.trim_matches('/') {
            "" => String::new(),
            inner => format!("/{inner}"),
        };
        (self.text("server.listen").unwrap_or_default(), base_path)
    }

    /// `egress.forbid` is held against what `egress.check_url` answers: without it, it would forbid nothing.
    fn forbids_blindly(&self) -> Option<ConfigError> {
        let prefixes = ["".to_owned()]
            .into_iter()
            .chain(Site::NATIVE.map(|site| format!("{}.", site.as_str())));
        prefixes.into_iter().find_map(|prefix| {
            let egress = self.egress(prefix.trim_end_matches('.'));
            let key = format!("{prefix}egress.forbid");
            let (value, from) = self.values.get(&key).or_else(|| self.values.get("egress.forbid"))?;
            (!egress.forbid.is_empty() && egress.check_url.is_none()).then(|| ConfigError::Value {
                key,
                value: value.to_string(),
                wanted:
                    "set egress.check_url too, to a URL that answers with the address it was asked from: without it \
                         nobody looks at which address the sites see, and nothing is forbidden"
                        .to_owned(),
                from: from.clone(),
            })
        })
    }

    fn egress(&self, prefix: &str) -> EgressSettings {
        // A site's own setting wins, else the common one.
        let own = |name: &str| {
            let key = format!("{prefix}.egress.{name}");
            if prefix.is_empty() || !self.values.contains_key(&key) {
                format!("egress.{name}")
            } else {
                key
            }
        };
        EgressSettings {
            proxy: self.text(&own("proxy")),
            ca_file: self.path(&own("ca_file")),
            source_address: self
                .text(&own("source_address"))
                .and_then(|text| text.parse().ok()),
            forbid: self.list(&own("forbid")),
            check_url: self.text(&own("check_url")),
        }
    }

    /// Checks the settings together.
    /// # Errors
    /// A value that is well-formed but cannot be used.
    pub fn check(self) -> Result<Config, ConfigError> {
        let words = self.list("audio.accept");
        let accept = Accept::read(words.iter().map(String::as_str)).unwrap_or_default();
        let (listen, base_path) = self.address();
        if let Some(error) = self.forbids_blindly() {
            return Err(error);
        }
        let missing = |key: &str, what: &str| ConfigError::Value {
            key: key.to_owned(),
            value: String::new(),
            wanted: format!("no {what} folder is known for this user; set `{key}`"),
            from: "defaults".to_owned(),
        };
        let cache_dir = self
            .path("cache.dir")
            .or_else(folders::cache)
            .ok_or_else(|| missing("cache.dir", "cache"))?;
        let state_dir = self
            .path("state.dir")
            .or_else(folders::state)
            .ok_or_else(|| missing("state.dir", "state"))?;
        let named = self
            .path("recipes.file")
            .map(|path| RecipesFile { path, named: true });
        let recipes_file = named.or_else(|| {
            folders::config().map(|dir| RecipesFile {
                path: dir.join("recipes.toml"),
                named: false,
            })
        });
        let sites = Site::NATIVE
            .into_iter()
            .map(|site| {
                let name = site.as_str();
                let site_config = SiteConfig {
                    enabled: self.on(&format!("{name}.enabled")),
                    max_downloads: self.size(&format!("{name}.max_downloads")),
                    egress: self.egress(name),
                };
                (site, site_config)
            })
            .chain([(
                Site::Other,
                SiteConfig {
                    enabled: self.text("engines.ytdlp.sites").as_deref() == Some("any"),
                    max_downloads: 1,
                    egress: self.egress(""),
                },
            )])
            .collect();
        let opus = match self.text("audio.opus").as_deref() {
            Some("aac") => OpusForm::Aac,
            Some("mp3") => OpusForm::Mp3,
            Some("keep") => OpusForm::Keep,
            _ => OpusForm::Vorbis,
        };
        Ok(Config {
            server: ServerConfig {
                listen,
                public_url: self
                    .text("server.public_url")
                    .map(|url| url.trim_end_matches('/').to_owned()),
                base_path,
                tokens_file: self.path("server.tokens_file"),
                names: self
                    .list("server.names")
                    .into_iter()
                    .map(|name| name.to_ascii_lowercase())
                    .collect(),
                trusted_proxies: self.list("server.trusted_proxies"),
                max_connections: self
                    .number("server.max_connections")
                    .and_then(|n| usize::try_from(n).ok()),
                stop_within: self.seconds("server.stop_within").unwrap_or_default(),
            },
            cache: CacheConfig {
                dir: cache_dir,
                client_path: self.text("cache.client_path"),
                max_bytes: self.number("cache.max_bytes").unwrap_or(u64::MAX),
                max_age: self.seconds("cache.max_age"),
                min_free_bytes: self.number("cache.min_free_bytes").unwrap_or(0),
            },
            state_dir,
            sites,
            ytdlp: YtDlpConfig {
                enabled: self.on("engines.ytdlp.enabled"),
                command: self.text("engines.ytdlp.command").unwrap_or_default(),
                max: self.size("engines.ytdlp.max"),
                any_site: self.text("engines.ytdlp.sites").as_deref() == Some("any"),
                cookies_file: self.path("engines.ytdlp.cookies_file"),
                extra_args: self.list("engines.ytdlp.extra_args"),
                timeout: self.seconds("engines.ytdlp.timeout").unwrap_or_default(),
                max_memory: self.number("engines.ytdlp.max_memory").unwrap_or(u64::MAX),
            },
            recipes_file,
            ffmpeg: FfmpegConfig {
                command: self.text("ffmpeg.command").unwrap_or_default(),
                max: self.size("ffmpeg.max"),
            },
            accept,
            opus,
            queue_max_songs: self.size("queue.max_songs"),
            queue_max_downloads: self.size("queue.max_downloads"),
            lists_max_songs: self.size("lists.max_songs"),
            search_site: self
                .text("search.site")
                .and_then(|word| SearchSite::parse(&word))
                .unwrap_or(SearchSite::YouTube),
            webhook: self.text("webhook.url").map(|url| WebhookConfig {
                url,
                secret_file: self.path("webhook.secret_file"),
            }),
            egress_check_url: self.text("egress.check_url"),
            egress_check_every: self
                .seconds("egress.check_every")
                .unwrap_or(Duration::from_secs(300)),
        })
    }
}

/// Dotted keys of a nested table.
fn flatten(table: &toml::Table, prefix: &str, flat: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(table) => flatten(table, &key, flat),
            other => flat.push((key, Value::from_toml(other))),
        }
    }
}

/// Whether there is something of this name, be it a link to nowhere: settings that were written down must not be passed
/// over because they cannot be read. In a folder that is closed to us there is nothing for us.
pub fn is_there(file: &Path) -> bool {
    std::fs::symlink_metadata(file).is_ok()
}

fn not_utf8(error: &std::string::FromUtf8Error) -> String {
    let valid = error.utf8_error().valid_up_to();
    let before = error.as_bytes().get(..valid).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("line {line} is not UTF-8; save the file in UTF-8")
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let own = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let file =
            std::env::temp_dir().join(format!("kmds-config-test-{}.toml", std::process::id()));
        std::fs::write(&file, "").expect("a temporary file");
        RawConfig::read(&Sources {
            file: Some(file),
            environment: own(environment),
            flags: own(flags),
        })?
        .check()
    }

    const FOLDERS: [(&str, &str); 2] = [("cache.dir", "/c"), ("state.dir", "/s")];

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = read(&[], &FOLDERS).expect("valid");
        assert_eq!(config.server.listen, "127.0.0.1:60071");
        assert_eq!(config.cache.max_bytes, 10 << 30);
        assert_eq!(config.cache.min_free_bytes, 512 << 20);
        assert_eq!(config.sites[&Site::YouTube].max_downloads, 2);
        assert_eq!(config.sites[&Site::Bandcamp].max_downloads, 3);
        assert!(!config.sites[&Site::Other].enabled);
        assert_eq!(config.accept, Accept::default());
        assert_eq!(config.queue_max_songs, 10_000);
    }

    #[test]
    fn flags_beat_the_environment_and_a_site_beats_the_common_egress() {
        let config = read(
            &[
                ("KMDS_SERVER__LISTEN", "127.0.0.1:1"),
                ("KMDS_EGRESS__PROXY", "http://p:1"),
                ("KMDS_LOG", "debug"),
            ],
            &[
                ("server.listen", "127.0.0.1:2"),
                ("youtube.egress.proxy", "http://q:2"),
                FOLDERS[0],
                FOLDERS[1],
            ],
        )
        .expect("valid");
        assert_eq!(config.server.listen, "127.0.0.1:2");
        assert_eq!(
            config.sites[&Site::YouTube].egress.proxy.as_deref(),
            Some("http://q:2")
        );
        assert_eq!(
            config.sites[&Site::Bandcamp].egress.proxy.as_deref(),
            Some("http://p:1")
        );
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_suggests() {
        let error = read(&[("KMDS_SERVE__LISTEN", "x")], &FOLDERS).expect_err("unknown");
        assert!(
            error.to_string().contains("did you mean `server.listen`"),
            "{error}"
        );
        let error = read(&[("KMDS_CACHE__MAX_BYTE", "1")], &FOLDERS).expect_err("a slip");
        assert!(
            error.to_string().contains("did you mean `cache.max_bytes`"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_names_key_value_and_what_would_do() {
        let error =
            read(&[], &[("cache.max_bytes", "lots"), FOLDERS[0], FOLDERS[1]]).expect_err("bad");
        let text = error.to_string();
        assert!(
            text.contains("cache.max_bytes") && text.contains("lots") && text.contains("GiB"),
            "{text}"
        );
    }

    #[test]
    fn the_classic_file_is_read() {
        let file = std::env::temp_dir().join(format!("kmds-classic-{}.json", std::process::id()));
        std::fs::write(
            &file,
            r#"{"Debug": false, "WebServer": {"Host": "192.168.1.2", "Port": 60071}}"#,
        )
        .expect("temp");
        let raw = RawConfig::read(&Sources {
            file: Some(file),
            ..Sources::default()
        })
        .expect("valid");
        assert_eq!(
            raw.text("server.listen").as_deref(),
            Some("192.168.1.2:60071")
        );
    }

    #[test]
    fn the_example_file_is_valid_and_changes_nothing() {
        let uncommented: String = example()
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.contains(" = "))
                    .unwrap_or(line)
            })
            .collect::<Vec<_>>()
            .join("\n");
        let table: toml::Table = uncommented.parse().expect("TOML");
        let mut flat = Vec::new();
        flatten(&table, "", &mut flat);
        assert!(flat.len() > 20);
        let mut raw = RawConfig::default();
        for (key, value) in flat {
            raw.set(&key, &value, "example")
                .expect("known and well-formed");
        }
    }
}
