# A host of containers, on one disk: LXC's is there from the beginning, Podman's is made by Podman itself at the first start.
boot_disks=$(disk LBHOSTA)

devices() {
    a=$(disk LBHOSTA)
    sgdisk --clear --new=1:1M:+1M --typecode=1:ef02 --new=2:0:0 --typecode=2:8300 "$a" >/dev/null
    udevadm settle
    clone_root "${a}2" 0a0b0c0d-8888-4000-8000-000000000001
}
