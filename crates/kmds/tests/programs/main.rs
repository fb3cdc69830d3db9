//! The service as other programs meet it: those that are told, those that ask, and those that stand before it.

#[path = "../harness/mod.rs"]
mod harness;

mod webhook;

