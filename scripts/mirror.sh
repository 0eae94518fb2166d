#!/bin/sh
# Prints the Debian mirror that this machine's apt uses for release $1, or Debian's own.
set -eu
found=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n "s/^$1 main //p" | head -n 1)
echo "${found:-http://deb.debian.org/debian/}"
