#!/bin/sh
# Builds a Debian package around a binary that is built already:
#
#   cargo build --release --locked --bin kmds
#   packaging/deb.sh target/release/kmds .        # writes ./kmds_VERSION_ARCH.deb, prints its path
#
# Needs dpkg-deb, and no root rights. docs/dependencies.md says why this is a script and not cargo-deb. For another
# machine: DEB_ARCH names its architecture, and KMDS_RUNS a binary of the same version that runs on this one.
set -eu
binary=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
runs=${KMDS_RUNS:-$binary}
version=$("$runs" --version | cut -d' ' -f2)
arch=${DEB_ARCH:-$(dpkg --print-architecture)}
# A static binary names no loader.
needs=ca-certificates
if LC_ALL=C grep -aqE '/lib(64)?/ld-linux' "$binary"; then needs="libc6, $needs"; fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

install -Dm755 "$binary" "$tree/usr/bin/kmds"
install -Dm644 "$here/kmds.service" "$tree/lib/systemd/system/kmds.service"
install -Dm644 "$here/kmds.socket" "$tree/lib/systemd/system/kmds.socket"
install -Dm644 "$root/kmds.example.toml" "$tree/etc/kmds/kmds.toml"
install -Dm644 "$root/README.md" "$tree/usr/share/doc/kmds/README.md"
install -Dm644 "$root/LICENSE-MIT" "$tree/usr/share/doc/kmds/copyright"
install -d "$tree/usr/share/man/man1" "$tree/usr/share/bash-completion/completions" "$tree/usr/share/fish/vendor_completions.d" \
    "$tree/usr/share/zsh/vendor-completions"
"$runs" man | gzip -n9 >"$tree/usr/share/man/man1/kmds.1.gz"
"$runs" completions bash >"$tree/usr/share/bash-completion/completions/kmds"
"$runs" completions fish >"$tree/usr/share/fish/vendor_completions.d/kmds.fish"
"$runs" completions zsh >"$tree/usr/share/zsh/vendor-completions/_kmds"
cat "$root/LICENSE-APACHE" >>"$tree/usr/share/doc/kmds/copyright"

mkdir "$tree/DEBIAN"
echo /etc/kmds/kmds.toml >"$tree/DEBIAN/conffiles"
size=$(du -sk "$tree" | cut -f1)
cat >"$tree/DEBIAN/control" <<CONTROL
Package: kmds
Version: $version
Architecture: $arch
Maintainer: ${DEBFULLNAME:-built on this machine} <${DEBEMAIL:-root@localhost}>
Installed-Size: $size
Depends: $needs
Recommends: ffmpeg
Suggests: yt-dlp
Section: net
Priority: optional
Description: media downloading service for YouTube, SoundCloud and Bandcamp
 A link goes in; metadata comes out at once, the audio as soon as it arrives, and
 the finished file appears on a drive by one atomic rename.
CONTROL

# The service is not started at once: the operator decides on settings and on who may reach it first.
cat >"$tree/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d "$DPKG_ROOT/run/systemd/system" ]; then systemctl daemon-reload || true; fi
if [ "$1" = configure ] && [ -z "$2" ]; then echo "kmds: start it with: systemctl enable --now kmds"; fi
SCRIPT
cat >"$tree/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d "$DPKG_ROOT/run/systemd/system" ]; then systemctl disable --now kmds.service kmds.socket || true; fi
SCRIPT
cat >"$tree/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d "$DPKG_ROOT/run/systemd/system" ]; then systemctl daemon-reload || true; fi
# Only a purge removes songs and catalog.
if [ "$1" = purge ]; then for at in cache lib; do rm -rf "$DPKG_ROOT/var/$at/private/kmds" "$DPKG_ROOT/var/$at/kmds"; done; fi
SCRIPT
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm" "$tree/DEBIAN/postrm"

package="$out/kmds_${version}_$arch.deb"
dpkg-deb --root-owner-group --build "$tree" "$package" >/dev/null
echo "$package"
