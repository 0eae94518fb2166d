//! Putting a snapshot back. See the crate's root for the order.

mod damage;
mod files;
mod metadata;
mod onto;
mod tree;
mod writeback;

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use self::damage::Damage;
use self::metadata::{FREEZING, Inode};
pub use self::onto::Onto;
use self::tree::{Made, Place, Tree, thaw};
use crate::backup::Problem;
use crate::catalogue::SealedCatalogue;
use crate::contents::Contents;
use crate::entry::{Entry, EntryKind, first_name};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::EntryPath;
use crate::progress::Progress;
use crate::source::open_beneath;
use crate::sweep::{self, Survey, Sweep, Visitor};
use crate::vault::Vault;
use crate::verify::Fault;

/// What to restore, and where.
pub struct Restore<'a> {
    /// From the signed manifest.
    pub contents: &'a Contents,
    /// Keys that open its runs.
    pub identities: &'a Identities,
    /// Existing folder that becomes the root of the snapshot.
    pub dest: PathBuf,
    /// All of it, or some paths.
    pub select: Selection,
    /// Folders that come back empty: what is below them is left out.
    pub except: Vec<EntryPath>,
    /// Files whose content goes into what is open already instead of into the folder.
    pub onto: &'a [Onto],
    /// Restore owners, devices and the xattrs that need root. Without it each entry that lacks something is a problem; when
    /// there are very many, the rest of those that lack owner or xattrs only are counted in one problem of the root.
    pub owner: bool,
    /// Make device nodes. Whoever can write to a folder of the destination can use what is made in it.
    pub devices: bool,
    /// Leave files alone that are already as the snapshot has them (their content is hashed): for a restore that was cut.
    pub skip_complete: bool,
    /// Go on past damaged segments and name the entries they cost, instead of failing at the first.
    pub keep_going: bool,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Told of bytes and entries as they are restored.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restore(to {})", self.dest.display())
    }
}

impl<'a> Restore<'a> {
    /// The whole snapshot with everything that this process may set.
    pub fn new(contents: &'a Contents, identities: &'a Identities, dest: impl Into<PathBuf>) -> Self {
        Restore {
            contents,
            identities,
            dest: dest.into(),
            select: Selection::All,
            except: Vec::new(),
            onto: &[],
            owner: rustix::process::geteuid().is_root(),
            devices: rustix::process::geteuid().is_root(),
            skip_complete: false,
            keep_going: false,
            workers: 0,
            progress: &(),
        }
    }
}

/// Which entries of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// All entries.
    #[default]
    All,
    /// These paths, what is below them, and the folders that lead to them.
    Paths(Vec<EntryPath>),
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Entries that are now as the snapshot has them.
    pub entries: u64,
    /// Bytes of file content among them.
    pub bytes: u64,
    /// Entries that were complete before and left alone.
    pub skipped: u64,
    /// What could not be restored as it was.
    pub problems: Vec<Problem>,
    /// Objects that are not as signed, with the entries that each cost; those are among the problems too, as
    /// [`crate::ProblemKind::Damaged`]. Empty unless [`Restore::keep_going`].
    pub damaged: Vec<Fault>,
}

impl Vault {
    /// Restores a snapshot. On return it is durable.
    ///
    /// Fails at the first damaged object unless [`Restore::keep_going`]; whatever concerns one entry alone is a problem of
    /// that entry. Run again on what an earlier attempt left, it completes it.
    pub fn restore(&self, restore: &Restore<'_>) -> Result<Restored> {
        let catalogue = SealedCatalogue::read(self, restore.contents, restore.identities)?;
        let sweep = Sweep::new(self, restore.contents, restore.identities, &catalogue)?;
        if let (Some(error), false) = (sweep.key_errors().next(), restore.keep_going) {
            return Err(sweep::copy_of(error));
        }
        catalogue.check()?;
        let tree = Tree::open(&restore.dest, restore.owner)?;
        let scope = Scope::new(&restore.select, &restore.except, &catalogue)?;
        let totals = &restore.contents.totals;
        if restore.select == Selection::All {
            restore.progress.expect(totals.bytes, totals.entries);
        }
        let work = Work { restore, tree, scope, damage: Damage::default(), sums: Sums::default() };
        let (survey, links) = work.prepare(&sweep)?;
        work.sweep(&sweep, &survey)?;
        if links {
            work.hard_links(&catalogue)?;
        }
        work.finish_folders_and_large(&catalogue)?;
        work.tree.sync()?;
        onto::sync(restore.onto)?;
        Ok(work.report())
    }
}

