//! What the workers of a restore do: files, blocks of large files, and everything without data but folders and hard links.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use super::metadata::Inode;
use super::tree::{Made, Place, discard};
use super::{Restore, Work};
use crate::content::Zeroes;
use crate::contents::{Digest, SegmentRef};
use crate::entry::{Block, Entry, EntryKind, Extent};
use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::source::facts_of;
use crate::sweep::{Plain, Task, Visitor};

/// Bytes copied at a time.
const PIECE: usize = 512 << 10;

/// A worker's own state.
#[derive(Default)]
pub(super) struct Hand {
    place: Option<Place>,
    buffer: Vec<u8>,
    /// The large file that the last block went to.
    large: Option<(EntryPath, Rc<OwnedFd>)>,
}

/// Why an entry was not made: the destination, or the data from the vault.
enum Failure {
    Made(Errno),
    Data(String),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Made(errno)
    }
}

impl Visitor<Hand> for Work<'_> {
    fn select(&self, mut entry: Entry) -> Option<Entry> {
        if entry.kind == EntryKind::Directory {
            return self.scope.wants_folder(&entry.path).then_some(entry);
        }
        if entry.kind == EntryKind::HardLink {
            return None;
        }
        if !self.scope.wants(&entry.path) {
            entry.path = self.scope.stand_ins.get(&entry.path)?.clone();
        }
        Some(entry)
    }

    fn plain(&self, hand: &mut Hand, what: Plain) -> Result<()> {
        match what {
            Plain::Entry(entry) => self.special_or_empty(hand, &entry),
            Plain::Zeroes(file, block) => {
                let made = self.zeroes(hand, &file, &block);
                made.or_else(|errno| self.tree.settle(&file.path, "writing the file", errno))
            }
        }
    }

    fn data(&self, hand: &mut Hand, segment: &SegmentRef, task: &Task, data: &mut dyn Read) -> Result<()> {
        let made = match task {
            Task::File(entry) => self.file(hand, entry, data),
            Task::Block(file, block) => self.block(hand, file, block, data),
            Task::Head(_) => Ok(()),
        };
        match made {
            Ok(()) => Ok(()),
            Err(Failure::Made(errno)) => self.tree.settle(task.path(), "writing the file", errno),
            Err(Failure::Data(what)) => {
                if let (Task::File(entry), Some(place), None) = (task, &hand.place, self.onto(task.path())) {
                    // What is not as recorded does not stay under a name that says it is.
                    discard(place, entry.path.name());
                }
                if !self.restore.keep_going {
                    return Err(Error::corrupt(task.path().to_string(), what));
                }
                self.damage.data(&segment.object(), &what, task);
                Ok(())
            }
        }
    }

    fn damaged(&self, object: &str, error: Error, tasks: &[Task]) -> Result<()> {
        if !self.restore.keep_going {
            return Err(error);
        }
        let mut hand = Hand::default();
        let lost = tasks.iter().filter(|task| !self.is_left(&mut hand, task));
        self.damage.object(object, &error, lost);
        Ok(())
    }
}

