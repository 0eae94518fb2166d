#!/bin/sh
# Makes the Debian root that `make bench` backs up:
#
#   root.sh FOLDER [LIST]     leaves FOLDER, the packages of LIST (root.packages) and of Debian's base, unpacked
#
# The packages are only downloaded and unpacked, in the order of their names: nothing of them is run, nothing is
# mounted, and the same packages make the same tree. Needs root, for the owners of files and for debootstrap.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1
list=${2:-$here/root.packages}
release=bookworm
[ "$(id -u)" -eq 0 ] || { echo "root.sh: needs root, for the owners of the files" >&2; exit 1; }
mkdir -p "$(dirname "$tree")/debs"
debs=$(cd "$(dirname "$tree")/debs" && pwd)

proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null || true)
[ -z "$proxy" ] || export http_proxy="$proxy"

packages=$(grep -v '^#' "$list" | tr '\n' ',' | sed 's/,$//')
mirror=$(sh "$here/../mirror.sh" "$release")
fetched=$tree.fetched
rm -rf "$tree" "$tree.part" "$fetched"
debootstrap --download-only --variant=minbase --cache-dir="$debs" ${packages:+"--include=$packages"} "$release" "$fetched" "$mirror" \
    >"$debs/debootstrap.log" 2>&1 || { tail -n 30 "$debs/debootstrap.log" >&2; exit 1; }

mkdir -p "$tree.part/usr"
for merged in bin lib lib32 lib64 libx32 sbin; do
    mkdir "$tree.part/usr/$merged"
    ln -s "usr/$merged" "$tree.part/$merged"
done
for deb in "$fetched"/var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -xp --numeric-owner --keep-directory-symlink -C "$tree.part"
done
rm -rf "$fetched"
mv "$tree.part" "$tree"
