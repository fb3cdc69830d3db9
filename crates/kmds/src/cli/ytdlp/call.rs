//! One call of yt-dlp's command line, as a value.
//!
//! Owns what such a call may ask for. `options` reads it from the arguments, `table` says which option sets what.

use kmds_extract::Format as FileFormat;

use super::items::Items;

/// When a line of `--print` is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Video,
    AfterMove,
    Playlist,
}

/// The JSON that a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dump {
    #[default]
    None,
    /// `-j`: a line for each song.
    Songs,
    /// `-J`: a line for each link.
    Links,
}

/// `--get-…`, in the order in which they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Get {
    Title,
    Id,
    Url,
    Thumbnail,
    Description,
    FileName,
    Duration,
    Format,
}

/// One call.
#[derive(Debug, Default)]
pub struct Call {
    pub links: Vec<String>,
    pub version: bool,
    pub help: bool,
    pub dump: Dump,
    /// `--print-json`: the JSON, and the download.
    pub dump_and_keep: bool,
    pub list_formats: bool,
    pub flat: bool,
    pub format: Option<String>,
    pub items: Items,
    pub most: Option<usize>,
    pub one_song: bool,
    pub gets: Vec<Get>,
    pub prints: Vec<(When, String)>,
    /// The text for an unknown field.
    pub missing: Option<String>,
    pub output: Option<String>,
    pub folder: Option<String>,
    pub restrict_names: bool,
    pub overwrites: bool,
    pub extract_audio: bool,
    pub audio_format: Option<FileFormat>,
    pub tags: bool,
    pub quiet: Option<bool>,
    pub no_warnings: bool,
    pub simulate: Option<bool>,
    pub skip_download: bool,
    pub stop_at_failure: bool,
    pub default_search: Option<String>,
    pub proxy: Option<String>,
    /// Options that have no effect here although the caller may count on them.
    pub without_effect: Vec<String>,
}

/// Why a call cannot be read. yt-dlp's words.
#[derive(Debug, PartialEq, Eq)]
pub struct BadCall(pub String);
