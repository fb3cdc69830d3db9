//! MP4: boxes within boxes (ISO 14496-12).
//!
//! Owns the walk that shows a file or an HLS piece to be whole, writing the durations into an init piece, and taking
//! the audio out of a muxed file. No sample is changed.

mod audio_only;
mod boxes;
mod check;
mod movie;
mod patch;

pub use audio_only::extract_audio;
pub(crate) use boxes::{BoxAt, first_fragment};
pub(super) use check::{walk, walk_segment};
pub use patch::patch_durations;
