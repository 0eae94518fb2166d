//! Going through the data of a snapshot segment by segment on all cores, for restore and for verification.
//!
//! The catalogue is in walk order and a segment holds entries from all over it. So entries are first sorted into buckets, one
//! per segment; a catalogue too long for that at once is gone through several times, some segments each time. A segment is
//! read whole, compared with its digest, and only then opened, as a stream, up to the last byte that is wanted.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use crate::backup::worker_count;
use crate::catalogue::SealedCatalogue;
use crate::contents::{Contents, RunId, SegmentRef};
use crate::entry::{Block, Entry, EntryKind, Extent, Member};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::EntryPath;
use crate::seal::{RunKey, open_sealed, read_checked};
use crate::vault::Vault;

/// Entries in buckets at once. Two rounds may be in memory, one filling while the other is worked off.
const ROUND: u64 = 60_000;
/// Entries without data per job.
const PLAIN: usize = 256;

/// Data of one entry to be taken from a segment.
#[derive(Debug)]
pub(crate) enum Task {
    /// A whole file that is not large, with data.
    File(Box<Entry>),
    /// A block of a large file, with data.
    Block(Arc<Entry>, Block),
}

impl Task {
    pub(crate) fn path(&self) -> &EntryPath {
        match self {
            Task::File(entry) => &entry.path,
            Task::Block(file, _) => &file.path,
        }
    }

    fn member(&self) -> Option<Member> {
        match self {
            Task::File(entry) => entry.member,
            Task::Block(_, block) => block.member,
        }
    }

    /// First byte of the data in the opened segment, and how many bytes.
    fn range(&self) -> (u64, u64) {
        let start = self.member().map_or(0, |m| m.piece.offset + m.head);
        let sum = |extents: &[Extent]| extents.iter().map(|e| e.len).sum();
        match self {
            Task::File(entry) => (start, entry.extents.as_deref().map_or(entry.size, sum)),
            Task::Block(_, block) => (start, sum(&block.extents)),
        }
    }
}

/// What is done with the data. `W` is a worker's own state.
pub(crate) trait Visitor<W>: Sync {
    /// What of an entry is wanted, and under which path; `None` for nothing.
    fn select(&self, entry: Entry) -> Option<Entry>;
    /// An entry whose data is in no segment (no data at all, or a block of zeroes).
    fn plain(&self, worker: &mut W, what: Plain) -> Result<()>;
    /// An entry's data. What is left unread is passed over.
    fn data(&self, worker: &mut W, segment: &SegmentRef, task: &Task, data: &mut dyn Read) -> Result<()>;
    /// An object that cannot be read, is not as signed, or ends early, with everything that was wanted of it and not given:
    /// a segment, or a catalogue that places data where none is.
    fn damaged(&self, object: &str, error: Error, tasks: &[Task]) -> Result<()>;
}

/// Something to do without a segment.
#[derive(Debug)]
pub(crate) enum Plain {
    Entry(Box<Entry>),
    /// Zeroes of a large file that occupy space.
    Zeroes(Arc<Entry>, Block),
}

enum Job {
    Plain(Vec<Plain>),
    Segment(Vec<Task>, usize),
}

