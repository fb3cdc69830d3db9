//! Hands `seldom.ld` to the linker of a release build.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=seldom.ld");
    let is_linux = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let is_release = var("PROFILE").is_ok_and(|profile| profile == "release");
    if !is_linux || !is_release {
        return;
    }
    // The linkers that Rust takes by itself, lld and GNU ld, read the script. Another one may not.
    if var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("fuse-ld")) {
        println!(
            "cargo::warning=a linker is chosen by hand (-fuse-ld), so seldom.ld is left out: the service takes 1.4 MB more at rest"
        );
        return;
    }
    let folder = var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bin=kmds=-T{folder}/seldom.ld");
}
