//! Lists a tree in catalogue order: depth first, siblings by bytes, a folder before its contents.
//!
//! Memory is the names of the folders between the root and the current place. Every folder is reached from the root by
//! `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, so a link swapped in during the walk leads nowhere.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::exclude::Exclusion;
use super::inode::{Facts, facts_of};
use crate::entry::EntryKind;
use crate::path::EntryPath;

/// Descriptors kept open along one path; deeper folders are opened again from the root when the walk returns to them.
const OPEN_LEVELS: usize = 64;
/// `openat2` takes paths below PATH_MAX; longer ones are walked in stretches of at most this many bytes.
const STRETCH: usize = 3072;

/// What the walk came upon.
#[derive(Debug)]
pub(crate) enum Found {
    /// An entry of the snapshot.
    Entry(Box<Facts>),
    /// The contents of the folder that came just before, or an entry altogether, left out by the configuration.
    LeftOut(EntryPath),
    /// The folder that came just before is where another filesystem is mounted, which does not belong to the snapshot.
    Foreign(EntryPath),
    /// Something that could not be listed or looked at. A folder that cannot be listed came as an entry before.
    Unreadable(EntryPath, Errno),
}

/// Opens `path` below `root` without following any symlink.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open = |from: BorrowedFd<'_>, part: &[u8], flags| {
        let part: &[u8] = if part.is_empty() { b"." } else { part };
        rustix::fs::openat2(from, part, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), resolve)
    };
    let mut rest = path;
    let mut folder: Option<OwnedFd> = None;
    while rest.len() > STRETCH {
        let Some(cut) = rest[..STRETCH].iter().rposition(|b| *b == b'/') else { return Err(Errno::NAMETOOLONG) };
        let from = folder.as_ref().map_or(root, |f| f.as_fd());
        folder = Some(open(from, &rest[..cut], OFlags::PATH | OFlags::DIRECTORY)?);
        rest = &rest[cut + 1..];
    }
    open(folder.as_ref().map_or(root, |f| f.as_fd()), rest, flags)
}

struct Level {
    path: EntryPath,
    fd: Option<OwnedFd>,
    /// Device of its filesystem.
    device: (u32, u32),
    /// Each with the inode that the folder has for it.
    names: std::vec::IntoIter<(Box<[u8]>, u64)>,
}

/// A walk over a tree.
pub(crate) struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// Mount points inside the snapshot that are descended into.
    cross: HashSet<EntryPath>,
    exclude: &'a [Exclusion],
    levels: Vec<Level>,
    begun: bool,
    /// What to say about the folder that was returned last.
    remark: Option<Found>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, cross: HashSet<EntryPath>, exclude: &'a [Exclusion]) -> Self {
        Walk { root, cross, exclude, levels: Vec::new(), begun: false, remark: None }
    }

    /// Opens and lists a folder; its names come next.
    fn enter(&mut self, path: EntryPath, device: (u32, u32)) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = |flags| match self.levels.last().and_then(|level| level.fd.as_ref()) {
            Some(parent) => open_beneath(parent.as_fd(), path.name(), flags),
            None => open_beneath(self.root, path.as_bytes(), flags),
        };
        let fd = open(flags | OFlags::NOATIME).or_else(|e| if e == Errno::PERM { open(flags) } else { Err(e) })?;
        let mut names: Vec<(Box<[u8]>, u64)> = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push((name.into(), entry.ino()));
            }
        }
        names.sort_unstable();
        let depth = self.levels.len();
        if depth >= OPEN_LEVELS {
            self.levels[depth - OPEN_LEVELS + 1].fd = None;
        }
        self.levels.push(Level { path, fd: Some(fd), device, names: names.into_iter() });
        Ok(())
    }

    /// The next sibling in the deepest folder: its path, what `statx` says, and whether it is the inode that the folder has. A folder's descriptor that
    /// was given up is opened again.
    fn look(&mut self) -> Option<(EntryPath, Result<Facts, Errno>, bool)> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, inode)) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let path = level.path.child(&name);
            if level.fd.is_none() {
                match open_beneath(self.root, level.path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
                    Ok(fd) => level.fd = Some(fd),
                    Err(errno) => return Some((path, Err(errno), false)),
                }
            }
            let folder = level.fd.as_ref().map_or(self.root, |fd| fd.as_fd());
            let facts = facts_of(folder, &name, path.clone());
            let listed = facts.as_ref().is_ok_and(|facts| (facts.device, facts.entry.inode) == (level.device, inode));
            return Some((path, facts, listed));
        }
    }

    /// Decides about an entry, and enters a folder whose contents belong to the snapshot. So do those of one that is mounted over itself, as container
    /// engines do with their storage: it is `listed` in the folder above.
    fn admit(&mut self, facts: Facts, listed: bool) -> Found {
        let path = facts.entry.path.clone();
        let excluded = self.exclude.iter().any(|e| e.matches(&path));
        if facts.entry.kind != EntryKind::Directory {
            return if excluded { Found::LeftOut(path) } else { Found::Entry(Box::new(facts)) };
        }
        let foreign = facts.mount_root && !listed && !path.is_root() && !self.cross.contains(&path);
        self.remark = if excluded {
            Some(Found::LeftOut(path))
        } else if foreign {
            Some(Found::Foreign(path))
        } else {
            self.enter(path.clone(), facts.device).err().map(|errno| Found::Unreadable(path, errno))
        };
        Found::Entry(Box::new(facts))
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(remark) = self.remark.take() {
            return Some(remark);
        }
        let (path, facts, listed) = if self.begun {
            self.look()?
        } else {
            self.begun = true;
            (EntryPath::root(), facts_of(self.root, b"", EntryPath::root()), false)
        };
        Some(match facts {
            Ok(facts) => self.admit(facts, listed),
            Err(errno) => Found::Unreadable(path, errno),
        })
    }
}
