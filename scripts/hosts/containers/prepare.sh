# LXC's container: busybox and a program that counts, for users that are none of the host's.
chmod 755 /usr/local/lib/lab/*.sh /var/lib/lxc /var/lib/lxc/web
root=/var/lib/lxc/web/rootfs
mkdir -p $root/bin $root/dev $root/proc $root/sys $root/tmp
cp /bin/busybox $root/bin/
for name in sh cat mv sleep; do ln -s busybox $root/bin/$name; done
cat >$root/bin/count <<'END'
#!/bin/sh
number=$(cat /number 2>/dev/null || echo 0)
while sleep 1; do
    number=$((number + 1))
    echo $number >/number.new && mv /number.new /number
done
END
chmod 755 $root/bin/count
chown -hR 100000:100000 $root
echo root:100000:65536 | tee -a /etc/subuid >>/etc/subgid

# Podman's image: PostgreSQL's server with what it needs and nothing else, and a cluster.
own=/usr/lib/postgresql/15
image=/tmp/image
mkdir -p $image/etc $image/tmp $image/run/postgresql
libraries=$(ldd $own/bin/postgres | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p')
cp -L --parents $own/bin/postgres $own/lib/plpgsql.so $own/lib/amcheck.so $libraries $image/
cp -a --parents /usr/share/postgresql/15 $image/
printf 'root:x:0:0::/:/\npostgres:x:70:70::/data:/\n' >$image/etc/passwd
printf 'root:x:0:\npostgres:x:70:\n' >$image/etc/group
data=/var/lib/postgresql/data
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as_postgres $own/bin/initdb --pgdata=$data --no-locale --encoding=UTF8 --auth=trust --no-sync >/dev/null
cat >>$data/postgresql.conf <<'END'
listen_addresses = ''
unix_socket_directories = '/run/postgresql'
dynamic_shared_memory_type = posix
shared_buffers = 8MB
max_connections = 10
timezone = 'GMT'
log_timezone = 'GMT'
END
as_postgres $own/bin/postgres --single -c dynamic_shared_memory_type=sysv -D $data postgres >/dev/null <<'END'
CREATE TABLE entries (id bigserial PRIMARY KEY, boot text NOT NULL, made timestamptz NOT NULL DEFAULT now())
CREATE EXTENSION amcheck
END
mv $data $image/data
chown -R 70:70 $image/data $image/run/postgresql
tar -C $image -cf /usr/local/lib/lab/image.tar .
rm -r $image
DEBIAN_FRONTEND=noninteractive dpkg --purge postgresql-15 postgresql-common libllvm14 libz3-4 libjson-perl ssl-cert locales libc-l10n
rm -rf /var/lib/postgresql /etc/postgresql
for unit in podman-restart lab-containers lab-writer; do systemctl --quiet enable $unit.service; done