/// What is restored, and under which name.
struct Scope {
    paths: Option<Vec<EntryPath>>,
    /// What is below these is not.
    except: Vec<EntryPath>,
    /// First names that are not wanted, and the name that stands in for each: the first wanted one of the same inode.
    stand_ins: HashMap<EntryPath, EntryPath>,
}

impl Scope {
    fn new(select: &Selection, except: &[EntryPath], catalogue: &SealedCatalogue) -> Result<Self> {
        let mut scope = Scope { paths: None, except: except.to_vec(), stand_ins: HashMap::new() };
        let Selection::Paths(paths) = select else { return Ok(scope) };
        scope.paths = Some(paths.clone());
        let mut found: HashSet<&EntryPath> = HashSet::new();
        for entry in catalogue.lines()? {
            let entry = entry?;
            found.extend(paths.iter().filter(|path| entry.path == **path));
            if entry.kind == EntryKind::HardLink && scope.wants(&entry.path) {
                let first = first_name(&entry)?;
                if !scope.wants(&first) {
                    scope.stand_ins.entry(first).or_insert(entry.path);
                }
            }
        }
        match paths.iter().find(|path| !found.contains(path)) {
            Some(missing) => Err(Error::NotFound { object: format!("{missing} in the snapshot") }),
            None => Ok(scope),
        }
    }

    fn wants(&self, path: &EntryPath) -> bool {
        !self.leaves_out(path) && self.wants_by_name(path)
    }

    fn leaves_out(&self, path: &EntryPath) -> bool {
        self.except.iter().any(|folder| path != folder && path.is_at_or_below(folder))
    }

    fn wants_by_name(&self, path: &EntryPath) -> bool {
        self.paths.as_ref().is_none_or(|paths| paths.iter().any(|wanted| path.is_at_or_below(wanted)))
    }

    /// Whether a folder is wanted itself or leads to something wanted.
    fn wants_folder(&self, path: &EntryPath) -> bool {
        let leads = |wanted: &EntryPath| path.is_at_or_below(wanted) || wanted.is_at_or_below(path);
        !self.leaves_out(path) && self.paths.as_ref().is_none_or(|paths| paths.iter().any(leads))
            || self.stand_ins.values().any(|name| name.is_at_or_below(path))
    }
}

/// How many entries are named for lacking their owner; a restore of millions by somebody else must not fill the memory.
const NAMED: u64 = 10_000;

#[derive(Default)]
struct Sums {
    entries: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    foreign: AtomicU64,
}

/// One restore under way.
struct Work<'a> {
    restore: &'a Restore<'a>,
    damage: Damage,
    tree: Tree,
    scope: Scope,
    sums: Sums,
}

