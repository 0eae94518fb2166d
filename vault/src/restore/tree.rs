//! The tree that is being restored into. Every path is walked beneath its root without following a symlink, so nothing a
//! snapshot or another process puts there leads outside.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::backup::{Problem, ProblemKind};
use crate::entry::{self, EntryKind};
use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::source::{facts_of, open_beneath};

/// `f_type` of vfat: it holds no owners, modes, xattrs or links, and nobody expects it to.
const MSDOS_SUPER_MAGIC: i64 = 0x4d44;

/// The destination of a restore.
pub(super) struct Tree {
    pub(super) root: OwnedFd,
    pub(super) owner: bool,
    problems: Mutex<Vec<Problem>>,
    /// One descriptor per filesystem, to sync at the end.
    filesystems: Mutex<HashMap<(u32, u32), OwnedFd>>,
    /// Device and inode of files that are opened again by name.
    known: Mutex<HashMap<EntryPath, (u64, u64)>>,
}

/// A folder of the tree, opened.
pub(super) struct Place {
    pub(super) fd: OwnedFd,
    path: Vec<u8>,
    /// On a filesystem that has no owners, modes, xattrs and links.
    pub(super) fat: bool,
}

/// What a system call on the destination means for the restore.
pub(super) type Made<T> = std::result::Result<T, Errno>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tree {
    pub(super) fn open(dest: &Path, owner: bool) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |e: Errno| Error::io("opening", dest.display().to_string(), e);
        let root = rustix::fs::openat(CWD, dest, flags, Mode::empty()).map_err(failed)?;
        let tree =
            Tree { root, owner, problems: Mutex::default(), filesystems: Mutex::default(), known: Mutex::default() };
        tree.note_filesystem(&tree.root).map_err(failed)?;
        Ok(tree)
    }

    fn note_filesystem(&self, folder: &OwnedFd) -> Made<()> {
        let device = facts_of(folder, b"", EntryPath::root())?.device;
        if let Entry::Vacant(new) = lock(&self.filesystems).entry(device) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            new.insert(rustix::fs::openat(folder, c".", flags, Mode::empty())?);
        }
        Ok(())
    }

    pub(super) fn problem(&self, path: &EntryPath, what: impl Into<String>) {
        self.report(path, ProblemKind::NotRestored, what);
    }

    pub(super) fn report(&self, path: &EntryPath, kind: ProblemKind, what: impl Into<String>) {
        lock(&self.problems).push(Problem { path: path.clone(), kind, what: what.into() });
    }

    pub(super) fn take_problems(&self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut *lock(&self.problems));
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        problems
    }

    /// An errno about one entry: those that concern the whole medium end the restore, others are that entry's problem.
    pub(super) fn settle(&self, path: &EntryPath, doing: &'static str, errno: Errno) -> Result<()> {
        const FATAL: [Errno; 6] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS, Errno::NODEV, Errno::NXIO];
        if FATAL.contains(&errno) {
            return Err(Error::io(doing, path.to_string(), errno));
        }
        self.problem(path, format!("{doing} failed: {}", std::io::Error::from(errno)));
        Ok(())
    }

    /// The folder `path` of the tree; the last one used is kept in `cache`.
    pub(super) fn place<'c>(&self, cache: &'c mut Option<Place>, path: &[u8]) -> Made<&'c Place> {
        if cache.as_ref().is_none_or(|place| place.path != path) {
            let fd = open_beneath(self.root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)?;
            let fat = rustix::fs::fstatfs(&fd)?.f_type as i64 == MSDOS_SUPER_MAGIC;
            *cache = Some(Place { fd, path: path.to_vec(), fat });
        }
        cache.as_ref().ok_or(Errno::BADF)
    }

    /// Makes a folder that is searchable and writable for this process, or makes one that is there so.
    pub(super) fn make_folder(&self, cache: &mut Option<Place>, path: &EntryPath) -> Made<()> {
        let (parent, name) = path.split();
        let place = self.place(cache, parent)?;
        let (read, open) = (OFlags::RDONLY | OFlags::DIRECTORY, Mode::RWXU);
        match rustix::fs::mkdirat(&place.fd, name, open) {
            Err(Errno::EXIST) => {}
            Err(Errno::PERM) if thaw(&place.fd) => rustix::fs::mkdirat(&place.fd, name, open)?,
            other => return other,
        }
        let fd = match open_beneath(place.fd.as_fd(), name, read) {
            Err(Errno::ACCESS) => {
                let handle = open_beneath(place.fd.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)?;
                rustix::fs::chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), open)?;
                open_beneath(place.fd.as_fd(), name, read)?
            }
            // Something else has this name: another snapshot's leavings.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                remove(place, name)?;
                rustix::fs::mkdirat(&place.fd, name, open)?;
                open_beneath(place.fd.as_fd(), name, read)?
            }
            other => other?,
        };
        thaw(&fd);
        if !self.owner {
            rustix::fs::fchmod(&fd, open)?;
        }
        self.note_filesystem(&fd)
    }

    /// Makes what is neither file nor folder nor hard link. Its metadata comes after, through the `O_PATH` descriptor.
    pub(super) fn make_special(&self, place: &Place, entry: &entry::Entry) -> Made<OwnedFd> {
        let name = entry.path.name();
        let make = || match entry.kind {
            EntryKind::Symlink => rustix::fs::symlinkat(entry.link.as_deref().unwrap_or_default(), &place.fd, name),
            kind => {
                let (major, minor) = entry.rdev.unwrap_or_default();
                let file_type = match kind {
                    EntryKind::CharDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    EntryKind::Fifo => FileType::Fifo,
                    _ => FileType::Socket,
                };
                let device = rustix::fs::makedev(major, minor);
                rustix::fs::mknodat(&place.fd, name, file_type, Mode::RUSR | Mode::WUSR, device)
            }
        };
        replacing(place, name, make)?;
        let handle = open_beneath(place.fd.as_fd(), name, OFlags::PATH)?;
        let made = facts_of(&handle, b"", EntryPath::root())?;
        // Somebody else may have put another inode there, one with a name outside too.
        if made.entry.kind == entry.kind && made.links <= 1 { Ok(handle) } else { Err(Errno::EXIST) }
    }

    /// Makes an empty file that gets the inode flags `wanted` in the end, and opens it for writing.
    pub(super) fn make_file(&self, place: &Place, name: &[u8], wanted: u32) -> Made<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = replacing(place, name, || rustix::fs::openat(&place.fd, name, flags, Mode::RUSR | Mode::WUSR))?;
        // btrfs takes this flag of an empty file only; a failure is told when all flags are set.
        if wanted & IFlags::NOCOW.bits() != 0
            && let Ok(there) = rustix::fs::ioctl_getflags(&file)
        {
            let _ = rustix::fs::ioctl_setflags(&file, there | IFlags::NOCOW);
        }
        Ok(file)
    }

    /// Opens a file that is there.
    pub(super) fn open_file(&self, place: &Place, name: &[u8], flags: OFlags) -> Made<OwnedFd> {
        let fd = open_beneath(place.fd.as_fd(), name, flags | OFlags::NONBLOCK)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind == FileType::RegularFile { Ok(fd) } else { Err(Errno::EXIST) }
    }

    /// Remembers which inode a file is.
    pub(super) fn remember(&self, path: &EntryPath, file: &OwnedFd) -> Made<()> {
        let stat = rustix::fs::fstat(file)?;
        lock(&self.known).insert(path.clone(), (stat.st_dev, stat.st_ino));
        Ok(())
    }

    /// Refuses a file that is not the one remembered under this path: somebody else has put it there.
    pub(super) fn recognise(&self, path: &EntryPath, file: &OwnedFd) -> Made<()> {
        let stat = rustix::fs::fstat(file)?;
        if lock(&self.known).get(path) == Some(&(stat.st_dev, stat.st_ino)) { Ok(()) } else { Err(Errno::EXIST) }
    }

    /// Gives an inode another name. `false` when it has it already.
    pub(super) fn make_link(&self, first: &EntryPath, path: &EntryPath) -> Made<bool> {
        let (mut from, mut to) = (None, None);
        let from = self.place(&mut from, first.split().0)?;
        let to = self.place(&mut to, path.split().0)?;
        let look = |place: &Place, name| facts_of(&place.fd, name, EntryPath::root());
        let target = look(from, first.name())?;
        if target.entry.kind == EntryKind::Directory {
            return Err(Errno::ISDIR);
        }
        if look(to, path.name())
            .is_ok_and(|there| (there.device, there.entry.inode) == (target.device, target.entry.inode))
        {
            return Ok(false);
        }
        let link = || rustix::fs::linkat(&from.fd, first.name(), &to.fd, path.name(), AtFlags::empty());
        replacing(to, path.name(), link).map(|()| true)
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<()> {
        for fd in lock(&self.filesystems).values() {
            rustix::fs::syncfs(fd).map_err(|e| Error::io("syncing", "the restored tree", e))?;
        }
        Ok(())
    }
}

