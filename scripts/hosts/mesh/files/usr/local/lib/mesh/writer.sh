#!/bin/sh
# Stands in for a node at work: holds the cluster's database open and changes it, so that the newest of it is in the log beside it only.
set -eu
{
    echo "PRAGMA wal_autocheckpoint=0;"
    echo "INSERT OR REPLACE INTO tree VALUES (30, 6, 41, 1, 1763000001, 8, 'cluster.fw', CAST('written to the log' AS BLOB));"
    while sleep 2; do
        echo "UPDATE tree SET version = version + 1 WHERE inode = 0;"
    done
} | sqlite3 -batch /var/lib/pve-cluster/config.db
