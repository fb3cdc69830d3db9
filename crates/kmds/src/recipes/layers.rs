//! Reads recipes: the built-in ones, and the operator's file laid over them.
//!
//! Owns which file that is and the sentences about one that cannot be used. Hides TOML. Never decides whether what was read
//! comes into force.

use std::io::Read;
use std::path::Path;

use kmds_extract::Recipes;

use crate::config::{RecipesConfig, is_there};

/// The built-in file has 14 KB; no operator's file needs more than this.
const MOST_BYTES: u64 = 1 << 20;
const BUILT_IN: &str = "built in";

/// Why recipes cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("recipes.file {path}: {why}")]
    File { path: String, why: String },
}

/// Recipes that may come into force.
#[derive(Debug)]
pub struct Candidate {
    pub recipes: Recipes,
    /// The files they were read from, for people.
    pub from: String,
}

/// The recipes of these settings. Their files come and go while the service runs.
/// # Errors
/// A file cannot be read, or a value in it cannot be used.
pub fn read(config: &RecipesConfig) -> Result<Candidate, ReadError> {
    let file = operators_file(config);
    let (recipes, from) = match file {
        Some(file) => (read_file(file)?, file.display().to_string()),
        None => (Recipes::built_in(), BUILT_IN.to_owned()),
    };
    Ok(Candidate {
        recipes: recipes.taking_at_most(config.most_songs),
        from,
    })
}

/// The built-in recipes with this file laid over them. Unknown keys only warn.
/// # Errors
/// The file cannot be read, or a value in it cannot be used.
pub fn read_file(file: &Path) -> Result<Recipes, ReadError> {
    let bad = |why: String| ReadError::File {
        path: file.display().to_string(),
        why,
    };
    let text = text_of(file).map_err(bad)?;
    let (recipes, unknown) =
        Recipes::over_built_in(&text).map_err(|error| bad(error.to_string()))?;
    for key in unknown {
        tracing::warn!("recipes: the key `{key}` is unknown and ignored");
    }
    Ok(recipes)
}

/// The file that a setting names, or the one of the config folder, if it is there now.
fn operators_file(config: &RecipesConfig) -> Option<&Path> {
    let file = config
        .file
        .as_ref()
        .filter(|file| file.named || is_there(&file.path))?;
    Some(&file.path)
}

fn text_of(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
    opened
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!(
            "it is larger than {MOST_BYTES} bytes, which no recipes are"
        ));
    }
    Ok(text)
}
