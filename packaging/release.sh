#!/bin/sh
# Packs the files of a release from binaries that are built already, one folder for each target:
#
#   packaging/release.sh BINARIES OUT         # BINARIES/TARGET/kmds → OUT/*.tar.gz, OUT/*.deb, OUT/SHA256SUMS
#
# KMDS_RUNS names the binary that runs on this machine.
set -eu
binaries=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
for folder in "$binaries"/*/; do
    target=$(basename "$folder")
    "$here/tarball.sh" "$folder/kmds" "$target" "$out"
    command -v dpkg-deb >/dev/null || continue
    # Debian's armhf is ARMv7; Raspberry Pi's, of the same name, is ARMv6. The ARMv6 binary runs on both.
    case $target in
        x86_64-*) arch=amd64 ;;
        aarch64-*) arch=arm64 ;;
        arm-*) arch=armhf ;;
        *) continue ;;
    esac
    DEB_ARCH=$arch "$here/deb.sh" "$folder/kmds" "$out"
done
cd "$out"
for file in *.tar.gz *.deb; do
    [ ! -e "$file" ] || sha256sum -- "$file"
done >SHA256SUMS
