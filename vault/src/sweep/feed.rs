//! The order in which a sweep hands out its work: what is wanted of a segment goes to a worker as soon as the catalogue has
//! named the last of it.
//!
//! That is known beforehand, from a first pass that only counts. Runs write their segments along the walk, so few segments are
//! begun and not complete at any place of the catalogue, and one pass hands out everything. Should more be begun than memory
//! allows, some wait for another pass.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::{Job, Plain, Sweep, Task, Visitor};
use crate::entry::{Entry, EntryKind, Member};
use crate::error::Error;

/// Tasks of segments that are begun and not complete.
const HELD: usize = 60_000;
/// Entries without data per job.
const PLAIN: usize = 256;
/// An entry with more bytes of xattrs ends a job.
const HEAVY: usize = 1 << 20;

/// How many tasks each segment has for one visitor.
pub(crate) struct Survey {
    /// By place in the signed list.
    tasks: Vec<usize>,
}

impl Sweep<'_> {
    /// A survey that nothing was counted in.
    pub(crate) fn survey(&self) -> Survey {
        Survey { tasks: vec![0; self.contents.segments.len()] }
    }

    /// Counts what is wanted of a selected entry, with `heads` every member. What lies where no segment is comes up when the work is
    /// handed out.
    pub(crate) fn count(&self, survey: &mut Survey, entry: &Entry, heads: bool) {
        let whole = entry.member.as_ref().filter(|_| heads || (entry.blocks.is_none() && has_data(entry)));
        let blocks = entry.block_list().iter().filter_map(|block| block.member.as_ref());
        for member in blocks.chain(whole) {
            if let Ok(place) = self.place(&entry.path, member) {
                survey.tasks[place] += 1;
            }
        }
    }
}

/// Whether an entry that is not in blocks has bytes in a segment.
fn has_data(entry: &Entry) -> bool {
    entry.kind == EntryKind::File && entry.extents.as_deref().map_or(entry.size > 0, |extents| !extents.is_empty())
}

/// Why no more is handed out.
pub(super) enum Stop {
    /// The workers gave up.
    Gone,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// Put off to the next pass.
    Later,
    HandedOut,
}

/// Hands out work.
pub(super) struct Feed<'a> {
    sweep: &'a Sweep<'a>,
    survey: &'a Survey,
    jobs: Sender<Job>,
    begun: HashMap<usize, Vec<Task>>,
    /// Tasks in `begun`, and how many there may be.
    held: usize,
    limit: usize,
    stages: Vec<Stage>,
    /// Bytes of each segment that entries of this pass have for their own.
    used: Vec<u64>,
    plain: Vec<Plain>,
}

impl<'a> Feed<'a> {
    pub(super) fn new(sweep: &'a Sweep<'a>, survey: &'a Survey, jobs: Sender<Job>) -> Self {
        let count = sweep.contents.segments.len();
        let (stages, used) = (vec![Stage::Waiting; count], vec![0; count]);
        Feed { sweep, survey, jobs, begun: HashMap::new(), held: 0, limit: HELD, stages, used, plain: Vec::new() }
    }

    /// Goes through the catalogue as often as needed. The workers' inbox closes with the end of it.
    pub(super) fn run<W>(mut self, visitor: &impl Visitor<W>) -> Result<(), Stop> {
        self.pass(visitor, true)?;
        while self.stages.contains(&Stage::Later) {
            for stage in self.stages.iter_mut().filter(|stage| **stage == Stage::Later) {
                *stage = Stage::Waiting;
            }
            self.pass(visitor, false)?;
        }
        Ok(())
    }

    fn pass<W>(&mut self, visitor: &impl Visitor<W>, first: bool) -> Result<(), Stop> {
        self.used.fill(0);
        for entry in self.sweep.catalogue.lines()? {
            if let Some(entry) = visitor.select(entry?) {
                self.entry(entry, visitor, first)?;
            }
        }
        let plain = std::mem::take(&mut self.plain);
        self.send(Job::Plain(plain))?;
        let mut rest: Vec<usize> = self.begun.keys().copied().collect();
        rest.sort_unstable();
        rest.into_iter().try_for_each(|place| self.hand_out(place))
    }

    /// Sorts an entry's data into tasks and what needs no segment. Who wants heads gets every member as a task.
    fn entry<W>(&mut self, mut entry: Entry, visitor: &impl Visitor<W>, first: bool) -> Result<(), Stop> {
        let heads = visitor.heads();
        if let Some(blocks) = &mut entry.blocks {
            let blocks = std::mem::take(&mut blocks.list);
            let file = Arc::new(entry);
            if let (true, Some(member)) = (heads, &file.member) {
                self.task(Task::Head(file.clone()), member, visitor, first)?;
            }
            for block in blocks {
                match block.member {
                    Some(member) => self.task(Task::Block(file.clone(), block), &member, visitor, first)?,
                    None => self.plain(Plain::Zeroes(file.clone(), block), first, false)?,
                }
            }
            return Ok(());
        }
        match entry.member {
            Some(member) if has_data(&entry) => self.task(Task::File(Box::new(entry)), &member, visitor, first),
            Some(member) if heads => self.task(Task::Head(Arc::new(entry)), &member, visitor, first),
            _ => {
                let heavy = entry.xattrs.iter().map(|(_, value)| value.len()).sum::<usize>() > HEAVY;
                self.plain(Plain::Entry(Box::new(entry)), first, heavy)
            }
        }
    }

