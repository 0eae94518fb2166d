# The checksum of its root filesystem: mkinitramfs does not know that it is needed.
echo xxhash_generic >>/etc/initramfs-tools/modules
