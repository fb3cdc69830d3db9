#!/bin/sh
# Packs a binary with all that belongs beside it, and prints the path of the archive:
#
#   packaging/tarball.sh target/release/kmds x86_64-unknown-linux-musl .      # ./kmds-VERSION-TARGET.tar.gz
#
# KMDS_RUNS names a binary of the same version that runs on this machine, where the packed one does not; KMDS_GZIP=-1
# packs fast.
set -eu
binary=$1
target=$2
out=$3
runs=${KMDS_RUNS:-$binary}
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
name=kmds-$("$runs" --version | cut -d' ' -f2)-$target
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

install -Dm755 "$binary" "$tree/$name/kmds"
for shell in bash fish zsh; do
    mkdir -p "$tree/$name/completions"
    "$runs" completions "$shell" >"$tree/$name/completions/kmds.$shell"
done
"$runs" man >"$tree/$name/kmds.1"
install -m644 "$here/kmds.service" "$here/kmds.socket" "$root/kmds.example.toml" "$tree/$name"
install -m644 "$root/README.md" "$root/CHANGELOG.md" "$root/LICENSE-MIT" "$root/LICENSE-APACHE" "$tree/$name"
# The same input gives the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -C "$tree" -cf - "$name" | gzip -n "${KMDS_GZIP:--9}" >"$out/$name.tar.gz"
echo "$out/$name.tar.gz"
