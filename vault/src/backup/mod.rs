//! Taking a snapshot. See the crate's root for the flow.

mod amend;
mod block_size;
mod collect;
mod large;
mod listing;
mod overlay;
mod previous;
mod read;
mod segment;
mod still;
mod stream;

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use rustix::fs::{Mode, OFlags};

use self::collect::{Collected, Collector, Shares};
use self::large::Blocks;
use self::listing::{Batch, Item, Listing, Step};
use self::overlay::Overlay;
use self::previous::{Cache, Journal, Previous, State};
use self::read::{Outcome, Reader};
use self::segment::{Builder, Filled, Run};
pub use self::still::Still;
pub use self::stream::Stream;
use crate::catalogue::Header;
use crate::contents::{Contents, RunId, SegmentRef, segment_object};
use crate::entry::{Entry, EntryKind};
use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::private::{self, Private};
use crate::progress::Progress;
use crate::seal::{RunKey, Sealed};
use crate::source::{Exclusion, Facts, Walk, open_beneath};
use crate::vault::{VERSION, Vault, check_host};

/// What to back up, and how.
pub struct Backup<'a> {
    /// Folder that becomes the root of the snapshot.
    pub root: PathBuf,
    /// Mount points to descend into, as absolute paths inside the snapshot. Any other mount is kept as an empty folder.
    pub cross: Vec<PathBuf>,
    /// What to leave out.
    pub exclude: Vec<Exclusion>,
    /// What makes the tree stand still while it is read; without it the tree is read as it lies.
    pub still: Option<&'a dyn Still>,
    /// Files whose content is not in the tree. They are stored before it, in this order.
    pub streams: Vec<Stream<'a>>,
    /// Secrets that are kept beside the tree, each under a name of its own.
    pub private: &'a [Private],
    /// Name of the host, for the catalogue's place.
    pub host: String,
    /// Serial number of the snapshot; must be new.
    pub serial: u64,
    /// Folder on the host that remembers what is stored where. Without it every run is a full one.
    pub cache: Option<PathBuf>,
    /// Points to nothing of earlier runs: all is read and stored afresh, and opens with this run's key alone.
    pub full: bool,
    /// How many blocks a large file may have: with more it is stored in larger ones. Bounds memory.
    pub most_blocks: u64,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Compression level of zstd.
    pub level: i32,
    /// How many bytes of segments that are less than half in use are stored afresh, so that the segments fall out of use.
    pub rewrite: u64,
    /// Told of bytes and entries as they are read.
    pub progress: &'a dyn Progress,
    /// Once it is true the run ends as soon as it can, with [`Error::Stopped`]; what it has stored serves the next one.
    pub stop: Option<&'a AtomicBool>,
}

impl std::fmt::Debug for Backup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backup({} as {} {})", self.root.display(), self.host, self.serial)
    }
}

impl Backup<'_> {
    /// The whole of `root`, without other filesystems, cache or progress; zstd level 3 on all cores.
    pub fn new(root: impl Into<PathBuf>, host: impl Into<String>, serial: u64) -> Self {
        Backup {
            root: root.into(),
            cross: Vec::new(),
            exclude: Vec::new(),
            still: None,
            streams: Vec::new(),
            private: &[],
            host: host.into(),
            serial,
            cache: None,
            full: false,
            most_blocks: MOST_BLOCKS,
            workers: 0,
            level: 3,
            rewrite: REWRITE,
            progress: &(),
            stop: None,
        }
    }
}

/// A snapshot that lies in the vault, every object of it durable. It exists for others once its manifest is signed and stored.
#[derive(Debug, Clone)]
pub struct Finished {
    /// For the manifest.
    pub contents: Contents,
    /// What could not be kept as it is; any of these makes the run end with a warning.
    pub problems: Vec<Problem>,
    /// What was listed and gone before it was opened. It is not in the snapshot, as if the run had begun a moment later, and
    /// nothing to be warned of.
    pub vanished: Vec<EntryPath>,
    /// Folders whose contents, and other entries that were left out by [`Backup::exclude`].
    pub left_out: Vec<EntryPath>,
    /// Folders where something is mounted that [`Backup::cross`] does not name: they are empty in the snapshot.
    pub foreign: Vec<EntryPath>,
    /// What each filesystem has of it: the root, and what is mounted at [`Backup::cross`], in the order of their paths.
    pub shares: Vec<Share>,
}

