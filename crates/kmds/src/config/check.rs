//! From raw settings to one [`Config`].
//!
//! Owns what settings mean together: the default of a folder that is not given, the settings of one site, and
//! combinations that cannot be used. It creates no folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmds_extract::Site;

use super::settings::{self as keys, SITES};
use super::{
    CacheConfig, Config, ConfigError, EgressSettings, FfmpegConfig, RawConfig, ServerConfig,
    SiteConfig, WebhookConfig, YtDlpConfig, folders,
};

impl RawConfig {
    /// Checks the settings together.
    /// # Errors
    /// A value that is well-formed but cannot be used.
    pub fn check(self) -> Result<Config, ConfigError> {
        self.refuse_forbid_without_check()?;
        let sites = self.sites()?;
        let enabled = sites.iter().filter(|(_, site)| site.enabled);
        let enabled: Vec<Site> = enabled.map(|(site, _)| *site).collect();
        Ok(Config {
            server: self.server()?,
            cache: self.cache()?,
            state_dir: folder(self.get(&keys::STATE_DIR)?, folders::state, "state")?,
            library_dir: self.library()?,
            ytdlp: self.ytdlp()?,
            recipes: self.recipes(&enabled)?,
            cluster: self.cluster(!enabled.is_empty())?,
            sites,
            ffmpeg: FfmpegConfig {
                command: self.get(&keys::FFMPEG_COMMAND)?,
                max: self.get(&keys::FFMPEG_MAX)?,
            },
            accept: self.get(&keys::AUDIO_ACCEPT)?,
            opus: self.get(&keys::AUDIO_OPUS)?,
            queue_max_songs: self.get(&keys::QUEUE_MAX_SONGS)?,
            queue_max_downloads: self.get(&keys::QUEUE_MAX_DOWNLOADS)?,
            lists_max_songs: self.get(&keys::LISTS_MAX_SONGS)?,
            lists_prefetch: self.get(&keys::LISTS_PREFETCH)?,
            search_site: self.get(&keys::SEARCH_SITE)?,
            webhook: self.webhook()?,
            egress_check_url: self.get(&keys::EGRESS_CHECK_URL)?,
            egress_check_every: self.get(&keys::EGRESS_CHECK_EVERY)?,
        })
    }

    fn server(&self) -> Result<ServerConfig, ConfigError> {
        let (listen, base_path) = self.address()?;
        let public_url = self.get(&keys::PUBLIC_URL)?;
        let names = self.get(&keys::NAMES)?;
        Ok(ServerConfig {
            listen,
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
            base_path,
            tokens_file: self.get(&keys::TOKENS_FILE)?,
            nodes_token_file: self.nodes_token_file()?,
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            allow: self.get(&keys::ALLOW)?,
            trusted_proxies: self.get(&keys::TRUSTED_PROXIES)?,
            link_lifetime: self.get(&keys::LINK_LIFETIME)?,
            rate_limit: Some(self.get(&keys::RATE_LIMIT)?).filter(|limit| *limit > 0),
            rate_limit_near: Some(self.get(&keys::RATE_LIMIT_NEAR)?).filter(|limit| *limit > 0),
            max_connections: self.get(&keys::MAX_CONNECTIONS)?,
            own_covers: self.get(&keys::COVERS_OWN)?,
            stop_within: self.get(&keys::STOP_WITHIN)?,
        })
    }

    fn cache(&self) -> Result<CacheConfig, ConfigError> {
        Ok(CacheConfig {
            dir: folder(self.get(&keys::CACHE_DIR)?, folders::cache, "cache")?,
            client_path: self.get(&keys::CACHE_CLIENT_PATH)?,
            max_bytes: self.get(&keys::CACHE_MAX_BYTES)?,
            max_age: self.get(&keys::CACHE_MAX_AGE)?,
            min_free_bytes: self.get(&keys::CACHE_MIN_FREE_BYTES)?,
        })
    }

    /// KMDS would evict files of a library inside the cache, and a music server would watch a cache inside a library.
    fn library(&self) -> Result<Option<PathBuf>, ConfigError> {
        let Some(library) = self.get(&keys::LIBRARY_DIR)? else {
            return Ok(None);
        };
        let own = [
            ("cache.dir", self.cache()?.dir),
            (
                "state.dir",
                folder(self.get(&keys::STATE_DIR)?, folders::state, "state")?,
            ),
        ];
        for (key, dir) in own {
            let overlap =
                |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
            // A symbolic link may lead from one into the other.
            if overlap(&library, &dir) || overlap(&real(&library), &real(&dir)) {
                let setting = keys::LIBRARY_DIR.setting.key;
                let given = self.values.get(setting);
                return Err(ConfigError::Value {
                    key: setting.to_owned(),
                    value: library.display().to_string(),
                    wanted: format!(
                        "use a folder apart from {key} ({}): neither may lie in the other",
                        dir.display()
                    ),
                    from: given.map_or_else(|| "defaults".to_owned(), |(_, from)| from.clone()),
                });
            }
        }
        Ok(Some(library))
    }

