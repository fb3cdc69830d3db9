//! The note about refused recipes, for `kmds doctor`, which runs beside the service.
//!
//! Owns one small file in the state folder. It exists from a refused reload until a reload succeeds, or until the next
//! start.

use std::path::{Path, PathBuf};

const NAME: &str = "recipes.refused";

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// Why the last reload of the service with this state folder was refused.
#[must_use]
pub fn last_refusal(state_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file(state_dir)).ok()?;
    Some(text.lines().next()?.to_owned())
}

/// Writes the note, or removes it. An error is ignored: other code reports a state folder that cannot be written.
pub(super) fn keep(state_dir: &Path, sentence: Option<&str>) {
    let note = file(state_dir);
    let kept = match sentence {
        Some(sentence) => std::fs::write(&note, format!("{sentence}\n")),
        None => match std::fs::remove_file(&note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    if let Err(error) = kept {
        tracing::debug!(%error, "the note about refused recipes could not be written");
    }
}
