# A DOS table with a primary and two logical partitions. Root is btrfs in subvolumes as an administrator lays them out: `@` (the default) with two
# nested ones, `@home`, one that is read-only, and a read-only snapshot of `@`. Swap and an ext4 lie on the logical partitions.
boot_disks=$(disk LBHOSTA)

devices() {
    a=$(disk LBHOSTA)
    sfdisk -q "$a" <<'TABLE'
label: dos
label-id: 0x4c42b7f5
1: start=2048, size=3481600, type=83, bootable
3: start=3483648, type=5
5: start=3485696, size=131072, type=82
6: start=3618816, type=83
TABLE
    udevadm settle
    mkswap -q -U 0a0b0c0d-3333-4000-8000-000000000001 "${a}5"
    mke2fs -q -t ext4 -L files -U 0a0b0c0d-3333-4000-8000-000000000002 "${a}6"
    mkfs.btrfs -q -f -K -U 0a0b0c0d-3333-4000-8000-000000000003 -L system --csum xxhash "${a}1"
    mount -o compress=zstd:1 "${a}1" /mnt
    for name in @ @home @locked @/nested @/nested/inner; do btrfs -q subvolume create "/mnt/$name"; done
    btrfs subvolume set-default /mnt/@
    umount /mnt
    mount -o subvol=@,compress=zstd:1 "${a}1" /mnt
    mkdir -p /mnt/home /mnt/srv/locked /mnt/srv/bound
    mount -o subvol=@home,compress=zstd:1 "${a}1" /mnt/home
    mount -o subvol=@locked,compress=zstd:1 "${a}1" /mnt/srv/locked
    mount_over "${a}6" /srv/files
    mkdir /mnt/nested/inner/guests
    chattr +C /mnt/nested/inner/guests
    dd if=/dev/urandom of=/mnt/nested/inner/guests/disk bs=64k count=8 status=none
    for place in nested nested/inner srv/locked srv/files; do echo "on $place" >"/mnt/$place/file"; done
}

leave() {
    mount -o subvolid=5 "${a}1" /mnt
    btrfs -q subvolume snapshot -r /mnt/@ /mnt/before
    btrfs property set -ts /mnt/@locked ro true
    umount /mnt
}
