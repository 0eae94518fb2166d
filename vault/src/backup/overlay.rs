//! Joins the walk over the tree with what is in the snapshot beside it, in catalogue order.
//!
//! What is made hides a file of the tree by the same name, but never a folder, and lies in no folder that is none in the tree: such a
//! stream becomes a problem.

use super::listing::Step;
use super::read::Outcome;
use super::stream::{Extra, Made};
use super::{Problem, ProblemKind};
use crate::entry::EntryKind;
use crate::path::EntryPath;
use crate::source::{Found, Walk};

/// What comes next in the catalogue.
pub(super) enum Met {
    Found(Found),
    Made(Step),
}

/// The walk, with what is made in between.
pub(super) struct Overlay<'a> {
    walk: Walk<'a>,
    /// What the walk came upon, while what is made before it has its turn.
    found: Option<Found>,
    made: std::iter::Peekable<std::vec::IntoIter<(EntryPath, Made)>>,
    problems: std::vec::IntoIter<Problem>,
    /// Something in the tree that is no folder, and was to be one.
    blocked: Option<EntryPath>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(walk: Walk<'a>, extra: Extra) -> Self {
        let (made, problems) = (extra.made.into_iter().peekable(), extra.problems.into_iter());
        Overlay { walk, found: None, made, problems, blocked: None }
    }

    /// What is made next, if it comes before `found`.
    fn before(&mut self, found: Option<&EntryPath>) -> Option<(EntryPath, Made)> {
        self.made.next_if(|(path, _)| found.is_none_or(|found| path < found))
    }

    fn made(&self, path: EntryPath, made: Made) -> Option<Step> {
        if let Some(blocked) = self.blocked.as_ref().filter(|blocked| path.is_at_or_below(blocked)) {
            return match made {
                Made::File(..) => Some(in_the_way(path, format!("{blocked} in the tree is no folder"))),
                Made::Folder(_) | Made::Lost => None,
            };
        }
        match made {
            Made::Folder(entry) | Made::File(entry, false) => Some(Step::Outcome(Outcome::Stored(entry, None))),
            Made::File(entry, true) => Some(Step::Unchanged(entry)),
            Made::Lost => None,
        }
    }

    /// Decides between an entry of the tree and what is made by the same name; `None` where neither is in the snapshot.
    fn same(&mut self, found: Found, made: Made) -> Option<Met> {
        let Found::Entry(facts) = &found else {
            // Left out, or not to be looked at: what is made takes its place, and the remark stands.
            let path = path_of(&found).clone();
            let step = self.made(path, made);
            self.found = Some(found);
            return step.map(Met::Made);
        };
        let folder = facts.entry.kind == EntryKind::Directory;
        let path = facts.entry.path.clone();
        match made {
            Made::Folder(_) => {
                if !folder {
                    self.blocked = Some(path);
                }
                Some(Met::Found(found))
            }
            Made::File(..) if folder => {
                self.found = Some(found);
                Some(Met::Made(in_the_way(path, "a folder in the tree has its name".into())))
            }
            Made::Lost if folder => Some(Met::Found(found)),
            made => self.made(path, made).map(Met::Made),
        }
    }
}

impl Iterator for Overlay<'_> {
    type Item = Met;

    fn next(&mut self) -> Option<Met> {
        if let Some(problem) = self.problems.next() {
            return Some(Met::Made(Step::Problem(problem)));
        }
        loop {
            let found = self.found.take().or_else(|| self.walk.next());
            if let Some((path, made)) = self.before(found.as_ref().map(path_of)) {
                self.found = found;
                match self.made(path, made) {
                    Some(step) => return Some(Met::Made(step)),
                    None => continue,
                }
            }
            let found = found?;
            match self.made.next_if(|(path, _)| path == path_of(&found)) {
                Some((_, made)) => match self.same(found, made) {
                    Some(met) => return Some(met),
                    None => continue,
                },
                None => return Some(Met::Found(found)),
            }
        }
    }
}

fn path_of(found: &Found) -> &EntryPath {
    match found {
        Found::Entry(facts) => &facts.entry.path,
        Found::LeftOut(path) | Found::Foreign(path) | Found::Unreadable(path, _) => path,
    }
}

fn in_the_way(path: EntryPath, why: String) -> Step {
    Step::Problem(Problem {
        path,
        kind: ProblemKind::Changed,
        what: format!("{why}; the stream is not in the snapshot"),
    })
}
