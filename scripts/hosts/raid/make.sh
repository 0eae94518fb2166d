# A mirror of two disks that starts from either: GRUB for BIOS on both, the ESP as a mirror with its metadata at the end, so that
# firmware sees a FAT on each member, and root on a mirror. /home is XFS over RAID 10 in its
# far layout, which two disks suffice for. A third disk makes RAID 5 and RAID 0, with metadata at the start and near it.
boot_disks="$(disk LBHOSTA) $(disk LBHOSTB)"

array() { # NAME LEVEL METADATA UUID MEMBER...
    name=$1 level=$2 metadata=$3 uuid=$4
    shift 4
    case $level in 10) layout=--layout=f2 ;; 5) layout=--chunk=64 ;; *) layout= ;; esac
    mdadm --create "/dev/md/$name" --run --quiet --level "$level" --raid-devices $# --metadata "$metadata" --uuid "$uuid" \
        --homehost raid --name "$name" --assume-clean $layout "$@"
}

devices() {
    a=$(disk LBHOSTA) b=$(disk LBHOSTB) c=$(disk LBHOSTC)
    for target in $a $b; do
        sgdisk --clear --new=1:1M:+1M --typecode=1:ef02 --new=2:0:+64M --typecode=2:ef00 --new=3:0:+1300M --typecode=3:fd00 \
            --new=4:0:+430M --typecode=4:fd00 --new=5:0:+100M --typecode=5:fd00 --new=6:0:+100M --typecode=6:fd00 "$target" >/dev/null
    done
    sgdisk --clear --new=1:1M:+100M --typecode=1:fd00 --new=2:0:+100M --typecode=2:fd00 "$c" >/dev/null
    udevadm settle
    array esp 1 1.0 0a0b0c0d:22220000:40008000:00000001 "${a}2" "${b}2"
    array root 1 1.2 0a0b0c0d:22220000:40008000:00000002 "${a}3" "${b}3"
    array data 10 1.2 0a0b0c0d:22220000:40008000:00000003 "${a}4" "${b}4"
    array five 5 1.1 0a0b0c0d:22220000:40008000:00000004 "${a}5" "${b}5" "${c}1"
    array stripes 0 1.2 0a0b0c0d:22220000:40008000:00000005 "${b}6" "${c}2"
    udevadm settle
    mkfs.vfat -F 32 -n ESP -i 2E5B0A7A /dev/md/esp >/dev/null
    mkfs.xfs -q -m uuid=0a0b0c0d-2222-4000-8000-000000000003 -L home /dev/md/data
    for name in five stripes; do mke2fs -q -t ext4 -L $name /dev/md/$name; done
    clone_root /dev/md/root 0a0b0c0d-2222-4000-8000-000000000002
    mount_over /dev/md/esp /boot/efi umask=0077
    mount_over /dev/md/data /home
    for name in five stripes; do
        mkdir -p /mnt/srv/$name
        mount_over /dev/md/$name /srv/$name
        dd if=/dev/urandom of=/mnt/srv/$name/content bs=1M count=20 status=none
    done
}

leave() { mdadm --stop --quiet /dev/md/stripes /dev/md/five /dev/md/data /dev/md/root /dev/md/esp; }
