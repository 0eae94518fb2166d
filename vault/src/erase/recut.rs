//! Writing what stays of segments into new ones, under keys of their own.

use std::collections::HashMap;
use std::io::Write;

use super::survey::Cut;
use crate::contents::{Digest, RunId, RunRef, SegmentRef, segment_object};
use crate::error::{Error, Result};
use crate::seal::{LINKS, RunKey, SealWriter, Sealed};
use crate::vault::Vault;

/// Compression level of what is written anew.
pub(super) const LEVEL: i32 = 3;

/// A new run.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) run: RunRef,
    pub(super) key: RunKey,
}

impl NewRun {
    /// Draws a key and stores it, sealed to the vault's recipients.
    pub(super) fn begin(vault: &Vault) -> Result<Self> {
        let (id, key) = (RunId::random()?, RunKey::generate()?);
        let run = key.store(&id, vault.recipients(), vault.store.as_ref())?;
        Ok(NewRun { run, key })
    }
}

/// Where a member lies now: whether in the run of hard links, number of the segment, offset.
pub(super) type Place = (bool, u64, u64);

/// What was cut afresh.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// From old segment and offset.
    pub(super) places: HashMap<(Digest, u64), Place>,
    /// The run with members of any kind but hard links, and its segments.
    pub(super) plain: Option<(RunRef, Vec<SegmentRef>)>,
    /// The run with hard links.
    pub(super) links: Option<(RunRef, Vec<SegmentRef>)>,
}

/// Fills one run's segments.
struct Target {
    run: NewRun,
    next: u64,
    open: Option<(u64, SealWriter)>,
    done: Vec<SegmentRef>,
}

fn failed(error: std::io::Error) -> Error {
    Error::io("writing", "segment", error)
}

impl Target {
    fn begin(vault: &Vault, first: u64) -> Result<Self> {
        Ok(Target { run: NewRun::begin(vault)?, next: first, open: None, done: Vec::new() })
    }

    /// Appends one whole member; returns number and offset.
    fn append(&mut self, vault: &Vault, member: &[u8]) -> Result<(u64, u64)> {
        let len = member.len() as u64;
        if self.open.as_ref().is_some_and(|(_, writer)| writer.opened + len > vault.segment_size) {
            self.close()?;
        }
        let (number, writer) = match &mut self.open {
            Some(open) => open,
            None => {
                let writer = SealWriter::new(vault.store.as_ref(), &self.run.key, self.next, LEVEL)?;
                self.next += 1;
                self.open.insert((self.next - 1, writer))
            }
        };
        let offset = writer.opened;
        writer.write_all(member).map_err(failed)?;
        Ok((*number, offset))
    }

    fn close(&mut self) -> Result<()> {
        let Some((number, writer)) = self.open.take() else { return Ok(()) };
        let Sealed { object, sha256, size, opened } = writer.finish().map_err(failed)?;
        object.commit(&segment_object(&sha256))?;
        self.done.push(SegmentRef { run: self.run.run.id.clone(), number, sha256, size, opened });
        Ok(())
    }

    fn finish(mut self) -> Result<(RunRef, Vec<SegmentRef>)> {
        self.close()?;
        Ok((self.run.run, self.done))
    }
}

/// Takes old segments, writes new ones.
pub(super) struct Cutter<'a> {
    vault: &'a Vault,
    plain: Option<Target>,
    links: Option<Target>,
    moved: Moved,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(vault: &'a Vault) -> Self {
        Cutter { vault, plain: None, links: None, moved: Moved::default() }
    }

    /// Takes over what stays of one segment, whose tar stream is `opened`.
    pub(super) fn take(&mut self, cut: &Cut, opened: &[u8]) -> Result<()> {
        let links = cut.segment.number >= LINKS;
        let (target, first) = if links { (&mut self.links, LINKS) } else { (&mut self.plain, 1) };
        for (offset, len) in &cut.stays {
            let target = match target {
                Some(target) => target,
                None => target.insert(Target::begin(self.vault, first)?),
            };
            let end = offset.checked_add(*len).filter(|end| *end <= opened.len() as u64);
            let end = end.ok_or_else(|| Error::corrupt(cut.segment.object(), "a member leaves its segment"))?;
            let (number, place) = target.append(self.vault, &opened[*offset as usize..end as usize])?;
            self.moved.places.insert((cut.segment.sha256, *offset), (links, number, place));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Moved> {
        let plain = self.plain.map(Target::finish).transpose()?;
        let links = self.links.map(Target::finish).transpose()?;
        self.vault.store.sync()?;
        Ok(Moved { plain, links, ..self.moved })
    }
}
