//! The thread that writes the catalogue: puts what the workers did back into walk order, adds the hard links, and sums up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::os::fd::BorrowedFd;

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::listing::{Batch, Step};
use super::previous::{Journal, State, Stored};
use super::read::{self, Outcome};
use super::segment::{Builder, Filled, Run};
use super::{Finished, Hand, Problem, ProblemKind, Share};
use crate::catalogue::{Header, end_line};
use crate::contents::{CatalogueRef, Contents, SegmentRef, Totals};
use crate::entry::{Entry, EntryKind, Member};
use crate::error::{Error, Result};
use crate::member::headers;
use crate::path::EntryPath;
use crate::seal::{CATALOGUE, SealWriter, Sealed};
use crate::source::{facts_of, open_beneath};

/// Writes the catalogue as results come in.
pub(super) struct Collector<'a> {
    run: &'a Run<'a>,
    catalogue: SealWriter,
    journal: Option<Journal>,
    links: Builder<'a>,
    /// For what is read again by another name.
    hand: Hand<'a>,
    permits: Sender<()>,
    lines: Vec<u8>,
    /// Entries that did not make it into the snapshot: first names of hard links, and folders, among them.
    lost: HashSet<Vec<u8>>,
    /// Names that were stored in the place of first names that are lost, by these.
    stand_ins: HashMap<Vec<u8>, EntryPath>,
    collected: Collected,
}

/// What the collector found, once the walk is over.
pub(super) struct Collected {
    catalogue: Option<SealWriter>,
    journal: Option<Journal>,
    /// Bytes of each segment that the catalogue names.
    used: HashMap<(u32, u64), u64>,
    pub(super) segments: HashMap<(u32, u64), SegmentRef>,
    totals: Totals,
    problems: Vec<Problem>,
    left_out: Vec<EntryPath>,
    foreign: Vec<EntryPath>,
    shares: Shares,
}

/// Counts entries by filesystem.
pub(super) struct Shares(Vec<Share>);

impl Shares {
    /// Nothing yet, of the root and of what is mounted at `cross`.
    pub(super) fn new(cross: &[EntryPath]) -> Self {
        let paths: BTreeSet<EntryPath> = cross.iter().cloned().chain([EntryPath::root()]).collect();
        Self(paths.into_iter().map(|path| Share { path, entries: 0, bytes: 0 }).collect())
    }

    fn count(&mut self, entry: &Entry) {
        // The last of those above it lies the deepest: of two, one is above the other.
        if let Some(share) = self.0.iter_mut().rfind(|share| entry.path.is_at_or_below(&share.path)) {
            share.entries += 1;
            share.bytes += if entry.kind == EntryKind::File { entry.size } else { 0 };
        }
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        root: BorrowedFd<'a>,
        header: Header,
        (segments, shares): (HashMap<(u32, u64), SegmentRef>, Shares),
        mut journal: Option<Journal>,
        permits: Sender<()>,
        filled: Sender<Filled>,
    ) -> Result<Self> {
        let mut catalogue = SealWriter::new(run.vault.store.as_ref(), run.key, CATALOGUE, run.level)?;
        let line = header.line();
        write(&mut catalogue, &line)?;
        if let Some(journal) = &mut journal {
            journal.lines(&line)?;
        }
        let collected = Collected {
            catalogue: None,
            journal: None,
            used: HashMap::new(),
            segments,
            totals: Totals::default(),
            problems: Vec::new(),
            left_out: Vec::new(),
            foreign: Vec::new(),
            shares,
        };
        Ok(Collector {
            run,
            catalogue,
            journal,
            links: Builder::for_links(run, filled.clone()),
            hand: Hand::alone(run, root, filled),
            permits,
            lines: Vec::new(),
            lost: HashSet::new(),
            stand_ins: HashMap::new(),
            collected,
        })
    }

