//! Calls that a drive refuses for a moment: tried again, in the thread that makes them.
//!
//! Owns which errors a network drive gives while it is busy, and for how long a call is repeated. A call blocks its
//! thread for up to two seconds, so no caller may hold the catalog or be on the thread of the tasks.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// Pauses between the tries of a call when the drive is busy: SMB needs a moment after a file was closed.
const BUSY_PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
];

/// A network drive's answer about a file can be out of date: asked again, it gives a new one. If a program on the
/// drive's own machine holds a lease on a file, the drive gets it back in a moment.
pub(super) fn again_if_stale<T>(deed: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let first = deed();
    match first.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::STALE) => deed(),
        Some(Errno::AGAIN) => patiently(&deed),
        _ => first,
    }
}

/// Whether the drive may accept later what it refuses now. Drives that lock open files report this in three ways.
pub(super) fn is_busy(error: &io::Error) -> bool {
    let busy = [Errno::BUSY, Errno::TXTBSY, Errno::ACCESS, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| busy.contains(&errno))
}

/// Tries a call again, for less than two seconds, while the drive is busy. Never call it while you hold the catalog.
pub(super) fn patiently<T>(deed: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_if(is_busy, deed)
}

/// The same, with the caller's own test for "busy".
pub(super) fn patiently_if<T, E>(
    is_busy: impl Fn(&E) -> bool,
    mut deed: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for pause in BUSY_PAUSES {
        match deed() {
            Err(error) if is_busy(&error) => std::thread::sleep(pause),
            done => return done,
        }
    }
    deed()
}
