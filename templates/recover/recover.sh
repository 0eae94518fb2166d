#!/bin/sh
# Restores one snapshot of a Lifeboat vault with stock tools only:
#   ssh-keygen, sha256sum, age, openssl, zstd, tar (GNU), awk, dd, sort, touch. setfattr and chattr are used if present.
# The steps are explained in RECOVER.md beside this file; the format in docs/FORMAT.md of the project.
set -eu
LC_ALL=C
export LC_ALL
umask 077

usage() {
    cat >&2 <<'TEXT'
usage: recover.sh --vault DIR --identity FILE --signers FILE --to DIR [--host HOST] [--serial N]
       recover.sh --vault DIR --identity FILE --no-signature --to DIR ...
       recover.sh ... --private DIR

  --vault         the vault (on a stick: the folder vault on the partition LIFEBOAT)
  --identity      age identity file (AGE-SECRET-KEY-1...)
  --signers       allowed-signers file with the host's public key, kept apart from the vault
  --no-signature  restore without knowing who made the snapshot
  --to            existing folder to restore into, best an empty filesystem
  --host          which host, if the vault has several
  --serial        which snapshot; the newest if left out
  --private       existing folder, best in memory, for the snapshot's private parts: headers of LUKS containers, and what else
                  is kept beside the files. Whoever has them and a passphrase, or a volume key, can open the container.
TEXT
    exit 2
}

fail() {
    code=$1
    shift
    echo "recover.sh: $*" >&2
    exit "$code"
}

vault= identity= signers= host= serial= dest= unsigned= private=
while [ $# -gt 0 ]; do
    case $1 in
        --no-signature) unsigned=yes; shift; continue ;;
        --vault | --identity | --signers | --host | --serial | --to | --private) [ $# -ge 2 ] || usage ;;
        *) usage ;;
    esac
    case $1 in
        --vault) vault=$2 ;;
        --identity) identity=$2 ;;
        --signers) signers=$2 ;;
        --host) host=$2 ;;
        --serial) serial=$2 ;;
        --to) dest=$2 ;;
        --private) private=$2 ;;
    esac
    shift 2
done
[ -n "$vault" ] && [ -n "$identity" ] && [ -n "$dest" ] || usage
[ -n "$signers$unsigned" ] || usage
[ -f "$vault/vault.json" ] || fail 10 "$vault holds no vault (no vault.json in it)"
[ -d "$dest" ] || fail 2 "$dest is no folder"
[ -z "$private" ] || [ -d "$private" ] || fail 2 "$private is no folder"
for tool in ssh-keygen sha256sum age openssl zstd tar awk dd sort touch; do
    command -v "$tool" >/dev/null || fail 1 "$tool is not installed"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/recover.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# 1. Which snapshot.
if [ -z "$host" ]; then
    host=$(ls "$vault/manifests")
    case $host in
        '') fail 10 "the vault holds no snapshot" ;;
        *'
'*) fail 2 "the vault holds several hosts, name one with --host: $(echo "$host" | tr '\n' ' ')" ;;
    esac
fi
case $serial in *[!0-9]*) fail 2 "--serial $serial: a number is wanted" ;; esac
# A snapshot from which something was erased has a revision in its name; the highest counts.
name=$(ls "$vault/manifests/$host" | sed -n "s/^\(${serial:-[0-9][0-9]*}\(\.[0-9][0-9]*\)\{0,1\}\)\.json\$/\1/p" |
    sort -t . -k 1,1n -k 2,2n | tail -n 1)
[ -n "$name" ] || fail 10 "there is no snapshot $serial of $host"
serial=${name%%.*}
manifest="$vault/manifests/$host/$name.json"
# What is verified is what is used: the medium is read once.
cp "$manifest" "$work/manifest"
cp "$manifest.sig" "$work/manifest.sig" 2>/dev/null || [ -n "$unsigned" ] || fail 20 "$manifest has no signature"

# 2. Who made it.
if [ -n "$signers" ]; then
    # A key that was retired since still counts for what it signed in its time, which is when the snapshot was finished.
    at=$(sed -n 's/^ *"finished" *: *"\([0-9T:-]\{19\}\)[0-9.]*Z".*/\1/p' "$work/manifest" | head -n 1 | tr -d 'T:-')
    at=${at:+-Overify-time=${at}Z}
    # The key must be one that $signers has for this host: another host's key signs nothing in its name.
    ssh-keygen -Y verify -f "$signers" -I "$host" -n lifeboat-manifest $at -s "$work/manifest.sig" \
        <"$work/manifest" >&2 || fail 20 "the manifest is not signed by a key that $signers has for $host; nothing was written"
fi

