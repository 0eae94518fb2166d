# Images of two guests: one that counts, and one that was switched off, whose image builds on another one.
chmod 755 /usr/local/lib/lab/*.sh
systemctl --quiet enable lab-guests.service
perl -pe 'chomp; $_ = pack "H*", $_' /usr/local/lib/lab/guest.hex >/tmp/guest.raw
rm /usr/local/lib/lab/guest.hex
truncate -s 16M /tmp/guest.raw
qemu-img convert -O qcow2 /tmp/guest.raw /var/lib/libvirt/images/counter.qcow2
mkdir -p /srv/store
qemu-img convert -O qcow2 /tmp/guest.raw /srv/store/base.qcow2
rm /tmp/guest.raw
cd /srv/store
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 archive.qcow2
# What its guest finds in the second sector is in this image, all else in the one below.
qemu-io -c 'write -q -P 0x07 512 512' archive.qcow2
