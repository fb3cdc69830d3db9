//! YouTube's player script, run by a child.
//!
//! Owns the process that runs a site's JavaScript: its sandbox ([`cage`]), its limits, and the scripts that are kept
//! for it ([`keep`]). No script runs in the service itself.

mod cage;
mod keep;

use std::time::Duration;

pub use cage::{CageError, enter, speaks_first};
pub use keep::{Solver, newest};
pub use kmds_player::{Answers, Bounds, MAX_SCRIPT_BYTES, PlayerError, Prepared, Questions};

/// Processor time that the script may use, from the start of the process. Preparing takes 0.3 to 0.5 s on two shared
/// cores, solving some hundredths; a machine may be ten times slower.
const PROCESSOR: Duration = Duration::from_secs(5);
/// Wall-clock time, since a loaded machine may need more.
pub const WALL: Duration = Duration::from_secs(20);
/// Memory of the engine; a pruned script takes some 2 MB.
const ENGINE_BYTES: usize = 64 << 20;

/// The limits of a script in this process, inside the sandbox.
#[must_use]
pub fn bounds() -> Bounds {
    Bounds {
        memory_bytes: ENGINE_BYTES,
        until: PROCESSOR,
        clock: cage::processor_time,
    }
}
