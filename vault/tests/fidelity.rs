//! What Linux can hold comes back as it was: on a filesystem that can hold all of it, at its limits, and in any combination.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Gid, IFlags, Mode, OFlags, Uid};
use tree::ground::Ground;
use tree::{
    ACL, Scratch, assert_alike, assert_same, describe, noise, set_flags, set_mtime, set_xattr, small_vault, sparse, zoo,
};
use vault::{Backup, Restore};

/// Backs `source` up, and restores it into `dest`, without a problem.
fn round(vault: &Path, source: &Path, dest: &Path) {
    fs::create_dir_all(dest).unwrap();
    let (vault, identities) = small_vault(vault);
    let done = vault.backup(&Backup::new(source, "host", 1)).unwrap();
    assert_eq!(done.problems, []);
    let restored = vault.restore(&Restore::new(&done.contents, &identities, dest)).unwrap();
    assert_eq!(restored.problems, []);
    assert_eq!(restored.entries, done.contents.totals.entries);
}

/// What a stock tool prints when it is run in a folder: its paragraphs or lines, which come as folders are read, sorted.
fn said_in(folder: &Path, program: &str, args: &[&str], between: &str) -> Vec<String> {
    let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut said: Vec<String> = text.split(between).map(str::to_owned).collect();
    assert!(said.len() > 50, "{program}: {}", String::from_utf8_lossy(&output.stderr));
    said.sort();
    said
}

/// Asks rsync, getfacl and lsattr whether two trees are the same. Files of many terabytes are left to our own checker.
fn stock_tools_agree(left: &Path, right: &Path) {
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHAXn", "--checksum", "--delete", "--itemize-changes", "--exclude=/16T", "--exclude=/largest"]);
    rsync.arg(format!("{}/", left.display())).arg(format!("{}/", right.display()));
    let output = rsync.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    for (program, args, between) in
        [("getfacl", ["-R", "-P", "-n", "."], "\n\n"), ("lsattr", ["-R", "-a", "-p", "."], "\n")]
    {
        assert_eq!(said_in(left, program, &args, between), said_in(right, program, &args, between), "{program}");
    }
}