impl Work<'_> {
    /// Symlinks, devices, fifos, sockets, and files without data.
    fn special_or_empty(&self, hand: &mut Hand, entry: &Entry) -> Result<()> {
        if entry.kind == EntryKind::Directory {
            return Ok(());
        }
        if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) && !self.restore.devices {
            let what = if self.restore.owner { "a device node, left out as asked" } else { "a device node needs root" };
            self.tree.problem(&entry.path, what);
            return Ok(());
        }
        let make = |hand: &mut Hand| -> Made<(OwnedFd, bool)> {
            let place = self.tree.place(&mut hand.place, entry.path.split().0)?;
            if entry.kind != EntryKind::File {
                return Ok((self.tree.make_special(place, entry)?, place.fat));
            }
            let file = self.tree.make_file(place, entry.path.name(), entry.flags)?;
            if entry.size > 0 {
                rustix::fs::ftruncate(&file, entry.size)?;
            }
            Ok((file, place.fat))
        };
        let (made, fat) = match make(hand) {
            Ok(made) => made,
            Err(errno) => return self.tree.settle(&entry.path, "making it", errno),
        };
        let inode = match entry.kind {
            EntryKind::File => Inode::Open(made.as_fd()),
            _ => Inode::Handle(made.as_fd()),
        };
        self.tree.apply(&inode, entry, fat)?;
        self.done(0);
        self.note_owner(entry);
        Ok(())
    }

    /// A file with data, of at most a segment.
    fn file(&self, hand: &mut Hand, entry: &Entry, data: &mut dyn Read) -> std::result::Result<(), Failure> {
        if let Some(onto) = self.onto(&entry.path) {
            hand.buffer.resize(PIECE, 0);
            let content = write_extents(&onto.open()?, entry, data, &mut hand.buffer)?;
            as_recorded(entry, content)?;
            self.done(entry.size);
            return Ok(());
        }
        if self.left_file(hand, entry)? {
            return Ok(());
        }
        let place = self.tree.place(&mut hand.place, entry.path.split().0)?;
        hand.buffer.resize(PIECE, 0);
        let file = self.tree.make_file(place, entry.path.name(), entry.flags)?;
        let content = write_extents(&file, entry, data, &mut hand.buffer)?;
        as_recorded(entry, content)?;
        Ok(self.finish_file(&file, entry, place.fat)?)
    }

    fn finish_file(&self, file: &OwnedFd, entry: &Entry, fat: bool) -> Made<()> {
        if let Err(Error::Io { source, .. }) = self.tree.apply(&Inode::Open(file.as_fd()), entry, fat) {
            return Err(Errno::from_io_error(&source).unwrap_or(Errno::IO));
        }
        self.done(entry.size);
        self.note_owner(entry);
        Ok(())
    }

    /// Whether an earlier attempt left what a task would make, whole. Then nothing of the vault is needed for it.
    fn is_left(&self, hand: &mut Hand, task: &Task) -> bool {
        let left = match task {
            Task::File(entry) => self.left_file(hand, entry),
            Task::Block(file, block) => {
                self.open_large(hand, file).and_then(|fd| self.left_block(hand, &fd, file, block))
            }
            Task::Head(_) => Ok(false),
        };
        left.unwrap_or(false)
    }

    /// Finishes a file that an earlier attempt left with its content; whether there was one.
    fn left_file(&self, hand: &mut Hand, entry: &Entry) -> Made<bool> {
        if !self.restore.skip_complete {
            return Ok(false);
        }
        let place = self.tree.place(&mut hand.place, entry.path.split().0)?;
        hand.buffer.resize(PIECE, 0);
        let Some(file) = self.complete(place, entry, &mut hand.buffer) else { return Ok(false) };
        self.finish_file(&file, entry, place.fat)?;
        self.sums.skipped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(true)
    }

    /// The file from an earlier attempt, when it has size, time and content already. The time only spares reading what cannot
    /// be complete; the content decides. A file with other names is made anew: they may be those of another snapshot.
    fn complete(&self, place: &Place, entry: &Entry, buffer: &mut [u8]) -> Option<OwnedFd> {
        let there = facts_of(&place.fd, entry.path.name(), EntryPath::root()).ok()?;
        if (there.entry.kind, there.entry.size, there.entry.mtime) != (EntryKind::File, entry.size, entry.mtime)
            || there.links != 1
        {
            return None;
        }
        let file = self.tree.open_file(place, entry.path.name(), OFlags::RDONLY).ok()?;
        super::tree::thaw_file(&file);
        let mut hasher = Zeroes::new();
        loop {
            match rustix::io::read(&file, &mut *buffer).ok()? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        (Some(hasher.finish()) == entry.content).then_some(file)
    }

    /// A large file, and remembers which inode it is: each worker opens it by its name again.
    pub(super) fn make_large(&self, cache: &mut Option<Place>, entry: &Entry) -> Made<()> {
        let file = self.new_or_left_large(cache, entry)?;
        self.tree.remember(&entry.path, &file)
    }

    /// A large file, made anew at its size, or the one that an earlier attempt left, without what is in its holes.
    fn new_or_left_large(&self, cache: &mut Option<Place>, entry: &Entry) -> Made<OwnedFd> {
        let place = self.tree.place(cache, entry.path.split().0)?;
        let name = entry.path.name();
        if self.restore.skip_complete {
            if let Ok(read) = self.tree.open_file(place, name, OFlags::RDONLY) {
                super::tree::thaw_file(&read);
            }
            if let Ok(file) = self.tree.open_file(place, name, OFlags::RDWR)
                && rustix::fs::fstat(&file)?.st_nlink == 1
            {
                rustix::fs::ftruncate(&file, entry.size)?;
                self.punch_holes(&file, entry)?;
                return Ok(file);
            }
        }
        let file = self.tree.make_file(place, name, entry.flags)?;
        rustix::fs::ftruncate(&file, entry.size)?;
        Ok(file)
    }

    fn punch_holes(&self, file: &OwnedFd, entry: &Entry) -> Made<()> {
        let mut at = 0;
        for block in entry.block_list() {
            punch(file, at, block.offset)?;
            at = entry.block_end(block);
        }
        punch(file, at, entry.size)
    }

    fn open_large(&self, hand: &mut Hand, file: &Entry) -> Made<Rc<OwnedFd>> {
        if let Some((path, open)) = &hand.large
            && *path == file.path
        {
            return Ok(open.clone());
        }
        if let Some(onto) = self.onto(&file.path) {
            let open = Rc::new(onto.open()?);
            hand.large = Some((file.path.clone(), open.clone()));
            return Ok(open);
        }
        let place = self.tree.place(&mut hand.place, file.path.split().0)?;
        let fd = self.tree.open_file(place, file.path.name(), OFlags::RDWR)?;
        self.tree.recognise(&file.path, &fd)?;
        let open = Rc::new(fd);
        hand.large = Some((file.path.clone(), open.clone()));
        Ok(open)
    }

    fn block(
        &self,
        hand: &mut Hand,
        file: &Entry,
        block: &Block,
        data: &mut dyn Read,
    ) -> std::result::Result<(), Failure> {
        let fd = self.open_large(hand, file)?;
        let len = file.block_end(block) - block.offset;
        if self.left_block(hand, &fd, file, block)? {
            return Ok(());
        }
        if self.restore.skip_complete {
            punch(&fd, block.offset, block.offset + len)?;
        }
        hand.buffer.clear();
        hand.buffer.resize(len as usize, 0);
        for extent in &block.extents {
            let start = (extent.offset - block.offset) as usize;
            let part = &mut hand.buffer[start..start + extent.len as usize];
            data.read_exact(part).map_err(|e| Failure::Data(format!("its segment cannot be opened: {e}")))?;
        }
        if Digest(blake3::hash(&hand.buffer).into()) != block.content {
            let what = format!("the block at {} differs from its hash in the catalogue", block.offset);
            return Err(Failure::Data(what));
        }
        for extent in &block.extents {
            let start = (extent.offset - block.offset) as usize;
            write_at(&fd, &hand.buffer[start..start + extent.len as usize], extent.offset)?;
        }
        self.progress(len);
        Ok(())
    }

    /// Whether an earlier attempt wrote a block; it then gets the holes that it should have.
    fn left_block(&self, hand: &mut Hand, fd: &OwnedFd, file: &Entry, block: &Block) -> Made<bool> {
        if !self.restore.skip_complete {
            return Ok(false);
        }
        let len = file.block_end(block) - block.offset;
        hand.buffer.clear();
        hand.buffer.resize(len as usize, 0);
        read_at(fd, &mut hand.buffer, block.offset)?;
        if Digest(blake3::hash(&hand.buffer).into()) != block.content {
            return Ok(false);
        }
        // Zeroes read the same whether they occupy space or not.
        lay_out(fd, block, len)?;
        self.progress(len);
        Ok(true)
    }

    /// Zeroes that occupied space occupy space again.
    fn zeroes(&self, hand: &mut Hand, file: &Entry, block: &Block) -> Made<()> {
        if let Some(onto) = self.onto(&file.path) {
            return block.extents.iter().try_for_each(|extent| onto.zero(extent.offset, extent.len));
        }
        let fd = self.open_large(hand, file)?;
        for Extent { offset, len } in &block.extents {
            if self.restore.skip_complete {
                punch(&fd, *offset, offset + len)?;
            }
            reserve(&fd, *offset, *len)?;
        }
        Ok(())
    }

    fn progress(&self, bytes: u64) {
        self.sums.bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        let Restore { progress, .. } = self.restore;
        progress.advance(bytes, 0);
    }
}

