#!/bin/sh
# Data of every kind that a restore has to bring back, in /home/ada/zoo and in /root/zoo.
set -eu
make_zoo() {
    rm -rf "$1"; mkdir -p "$1"; cd "$1"
    echo plain >plain.txt
    : >empty
    mkdir -m 3771 sticky-setgid
    ln plain.txt hard-link; ln plain.txt sticky-setgid/hard-link
    ln -s plain.txt symlink; ln -s /nonexistent/target dangling; ln symlink symlink-hard-link 2>/dev/null || true
    mkfifo -m 640 fifo
    mknod char-device c 1 3; mknod block-device b 7 200; chmod 600 block-device
    perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("socket"))'
    printf 'newline' >"$(printf 'two\nlines')"
    printf 'bytes' >"$(printf 'not-utf8-\377\376')"
    printf 'dash' >./-dash; printf 'spaces' >'  spaces  '; printf 'quote' >"'\"\\quote"; printf 'tab' >"$(printf 'tab\t')"
    printf 'long' >"$(printf '%0255d' 0)"
    deep=deep; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do deep=$deep/a-rather-long-folder-name-$i; done
    mkdir -p "$deep"; echo deep >"$deep/file"
    echo acl >acl.txt; setfacl -m u:ada:rw,g:www-data:r,m::rw acl.txt
    mkdir acl-default; setfacl -d -m u:ada:rwx acl-default
    echo xattr >xattr.txt; setfattr -n user.comment -v 'an attribute' xattr.txt
    setfattr -n user.binary -v 0x00ff10 xattr.txt; setfattr -n trusted.lifeboat -v root-only xattr.txt
    setfattr -n user.folder -v yes acl-default
    cp /bin/true capable; setcap cap_net_raw,cap_net_bind_service=ep capable
    cp /bin/true setuid; chmod 4755 setuid
    echo owned >by-number; chown 12345:54321 by-number; chmod 0 by-number
    # 128 MiB of which a little is data: at the start, astride a 4 KiB border, near the end.
    truncate -s 128M sparse
    echo first | dd of=sparse conv=notrunc status=none
    dd if=/bin/bash of=sparse bs=1000 seek=41 count=900 conv=notrunc status=none
    echo last | dd of=sparse bs=1M seek=127 conv=notrunc status=none
    truncate -s 10M hole-only
    printf 'ends in a hole' >hole-at-end; truncate -s 1M hole-at-end
    touch -d '2001-02-03 04:05:06.123456789' plain.txt
    touch -h -d '2002-03-04 05:06:07.987654321' symlink
    touch -d '1969-12-31 23:59:58.5 UTC' before-epoch
    touch -d '2100-01-01 00:00:00.000000001 UTC' after-2038
    echo immutable >immutable; chattr +i immutable
    echo append >append-only; chattr +a append-only
    mkdir nodump; chattr +d nodump
    touch -d '2003-04-05 06:07:08.111222333' sticky-setgid
}
make_zoo /home/ada/zoo
make_zoo /root/zoo
# A program with a small database and its settings.
mkdir -p /home/ada/shop
for i in $(seq 200); do echo "$i,customer $i,$((i * 37 % 1000))"; done >/home/ada/shop/customers.csv
dd if=/dev/urandom of=/home/ada/shop/orders.db bs=1M count=8 status=none
printf 'database = /home/ada/shop/orders.db\n' >/etc/shop.conf
chown -R ada:ada /home/ada/shop