/// What a snapshot has of one filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Where it is mounted.
    pub path: EntryPath,
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
}

/// Something about one entry that did not go as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry.
    pub path: EntryPath,
    /// Class of the problem.
    pub kind: ProblemKind,
    /// What happened, in words.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Class of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It was listed and then gone; it is not in the snapshot. A backup gives these as [`Finished::vanished`].
    Vanished,
    /// It kept changing while it was read; the snapshot has what was read last. Or something else took its place.
    Changed,
    /// It could not be read; it is not in the snapshot (a folder is, without contents).
    Unreadable,
    /// Restore: it, or part of its metadata, could not be made.
    NotRestored,
    /// Restore: the objects that hold it are damaged or missing.
    Damaged,
}

/// Bytes of thin segments that one run stores afresh, unless told otherwise: enough to keep pace, too little to be felt.
const REWRITE: u64 = 256 << 20;

/// Blocks of a large file, unless told otherwise: 10 MB of memory, and 3 MB of every catalogue.
const MOST_BLOCKS: u64 = 1 << 16;

/// Batches under way at once: bounds what waits for its turn in the catalogue.
const WINDOW: usize = 32;

/// Filled segments that wait to be made durable, while the workers go on.
const FILLED: usize = 16;

impl Vault {
    /// Backs up a tree. On return every object is durable. The caller holds [`Vault::lock`].
    pub fn backup(&self, backup: &Backup<'_>) -> Result<Finished> {
        let object = catalogue_object(&backup.host, backup.serial)?;
        let root = open_root(&backup.root)?;
        self.free_serial(&backup.host, backup.serial, &object)?;
        let started = now();
        write_out(&root, &backup.cross);
        let cache = backup.cache.as_deref().map(|folder| Cache::new(folder, self.id(), &backup.host)).transpose()?;
        let load = |wanted: bool| {
            let cache = cache.as_ref().filter(|_| wanted && !backup.full);
            cache
                .map(|cache| cache.load(self.store.as_ref(), backup.rewrite))
                .transpose()
                .map(Option::unwrap_or_default)
        };
        let previous = load(true)?;
        // Streams are stored before the tree is walked, and earlier runs are read in the order of their catalogue: so twice.
        let streamed = load(!backup.streams.is_empty())?.like(&previous);

        let id = RunId::random()?;
        let key = RunKey::generate()?;
        let mut runs = previous.runs.clone();
        let ordinal = runs.len() as u32;
        runs.push(key.store(&id, self.recipients(), self.store.as_ref())?);
        let segments = previous.segments.clone();
        let mut state = State::new(self.id(), id.clone(), started, runs, &segments);
        let journal = cache.as_ref().map(|cache| cache.begin(&state)).transpose()?;

        let run = Run::new(self, (&id, &key), ordinal, backup);
        let header = self.header(backup, &state);
        let collected = pipeline(&run, backup, root.as_fd(), (previous, streamed), header, segments, journal);
        if let Some(Err(what)) = backup.still.map(Still::held) {
            // What a cut run leaves behind for the next one must not hold what was torn.
            cache.as_ref().map_or(Ok(()), |cache| cache.discard(&id))?;
            // A tree that never stood still has its own error.
            return collected.and(Err(Error::Torn { what }));
        }
        let collected = collected?;
        let private = private::store(self, &id, &key, backup.private, backup.level)?;
        let mut finished = collected.store(&run, &object, &mut state)?;
        finished.contents.totals.added_sealed += private.iter().map(|part| part.size).sum::<u64>();
        finished.contents.private = private;
        if let Some(cache) = &cache {
            cache.finish(&state)?;
        }
        Ok(finished)
    }

    fn header(&self, backup: &Backup<'_>, state: &State) -> Header {
        Header {
            catalogue: VERSION,
            host: backup.host.clone(),
            serial: backup.serial,
            segment_size: self.segment_size,
            block_size: self.block_size,
            runs: state.runs.iter().map(|run| run.id.clone()).collect(),
        }
    }
}

fn catalogue_object(host: &str, serial: u64) -> Result<String> {
    check_host(host)?;
    Ok(format!("catalogues/{host}/{serial}"))
}

fn open_root(root: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty()).map_err(|e| Error::io("opening", root.display().to_string(), e))
}

