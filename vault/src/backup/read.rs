//! Storing one entry: reads it from the live tree until it holds still, and appends its tar member.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::segment::Builder;
use super::{Problem, ProblemKind};
use crate::content::Zeroes;
use crate::contents::Digest;
use crate::entry::{Entry, EntryKind, Extent};
use crate::error::Result;
use crate::member::headers;
use crate::path::EntryPath;
use crate::source::{Facts, extents_of, facts_of, open_beneath, read_link, take_attributes};

/// Files up to this size are read whole before anything is written; larger ones are passed on in pieces of this size.
pub(super) const PIECE: usize = 1 << 20;
/// How often a file that changes under the reader is read.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Stored, with a problem when it never held still.
    Stored(Box<Entry>, Option<Problem>),
    /// It is as it was in an earlier run, which holds it.
    Reused(Box<Entry>),
    /// It is not in the snapshot.
    Lost(Problem),
}

pub(super) fn lost(path: &EntryPath, error: &io::Error) -> Outcome {
    let (kind, what) = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => (ProblemKind::Vanished, "vanished before it was read".into()),
        Some(Errno::STALE | Errno::LOOP) => {
            let what = "something else took its place while it was read; it is not in the snapshot";
            (ProblemKind::Changed, what.into())
        }
        _ => (ProblemKind::Unreadable, format!("cannot be read: {error}")),
    };
    Outcome::Lost(Problem { path: path.clone(), kind, what })
}

pub(super) fn changed(path: &EntryPath) -> Problem {
    let what = "kept changing while it was read; the snapshot holds what was read last".into();
    Problem { path: path.clone(), kind: ProblemKind::Changed, what }
}

/// Whether nothing happened to the inode between two looks at it.
pub(super) fn held_still(before: &Facts, after: &Facts) -> bool {
    before.entry.is_unchanged(&after.entry)
}

/// Whether everything that is restored, apart from the access time, is the same.
pub(super) fn same_metadata(a: &Entry, b: &Entry) -> bool {
    (a.kind, a.mode, a.uid, a.gid, a.size, a.mtime, a.flags, a.project, &a.rdev)
        == (b.kind, b.mode, b.uid, b.gid, b.size, b.mtime, b.flags, b.project, &b.rdev)
        && a.xattrs == b.xattrs
        && a.link == b.link
        && a.extents == b.extents
}

/// Whether the inode changed so lately that another change could bear the same time: then standing still proves nothing.
fn is_fresh(facts: &Facts) -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let changed = facts.entry.ctime;
    let seconds = now.tv_sec.saturating_sub(changed.sec);
    let age = seconds.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec - i64::from(changed.nsec));
    (0..PAUSE.as_nanos() as i64).contains(&age)
}

/// Opens a regular file or a folder for reading, without touching its access time where that is allowed.
pub(super) fn open_to_read(folder: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    match open_beneath(folder, path, flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open_beneath(folder, path, flags),
        other => other,
    }
}

/// The folder that a worker reads from at the moment, opened: its entries are opened from there, not each from the root.
#[derive(Default)]
struct Folder(Option<(Vec<u8>, OwnedFd)>);

impl Folder {
    /// The folder `path` below `root`.
    fn open(&mut self, root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<BorrowedFd<'_>> {
        if self.0.as_ref().is_none_or(|(open, _)| open != path) {
            let fd = open_beneath(root, path, OFlags::PATH | OFlags::DIRECTORY)?;
            self.0 = Some((path.to_vec(), fd));
        }
        self.0.as_ref().map(|(_, fd)| fd.as_fd()).ok_or(Errno::BADF)
    }
}