    fn sites(&self) -> Result<BTreeMap<Site, SiteConfig>, ConfigError> {
        let mut sites = BTreeMap::new();
        for (site, enabled, max_downloads) in SITES {
            let config = SiteConfig {
                enabled: self.get(&enabled)?,
                max_downloads: self.get(&max_downloads)?,
                egress: self.egress(Some(site))?,
            };
            sites.insert(site, config);
        }
        let other = SiteConfig {
            enabled: self.takes_any_site()?,
            max_downloads: 1,
            egress: self.egress(None)?,
        };
        sites.insert(Site::Other, other);
        Ok(sites)
    }

    fn takes_any_site(&self) -> Result<bool, ConfigError> {
        Ok(self.get(&keys::YTDLP_SITES)? == "any")
    }

    fn ytdlp(&self) -> Result<YtDlpConfig, ConfigError> {
        Ok(YtDlpConfig {
            enabled: self.get(&keys::YTDLP_ENABLED)?,
            command: self.get(&keys::YTDLP_COMMAND)?,
            max: self.get(&keys::YTDLP_MAX)?,
            any_site: self.takes_any_site()?,
            cookies_file: self.get(&keys::YTDLP_COOKIES_FILE)?,
            extra_args: self.get(&keys::YTDLP_EXTRA_ARGS)?,
            timeout: self.get(&keys::YTDLP_TIMEOUT)?,
            max_memory: self.get(&keys::YTDLP_MAX_MEMORY)?,
        })
    }

    fn webhook(&self) -> Result<Option<WebhookConfig>, ConfigError> {
        let secret_file = self.get(&keys::WEBHOOK_SECRET_FILE)?;
        let url = self.get(&keys::WEBHOOK_URL)?;
        Ok(url.map(|url| WebhookConfig { url, secret_file }))
    }

    fn egress(&self, site: Option<Site>) -> Result<EgressSettings, ConfigError> {
        Ok(EgressSettings {
            proxy: self.get_for(site, &keys::EGRESS_PROXY)?,
            ca_file: self.get_for(site, &keys::EGRESS_CA_FILE)?,
            source_address: self.get_for(site, &keys::EGRESS_SOURCE_ADDRESS)?,
            forbid: self.get_for(site, &keys::EGRESS_FORBID)?,
            check_url: self.get_for(site, &keys::EGRESS_CHECK_URL)?,
        })
    }

    /// `egress.forbid` is compared with the answer of `egress.check_url`: without the answer it would forbid nothing.
    fn refuse_forbid_without_check(&self) -> Result<(), ConfigError> {
        let common = keys::EGRESS_FORBID.setting.key;
        for site in [None].into_iter().chain(Site::NATIVE.map(Some)) {
            let own = site.map_or(common.to_owned(), |site| {
                format!("{}.{common}", site.as_str())
            });
            let egress = self.egress(site)?;
            let given = self.values.get(&own).or_else(|| self.values.get(common));
            if let Some((value, from)) = given
                && !egress.forbid.is_empty()
                && egress.check_url.is_none()
            {
                return Err(ConfigError::Value {
                    key: own,
                    value: value.to_string(),
                    wanted: "set egress.check_url too, to a URL that answers with the address it was asked from: \
                             without it KMDS does not know which address the sites see, and forbids nothing"
                        .to_owned(),
                    from: from.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut above = path.ancestors();
    let found = above.find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = found else {
        return path.to_owned();
    };
    path.strip_prefix(above)
        .map_or(real.clone(), |rest| real.join(rest))
}

/// A folder: the given one, else the user's own.
fn folder(
    given: Option<PathBuf>,
    own: fn() -> Option<PathBuf>,
    name: &str,
) -> Result<PathBuf, ConfigError> {
    let key = format!("{name}.dir");
    given.or_else(own).ok_or_else(|| ConfigError::Value {
        wanted: format!("no {name} folder is known for this user; set `{key}`"),
        key,
        value: String::new(),
        from: "defaults".to_owned(),
    })
}
