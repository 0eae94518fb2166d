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
/// An entry with more bytes of xattrs ends a job.
const HEAVY: usize = 1 << 20;
/// Headers that a member may have beside data of at most a segment: xattrs, above all.
const HEADERS: u64 = 64 << 20;

/// Data of one entry to be taken from a segment.
#[derive(Debug)]
pub(crate) enum Task {
    /// A whole file that is not large, with data.
    File(Box<Entry>),
    /// A block of a large file, with data.
    Block(Arc<Entry>, Block),
    /// The headers of an entry without data in its member; only for who asks for [`Visitor::heads`].
    Head(Arc<Entry>),
}

impl Task {
    pub(crate) fn path(&self) -> &EntryPath {
        match self {
            Task::File(entry) => &entry.path,
            Task::Block(file, _) | Task::Head(file) => &file.path,
        }
    }

    fn member(&self) -> Option<Member> {
        match self {
            Task::File(entry) => entry.member,
            Task::Block(_, block) => block.member,
            Task::Head(entry) => entry.member,
        }
    }

    /// First byte of the member in the opened segment, and the first after it.
    fn span(&self) -> (u64, u64) {
        self.member().map_or((0, 0), |m| (m.piece.offset, m.piece.offset + m.piece.len))
    }

    /// Bytes of headers, and bytes of data after them.
    pub(crate) fn lengths(&self) -> (u64, u64) {
        let sum = |extents: &[Extent]| extents.iter().map(|e| e.len).sum();
        let data = match self {
            Task::File(entry) => entry.extents.as_deref().map_or(entry.size, sum),
            Task::Block(_, block) => sum(&block.extents),
            Task::Head(_) => 0,
        };
        (self.member().map_or(0, |m| m.head), data)
    }
}

/// What is done with the data. `W` is a worker's own state.
pub(crate) trait Visitor<W>: Sync {
    /// Whether the headers of members are wanted too: [`Visitor::data`] then begins with them, and comes for every entry that has
    /// a member; and each segment is gone through to its end.
    fn heads(&self) -> bool {
        false
    }
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
            if places.insert((*ordinal, segment.number), place).is_some() {
                let what = format!("number {} of run {} is listed twice", segment.number, segment.run);
                return Err(Error::corrupt(segment.object(), what));
            }
            check_sizes(segment, header.segment_size)?;
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
            let what = format!(
                "{path} lies at {} of segment {}.{}, which the signed list does not have",
                piece.offset, piece.run, piece.number
            );
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

    /// Reports an entry whose member is none of its own, and passes on the place of any other.
    fn take_place<W>(
        &self,
        task: &Task,
        member: &Member,
        used: &mut HashMap<usize, u64>,
        visitor: &impl Visitor<W>,
        first: bool,
    ) -> Result<Option<usize>> {
        let error = match self.place(task.path(), member) {
            Ok(place) => {
                let used = used.entry(place).or_default();
                if *used + member.piece.len <= self.contents.segments[place].opened {
                    *used += member.piece.len;
                    return Ok(Some(place));
                }
                self.shared(task.path())
            }
            Err(error) => error,
        };
        if first {
            visitor.damaged(&self.contents.catalogue.object, error, std::slice::from_ref(task))?;
        }
        Ok(None)
    }

    fn shared(&self, path: &EntryPath) -> Error {
        Error::corrupt(
            &self.contents.catalogue.object,
            format!("{path} shares its place in a segment with another entry"),
        )
    }

    /// Goes through the catalogue as often as needed. `None`: the workers gave up.
    fn feed<W>(&self, visitor: &impl Visitor<W>, jobs: &Sender<Job>) -> Result<Option<()>> {
        let mut first = true;
        let mut from = 0;
        while first || from < self.contents.segments.len() {
            let mut buckets: HashMap<usize, Vec<Task>> = HashMap::new();
            let (mut to, mut held) = (self.contents.segments.len(), 0);
            let (mut plain, mut used) = (Vec::new(), HashMap::new());
            for entry in self.catalogue.lines()? {
                let Some(entry) = visitor.select(entry?) else { continue };
                let mut bucket = |task: Task, member: &Member| -> Result<()> {
                    let Some(place) = self.take_place(&task, member, &mut used, visitor, first)? else { return Ok(()) };
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
                let heavy = entry.xattrs.iter().map(|(_, value)| value.len()).sum::<usize>() > HEAVY;
                split(entry, visitor.heads(), &mut bucket, |what| {
                    if first {
                        plain.push(what)
                    }
                })?;
                if (plain.len() >= PLAIN || heavy) && jobs.send(Job::Plain(std::mem::take(&mut plain))).is_err() {
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
                tasks.sort_by_key(Task::span);
                let mut end = 0;
                let (tasks, shared): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| {
                    let (from, to) = task.span();
                    let own = from >= end;
                    end = if own { to } else { end };
                    own
                });
                for task in shared {
                    let error = self.shared(task.path());
                    visitor.damaged(&self.contents.catalogue.object, error, &[task])?;
                }
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
        let heads = visitor.heads();
        let mut plain = open_sealed(&sealed[..], key, segment.number, segment.opened.saturating_add(u64::from(heads)))?;
        let mut at = 0;
        for (done, task) in tasks.iter().enumerate() {
            let (head, data) = task.lengths();
            let (start, len) = if heads { (task.span().0, head + data) } else { (task.span().0 + head, data) };
            let skip = start.checked_sub(at);
            if !skip.is_some_and(|skip| pass_over(&mut plain, skip).is_ok_and(|n| n == skip)) {
                let error = Error::corrupt(segment.object(), "does not open to what the catalogue says");
                return visitor.damaged(&segment.object(), error, &tasks[done..]);
            }
            let mut data = (&mut plain).take(len);
            visitor.data(worker, segment, task, &mut data)?;
            let rest = data.limit();
            at = start + len - rest;
        }
        if heads {
            let end = pass_over(&mut plain, u64::MAX).map(|rest| at + rest);
            if end.as_ref().ok() != Some(&segment.opened) {
                let error =
                    Error::corrupt(segment.object(), format!("does not open to {} bytes and no more", segment.opened));
                return visitor.damaged(&segment.object(), error, &[]);
            }
        }
        Ok(())
    }
}

fn pass_over(plain: &mut impl Read, bytes: u64) -> io::Result<u64> {
    io::copy(&mut plain.take(bytes), &mut io::sink())
}

/// Refuses sizes that no writer makes, before anything is read at that size: a segment is held in memory whole.
fn check_sizes(segment: &SegmentRef, segment_size: u64) -> Result<()> {
    let opened = segment_size + HEADERS;
    // What does not compress grows by less than a thousandth.
    let sealed = segment.opened.saturating_add(segment.opened / 256).saturating_add(1 << 16);
    if segment.opened <= opened && segment.size <= sealed {
        return Ok(());
    }
    let what = format!("{} bytes that open to {}, with segments of {segment_size}", segment.size, segment.opened);
    Err(Error::corrupt(segment.object(), what))
}

/// Sorts an entry's data into tasks and what needs no segment. With `heads` every member is a task.
fn split(
    mut entry: Entry,
    heads: bool,
    bucket: &mut impl FnMut(Task, &Member) -> Result<()>,
    mut plain: impl FnMut(Plain),
) -> Result<()> {
    if let Some(blocks) = entry.blocks.take() {
        entry.blocks = Some(Vec::new());
        let file = Arc::new(entry);
        if let (true, Some(member)) = (heads, &file.member) {
            bucket(Task::Head(file.clone()), member)?;
        }
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
        Some(member) if heads => bucket(Task::Head(Arc::new(entry)), &member),
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
