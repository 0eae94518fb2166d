#!/bin/sh
# What a thing is made from, as one digest: `stamp.sh tree`, or `stamp.sh LAYOUT`. What was made from something else is made again.
set -eu
cd "$(dirname "$0")"
case $1 in tree) own= ;; *) own="$1 host.sh lab.sh" ;; esac
# shellcheck disable=SC2086  # a list of names
find packages.txt files tree.sh stamp.sh $own ../sample/dpkg.cfg ../sample/files ../mirror.sh -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64
