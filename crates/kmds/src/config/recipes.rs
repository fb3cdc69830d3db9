//! Where the recipes come from, and which checks they must pass before they are used: `recipes.*`.

use std::path::PathBuf;
use std::time::Duration;

use kmds_extract::{Link, Site};

use super::raw::RawConfig;
use super::settings as keys;
use super::typed::Key;
use super::{ConfigError, folders};

/// Where the recipes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipesConfig {
    pub file: Option<RecipesFile>,
    /// Songs of enabled sites with which new recipes are tested, one for each site.
    pub canary: Vec<Link>,
    pub signed: Option<SignedRecipes>,
    /// `lists.max_songs`, which overrides the recipes.
    pub most_songs: usize,
}

/// Recipes from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecipes {
    pub url: String,
    /// Base64.
    pub key: String,
    /// `None`: only when a reload is asked for.
    pub every: Option<Duration>,
}

/// The operator's own file, read at the start and by each reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipesFile {
    pub path: PathBuf,
    /// Whether a setting names the file. The file in the config folder may be absent: then the built-in recipes are
    /// used.
    pub named: bool,
}

impl RawConfig {
    pub(super) fn recipes(&self, enabled: &[Site]) -> Result<RecipesConfig, ConfigError> {
        Ok(RecipesConfig {
            file: self.recipes_file()?,
            canary: self.canary(enabled)?,
            signed: self.signed_recipes()?,
            most_songs: self.get(&keys::LISTS_MAX_SONGS)?,
        })
    }

    fn recipes_file(&self) -> Result<Option<RecipesFile>, ConfigError> {
        let named = self.get(&keys::RECIPES_FILE)?;
        let named = named.map(|path| RecipesFile { path, named: true });
        Ok(named.or_else(|| {
            let path = folders::config()?.join("recipes.toml");
            Some(RecipesFile { path, named: false })
        }))
    }

    fn canary(&self, enabled: &[Site]) -> Result<Vec<Link>, ConfigError> {
        let bad = |value: &str, wanted: String| self.refused(&keys::RECIPES_CANARY, value, wanted);
        let mut links: Vec<Link> = Vec::new();
        for text in self.get(&keys::RECIPES_CANARY)? {
            let link = Link::parse(&text).map_err(|error| bad(&text, error.to_string()))?;
            if link.is_list() {
                return Err(bad(&text, "name a song, no list".to_owned()));
            }
            let site = link.site();
            if links.iter().any(|other| other.site() == site) {
                return Err(bad(&text, format!("name one song of {site}, not two")));
            }
            links.push(link);
        }
        links.retain(|link| enabled.contains(&link.site()));
        Ok(links)
    }

    fn signed_recipes(&self) -> Result<Option<SignedRecipes>, ConfigError> {
        let Some(url) = self.get(&keys::RECIPES_URL)? else {
            return Ok(None);
        };
        let Some(key) = self.get(&keys::RECIPES_KEY)? else {
            let wanted =
                "set recipes.key too: what comes from the network is taken only with a signature";
            return Err(self.refused(&keys::RECIPES_URL, &url, wanted.to_owned()));
        };
        let hours = self.get(&keys::RECIPES_HOURS)?;
        let every = (hours > 0).then(|| Duration::from_secs(hours.saturating_mul(3600)));
        Ok(Some(SignedRecipes { url, key, every }))
    }

    fn refused<T>(&self, key: &Key<T>, value: &str, wanted: String) -> ConfigError {
        let key = key.setting.key;
        let from = self.values.get(key).map(|(_, from)| from.clone());
        ConfigError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            wanted,
            from: from.unwrap_or_else(|| "defaults".to_owned()),
        }
    }
}
