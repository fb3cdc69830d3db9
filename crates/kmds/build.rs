//! Tells the linker where code lies (`seldom.ld`).

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=seldom.ld");
    let known = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    // Both linkers that Rust takes of itself, lld and GNU ld, read the script; one chosen by hand may not.
    let chosen = var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("fuse-ld"));
    if known && !chosen && var("PROFILE").is_ok_and(|profile| profile == "release") {
        let folder = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bin=kmds=-T{folder}/seldom.ld");
    }
}
