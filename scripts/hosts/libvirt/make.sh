# A host of libvirt's, on one disk: its guests are defined by libvirt itself, at the first start.
boot_disks=$(disk LBHOSTA)

devices() {
    a=$(disk LBHOSTA)
    sgdisk --clear --new=1:1M:+1M --typecode=1:ef02 --new=2:0:0 --typecode=2:8300 "$a" >/dev/null
    udevadm settle
    clone_root "${a}2" 0a0b0c0d-7777-4000-8000-000000000001
}
