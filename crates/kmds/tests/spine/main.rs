//! From a link to a file: the main job, site by site, as a client sees it.

#[path = "../harness/mod.rs"]
mod harness;

mod jobs;
mod pages;
mod requests;
mod sites;
