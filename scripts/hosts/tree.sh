#!/bin/sh
# Makes the Debian tree that all hosts of the scenarios are made from, once:
#
#   tree.sh FOLDER      leaves FOLDER/tree, FOLDER/vmlinuz, FOLDER/initrd.img and FOLDER/tree.stamp
#
# Needs root for debootstrap, and neither mounts nor loop devices. The initramfs is made here, natively: in an emulated machine that
# takes minutes. What differs from host to host comes with host.sh.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo sh "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
sample=$here/../sample
mkdir -p "$1/debs"
out=$(cd "$1" && pwd)
release=bookworm
tree=$out/tree
rm -f "$out/tree.stamp"

proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null || true)
[ -z "$proxy" ] || export http_proxy="$proxy"
packages=$(grep -v '^#' "$here/packages.txt" | tr '\n' ',' | sed 's/,$//')
mirror=$(sh "$here/../mirror.sh" "$release")

echo "hosts: debootstrap of $release from $mirror"
rm -rf "$tree"
debootstrap --foreign --variant=minbase --cache-dir="$out/debs" --include="$packages" "$release" "$tree" "$mirror" \
    >"$out/debootstrap.log" 2>&1 || { tail -n 30 "$out/debootstrap.log" >&2; exit 1; }
cp "$sample/dpkg.cfg" "$tree/etc/dpkg/dpkg.cfg.d/hosts"
echo "hosts: installing packages"
chroot "$tree" /debootstrap/debootstrap --second-stage >>"$out/debootstrap.log" 2>&1 ||
    { tail -n 30 "$out/debootstrap.log" >&2; exit 1; }

# The second stage mounts these where it may.
for place in sys proc; do umount "$tree/$place" 2>/dev/null || true; done

echo "hosts: settings"
cp -R "$sample/files/usr" "$tree/"
mkdir -p "$tree/etc/systemd/system"
cp "$sample/files/etc/systemd/system/sample-agent.service" "$tree/etc/systemd/system/"
cp -R "$here/files/." "$tree/"
chown -R 0:0 "$tree/etc" "$tree/usr/local/lib"
chmod 755 "$tree"/usr/local/lib/*/*.sh
mkdir -p "$tree/boot/efi"
chroot "$tree" sh -eu <<'END'
systemd-machine-id-setup >/dev/null 2>&1
useradd --create-home --shell /bin/bash ada
echo 'root:lifeboat' | chpasswd
systemctl --quiet enable sample-agent.service
systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
update-initramfs -u >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
END
rm -f "$tree/var/log/bootstrap.log"
cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"
cp "$tree"/boot/initrd.img-* "$out/initrd.img"
sh "$here/stamp.sh" tree >"$out/tree.stamp"
