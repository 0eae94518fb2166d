//! Giving an inode its metadata back, in the order that keeps each step from undoing another: owner (which drops setuid and
//! capabilities), xattrs with ACLs (which need write permission), mode, project, times, and last the flags that freeze it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, IFlags, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::tree::{Made, Tree};
use crate::entry::{Entry, Time};
use crate::error::Result;
use crate::path::escape;
use crate::source::{FLAGS_KEPT, project_of, set_project};

/// Flags that would keep the rest of the restore from working on the inode.
pub(super) const FREEZING: u32 = IFlags::IMMUTABLE.bits() | IFlags::APPEND.bits();

fn timestamps(entry: &Entry) -> Timestamps {
    let spec = |t: Time| Timespec { tv_sec: t.sec, tv_nsec: t.nsec.into() };
    Timestamps { last_access: spec(entry.atime), last_modification: spec(entry.mtime) }
}

/// An inode of the tree. Only descriptors: a name may mean another inode by now, if somebody else writes to the tree.
pub(super) enum Inode<'a> {
    Open(BorrowedFd<'a>),
    /// An `O_PATH` descriptor, because opening would act on it, or cannot be done: links, devices, fifos, sockets.
    Handle(BorrowedFd<'a>),
}

impl Inode<'_> {
    /// The inode's own name in /proc, which leads to it and not beyond, a symlink included.
    fn proc_path(&self) -> Vec<u8> {
        let (Inode::Open(fd) | Inode::Handle(fd)) = self;
        format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes()
    }

    fn chown(&self, entry: &Entry) -> Made<()> {
        let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        match self {
            Inode::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Inode::Handle(fd) => rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    /// Whether an open inode has the entry's owner: what root makes is root's, and each change is one of the filesystem's
    /// transactions.
    fn owned(&self, entry: &Entry) -> bool {
        match self {
            Inode::Open(fd) => {
                rustix::fs::fstat(fd).is_ok_and(|stat| (stat.st_uid, stat.st_gid) == (entry.uid, entry.gid))
            }
            Inode::Handle(_) => false,
        }
    }

    fn chmod(&self, entry: &Entry) -> Made<()> {
        let mode = Mode::from_raw_mode(entry.mode);
        match self {
            Inode::Open(fd) => rustix::fs::fchmod(fd, mode),
            Inode::Handle(_) if entry.kind == crate::EntryKind::Symlink => Ok(()),
            Inode::Handle(_) => rustix::fs::chmod(self.proc_path(), mode),
        }
    }

    fn times(&self, entry: &Entry) -> Made<()> {
        let times = timestamps(entry);
        match self {
            Inode::Open(fd) => rustix::fs::futimens(fd, &times),
            Inode::Handle(fd) => rustix::fs::utimensat(fd, c"", &times, AtFlags::EMPTY_PATH),
        }
    }

    fn list_xattrs(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut buffer = vec![0u8; 1024];
        let list = |buffer: &mut [u8]| match self {
            Inode::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Inode::Handle(_) => rustix::fs::listxattr(path, buffer),
        };
        let listed = match list(&mut buffer) {
            Err(Errno::RANGE) => {
                buffer.resize(1 << 16, 0);
                list(&mut buffer)
            }
            other => other,
        };
        let names = buffer[..listed.unwrap_or(0)].split(|b| *b == 0).filter(|name| !name.is_empty());
        names.map(<[u8]>::to_vec).collect()
    }

    fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8]) -> Made<()> {
        match self {
            Inode::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Inode::Handle(_) => rustix::fs::setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Made<()> {
        match self {
            Inode::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Inode::Handle(_) => rustix::fs::removexattr(path, name),
        }
    }
}

/// Whether an attribute can be set by root alone.
fn privileged(name: &[u8]) -> bool {
    name.starts_with(b"security.") || name.starts_with(b"trusted.")
}

impl Tree {
    /// Everything but the flags that freeze. `fat` passes over what such a filesystem cannot hold.
    pub(super) fn apply(&self, inode: &Inode<'_>, entry: &Entry, fat: bool) -> Result<()> {
        let settle = |doing, made: Made<()>| match made {
            Err(errno) if !fat => self.settle(&entry.path, doing, errno),
            _ => Ok(()),
        };
        if self.owner && !inode.owned(entry) {
            settle("setting the owner", inode.chown(entry))?;
        }
        self.apply_xattrs(inode, entry, fat)?;
        settle("setting the mode", inode.chmod(entry))?;
        if let Inode::Open(fd) = inode {
            settle("setting the project", self.apply_project(*fd, entry))?;
            settle("setting inode flags", apply_flags(*fd, entry, FLAGS_KEPT & !FREEZING))?;
        }
        settle("setting the times", inode.times(entry))
    }

    fn apply_project(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Made<()> {
        // A folder may pass its project on to what is made in it, so 0 has to be set as well where there is another.
        let there = project_of(fd).map_or(0, |words| words[3]);
        if there == entry.project { Ok(()) } else { set_project(fd, entry.project) }
    }

    fn apply_xattrs(&self, inode: &Inode<'_>, entry: &Entry, fat: bool) -> Result<()> {
        let path = inode.proc_path();
        for name in inode.list_xattrs(&path) {
            // Inherited from a folder, or from an earlier attempt. Labels that the kernel gives by itself stay.
            if !entry.xattrs.iter().any(|(wanted, _)| *wanted == name) && !name.starts_with(b"security.") {
                let _ = inode.remove_xattr(&path, &name);
            }
        }
        for (name, value) in &entry.xattrs {
            if let Err(errno) = inode.set_xattr(&path, name, value) {
                if fat || (!self.owner && privileged(name)) {
                    continue;
                }
                if errno == Errno::NOSPC || errno == Errno::DQUOT {
                    // ext4 answers so when an inode has no room for more attributes, not only when the disk is full.
                    let what = format!("extended attribute {} does not fit on this filesystem", escape(name));
                    self.problem(&entry.path, what);
                } else {
                    self.settle(&entry.path, "setting an extended attribute", errno)?;
                }
            }
        }
        Ok(())
    }

    /// The flags that freeze an inode, once nothing is left to do on it.
    pub(super) fn freeze(&self, fd: &OwnedFd, entry: &Entry) -> Result<()> {
        match apply_flags(fd.as_fd(), entry, FREEZING) {
            Err(errno) => self.settle(&entry.path, "setting the immutable or append-only flag", errno),
            Ok(()) => Ok(()),
        }
    }
}

/// Sets those inode flags that `mask` names, as the entry has them.
fn apply_flags(fd: BorrowedFd<'_>, entry: &Entry, mask: u32) -> Made<()> {
    let there = match rustix::fs::ioctl_getflags(fd) {
        Ok(flags) => flags.bits(),
        Err(_) if entry.flags & mask == 0 => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let wanted = (there & !mask) | (entry.flags & mask);
    if wanted == there { Ok(()) } else { rustix::fs::ioctl_setflags(fd, IFlags::from_bits_retain(wanted)) }
}
