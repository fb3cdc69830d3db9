//! The second engine and the one conversion: yt-dlp and ffmpeg as the service uses them, against the lab.
//!
//! `KMDS_TEST_YTDLP` is the yt-dlp to test with, `KMDS_TEST_PYTHON` a Python with mutagen; a test without its tool
//! prints that on standard error and passes.

#[path = "../harness/mod.rs"]
mod harness;

mod conversion;
mod differential;
mod fallback;
mod misbehaving;
mod other_sites;
mod tags;
mod tools;
mod way_out;
mod worth;
