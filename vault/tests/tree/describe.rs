//! The independent checker: everything about a tree that a restore must bring back, found with plain system calls and no code of
//! the vault. It walks by descriptors, so paths may be as long and as deep as they like.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, SeekFrom, Statx, StatxFlags};

/// Settable inode flags: secrm, unrm, sync, immutable, append, nodump, noatime, dirsync, topdir.
const FLAGS: u32 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x10000 | 0x20000;
/// Content of files up to this size is read whole; of larger ones only the stretches with data.
const READ_WHOLE: u64 = 1 << 24;

/// One line per entry, by its path; the root is the empty path.
pub fn describe(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut census = Census::default();
    let root = open(CWD, root.as_os_str().as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY);
    census.add(&root, b"", b"");
    census.folder(root, b"");
    census.all
}

#[derive(Default)]
struct Census {
    all: BTreeMap<Vec<u8>, String>,
    /// First path of each inode that has several.
    inodes: BTreeMap<(u64, u64), Vec<u8>>,
}

fn open(dir: impl AsFd, name: &[u8], flags: OFlags) -> OwnedFd {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).unwrap_or_else(|e| panic!("{:?}: {e}", OsStr::from_bytes(name)))
}

impl Census {
    /// Adds what is in a folder. Gives the descriptor back by way of `..`, so that depth costs none.
    fn folder(&mut self, mut fd: OwnedFd, path: &[u8]) -> OwnedFd {
        let mut names: Vec<Vec<u8>> =
            Dir::read_from(&fd).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec()).collect();
        names.retain(|name| name != b"." && name != b"..");
        names.sort();
        for name in names {
            let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            if self.add(&fd, &name, &below) {
                let child = open(&fd, &name, OFlags::RDONLY | OFlags::DIRECTORY);
                drop(fd);
                let child = self.folder(child, &below);
                fd = open(child, b"..", OFlags::RDONLY | OFlags::DIRECTORY);
            }
        }
        fd
    }

    /// Adds one entry; whether it is a folder.
    fn add(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> bool {
        let at = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let stat = rustix::fs::statx(dir, name, at, StatxFlags::BASIC_STATS).unwrap();
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let mut text = format!(
            "mode {:o} uid {} gid {} mtime {}.{:09}",
            stat.stx_mode, stat.stx_uid, stat.stx_gid, stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec
        );
        match kind {
            FileType::BlockDevice | FileType::CharacterDevice => {
                text += &format!(" rdev {}:{}", stat.stx_rdev_major, stat.stx_rdev_minor);
            }
            FileType::Symlink => {
                text += &format!(" target {:?}", rustix::fs::readlinkat(dir, name, Vec::new()).unwrap());
            }
            _ => {}
        }
        if kind != FileType::Directory && stat.stx_nlink > 1 {
            let inode = (u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor), stat.stx_ino);
            let first = self.inodes.entry(inode).or_insert_with(|| path.to_vec());
            text += &format!(" links {} first {:?}", stat.stx_nlink, OsStr::from_bytes(first));
        }
        text += &attributes(dir, name);
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            let name = if name.is_empty() { b"." } else { name };
            text += &opened(&open(dir, name, OFlags::RDONLY | OFlags::NONBLOCK), &stat, kind);
        }
        self.all.insert(path.to_vec(), text);
        kind == FileType::Directory
    }
}

/// Extended attributes, of links and devices too.
fn attributes(dir: &OwnedFd, name: &[u8]) -> String {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let mut names = vec![0u8; 65536];
    let n = rustix::fs::llistxattr(&path[..], &mut names[..]).unwrap_or(0);
    let mut names: Vec<&[u8]> = names[..n].split(|b| *b == 0).filter(|n| !n.is_empty()).collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        let mut value = vec![0u8; 65536];
        let n = rustix::fs::lgetxattr(&path[..], name, &mut value[..]).unwrap();
        let hash = blake3::hash(&value[..n]).to_hex();
        text += &format!(" {}={n}:{}", name.escape_ascii(), &hash[..16]);
    }
    text
}

/// What only an open file tells: flags, project, content, holes.
fn opened(file: &OwnedFd, stat: &Statx, kind: FileType) -> String {
    let flags = rustix::fs::ioctl_getflags(file).unwrap_or(IFlags::empty()).bits() & FLAGS;
    let mut text = format!(" flags {flags:x} project {}", project(file));
    if kind == FileType::RegularFile {
        // Reading first: space that is reserved and was never written counts as data only once it is in the cache.
        let content = content(file, stat.stx_size);
        text += &format!(" size {} content {content} extents {:?}", stat.stx_size, extents(file, stat.stx_size));
    }
    text
}

/// The project id: word 3 of `struct fsxattr`; 0 where there is no such thing.
fn project(file: &OwnedFd) -> u32 {
    const FSGETXATTR: rustix::ioctl::Opcode = 0x801c_581f;
    #[expect(unsafe_code, reason = "rustix has no typed FS_IOC_FSGETXATTR")]
    // SAFETY: the opcode encodes a read of 28 bytes, which is the size and alignment of [u32; 7].
    let words = unsafe { rustix::ioctl::ioctl(file, rustix::ioctl::Getter::<FSGETXATTR, [u32; 7]>::new()) };
    words.map_or(0, |words| words[3])
}

fn content(file: &OwnedFd, size: u64) -> blake3::Hash {
    let stretches = if size <= READ_WHOLE { vec![(0, size)] } else { extents(file, size) };
    let mut hasher = blake3::Hasher::new();
    for (from, to) in &stretches {
        let mut at = *from;
        let mut buffer = vec![0; 1 << 20];
        while at < *to {
            let want = buffer.len().min((to - at) as usize);
            let n = rustix::io::pread(file, &mut buffer[..want], at).unwrap();
            assert_ne!(n, 0, "the file ends at {at}");
            hasher.update(&buffer[..n]);
            at += n as u64;
        }
    }
    hasher.finalize()
}

fn extents(file: &OwnedFd, size: u64) -> Vec<(u64, u64)> {
    let (mut at, mut all) = (0, Vec::new());
    while let Ok(data) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap_or(size);
        all.push((data, hole));
        at = hole;
    }
    all
}
