//! Settings: read once, checked whole.
//!
//! Owns the way from a TOML file, `KMDS_*` variables and flags to one [`Config`], whose parts the modules get. An error
//! names the key, the value, its source, and a value that would work. This module never uses the network and creates no
//! folder.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `settings`, `typed` | the table of settings; the type of each value |
//! | `example` | the commented example file |
//! | `value`, `path` | how a value is read from text; what `~` means in a path |
//! | `file` | a settings file, TOML or the classic service's JSON, as keys and values |
//! | `variables` | which environment variables are settings, and which only look like one |
//! | `raw` | all sources of settings, in their order |
//! | `check` | from there to [`Config`] |
//! | `cluster`, `cluster_token` | a node among others; the secret of all nodes |
//! | `recipes` | where the recipes come from |
//! | `error`, `folders` | why settings cannot be used; the user's folders |

mod check;
mod cluster;
mod cluster_token;
mod error;
mod example;
mod file;
pub mod folders;
mod path;
mod raw;
mod recipes;
mod settings;
mod typed;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use kmds_extract::Site;
use kmds_extract::choose::Accept;
use kmds_extract::search::SearchSite;

pub use cluster::{ClusterConfig, NodeAddress};
pub use cluster_token::ClusterToken;
pub use error::ConfigError;
pub use example::example;
pub use file::is_there;
pub use path::given as given_path;
pub use raw::{RawConfig, Sources};
pub use recipes::{RecipesConfig, RecipesFile, SignedRecipes};
pub use settings::SETTINGS;
pub use typed::Setting;
pub use variables::ignored;

/// All settings. Paths are absolute; nothing is created yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: ServerConfig,
    pub cache: CacheConfig,
    pub state_dir: PathBuf,
    /// The folder of a music library, beside the cache.
    pub library_dir: Option<PathBuf>,
    pub sites: BTreeMap<Site, SiteConfig>,
    pub ytdlp: YtDlpConfig,
    pub recipes: RecipesConfig,
    pub ffmpeg: FfmpegConfig,
    pub accept: Accept,
    pub opus: OpusForm,
    pub queue_max_songs: usize,
    pub queue_max_downloads: usize,
    pub lists_max_songs: usize,
    /// Songs of a list that are queued at once.
    pub lists_prefetch: usize,
    /// The site that is searched when the client names none.
    pub search_site: SearchSite,
    pub webhook: Option<WebhookConfig>,
    pub egress_check_url: Option<String>,
    pub egress_check_every: Duration,
    /// `None`: a host of its own.
    pub cluster: Option<ClusterConfig>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// `ADDRESS:PORT`, or `unix:/path`.
    pub listen: String,
    pub public_url: Option<String>,
    /// Starts with `/` and does not end with one; empty for none.
    pub base_path: String,
    pub tokens_file: Option<PathBuf>,
    /// The file with the secret that the nodes of a cluster show each other.
    pub nodes_token_file: Option<PathBuf>,
    pub names: Vec<String>,
    /// Networks that are served like near ones.
    pub allow: Vec<IpNet>,
    pub trusted_proxies: Vec<String>,
    /// Requests a minute of a token or an address, from outside the near networks; `None` for any number.
    pub rate_limit: Option<u64>,
    /// The same from inside.
    pub rate_limit_near: Option<u64>,
    /// How long a signed address can be opened.
    pub link_lifetime: Duration,
    /// `None`: what the limit of open files allows, at most 4,096.
    pub max_connections: Option<usize>,
    /// Covers in replies are addresses of this service.
    pub own_covers: bool,
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

/// What a song that exists as Opus only is converted to, for a client that does not play Opus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpusForm {
    Vorbis,
    Aac,
    Mp3,
    Keep,
}

impl OpusForm {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "vorbis" => Some(Self::Vorbis),
            "aac" => Some(Self::Aac),
            "mp3" => Some(Self::Mp3),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }
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
    fn a_canary_is_one_song_a_site_that_is_taken() {
        let canary = |links: &str| {
            let read = read(
                &[
                    ("KMDS_RECIPES__CANARY", links),
                    ("KMDS_BANDCAMP__ENABLED", "false"),
                ],
                &FOLDERS,
            );
            read.map(|config| config.recipes.canary.len())
                .map_err(|error| error.to_string())
        };
        let (song, list) = (
            "https://youtu.be/M4gD1WSo5mA",
            "https://a.bandcamp.com/album/b",
        );
        assert_eq!(canary(""), Ok(0));
        assert_eq!(canary(song), Ok(1));
        assert_eq!(
            canary(&format!("{song},https://a.bandcamp.com/track/b")),
            Ok(1),
            "of a site that is switched off nothing is asked"
        );
        for bad in [
            list,
            "no link",
            &format!("{song},https://youtu.be/M4gD1WSo5mB"),
        ] {
            let refused = canary(bad).expect_err(bad);
            assert!(refused.contains("recipes.canary"), "{refused}");
        }
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
        let listen = raw.get(&settings::LISTEN);
        assert_eq!(listen.as_deref(), Ok("192.168.1.2:60071"));
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
        let given = file::read_toml(&uncommented, "example").expect("TOML");
        assert!(given.len() > 20);
        RawConfig::default()
            .set_all(given, "example")
            .expect("known and well-formed");
    }

    #[test]
    fn every_word_that_the_table_allows_is_read() {
        for setting in SETTINGS {
            let words = match setting.shape {
                value::Shape::Word(words) | value::Shape::Words(words) => words,
                _ => continue,
            };
            for word in words {
                read(&[], &[(setting.key, word), FOLDERS[0], FOLDERS[1]])
                    .unwrap_or_else(|error| panic!("{}: {error}", setting.key));
            }
        }
    }
}
