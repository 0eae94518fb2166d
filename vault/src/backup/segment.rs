//! Segments that are being filled: each worker appends whole tar members to one of its own; a finisher makes them durable.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;

use super::Backup;
use crate::contents::RunId;
use crate::entry::{Member, Piece};
use crate::error::{Error, Result};
use crate::member::{BLOCK, padding};
use crate::path::EntryPath;
use crate::progress::Progress;
use crate::seal::{LINKS, Press, RunKey, SealWriter, Sealed};
use crate::vault::Vault;

/// Padding.
static ZEROES: [u8; BLOCK as usize * 8] = [0; BLOCK as usize * 8];

/// What all threads of one run share.
pub(super) struct Run<'a> {
    pub(super) vault: &'a Vault,
    pub(super) id: &'a RunId,
    pub(super) key: &'a RunKey,
    /// Place of this run in the catalogue's list.
    pub(super) ordinal: u32,
    pub(super) level: i32,
    pub(super) most_blocks: u64,
    pub(super) progress: &'a dyn Progress,
    pub(super) stop: Option<&'a AtomicBool>,
    /// Paths of the streams.
    pub(super) streams: Vec<EntryPath>,
    /// Next number for a segment. A number is taken when a segment begins and never given back, so that no key stream is
    /// used twice.
    numbers: AtomicU64,
    link_numbers: AtomicU64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        vault: &'a Vault,
        (id, key): (&'a RunId, &'a RunKey),
        ordinal: u32,
        backup: &'a Backup<'_>,
    ) -> Self {
        let Backup { level, most_blocks, progress, stop, .. } = *backup;
        let streams = backup.streams.iter().map(|stream| stream.path.clone()).collect();
        let (numbers, link_numbers) = (AtomicU64::new(1), AtomicU64::new(LINKS));
        Run { vault, id, key, ordinal, level, most_blocks, progress, stop, streams, numbers, link_numbers }
    }
}

/// A segment that was filled and has no name yet.
pub(super) struct Filled {
    pub(super) number: u64,
    pub(super) sealed: Sealed,
}

/// The segment that one thread fills.
pub(super) struct Builder<'a> {
    pub(super) run: &'a Run<'a>,
    open: Option<(u64, SealWriter)>,
    /// From the segment before.
    press: Option<Press>,
    filled: Sender<Filled>,
    links: bool,
}

fn failed(source: io::Error) -> Error {
    Error::io("writing", "segment", source)
}

impl<'a> Builder<'a> {
    /// A builder for members of any kind but hard links.
    pub(super) fn new(run: &'a Run<'a>, filled: Sender<Filled>) -> Self {
        Builder { run, open: None, press: None, filled, links: false }
    }

    /// A builder for hard links: its segments come last in the run's stream, so that stock tar finds every first name made.
    pub(super) fn for_links(run: &'a Run<'a>, filled: Sender<Filled>) -> Self {
        Builder { run, open: None, press: None, filled, links: true }
    }

    /// Begins a member of `head` and `data` bytes in a segment that has room for all of it, and writes `head`.
    pub(super) fn begin(&mut self, head: &[u8], data: u64) -> Result<Member> {
        let plain = head.len() as u64 + data;
        let len = plain + padding(plain);
        if self.open.as_ref().is_some_and(|(_, writer)| writer.opened + len > self.run.vault.segment_size) {
            self.finish()?;
        }
        if self.open.is_none() {
            let counter = if self.links { &self.run.link_numbers } else { &self.run.numbers };
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let (store, key) = (self.run.vault.store.as_ref(), self.run.key);
            let writer = match self.press.take() {
                Some(press) => SealWriter::with(press, store, key, number)?,
                None => SealWriter::new(store, key, number, self.run.level)?,
            };
            self.open = Some((number, writer));
        }
        let Some((number, writer)) = &mut self.open else { return Err(failed(io::ErrorKind::Other.into())) };
        let piece = Piece { run: self.run.ordinal, number: *number, offset: writer.opened, len };
        writer.write_all(head).map_err(failed)?;
        Ok(Member { piece, head: head.len() as u64 })
    }

    /// Writes data of the member that was begun last.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some((_, writer)) => writer.write_all(bytes).map_err(failed),
            None => Ok(()),
        }
    }

    /// Writes zeroes up to the end of the member that was begun last: padding, and what a file lacks of its size when it shrank.
    pub(super) fn end(&mut self, member: &Member) -> Result<()> {
        let Some((_, writer)) = &mut self.open else { return Ok(()) };
        let end = member.piece.offset + member.piece.len;
        while writer.opened < end {
            let n = (end - writer.opened).min(ZEROES.len() as u64) as usize;
            writer.write_all(&ZEROES[..n]).map_err(failed)?;
        }
        Ok(())
    }

    /// A member whose data is all there.
    pub(super) fn whole(&mut self, head: &[u8], data: &[u8]) -> Result<Member> {
        let member = self.begin(head, data.len() as u64)?;
        self.data(data)?;
        self.end(&member)?;
        Ok(member)
    }

    /// Closes the segment in hand and passes it on to be made durable.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some((number, writer)) = self.open.take() {
            let (sealed, press) = writer.finish_and_keep().map_err(failed)?;
            self.press = Some(press);
            // The finisher hangs up only when it failed, and then its own error is the one that counts.
            let gone = |_| failed(io::Error::other("the run was given up"));
            self.filled.send(Filled { number, sealed }).map_err(gone)?;
        }
        Ok(())
    }
}