    /// Takes batches until lister and workers are done; a failure of any of them is the failure of the run.
    pub(super) fn run(mut self, inbox: &Receiver<Result<Batch<Step>>>) -> Result<Collected> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for batch in inbox {
            let batch = batch?;
            waiting.insert(batch.number, batch.items);
            while let Some(steps) = waiting.remove(&next) {
                self.batch(steps)?;
                next += 1;
                // The lister may be done already.
                let _ = self.permits.send(());
            }
        }
        if !waiting.is_empty() {
            return Err(Error::invalid("backup", "a thread of the backup ended early"));
        }
        self.links.finish()?;
        self.hand.reader.builder.finish()?;
        self.collected.catalogue = Some(self.catalogue);
        self.collected.journal = self.journal;
        Ok(self.collected)
    }

    /// Whether the folder of an entry is not in the snapshot; then the entry cannot be either.
    fn orphaned(&mut self, entry: &Entry) -> bool {
        if self.lost.is_empty() || entry.path.is_root() || !self.lost.contains(entry.path.split().0) {
            return false;
        }
        self.lost.insert(entry.path.as_bytes().to_vec());
        let what = "its folder vanished or could not be read".into();
        // A stream that ran is missed, though its folder is not.
        let kind = match self.run.streams.contains(&entry.path) {
            true => ProblemKind::Unreadable,
            false => ProblemKind::Vanished,
        };
        self.collected.problems.push(Problem { path: entry.path.clone(), kind, what });
        true
    }

    fn batch(&mut self, steps: Vec<Step>) -> Result<()> {
        for step in steps {
            match step {
                Step::Outcome(Outcome::Stored(entry, _) | Outcome::Reused(entry))
                | Step::Unchanged(entry)
                | Step::Link(entry)
                    if self.orphaned(&entry) => {}
                Step::Outcome(Outcome::Stored(entry, problem)) => {
                    self.collected.problems.extend(problem);
                    self.entry(&entry, false);
                }
                Step::Unchanged(entry) if self.lacks_first(&entry) => self.link(*entry)?,
                Step::Outcome(Outcome::Reused(entry)) | Step::Unchanged(entry) => self.entry(&entry, true),
                Step::Outcome(Outcome::Lost(problem)) => {
                    self.lost.insert(problem.path.as_bytes().to_vec());
                    self.collected.problems.push(problem);
                }
                Step::Link(entry) => self.link(*entry)?,
                Step::Problem(problem) => self.collected.problems.push(problem),
                Step::LeftOut(path) => self.collected.left_out.push(path),
                Step::Foreign(path) => self.collected.foreign.push(path),
            }
        }
        write(&mut self.catalogue, &self.lines)?;
        if let Some(journal) = &mut self.journal {
            journal.lines(&self.lines)?;
        }
        self.lines.clear();
        Ok(())
    }

    /// Whether an entry is another name of what is not in the snapshot.
    fn lacks_first(&self, entry: &Entry) -> bool {
        !self.lost.is_empty()
            && entry.kind == EntryKind::HardLink
            && entry.link.as_ref().is_some_and(|first| self.lost.contains(first))
    }

    fn link(&mut self, mut entry: Entry) -> Result<()> {
        if let (true, Some(first)) = (self.lacks_first(&entry), &entry.link) {
            let Some(stand_in) = self.stand_ins.get(first) else { return self.stand_in(&entry) };
            entry.link = Some(stand_in.as_bytes().to_vec());
        }
        entry.member = Some(self.links.whole(&headers(&entry, 0), &[])?);
        self.entry(&entry, false);
        Ok(())
    }

    /// Stores the inode of a hard link by this name, for the first one is lost: it may have been renamed or removed since it was
    /// listed, and this one be there. Later names are links to this one, as long as it is the same inode.
    fn stand_in(&mut self, link: &Entry) -> Result<()> {
        self.hand.reader.refresh();
        let found = open_beneath(self.hand.reader.root, link.path.as_bytes(), OFlags::PATH);
        let outcome = match found.and_then(|fd| facts_of(fd, b"", link.path.clone())) {
            Ok(facts) if facts.entry.inode == link.inode => self.hand.store(&facts, None)?,
            Ok(_) => read::lost(&link.path, &Errno::STALE.into()),
            Err(errno) => read::lost(&link.path, &errno.into()),
        };
        match outcome {
            Outcome::Stored(entry, problem) => {
                self.collected.problems.extend(problem);
                if let (true, Some(first)) = (entry.inode == link.inode, &link.link) {
                    self.stand_ins.insert(first.clone(), entry.path.clone());
                }
                self.entry(&entry, false);
            }
            Outcome::Reused(_) => {}
            Outcome::Lost(problem) => {
                self.lost.insert(link.path.as_bytes().to_vec());
                self.collected.problems.push(problem);
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, unchanged: bool) {
        entry.write_lines(&mut self.lines);
        let collected = &mut self.collected;
        collected.shares.count(entry);
        collected.totals.entries += 1;
        collected.totals.unchanged += u64::from(unchanged);
        if entry.kind == EntryKind::File {
            collected.totals.files += 1;
            collected.totals.bytes += entry.size;
        }
        let members = entry.block_list().iter().filter_map(|block| block.member);
        for Member { piece, .. } in members.chain(entry.member) {
            *collected.used.entry((piece.run, piece.number)).or_default() += piece.len;
        }
        // Blocks of a large file are counted where they are read.
        let counted = if entry.blocks.is_some() && !unchanged { 0 } else { entry.size };
        self.run.progress.advance(counted, 1);
    }
}

fn write(catalogue: &mut SealWriter, bytes: &[u8]) -> Result<()> {
    catalogue.write_all(bytes).map_err(|e| Error::io("writing", "catalogue", e))
}

impl Collected {
    /// Writes the catalogue's end and makes the snapshot durable. All segments are in place before.
    pub(super) fn store(mut self, run: &Run<'_>, object: &str, state: &mut State) -> Result<Finished> {
        let end = end_line(self.totals.entries);
        let mut catalogue = self.catalogue.take().ok_or_else(|| Error::invalid(object, "was not begun"))?;
        write(&mut catalogue, &end)?;
        let sealed = catalogue.finish().map_err(|e| Error::io("writing", object, e))?;
        let Sealed { object: file, sha256, size, opened } = sealed;
        file.commit(object)?;
        run.vault.store.sync()?;
        if let Some(mut journal) = self.journal.take() {
            journal.lines(&end)?;
            journal.finish()?;
        }
        let catalogue = CatalogueRef { object: object.into(), run: run.id.clone(), sha256, size, opened };
        self.finish(run, catalogue, state)
    }

    fn finish(mut self, run: &Run<'_>, catalogue: CatalogueRef, state: &mut State) -> Result<Finished> {
        let mut used: Vec<_> = self.used.iter().map(|(place, bytes)| (*place, *bytes)).collect();
        used.sort_unstable();
        let mut segments = Vec::with_capacity(used.len());
        state.segments.clear();
        for ((ordinal, number), used) in used {
            let segment = self.segments.get(&(ordinal, number));
            let segment =
                segment.ok_or_else(|| Error::invalid("catalogue", format!("no segment {ordinal}.{number}")))?;
            segments.push(segment.clone());
            state.segments.push(Stored { segment: segment.clone(), used });
            self.totals.sealed += segment.size;
        }
        for (_, segment) in self.segments.iter().filter(|((ordinal, _), _)| *ordinal == run.ordinal) {
            self.totals.added += segment.opened;
            self.totals.added_sealed += segment.size;
        }
        let needed: HashSet<_> = segments.iter().map(|segment| &segment.run).chain([&catalogue.run]).collect();
        let runs = state.runs.iter().filter(|known| needed.contains(&known.id)).cloned().collect();
        let contents = Contents { runs, segments, catalogue, private: Vec::new(), totals: self.totals };
        let gone = |problem: &Problem| problem.kind == ProblemKind::Vanished;
        let (vanished, problems): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(gone);
        // A folder that is gone is met twice, when it is listed and when it is looked at.
        let vanished: BTreeSet<EntryPath> = vanished.into_iter().map(|problem| problem.path).collect();
        let (vanished, left_out) = (vanished.into_iter().collect(), self.left_out);
        let (foreign, shares) = (self.foreign, self.shares.0);
        Ok(Finished { contents, problems, vanished, left_out, foreign, shares })
    }
}
