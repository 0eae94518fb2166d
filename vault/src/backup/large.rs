//! Files larger than a segment: kept in blocks, so that one changed block costs one block, and read by all workers together.
//!
//! One worker coordinates: it hands out stretches of the file as jobs and takes jobs itself while it waits, so no worker
//! ever waits for one that cannot go on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, select, unbounded};
use rustix::io::Errno;

use super::block_size::block_size;
use super::read::{Outcome, Reader, changed, held_still, lost, open_to_read, same_metadata};
use super::refuse_stopped;
use super::segment::Run;
use crate::contents::Digest;
use crate::entry::{self, Block, Entry, EntryKind, Extent};
use crate::error::{Error, Result};
use crate::member::{block_header, headers};
use crate::path::EntryPath;
use crate::source::{extents_of, facts_of, take_attributes};

/// Bytes per job, at least one block.
const JOB: u64 = 4 << 20;
/// How often a large file that changes is read. The second time only what changed is stored.
const ATTEMPTS: u32 = 2;

/// A stretch of a large file to be read and stored.
pub(super) struct Job {
    file: Arc<OwnedFd>,
    inode: u64,
    from: u64,
    to: u64,
    block_size: u64,
    /// Blocks that are in the vault already, by offset.
    known: Arc<HashMap<u64, Block>>,
    reply: Sender<std::result::Result<Vec<Block>, Failure>>,
}

/// Why a job failed: the source, or the vault.
enum Failure {
    Source(io::Error),
    Vault(Error),
}

/// The worker's buffer for one block, and the jobs of everybody.
pub(super) struct Blocks {
    buffer: Vec<u8>,
    jobs: Sender<Job>,
    inbox: Receiver<Job>,
}

impl Blocks {
    pub(super) fn new(jobs: Sender<Job>, inbox: Receiver<Job>) -> Self {
        Blocks { buffer: Vec::new(), jobs, inbox }
    }

    /// Jobs of other workers.
    pub(super) fn inbox(&self) -> &Receiver<Job> {
        &self.inbox
    }

    /// Does one job and answers it.
    pub(super) fn work(&mut self, job: &Job, reader: &mut Reader<'_>) {
        let answer = self.stretch(job, reader);
        // A coordinator that is gone has failed, and said so.
        let _ = job.reply.send(answer);
    }

    fn stretch(&mut self, job: &Job, reader: &mut Reader<'_>) -> std::result::Result<Vec<Block>, Failure> {
        let mut blocks = Vec::new();
        let mut at = job.from;
        while at < job.to {
            refuse_stopped(reader.builder.run.stop).map_err(Failure::Vault)?;
            let end = job.to.min(at + job.block_size);
            blocks.extend(self.block(job, at, end, reader)?);
            reader.builder.run.progress.advance(end - at, 0);
            at = end;
        }
        Ok(blocks)
    }

    /// One block: `None` for a hole.
    fn block(
        &mut self,
        job: &Job,
        from: u64,
        to: u64,
        reader: &mut Reader<'_>,
    ) -> std::result::Result<Option<Block>, Failure> {
        let extents = extents_of(job.file.as_fd(), from, to).map_err(Failure::Source)?;
        if extents.is_empty() {
            return Ok(None);
        }
        let len = (to - from) as usize;
        self.buffer.clear();
        self.buffer.resize(len, 0);
        for extent in &extents {
            let start = (extent.offset - from) as usize;
            read_full(&job.file, &mut self.buffer[start..start + extent.len as usize], extent.offset)
                .map_err(Failure::Source)?;
        }
        let content = Digest(blake3::hash(&self.buffer).into());
        if let Some(known) = job.known.get(&from).filter(|k| k.content == content && k.extents == extents) {
            return Ok(Some(known.clone()));
        }
        let member = if self.buffer.iter().all(|b| *b == 0) {
            None
        } else {
            let data = extents.iter().map(|e| e.len).sum();
            let head = block_header(job.inode, from, data);
            Some(self.append(&head, data, from, &extents, reader).map_err(Failure::Vault)?)
        };
        Ok(Some(Block { offset: from, content, member, extents }))
    }

    fn append(
        &self,
        head: &[u8],
        data: u64,
        from: u64,
        extents: &[Extent],
        reader: &mut Reader<'_>,
    ) -> Result<crate::Member> {
        let member = reader.builder.begin(head, data)?;
        for extent in extents {
            let start = (extent.offset - from) as usize;
            reader.builder.data(&self.buffer[start..start + extent.len as usize])?;
        }
        reader.builder.end(&member)?;
        Ok(member)
    }

