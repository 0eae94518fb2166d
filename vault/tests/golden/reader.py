#!/usr/bin/env python3
"""A reader of Lifeboat's vaults that was written from docs/FORMAT.md, to show that the text is enough.

    reader.py VAULT IDENTITY [--snapshot HOST/SERIAL] [--signer PUBLIC_KEY]

It checks everything that the format lets a reader check, and prints a census (see census.py) of the snapshot, the newest
unless another is named. It uses Python's own library and the programs age, openssl, zstd, b3sum and ssh-keygen, and holds
whole segments in memory: it is a proof, not a tool.
"""
import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote_to_bytes

import census

ENTRY = {"path", "type", "mode", "uid", "gid", "size", "mtime", "atime", "ctime", "inode", "link", "rdev", "xattrs",
         "flags", "project", "blake3", "member", "extents", "block_size", "blocks"}
BLOCK = {"block", "blake3", "member", "extents"}


class Refused(Exception):
    """What the format tells a reader to refuse."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(what)


def piped(argv: list, data: bytes = b"") -> bytes:
    done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    demand(done.returncode == 0, f"{argv[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def blake3(data: bytes) -> str:
    return piped(["b3sum", "--no-names"], data).decode().strip()


class Vault:
    """Objects by name, checked against what the signed manifest says of them."""

    def __init__(self, folder: Path, identity: str):
        self.folder, self.identity = folder, identity
        self.about = json.loads((folder / "vault.json").read_bytes())
        demand(self.about["format"] == "lifeboat-vault", "not a vault")
        demand(self.about["version"] == 1, f"version {self.about['version']} is not known")

    def checked(self, name: str, sha256: str, size: int) -> bytes:
        data = (self.folder / name).read_bytes()
        demand(len(data) == size, f"{name} has {len(data)} bytes, not {size}")
        demand(hashlib.sha256(data).hexdigest() == sha256, f"{name} is not what was signed")
        return data

    def key(self, run: dict) -> str:
        sealed = self.checked(f"keys/{run['id']}.age", run["key_sha256"], run["key_size"])
        key = piped(["age", "-d", "-i", self.identity], sealed).decode()
        demand(re.fullmatch(r"[0-9a-f]{64}\n", key) is not None, f"the key of run {run['id']} is malformed")
        return key.strip()

    def opened(self, name: str, about: dict, key: str, number: int) -> bytes:
        sealed = self.checked(name, about["sha256"], about["size"])
        clear = piped(["openssl", "enc", "-d", "-aes-256-ctr", "-K", key, "-iv", f"{number:016x}" + "0" * 16], sealed)
        data = piped(["zstd", "-d", "-q", "-c"], clear)
        demand(len(data) == about["opened"], f"{name} opens to {len(data)} bytes, not {about['opened']}")
        return data

    def newest(self) -> str:
        found = [path.relative_to(self.folder / "manifests") for path in (self.folder / "manifests").glob("*/*.json")]
        demand(len({path.parent for path in found}) == 1, "name one host's snapshot")
        return str(max(found, key=lambda path: int(path.stem)).with_suffix(""))


class Snapshot:
    """One signed manifest, its keys and its opened segments."""

    def __init__(self, vault: Vault, name: str, signer: str | None):
        self.vault = vault
        manifest = vault.folder / "manifests" / f"{name}.json"
        if signer:
            verify(manifest, signer)
        self.contents = json.loads(manifest.read_bytes())["contents"]
        self.keys = {run["id"]: vault.key(run) for run in self.contents["runs"]}
        self.listed = {(part["run"], part["number"]): part for part in self.contents["segments"]}
        self.segments: dict = {}
        self.runs: list = []

    def catalogue(self) -> list:
        about = self.contents["catalogue"]
        text = self.vault.opened(about["object"], about, self.keys[about["run"]], 0)
        lines = [json.loads(line) for line in text.decode("utf-8").splitlines()]
        first, entries, last = lines[0], lines[1:-1], lines[-1]
        demand(first["catalogue"] == 1, "the catalogue's version is not known")
        self.runs = first["runs"]
        count = sum("path" in entry for entry in entries)
        demand(last == {"end": count}, "the catalogue is cut")
        demand(count == self.contents["totals"]["entries"], "the catalogue has another number of entries than was signed")
        return entries

    def segment(self, run: int, number: int) -> bytes:
        place = (self.runs[run], number)
        if place not in self.segments:
            demand(place in self.listed, f"segment {place} is not in the signed list")
            part = self.listed[place]
            name = f"segments/{part['sha256'][:2]}/{part['sha256']}"
            self.segments[place] = self.vault.opened(name, part, self.keys[part["run"]], number)
        return self.segments[place]

    def member(self, place: list) -> tuple:
        """A member's header part and its data with what pads it."""
        run, number, offset, length, head = place
        segment = self.segment(run, number)
        demand(0 <= offset and offset + length <= len(segment) and head <= length, "a member leaves its segment")
        return segment[offset:offset + head], segment[offset + head:offset + length]