fn as_recorded(entry: &Entry, content: Digest) -> std::result::Result<(), Failure> {
    match entry.content == Some(content) {
        true => Ok(()),
        false => Err(Failure::Data("its content differs from its hash in the catalogue".into())),
    }
}

/// Writes a file's data at its extents, leaves holes between them, and returns the hash of the content.
fn write_extents(
    file: &OwnedFd,
    entry: &Entry,
    data: &mut dyn Read,
    buffer: &mut [u8],
) -> std::result::Result<Digest, Failure> {
    let whole = [Extent { offset: 0, len: entry.size }];
    let extents = entry.extents.as_deref().unwrap_or(&whole);
    if entry.extents.is_some() {
        // At its size from the start, or XFS reserves space after what is written, in what are to be holes.
        rustix::fs::ftruncate(file, entry.size)?;
    }
    let mut hasher = Zeroes::new();
    for extent in extents {
        hasher.up_to(extent.offset);
        let mut at = extent.offset;
        let end = extent.offset + extent.len;
        while at < end {
            let want = buffer.len().min((end - at) as usize);
            let part = &mut buffer[..want];
            data.read_exact(part).map_err(|e| Failure::Data(format!("its segment cannot be opened: {e}")))?;
            hasher.update(part);
            write_at(file, part, at)?;
            at += want as u64;
        }
    }
    hasher.up_to(entry.size);
    Ok(hasher.finish())
}

