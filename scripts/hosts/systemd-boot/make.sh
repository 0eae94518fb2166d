# A host without GRUB as its loader: systemd-boot, kernel and initramfs on the ESP as kernel-install lays them out. Its initramfs has the drivers
# of virtio disks and no others; one that is made anew would have those of the machine that makes it (MODULES=dep).

devices() {
    a=$(disk LBHOSTA)
    sgdisk --clear --new=1:1M:+192M --typecode=1:ef00 --new=2:0:0 --typecode=2:8300 "$a" >/dev/null
    udevadm settle
    mkfs.vfat -F 32 -n ESP -i 5E5B0A7A "${a}1" >/dev/null
    clone_root "${a}2" 0a0b0c0d-5555-4000-8000-000000000001
    mount_over "${a}1" /boot/efi umask=0077
}

loaders() {
    sed -i 's/^MODULES=.*/MODULES=dep/' /mnt/etc/initramfs-tools/conf.d/hosts
    release=$(ls /mnt/lib/modules)
    # There is no udev in the host's tree that could say what kind of partition this is.
    SYSTEMD_RELAX_ESP_CHECKS=1 chroot /mnt bootctl install --esp-path=/boot/efi --no-variables
    chroot /mnt kernel-install add "$release" "/boot/vmlinuz-$release"
}