/// Has the kernel write out what is dirty in the filesystems that are read. What a program writes through a memory mapping
/// changes a file's times only with the first write to a page that is clean; so every such write from here on shows, to this
/// run while it reads and to the next. Where a filesystem cannot, it is as it would be without.
fn write_out(root: &OwnedFd, cross: &[PathBuf]) {
    let _ = rustix::fs::syncfs(root);
    for path in cross.iter().filter_map(|path| EntryPath::from_argument(path.as_os_str().as_bytes())) {
        if let Ok(mount) = open_beneath(root.as_fd(), path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
            let _ = rustix::fs::syncfs(mount);
        }
    }
}

/// The clock that also stamps files.
fn now() -> (i64, u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() as i64, now.subsec_nanos())
}

/// Runs lister, workers and finisher in threads of their own, and the collector in this one.
fn pipeline<'a>(
    run: &'a Run<'a>,
    backup: &Backup<'_>,
    live: BorrowedFd<'a>,
    (previous, streamed): (Previous, Previous),
    header: Header,
    segments: HashMap<(u32, u64), SegmentRef>,
    journal: Option<Journal>,
) -> Result<Collected> {
    let workers = worker_count(backup.workers);
    let cross: Vec<EntryPath> =
        backup.cross.iter().filter_map(|path| EntryPath::from_argument(path.as_os_str().as_bytes())).collect();
    let (batches, batch_inbox) = bounded(workers * 2);
    let (steps, step_inbox) = bounded(WINDOW);
    let (permits, permit_inbox) = bounded(WINDOW);
    let (jobs, job_inbox) = bounded(workers * 2);
    // A filled segment is a file by then: those that wait to be synced hold no memory but what the kernel has to write.
    let (filled, filled_inbox) = bounded(FILLED);
    for _ in 0..WINDOW {
        // The channel holds that many and its other end is here.
        let _ = permits.send(());
    }
    let segment_journal = journal.as_ref().map(Journal::segments).transpose()?;
    let (busy, still) = (AtomicUsize::new(0), OnceLock::new());
    std::thread::scope(|scope| {
        let finisher = scope.spawn(move || finish_segments(run, &filled_inbox, segment_journal));
        // Before anything else is read: what the streams say is no younger than the files that belong to it.
        let extra = stream::store(&backup.streams, streamed, Builder::new(run, filled.clone()), backup.stop);
        let ready = extra.and_then(|extra| {
            let root = read_from(backup, live, &still)?;
            let shares = Shares::new(&cross);
            let collector = Collector::new(run, root, header, (segments, shares), journal, permits, filled.clone())?;
            Ok((extra, root, collector))
        });
        let (extra, root, collector) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                // The finisher ends with the last builder; when the vault fails, its error is the first.
                drop(filled);
                return Err(ended(finisher.join()).err().unwrap_or(error));
            }
        };
        for _ in 0..workers {
            let worker = Worker {
                hand: Hand {
                    reader: Reader::new(Builder::new(run, filled.clone()), root),
                    blocks: Blocks::new(jobs.clone(), job_inbox.clone()),
                },
                batches: batch_inbox.clone(),
                collector: steps.clone(),
                busy: &busy,
            };
            scope.spawn(move || worker.run());
        }
        drop((filled, batch_inbox, jobs, job_inbox));
        let listing = Listing {
            walk: Overlay::new(Walk::new(root, cross.into_iter().collect(), &backup.exclude), extra),
            previous,
            workers: batches,
            collector: steps.clone(),
            permits: permit_inbox,
            large: run.vault.segment_size,
            stop: backup.stop,
        };
        scope.spawn(move || listing.run());
        drop(steps);
        let collected = collector.run(&step_inbox);
        drop(step_inbox);
        // When the vault fails, everything else stops because of it: its error comes first.
        let stored = ended(finisher.join())?;
        refuse_stopped(backup.stop)?;
        let mut collected = collected?;
        collected.segments.extend(stored);
        Ok(collected)
    })
}

/// The folder that is read: the root as it lies, or what shows it standing still, opened into `still`.
fn read_from<'a>(backup: &Backup<'_>, live: BorrowedFd<'a>, still: &'a OnceLock<OwnedFd>) -> Result<BorrowedFd<'a>> {
    let Some(asked) = backup.still else { return Ok(live) };
    refuse_stopped(backup.stop)?;
    let folder = asked.begin().map_err(|what| Error::invalid(backup.root.display().to_string(), what))?;
    let opened = open_root(&folder)?;
    Ok(still.get_or_init(|| opened).as_fd())
}

