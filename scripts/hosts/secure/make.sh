# A host whose firmware starts signed loaders only: BIOS boot partition and ESP as Proxmox VE lays them out, swap, root on ext4, /home on XFS with
# sectors of 512 bytes to the very end of the disk.
boot_disks=$(disk LBHOSTA)

devices() {
    a=$(disk LBHOSTA)
    sgdisk --clear --set-alignment=1 \
        --new=1:34:2047 --typecode=1:ef02 --new=2:1M:+64M --typecode=2:ef00 --new=3:0:+64M --typecode=3:8200 \
        --new=4:0:+1100M --typecode=4:8300 --new=5:0:0 --typecode=5:8300 "$a" >/dev/null
    udevadm settle
    mkfs.vfat -F 32 -n ESP -i 4E5B0A7A "${a}2" >/dev/null
    mkswap -q -U 0a0b0c0d-4444-4000-8000-000000000001 "${a}3"
    mkfs.xfs -q -s size=512 -m uuid=0a0b0c0d-4444-4000-8000-000000000003 -L files "${a}5"
    clone_root "${a}4" 0a0b0c0d-4444-4000-8000-000000000002
    mount_over "${a}2" /boot/efi umask=0077
    mount_over "${a}5" /home
}