/// What a sweep works on.
pub(crate) struct Sweep<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) contents: &'a Contents,
    pub(crate) catalogue: &'a SealedCatalogue,
    /// Block size of large files, as the catalogue has it: that is signed, `vault.json` need not be sound.
    pub(crate) block_size: u64,
    /// Keys of runs, or why one cannot be had.
    keys: HashMap<&'a RunId, Result<RunKey>>,
    /// Place of a segment in `contents.segments`.
    places: HashMap<(u32, u64), usize>,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(
        vault: &'a Vault,
        contents: &'a Contents,
        identities: &Identities,
        catalogue: &'a SealedCatalogue,
    ) -> Result<Self> {
        let header = catalogue.lines()?.header;
        let ordinals: HashMap<&RunId, u32> = header.runs.iter().zip(0..).collect();
        let mut places = HashMap::new();
        for (place, segment) in contents.segments.iter().enumerate() {
            let ordinal = ordinals.get(&segment.run).ok_or_else(|| {
                Error::corrupt(segment.object(), format!("its run {} is unknown to the catalogue", segment.run))
            })?;
            places.insert((*ordinal, segment.number), place);
        }
        let open = |run| RunKey::open(run, vault.store.as_ref(), identities);
        let keys = contents.runs.iter().map(|run| (&run.id, open(run))).collect();
        Ok(Sweep { vault, contents, catalogue, block_size: header.block_size, keys, places })
    }

    /// Keys that could not be opened.
    pub(crate) fn key_errors(&self) -> impl Iterator<Item = &Error> {
        self.keys.values().filter_map(|key| key.as_ref().err())
    }

    fn place(&self, path: &EntryPath, member: &Member) -> Result<usize> {
        let piece = &member.piece;
        let place = self.places.get(&(piece.run, piece.number)).copied().filter(|place| {
            piece.offset.checked_add(piece.len).is_some_and(|end| end <= self.contents.segments[*place].opened)
        });
        place.ok_or_else(|| {
            let what =
                format!("{path} lies in segment {}.{}, which is not in the signed list", piece.run, piece.number);
            Error::corrupt(&self.contents.catalogue.object, what)
        })
    }

    /// Runs `visitor` over all entries.
    pub(crate) fn run<W: Default>(&self, visitor: &impl Visitor<W>, workers: usize) -> Result<()> {
        let (jobs, inbox) = bounded(4);
        let (failures, failed) = bounded(1);
        std::thread::scope(|scope| {
            for _ in 0..worker_count(workers) {
                let (inbox, failures) = (inbox.clone(), failures.clone());
                scope.spawn(move || {
                    let mut worker = W::default();
                    for job in inbox {
                        if let Err(error) = self.job(job, visitor, &mut worker) {
                            // The first failure counts; with the inbox gone the feeder stops.
                            let _ = failures.try_send(error);
                            return;
                        }
                    }
                });
            }
            drop((inbox, failures));
            let fed = self.feed(visitor, &jobs);
            drop(jobs);
            // Waits for all workers: the channel closes when the last is gone.
            match failed.recv() {
                Ok(error) => Err(error),
                Err(_) => fed.map(drop),
            }
        })
    }

    /// Goes through the catalogue as often as needed. `None`: the workers gave up.
    fn feed<W>(&self, visitor: &impl Visitor<W>, jobs: &Sender<Job>) -> Result<Option<()>> {
        let mut first = true;
        let mut from = 0;
        while first || from < self.contents.segments.len() {
            let mut buckets: HashMap<usize, Vec<Task>> = HashMap::new();
            let (mut to, mut held) = (self.contents.segments.len(), 0);
            let mut plain = Vec::new();
            for entry in self.catalogue.lines()? {
                let Some(entry) = visitor.select(entry?) else { continue };
                let mut bucket = |task: Task, member: &Member| -> Result<()> {
                    let place = match self.place(task.path(), member) {
                        Ok(place) => place,
                        Err(error) if first => {
                            return visitor.damaged(&self.contents.catalogue.object, error, &[task]);
                        }
                        Err(_) => return Ok(()),
                    };
                    if (from..to).contains(&place) {
                        buckets.entry(place).or_default().push(task);
                        held += 1;
                    }
                    // Too many for one round: the segments at the far end wait for the next.
                    while held > ROUND && to - from > 1 {
                        to -= 1;
                        held -= buckets.remove(&to).map_or(0, |tasks| tasks.len() as u64);
                    }
                    Ok(())
                };
                split(entry, &mut bucket, |what| {
                    if first {
                        plain.push(what)
                    }
                })?;
                if plain.len() >= PLAIN && jobs.send(Job::Plain(std::mem::take(&mut plain))).is_err() {
                    return Ok(None);
                }
            }
            if jobs.send(Job::Plain(plain)).is_err() {
                return Ok(None);
            }
            let mut round: Vec<_> = buckets.into_iter().collect();
            round.sort_by_key(|(place, _)| *place);
            for (place, tasks) in round {
                if jobs.send(Job::Segment(tasks, place)).is_err() {
                    return Ok(None);
                }
            }
            (first, from) = (false, to);
        }
        Ok(Some(()))
    }

    fn job<W>(&self, job: Job, visitor: &impl Visitor<W>, worker: &mut W) -> Result<()> {
        match job {
            Job::Plain(entries) => entries.into_iter().try_for_each(|entry| visitor.plain(worker, entry)),
            Job::Segment(mut tasks, place) => {
                tasks.sort_by_key(|task| task.range().0);
                self.segment(&self.contents.segments[place], &tasks, visitor, worker)
            }
        }
    }

    fn segment<W>(
        &self,
        segment: &SegmentRef,
        tasks: &[Task],
        visitor: &impl Visitor<W>,
        worker: &mut W,
    ) -> Result<()> {
        let key = match self.keys.get(&segment.run) {
            Some(Ok(key)) => key,
            Some(Err(error)) => return visitor.damaged(&segment.object(), copy_of(error), tasks),
            None => {
                let error = Error::corrupt(segment.object(), "its run is not in the signed list");
                return visitor.damaged(&segment.object(), error, tasks);
            }
        };
        let sealed = match read_checked(self.vault.store.as_ref(), &segment.object(), segment.size, &segment.sha256) {
            Ok(sealed) => sealed,
            Err(error) => return visitor.damaged(&segment.object(), error, tasks),
        };
        let mut plain = open_sealed(&sealed[..], key, segment.number, segment.opened)?;
        let mut at = 0;
        for (done, task) in tasks.iter().enumerate() {
            let (start, len) = task.range();
            let skip = start.checked_sub(at);
            let skipped = match skip {
                Some(skip) => io::copy(&mut (&mut plain).take(skip), &mut io::sink()).is_ok_and(|n| n == skip),
                None => false,
            };
            if !skipped {
                let error = Error::corrupt(segment.object(), "does not open to what the catalogue says");
                return visitor.damaged(&segment.object(), error, &tasks[done..]);
            }
            let mut data = (&mut plain).take(len);
            visitor.data(worker, segment, task, &mut data)?;
            let rest = data.limit();
            at = start + len - rest;
        }
        Ok(())
    }
}

