#!/bin/sh
# Makes what the disks of one host are filled from: the common tree with this host's own files, its initramfs made with them.
#
#   host.sh LAYOUT TREES FOLDER      leaves FOLDER/tree.img, an ext4 image without a table
#
# TREES is where tree.sh has left the common tree. LAYOUT is a folder beside this script; it has make.sh, which lab.sh runs inside a
# machine, and, where the host has settings of its own, files/ (fstab, crypttab, mdadm.conf, with the UUIDs that make.sh gives) and
# prepare.sh, which runs in the tree before the initramfs is made. packages.txt lists what this host has beside the tree's packages.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo sh "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
layout=$1
trees=$2
mkdir -p "$3"
out=$(cd "$3" && pwd)
tree=$out/tree

# Adds packages to the tree. This machine's apt looks up what they need there and downloads it, once; the tree's own dpkg installs it.
add_packages() (
    set -eu
    debs=$trees/debs/$layout
    mkdir -p "$debs/partial" "$out/apt/lists/partial"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] $(sh "$here/../mirror.sh" bookworm) bookworm main" >"$out/apt/sources.list"
    get() {
        apt-get -q -y --no-install-recommends -o Dir::Etc::sourcelist="$out/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State="$out/apt" -o Dir::State::status="$tree/var/lib/dpkg/status" -o Dir::Cache="$out/apt" \
            -o Dir::Cache::archives="$debs" -o APT::Sandbox::User=root "$@"
    }
    get update
    get autoclean
    get --download-only install "$@"
    mkdir "$tree/debs"
    for name in $(get --simulate install "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'); do cp "$debs/${name}"_*.deb "$tree/debs/"; done
    DEBIAN_FRONTEND=noninteractive chroot "$tree" sh -c 'exec dpkg --install /debs/*.deb'
    rm -rf "$tree/debs" "$out/apt"
)

rm -rf "$tree"
cp -a --reflink=auto "$trees/tree" "$tree"
if [ -e "$here/$layout/packages.txt" ]; then
    # Not in a condition: there `set -e` means nothing.
    trap 'tail -n 20 "$out/packages.log" >&2' EXIT
    # shellcheck disable=SC2046  # a list of names
    add_packages $(grep -v '^#' "$here/$layout/packages.txt") >"$out/packages.log" 2>&1
    trap - EXIT
fi
echo "$layout" >"$tree/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost\n' "$layout" >"$tree/etc/hosts"
[ ! -d "$here/$layout/files" ] || cp -R "$here/$layout/files/." "$tree/"
chown -R 0:0 "$tree/etc"
mkdir -p "$tree/usr/local/lib/hosts"
cp "$here/lab.sh" "$here/$layout/make.sh" "$tree/usr/local/lib/hosts/"
chmod 755 "$tree/usr/local/lib/hosts/lab.sh"
if [ -e "$here/$layout/prepare.sh" ]; then
    cp "$here/$layout/prepare.sh" "$tree/prepare.sh"
    chroot "$tree" sh -eu /prepare.sh
    rm "$tree/prepare.sh"
fi
chroot "$tree" update-initramfs -u >"$out/initramfs.log" 2>&1 || { tail -n 20 "$out/initramfs.log" >&2; exit 1; }
rm -f "$out/tree.img"
# Its UUID and size are those of no host: clone_root gives it others. With room for what a filesystem needs beside the files.
size=$(($(du -sm "$tree" | cut -f1) * 5 / 4 + 100))
[ $size -gt 800 ] || size=800
mke2fs -q -t ext4 -L lbtree -E root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$out/tree.img" ${size}M
rm -rf "$tree"
if [ -n "${SUDO_UID:-}" ]; then chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"; fi
