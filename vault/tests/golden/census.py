#!/usr/bin/env python3
"""A census: one line for each entry of a tree, with everything that a restore has to bring back.

    census.py TREE

It is made with the kernel's own calls and owes nothing to Lifeboat, so it can judge both what is backed up and what
is restored. `reader.py` prints the same lines for a snapshot in a vault. A line is

    PATH TYPE MODE UID:GID MTIME [size=…] [sha256=…] [link=…] [rdev=…] [same=…] [flags=…] [project=…] [xattr:NAME=…]

with names %-escaped, values of attributes in base64, in walk order: folders before what is in them, siblings by bytes.
`same` names the first path of a hard-link group.
"""
import base64
import fcntl
import hashlib
import os
import stat
import struct
import sys
from urllib.parse import quote_from_bytes

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_FSGETXATTR = 0x801C581F
# secrm, unrm, sync, immutable, append, nodump, noatime, journal, notail, dirsync, topdir, nocow
FLAGS = {"s": 0x1, "u": 0x2, "S": 0x8, "i": 0x10, "a": 0x20, "d": 0x40, "A": 0x80, "j": 0x4000, "t": 0x8000,
         "D": 0x10000, "T": 0x20000, "C": 0x800000}
TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFCHR: "c", stat.S_IFBLK: "b",
         stat.S_IFIFO: "p", stat.S_IFSOCK: "s"}


def escape(name: bytes) -> str:
    return quote_from_bytes(name, safe="/") or "."


def moment(seconds: int, nanoseconds: int) -> str:
    return f"{seconds}.{nanoseconds:09}"


def flag_letters(flags: int) -> str:
    return "".join(letter for letter, bit in FLAGS.items() if flags & bit)


def line(path: bytes, entry: dict) -> str:
    """One entry as its line; `entry` holds the fields that are there, by their names above."""
    fixed = [escape(path), entry["type"], entry["mode"], f"{entry['uid']}:{entry['gid']}", entry["mtime"]]
    more = [f"{key}={entry[key]}" for key in ("size", "sha256", "link", "rdev", "same", "flags", "project") if entry.get(key)]
    attributes = [f"xattr:{escape(name)}={value}" for name, value in sorted(entry.get("xattrs", {}).items())]
    return " ".join(fixed + more + attributes)


def walk(root: bytes):
    """Paths below `root`, itself first, in walk order."""
    yield b""
    yield from below(root, b"")


def below(root: bytes, folder: bytes):
    for name in sorted(os.listdir(os.path.join(root, folder))):
        path = os.path.join(folder, name)
        yield path
        if stat.S_ISDIR(os.lstat(os.path.join(root, path)).st_mode):
            yield from below(root, path)


def sha256(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inode_flags(path: bytes) -> dict:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(file, FS_IOC_GETFLAGS, bytes(8)))
        project = struct.unpack("7I", fcntl.ioctl(file, FS_IOC_FSGETXATTR, bytes(28)))[3]
        return {"flags": flag_letters(flags), "project": project}
    except OSError:
        return {}
    finally:
        os.close(file)


def describe(path: bytes) -> dict:
    status = os.lstat(path)
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    entry = {
        "type": kind,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": moment(*divmod(status.st_mtime_ns, 10**9)),
        "xattrs": {
            os.fsencode(name): base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
            for name in os.listxattr(path, follow_symlinks=False)
            # What XFS lists a second time.
            if not name.startswith("trusted.SGI_ACL_")
        },
    }
    if kind == "f":
        entry |= {"size": str(status.st_size), "sha256": sha256(path)}
    if kind in "fd":
        entry |= inode_flags(path)
    if kind == "l":
        entry["link"] = escape(os.readlink(path))
    if kind in "cb":
        entry["rdev"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return entry


def main() -> None:
    root = os.fsencode(sys.argv[1])
    first: dict = {}
    for path in walk(root):
        whole = os.path.join(root, path) if path else root
        entry = describe(whole)
        status = os.lstat(whole)
        if status.st_nlink > 1 and entry["type"] != "d":
            known = first.setdefault((status.st_dev, status.st_ino), path)
            entry["same"] = escape(known) if known != path else None
        print(line(path, entry))


if __name__ == "__main__":
    main()
