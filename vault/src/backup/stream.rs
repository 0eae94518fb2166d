//! Files whose content is not in the tree: it comes from a reader, and how much there is of it shows only at its end.
//!
//! Up to the size of a segment lies in memory; what is longer is cut into blocks as it comes, as any large file is, and its headers, which
//! name its size, are written when it has ended. So nothing of it ever lies on a disk of the host. A reader that fails leaves nothing
//! in the snapshot but a problem: only one that comes to its end is a file. Knows nothing of where the bytes come from.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use super::previous::{Match, Previous};
use super::segment::Builder;
use super::{Problem, ProblemKind, now, refuse_stopped};
use crate::contents::Digest;
use crate::entry::{self, Block, Entry, EntryKind, Extent, Time};
use crate::error::{Error, Result};
use crate::member::{block_header, headers};
use crate::path::EntryPath;

/// Blocks that a segment holds: a dump shifts with every row, so that small blocks find nothing again and cost a line each.
const BLOCKS_PER_SEGMENT: u64 = 16;
/// A file that was so many bytes before may be twice that now.
const GROWTH: u64 = 2;
/// No blocks are larger.
const LARGEST: u64 = 64 << 20;

/// Begins a stream.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read>> + 'a;

/// A file of the snapshot whose content comes from a reader.
pub struct Stream<'a> {
    /// Where it lies in the snapshot. Folders that the tree does not have are made; what the tree has by this name is not in the snapshot.
    pub path: EntryPath,
    /// Called once, when its turn comes. An error of the reader, which has to hold back its end until it knows that all is well, means
    /// that the file is not in the snapshot.
    pub open: &'a Open<'a>,
    /// Without it there is to be no snapshot.
    pub needed: bool,
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.path)
    }
}

/// What is in the snapshot beside the tree, at one path.
pub(super) enum Made {
    /// A folder, unless the tree has one.
    Folder(Box<Entry>),
    /// A stream; whether it is as the run before had it.
    File(Box<Entry>, bool),
    /// A stream that failed. What the tree has there is an older one, which must not stand for it.
    Lost,
}

/// All that is made, in catalogue order, and what went wrong.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) made: Vec<(EntryPath, Made)>,
    pub(super) problems: Vec<Problem>,
}