/// Adds what the zoo lacks because not every filesystem holds it.
fn limits(ground: &Ground, root: &Path) {
    let at = |name: &str| root.join(name);
    fs::write(at("large-xattr"), "x").unwrap();
    ground.set_large_xattr(&at("large-xattr"));
    fs::create_dir(at("large-xattr.d")).unwrap();
    ground.set_large_xattr(&at("large-xattr.d"));
    let most = ground.largest_file();
    sparse(&at("largest"), most, &[(0, b"first"), (most / 2, &noise(5000, 1)), (most - 9, b"last byte")]);
    for len in [16_383, 16_384, 16_385] {
        fs::write(at(&format!("block{len}")), noise(len, 8)).unwrap();
        // As the last block of a file that is kept in blocks.
        fs::write(at(&format!("large{len}")), noise((512 << 10) + len, 9)).unwrap();
    }
    sparse(&at("large-hole-at-both-ends"), 1 << 20, &[(300_000, &noise(70_000, 2))]);
    for number in 0..8u8 {
        let name: Vec<u8> = (0..255u8).map(|at| at.wrapping_mul(7).wrapping_add(number * 31)).collect();
        let name: Vec<u8> = name.into_iter().map(|b| if b == 0 || b == b'/' { b'_' } else { b }).collect();
        fs::write(root.join(OsStr::from_bytes(&name)), [number]).unwrap();
    }
    fs::create_dir(at("project")).unwrap();
    ground.set_project(&at("project"), 4_000_000_000);
    fs::write(at("project/in"), "in").unwrap();
    ground.set_project(&at("project/in"), 7);
    fs::write(at("project/none"), "none").unwrap();
    ground.set_project(&at("project/none"), 0);
    for (name, sec) in
        [("oldest", i64::from(i32::MIN)), ("y2038", 1 << 31), ("y2106", 1 << 32), ("y2400", 13_569_465_600)]
    {
        fs::write(at(name), name).unwrap();
        set_mtime(&at(name), sec, 999_999_999);
    }
    fs::create_dir(at("acl")).unwrap();
    fs::write(at("acl/inherits-nothing"), "").unwrap();
    set_xattr(&at("acl"), "system.posix_acl_default", ACL);
    fs::write(at("acl/inherits"), "").unwrap();
    fs::create_dir(at("acl/folder")).unwrap();
    for (name, mode) in [("all-bits", 0o7777), ("no-bits", 0), ("setgid-file", 0o2070)] {
        fs::write(at(name), name).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    set_flags(&at("acl"), IFlags::NOATIME | IFlags::SYNC);
    set_flags(&at("acl/folder"), IFlags::APPEND | IFlags::NODUMP);
}

#[test]
fn everything_that_linux_can_hold_comes_back_and_stock_tools_agree() {
    let ground = Ground::new();
    let scratch = Scratch::new();
    zoo(&ground.path("source"));
    limits(&ground, &ground.path("source"));
    round(&scratch.path("vault"), &ground.path("source"), &ground.path("dest"));
    assert_alike(&ground.path("source"), &ground.path("dest"));
    let occupied = |name: &str| fs::metadata(ground.path("dest").join(name)).unwrap().blocks() * 512;
    assert!(occupied("largest") + occupied("16T") < 1 << 20, "holes are holes again");
    stock_tools_agree(&ground.path("source"), &ground.path("dest"));
    tree::thaw(&ground.path(""));
}

#[test]
fn a_folder_of_a_hundred_thousand_entries_comes_back() {
    const ENTRIES: usize = 100_000;
    let ground = Ground::new();
    let folder = ground.folder("source/many");
    for at in 0..ENTRIES {
        match at % 50 {
            0 => std::os::unix::fs::symlink(format!("{at}"), folder.join(format!("l{at}"))).unwrap(),
            1 => fs::create_dir(folder.join(format!("d{at}"))).unwrap(),
            2 => fs::write(folder.join(format!("f{at}")), format!("{at}")).unwrap(),
            _ => drop(fs::File::create(folder.join(format!("e{at}"))).unwrap()),
        }
    }
    round(&ground.path("vault"), &ground.path("source"), &ground.path("dest"));
    let (source, dest) = (describe(&ground.path("source")), describe(&ground.path("dest")));
    assert_eq!(source.len(), ENTRIES + 2);
    assert!(source == dest);
}

/// Makes `names` one in the other, and a file, a link and a fifo at the end.
fn nested(root: &Path, names: impl Iterator<Item = String>) {
    let mut folder: OwnedFd = fs::File::open(root).unwrap().into();
    for name in names {
        rustix::fs::mkdirat(&folder, name.as_str(), Mode::from_raw_mode(0o750)).unwrap();
        folder = rustix::fs::openat(&folder, name.as_str(), OFlags::RDONLY, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(&folder, "end", flags, Mode::from_raw_mode(0o4711)).unwrap();
    rustix::io::write(&file, &noise(3000, 3)).unwrap();
    rustix::fs::fsetxattr(&file, "user.deep", b"deep", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::linkat(&folder, "end", &folder, "end-again", rustix::fs::AtFlags::empty()).unwrap();
    rustix::fs::symlinkat("nowhere", &folder, "link").unwrap();
    rustix::fs::mknodat(&folder, "fifo", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn trees_of_any_depth_and_length_of_path_come_back() {
    let scratch = Scratch::new();
    for (kind, names) in [
        ("deep", (0..1000).map(|at| format!("{at}")).collect::<Vec<_>>()),
        ("long", (0..60).map(|at| format!("{at:02}{}", "n".repeat(253))).collect()),
    ] {
        let (source, dest) = (scratch.folder(&format!("{kind}-source")), scratch.path(&format!("{kind}-dest")));
        let length: usize = names.iter().map(|name| name.len() + 1).sum();
        nested(&source, names.into_iter());
        round(&scratch.path(kind), &source, &dest);
        let (left, right) = (describe(&source), describe(&dest));
        assert!(left.keys().any(|path| path.len() > length), "{kind}");
        assert!(left == right, "{kind}");
        // std's removal cannot go that deep by path; rm can.
        for tree in [&source, &dest] {
            assert!(Command::new("rm").arg("-rf").arg(tree).status().unwrap().success());
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Folder,
    Link,
    HardLink,
    Node(FileType),
}

/// An inode with anything that inodes may have.
#[derive(Debug, Clone)]
struct Inode {
    kind: Kind,
    name: Vec<u8>,
    /// Which of the folders, or of the other inodes to link to.
    pick: (usize, usize),
    owner: (u32, u32),
    mode: u32,
    time: (i64, i64),
    device: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    acl: Option<u16>,
    flags: u32,
    parts: Vec<(u32, Vec<u8>)>,
    size: u32,
}

fn bytes_of_a_name(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|b| if b == 0 || b == b'/' { b'_' } else { b });
    proptest::collection::vec(byte, 1..=most).prop_filter("a name", |n| n != b"." && n != b"..")
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::File),
        3 => Just(Kind::Folder),
        2 => Just(Kind::Link),
        3 => Just(Kind::HardLink),
        1 => Just(Kind::Node(FileType::Fifo)),
        1 => Just(Kind::Node(FileType::Socket)),
        1 => Just(Kind::Node(FileType::CharacterDevice)),
        1 => Just(Kind::Node(FileType::BlockDevice)),
    ]
}

fn inode() -> impl Strategy<Value = Inode> {
    let xattrs = (bytes_of_a_name(240), proptest::collection::vec(any::<u8>(), 0..400));
    let part = (0u32..400_000, proptest::collection::vec(any::<u8>(), 1..20_000));
    let what = (kind(), bytes_of_a_name(255), any::<(usize, usize)>(), 0u32..0o10000, any::<(u32, u32)>());
    let seconds = i64::from(i32::MIN)..(1 << 33);
    // XFS keeps 9 bits of a device's major number.
    let times = (seconds, 0i64..1_000_000_000, 0u32..512, 0u32..1 << 18);
    let more = (
        proptest::collection::vec(xattrs, 0..3),
        proptest::option::of(0u16..8),
        any::<u32>(),
        proptest::collection::vec(part, 0..4),
        0u32..500_000,
    );
    (what, times, more).prop_map(|((kind, name, pick, mode, owner), (sec, nsec, major, minor), more)| {
        let (xattrs, acl, flags, parts, size) = more;
        let owner = (owner.0.min(u32::MAX - 1), owner.1.min(u32::MAX - 1));
        Inode {
            kind,
            name,
            pick,
            owner,
            mode,
            time: (sec, nsec),
            device: (major, minor),
            xattrs,
            acl,
            flags,
            parts,
            size,
        }
    })
}

/// A tree that is being made: metadata comes last, or making the rest would change it.
struct Growing {
    folders: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl Growing {
    /// Makes the inode bare; where it is, unless it cannot be made here.
    fn make(&mut self, inode: &Inode) -> Option<PathBuf> {
        let path = self.folders[inode.pick.0 % self.folders.len()].join(OsStr::from_bytes(&inode.name));
        if path.symlink_metadata().is_ok() {
            return None;
        }
        match inode.kind {
            Kind::Folder => {
                fs::create_dir(&path).unwrap();
                self.folders.push(path.clone());
                return Some(path);
            }
            Kind::File => {
                let parts: Vec<(u64, &[u8])> =
                    inode.parts.iter().map(|(at, bytes)| (u64::from(*at), &bytes[..])).collect();
                sparse(&path, inode.size.into(), &parts);
            }
            Kind::Link => std::os::unix::fs::symlink(OsStr::from_bytes(&inode.name), &path).unwrap(),
            Kind::HardLink => {
                let of = self.others.get(inode.pick.1.checked_rem(self.others.len())?)?;
                fs::hard_link(of, &path).unwrap();
                return None;
            }
            Kind::Node(kind) => {
                let device = rustix::fs::makedev(inode.device.0, inode.device.1);
                rustix::fs::mknodat(CWD, &path, kind, Mode::RUSR, device).unwrap();
            }
        }
        self.others.push(path.clone());
        Some(path)
    }
}

fn dress(path: &Path, inode: &Inode) {
    rustix::fs::chownat(
        CWD,
        path,
        Some(Uid::from_raw(inode.owner.0)),
        Some(Gid::from_raw(inode.owner.1)),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let plain = matches!(inode.kind, Kind::File | Kind::Folder);
    // Only files and folders have attributes of users; root's own may be on anything.
    let space = if plain { "user." } else { "trusted." };
    for (name, value) in &inode.xattrs {
        set_xattr_bytes(path, &[space.as_bytes(), name].concat(), value);
    }
    if let (Some(bits), true) = (inode.acl, plain) {
        let mut acl = ACL.to_vec();
        acl[14] = bits as u8;
        set_xattr(path, "system.posix_acl_access", &acl);
        if matches!(inode.kind, Kind::Folder) {
            set_xattr(path, "system.posix_acl_default", &acl);
        }
    }
    if !matches!(inode.kind, Kind::Link) {
        fs::set_permissions(path, fs::Permissions::from_mode(inode.mode)).unwrap();
    }
    if plain {
        let flags = IFlags::NODUMP | IFlags::NOATIME | IFlags::SYNC | IFlags::IMMUTABLE | IFlags::APPEND;
        // Times cannot be set on what is frozen.
        set_mtime(path, inode.time.0, inode.time.1);
        set_flags(path, IFlags::from_bits_retain(inode.flags) & flags);
    } else {
        set_mtime(path, inode.time.0, inode.time.1);
    }
}

fn set_xattr_bytes(path: &Path, name: &[u8], value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_inodes_come_back(inodes in proptest::collection::vec(inode(), 1..25)) {
        let scratch = Scratch::new();
        let (source, dest) = (scratch.folder("source"), scratch.path("dest"));
        let mut growing = Growing { folders: vec![source.clone()], others: Vec::new() };
        let made: Vec<(PathBuf, &Inode)> = inodes.iter().filter_map(|inode| Some((growing.make(inode)?, inode))).collect();
        for (path, inode) in made.iter().rev() {
            dress(path, inode);
        }
        round(&scratch.path("vault"), &source, &dest);
        assert_same(&source, &dest);
    }
}