/// Reads entries for one worker.
pub(super) struct Reader<'a> {
    pub(super) builder: Builder<'a>,
    /// The root of the tree.
    pub(super) root: BorrowedFd<'a>,
    folder: Folder,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(builder: Builder<'a>, root: BorrowedFd<'a>) -> Self {
        Reader { builder, root, folder: Folder::default(), buffer: Vec::new() }
    }

    /// Forgets the folder in hand: what is read next is found from the root again, wherever its folder is by then.
    pub(super) fn refresh(&mut self) {
        self.folder = Folder::default();
    }

    /// Stores any entry that has no data: all but regular files.
    pub(super) fn store_plain(&mut self, facts: &Facts, previous: Option<&Entry>) -> Result<Outcome> {
        let path = &facts.entry.path;
        let mut entry = match self.look(facts) {
            Ok(entry) => entry,
            Err(error) => return Ok(lost(path, &error)),
        };
        if let Some(previous) = previous.filter(|previous| same_metadata(previous, &entry)) {
            entry.member = previous.member;
            return Ok(Outcome::Reused(Box::new(entry)));
        }
        if entry.kind != EntryKind::Socket {
            entry.member = Some(self.builder.whole(&headers(&entry, 0), &[])?);
        }
        Ok(Outcome::Stored(Box::new(entry), None))
    }

    /// Everything about an entry without data.
    fn look(&mut self, facts: &Facts) -> io::Result<Entry> {
        let path = &facts.entry.path;
        let (parent, name) = path.split();
        let folder = self.folder.open(self.root, parent)?;
        let bare = || open_beneath(folder, name, OFlags::PATH);
        let (fd, open) = match facts.entry.kind {
            // A folder that may not be listed is kept all the same, without contents; the lister names it.
            EntryKind::Directory => match open_to_read(folder, name) {
                Err(Errno::ACCESS) => (bare()?, false),
                opened => (opened?, true),
            },
            _ => (bare()?, false),
        };
        let mut entry = facts_of(&fd, b"", path.clone())?.entry;
        if entry.kind != facts.entry.kind {
            return Err(Errno::STALE.into());
        }
        if entry.kind == EntryKind::Symlink {
            entry.link = Some(read_link(&fd, b"")?);
        }
        take_attributes(fd.as_fd(), open, &mut entry)?;
        Ok(entry)
    }

    /// Stores a regular file that is no larger than a segment.
    pub(super) fn store_file(&mut self, path: &EntryPath, previous: Option<&Entry>) -> Result<Outcome> {
        let mut outcome = None;
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                std::thread::sleep(PAUSE);
            }
            let (stored, stable) = match self.read_once(path, previous, attempt == ATTEMPTS) {
                Ok(result) => result?,
                Err(error) => return Ok(lost(path, &error)),
            };
            outcome = stored;
            if stable {
                break;
            }
        }
        // The last attempt always stores.
        let unreadable = || lost(path, &io::Error::other("it became larger than a segment while it was read"));
        Ok(outcome.unwrap_or_else(unreadable))
    }

    /// One attempt. The outer error is the source's, the inner one the vault's. `false` asks for another attempt.
    fn read_once(
        &mut self,
        path: &EntryPath,
        previous: Option<&Entry>,
        last: bool,
    ) -> io::Result<Result<(Option<Outcome>, bool)>> {
        let (parent, name) = path.split();
        let fd = open_to_read(self.folder.open(self.root, parent)?, name)?;
        let before = facts_of(&fd, b"", path.clone())?;
        if before.entry.kind != EntryKind::File {
            return Err(Errno::STALE.into());
        }
        if before.entry.size > self.builder.run.vault.segment_size {
            return Ok(Ok((None, last)));
        }
        if !last && is_fresh(&before) {
            return Ok(Ok((None, false)));
        }
        let mut entry = before.entry.clone();
        take_attributes(fd.as_fd(), true, &mut entry)?;
        // Attributes in blocks of their own are counted too, so that a file with holes may look full.
        if before.sparse || !entry.xattrs.is_empty() {
            let extents = extents_of(fd.as_fd(), 0, entry.size)?;
            entry.extents = Some(extents).filter(|e| e[..] != [Extent { offset: 0, len: entry.size }]);
        }
        if entry.size <= PIECE as u64 {
            self.read_whole(&fd, before, entry, previous, last)
        } else {
            self.pass_on(&fd, &before, entry, last)
        }
    }

    /// A small file: nothing is written before all of it has been read and found still.
    fn read_whole(
        &mut self,
        fd: &OwnedFd,
        before: Facts,
        mut entry: Entry,
        previous: Option<&Entry>,
        last: bool,
    ) -> io::Result<Result<(Option<Outcome>, bool)>> {
        let size = entry.size as usize;
        // One byte more than expected shows a file that grew.
        self.buffer.resize(self.buffer.len().max(PIECE + 1), 0);
        let mut n = 0;
        loop {
            match rustix::io::pread(fd, &mut self.buffer[n..=size], n as u64)? {
                0 => break,
                read => n += read,
            }
            // All that was expected, and less than was asked for: that is its end. Should it grow now, its facts show it.
            if n >= size {
                break;
            }
        }
        let stable = n == size && held_still(&before, &facts_of(fd, b"", EntryPath::root())?);
        if !stable && !last {
            return Ok(Ok((None, false)));
        }
        if !stable {
            // What was read is all that is known to belong together, holes included.
            (entry.size, entry.extents) = (n as u64, None);
        }
        let content = &self.buffer[..n];
        entry.content = Some(Digest(blake3::hash(content).into()));
        if let Some(previous) = previous.filter(|p| stable && p.content == entry.content && same_metadata(p, &entry)) {
            entry.member = previous.member;
            return Ok(Ok((Some(Outcome::Reused(Box::new(entry))), true)));
        }
        let member = match &entry.extents {
            None => self.builder.whole(&headers(&entry, n as u64), content),
            Some(extents) => {
                let data: Vec<u8> = extents
                    .iter()
                    .flat_map(|e| &content[e.offset as usize..(e.offset + e.len) as usize])
                    .copied()
                    .collect();
                self.builder.whole(&headers(&entry, data.len() as u64), &data)
            }
        };
        Ok(member.map(|member| {
            let problem = (!stable).then(|| changed(&entry.path));
            entry.member = Some(member);
            (Some(Outcome::Stored(Box::new(entry), problem)), true)
        }))
    }

    /// A file that is passed on while it is read. When it shrinks, zeroes fill its member up; when another attempt follows, the
    /// member stays behind unnamed.
    fn pass_on(
        &mut self,
        fd: &OwnedFd,
        before: &Facts,
        mut entry: Entry,
        last: bool,
    ) -> io::Result<Result<(Option<Outcome>, bool)>> {
        let whole = [Extent { offset: 0, len: entry.size }];
        let extents = entry.extents.as_deref().unwrap_or(&whole);
        let data = extents.iter().map(|e| e.len).sum();
        let member = match self.builder.begin(&headers(&entry, data), data) {
            Ok(member) => member,
            Err(error) => return Ok(Err(error)),
        };
        self.buffer.resize(self.buffer.len().max(PIECE), 0);
        let mut hasher = Zeroes::new();
        let mut failure = None;
        let mut short = false;
        'extents: for extent in extents {
            hasher.up_to(extent.offset);
            let (mut at, end) = (extent.offset, extent.offset + extent.len);
            while at < end {
                let want = ((end - at) as usize).min(PIECE);
                match rustix::io::pread(fd, &mut self.buffer[..want], at) {
                    Ok(0) => {
                        short = true;
                        break 'extents;
                    }
                    Ok(n) => {
                        hasher.update(&self.buffer[..n]);
                        if let Err(error) = self.builder.data(&self.buffer[..n]) {
                            return Ok(Err(error));
                        }
                        at += n as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => {
                        failure = Some(errno);
                        break 'extents;
                    }
                }
            }
        }
        if let Err(error) = self.builder.end(&member) {
            return Ok(Err(error));
        }
        if let Some(errno) = failure {
            return Err(errno.into());
        }
        let stable = !short && held_still(before, &facts_of(fd, b"", EntryPath::root())?);
        if !stable && !last {
            return Ok(Ok((None, false)));
        }
        // What the member lacks are zeroes, in the hash as in the stream.
        hasher.up_to(entry.size);
        entry.content = Some(hasher.finish());
        entry.member = Some(member);
        let problem = (!stable).then(|| changed(&entry.path));
        Ok(Ok((Some(Outcome::Stored(Box::new(entry), problem)), true)))
    }
}