/// Does `make`; when the name is taken, removes what has it and tries again.
fn replacing<T>(place: &Place, name: &[u8], make: impl Fn() -> Made<T>) -> Made<T> {
    match make() {
        Err(Errno::EXIST) => {
            remove(place, name)?;
            make()
        }
        Err(Errno::PERM) if thaw(&place.fd) => make(),
        other => other,
    }
}

/// Removes a name, an empty folder included. An immutable file is made mutable first.
fn remove(place: &Place, name: &[u8]) -> Made<()> {
    let unlink = || match rustix::fs::unlinkat(&place.fd, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => rustix::fs::unlinkat(&place.fd, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match unlink() {
        Err(Errno::PERM) => {
            if let Ok(fd) = open_beneath(place.fd.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK) {
                thaw_file(&fd);
            }
            thaw(&place.fd);
            unlink()
        }
        other => other,
    }
}

/// Removes a file that this restore made and could not finish; one that cannot be removed is named as lost all the same.
pub(super) fn discard(place: &Place, name: &[u8]) {
    let _ = rustix::fs::unlinkat(&place.fd, name, AtFlags::empty());
}

/// Clears the flags that keep an open inode from being changed; whether there were any.
pub(super) fn thaw_file(fd: &OwnedFd) -> bool {
    let frozen = IFlags::IMMUTABLE | IFlags::APPEND;
    match rustix::fs::ioctl_getflags(fd) {
        Ok(flags) if flags.intersects(frozen) => rustix::fs::ioctl_setflags(fd, flags - frozen).is_ok(),
        _ => false,
    }
}

/// The same for a folder, which may be an `O_PATH` descriptor and is then opened again.
pub(super) fn thaw(fd: &OwnedFd) -> bool {
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, c".", read, Mode::empty()).is_ok_and(|fd| thaw_file(&fd))
}
