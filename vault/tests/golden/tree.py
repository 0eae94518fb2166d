#!/usr/bin/env python3
"""Makes the trees that the golden vaults hold.

    tree.py NAME STAGE FOLDER     stages change what the one before left

For root, on XFS: project ids and every kind of attribute are wanted.
"""
import os
import random
import stat
import struct
import subprocess
import sys

ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, bits, who)
    for tag, bits, who in [(1, 7, 2**32 - 1), (2, 5, 1234), (4, 4, 2**32 - 1), (16, 5, 2**32 - 1), (32, 0, 2**32 - 1)])
CAPABILITY = struct.pack("<5I", 0x2000001, 0x2000, 0, 0, 0)


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def write(name, content: bytes = b"", size: int | None = None, at: int = 0) -> None:
    with open(name, "wb") as file:
        file.truncate(len(content) if size is None else size)
        os.pwrite(file.fileno(), content, at)


def moment(name, seconds: int, nanoseconds: int) -> None:
    os.utime(name, ns=(seconds * 10**9 + nanoseconds,) * 2, follow_symlinks=False)


def flags(name: str, *arguments: str) -> None:
    subprocess.run(["chattr", *arguments, name], check=True)


def types() -> None:
    write("file", b"a file\n")
    write("empty")
    os.symlink("../elsewhere/\n\xff", "symlink")
    os.symlink("x" * 1000, "long-symlink")
    os.mknod("char", stat.S_IFCHR | 0o620, os.makedev(4, 64))
    os.mknod("block", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    os.mknod("fifo", stat.S_IFIFO | 0o644)
    os.mknod("socket", stat.S_IFSOCK | 0o755)
    os.mkdir("folder")
    write("folder/.hidden", b"hidden")
    os.mkdir("folder/empty")
    for name in ["file", "symlink", "char", "fifo", "socket"]:
        os.link(name, f"folder/also-{name}", follow_symlinks=False)


def names() -> None:
    os.mkdir("names")
    for name in [b"new\nline", b"\xff\xfe", b"%41", b"sp ace", b"-rf", b'"quote\\', "ü".encode(), b"\x01\x7f", b"*?[",
                 b"tab\t", b"=", b"a\rb", b"$(x)", b"\xc3", bytes(range(1, 47)) + bytes(range(48, 256))]:
        write(b"names/" + name, name)
    os.makedirs("names/" + "d" * 120 + "/" + "e" * 120)
    write("names/" + "d" * 120 + "/" + "e" * 120 + "/" + "f" * 200, b"deep")


def attributes() -> None:
    os.mkdir("attributes")
    os.chdir("attributes")
    for name, mode in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("none", 0), ("all", 0o7777)]:
        write(name, name.encode())
        os.chown(name, 1234, 3_000_000_000)
        os.chmod(name, mode)
    os.mkdir("shut")
    write("shut/in", b"in")
    os.chmod("shut", 0)
    write("xattrs", b"x")
    for name, value in [("user.text", b"a\nb\0c="), ("user.empty", b""), ("user.na=me%", b"x"), ("trusted.t", b"t"),
                        ("security.selinux", b"system_u:object_r:etc_t:s0\0"), ("security.capability", CAPABILITY),
                        ("system.posix_acl_access", ACL), ("user.long", noise(5000, 5))]:
        os.setxattr("xattrs", name, value)
    os.mkdir("acl")
    os.setxattr("acl", "system.posix_acl_default", ACL)
    write("acl/inherits")
    os.symlink("xattrs", "link")
    os.setxattr("link", "trusted.link", b"on a link", follow_symlinks=False)
    for name, seconds, nanoseconds in [("before-1970", -1_000_000, 999_999_999), ("after-2038", 4_000_000_000, 1),
                                       ("oldest", -2**31, 0)]:
        write(name)
        moment(name, seconds, nanoseconds)
    moment("link", 1, 5)
    for name, arguments in [("nodump", ["+d"]), ("noatime", ["+A"]), ("immutable", ["+i"]), ("append", ["+a"]),
                            ("project", ["-p", "77"])]:
        write(name, name.encode())
        flags(name, *arguments)
    os.chdir("..")


def sizes(segment: int, block: int) -> None:
    os.mkdir("sizes")
    for size in [1, block - 1, block, block + 1, segment - 1, segment, segment + 1]:
        write(f"sizes/{size}", (b"%d " % size * size)[:size - 1] + b"$")
    write("sizes/hole-at-start", noise(3000, 1), 40_000, 32_768)
    write("sizes/hole-at-end", noise(3000, 2), 40_000)
    write("sizes/all-hole", b"", 33_333)
    write("sizes/large-all-hole", b"", 5 * segment)
    write("sizes/large-sparse", noise(9000, 3), 3 * segment + 5, segment + 8192)
    write("sizes/far", b"far away", 1 << 24, 1 << 23)
    write("sizes/zeroes-that-occupy", bytes(2 * segment))
    os.link("sizes/large-sparse", "sizes/z-large-again")


def one_of_each(stage: int) -> None:
    types()
    names()
    attributes()


def grown(stage: int) -> None:
    if stage == 1:
        sizes(32768, 8192)
        for number in range(6):
            write(f"still{number}", noise(4000, 10 + number))
        write("dies", noise(2000, 20))
        write("becomes-folder", b"f")
        write("large", noise(60_000, 21))
    if stage == 2:
        # What the run that is cut stores, and the next finds stored.
        for number in range(4):
            write(f"new{number}", noise(4000, 30 + number))
        with open("large", "r+b") as file:
            os.pwrite(file.fileno(), b"changed", 20_000)
    if stage == 3:
        os.unlink("dies")
        os.unlink("becomes-folder")
        os.mkdir("becomes-folder")
        write("becomes-folder/new", b"new")
        os.unlink("sizes/z-large-again")
        os.link("still0", "another-name")
        os.setxattr("still1", "user.late", b"1")
        with open("large", "r+b") as file:
            file.truncate(45_000)
    if stage == 4:
        write("never-signed", noise(3000, 40))


def sized(stage: int) -> None:
    """Large files with blocks of several sizes: each may have sixteen."""
    if stage == 1:
        write("small-blocks", noise(30_000, 50), 40_000)
        write("middle-blocks", noise(60_000, 51))
        write("large-blocks", noise(200_000, 52))
        write("sparse", noise(9000, 53), 1 << 24, (1 << 23) + 5)
        os.link("middle-blocks", "z-again")
    if stage == 2:
        with open("middle-blocks", "ab") as file:
            file.write(noise(40_000, 54))
        with open("large-blocks", "r+b") as file:
            os.pwrite(file.fileno(), b"changed", 100_000)
        with open("small-blocks", "r+b") as file:
            os.pwrite(file.fileno(), noise(10_000, 55), 30_000)
        os.truncate("sparse", (1 << 23) + 6000)


def bare(stage: int) -> None:
    """Nothing but the root itself."""


def main() -> None:
    name, stage, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.umask(0o022)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    {"one-of-each": one_of_each, "grown": grown, "sized": sized, "bare": bare}[name](stage)
    moment(".", 1_234_567_890, 987_654_321)


if __name__ == "__main__":
    main()
