//! Reads recipes: the built-in ones, signed ones over them, and the operator's file over both.
//!
//! Owns which file that is, and the sentences about a file that cannot be used. It does not decide whether recipes come
//! into force.

use std::io::Read;
use std::path::Path;

use kmds_extract::Recipes;

use super::signed::{SettingError, Signed};
use crate::config::{RecipesConfig, is_there};

/// The built-in file has 14 KB; no operator's file needs more than this.
const MOST_BYTES: u64 = 1 << 20;
const BUILT_IN: &str = "built in";

/// Why recipes cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("recipes.file {path}: {why}")]
    File { path: String, why: String },
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// Recipes that may come into force.
#[derive(Debug)]
pub struct Candidate {
    pub recipes: Recipes,
    /// The files they were read from, for people.
    pub from: String,
}

/// The recipes of these settings. Their files may appear and disappear while the service runs.
/// # Errors
/// A file cannot be read, or a value in it cannot be used.
pub fn read(config: &RecipesConfig, signed: Option<&Signed>) -> Result<Candidate, ReadError> {
    let file = operators_file(config);
    let own = file.map(text_of).transpose()?;
    let signed_text = signed.map(|signed| signed.text.as_str());
    let texts: Vec<&str> = signed_text.into_iter().chain(own.as_deref()).collect();
    let names: Vec<String> = signed
        .map(|signed| signed.from.clone())
        .into_iter()
        .chain(file.map(|file| file.display().to_string()))
        .collect();
    // Signed recipes can be used alone, so the file is the problem.
    let blamed = file.unwrap_or(Path::new(BUILT_IN));
    Ok(Candidate {
        recipes: layered(&texts, blamed)?.taking_at_most(config.most_songs),
        from: if names.is_empty() {
            BUILT_IN.to_owned()
        } else {
            names.join(", ")
        },
    })
}

/// The built-in recipes with this file laid over them. Unknown keys only warn.
/// # Errors
/// The file cannot be read, or a value in it cannot be used.
pub fn read_file(file: &Path) -> Result<Recipes, ReadError> {
    layered(&[&text_of(file)?], file)
}

fn layered(texts: &[&str], file: &Path) -> Result<Recipes, ReadError> {
    let (recipes, unknown) =
        Recipes::layered(texts).map_err(|error| unusable(file, error.to_string()))?;
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

fn text_of(file: &Path) -> Result<String, ReadError> {
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MOST_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| {
            unusable(
                file,
                format!("{error}; use the path of a file with recipes"),
            )
        })?;
    if text.len() as u64 > MOST_BYTES {
        let why = format!("it is larger than {MOST_BYTES} bytes, which no recipes are");
        return Err(unusable(file, why));
    }
    Ok(text)
}

fn unusable(file: &Path, why: String) -> ReadError {
    ReadError::File {
        path: file.display().to_string(),
        why,
    }
}
