#!/bin/sh
# Makes golden vaults of the format as it is now: for root, from anywhere, with XFS in the kernel. What was released is not made anew.
#
#   sh vault/tests/golden/make.sh LIFEBOAT NAME...      LIFEBOAT '' builds it
#
# Each folder here holds `vault`, as the program wrote it, and `N.census`, what census.py said of the tree when
# snapshot N was taken. The keys beside this script are for these vaults alone and protect nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lifeboat=${1:-}
[ $# -ge 2 ] || { echo "usage: make.sh LIFEBOAT NAME..." >&2; exit 2; }
shift
if [ -z "$lifeboat" ]; then
    cd "$here/../../.."
    cargo build -p builder
    lifeboat=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    lifeboat=$(ls -t "$lifeboat"/*/debug/lifeboat "$lifeboat"/debug/lifeboat 2>/dev/null | head -n 1)
fi

work=$(mktemp -d)
trap 'umount "$work/ground" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/ground" "$work/state"
truncate -s 1G "$work/image"
mkfs.xfs -q "$work/image"
mount -o loop "$work/image" "$work/ground"
printf 'version = 1\nhost_name = "golden"\n' >"$work/config.toml"
export LIFEBOAT_STATE="$work/state" LIFEBOAT_CONFIG="$work/config.toml"

# Keys that are made once and kept.
[ -f "$here/identity.txt" ] || age-keygen -o "$here/identity.txt" 2>/dev/null
[ -f "$here/host_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C golden -f "$here/host_ed25519"
echo "golden $(cat "$here/host_ed25519.pub")" >"$here/signers"

begin() { # NAME SEGMENT BLOCK
    name=$1
    out=$here/$name
    tree=$work/ground/$name
    rm -rf "$out" "$work/state"
    mkdir -p "$out"
    mkdir -m 700 "$work/state"
    install -m 600 "$here/host_ed25519" "$work/state/host_ed25519"
    install -m 644 "$here/host_ed25519.pub" "$work/state/host_ed25519.pub"
    "$lifeboat" init --vault "$out/vault" --identity "$here/identity.txt" --yes --segment-size "$2" --block-size "$3"
}

stage() { # N
    python3 "$here/tree.py" "$name" "$1" "$tree"
    sleep 0.1
}

backup() {
    "$lifeboat" backup --vault "$out/vault" --source "$tree" "$@"
}

census() { # SERIAL
    python3 "$here/census.py" "$tree" >"$out/$1.census"
}

# cut COMMAND...: runs it, and takes away what is written last, as if it had been cut there.
cut() {
    cp -a "$work/state" "$work/state.before"
    cp -a "$out/vault/audit" "$work/audit.before"
    "$@"
    last=$(ls "$out/vault/manifests/golden" | sed -n 's/\.json$//p' | sort -n | tail -n 1)
    rm "$out/vault/manifests/golden/$last.json" "$out/vault/manifests/golden/$last.json.sig"
    rm -rf "$out/vault/audit"
    mv "$work/audit.before" "$out/vault/audit"
    # The cache of what is stored where stays: it was written before the manifest.
    rm -rf "$work/state.before/cache"
    mv "$work/state/cache" "$work/state.before/cache"
    rm -rf "$work/state"
    mv "$work/state.before" "$work/state"
}

make_bare() {
    begin bare 64K 16K
    stage 1
    backup
    census 1
}

make_one_of_each() {
    begin one-of-each 64K 16K
    stage 1
    backup
    census 1
}

make_grown() {
    begin grown 32K 8K
    stage 1
    backup
    census 1
    stage 2
    cut backup
    stage 3
    backup
    census 2
    stage 4
    cut backup
    mkdir -p "$out/vault/tmp"
    echo "half an object" >"$out/vault/tmp/0123456789abcdef"
}

make_sized() {
    begin sized 32K 4K
    for number in 1 2; do
        stage $number
        backup --most-blocks 16
        census $number
    done
}

for golden in "$@"; do
    make_$(echo "$golden" | tr - _)
done
du -sk "$here"/*/vault
