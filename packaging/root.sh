#!/bin/sh
# Makes the root folder of a container from a binary that is built already:
#
#   packaging/root.sh target/x86_64-unknown-linux-musl/release/kmds root/amd64
#
# Holds the binary, root certificates and the two folders that user 65532 writes to (the Dockerfile makes them its own);
# nothing else is needed. CA_FILE names other certificates than this machine's.
set -eu
binary=$1
root=$2
mkdir -p "$root/etc/ssl/certs" "$root/var/cache/kmds" "$root/var/lib/kmds"
cp "$binary" "$root/kmds"
chmod 755 "$root/kmds"
cp "${CA_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
