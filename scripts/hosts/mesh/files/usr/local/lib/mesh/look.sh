#!/bin/sh
# What the volumes of guest 103 hold: the digest of as many bytes as its disks have (guests/fixtures/vma.py), and how many bytes behind them
# are not zero.
set -eu
look() { # VOLUME BYTES
    tries=0
    until [ -e "/dev/pve/$1" ] || [ $tries -ge 60 ]; do sleep 1 && tries=$((tries + 1)); done
    digest=$(head -c "$2" "/dev/pve/$1" | sha256sum | cut -d' ' -f1)
    echo "$1 $digest $(tail -c +$(($2 + 1)) "/dev/pve/$1" | tr -d '\000' | wc -c)"
}
{ look vm-103-disk-0 10487296 && look vm-103-disk-1 4194304; } >/var/log/before-guests
