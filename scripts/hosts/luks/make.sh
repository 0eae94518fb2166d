# An encrypted host: /boot in clear, root and swap on volumes in a LUKS2 container that a typed passphrase opens (two passphrases and a key file
# have slots), data in a LUKS1 container by a key file that crypttab names, and swap on plain dm-crypt with a key of the start. PBKDF2 with
# 1,000 iterations: these machines are emulated, and the strength of passphrases is not what is tested.
boot_disks=$(disk LBHOSTA)

quick() { cryptsetup --batch-mode --pbkdf-force-iterations 1000 "$@"; }

devices() {
    a=$(disk LBHOSTA) b=$(disk LBHOSTB)
    sgdisk --clear --new=1:1M:+1M --typecode=1:ef02 --new=2:0:+64M --typecode=2:ef00 --new=3:0:+256M --typecode=3:8300 \
        --new=4:0:0 --typecode=4:8309 "$a" >/dev/null
    sgdisk --clear --new=1:1M:+256M --typecode=1:8309 --new=2:0:0 --typecode=2:8200 \
        --partition-guid=2:0a0b0c0d-3333-4000-8000-00000000000b "$b" >/dev/null
    udevadm settle
    base_files=/tmp/keys
    mkdir -m 700 -p $base_files
    printf 'eins zwei' >$base_files/first
    printf ' drei ' >$base_files/second
    quick luksFormat --type luks2 --pbkdf pbkdf2 --uuid 0a0b0c0d-3333-4000-8000-000000000001 --label safe "${a}4" $base_files/first
    quick luksAddKey --pbkdf pbkdf2 --key-file $base_files/first "${a}4" $base_files/second
    quick luksAddKey --pbkdf pbkdf2 --key-file $base_files/first "${a}4" /etc/keys/boot.key
    cryptsetup open --key-file $base_files/first "${a}4" root
    quick luksFormat --type luks1 --uuid 0a0b0c0d-3333-4000-8000-000000000002 "${b}1" /etc/keys/data.key
    quick luksAddKey --key-file /etc/keys/data.key "${b}1" $base_files/second
    cryptsetup open --key-file /etc/keys/data.key "${b}1" data
    pvcreate -qq -y /dev/mapper/root
    vgcreate -qq inner /dev/mapper/root
    lvcreate -qq -y -n swap -L 64M inner
    lvcreate -qq -y -n root -L 1100M inner
    mkswap -q -U 0a0b0c0d-3333-4000-8000-000000000003 /dev/inner/swap
    mkfs.vfat -F 32 -n ESP -i 3E5B0A7A "${a}2" >/dev/null
    mke2fs -q -t ext4 -L boot -U 0a0b0c0d-3333-4000-8000-000000000005 "${a}3"
    mke2fs -q -t ext4 -L data -U 0a0b0c0d-3333-4000-8000-000000000006 /dev/mapper/data
    clone_root /dev/inner/root 0a0b0c0d-3333-4000-8000-000000000004
    mount_over "${a}3" /boot
    mkdir -p /mnt/boot/efi
    mount_over "${a}2" /boot/efi umask=0077
    mkdir -p /mnt/srv/data
    mount_over /dev/mapper/data /srv/data
    echo "behind a key file" >/mnt/srv/data/file
}

leave() {
    vgchange -qq -an inner
    cryptsetup close root
    cryptsetup close data
}
