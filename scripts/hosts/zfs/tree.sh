#!/bin/sh
# Makes the tree of a host with ZFS from the common one, once:
#
#   tree.sh TREES FOLDER      leaves FOLDER/tree, FOLDER/vmlinuz and FOLDER/initrd.img
#
# TREES is where ../tree.sh has left the common tree. ZFS comes from Debian's contrib. Its module is built from the source in zfs-dkms against the
# headers of the tree's kernel, in a copy of the tree that has a compiler; it becomes a package that stands for zfs-dkms, and is kept.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo sh "$0" "$@"
trees=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
kernel=$(cd "$trees/tree/lib/modules" && echo *)
module=$out/zfs-modules_$kernel.deb

proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null || true)
[ -z "$proxy" ] || export http_proxy="$proxy"
export DEBIAN_FRONTEND=noninteractive

# A copy of the common tree whose apt knows contrib.
copy_tree() { # FOLDER
    rm -rf "$1"
    cp -a --reflink=auto "$trees/tree" "$1"
    sed -i 's/ main$/ main contrib/' "$1/etc/apt/sources.list"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
}

inside() { # FOLDER LOG; commands on standard input, which their programs must not eat
    cat >"$1/commands"
    chroot "$1" sh -eu /commands >"$2" 2>&1 </dev/null || { tail -n 30 "$2" >&2; exit 1; }
    rm "$1/commands"
}

if [ ! -e "$module" ]; then
    echo "hosts: the ZFS module of $kernel"
    copy_tree "$out/build"
    inside "$out/build" "$out/module.log" <<END
apt-get -qq update
apt-get -qq -y --no-install-recommends install linux-headers-$kernel gcc make libc6-dev file perl python3 libpython3-stdlib
cd /root
apt-get -qq download zfs-dkms
dpkg-deb -x zfs-dkms_*.deb /
version=\$(dpkg-deb -f zfs-dkms_*.deb Version)
cd /usr/src/zfs-*
./configure --with-config=kernel --with-linux=/lib/modules/$kernel/source --with-linux-obj=/lib/modules/$kernel/build
make -j\$(nproc)
package=/root/package
mkdir -p \$package/DEBIAN \$package/lib/modules/$kernel/updates/dkms
find module -name '*.ko' -exec cp {} \$package/lib/modules/$kernel/updates/dkms/ \;
strip -g \$package/lib/modules/$kernel/updates/dkms/*.ko
cat >\$package/DEBIAN/control <<CONTROL
Package: zfs-modules-$kernel
Version: \$version
Architecture: amd64
Provides: zfs-modules
Maintainer: root <root@localhost>
Description: ZFS module of one kernel, built from zfs-dkms
CONTROL
dpkg-deb -Zgzip -b \$package /module.deb
END
    mv "$out/build/module.deb" "$module"
    rm -rf "$out/build"
fi

echo "hosts: the tree with ZFS"
copy_tree "$out/tree"
cp "$module" "$out/tree/module.deb"
inside "$out/tree" "$out/tree.log" <<END
apt-get -qq update
apt-get -qq -y --no-install-recommends install /module.deb zfsutils-linux zfs-initramfs systemd-boot-efi
depmod $kernel
apt-get clean
rm -rf /module.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
END
cp "$trees/vmlinuz" "$trees/initrd.img" "$out/"
