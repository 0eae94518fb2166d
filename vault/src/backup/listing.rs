//! The thread that lists the tree: joins the walk with earlier runs, finds hard links, and hands batches to the workers.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender};
use rustix::io::Errno;

use super::overlay::{Met, Overlay};
use super::previous::{Match, Previous};
use super::read::Outcome;
use super::{Problem, ProblemKind, is_stopped};
use crate::entry::{Entry, EntryKind};
use crate::error::Result;
use crate::path::EntryPath;
use crate::source::{Facts, Found};

/// Entries per batch. A batch goes into one segment, so this many neighbours are restored by one worker: were it less than a
/// folder has, two would make entries in the same folder, and the kernel lets one at a time.
const BATCH_ENTRIES: usize = 1024;
/// Bytes to be read per batch, so that workers share evenly.
const BATCH_BYTES: u64 = 4 << 20;

/// One entry on its way through the workers.
pub(super) enum Item {
    /// To be read and stored; with what an earlier run has of it.
    Store(Box<Facts>, Option<Box<Entry>>),
    /// Needs no worker any more.
    Done(Step),
}

/// One step of the catalogue, in walk order.
pub(super) enum Step {
    Outcome(Outcome),
    /// Another name of an earlier entry that is stored by this run.
    Link(Box<Entry>),
    /// As it was: entry and all.
    Unchanged(Box<Entry>),
    Problem(Problem),
    LeftOut(EntryPath),
    Foreign(EntryPath),
}

/// A numbered part of the walk.
pub(super) struct Batch<T> {
    pub(super) number: u64,
    pub(super) items: Vec<T>,
}

/// First name of an inode with several.
struct Leader {
    path: EntryPath,
    unchanged: bool,
    /// Names that have not been met yet, as far as `st_nlink` tells.
    left: u32,
}

/// Lists the whole tree.
pub(super) struct Listing<'a> {
    pub(super) walk: Overlay<'a>,
    pub(super) previous: Previous,
    /// Batches with something to read.
    pub(super) workers: Sender<Batch<Item>>,
    /// Batches without.
    pub(super) collector: Sender<Result<Batch<Step>>>,
    /// One permit per batch under way: the collector gives it back when the batch is in the catalogue.
    pub(super) permits: Receiver<()>,
    pub(super) large: u64,
    /// Asks for an early end.
    pub(super) stop: Option<&'a AtomicBool>,
}

impl Listing<'_> {
    /// Runs to the end of the tree, or until the other threads gave up.
    pub(super) fn run(mut self) -> Option<()> {
        let mut leaders: HashMap<((u32, u32), u64), Leader> = HashMap::new();
        let (mut number, mut bytes) = (0, 0);
        let mut items = Vec::new();
        while let Some(met) = self.walk.next() {
            if self.stop.is_some_and(is_stopped) {
                return None;
            }
            let item = match met {
                Met::Found(found) => self.item(found, &mut leaders),
                Met::Made(step) => Item::Done(step),
            };
            let (size, alone) = match &item {
                Item::Store(facts, _) => (facts.entry.size, facts.entry.size > self.large),
                Item::Done(_) => (0, false),
            };
            bytes += size;
            if alone && !items.is_empty() {
                self.send(&mut number, std::mem::take(&mut items))?;
            }
            items.push(item);
            if alone || items.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES.min(self.large) {
                self.send(&mut number, std::mem::take(&mut items))?;
                bytes = 0;
            }
        }
        self.send(&mut number, items)
    }

    fn item(&mut self, found: Found, leaders: &mut HashMap<((u32, u32), u64), Leader>) -> Item {
        let facts = match found {
            Found::Entry(facts) => facts,
            Found::LeftOut(path) => return Item::Done(Step::LeftOut(path)),
            Found::Foreign(path) => return Item::Done(Step::Foreign(path)),
            Found::Unreadable(path, errno) => return Item::Done(Step::Problem(unlisted(path, errno))),
        };
        let several = facts.links > 1 && facts.entry.kind != EntryKind::Directory;
        let inode = (facts.device, facts.entry.inode);
        if several && let Some(leader) = leaders.get_mut(&inode) {
            let mut link = facts.entry;
            (link.kind, link.link) = (EntryKind::HardLink, Some(leader.path.as_bytes().to_vec()));
            (link.size, link.rdev) = (0, None);
            leader.left = leader.left.saturating_sub(1);
            let same = leader.unchanged;
            if leader.left == 0 {
                leaders.remove(&inode);
            }
            return Item::Done(match self.previous.find(&link) {
                Match::Unchanged(old) if same && old.link == link.link => Step::Unchanged(old),
                _ => Step::Link(Box::new(link)),
            });
        }
        let found = self.previous.find(&facts.entry);
        if several {
            let unchanged = matches!(found, Match::Unchanged(_));
            leaders.insert(inode, Leader { path: facts.entry.path.clone(), unchanged, left: facts.links - 1 });
        }
        match found {
            Match::Unchanged(old) => Item::Done(Step::Unchanged(old)),
            Match::Candidate(old) => Item::Store(facts, Some(old)),
            Match::None => Item::Store(facts, None),
        }
    }

    fn send(&self, number: &mut u64, items: Vec<Item>) -> Option<()> {
        self.permits.recv().ok()?;
        let number = std::mem::replace(number, *number + 1);
        if items.iter().any(|item| matches!(item, Item::Store(..))) {
            return self.workers.send(Batch { number, items }).ok();
        }
        let steps = items.into_iter().filter_map(|item| match item {
            Item::Done(step) => Some(step),
            Item::Store(..) => None,
        });
        self.collector.send(Ok(Batch { number, items: steps.collect() })).ok()
    }
}

fn unlisted(path: EntryPath, errno: Errno) -> Problem {
    let (kind, what) = match errno {
        Errno::NOENT | Errno::NOTDIR => (ProblemKind::Vanished, "vanished while the tree was listed".into()),
        errno => (ProblemKind::Unreadable, format!("cannot be listed: {}", std::io::Error::from(errno))),
    };
    Problem { path, kind, what }
}