def verify(manifest: Path, public_key: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".signers") as signers:
        signers.write("host " + Path(public_key).read_text())
        signers.flush()
        piped(["ssh-keygen", "-Y", "verify", "-f", signers.name, "-I", "host", "-n", "lifeboat-manifest",
               "-s", f"{manifest}.sig"], manifest.read_bytes())


def scatter(into: bytearray, base: int, extents: list, data: bytes) -> None:
    """Puts stretches that follow each other in `data` where they belong."""
    at, end = 0, base
    for offset, length in extents:
        demand(offset >= end and offset - base + length <= len(into), "extents overlap or leave the file")
        into[offset - base:offset - base + length] = data[at:at + length]
        at, end = at + length, offset + length
    demand(at <= len(data), "a member is shorter than its extents")


def content_of(snapshot: Snapshot, entry: dict, blocks: list) -> bytes:
    size = entry.get("size", 0)
    content = bytearray(size)
    if "blocks" in entry:
        block_size = entry.get("block_size", snapshot.vault.about["block_size"])
        for block in blocks:
            start = block["block"]
            demand(start % block_size == 0, "a block does not begin at a multiple of the block size")
            part = bytearray(min(block_size, size - start))
            if "member" in block:
                scatter(part, start, block["extents"], snapshot.member(block["member"])[1])
            demand(blake3(part) == block["blake3"], f"block {start} of {entry['path']} is damaged")
            content[start:start + len(part)] = part
        return bytes(content)
    data = snapshot.member(entry["member"])[1] if "member" in entry else b""
    scatter(content, 0, entry.get("extents", [[0, size]] if size else []), data)
    demand(blake3(content) == entry["blake3"], f"{entry['path']} is damaged")
    return bytes(content)


def described(snapshot: Snapshot, entry: dict, blocks: list) -> dict:
    kind = entry["type"]
    found = {
        "type": kind,
        "mode": f"{int(entry.get('mode', '0'), 8):04o}",
        "uid": entry.get("uid", 0),
        "gid": entry.get("gid", 0),
        "mtime": census.moment(*entry.get("mtime", [0, 0])),
        "xattrs": {unquote_to_bytes(name): value for name, value in entry.get("xattrs", {}).items()},
        "flags": census.flag_letters(entry.get("flags", 0)),
        "project": entry.get("project", 0),
    }
    for value in found["xattrs"].values():
        base64.b64decode(value, validate=True)
    if kind == "f":
        content = content_of(snapshot, entry, blocks)
        found |= {"size": str(len(content)), "sha256": hashlib.sha256(content).hexdigest()}
    if kind == "l":
        found["link"] = census.escape(unquote_to_bytes(entry["link"]))
    if kind in "cb":
        found["rdev"] = "{}:{}".format(*entry["rdev"])
    return found


def safe(path: bytes, before: list | None) -> list:
    """The path's components, if the path may come after the one `before`."""
    parts = path.split(b"/") if path else []
    demand(all(part not in (b"", b".", b"..") and b"\0" not in part for part in parts), f"the path {path!r}")
    demand(before is None or before < parts, f"the path {path!r} is out of order")
    return parts


def grouped(lines: list):
    """Entries, each with its block lines."""
    entry, blocks = None, []
    for line in lines:
        known = BLOCK if "block" in line else ENTRY
        demand(set(line) <= known, f"unknown fields {set(line) - known}")
        if "block" in line:
            blocks.append(line)
            continue
        if entry:
            yield entry, blocks
        entry, blocks = line, []
    if entry:
        yield entry, blocks


def read(snapshot: Snapshot) -> None:
    known: dict = {}
    before = None
    for entry, blocks in grouped(snapshot.catalogue()):
        demand(entry.get("blocks", 0) == len(blocks), f"block lines of {entry['path']}")
        path = unquote_to_bytes(entry["path"])
        before = safe(path, before)
        if entry["type"] == "h":
            first = unquote_to_bytes(entry["link"])
            demand(first in known, f"{path!r} links to what does not come before it")
            found = known[first] | {"same": census.escape(first)}
        else:
            found = known[path] = described(snapshot, entry, blocks)
        print(census.line(path, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vault", type=Path)
    parser.add_argument("identity")
    parser.add_argument("--snapshot")
    parser.add_argument("--signer")
    chosen = parser.parse_args()
    try:
        vault = Vault(chosen.vault, chosen.identity)
        read(Snapshot(vault, chosen.snapshot or vault.newest(), chosen.signer))
    except Refused as reason:
        sys.exit(f"reader: refused: {reason}")


if __name__ == "__main__":
    main()
