#!/bin/sh
# First boot of the sample, as init of a machine whose kernel was given from outside: installs the boot loader by
# Debian's own tools, for BIOS and for UEFI, and makes the data that a filesystem image cannot be filled with.
fail() { echo "sample: finish failed: $*"; sync; echo o >/proc/sysrq-trigger; sleep 60; }
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
mount -n -o remount,rw / || fail "root is read-only"
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run 2>/dev/null
/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle
mount /home && mount /boot/efi || fail "mounting"
disk=/dev/$(lsblk -no pkname "$(findmnt -no SOURCE /)")
grub-install --target=i386-pc "$disk" || fail "GRUB for BIOS"
grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram || fail "GRUB for UEFI"
grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable || fail "GRUB for UEFI, removable path"
grub-mkconfig -o /boot/grub/grub.cfg || fail "GRUB's menu"
sh /usr/local/lib/sample/zoo.sh || fail "data"
fallocate -l 16M /var/swapfile && chmod 600 /var/swapfile && mkswap -q /var/swapfile || fail "swap file"
udevadm control --exit
umount /boot/efi /home
mount -n -o remount,ro / || fail "root is busy"
sync
echo "sample: finished"
echo o >/proc/sysrq-trigger
sleep 60
