#!/bin/sh
# Prints the two numbers that a guest has written to an image.
set -eu
for sector in 1 16384; do
    qemu-img dd -U -f qcow2 -O raw bs=512 skip=$sector count=$((sector + 1)) if="$1" of=/run/sector
    od -An -tx4 -N4 /run/sector
done | xargs
