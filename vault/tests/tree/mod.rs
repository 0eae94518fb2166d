//! Trees for tests. What becomes of them is judged by `describe`.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(dead_code, reason = "each test program uses its own part")]

mod describe;
pub mod ground;

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use describe::describe;
use rustix::fs::{AtFlags, CWD, FileType, IFlags, Mode, Timespec, Timestamps, XattrFlags};
use vault::{FolderStore, Identities, InitOptions, Vault};

/// A vault with small segments and blocks, so that small trees cross every border.
pub fn small_vault(folder: &Path) -> (Vault, Identities) {
    let identities = Identities::generate();
    let mut options = InitOptions::new(identities.recipients());
    (options.segment_size, options.block_size) = (256 << 10, 16 << 10);
    let store = Arc::new(FolderStore::new(folder));
    (Vault::init(store, &options).unwrap(), identities)
}

/// Asserts that two trees are the same, naming each difference.
pub fn assert_same(left: &Path, right: &Path) {
    assert_same_but(left, right, &[]);
}

/// The same, without looking at some entries.
pub fn assert_same_but(left: &Path, right: &Path, but: &[&str]) {
    let (mut left, mut right) = (describe(left), describe(right));
    for name in but {
        left.remove(name.as_bytes());
        right.remove(name.as_bytes());
    }
    compare(&left, &right);
}

/// The same, but for where holes are: XFS reserves space and gives it back as it likes.
pub fn assert_alike(left: &Path, right: &Path) {
    let (mut left, mut right) = (describe(left), describe(right));
    for text in left.values_mut().chain(right.values_mut()) {
        text.truncate(text.find(" extents ").unwrap_or(text.len()));
    }
    compare(&left, &right);
}

fn compare(left: &BTreeMap<Vec<u8>, String>, right: &BTreeMap<Vec<u8>, String>) {
    let mut differences = String::new();
    for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
        if left.get(name) != right.get(name) {
            let shown = OsStr::from_bytes(name);
            differences += &format!("{shown:?}:\n  {:?}\n  {:?}\n", left.get(name), right.get(name));
        }
    }
    assert!(differences.is_empty(), "trees differ:\n{differences}");
}

pub fn set_mtime(path: &Path, sec: i64, nsec: i64) {
    let time = Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|e| panic!("{path:?} {name}: {e}"));
}

fn node(path: &Path, kind: FileType, rdev: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), rdev).unwrap();
}

pub fn set_flags(path: &Path, flags: IFlags) {
    let file = fs::File::open(path).unwrap();
    let there = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, there | flags).unwrap();
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes `parts` (offset, bytes) into a file of `size` bytes, holes elsewhere.
pub fn sparse(path: &Path, size: u64, parts: &[(u64, &[u8])]) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in parts {
        file.write_all_at(bytes, *offset).unwrap();
    }
}

/// An access ACL: owner rwx, user 1234 r-x, group r--, mask r-x, other nothing.
pub const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 210, 4, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 5, 0,
    255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];