/// Stores all streams, one after the other, and the folders above them.
pub(super) fn store(
    streams: &[Stream<'_>],
    mut previous: Previous,
    mut builder: Builder<'_>,
    stop: Option<&AtomicBool>,
) -> Result<Extra> {
    let mut extra = Extra::default();
    let mut paths: Vec<&EntryPath> = streams.iter().map(|stream| &stream.path).collect();
    paths.sort();
    if let Some(twice) = paths.windows(2).find(|pair| pair[1].is_at_or_below(pair[0])) {
        return Err(Error::invalid(twice[1].to_string(), "lies at or below another stream"));
    }
    let mut known: HashMap<&EntryPath, Box<Entry>> = HashMap::new();
    for path in paths {
        if let Match::Unchanged(entry) | Match::Candidate(entry) = previous.find(&file(path, u64::MAX)) {
            known.insert(path, entry);
        }
    }
    for stream in streams {
        let mut sink = Sink { builder: &mut builder, stop, buffer: Vec::new() };
        let made = match sink.stream(stream, known.remove(&stream.path))? {
            Ok((entry, unchanged)) => Made::File(Box::new(entry), unchanged),
            Err(_) if stop.is_some_and(super::is_stopped) => return Err(Error::Stopped),
            Err(what) if stream.needed => return Err(Error::invalid(stream.path.to_string(), what)),
            Err(what) => {
                extra.problems.push(Problem { path: stream.path.clone(), kind: ProblemKind::Unreadable, what });
                Made::Lost
            }
        };
        extra.made.push((stream.path.clone(), made));
    }
    folders(&mut extra, &mut builder)?;
    builder.finish()?;
    extra.made.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(extra)
}

/// Adds the folders above all streams that are in the snapshot.
fn folders(extra: &mut Extra, builder: &mut Builder<'_>) -> Result<()> {
    let mut above = Vec::new();
    for (path, _) in extra.made.iter().filter(|(_, made)| matches!(made, Made::File(..))) {
        let mut rest = path.split().0;
        while let Some(folder) = EntryPath::new(rest).filter(|folder| !folder.is_root()) {
            rest = &rest[..folder.split().0.len()];
            above.push(folder);
        }
    }
    above.sort();
    above.dedup();
    for path in above {
        let mut entry = Entry { kind: EntryKind::Directory, mode: 0o700, ..file(&path, 0) };
        entry.member = Some(builder.whole(&headers(&entry, 0), &[])?);
        extra.made.push((path, Made::Folder(Box::new(entry))));
    }
    Ok(())
}

/// A file that this process would have written just now, for nobody else to read.
fn file(path: &EntryPath, size: u64) -> Entry {
    let (sec, nsec) = now();
    let time = Time { sec, nsec };
    Entry {
        path: path.clone(),
        kind: EntryKind::File,
        mode: 0o600,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        size,
        mtime: time,
        atime: time,
        ctime: time,
        inode: number(path),
        link: None,
        rdev: None,
        xattrs: Vec::new(),
        flags: 0,
        project: 0,
        content: None,
        member: None,
        extents: None,
        blocks: None,
    }
}

/// Stands for an inode: the same in every run, and beyond the numbers that filesystems give out.
fn number(path: &EntryPath) -> u64 {
    let hash = blake3::hash(path.as_bytes());
    let low = hash.as_bytes().first_chunk::<6>().map_or(0, |bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
    1 << 52 | low
}

/// A stream on its way into segments. Inner errors are of the source, outer ones of the vault.
struct Sink<'a, 'b> {
    builder: &'a mut Builder<'b>,
    stop: Option<&'a AtomicBool>,
    buffer: Vec<u8>,
}

type Read1<T> = Result<std::result::Result<T, String>>;

impl Sink<'_, '_> {
    fn stream(&mut self, stream: &Stream<'_>, previous: Option<Box<Entry>>) -> Read1<(Entry, bool)> {
        let mut reader = match (stream.open)() {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(not_there(&error))),
        };
        let segment = self.builder.run.vault.segment_size;
        if let Err(error) = self.fill(reader.as_mut(), segment + 1) {
            return Ok(Err(not_there(&error)));
        }
        if self.buffer.len() as u64 <= segment {
            return self.small(&stream.path, previous).map(Ok);
        }
        self.large(&stream.path, reader.as_mut(), previous)
    }

    /// Reads until the buffer holds `until` bytes, or the stream has ended.
    fn fill(&mut self, reader: &mut dyn Read, until: u64) -> io::Result<()> {
        let wanted = until.saturating_sub(self.buffer.len() as u64);
        reader.take(wanted).read_to_end(&mut self.buffer)?;
        match self.stop.is_some_and(super::is_stopped) {
            true => Err(io::Error::other("the run was stopped")),
            false => Ok(()),
        }
    }

    /// One that fits into a segment. Where the content is as it was, it is the file that was, its time included.
    fn small(&mut self, path: &EntryPath, previous: Option<Box<Entry>>) -> Result<(Entry, bool)> {
        let mut entry = file(path, self.buffer.len() as u64);
        entry.content = Some(Digest(blake3::hash(&self.buffer).into()));
        let same =
            |before: &Entry| before.content == entry.content && before.member.is_some() && is_alike(before, &entry);
        if let Some(before) = previous.filter(|before| same(before)) {
            return Ok((*before, true));
        }
        entry.member = Some(self.builder.whole(&headers(&entry, entry.size), &self.buffer)?);
        Ok((entry, false))
    }

    fn large(&mut self, path: &EntryPath, reader: &mut dyn Read, previous: Option<Box<Entry>>) -> Read1<(Entry, bool)> {
        let size = self.block_size(previous.as_deref());
        let reusable = previous.as_ref().and_then(|p| p.blocks.as_ref()).filter(|blocks| blocks.size == size);
        let known: HashMap<u64, Block> =
            reusable.into_iter().flat_map(|blocks| &blocks.list).map(|block| (block.offset, block.clone())).collect();
        let mut entry = file(path, 0);
        let (mut list, mut kept) = (Vec::new(), 0);
        // The first blocks lie in the buffer; what comes after is read block by block.
        let first = std::mem::take(&mut self.buffer);
        let mut first = first.as_slice();
        loop {
            refuse_stopped(self.stop)?;
            self.buffer.clear();
            let (now, later) = first.split_at(first.len().min(size as usize));
            self.buffer.extend_from_slice(now);
            first = later;
            if let Err(error) = self.fill(reader, size) {
                return Ok(Err(not_there(&error)));
            }
            if self.buffer.is_empty() {
                break;
            }
            let (block, old) = self.block(entry.inode, entry.size, &known)?;
            kept += usize::from(old);
            list.push(block);
            entry.size += self.buffer.len() as u64;
            self.builder.run.progress.advance(self.buffer.len() as u64, 0);
        }
        let whole = |before: &Entry| before.member.is_some() && before.size == entry.size && kept == list.len();
        if let Some(before) = previous.filter(|before| whole(before) && is_alike(before, &entry)) {
            return Ok(Ok((*before, true)));
        }
        entry.blocks = Some(entry::Blocks { size, list });
        entry.member = Some(self.builder.whole(&headers(&entry, 0), &[])?);
        Ok(Ok((entry, false)))
    }

    /// Stores what is in the buffer as the block at `offset`, unless it is `known`; whether it was.
    fn block(&mut self, inode: u64, offset: u64, known: &HashMap<u64, Block>) -> Result<(Block, bool)> {
        let len = self.buffer.len() as u64;
        let content = Digest(blake3::hash(&self.buffer).into());
        let extents = vec![Extent { offset, len }];
        if let Some(known) = known.get(&offset).filter(|k| k.content == content && k.extents == extents) {
            return Ok((known.clone(), true));
        }
        let member = match self.buffer.iter().all(|byte| *byte == 0) {
            true => None,
            false => Some(self.builder.whole(&block_header(inode, offset, len), &self.buffer)?),
        };
        Ok((Block { offset, content, member, extents }, false))
    }

    /// As before, or the smallest that keeps the number of blocks in bounds for a stream that has grown since.
    fn block_size(&self, previous: Option<&Entry>) -> u64 {
        let run = self.builder.run;
        let largest = LARGEST.min(run.vault.segment_size);
        let floor = (run.vault.segment_size / BLOCKS_PER_SEGMENT).max(run.vault.block_size).min(largest);
        let before = previous.map_or(0, |entry| entry.size).saturating_mul(GROWTH);
        let mut size = previous.and_then(|entry| entry.blocks.as_ref()).map_or(floor, |blocks| blocks.size.max(floor));
        while size < largest && before / size > run.most_blocks {
            size = largest.min(size * 2);
        }
        size
    }
}

/// Whether a stream would be restored with the same owner and mode.
fn is_alike(a: &Entry, b: &Entry) -> bool {
    (a.kind, a.mode, a.uid, a.gid) == (b.kind, b.mode, b.uid, b.gid) && a.xattrs.is_empty() && a.flags == 0
}

fn not_there(error: &io::Error) -> String {
    format!("{error}; it is not in the snapshot")
}
