#!/bin/sh
# Starts an S3 server with TLS: Ceph's gateway over one monitor and one object store in memory, all below a folder of its own.
#
#   sh start.sh FOLDER PORT
#
# Prints, when it serves, the lines that a client needs: endpoint, CA file, access key, secret key. It stays in the foreground until
# its standard input closes, and then everything ends with it; so it dies with whoever started it. Needs no root.
set -eu
folder=$1 port=$2
mkdir -p "$folder"
cd "$folder"
folder=$(pwd)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=test authority' \
    -addext 'basicConstraints=critical,CA:TRUE' -keyout ca.key -out ca.pem 2>ca.log
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr 2>>ca.log
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile server.ext -out server.pem 2>>ca.log

fsid=$(cat /proc/sys/kernel/random/uuid)
# The monitor's port beside ours: nothing else on this machine is asked to use it.
monitor=$((port + 1))
cat >ceph.conf <<CONF
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$monitor/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_bind_msgr1 = false
public_network = 127.0.0.0/8
run_dir = $folder
admin_socket = $folder/\$name.asok
pid_file = $folder/\$name.pid
log_file = $folder/\$name.log
log_to_stderr = false
err_to_stderr = true
crash_dir = $folder/crash
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
# A monitor refuses to run on a disk that is 95 % full, without a word to its clients; ours holds nothing worth refusing for.
mon_data_avail_warn = 0
mon_data_avail_crit = 0
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
rgw_frontends = beast ssl_endpoint=127.0.0.1:$port ssl_certificate=$folder/server.pem ssl_private_key=$folder/server.key
rgw_dns_name = localhost
rgw_enable_usage_log = false
rgw_max_listing_results = 100
rgw_enable_gc_threads = false
rgw_bucket_quota_ttl = 0
rgw_user_quota_bucket_sync_interval = 1
[mon.a]
mon_data = $folder/mon
[osd.0]
osd_data = $folder/osd
CONF
export CEPH_CONF="$folder/ceph.conf"
mkdir -p mon osd crash

children=
serving=
stop() {
    trap - EXIT INT TERM
    for child in $children; do kill -9 "$child" 2>/dev/null || true; done
    [ -z "$serving" ] || exit 0
    echo "the S3 server did not start; logs are in $folder" >&2
    df -h "$folder" >&2
    tail -n 20 "$folder"/setup.log "$folder"/*.out >&2
}
trap stop EXIT
trap 'exit 1' INT TERM

monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor/0]" monmap >setup.log 2>&1
ceph-mon -c ceph.conf -i a --mkfs --monmap monmap >>setup.log 2>&1
ceph-mon -c ceph.conf -i a -f >mon.out 2>&1 &
children="$children $!"
id=$(cat /proc/sys/kernel/random/uuid)
timeout 180 ceph -c ceph.conf osd new "$id" >>setup.log 2>&1
timeout 180 ceph -c ceph.conf osd crush add 0 1 root=default >>setup.log 2>&1
ceph-osd -c ceph.conf -i 0 --mkfs --osd-uuid "$id" >>setup.log 2>&1
ceph-osd -c ceph.conf -i 0 -f >osd.out 2>&1 &
children="$children $!"
radosgw -c ceph.conf -n client.admin -f >rgw.out 2>&1 &
children="$children $!"

timeout 180 radosgw-admin -c ceph.conf user create --uid=test --display-name=test --access-key=TESTACCESSKEY \
    --secret-key=testsecretkey0123456789 >user.json 2>>setup.log
turn=0
until curl -s --cacert ca.pem "https://localhost:$port/" >/dev/null; do
    turn=$((turn + 1))
    if [ $turn -gt 240 ]; then
        echo "the S3 gateway does not answer" >&2
        exit 1
    fi
    sleep 0.25
done
serving=yes
echo "endpoint=https://localhost:$port"
echo "ca=$folder/ca.pem"
echo "access=TESTACCESSKEY"
echo "secret=testsecretkey0123456789"
# Ends with the test that holds the other end.
cat >/dev/null
