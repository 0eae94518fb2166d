# Two volume groups over three physical volumes. `pve` is named and partitioned as Proxmox VE does it: BIOS boot partition, ESP, and a
# group with swap, root and the thin pool `data`. `store` has a striped volume, XFS on a linear one, a mirror and a snapshot. A volume of each
# holds what only its blocks can bring back: a guest's disk with a partition table, and bytes that nobody knows.
boot_disks=$(disk LBHOSTA)

devices() {
    a=$(disk LBHOSTA) b=$(disk LBHOSTB)
    sgdisk --clear --set-alignment=1 \
        --new=1:34:2047 --typecode=1:ef02 --new=2:1M:+64M --typecode=2:ef00 --new=3:0:0 --typecode=3:8e00 "$a" >/dev/null
    sgdisk --clear --new=1:1M:+600M --typecode=1:8e00 --new=2:0:0 --typecode=2:8e00 "$b" >/dev/null
    udevadm settle
    for part in "${a}3" "${b}1" "${b}2"; do pvcreate -qq -y "$part"; done
    vgcreate -qq pve "${a}3"
    lvcreate -qq -y -n swap -L 128M pve
    lvcreate -qq -y -n root -L 1300M pve
    lvcreate -qq -y -n data --type thin-pool -L 256M --poolmetadatasize 8M pve
    lvcreate -qq -y -n guests -V 512M --thinpool data pve
    vgcreate -qq --addtag kept store "${b}1" "${b}2"
    lvcreate -qq -y -n files -L 400M store "${b}1"
    lvcreate -qq -y -n fast --type striped -i 2 -I 64k -L 64M store
    lvcreate -qq -y -n twice --type raid1 -m 1 --nosync -L 64M store
    mkfs.vfat -F 32 -n ESP -i 1E5B0A7A "${a}2" >/dev/null
    mkswap -q -U 0a0b0c0d-1111-4000-8000-000000000001 /dev/pve/swap
    mke2fs -q -t ext4 -L guests -U 0a0b0c0d-1111-4000-8000-000000000003 /dev/pve/guests
    mkfs.xfs -q -m uuid=0a0b0c0d-1111-4000-8000-000000000004 -L files /dev/store/files
    mke2fs -q -t ext4 -L fast -U 0a0b0c0d-1111-4000-8000-000000000005 /dev/store/fast
    mke2fs -q -t ext4 -L twice -U 0a0b0c0d-1111-4000-8000-000000000006 /dev/store/twice
    clone_root /dev/pve/root 0a0b0c0d-1111-4000-8000-000000000002
    mount_over "${a}2" /boot/efi umask=0077
    mount_over /dev/store/files /home
    mount_over /dev/pve/guests /srv/guests
    mount_over /dev/store/fast /srv/fast
    mount_over /dev/store/twice /srv/twice
    lvcreate -qq -y -n vm-1 -V 128M --thinpool data pve
    lvcreate -qq -y -n raw -L 24M store
    echo 'size=8M' | sfdisk -q /dev/pve/vm-1
    dd if=/dev/urandom of=/dev/pve/vm-1 bs=1M seek=70 count=2 conv=notrunc status=none
    dd if=/dev/urandom of=/dev/store/raw bs=1M count=1 conv=notrunc status=none
    dd if=/dev/urandom of=/dev/store/raw bs=1M seek=20 count=2 conv=notrunc status=none
    lvcreate -qq -y -s -n before -L 16M store/files
    for place in guests fast twice; do echo "on $place" >/mnt/srv/$place/file; done
}

leave() { vgchange -qq -an store pve; }
