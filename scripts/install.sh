#!/bin/sh
# Installs the packages of a list that are missing: install.sh [LIST]; a list lies beside this script, packages.txt is
# the usual one. Runs as root, or as a user who may use sudo.
set -eu
cd "$(dirname "$0")"
list=${1:-packages.txt}

missing=
for package in $(grep -v '^#' "$list"); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then root=; else root=sudo; fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# A list that is a few days old names packages that the mirror no longer has.
$root apt-get update -q
# shellcheck disable=SC2086  # the lists are split on purpose
$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
