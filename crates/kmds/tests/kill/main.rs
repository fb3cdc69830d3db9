//! Nothing lost, nobody in: kills at random moments, stops, full and vanishing drives, a crowd at the door.
//!
//! `cargo test -p kmds --test kill -- --nocapture` tells the seed and the counts; `KMDS_KILLS=200` makes the long form,
//! `KMDS_SEED=N` repeats a run.

#[path = "../harness/mod.rs"]
mod harness;

mod again;
mod crowd;
mod drive;
mod random;
mod stop;
