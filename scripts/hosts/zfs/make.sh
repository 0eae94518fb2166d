# Proxmox VE's own ZFS layout: on each of two disks a BIOS boot partition, an ESP that is in no fstab and holds systemd-boot with kernel and
# initramfs as the boot tool lays them out, and a member of the mirrored pool `rpool`. Beside the datasets that Proxmox makes there is one of every
# kind that comes back in its own way.
devices() {
    a=$(disk LBHOSTA) b=$(disk LBHOSTB)
    for target in $a $b; do
        sgdisk --clear --set-alignment=1 \
            --new=1:34:2047 --typecode=1:ef02 --new=2:1M:+96M --typecode=2:ef00 --new=3:0:0 --typecode=3:bf01 "$target" >/dev/null
    done
    udevadm settle
    modprobe zfs
    # Below /tmp for the time being: there is nowhere else to mount it yet.
    zpool create -f -o ashift=12 -o autotrim=on -o comment='the only pool' -R /tmp/pool -O compression=on -O acltype=posix -O xattr=sa \
        -O atime=on -O relatime=on rpool mirror "${a}3" "${b}3"
    zfs create -u -o mountpoint=none -o canmount=off rpool/ROOT
    zfs create -u -o mountpoint=/ rpool/ROOT/pve-1
    zfs create -u -o mountpoint=/ -o canmount=noauto rpool/ROOT/before
    zpool set bootfs=rpool/ROOT/pve-1 rpool
    zfs create -u rpool/data
    zfs create -u -o mountpoint=/var/lib/vz -o recordsize=1M -o quota=500M rpool/var-lib-vz
    zfs create -u -o mountpoint=/home -o atime=off -o org.lifeboat:kept='two words' rpool/home
    zfs create -u -o mountpoint=legacy -o compression=zstd rpool/legacy
    zfs create -u -o mountpoint=/srv/locked rpool/locked
    zfs create -u -o mountpoint=/srv/names -o casesensitivity=insensitive -o normalization=formD rpool/names
    zfs create -s -V 64M -b 16k rpool/data/vm-100-disk-0
    zfs create -V 32M rpool/data/vm-101-disk-0
    zpool export rpool
    zpool import -N -R /mnt -d "${a}3" -d "${b}3" rpool
    for try in 1 2 3 4 5 6 7 8 9 10; do
        udevadm settle
        [ ! -e /dev/zvol/rpool/data/vm-100-disk-0 ] || [ ! -e /dev/zvol/rpool/data/vm-101-disk-0 ] || break
        sleep 1
    done
    zfs mount rpool/ROOT/pve-1
    zfs mount -a
    mkdir -p /mnt/srv/legacy /mnt/srv/guest /mnt/etc/zfs
    mount -t zfs rpool/legacy /mnt/srv/legacy
    mke2fs -q -t ext4 -L guest -U 0a0b0c0d-5555-4000-8000-000000000001 /dev/zvol/rpool/data/vm-100-disk-0
    mount /dev/zvol/rpool/data/vm-100-disk-0 /mnt/srv/guest
    echo 'label: gpt
size=8M, name=guest' | sfdisk -q /dev/zvol/rpool/data/vm-101-disk-0
    dd if=/dev/urandom of=/dev/zvol/rpool/data/vm-101-disk-0 bs=1M seek=5 count=2 conv=notrunc status=none
    for place in srv/legacy srv/guest srv/locked srv/names var/lib/vz rpool rpool/data; do echo "on $place" >"/mnt/$place/file"; done
    aside rpool/ROOT/before
    zfs snapshot rpool/home@before
    zpool set cachefile=/tmp/zpool.cache rpool
    for part in "${a}2 5E5B0A7A" "${b}2 5E5B0A7B"; do boot_tool_esp $part; done
    cp /tmp/zpool.cache /mnt/etc/zfs/zpool.cache
    mkdir -p /mnt/etc/kernel
    printf '5E5B-0A7A\n5E5B-0A7B\n' >/mnt/etc/kernel/proxmox-boot-uuids
}

# Something to bring back where nothing is mounted.
aside() { # DATASET
    mkdir -p /tmp/aside
    mount -t zfs -o zfsutil "$1" /tmp/aside
    echo "on $1" >/tmp/aside/file
    umount /tmp/aside
}

boot_tool_esp() { # PARTITION SERIAL
    mkfs.vfat -F 32 -i "$2" "$1" >/dev/null
    esp=/tmp/esp
    mkdir -p $esp
    mount "$1" $esp
    release=$(cd /lib/modules && echo *)
    own=EFI/proxmox/$release
    mkdir -p "$esp/$own" $esp/EFI/systemd $esp/EFI/BOOT $esp/loader/entries
    cp "/boot/vmlinuz-$release" "/boot/initrd.img-$release" "$esp/$own/"
    cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi $esp/EFI/systemd/
    cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi $esp/EFI/BOOT/BOOTX64.EFI
    printf 'timeout 0\ndefault proxmox-*\n' >$esp/loader/loader.conf
    cat >"$esp/loader/entries/proxmox-$release.conf" <<END
title    Proxmox VE
version  $release
options  root=ZFS=rpool/ROOT/pve-1 boot=zfs console=tty0 console=ttyS0,115200 quiet
linux    /$own/vmlinuz-$release
initrd   /$own/initrd.img-$release
END
    umount $esp
}

leave() {
    zfs set readonly=on rpool/locked
    zpool export rpool
}
