//! Reads recipes from text.
//!
//! Owns the built-in `recipes.toml` and how an operator's file is laid over it: key by key, tables merged, lists
//! replaced. It reads no file itself, and does not guess: a value of the wrong type is an error that names its key,
//! while an unknown key only warns, so that an old binary can read a newer file.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Recipes, SoundCloudRecipe, YouTubeRecipe, is_client_id, known_header};

const BUILT_IN: &str = include_str!("../recipes.toml");

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipesError {
    #[error("recipes: {0}")]
    Syntax(String),
    #[error("recipes: {key}: {why}")]
    Value { key: String, why: String },
}

impl Recipes {
    /// # Panics
    /// This does not occur in a released build: a test reads the built-in file.
    #[must_use]
    pub fn built_in() -> Self {
        Self::over_built_in("")
            .expect("the built-in recipes are valid")
            .0
    }

    /// Lays `text` over the built-in recipes. Also returns the unknown keys, for a warning.
    /// # Errors
    /// Broken TOML, or a value of the wrong type or out of bounds.
    pub fn over_built_in(text: &str) -> Result<(Self, Vec<String>), RecipesError> {
        Self::layered(&[text])
    }

    /// Lays each of `texts` over the built-in recipes and those before it.
    /// # Errors
    /// As [`Self::over_built_in`].
    pub fn layered(texts: &[&str]) -> Result<(Self, Vec<String>), RecipesError> {
        let mut table: toml::Table = BUILT_IN
            .parse()
            .map_err(|error| RecipesError::Syntax(format!("{error}")))?;
        let mut unknown = Vec::new();
        for text in texts {
            let theirs: toml::Table = text
                .parse()
                .map_err(|error| RecipesError::Syntax(format!("{error}")))?;
            lay_over(&mut table, theirs, "", &mut unknown);
        }
        if let Some(key) = not_a_number(&table, "") {
            return Err(RecipesError::Value {
                key,
                why: "must be a number".to_owned(),
            });
        }
        let recipes: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| RecipesError::Syntax(error.to_string()))?;
        recipes.check()?;
        Ok((recipes, unknown))
    }

    fn check(&self) -> Result<(), RecipesError> {
        check_youtube(&self.youtube)?;
        check_soundcloud(&self.soundcloud)?;
        if self.time.metadata_tries == 0
            || self.time.timeout_tries == 0
            || self.time.audio_tries == 0
        {
            return bad("time", "tries must be at least 1");
        }
        Ok(())
    }
}

fn check_youtube(y: &YouTubeRecipe) -> Result<(), RecipesError> {
    if y.identities.iter().all(|identity| identity.off) {
        return bad("youtube.identities", "none is on");
    }
    if !(1..=y.most_range_bytes).contains(&y.first_range_bytes)
        || !(1..=y.most_range_bytes).contains(&y.range_bytes)
    {
        return bad(
            "youtube.range_bytes",
            "ranges must lie between 1 byte and most_range_bytes",
        );
    }
    if let Some(name) = y
        .identities
        .iter()
        .chain([&y.reel, &y.script.identity])
        .flat_map(|identity| identity.headers.keys())
        .find(|name| known_header(name).is_none())
    {
        return bad(
            "youtube.identities",
            &format!("an identity cannot carry the header {name}"),
        );
    }
    if y.player_tries == 0 || y.list_songs == 0 || y.mix_songs == 0 {
        return bad(
            "youtube",
            "player_tries, list_songs and mix_songs must be at least 1",
        );
    }
    if y.least_range_bytes == 0 {
        return bad("youtube.least_range_bytes", "must be at least 1");
    }
    Ok(())
}

fn check_soundcloud(s: &SoundCloudRecipe) -> Result<(), RecipesError> {
    if !s.client_id.is_empty() && !is_client_id(&s.client_id) {
        return bad(
            "soundcloud.client_id",
            "must be 16 to 64 letters and digits, or empty for none",
        );
    }
    if s.list_songs == 0 {
        return bad("soundcloud.list_songs", "must be at least 1");
    }
    if s.batch == 0 || s.batches_at_once == 0 || s.segments_at_once == 0 {
        return bad(
            "soundcloud.batch",
            "batch, batches_at_once and segments_at_once must be at least 1",
        );
    }
    Ok(())
}

fn bad(key: &str, why: &str) -> Result<(), RecipesError> {
    Err(RecipesError::Value {
        key: key.to_owned(),
        why: why.to_owned(),
    })
}

/// A time as it stands in a file: seconds, with a fraction. Between nothing and a year.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    f64::deserialize(from).map(duration)
}

