#!/bin/sh
# Stands in for Proxmox's programs: writes down how it was called, and leaves what the real one would.
set -eu
program=$(basename "$0")
echo "$program $*" >>/var/log/calls
volume() { # NAME SIZE: a volume that is there keeps its content
    [ -e "/dev/pve/$1" ] || lvcreate -qq -y -n "$1" -V "$2" --thinpool data pve
}
# set ID --KEY VALUE, or set ID --delete KEY
change() { # FOLDER ID OPTION VALUE
    config=/etc/pve/nodes/mesh/$1/$2.conf
    key=${3#--}
    [ "$key" != delete ] || key=$4
    sed -i "/^$key: /d" "$config"
    [ "$3" = --delete ] || echo "$key: $4" >>"$config"
}
case $program in
    pvesm)
        # list STORAGE --vmid ID
        echo "Volid Format Type Size VMID"
        case $2 in local-lvm) pool=data ;; plain) pool= ;; *) exit 0 ;; esac
        lvs --noheadings --units b --nosuffix -o lv_name,lv_size,pool_lv pve 2>/dev/null | while read -r name size of; do
            case $name in vm-"$4"-*) [ "$of" != "$pool" ] || echo "$2:$name raw images $size $4" ;; esac
        done
        ;;
    qm)
        case $1 in
            status) echo "status: stopped" ;;
            set) change qemu-server "$2" "$3" "$4" ;;
        esac
        ;;
    qmrestore)
        [ ! -e "/etc/pve/nodes/mesh/qemu-server/$2.conf" ] || { echo "unable to restore VM $2 - VM already exists" >&2; exit 255; }
        zstd -q -t "$1"
        volume "vm-$2-disk-0" 64M
        cp "/var/lib/lifeboat/guests/aside/$2.conf" "/etc/pve/nodes/mesh/qemu-server/$2.conf"
        ;;
    pct)
        case $1 in
            status) echo "status: stopped" ;;
            set) change lxc "$2" "$3" "$4" ;;
        esac
        [ "$1" = restore ] || exit 0
        [ ! -e "/etc/pve/nodes/mesh/lxc/$2.conf" ] || { echo "unable to restore CT $2 - CT already exists" >&2; exit 255; }
        volume "vm-$2-disk-0" 128M
        zstd -q -dc "$3" | tar -xO ./etc/vzdump/pct.conf >"/etc/pve/nodes/mesh/lxc/$2.conf"
        ;;
esac
