//! The fault matrix: every fault of the lab, on every site, on pages and on audio, as a client meets it.
//!
//! The outcome of each cell comes from the field notes' failure tables (YouTube 3.4 and 5, SoundCloud 15, Bandcamp 17)
//! and from `docs/api.md`. In every cell: the answer comes in time, the number of requests to the site is bounded, no
//! file under a final name is incomplete, kept bytes are true bytes, and when the fault is over the same link brings
//! the song. The matrix prints itself: `cargo test -p kmds --test faults -- --nocapture`.

#[path = "../harness/mod.rs"]
mod harness;

mod asked;
mod cell;
mod limits;
mod lists;
mod matrix;
mod place;
mod survived;
mod table;
mod youtube;
