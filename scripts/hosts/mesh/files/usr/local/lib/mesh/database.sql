PRAGMA journal_mode=WAL;
CREATE TABLE tree (
  inode INTEGER PRIMARY KEY NOT NULL,
  parent INTEGER NOT NULL CHECK(typeof(parent)=='integer'),
  version INTEGER NOT NULL CHECK(typeof(version)=='integer'),
  writer INTEGER NOT NULL CHECK(typeof(writer)=='integer'),
  mtime INTEGER NOT NULL CHECK(typeof(mtime)=='integer'),
  type INTEGER NOT NULL CHECK(typeof(type)=='integer'),
  name TEXT NOT NULL,
  data BLOB);
INSERT INTO tree VALUES
  (0, 0, 40, 1, 1763000000, 8, '__version__', NULL),
  (2, 0, 2, 1, 1763000000, 4, 'nodes', NULL),
  (3, 2, 3, 1, 1763000000, 4, 'mesh', NULL),
  (4, 3, 4, 1, 1763000000, 4, 'qemu-server', NULL),
  (5, 3, 5, 1, 1763000000, 4, 'lxc', NULL),
  (6, 0, 6, 1, 1763000000, 4, 'firewall', NULL),
  (7, 0, 7, 1, 1763000000, 4, 'priv', NULL),
  (10, 0, 10, 1, 1763000000, 8, 'storage.cfg', CAST('dir: local
	path /var/lib/vz
	content iso,vztmpl,backup

lvmthin: local-lvm
	thinpool data
	vgname pve
	content rootdir,images

lvm: plain
	vgname pve
	content images

dir: backups
	path /srv/backups
	content backup
	is_mountpoint 1
' AS BLOB)),
  (11, 4, 11, 1, 1763000000, 8, '100.conf', CAST('boot: order=scsi0
cores: 1
ide2: local-lvm:vm-100-cloudinit,media=cdrom
memory: 512
name: small
net0: virtio=BC:24:11:10:00:01,bridge=vmbr0,firewall=1
onboot: 1
protection: 1
scsi0: local-lvm:vm-100-disk-0,size=64M
startup: order=2

[before]
boot: order=scsi0
cores: 1
memory: 512
name: small
scsi0: local-lvm:vm-100-disk-0,size=64M
snaptime: 1763000000
' AS BLOB)),
  (12, 5, 12, 1, 1763000000, 8, '101.conf', CAST('arch: amd64
hostname: names
memory: 128
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:10:00:02,ip=dhcp,type=veth
onboot: 1
ostype: debian
rootfs: local-lvm:vm-101-disk-0,size=128M
startup: order=1
' AS BLOB)),
  (13, 4, 13, 1, 1763000000, 8, '102.conf', CAST('memory: 512
name: scratch
scsi0: local-lvm:vm-102-disk-0,size=64M
' AS BLOB)),
  (21, 4, 21, 1, 1763000000, 8, '103.conf', CAST('boot: order=scsi0
memory: 256
name: router
onboot: 1
scsi0: local-lvm:vm-103-disk-0,size=12M
scsi1: plain:vm-103-disk-1,size=4M
' AS BLOB)),
  (14, 6, 14, 1, 1763000000, 8, '100.fw', CAST('[OPTIONS]
enable: 1
' AS BLOB)),
  (15, 7, 15, 1, 1763000000, 8, 'authkey.key', CAST('a secret of the node
' AS BLOB)),
  (16, 0, 16, 1, 1763000000, 8, 'user.cfg', CAST('user:root@pam:1:0:::admin@example.org::
' AS BLOB)),
  (17, 0, 17, 1, 1763000000, 8, 'corosync.conf', CAST('totem {
  cluster_name: home
  version: 2
}
nodelist {
  node { name: mesh nodeid: 1 ring0_addr: 192.0.2.7 }
  node { name: other nodeid: 2 ring0_addr: 192.0.2.8 }
}
' AS BLOB)),
  (18, 2, 18, 1, 1763000000, 4, 'other', NULL),
  (19, 18, 19, 1, 1763000000, 4, 'qemu-server', NULL),
  (20, 19, 20, 1, 1763000000, 8, '200.conf', CAST('memory: 512
name: elsewhere
' AS BLOB));
