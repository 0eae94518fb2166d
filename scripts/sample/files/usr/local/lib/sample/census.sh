#!/bin/sh
# Prints what is in the given folders, one fact a line, to be compared before and after: metadata, content, ACLs,
# extended attributes, capabilities, inode flags, and which files are sparse. Sorted, because the order of a folder's
# entries is not something that a restore keeps.
set -eu
export LC_ALL=C
cd /
for folder in "$@"; do
    folder=${folder#/}
    every() { find "$folder" -xdev "$@" -print0 | sort -z; }
    # The size of a folder is how it grew, not what it holds.
    find "$folder" -xdev \( -type d -printf 'meta %y %m %U %G %n - %T@ %l %p\0' -o -printf 'meta %y %m %U %G %n %s %T@ %l %p\0' \) |
        sort -z | tr '\n\0' '?\n'
    every -type f | xargs -0r sha256sum -z | tr '\n\0' '?\n' | sed 's/^/content /'
    every ! -type l | xargs -0r getfacl -nps -- | sed 's/^/acl /'
    every | xargs -0r getfattr -hd -m - -e hex -- 2>/dev/null | sed 's/^/xattr /'
    # The extent flag says how a file lies on its disk, not what it is.
    every \( -type f -o -type d \) | xargs -0r lsattr -d 2>/dev/null | sed -E 's/^([-A-Za-z]*)e([-A-Za-z]* )/flags \1-\2/'
    find "$folder" -xdev -type f -size +1000k -printf '%b %s %p\n' | sort -k 3 |
        awk '{ print "sparse", ($1 * 512 < $2 / 2 ? "yes" : "no"), $3 }'
done