/// Sorts an entry's data into tasks and what needs no segment.
fn split(
    mut entry: Entry,
    bucket: &mut impl FnMut(Task, &Member) -> Result<()>,
    mut plain: impl FnMut(Plain),
) -> Result<()> {
    if let Some(blocks) = entry.blocks.take() {
        entry.blocks = Some(Vec::new());
        let file = Arc::new(entry);
        for block in blocks {
            match block.member {
                Some(member) => bucket(Task::Block(file.clone(), block), &member)?,
                None => plain(Plain::Zeroes(file.clone(), block)),
            }
        }
        return Ok(());
    }
    let empty = entry.extents.as_deref().map_or(entry.size == 0, <[Extent]>::is_empty);
    match entry.member {
        Some(member) if entry.kind == EntryKind::File && !empty => bucket(Task::File(Box::new(entry)), &member),
        _ => {
            plain(Plain::Entry(Box::new(entry)));
            Ok(())
        }
    }
}

/// Errors hold system errors, which cannot be cloned; what matters for a report can.
pub(crate) fn copy_of(error: &Error) -> Error {
    match error {
        Error::NotFound { object } => Error::NotFound { object: object.clone() },
        Error::WrongKey { object } => Error::WrongKey { object: object.clone() },
        Error::Corrupt { object, what } => Error::corrupt(object, what),
        other => Error::corrupt("run key", other.to_string()),
    }
}
