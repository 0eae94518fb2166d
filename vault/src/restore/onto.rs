//! Files that are restored into something that is there already and open: a volume, whose blocks they are. It keeps what metadata it has,
//! and is at least as large as the file; nothing is made, cut or removed.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::Work;
use super::files::write_zeroes;
use super::tree::Made;
use crate::error::{Error, Result};
use crate::path::EntryPath;

/// A file of the snapshot, and where its content goes.
#[derive(Debug)]
pub struct Onto {
    /// The file.
    pub path: EntryPath,
    /// Open for writing.
    pub target: File,
    /// It reads as zeroes wherever nothing is written, so that zeroes need not be.
    pub zeroed: bool,
}

impl Onto {
    /// The target, opened once more, for a worker's own use.
    pub(super) fn open(&self) -> Made<OwnedFd> {
        rustix::io::fcntl_dupfd_cloexec(&self.target, 0)
    }

    /// Makes a stretch read as zeroes, by the device itself where it can.
    pub(super) fn zero(&self, offset: u64, len: u64) -> Made<()> {
        if self.zeroed {
            return Ok(());
        }
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.target, flags, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeroes(&self.target, offset, offset + len),
            other => other,
        }
    }
}

impl Work<'_> {
    /// Where the content of this file goes, if not into the tree.
    pub(super) fn onto(&self, path: &EntryPath) -> Option<&Onto> {
        self.restore.onto.iter().find(|onto| onto.path == *path)
    }
}

/// Returns when all that was written is durable.
pub(super) fn sync(all: &[Onto]) -> Result<()> {
    let durable = |onto: &Onto| {
        rustix::fs::fsync(&onto.target)
            .map_err(|errno| Error::io("syncing the target of", onto.path.to_string(), errno))
    };
    all.iter().try_for_each(durable)
}
