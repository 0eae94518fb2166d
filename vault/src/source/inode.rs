//! Everything about one inode that a catalogue keeps: stat, xattrs, inode flags, project id, link target, holes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, IFlags, SeekFrom, StatxFlags};
use rustix::io::Errno;

use crate::entry::{Entry, EntryKind, Extent, Time};
use crate::path::EntryPath;

/// Inode flags that are kept: those an administrator can set, not those by which a filesystem describes its own layout.
/// Values are `FS_*_FL` of `linux/fs.h`: s u c S i a d A D j t T C x P.
pub const FLAGS_KEPT: u32 = 0x1
    | 0x2
    | 0x4
    | 0x8
    | 0x10
    | 0x20
    | 0x40
    | 0x80
    | 0x4000
    | 0x8000
    | 0x10000
    | 0x20000
    | 0x80_0000
    | 0x200_0000
    | 0x2000_0000;

/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of `linux/fs.h`, for the 28 bytes of `struct fsxattr`.
const FSGETXATTR: rustix::ioctl::Opcode = 0x801c_581f;
const FSSETXATTR: rustix::ioctl::Opcode = 0x401c_5820;
/// Where `struct fsxattr` has its project id, in 32-bit words.
const PROJECT_WORD: usize = 3;

/// An inode as `statx` shows it: an entry without what has to be read from the inode, and what only the walk needs.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) entry: Entry,
    pub(crate) device: (u32, u32),
    pub(crate) links: u32,
    /// Whether it occupies less than its size, so that looking for holes is worth while.
    pub(crate) sparse: bool,
    /// A mount begins here.
    pub(crate) mount_root: bool,
}

/// Stats `name` below `dir`, or `dir` itself when `name` is empty.
pub(crate) fn facts_of(dir: impl AsFd, name: &[u8], path: EntryPath) -> rustix::io::Result<Facts> {
    let at = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(dir, name, at, StatxFlags::BASIC_STATS)?;
    let time = |t: rustix::fs::StatxTimestamp| Time { sec: t.tv_sec, nsec: t.tv_nsec };
    let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        _ => EntryKind::File,
    };
    let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let entry = Entry {
        path,
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: if kind == EntryKind::File { stat.stx_size } else { 0 },
        mtime: time(stat.stx_mtime),
        atime: time(stat.stx_atime),
        ctime: time(stat.stx_ctime),
        inode: stat.stx_ino,
        link: None,
        rdev: device.then_some((stat.stx_rdev_major, stat.stx_rdev_minor)),
        xattrs: Vec::new(),
        flags: 0,
        project: 0,
        content: None,
        member: None,
        extents: None,
        blocks: None,
    };
    Ok(Facts {
        entry,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        links: stat.stx_nlink,
        sparse: stat.stx_blocks.saturating_mul(512) < stat.stx_size,
        mount_root: stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT),
    })
}

/// Reads xattrs, inode flags and project id of an inode into the entry. Unless it is `open` to read, and `fd` only an `O_PATH`
/// descriptor, there are no flags to be had.
pub(crate) fn take_attributes(fd: BorrowedFd<'_>, open: bool, entry: &mut Entry) -> io::Result<()> {
    entry.xattrs = xattrs_of(fd, !open)?;
    if open {
        // Filesystems without such flags answer with one of several errors; all of them mean that there are none.
        entry.flags = rustix::fs::ioctl_getflags(fd).map_or(0, |flags: IFlags| flags.bits()) & FLAGS_KEPT;
        entry.project = project_of(fd).map_or(0, |words| words[PROJECT_WORD]);
    }
    Ok(())
}

/// `struct fsxattr` as seven words.
pub(crate) fn project_of(fd: BorrowedFd<'_>) -> rustix::io::Result<[u32; 7]> {
    #[expect(unsafe_code, reason = "rustix has no typed FS_IOC_FSGETXATTR")]
    // SAFETY: the opcode encodes a read of 28 bytes, which is the size and alignment of [u32; 7].
    unsafe {
        rustix::ioctl::ioctl(fd, rustix::ioctl::Getter::<FSGETXATTR, [u32; 7]>::new())
    }
}

/// Sets the project id of an open inode.
pub(crate) fn set_project(fd: BorrowedFd<'_>, project: u32) -> rustix::io::Result<()> {
    let mut words = project_of(fd)?;
    if words[PROJECT_WORD] == project {
        return Ok(());
    }
    words[PROJECT_WORD] = project;
    #[expect(unsafe_code, reason = "rustix has no typed FS_IOC_FSSETXATTR")]
    // SAFETY: the opcode encodes a write of 28 bytes, which is the size and alignment of [u32; 7].
    unsafe {
        rustix::ioctl::ioctl(fd, rustix::ioctl::Setter::<FSSETXATTR, [u32; 7]>::new(words))
    }
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// All xattrs, sorted by name. An `O_PATH` descriptor cannot be asked itself; its link in /proc leads to the inode, a
/// symlink included.
fn xattrs_of(fd: BorrowedFd<'_>, by_path: bool) -> io::Result<Xattrs> {
    let path = if by_path { format!("/proc/self/fd/{}", fd.as_raw_fd()) } else { String::new() };
    let mut names = [0u8; 4096];
    let listed = |buffer: &mut [u8]| match by_path {
        true => rustix::fs::listxattr(path.as_str(), buffer),
        false => rustix::fs::flistxattr(fd, buffer),
    };
    let mut long;
    let names: &[u8] = match listed(&mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY) => return Ok(Vec::new()),
        Ok(n) => &names[..n],
        Err(Errno::RANGE) => {
            long = vec![0; 1 << 16];
            let n = listed(&mut long)?;
            &long[..n]
        }
        Err(other) => return Err(other.into()),
    };
    let mut all = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty() && !is_acl_alias(name)) {
        let get = |buffer: &mut [u8]| match by_path {
            true => rustix::fs::getxattr(path.as_str(), name, buffer),
            false => rustix::fs::fgetxattr(fd, name, buffer),
        };
        let mut value = vec![0; 256];
        let n = match get(&mut value) {
            Err(Errno::RANGE) => {
                value.resize(1 << 16, 0);
                get(&mut value)
            }
            other => other,
        };
        match n {
            Ok(n) => value.truncate(n),
            // Removed between the two calls, or not ours to read (trusted.* without CAP_SYS_ADMIN is not even listed).
            Err(Errno::NODATA) => continue,
            Err(other) => return Err(other.into()),
        }
        all.push((name.to_vec(), value));
    }
    all.sort();
    Ok(all)
}

/// XFS lists its ACLs a second time, under the names that IRIX gave them; elsewhere these would be strange attributes.
#[must_use]
pub fn is_acl_alias(name: &[u8]) -> bool {
    name.starts_with(b"trusted.SGI_ACL_")
}

/// Target of the symlink `name` below `dir`.
pub(crate) fn read_link(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Stretches with data in `from..to`, as `SEEK_DATA` and `SEEK_HOLE` show them. Where a filesystem has neither, one stretch.
pub(crate) fn extents_of(fd: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    each_extent(fd, from, to, |extent| extents.push(extent))?;
    Ok(extents)
}

/// The same one by one: a file may have millions.
pub(crate) fn each_extent(fd: BorrowedFd<'_>, from: u64, to: u64, mut found: impl FnMut(Extent)) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(data) if data < to => data.max(at),
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(other) => return Err(other.into()),
        };
        let hole = match rustix::fs::seek(fd, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => hole.min(to),
            Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO) => to,
            Err(other) => return Err(other.into()),
        };
        found(Extent { offset: data, len: hole - data });
        at = hole;
    }
    Ok(())
}