    /// Stores a large file. `usable` says whether a block of an earlier run may be pointed to.
    pub(super) fn store(
        &mut self,
        path: &EntryPath,
        previous: Option<&Entry>,
        reader: &mut Reader<'_>,
    ) -> Result<Outcome> {
        match self.read(path, previous, reader) {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Source(error)) => Ok(lost(path, &error)),
            Err(Failure::Vault(error)) => Err(error),
        }
    }

    fn read(
        &mut self,
        path: &EntryPath,
        previous: Option<&Entry>,
        reader: &mut Reader<'_>,
    ) -> std::result::Result<Outcome, Failure> {
        let source = |errno: Errno| Failure::Source(errno.into());
        let file = Arc::new(open_to_read(reader.root, path.as_bytes()).map_err(source)?);
        let size = block_size_of(&file, path, previous, reader.builder.run)?;
        let reusable = previous.and_then(|p| p.blocks.as_ref()).filter(|blocks| blocks.size == size);
        let reusable = reusable.into_iter().flat_map(|blocks| &blocks.list);
        let mut known: HashMap<u64, Block> = reusable.map(|block| (block.offset, block.clone())).collect();
        let mut attempt = 0;
        let (mut entry, blocks, stable) = loop {
            attempt += 1;
            let before = facts_of(&file, b"", path.clone()).map_err(source)?;
            if before.entry.kind != EntryKind::File {
                return Err(source(Errno::STALE));
            }
            let mut entry = before.entry.clone();
            take_attributes(file.as_fd(), true, &mut entry).map_err(Failure::Source)?;
            let blocks = self.read_blocks(&file, (entry.inode, entry.size), size, known, reader)?;
            let after = facts_of(&file, b"", EntryPath::root()).map_err(source)?;
            let stable = held_still(&before, &after);
            if stable || attempt == ATTEMPTS {
                break (entry, blocks, stable);
            }
            known = blocks.into_iter().map(|block| (block.offset, block)).collect();
        };
        entry.blocks = Some(entry::Blocks { size, list: blocks });
        let unchanged = previous.filter(|p| p.member.is_some() && p.blocks == entry.blocks && same_metadata(p, &entry));
        if let Some(previous) = unchanged {
            entry.member = previous.member;
            return Ok(Outcome::Reused(Box::new(entry)));
        }
        entry.member = Some(reader.builder.whole(&headers(&entry, 0), &[]).map_err(Failure::Vault)?);
        Ok(Outcome::Stored(Box::new(entry), (!stable).then(|| changed(path))))
    }

    /// Hands out the stretches with data and collects the blocks in order.
    fn read_blocks(
        &mut self,
        file: &Arc<OwnedFd>,
        (inode, size): (u64, u64),
        block_size: u64,
        known: HashMap<u64, Block>,
        reader: &mut Reader<'_>,
    ) -> std::result::Result<Vec<Block>, Failure> {
        let step = (JOB - JOB % block_size).max(block_size);
        let known = Arc::new(known);
        let (reply, replies) = unbounded();
        let (mut at, mut outstanding) = (0, 0usize);
        let mut blocks = Vec::new();
        while at < size {
            let Some(data) = extents_start(file, at, size).map_err(Failure::Source)? else { break };
            let from = data - data % step;
            let to = size.min(from + step);
            let (file, known, reply) = (file.clone(), known.clone(), reply.clone());
            let job = Job { file, inode, from, to, block_size, known, reply };
            outstanding += 1;
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
                self.work(&job, reader);
            }
            at = to;
        }
        while outstanding > 0 {
            let inbox = self.inbox.clone();
            select! {
                recv(replies) -> answer => {
                    // `reply` is alive here, so the channel cannot be closed.
                    if let Ok(answer) = answer {
                        blocks.extend(answer?);
                        outstanding -= 1;
                    }
                }
                recv(inbox) -> job => if let Ok(job) = job { self.work(&job, reader) },
            }
        }
        blocks.sort_by_key(|block| block.offset);
        Ok(blocks)
    }
}

/// The block size for a file as it is now.
fn block_size_of(
    file: &OwnedFd,
    path: &EntryPath,
    previous: Option<&Entry>,
    run: &Run<'_>,
) -> std::result::Result<u64, Failure> {
    let now = facts_of(file, b"", path.clone()).map_err(|errno| Failure::Source(errno.into()))?;
    let previous = previous.and_then(|p| p.blocks.as_ref()).map(|blocks| blocks.size);
    block_size(file.as_fd(), now.entry.size, previous, run).map_err(Failure::Source)
}

/// Where data begins at or after `at`.
fn extents_start(file: &OwnedFd, at: u64, size: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data.max(at)).filter(|data| *data < size)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads as much of the buffer as the file still has; the rest stays zero, and the file is then found changed.
fn read_full(file: &OwnedFd, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match rustix::io::pread(file, &mut *buffer, at) {
            Ok(0) => break,
            Ok(n) => {
                buffer = &mut buffer[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
