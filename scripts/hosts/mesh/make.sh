# A Proxmox VE node: its disk by Proxmox's own partitions and volume group, guests' volumes in the thin pool, and a second disk without a table: a
# LUKS container with backups, which a key file opens.
boot_disks=$(disk LBHOSTA)

quick() { cryptsetup --batch-mode --pbkdf-force-iterations 1000 "$@"; }

devices() {
    a=$(disk LBHOSTA) b=$(disk LBHOSTB)
    sgdisk --clear --set-alignment=1 \
        --new=1:34:2047 --typecode=1:ef02 --new=2:1M:+64M --typecode=2:ef00 --new=3:0:0 --typecode=3:8e00 "$a" >/dev/null
    udevadm settle
    pvcreate -qq -y "${a}3"
    vgcreate -qq pve "${a}3"
    lvcreate -qq -y -n swap -L 64M pve
    lvcreate -qq -y -n root -L 1200M pve
    lvcreate -qq -y -n data --type thin-pool -L 256M --poolmetadatasize 8M pve
    # A machine's disk, its cloud-init drive, a snapshot of it as Proxmox names them, and a container's root.
    lvcreate -qq -y -n vm-100-disk-0 -V 64M --thinpool data pve
    lvcreate -qq -y -n vm-100-cloudinit -V 4M --thinpool data pve
    lvcreate -qq -y -n vm-101-disk-0 -V 128M --thinpool data pve
    sgdisk --clear --new=1:0:0 /dev/pve/vm-100-disk-0 >/dev/null
    # A machine with a thin disk and one that is not, which are not what its archive has: it went on after its backup.
    lvcreate -qq -y -n vm-103-disk-0 -V 12M --thinpool data pve
    lvcreate -qq -y -n vm-103-disk-1 -L 4M --addtag pve-vm-103 pve
    for number in 0 1; do head -c 4M /dev/urandom >/dev/pve/vm-103-disk-$number; done
    mke2fs -q -t ext4 -L container /dev/pve/vm-101-disk-0
    lvcreate -qq -s -k y -n snap_vm-100-disk-0_before pve/vm-100-disk-0
    quick luksFormat --type luks2 --pbkdf pbkdf2 --uuid 0a0b0c0d-5555-4000-8000-000000000001 "$b" /etc/keys/backups.key
    cryptsetup open --key-file /etc/keys/backups.key "$b" backups
    mkfs.vfat -F 32 -n ESP -i 5E5B0A7A "${a}2" >/dev/null
    mkswap -q -U 0a0b0c0d-5555-4000-8000-000000000003 /dev/pve/swap
    mke2fs -q -t ext4 -L backups -U 0a0b0c0d-5555-4000-8000-000000000004 /dev/mapper/backups
    clone_root /dev/pve/root 0a0b0c0d-5555-4000-8000-000000000002
    mount_over "${a}2" /boot/efi umask=0077
    mount_over /dev/mapper/backups /srv/backups
    # As Proxmox leaves it below its view of the cluster.
    chattr +i /mnt/etc/pve
}

leave() {
    vgchange -qq -an pve
    cryptsetup close backups
}
