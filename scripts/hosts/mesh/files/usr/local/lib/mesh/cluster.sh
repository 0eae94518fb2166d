#!/bin/sh
# Stands in for pmxcfs: shows the files of the cluster's database at /etc/pve, in a filesystem of its own.
set -eu
database=/var/lib/pve-cluster/config.db
[ -z "$(ls -A /etc/pve)" ] || { echo "/etc/pve is not empty" >&2; exit 1; }
address=$(getent ahostsv4 "$(hostname)" | cut -d' ' -f1 | head -n 1)
case $address in 127.* | '') echo "$(hostname) has no address but a loopback" >&2; exit 1 ;; esac
mount -t tmpfs -o mode=755 pve /etc/pve
sqlite3 $database "WITH RECURSIVE files(inode, type, path, data) AS (
    SELECT inode, type, '/etc/pve/' || name, data FROM tree WHERE parent = 0 AND inode != 0
    UNION ALL SELECT tree.inode, tree.type, path || '/' || name, tree.data FROM tree JOIN files ON tree.parent = files.inode)
    SELECT writefile(path, data) FROM files WHERE type = 8;" >/dev/null
printf '{ "nodename": "%s", "version": 0 }\n' "$(hostname)" >/etc/pve/.members
