# The cluster's database, by the schema that a node makes, and the guests' archives (small.vma.zst and two.vma.zst are those of guests/fixtures/vma).
database=/var/lib/pve-cluster/config.db
mkdir -p /var/lib/pve-cluster /etc/pve
chown root:www-data /var/lib/pve-cluster
sqlite3 $database </usr/local/lib/mesh/database.sql
chmod 600 $database
chmod 700 /etc/keys
chmod 600 /etc/keys/* /etc/corosync/authkey
chmod 755 /usr/local/lib/mesh/*.sh
for program in qmrestore pct pvesm qm; do ln -s /usr/local/lib/mesh/call.sh /usr/local/sbin/$program; done
for unit in pve-cluster pve-writer pve-guests mesh-look; do systemctl --quiet enable $unit.service; done
backups=/srv/backups/dump
mkdir -p $backups /var/lib/vz/dump
cp /usr/local/lib/mesh/small.vma.zst $backups/vzdump-qemu-100-2026_11_01-03_00_00.vma.zst
cp /usr/local/lib/mesh/small.vma.zst $backups/vzdump-qemu-100-2026_11_20-03_00_00.vma.zst
echo nightly >$backups/vzdump-qemu-100-2026_11_20-03_00_00.vma.zst.notes
cp /usr/local/lib/mesh/two.vma.zst /var/lib/vz/dump/vzdump-qemu-103-2026_11_20-03_20_00.vma.zst
mkdir -p /tmp/container/etc/vzdump
printf 'arch: amd64\nhostname: names\nrootfs: local-lvm:vm-101-disk-0,size=128M\n' >/tmp/container/etc/vzdump/pct.conf
head -c 200000 /dev/urandom >/tmp/container/data
tar -C /tmp/container -cf - . | zstd -q -o /var/lib/vz/dump/vzdump-lxc-101-2026_11_20-03_10_00.tar.zst
rm -r /tmp/container /usr/local/lib/mesh/small.vma.zst /usr/local/lib/mesh/two.vma.zst
