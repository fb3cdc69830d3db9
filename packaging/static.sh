#!/bin/sh
# Builds a static binary for one processor, and prints its path:
#
#   packaging/static.sh x86_64-unknown-linux-musl
#
# Other targets of a release: aarch64-unknown-linux-musl, armv7-unknown-linux-musleabihf, arm-unknown-linux-musleabihf
# (ARMv6). Needs cargo-zigbuild and zig (both are wheels: pip install cargo-zigbuild ziglang) and the target's standard
# library (rustup target add TARGET). PROFILE is release unless it is set; CARGO_TARGET_DIR is honoured.
set -eu
target=$1
profile=${PROFILE:-release}
cd "$(dirname "$0")/.."
command -v cargo-zigbuild >/dev/null || {
    echo "static.sh: there is no cargo-zigbuild; run: pip install cargo-zigbuild ziglang" >&2
    exit 1
}

# rquickjs has bindings for 32-bit ARM with glibc only. The sizes in them come from the processor's ABI, which musl
# shares, and its own bindings for x86_64 and aarch64 differ between the two by unused types at most. The build script
# of that crate looks for a file of the target's name.
case $target in
    arm*-musleabihf)
        cargo fetch --locked --target "$target" >&2
        for bindings in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/rquickjs-sys-*/src/bindings; do
            [ -e "$bindings/$target.rs" ] || cp "$bindings/armv7-unknown-linux-gnueabihf.rs" "$bindings/$target.rs"
        done
        ;;
esac

cargo zigbuild --locked --profile "$profile" --target "$target" --bin kmds >&2
case $profile in
    dev) folder=debug ;;
    *) folder=$profile ;;
esac
echo "${CARGO_TARGET_DIR:-target}/$target/$folder/kmds"
