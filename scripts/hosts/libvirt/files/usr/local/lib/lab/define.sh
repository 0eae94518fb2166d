#!/bin/sh
# Defines what this host has, by libvirt itself, and starts what runs.
set -eu
cd "$(dirname "$0")"
export LC_ALL=C
virsh="virsh --quiet --connect qemu:///system"
$virsh net-define lab.xml
$virsh net-autostart lab
$virsh net-start lab
$virsh pool-define store.xml
$virsh pool-autostart store
$virsh pool-start store
$virsh secret-define secret.xml
printf 'a secret of the host' >/run/secret
$virsh secret-set-value --file /run/secret --plain 0a0b0c0d-7777-4000-8000-000000000014
rm /run/secret
$virsh define counter.xml
$virsh autostart counter
$virsh define archive.xml
$virsh snapshot-create-as archive before --description 'before anything'
$virsh start counter