/// What a thread gave.
fn ended<T>(joined: std::thread::Result<Result<T>>) -> Result<T> {
    joined.unwrap_or_else(|_| Err(Error::invalid("backup", "a thread of the backup ended early")))
}

fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}

/// Ends a run that was asked to.
fn refuse_stopped(stop: Option<&AtomicBool>) -> Result<()> {
    if stop.is_some_and(is_stopped) { Err(Error::Stopped) } else { Ok(()) }
}

/// Threads for `asked`, 0 meaning one per core.
pub(crate) fn worker_count(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(2, usize::from) }
}

/// What stores entries of every kind.
struct Hand<'a> {
    reader: Reader<'a>,
    blocks: Blocks,
}

impl<'a> Hand<'a> {
    /// One without others to share a large file with.
    fn alone(run: &'a Run<'a>, root: BorrowedFd<'a>, filled: Sender<Filled>) -> Self {
        let (jobs, inbox) = bounded(0);
        Hand { reader: Reader::new(Builder::new(run, filled), root), blocks: Blocks::new(jobs, inbox) }
    }

    fn work(&mut self, job: &large::Job) {
        self.blocks.work(job, &mut self.reader);
    }

    fn store(&mut self, facts: &Facts, previous: Option<&Entry>) -> Result<Outcome> {
        let path = &facts.entry.path;
        if facts.entry.kind != EntryKind::File {
            return self.reader.store_plain(facts, previous);
        }
        let small = previous.filter(|p| p.blocks.is_none());
        if facts.entry.size <= self.reader.builder.run.vault.segment_size {
            return self.reader.store_file(path, small);
        }
        self.blocks.store(path, previous, &mut self.reader)
    }
}

/// One thread that reads and stores.
struct Worker<'a> {
    hand: Hand<'a>,
    batches: Receiver<Batch<Item>>,
    collector: Sender<Result<Batch<Step>>>,
    /// Workers that have a batch in hand, and may still hand out jobs.
    busy: &'a AtomicUsize,
}

impl Worker<'_> {
    fn run(mut self) {
        if let Err(error) = self.work() {
            // The collector hangs up only when it has failed already.
            let _ = self.collector.send(Err(error));
        }
    }

    fn work(&mut self) -> Result<()> {
        loop {
            let (batches, jobs) = (self.batches.clone(), self.hand.blocks.inbox().clone());
            select_biased! {
                recv(jobs) -> job => if let Ok(job) = job { self.hand.work(&job) },
                recv(batches) -> batch => {
                    let Ok(batch) = batch else { break };
                    self.busy.fetch_add(1, Ordering::SeqCst);
                    let done = self.batch(batch);
                    self.busy.fetch_sub(1, Ordering::SeqCst);
                    if self.collector.send(Ok(done?)).is_err() {
                        return Ok(());
                    }
                },
            }
        }
        while self.busy.load(Ordering::SeqCst) > 0 {
            if let Ok(job) = self.hand.blocks.inbox().recv_timeout(Duration::from_millis(10)) {
                self.hand.work(&job);
            }
        }
        self.hand.reader.builder.finish()
    }

    fn batch(&mut self, batch: Batch<Item>) -> Result<Batch<Step>> {
        let mut steps = Vec::with_capacity(batch.items.len());
        self.hand.reader.refresh();
        for item in batch.items {
            steps.push(match item {
                Item::Done(step) => step,
                Item::Store(..) if self.hand.reader.builder.run.stop.is_some_and(is_stopped) => {
                    return Err(Error::Stopped);
                }
                Item::Store(facts, previous) => Step::Outcome(self.hand.store(&facts, previous.as_deref())?),
            });
        }
        Ok(Batch { number: batch.number, items: steps })
    }
}

/// Gives filled segments their names, durably. Ends when every builder is gone.
fn finish_segments(
    run: &Run<'_>,
    inbox: &Receiver<Filled>,
    mut journal: Option<File>,
) -> Result<Vec<((u32, u64), SegmentRef)>> {
    let mut stored = Vec::new();
    for Filled { number, sealed } in inbox {
        let Sealed { object, sha256, size, opened } = sealed;
        object.commit(&segment_object(&sha256))?;
        let segment = SegmentRef { run: run.id.clone(), number, sha256, size, opened };
        if let Some(journal) = &mut journal {
            Journal::segment(journal, &segment)?;
        }
        stored.push(((run.ordinal, number), segment));
    }
    Ok(stored)
}
