//! Going through the data of a snapshot segment by segment on all cores, for restore and for verification.
//!
//! The catalogue is in walk order and a segment holds entries from all over it; [`feed`] makes one job of what is wanted of a
//! segment. A segment is read whole, compared with its digest, and only then opened, as a stream, up to the last byte that is
//! wanted.

mod feed;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use crossbeam_channel::bounded;

pub(crate) use self::feed::Survey;
use self::feed::{Feed, Stop};

use crate::backup::worker_count;
use crate::catalogue::SealedCatalogue;
use crate::contents::{Contents, RunId, SegmentRef};
use crate::entry::{Block, Entry, Extent, Member};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::EntryPath;
use crate::seal::{RunKey, open_sealed, read_checked};
use crate::vault::Vault;

/// Jobs that wait for a worker: they hold entries, and memory is bounded.
const WAITING: usize = 2;
/// Opened bytes are taken from the decoder in pieces of this size; small files are cut from these.
const PIECE: usize = 128 << 10;
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
        Ok(Sweep { vault, contents, catalogue, keys, places })
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

    /// Runs `visitor` over all entries. `survey` is of what it selects.
    pub(crate) fn run<W: Default>(&self, visitor: &impl Visitor<W>, survey: &Survey, workers: usize) -> Result<()> {
        let (jobs, inbox) = bounded(WAITING);
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
            let fed = Feed::new(self, survey, jobs).run(visitor);
            // Waits for all workers: the channel closes when the last is gone.
            match (failed.recv(), fed) {
                (Ok(error), _) | (_, Err(Stop::Failed(error))) => Err(error),
                _ => Ok(()),
            }
        })
    }

    fn shared(&self, path: &EntryPath) -> Error {
        Error::corrupt(
            &self.contents.catalogue.object,
            format!("{path} shares its place in a segment with another entry"),
        )
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
        let opened = segment.opened.saturating_add(u64::from(heads));
        let mut plain = BufReader::with_capacity(PIECE, open_sealed(&sealed[..], key, segment.number, opened)?);
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

/// Reads up to `bytes` bytes and leaves them; how many there were.
fn pass_over(input: &mut impl BufRead, bytes: u64) -> io::Result<u64> {
    let mut left = bytes;
    while left > 0 {
        let there = input.fill_buf()?.len();
        if there == 0 {
            break;
        }
        let n = usize::try_from(left).map_or(there, |left| left.min(there));
        input.consume(n);
        left -= n as u64;
    }
    Ok(bytes - left)
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

/// Errors hold system errors, which cannot be cloned; what matters for a report can.
pub(crate) fn copy_of(error: &Error) -> Error {
    match error {
        Error::NotFound { object } => Error::NotFound { object: object.clone() },
        Error::WrongKey { object } => Error::WrongKey { object: object.clone() },
        Error::Corrupt { object, what } => Error::corrupt(object, what),
        other => Error::corrupt("run key", other.to_string()),
    }
}
