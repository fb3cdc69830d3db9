//! What one job remembers of its attempts at a song, and what that says about the next.
//!
//! Owns the counts that bound them, and which stream goes on where an earlier one stopped. Pure.

use kmds_extract::Track;
use kmds_extract::choose::{Accept, Choice, Treatment};

use crate::store::{Lease, Row};

/// One song's attempts so far.
pub struct Attempts {
    pub track: Track,
    pub accept: Accept,
    pub human_name: String,
    /// Times the site was asked for fresh URLs after some had failed.
    pub asked: u32,
    /// The bytes were thrown away once already.
    pub restarted: bool,
    /// A fresh URL was asked for once because the first was slow.
    pub hurried: bool,
    /// The site was asked for the song again because it served none of its encodings.
    pub looked_again: bool,
}

impl Attempts {
    pub fn new(track: Track, row: Row) -> Self {
        let Row { accept, human_name, .. } = row;
        Self { track, accept, human_name, asked: 0, restarted: false, hurried: false, looked_again: false }
    }
}

/// Whether the bytes kept so far are of one of these streams.
pub fn goes_on(track: &Track, lease: &Lease) -> bool {
    lease.kept().is_none_or(|kept| track.streams.iter().any(|stream| kept.is_of(&stream.validator)))
}

/// The stream whose bytes are kept goes first among those as good for the client: its download goes on. What was only
/// tried because the best would not come does not: the best may come now.
pub fn order_for(choices: &[Choice], lease: &Lease) -> Vec<Choice> {
    let mut choices = choices.to_vec();
    if let Some(kept) = lease.kept() {
        let best = choices.first().and_then(|choice| choice.stream.bitrate_bps).unwrap_or(0);
        let as_good = |choice: &Choice| choice.stream.bitrate_bps.is_none_or(|bitrate| bitrate >= best / 4 * 3);
        let kept_first = |choice: &Choice| {
            choice.treatment == Treatment::Keep && kept.is_of(&choice.stream.validator) && as_good(choice)
        };
        choices.sort_by_key(|choice| !kept_first(choice));
    }
    choices
}