impl Work<'_> {
    /// Makes all folders, open to this process alone, and large files at their size. Returns what the sweep will meet, and
    /// whether there are hard links to be made.
    fn prepare(&self, sweep: &Sweep<'_>) -> Result<(Survey, bool)> {
        let (mut survey, mut links) = (sweep.survey(), false);
        let mut place = None;
        for entry in sweep.catalogue.lines()? {
            let entry = entry?;
            links |= entry.kind == EntryKind::HardLink;
            let Some(entry) = self.select(entry) else { continue };
            sweep.count(&mut survey, &entry, false);
            if entry.kind == EntryKind::Directory && !entry.path.is_root() {
                if let Err(errno) = self.tree.make_folder(&mut place, &entry.path) {
                    self.tree.settle(&entry.path, "making the folder", errno)?;
                }
            } else if entry.blocks.is_some()
                && self.onto(&entry.path).is_none()
                && let Err(errno) = self.make_large(&mut place, &entry)
            {
                self.tree.settle(&entry.path, "making the file", errno)?;
            }
        }
        thaw(&self.tree.root);
        Ok((survey, links))
    }

    /// Everything but folders and hard links.
    fn sweep(&self, sweep: &Sweep<'_>, survey: &Survey) -> Result<()> {
        let (going_on, over) = crossbeam_channel::bounded(0);
        std::thread::scope(|scope| {
            let written = scope.spawn(move || writeback::keep_up(&self.tree, &self.sums.bytes, &over));
            let swept = sweep.run(self, survey, self.restore.workers);
            drop(going_on);
            let written = written.join().unwrap_or_else(|_| Err(Error::invalid("restore", "a thread ended early")));
            swept.and(written)
        })
    }

    fn hard_links(&self, catalogue: &SealedCatalogue) -> Result<()> {
        for entry in catalogue.lines()? {
            let entry = entry?;
            if entry.kind != EntryKind::HardLink || !self.scope.wants(&entry.path) {
                continue;
            }
            let first = first_name(&entry)?;
            let first = self.scope.stand_ins.get(&first).unwrap_or(&first);
            if *first == entry.path {
                continue;
            }
            if self.damage.link(first, &entry.path) {
                continue;
            }
            match self.tree.make_link(first, &entry.path) {
                Ok(_) if self.damage.hit(first) => {}
                Ok(_) => self.done(0),
                Err(errno) => self.tree.settle(&entry.path, "making the hard link", errno)?,
            }
        }
        Ok(())
    }

    /// Last of all what later steps would undo: metadata of folders and large files, and flags that freeze.
    fn finish_folders_and_large(&self, catalogue: &SealedCatalogue) -> Result<()> {
        let mut place = None;
        let mut late = Vec::new();
        for entry in catalogue.lines()? {
            let Some(entry) = self.select(entry?) else { continue };
            if entry.kind == EntryKind::File && entry.blocks.is_none() && self.damage.hit(&entry.path) {
                continue;
            }
            if self.onto(&entry.path).is_some() {
                if entry.blocks.is_some() && !self.damage.hit(&entry.path) {
                    self.done(0);
                }
                continue;
            }
            let frozen = entry.flags & FREEZING != 0;
            if entry.kind == EntryKind::Directory && (frozen || entry.mode & 0o700 != 0o700) {
                late.push(entry);
            } else if entry.kind == EntryKind::Directory || entry.blocks.is_some() || frozen {
                self.finish(&mut place, &entry)?;
            }
        }
        drop(place);
        // Deepest first, for these may shut this process out.
        late.iter().rev().try_for_each(|entry| self.finish(&mut None, entry))
    }

    fn finish(&self, place: &mut Option<Place>, entry: &Entry) -> Result<()> {
        let mut open = || -> Made<_> {
            let (parent, name) = entry.path.split();
            let place = self.tree.place(place, parent)?;
            let fd = match entry.kind {
                EntryKind::Directory => open_beneath(place.fd.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY)?,
                _ => self.tree.open_file(place, name, OFlags::RDONLY)?,
            };
            if entry.blocks.is_some() {
                self.tree.recognise(&entry.path, &fd)?;
            }
            Ok((fd, place.fat))
        };
        let (fd, fat) = match open() {
            Ok(opened) => opened,
            Err(errno) => return self.tree.settle(&entry.path, "opening it again to set metadata", errno),
        };
        if entry.kind == EntryKind::Directory || entry.blocks.is_some() {
            self.tree.apply(&Inode::Open(fd.as_fd()), entry, fat)?;
            if !self.damage.hit(&entry.path) {
                self.done(0);
            }
            self.note_owner(entry);
        }
        if entry.flags & FREEZING != 0 { self.tree.freeze(&fd, entry) } else { Ok(()) }
    }

    fn done(&self, bytes: u64) {
        self.sums.entries.fetch_add(1, Ordering::Relaxed);
        self.sums.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.restore.progress.advance(bytes, 1);
    }

    /// Names what is not ours and cannot be given to its owner.
    fn note_owner(&self, entry: &Entry) {
        if self.restore.owner {
            return;
        }
        let special =
            entry.xattrs.iter().any(|(name, _)| name.starts_with(b"security.") || name.starts_with(b"trusted."));
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let foreign = (entry.uid, entry.gid) != (uid, gid);
        if !(special || foreign) || self.sums.foreign.fetch_add(1, Ordering::Relaxed) >= NAMED {
            return;
        }
        let owner = format!("owner {}:{}", entry.uid, entry.gid);
        let what = match (foreign, special) {
            (true, true) => format!("{owner} and attributes were not restored, which needs root"),
            (true, false) => format!("{owner} was not restored, which needs root"),
            (false, _) => "attributes were not restored, which needs root".into(),
        };
        self.tree.problem(&entry.path, what);
    }

    fn report(self) -> Restored {
        let foreign = self.sums.foreign.into_inner();
        if foreign > NAMED {
            let more = foreign - NAMED;
            let what = format!("owners, or attributes that need root, of {more} more entries were not restored");
            self.tree.problem(&EntryPath::root(), what);
        }
        let (damaged, lost) = self.damage.report();
        let mut problems = self.tree.take_problems();
        problems.extend(lost);
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Restored {
            entries: self.sums.entries.into_inner(),
            bytes: self.sums.bytes.into_inner(),
            skipped: self.sums.skipped.into_inner(),
            problems,
            damaged,
        }
    }
}
