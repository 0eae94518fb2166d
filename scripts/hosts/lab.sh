#!/bin/sh
# The first program of the machine that makes a host's disks. Its root is the host's tree, read-only, from an image; make.sh of the
# layout makes devices and filesystems and mounts them below /mnt; the rest is the same for every host.
#
# make.sh defines `devices`, and may define `leave` (closing what it opened), `loaders` (other boot loaders than GRUB), `boot_disks` (for GRUB
# by BIOS) and `kernel_arguments`. It may use what is here.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
# Ends the machine, whatever comes.
trap 'echo "host: failed"; sync; echo o >/proc/sysrq-trigger; sleep 60' EXIT
set -eu
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
for place in /run /tmp /etc/lvm /var; do mount -t tmpfs tmpfs $place; done
mkdir -p /run/lvm /run/lock /run/cryptsetup /etc/lvm/archive /etc/lvm/backup
/lib/systemd/systemd-udevd --daemon
udevadm trigger && udevadm settle

base=$(blkid -L lbtree)
boot_disks=

# The device of the disk with this serial number.
disk() { readlink -e "/dev/disk/by-id/virtio-$1"; }

# A device becomes the root filesystem: the tree's own, block by block, which is far quicker than its files one by one.
clone_root() { # DEVICE UUID [LABEL]
    dd if="$base" of="$1" bs=4M conv=fsync status=none
    e2fsck -fy "$1" >/dev/null || [ $? -eq 1 ]
    tune2fs -U "$2" -L "${3:-root}" "$1" >/dev/null
    resize2fs "$1" >/dev/null 2>&1
    mount "$1" /mnt
}

# Mounts a device at a path of the host, with what the tree has there.
mount_over() { # DEVICE PATH [mount options]
    kept=/mnt/.kept
    mkdir -p "/mnt$2" "$kept"
    mount ${3:+-o "$3"} "$1" "$kept"
    [ "$2" = /boot/efi ] || cp -a "/mnt$2/." "$kept/"
    umount "$kept"
    rmdir "$kept"
    find "/mnt$2" -mindepth 1 -delete
    mount ${3:+-o "$3"} "$1" "/mnt$2"
}

leave() { :; }

# GRUB's menu. grub-mkconfig starts a hundred programs, which takes minutes here, for much the same.
menu() {
    case $(findmnt -no SOURCE /mnt) in /dev/mapper/*) root=$(findmnt -no SOURCE /mnt) ;; *) root=UUID=$(findmnt -no UUID /mnt) ;; esac
    boot=$(chroot /mnt grub-mkrelpath /boot)
    kernel=$(cd /mnt/boot && echo vmlinuz-*)
    cat <<END
serial --unit=0 --speed=115200
set timeout=1
search --no-floppy --fs-uuid --set=root $(findmnt -no UUID -T /mnt/boot)
menuentry Debian {
    linux $boot/$kernel root=${root%%[*} ro ${kernel_arguments:-} console=tty0 console=ttyS0,115200 quiet
    initrd $boot/initrd.img-${kernel#vmlinuz-}
}
END
}

loaders() {
    for target in $boot_disks; do chroot /mnt grub-install --target=i386-pc "$target"; done
    if mountpoint -q /mnt/boot/efi; then
        chroot /mnt grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram
        chroot /mnt grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram
    fi
    [ ! -e /mnt/boot/grub ] || menu >/mnt/boot/grub/grub.cfg
}

. /usr/local/lib/hosts/make.sh
step() { echo "host: $* after $(cut -d. -f1 /proc/uptime) s"; }
devices
step "devices made"
# The tree by files, where the root filesystem is no clone of it.
if [ ! -e /mnt/etc/fstab ]; then
    mkdir -p /tmp/tree && mount -o ro "$base" /tmp/tree
    cp -a /tmp/tree/. /mnt/
    umount /tmp/tree
fi
step "tree in place"
for place in dev proc sys; do mount --rbind /$place /mnt/$place; done
mount -t tmpfs tmpfs /mnt/run
mkdir -p /mnt/run/udev /mnt/run/lock
mount --bind /run/udev /mnt/run/udev
loaders
step "boot loaders installed"
chroot /mnt sh /usr/local/lib/sample/zoo.sh
rm -f /mnt/usr/local/lib/hosts/lab.sh /mnt/usr/local/lib/hosts/make.sh
for place in run/udev run; do umount /mnt/$place; done
for place in sys proc dev; do umount -R -l /mnt/$place; done
umount -R /mnt
leave
sync
trap - EXIT
step finished
echo "host: made"
echo o >/proc/sysrq-trigger
sleep 60
