#!/bin/sh
# Builds rustic, a peer that Debian has no package of, once: rustic.sh FOLDER leaves FOLDER/bin/rustic. Its features
# for the network and the terminal are left out; the engine is the same. Without it the bench measures the others.
set -eu
version=0.11.4
mkdir -p "$1"
root=$(cd "$1" && pwd)
[ ! -x "$root/bin/rustic" ] || exit 0
echo "Building rustic $version, once; log in $root/build.log"
# From the root folder: the workspace's own settings are not for it.
cd /
CARGO_TARGET_DIR="$root/build" cargo install rustic-rs --version "$version" --locked --no-default-features --root "$root" \
    >"$root/build.log" 2>&1 || { tail -n 12 "$root/build.log" >&2; echo "rustic could not be built" >&2; exit 1; }
rm -rf "$root/build"
