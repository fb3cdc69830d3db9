//! No song is lost and no stranger let in: kills at random moments, stops, full and vanishing drives, a crowd at the door.
//!
//! `cargo test -p kmds --test kill -- --nocapture` tells the seed and the counts, `KMDS_SEED=N` throws the same dice
//! again; with `--ignored` it is the long form of the random kills.

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
