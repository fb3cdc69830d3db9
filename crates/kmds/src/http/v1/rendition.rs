//! The renditions that a client may name.

use super::super::error::Refusal;
use crate::app::CopyForm;

/// A rendition by its name; `-tagged` may follow it, as in the names of listed copies.
/// # Errors
/// `bad_request`: no rendition has this name.
pub(super) fn parse(word: &str) -> Result<CopyForm, Refusal> {
    CopyForm::parse(word).ok_or_else(|| {
        Refusal::bad_request(
            "no rendition is called that; use one of original, m4a, mp3, ogg, opus, flac, wav",
        )
    })
}
