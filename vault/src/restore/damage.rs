//! What a restore that goes on past damage could not give: each damaged object, and each entry that is lost with it.
//! Knows nothing of the destination.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backup::{Problem, ProblemKind};
use crate::error::Error;
use crate::path::EntryPath;
use crate::sweep::Task;
use crate::verify::Fault;

/// Collects from all workers.
#[derive(Default)]
pub(super) struct Damage {
    losses: Mutex<Losses>,
}

#[derive(Default)]
struct Losses {
    /// What is wrong with each object, by its name.
    objects: BTreeMap<String, String>,
    /// By entry, then by the object that it is lost with: a large file may be lost with several.
    entries: BTreeMap<EntryPath, BTreeMap<Arc<str>, Loss>>,
}

/// Why an entry is lost, and what of it.
#[derive(Clone)]
struct Loss {
    what: Arc<str>,
    /// Stretches of a large file, each a block, as first byte and the one after the last. Of other files all is lost.
    stretches: Vec<(u64, u64)>,
}

impl Damage {
    fn lock(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object that cannot be used, and what is lost with it.
    pub(super) fn object<'a>(&self, object: &str, error: &Error, lost: impl Iterator<Item = &'a Task>) {
        let Fault { object, what, .. } = Fault::new(object, error, Vec::new());
        let (name, why) = (Arc::from(&object[..]), Arc::from(&what[..]));
        lost.for_each(|task| self.add(&name, &why, task));
        self.lock().objects.insert(object, what);
    }

    /// Data of one entry that is not what the catalogue says, out of an object that is as signed.
    pub(super) fn data(&self, object: &str, what: &str, task: &Task) {
        self.add(&Arc::from(object), &Arc::from(what), task);
        let other = || "holds other data than the catalogue says".into();
        self.lock().objects.entry(object.into()).or_insert_with(other);
    }

    fn add(&self, object: &Arc<str>, what: &Arc<str>, task: &Task) {
        let mut losses = self.lock();
        let by_object = losses.entries.entry(task.path().clone()).or_default();
        let new = || Loss { what: what.clone(), stretches: Vec::new() };
        let loss = by_object.entry(object.clone()).or_insert_with(new);
        if let Task::Block(file, block) = task {
            loss.stretches.push((block.offset, file.block_end(block)));
        }
    }

    /// Whether an entry is lost, in whole or in part.
    pub(super) fn hit(&self, path: &EntryPath) -> bool {
        self.lock().entries.contains_key(path)
    }

    /// Another name of an inode shares its loss. Whether the first name is lost as a whole, so that there is nothing to link to.
    pub(super) fn link(&self, first: &EntryPath, path: &EntryPath) -> bool {
        let mut losses = self.lock();
        let Some(loss) = losses.entries.get(first).cloned() else { return false };
        let whole = loss.values().any(|loss| loss.stretches.is_empty());
        losses.entries.insert(path.clone(), loss);
        whole
    }

    /// Each damaged object with the entries that it cost, and the same by entry.
    pub(super) fn report(self) -> (Vec<Fault>, Vec<Problem>) {
        let Losses { objects, entries } = self.losses.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut faults: BTreeMap<String, Fault> = BTreeMap::new();
        for (object, what) in objects {
            faults.insert(object.clone(), Fault { object, what, entries: Vec::new() });
        }
        let mut problems = Vec::new();
        for (path, by_object) in entries {
            for (object, loss) in by_object {
                problems.push(Problem { path: path.clone(), kind: ProblemKind::Damaged, what: loss.text(&object) });
                if let Some(fault) = faults.get_mut(&*object) {
                    fault.entries.push(path.clone());
                }
            }
        }
        (faults.into_values().collect(), problems)
    }
}

impl Loss {
    fn text(&self, object: &str) -> String {
        let what = &self.what;
        if self.stretches.is_empty() {
            return format!("lost with {object}: {what}");
        }
        let text: Vec<String> = joined(&self.stretches).iter().map(|(from, to)| format!("{from}-{}", to - 1)).collect();
        format!("bytes {} are lost with {object} and read as zeroes: {what}", text.join(", "))
    }
}

/// Neighbours made one.
fn joined(stretches: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted = stretches.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in sorted {
        match joined.last_mut() {
            Some((_, end)) if *end >= from => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}