pub(super) fn each_in_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<Duration>, D::Error> {
    Vec::<f64>::deserialize(from).map(|all| all.into_iter().map(duration).collect())
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0 * 365.0)).unwrap_or_default()
}

/// TOML knows `nan`; no time or limit may be one.
fn not_a_number(table: &toml::Table, path: &str) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let at = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            toml::Value::Float(number) if number.is_nan() => Some(at),
            toml::Value::Table(below) => not_a_number(below, &at),
            toml::Value::Array(items) => items
                .iter()
                .any(|item| item.as_float().is_some_and(f64::is_nan))
                .then_some(at),
            _ => None,
        }
    })
}

fn lay_over(base: &mut toml::Table, theirs: toml::Table, path: &str, unknown: &mut Vec<String>) {
    // Free tables: their keys are facts, not settings of ours.
    let free = matches!(
        path,
        "youtube.reasons"
            | "youtube.reel.client"
            | "youtube.reel.headers"
            | "youtube.reel.body"
            | "youtube.script.identity.client"
            | "youtube.script.identity.headers"
            | "youtube.script.identity.body"
    );
    for (key, value) in theirs {
        let at = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(table)) => {
                lay_over(below, table, &at, unknown)
            }
            (Some(have), value) => *have = value,
            (None, value) => {
                if free {
                    base.insert(key, value);
                } else {
                    unknown.push(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_text_lies_over_an_earlier_one_key_by_key() {
        let texts = [
            "date = \"2031-01-01\"\n[time]\nconnect = 1.0\naudio_stall = 2.0\n",
            "[time]\naudio_stall = 3.0\n",
        ];
        let (recipes, _) = Recipes::layered(&texts).expect("valid");
        assert_eq!(recipes.date, "2031-01-01");
        let seconds = Duration::from_secs;
        assert_eq!(
            (recipes.time.connect, recipes.time.audio_stall),
            (seconds(1), seconds(3))
        );
    }

    #[test]
    fn the_built_in_recipes_are_valid_and_dated() {
        let recipes = Recipes::built_in();
        assert_eq!(recipes.date.len(), 10);
        assert!(!recipes.youtube.identities.is_empty());
    }

    #[test]
    fn an_operators_file_changes_only_what_it_names() {
        let (recipes, unknown) =
            Recipes::over_built_in("[time]\naudio_stall = 0.5\n[youtube]\nnew_thing = 1\n")
                .expect("valid");
        assert_eq!(recipes.time.audio_stall, Duration::from_millis(500));
        assert_eq!(recipes.time.connect, Recipes::built_in().time.connect);
        assert_eq!(unknown, ["youtube.new_thing"]);
    }

    #[test]
    fn the_client_with_a_script_can_be_changed_and_switched_off() {
        let text = "[youtube.script.identity]\noff = true\n\
                    [youtube.script.identity.client]\ntvAppInfo = 'x'\n";
        let (recipes, unknown) = Recipes::over_built_in(text).expect("valid");
        assert!(unknown.is_empty(), "{unknown:?}");
        let identity = &recipes.youtube.script.identity;
        assert!(identity.off && identity.client.contains_key("tvAppInfo"));
    }

    #[test]
    fn a_time_is_told_in_seconds_and_lies_between_nothing_and_a_year() {
        let text = "[time]\nconnect = 2\naudio_stall = -1.0\nlimit_wait = inf\naudio_pauses = [0.25, 1e300]\n";
        let times = Recipes::over_built_in(text).expect("valid").0.time;
        let year = Duration::from_secs(86_400 * 365);
        assert_eq!(times.connect, Duration::from_secs(2));
        assert_eq!(
            (times.audio_stall, times.limit_wait),
            (Duration::ZERO, year)
        );
        assert_eq!(times.audio_pauses, [Duration::from_millis(250), year]);
    }

    #[test]
    fn a_wrong_type_is_refused() {
        assert!(Recipes::over_built_in("[soundcloud]\nclient_id = 'no id'\n").is_err());
        assert!(Recipes::over_built_in("[time]\naudio_stall = 'soon'\n").is_err());
        assert!(Recipes::over_built_in("[youtube]\nidentities = []\n").is_err());
        assert!(
            Recipes::over_built_in("[youtube.reel.headers]\nHost = 'other.example'\n").is_err()
        );
        for text in [
            "[time]\naudio_stall = nan\n",
            "[time]\nretry_pauses = [0.5, nan]\n",
        ] {
            let refusal = Recipes::over_built_in(text)
                .expect_err("not a number")
                .to_string();
            assert!(
                refusal.contains("time.") && refusal.contains("must be a number"),
                "{refusal}"
            );
        }
    }
}
