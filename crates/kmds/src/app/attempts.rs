//! What one job remembers of its attempts at a song, and what that says about the next.
//!
//! Owns the counts that bound them, and which stream goes on where an earlier one stopped. Pure.

use kmds_extract::Track;
use kmds_extract::choose::{Accept, Choice, Treatment};

use crate::store::{Lease, Row};

/// Fresh URLs that must be refused at the same byte in mid-file, beside the first one, before it is taken for a wall.
const FRESH_URLS_AT_A_WALL: u32 = 2;

/// One song's attempts so far.
pub struct Attempts {
    pub track: Track,
    pub accept: Accept,
    pub human_name: String,
    /// Times the site was asked for fresh URLs after some had failed.
    pub asked: u32,
    /// The byte that was refused last, and how often.
    refused: Option<(u64, u32)>,
    /// Clients whose audio ended at a wall.
    pub walled: Vec<String>,
    /// The bytes were thrown away once already.
    pub restarted: bool,
    /// A fresh URL was asked for once because the first was slow.
    pub hurried: bool,
    /// The site was asked for the song again because it served none of its encodings.
    pub looked_again: bool,
}

impl Attempts {
    pub fn new(track: Track, row: Row) -> Self {
        let Row {
            accept, human_name, ..
        } = row;
        Self {
            track,
            accept,
            human_name,
            asked: 0,
            refused: None,
            walled: Vec::new(),
            restarted: false,
            hurried: false,
            looked_again: false,
        }
    }

    /// Nothing was tried yet that a new start would have to try again.
    pub const fn is_fresh(&self) -> bool {
        self.asked == 0
            && self.refused.is_none()
            && self.walled.is_empty()
            && !self.restarted
            && !self.hurried
    }

    /// A URL was refused from byte `at` on, where at most `times` fresh ones are worth asking for. Whether that is a wall:
    /// an expired URL has a successor that goes on. Another client's first URL need not be renewed to tell.
    pub fn meets_wall(&mut self, at: u64, times: u32) -> bool {
        let before = self
            .refused
            .filter(|(byte, _)| *byte == at)
            .map_or(0, |(_, count)| count);
        self.refused = Some((at, before + 1));
        let enough = if !self.walled.is_empty() || at == 0 {
            1
        } else {
            FRESH_URLS_AT_A_WALL
        };
        before >= enough || self.asked >= times
    }
}

/// Whether the bytes kept so far are of one of these streams.
pub fn goes_on(track: &Track, lease: &Lease) -> bool {
    lease.kept().is_none_or(|kept| {
        track
            .streams
            .iter()
            .any(|stream| kept.is_of(&stream.validator))
    })
}

/// The stream whose bytes are kept goes first among those as good for the client: its download goes on. What was only
/// tried because the best would not come does not: the best may come now.
pub fn order_for(choices: &[Choice], lease: &Lease) -> Vec<Choice> {
    let mut choices = choices.to_vec();
    if let Some(kept) = lease.kept() {
        let best = choices
            .first()
            .and_then(|choice| choice.stream.bitrate_bps)
            .unwrap_or(0);
        let as_good = |choice: &Choice| {
            choice
                .stream
                .bitrate_bps
                .is_none_or(|bitrate| bitrate >= best / 4 * 3)
        };
        let kept_first = |choice: &Choice| {
            choice.treatment == Treatment::Keep
                && kept.is_of(&choice.stream.validator)
                && as_good(choice)
        };
        choices.sort_by_key(|choice| !kept_first(choice));
    }
    choices
}