/// `cap_net_raw+ep`, version 2.
pub const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// One of everything. Needs root and a filesystem with xattrs, ACLs and inode flags.
pub fn zoo(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let at = |name: &str| root.join(name);
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("segment-1", (256 << 10) - 1),
        ("segment", 256 << 10),
        ("segment+1", (256 << 10) + 1),
    ] {
        fs::write(at(name), noise(len, len as u64)).unwrap();
    }
    fs::write(at("large"), noise(3 << 20, 9)).unwrap();
    let mut zeroes = vec![0; 1 << 20];
    zeroes[500_000] = 1;
    fs::write(at("large-mostly-zero"), zeroes).unwrap();
    fs::write(at("middle"), noise(200_000, 5)).unwrap();
    fs::write(at("two-pieces"), b"x".repeat(250_000)).unwrap();
    let data = noise(8192, 3);
    sparse(&at("hole-at-start"), 100_000, &[(65536, &data)]);
    sparse(&at("hole-at-end"), 100_000, &[(0, &data)]);
    sparse(&at("all-hole"), 77_777, &[]);
    sparse(&at("large-sparse"), 5_000_000, &[(0, &data), (40_000, &data), (4_194_304, &data)]);
    sparse(&at("large-all-hole"), 9_000_001, &[]);
    sparse(&at("16T"), 16 << 40 >> 1, &[(3 << 40, &data)]);

    fs::create_dir(at("dir")).unwrap();
    fs::create_dir(at("dir/empty")).unwrap();
    fs::write(at("dir/.hidden"), "h").unwrap();
    fs::create_dir(at("setgid")).unwrap();
    fs::set_permissions(at("setgid"), fs::Permissions::from_mode(0o2775)).unwrap();
    fs::create_dir(at("sticky")).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(at("shut")).unwrap();
    fs::write(at("shut/in"), "inside").unwrap();
    fs::set_permissions(at("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(at("setuid"), "#!").unwrap();
    rustix::fs::chown(
        at("setuid"),
        Some(rustix::fs::Uid::from_raw(1234)),
        Some(rustix::fs::Gid::from_raw(3_000_000_000)),
    )
    .unwrap();
    fs::set_permissions(at("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();

    std::os::unix::fs::symlink("dir/.hidden", at("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere/\n/ö", at("dangling")).unwrap();
    // XFS takes 1024 bytes, ext4 4095.
    let long = |len| std::os::unix::fs::symlink("x".repeat(len), at("long-link"));
    long(3000).or_else(|_| long(1000)).unwrap();
    fs::hard_link(at("middle"), at("dir/middle-again")).unwrap();
    fs::hard_link(at("middle"), at("z-middle")).unwrap();
    fs::hard_link(at("link"), at("z-link")).unwrap();
    fs::hard_link(at("large"), at("z-large")).unwrap();
    node(&at("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&at("disk"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    node(&at("fifo"), FileType::Fifo, 0);
    node(&at("socket"), FileType::Socket, 0);
    fs::hard_link(at("null"), at("z-null")).unwrap();
    fs::hard_link(at("fifo"), at("z-fifo")).unwrap();
    fs::hard_link(at("socket"), at("z-socket")).unwrap();

    let odd: &[&[u8]] =
        &[b"new\nline", b"\xff\xfe", b"%41", b"sp ace", b"-rf", b"\"quote\\", "ü".as_bytes(), b"\x01\x7f", b"*?["];
    for name in odd {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(&[0xf1; 255])), "long").unwrap();
    let deep = root.join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "deep").unwrap();
    fs::hard_link(deep.join("f"), deep.join("g")).unwrap();

    set_xattr(&at("one"), "user.test", b"a\nb\0c=");
    set_xattr(&at("one"), "user.empty", b"");
    set_xattr(&at("one"), "user.na=me%", b"x");
    set_xattr(&at("one"), "trusted.t", b"trusted");
    set_xattr(&at("one"), "security.selinux", b"system_u:object_r:etc_t:s0\0");
    set_xattr(&at("dir"), "user.dir", &noise(2000, 1));
    set_xattr(&at("link"), "trusted.link", b"on a link");
    set_xattr(&at("null"), "trusted.null", b"on a device");
    set_xattr(&at("fifo"), "trusted.fifo", b"on a fifo");
    set_xattr(&at("segment-1"), "security.capability", CAPABILITY);
    set_xattr(&at("large"), "security.capability", CAPABILITY);
    set_xattr(&at("two-pieces"), "system.posix_acl_access", ACL);
    set_xattr(&at("dir"), "system.posix_acl_default", ACL);
    set_xattr(&at("dir"), "system.posix_acl_access", ACL);

    set_mtime(&at("one"), -1_000_000, 999_999_999);
    set_mtime(&at("two-pieces"), 4_000_000_000, 1);
    set_mtime(&at("large-sparse"), 1_000_000_000, 123_456_789);
    set_mtime(&at("link"), 1, 5);
    set_mtime(&at("null"), 12345, 0);
    set_mtime(&at("dir"), -1, 500_000_000);
    set_mtime(root, 1_234_567_890, 987_654_321);
    set_flags(&at("empty"), IFlags::NODUMP);
    set_flags(&at("segment"), IFlags::IMMUTABLE);
    set_flags(&at("segment+1"), IFlags::APPEND | IFlags::NODUMP);
    set_flags(&at("dir"), IFlags::NODUMP);
    set_flags(&at("dir/empty"), IFlags::IMMUTABLE);
    set_mtime(&at("dir"), -1, 500_000_000);
}

/// Lets a tree with frozen inodes be removed.
pub fn thaw(root: &Path) {
    let Ok(meta) = fs::symlink_metadata(root) else { return };
    if meta.is_file() || meta.is_dir() {
        let file = fs::File::open(root).unwrap();
        if let Ok(flags) = rustix::fs::ioctl_getflags(&file) {
            let _ = rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE - IFlags::APPEND);
        }
    }
    if meta.is_dir() {
        fs::read_dir(root).unwrap().for_each(|e| thaw(&e.unwrap().path()));
    }
}

/// A folder for one test that is removed with everything in it, frozen inodes included.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        thaw(self.0.path());
    }
}

pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}