# 3. What belongs to it. Braces never occur inside the strings that are looked for.
tr -d '\n' <"$work/manifest" | tr '{}' '\n\n' | awk -v work="$work" '
    function field(name) {
        if (!match($0, "\"" name "\"[ \t]*:[ \t]*\"?[^\",]*")) return ""
        value = substr($0, RSTART, RLENGTH)
        sub(/^"[a-z0-9_]*"[ \t]*:[ \t]*"?/, "", value)
        sub(/[ \t]*$/, "", value)
        return value
    }
    function hex(value, len) { return value ~ /^[0-9a-f]+$/ && length(value) == len }
    field("key_sha256") != "" && hex(field("id"), 32) && hex(field("key_sha256"), 64) {
        print field("key_sha256") "  keys/" field("id") ".age" >(work "/sums")
        print field("id") >(work "/runs")
    }
    field("number") ~ /^[0-9]+$/ && hex(field("sha256"), 64) && hex(field("run"), 32) {
        name = field("sha256")
        print name "  segments/" substr(name, 1, 2) "/" name >(work "/sums")
        part = field("name")
        if (part == "") print field("run"), field("number"), name >(work "/segments")
        else if (part ~ /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/) print field("run"), field("number"), name, part >(work "/private")
    }
    field("object") ~ /^catalogues\/[A-Za-z0-9._-]+\/[0-9]+(\.[0-9]+)?$/ && hex(field("sha256"), 64) && hex(field("run"), 32) {
        print field("sha256") "  " field("object") >(work "/sums")
        print field("run"), field("object") >(work "/catalogue-ref")
    }'
touch "$work/segments" "$work/private"
[ -s "$work/catalogue-ref" ] && [ -s "$work/runs" ] || fail 21 "the manifest names no catalogue or no runs"
sums=$work/sums
(cd "$vault" && sha256sum --quiet -c "$sums") >&2 || fail 21 "objects named above are damaged; nothing was written"

# 4. Keys.
mkdir "$work/keys"
while read -r run; do
    age -d -i "$identity" "$vault/keys/$run.age" >"$work/keys/$run" 2>"$work/age" ||
        fail 12 "keys/$run.age: $(cat "$work/age")"
done <"$work/runs"

# open RUN NUMBER OBJECT: the plain stream of a sealed object. The key shows in the process list while openssl starts.
open() {
    openssl enc -d -aes-256-ctr -K "$(cat "$work/keys/$1")" -iv "$(printf '%016x%016x' "$2" 0)" -in "$vault/$3" |
        zstd -q -d -c
}

# 5. The catalogue, and from it: which stretches of which segment hold the members of this snapshot.
read -r run object <"$work/catalogue-ref"
open "$run" 0 "$object" >"$work/catalogue"
tail -n 1 "$work/catalogue" | grep -q '^{"end":' || fail 21 "the catalogue does not open to its end"
awk -v work="$work" '
    function text(name) {
        if (!match($0, "\"" name "\":\"[^\"]*\"")) return ""
        return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
    }
    function list(name) {
        if (!match($0, "\"" name "\":\\[[^]]*\\]")) return ""
        return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
    }
    function number(name) {
        if (!match($0, "\"" name "\":[0-9]+")) return 0
        return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    }
    # For printf %b: the escaped form of a name with %XX as \0ooo.
    function octal(name,   out, at) {
        out = ""
        while (at = index(name, "%")) {
            code = index(hexdigits, substr(name, at + 1, 1)) * 16 + index(hexdigits, substr(name, at + 2, 1)) - 17
            out = out substr(name, 1, at - 1) sprintf("\\0%03o", code)
            name = substr(name, at + 3)
        }
        return out name
    }
    function seconds(pair,   part) {
        split(pair, part, ",")
        if (part[1] < 0 && part[2] > 0) return sprintf("-%d.%09d", -(part[1] + 1), 1000000000 - part[2])
        return sprintf("%d.%09d", part[1], part[2])
    }
    function letters(flags,   out, at) {
        out = ""
        for (at = 1; at <= split("1 2 4 8 16 32 64 128 16384 32768 65536 131072 8388608 33554432 536870912", bit, " "); at++)
            if (int(flags / bit[at]) % 2) out = out substr("sucSiadAjtDTCxP", at, 1)
        return out
    }
    BEGIN { hexdigits = "0123456789ABCDEF" }
    /^\{"catalogue":/ {
        runs = list("runs")
        gsub(/"/, "", runs)
        split(runs, run_of, ",")
        next
    }
    /^\{"end":/ { next }
    {
        member = list("member")
        split(member, m, ",")
        block = $0 ~ /^\{"block":/
        if (!block) path = octal(text("path"))
    }
    # tar knows no sockets, and so cannot give them another name either.
    /"type":"s"/ { socket[text("path")] = 1; print path >(work "/sockets") }
    /"type":"h"/ && text("link") in socket { print path >(work "/sockets"); next }
    block && member != "" {
        extents = $0
        sub(/.*"extents":\[\[/, "", extents)
        sub(/\]\].*/, "", extents)
        gsub(/\],\[/, " ", extents)
        printf "%s\t%.0f\t%.0f\t%.0f\t%s\t%s\n", run_of[m[1] + 1], m[2], m[3] + m[5], m[1], extents, path >(work "/blocks")
        next
    }
    block { next }
    member != "" { printf "%d %.0f %.0f %.0f %s\n", m[1], m[2], m[3], m[4], run_of[m[1] + 1] >(work "/members") }
    /"blocks":[0-9]/ {
        capability = ""
        if (match($0, /"security\.capability":"[^"]*"/)) capability = substr($0, RSTART + 23, RLENGTH - 24)
        printf "%s\t%s\t%s\n", seconds(list("mtime")), capability, path >(work "/large")
    }
    /"flags":[0-9]/ && letters(number("flags")) != "" { printf "%s\t%s\n", letters(number("flags")), path >(work "/flags") }
    /"project":[0-9]/ { printf "%s\t%s\n", number("project"), path >(work "/projects") }
    ' "$work/catalogue"
for part in members blocks large flags sockets projects; do
    [ -e "$work/$part" ] || : >"$work/$part"
done

# Members in stream order, neighbours joined to one stretch: RUN NUMBER OFFSET LENGTH.
sort -k1,1n -k2,2n -k3,3n "$work/members" | awk '
    $1 == ordinal && $2 == number && $3 == end { len += $4; end += $4; next }
    { if (len != "") printf "%s %.0f %.0f %.0f\n", run, number, start, len
      ordinal = $1; number = $2; start = $3; len = $4; end = $3 + $4; run = $5 }
    END { if (len != "") printf "%s %.0f %.0f %.0f\n", run, number, start, len }' >"$work/stretches"

# load RUN NUMBER: opens that segment into the file $work/segment, unless it is there.
loaded=
load() {
    [ "$loaded" != "$1 $2" ] || return 0
    loaded=
    name=$(awk -v run="$1" -v number="$2" '$1 == run && $2 == number { print $3 }' "$work/segments")
    [ -n "$name" ] || fail 21 "the catalogue names segment $2 of run $1, the manifest does not"
    open "$1" "$2" "segments/$(printf %.2s "$name")/$name" >"$work/segment"
    loaded="$1 $2"
}

# 6. One tar stream of all members, made by tar. It ends with two zero blocks.
{
    while read -r run number offset len; do
        load "$run" "$number"
        dd if="$work/segment" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$len" status=none
    done <"$work/stretches"
    dd if=/dev/zero bs=512 count=2 status=none
    : >"$work/complete"
} | tar -x -p -f - -C "$dest" --numeric-owner --same-owner --xattrs --xattrs-include='*' --acls --selinux \
    --delay-directory-restore || touch "$work/tar-failed"
[ -e "$work/complete" ] || fail 21 "not all segments could be opened; the tree in $dest is not complete"

# named ESCAPED: the real name, in $path.
named() {
    path=$(printf '%bx' "$1")
    path=$dest/${path%x}
}

# 7. Blocks of large files, each at its place. tar has made those files at their size, as one hole.
loaded=
tab=$(printf '\t')
sort -t "$tab" -k4,4n -k2,2n -k3,3n "$work/blocks" | while IFS=$tab read -r run number start _ extents escaped; do
    load "$run" "$number"
    named "$escaped"
    for extent in $extents; do
        len=${extent#*,}
        dd if="$work/segment" of="$path" bs=1M conv=notrunc status=none iflag=skip_bytes,count_bytes \
            oflag=seek_bytes skip="$start" count="$len" seek="${extent%,*}"
        start=$((start + len))
    done
    echo "$escaped" >>"$work/written"
done
# The last block was written, or there were none: a failure inside the loop above ends up here.
if [ -s "$work/blocks" ]; then
    [ "$(wc -l <"$work/blocks")" -eq "$(wc -l <"$work/written")" ] ||
        fail 21 "not all blocks of large files could be written; the tree in $dest is not complete"
fi
# Writing took times and capabilities away.
while IFS= read -r line; do
    mtime=${line%%"$tab"*}
    line=${line#*"$tab"}
    capability=${line%%"$tab"*}
    named "${line#*"$tab"}"
    if [ -n "$capability" ]; then
        setfattr -n security.capability -v "0s$capability" "$path" 2>/dev/null ||
            echo "recover.sh: set by hand: setfattr -n security.capability -v 0s$capability '$path'" >&2
    fi
    touch -m -d "@$mtime" "$path"
done <"$work/large"

# 8. What tar does not know.
while IFS=$tab read -r letters escaped; do
    named "$escaped"
    chattr "+$letters" "$path" 2>/dev/null || echo "recover.sh: set by hand: chattr +$letters '$path'" >&2
done <"$work/flags"
while IFS=$tab read -r project escaped; do
    named "$escaped"
    echo "recover.sh: set by hand: chattr -p $project '$path'" >&2
done <"$work/projects"
while read -r escaped; do
    named "$escaped"
    echo "recover.sh: not made (a socket, its program makes it again): $path" >&2
done <"$work/sockets"
# 9. What is kept beside the files.
while read -r run number name part; do
    [ -n "$private" ] || { echo "recover.sh: left sealed (--private takes it out): $part" >&2; continue; }
    mkdir -p "$private/$(dirname "$part")"
    open "$run" "$number" "segments/$(printf %.2s "$name")/$name" >"$private/$part"
done <"$work/private"
[ ! -e "$work/tar-failed" ] || fail 1 "tar reported errors; what it names above is not as it was. All else of snapshot $serial is in $dest"
echo "recover.sh: snapshot $serial of $host is restored in $dest" >&2
