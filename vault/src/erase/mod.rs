//! Erasing: what lies at some paths becomes unreadable in every snapshot that is named.
//!
//! A catalogue that names such a path is written without it. A segment that holds data of it is opened and cut
//! afresh: what catalogues still name moves to new segments under a new key, and the old one is no longer named by
//! anybody. That includes data that no catalogue names any more, of a file that was read twice or of a snapshot that
//! was pruned: the gaps of every segment are looked through by the names in their tar headers.
//!
//! Nothing is removed here, and nothing that exists is changed: new objects are written, and the caller signs
//! manifests over them. When those are in the vault, [`Vault::prune`] without grace removes what they took the place
//! of.
//!
//! **Stream order.** A hard link must come after its first name. What is cut afresh goes into a run that stands first
//! in the catalogue's list of runs; hard links that are, into one that stands last. A catalogue has a run of its own.

mod catalogue;
mod recut;
mod survey;

use std::collections::BTreeMap;

use self::recut::{Cutter, Moved};
use self::survey::{Cut, Survey};
use crate::contents::{Contents, Digest};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::manifests::ManifestName;
use crate::path::EntryPath;
use crate::progress::Progress;
use crate::prune::Named;
use crate::vault::Vault;

/// What to erase, and from where.
#[derive(Debug)]
pub struct Erase<'a> {
    /// The snapshots to erase from, each by its newest manifest.
    pub snapshots: &'a [Named<'a>],
    /// All other manifests of the vault. What they name is left alone.
    pub others: &'a [Named<'a>],
    /// Paths, folders with all that is below. Not the root.
    pub paths: &'a [EntryPath],
    /// Keys that open the snapshots.
    pub identities: &'a Identities,
}

/// What an erasure does. Making it touches nothing.
#[derive(Debug)]
pub struct ErasePlan {
    /// Entries that are erased, for each of [`Erase::snapshots`].
    pub erased: Vec<u64>,
    /// Names that would be erased while another name keeps the content, with that other one.
    pub shared: Vec<(EntryPath, EntryPath)>,
    /// Segments that are cut afresh, by digest.
    cuts: BTreeMap<Digest, Cut>,
}

/// A snapshot as it is without what was erased.
#[derive(Debug, Clone)]
pub struct Amended {
    /// Place in [`Erase::snapshots`].
    pub snapshot: usize,
    /// For its new manifest.
    pub name: ManifestName,
    /// For its new manifest.
    pub contents: Contents,
}

impl ErasePlan {
    /// How many segments are cut afresh.
    pub fn segments(&self) -> usize {
        self.cuts.len()
    }

    /// Bytes of new segments, about.
    pub fn rewritten(&self) -> u64 {
        self.cuts.values().map(Cut::remaining).sum()
    }

    /// Whether a snapshot must be written anew.
    fn touches(&self, snapshot: usize, contents: &Contents) -> bool {
        self.erased[snapshot] > 0 || contents.segments.iter().any(|segment| self.cuts.contains_key(&segment.sha256))
    }
}

/// There while an erasure is under way.
const MARK: &str = "erasing";

impl Vault {
    /// Notes in the vault that an erasure is under way.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark_erase(&self) -> Result<()> {
        if self.is_erase_marked() { Ok(()) } else { self.store.write_new(MARK, b"run `lifeboat erase` again\n") }
    }

    /// Notes that it is done.
    ///
    /// # Errors
    /// When the mark cannot be removed.
    pub fn unmark_erase(&self) -> Result<()> {
        self.store.remove(MARK)
    }

    /// Whether an erasure was begun and did not come to its end.
    pub fn is_erase_marked(&self) -> bool {
        self.store.size(MARK).is_ok()
    }

    /// Finds out what lies at the paths and where. Opens every catalogue, and every segment that holds what no
    /// catalogue names.
    ///
    /// # Errors
    /// When anything cannot be opened, or a segment that must be cut afresh is named by a manifest of [`Erase::others`].
    pub fn plan_erase(&self, erase: &Erase<'_>) -> Result<ErasePlan> {
        if erase.paths.iter().any(EntryPath::is_root) {
            return Err(Error::invalid("/", "the root of a snapshot cannot be erased; remove the snapshot"));
        }
        let mut survey = Survey::new(self, erase.paths, erase.identities);
        for named in erase.snapshots {
            survey.snapshot(named.contents)?;
        }
        let plan = survey.finish()?;
        let foreign = erase.others.iter().flat_map(|named| named.contents.segments.iter().map(move |s| (s, named)));
        for (segment, named) in foreign {
            if plan.cuts.contains_key(&segment.sha256) {
                let what = format!("is also part of {}, from which nothing is to be erased", named.name.object());
                return Err(Error::invalid(segment.object(), what));
            }
        }
        Ok(plan)
    }

    /// Writes the segments and catalogues of the snapshots without what is erased. On return they are durable; they
    /// count once their manifests are in the vault. The caller holds [`Vault::lock`] since before the plan was made.
    ///
    /// # Errors
    /// When something cannot be opened or written; all snapshots are as they were.
    pub fn erase(&self, erase: &Erase<'_>, plan: &ErasePlan, progress: &dyn Progress) -> Result<Vec<Amended>> {
        progress.expect(plan.rewritten(), plan.cuts.len() as u64);
        let mut cutter = Cutter::new(self);
        for cut in plan.cuts.values() {
            cutter.take(cut, &cut.open(self, erase.identities)?)?;
            progress.advance(cut.remaining(), 1);
        }
        let moved: Moved = cutter.finish()?;
        let mut amended = Vec::new();
        for (snapshot, named) in erase.snapshots.iter().enumerate() {
            if plan.touches(snapshot, named.contents) {
                let mut name = named.name.clone();
                name.revision += 1;
                let contents = catalogue::rewrite(self, erase, named.contents, &name, plan, &moved)?;
                amended.push(Amended { snapshot, name, contents });
            }
        }
        self.store.sync()?;
        Ok(amended)
    }
}

/// Whether a path is one of those to erase, or lies below one.
fn hit(paths: &[EntryPath], path: &EntryPath) -> bool {
    paths.iter().any(|erased| path.is_at_or_below(erased))
}
