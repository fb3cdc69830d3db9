//! YouTube's player script, run by a child.
//!
//! Owns the process that runs a site's JavaScript: its cage ([`cage`]), its bounds, and the scripts that are kept for it
//! ([`keep`]). Hides system calls. Never runs a script in the service itself.

mod cage;
mod keep;

use std::time::Duration;

pub use cage::{CageError, enter, speaks_first};
pub use keep::{Solver, newest};
pub use kmds_player::{Answers, Bounds, MAX_SCRIPT_BYTES, PlayerError, Prepared, Questions};

/// Processor time that the script may use, from the start of the process. Preparing takes 0.3 to 0.5 s on two shared
/// cores, solving some hundredths; a machine may be ten times slower.
const PROCESSOR: Duration = Duration::from_secs(5);
/// By the clock on the wall, which a loaded machine may need.
pub const WALL: Duration = Duration::from_secs(20);
/// Of the engine; a pruned script takes some 2 MB.
const ENGINE_BYTES: usize = 64 << 20;

/// What a script may take in this process, once it is caged.
#[must_use]
pub fn bounds() -> Bounds {
    Bounds {
        memory_bytes: ENGINE_BYTES,
        until: PROCESSOR,
        clock: cage::processor_time,
    }
}
