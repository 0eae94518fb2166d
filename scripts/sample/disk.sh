#!/bin/sh
# Makes the sample workstation's disk, a Debian 12 that has everything but its boot loader:
#
#   disk.sh FOLDER      leaves FOLDER/raw.img, FOLDER/vmlinuz, FOLDER/initrd.img and FOLDER/raw.env
#
# Needs root for debootstrap (chroot, device nodes), and neither mounts nor loop devices: filesystems are filled by
# mke2fs. The boot loader, and whatever mke2fs cannot write (nanosecond times, inode flags), comes in a first boot of
# the disk by finish.sh.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo sh "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/debs"
out=$(cd "$1" && pwd)
release=bookworm
tree=$out/tree

# In KiB. The disk is small so that a restore onto a larger one stays quick; the image file is sparse.
bios_size=1024 esp_size=65536 swap_size=131072 root_size=1310720 home_size=655360

step() { echo "sample: $*"; }
uuid() { cat /proc/sys/kernel/random/uuid; }

proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null || true)
[ -z "$proxy" ] || export http_proxy="$proxy"

packages=$(grep -v '^#' "$here/packages.txt" | tr '\n' ',' | sed 's/,$//')
mirror=$(sh "$here/../mirror.sh" "$release")

step "debootstrap of $release from $mirror"
rm -rf "$tree"
debootstrap --foreign --variant=minbase --cache-dir="$out/debs" --include="$packages" "$release" "$tree" "$mirror" \
    >"$out/debootstrap.log" 2>&1 || { tail -n 30 "$out/debootstrap.log" >&2; exit 1; }
cp "$here/dpkg.cfg" "$tree/etc/dpkg/dpkg.cfg.d/sample"
mkdir -p "$tree/etc/initramfs-tools"
step "installing packages"
chroot "$tree" /debootstrap/debootstrap --second-stage >>"$out/debootstrap.log" 2>&1 ||
    { tail -n 30 "$out/debootstrap.log" >&2; exit 1; }

step "settings"
cp -R "$here/files/." "$tree/"
chown -R 0:0 "$tree/etc" "$tree/usr/local/lib/sample"
chmod 755 "$tree"/usr/local/lib/sample/*.sh
esp_serial=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ' | tr a-f A-F)
root_uuid=$(uuid) home_uuid=$(uuid) swap_uuid=$(uuid)
cat >"$tree/etc/fstab" <<END
# <file system>                            <mount point>  <type>  <options>                   <dump> <pass>
UUID=$root_uuid  /              ext4    errors=remount-ro           0      1
UUID=$(echo "$esp_serial" | sed 's/^..../&-/')                             /boot/efi      vfat    umask=0077                  0      1
UUID=$home_uuid  /home          ext4    defaults,nosuid,nodev       0      2
UUID=$swap_uuid  none           swap    sw                          0      0
/var/swapfile                              none           swap    sw                          0      0
END
echo workstation >"$tree/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tworkstation\n::1\tlocalhost ip6-localhost\n' >"$tree/etc/hosts"
mkdir -p "$tree/boot/efi"
chroot "$tree" sh -eu <<'END'
systemd-machine-id-setup >/dev/null 2>&1
useradd --create-home --shell /bin/bash ada
echo 'root:lifeboat' | chpasswd
systemctl --quiet enable sample-agent.service
systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service
update-initramfs -u >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
END
rm -f "$tree/var/log/bootstrap.log"
cp "$(readlink -f "$tree/vmlinuz")" "$out/vmlinuz" 2>/dev/null || cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"
cp "$tree"/boot/initrd.img-* "$out/initrd.img"

step "partitions and filesystems"
image=$out/raw.img
start=1024
rm -f "$image"
truncate -s $(((start + bios_size + esp_size + swap_size + root_size + home_size + 1024) * 1024)) "$image"
bios_at=$start
esp_at=$((bios_at + bios_size))
swap_at=$((esp_at + esp_size))
root_at=$((swap_at + swap_size))
home_at=$((root_at + root_size))
part() { echo "--new=$1:$(($2 * 2)):$((($2 + $3) * 2 - 1)) --typecode=$1:$4 --change-name=$1:$5"; }
# shellcheck disable=SC2046  # each partition is several arguments
sgdisk --clear \
    $(part 1 $bios_at $bios_size ef02 bios) $(part 2 $esp_at $esp_size ef00 esp) $(part 3 $swap_at $swap_size 8200 swap) \
    $(part 4 $root_at $root_size 8300 root) $(part 5 $home_at $home_size 8300 home) "$image" >/dev/null

ext4() { # UUID LABEL OFFSET SIZE FOLDER
    mke2fs -q -t ext4 -U "$1" -L "$2" -E "offset=$(($3 * 1024)),root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" \
        -d "$5" "$image" "$4k"
}
place() { dd if="$1" of="$image" bs=1M seek=$(($2 / 1024)) conv=notrunc,sparse status=none; rm -f "$1"; }
mv "$tree/home" "$out/home"
mkdir -m 755 "$tree/home"
ext4 "$root_uuid" root $root_at $root_size "$tree"
ext4 "$home_uuid" home $home_at $home_size "$out/home"
truncate -s "${esp_size}k" "$out/esp.img"
mkfs.vfat -F 32 -n ESP -i "$esp_serial" "$out/esp.img" >/dev/null
place "$out/esp.img" $esp_at
truncate -s "${swap_size}k" "$out/swap.img"
mkswap -q -U "$swap_uuid" -L swap "$out/swap.img"
place "$out/swap.img" $swap_at

rm -rf "$tree" "$out/home"
printf 'root=UUID=%s\nroot_offset=%s\n' "$root_uuid" $((root_at * 1024)) >"$out/raw.env"
if [ -n "${SUDO_UID:-}" ]; then chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"; fi
step "disk ready"
