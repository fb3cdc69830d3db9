//! No song is lost and no unknown client admitted: kills at random moments, stops, full and missing drives, crowds.
//!
//! `cargo test -p kmds --test kill -- --nocapture` prints the seed and the counts, `KMDS_SEED=N` repeats a run; with
//! `--ignored` it runs the long form of the random kills.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../load/mod.rs"]
mod load;

mod again;
mod crowd;
mod drive;
mod mount;
mod parked;
mod random;
mod stop;