fn write_at(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Made<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                bytes = &bytes[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Fills the buffer; past the file's end it stays as it is.
fn read_at(file: &OwnedFd, mut buffer: &mut [u8], mut at: u64) -> Made<()> {
    while !buffer.is_empty() {
        match rustix::io::pread(file, &mut *buffer, at)? {
            0 => break,
            n => {
                buffer = &mut buffer[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

/// Gives a block of `len` bytes whose content is right the holes that it should have, and no others.
fn lay_out(file: &OwnedFd, block: &Block, len: u64) -> Made<()> {
    let mut at = block.offset;
    for extent in &block.extents {
        punch(file, at, extent.offset)?;
        reserve(file, extent.offset, extent.len)?;
        at = extent.offset + extent.len;
    }
    punch(file, at, block.offset + len)
}

/// Makes a stretch occupy space, its content as it is. Where space cannot be reserved, a hole reads the same.
fn reserve(file: &OwnedFd, offset: u64, len: u64) -> Made<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => other,
    }
}

/// Makes `from..to` a hole; where that cannot be done, zeroes.
fn punch(file: &OwnedFd, from: u64, to: u64) -> Made<()> {
    if from >= to {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, from, to - from) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeroes(file, from, to),
        other => other,
    }
}

/// Writes zeroes at `from..to`.
pub(super) fn write_zeroes(file: impl AsFd, from: u64, to: u64) -> Made<()> {
    let zeroes = vec![0; PIECE];
    let mut at = from;
    while at < to {
        let n = zeroes.len().min((to - at) as usize);
        write_at(&file, &zeroes[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