    /// The segment that holds a task, unless its member is none of its own: that is reported once.
    fn take_place<W>(
        &mut self,
        task: &Task,
        member: &Member,
        visitor: &impl Visitor<W>,
        first: bool,
    ) -> Result<Option<usize>, Stop> {
        let error = match self.sweep.place(task.path(), member) {
            Ok(place) => {
                let used = self.used[place].saturating_add(member.piece.len);
                if used <= self.sweep.contents.segments[place].opened {
                    self.used[place] = used;
                    return Ok(Some(place));
                }
                self.sweep.shared(task.path())
            }
            Err(error) => error,
        };
        if first {
            visitor.damaged(&self.sweep.contents.catalogue.object, error, std::slice::from_ref(task))?;
        }
        Ok(None)
    }

    fn task<W>(&mut self, task: Task, member: &Member, visitor: &impl Visitor<W>, first: bool) -> Result<(), Stop> {
        let Some(place) = self.take_place(&task, member, visitor, first)? else { return Ok(()) };
        if self.stages[place] != Stage::Waiting {
            return Ok(());
        }
        let tasks = self.begun.entry(place).or_default();
        tasks.push(task);
        self.held += 1;
        if tasks.len() == self.survey.tasks[place] {
            return self.hand_out(place);
        }
        if self.held > self.limit {
            self.put_off();
        }
        Ok(())
    }

    fn plain(&mut self, what: Plain, first: bool, heavy: bool) -> Result<(), Stop> {
        if !first {
            return Ok(());
        }
        self.plain.push(what);
        if self.plain.len() < PLAIN && !heavy {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.plain);
        self.send(Job::Plain(plain))
    }

    /// Lets the segment that lacks most wait for the next pass; one stays, so that each pass gets on.
    fn put_off(&mut self) {
        let lacks =
            |(place, tasks): &(&usize, &Vec<Task>)| (self.survey.tasks[**place].saturating_sub(tasks.len()), **place);
        if let (Some((place, _)), true) = (self.begun.iter().max_by_key(lacks), self.begun.len() > 1) {
            let place = *place;
            self.stages[place] = Stage::Later;
            self.held -= self.begun.remove(&place).map_or(0, |tasks| tasks.len());
        }
    }

    fn hand_out(&mut self, place: usize) -> Result<(), Stop> {
        let tasks = self.begun.remove(&place).unwrap_or_default();
        self.held -= tasks.len();
        self.stages[place] = Stage::HandedOut;
        self.sweep.vault.store.expect(&self.sweep.contents.segments[place].object());
        self.send(Job::Segment(tasks, place))
    }

    fn send(&self, job: Job) -> Result<(), Stop> {
        self.jobs.send(job).map_err(|_| Stop::Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::path::Path;

    use crossbeam_channel::unbounded;

    use super::*;
    use crate::catalogue::SealedCatalogue;
    use crate::contents::SegmentRef;
    use crate::error::Result;
    use crate::{Backup, FolderStore, Identities, InitOptions, Vault};

    struct All;

    impl Visitor<()> for All {
        fn select(&self, entry: Entry) -> Option<Entry> {
            Some(entry)
        }
        fn plain(&self, (): &mut (), _: Plain) -> Result<()> {
            Ok(())
        }
        fn data(&self, (): &mut (), _: &SegmentRef, _: &Task, _: &mut dyn Read) -> Result<()> {
            Ok(())
        }
        fn damaged(&self, _: &str, error: Error, _: &[Task]) -> Result<()> {
            Err(error)
        }
    }

    /// Jobs for data, by segment, as paths; and the entries without.
    fn fed(sweep: &Sweep<'_>, limit: usize) -> (BTreeMap<usize, Vec<String>>, usize) {
        let mut survey = sweep.survey();
        for entry in sweep.catalogue.lines().unwrap() {
            sweep.count(&mut survey, &entry.unwrap(), false);
        }
        let (jobs, inbox) = unbounded();
        let mut feed = Feed::new(sweep, &survey, jobs);
        feed.limit = limit;
        assert!(feed.run(&All).is_ok());
        let (mut segments, mut plain) = (BTreeMap::new(), 0);
        for job in inbox {
            match job {
                Job::Plain(entries) => plain += entries.len(),
                Job::Segment(tasks, place) => {
                    let paths = tasks.iter().map(|task| task.path().to_string()).collect();
                    assert_eq!(segments.insert(place, paths), None, "a segment is handed out once");
                }
            }
        }
        (segments, plain)
    }

    /// Files of which a later run stored every second one, so that segments of both runs are begun at once.
    fn write(source: &Path, step: usize) {
        for at in (0..40).step_by(step) {
            std::fs::write(source.join(format!("f{at:02}")), format!("{step} {at}")).unwrap();
        }
    }

    #[test]
    fn what_memory_has_no_room_for_comes_in_a_later_pass_and_everything_comes_once() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let identities = Identities::generate();
        let options = InitOptions { segment_size: 8192, block_size: 4096, ..InitOptions::new(identities.recipients()) };
        let vault = Vault::init(Arc::new(FolderStore::new(folder.path().join("vault"))), &options).unwrap();
        let backup = |serial| {
            let mut backup = Backup::new(&source, "host", serial);
            backup.cache = Some(folder.path().join("cache"));
            vault.backup(&backup).unwrap()
        };
        write(&source, 1);
        std::thread::sleep(std::time::Duration::from_millis(60));
        backup(1);
        write(&source, 2);
        let contents = backup(2).contents;
        let catalogue = SealedCatalogue::read(&vault, &contents, &identities).unwrap();
        let sweep = Sweep::new(&vault, &contents, &identities, &catalogue).unwrap();
        let (roomy, plain) = fed(&sweep, 1000);
        assert_eq!(roomy.values().map(Vec::len).sum::<usize>(), 40);
        assert_eq!(plain, 1, "the root");
        assert!(roomy.len() > 2);
        for limit in [0, 1, 5] {
            assert_eq!(fed(&sweep, limit), (roomy.clone(), plain), "limit {limit}");
        }
    }
}
