//! Verification: `sealed` compares every object with its digest, `data` opens everything and hashes every file.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backup::worker_count;
use crate::catalogue::SealedCatalogue;
use crate::content::Zeroes;
use crate::contents::{CatalogueRef, Contents, Digest, SegmentRef};
use crate::copy::Part;
use crate::description::VAULT_JSON;
use crate::entry::{Entry, EntryKind, Extent, first_name};
use crate::error::{Error, Kind, Result};
use crate::identity::Identities;
use crate::member::{block_difference, difference};
use crate::path::EntryPath;
use crate::progress::Progress;
use crate::store::Store;
use crate::sweep::{Plain, Sweep, Task, Visitor, copy_of};
use crate::vault::Vault;

/// An object that is not as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the object in the vault.
    pub object: String,
    /// What is wrong.
    pub what: String,
    /// Entries that are lost with it, where the catalogue could be opened to tell.
    pub entries: Vec<EntryPath>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

impl Vault {
    /// Compares every object of a snapshot with its signed size and digest. Needs no key; so it cannot say which entries an
    /// object holds.
    pub fn check_sealed(&self, contents: &Contents, progress: &dyn Progress) -> Result<Vec<Fault>> {
        self.check_parts(&contents.parts(), progress)
    }

    /// The same for the objects of several snapshots, each of them once.
    pub fn check_parts(&self, parts: &[Part], progress: &dyn Progress) -> Result<Vec<Fault>> {
        progress.expect(parts.iter().map(|part| part.size).sum(), 0);
        let next = AtomicUsize::new(0);
        let faults = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..worker_count(0) {
                scope.spawn(|| {
                    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let checked = check_object(self.store.as_ref(), &part.name, part.size, &part.sha256);
                        if let Err(error) = checked {
                            lock(&faults).push(Fault::new(&part.name, &error, Vec::new()));
                        }
                        progress.advance(part.size, 0);
                    }
                });
            }
        });
        Ok(in_order(faults))
    }

    /// Compares a snapshot's catalogue and its key with their signed digests: without them nothing of it can be restored.
    pub fn check_index(&self, contents: &Contents) -> Result<()> {
        contents.check()?;
        let CatalogueRef { object, run, size, sha256, .. } = &contents.catalogue;
        check_object(self.store.as_ref(), object, *size, sha256).map_err(Error::listed)?;
        for run in contents.runs.iter().filter(|listed| listed.id == *run) {
            let key = run.id.key_name();
            check_object(self.store.as_ref(), &key, run.key_size, &run.key_sha256).map_err(Error::listed)?;
        }
        Ok(())
    }

    /// Opens every object of a snapshot and compares the content of every file with its hash. Fails only when the catalogue
    /// cannot be opened at all.
    pub fn check_data(
        &self,
        contents: &Contents,
        identities: &Identities,
        progress: &dyn Progress,
    ) -> Result<Vec<Fault>> {
        let catalogue = SealedCatalogue::read(self, contents, identities)?;
        let sweep = Sweep::new(self, contents, identities, &catalogue)?;
        progress.expect(contents.totals.bytes, contents.totals.entries);
        let check = Check { progress, faults: Mutex::default() };
        for error in sweep.key_errors() {
            if error.kind() == Kind::WrongKey {
                return Err(copy_of(error));
            }
        }
        let (mut survey, mut entries) = (sweep.survey(), 0);
        let mut links: HashMap<EntryPath, Vec<EntryPath>> = HashMap::new();
        let lines = catalogue.lines()?;
        let sizes = (lines.header.segment_size, lines.header.block_size);
        if !self.salvaged && sizes != (self.segment_size, self.block_size) {
            let what = "its sizes are not those that the catalogue was written with".to_owned();
            lock(&check.faults).push(Fault { object: VAULT_JSON.into(), what, entries: Vec::new() });
        }
        for entry in lines {
            let entry = entry?;
            entries += 1;
            sweep.count(&mut survey, &entry, true);
            if entry.kind == EntryKind::HardLink {
                links.entry(first_name(&entry)?).or_default().push(entry.path);
            }
        }
        sweep.run::<Vec<u8>>(&check, &survey, 0)?;
        check.links(&contents.catalogue.object, links, &catalogue)?;
        for part in &contents.private {
            if let Err(error) = self.private(contents, identities, &part.name) {
                lock(&check.faults).push(Fault::new(&part.object(), &error, Vec::new()));
            }
        }
        if entries != contents.totals.entries {
            let what = format!("{entries} entries instead of the signed {}", contents.totals.entries);
            let object = contents.catalogue.object.clone();
            lock(&check.faults).push(Fault { object, what, entries: Vec::new() });
        }
        Ok(in_order(check.faults))
    }
}

/// Hashes an object as a stream.
pub(crate) fn check_object(store: &dyn Store, name: &str, size: u64, sha256: &Digest) -> Result<()> {
    use sha2::Digest as _;
    let mut input = store.open(name)?.take(size.saturating_add(1));
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut found = 0;
    loop {
        match input.read(&mut buffer).map_err(|e| Error::io("reading", name, e))? {
            0 => break,
            n => {
                hasher.update(&buffer[..n]);
                found += n as u64;
            }
        }
    }
    if found != size {
        let what =
            if found > size { format!("longer than {size} bytes") } else { format!("{found} bytes instead of {size}") };
        return Err(Error::corrupt(name, what));
    }
    if Digest(hasher.finalize().into()) == *sha256 {
        Ok(())
    } else {
        Err(Error::corrupt(name, "its SHA-256 differs from the signed one"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_order(faults: Mutex<Vec<Fault>>) -> Vec<Fault> {
    let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    faults.sort_by(|a, b| (&a.object, &a.what, &a.entries).cmp(&(&b.object, &b.what, &b.entries)));
    // A key that cannot be had is found with every segment of its run.
    faults.dedup_by(|later, first| {
        let same = (&later.object, &later.what) == (&first.object, &first.what);
        if same {
            first.entries.append(&mut later.entries);
        }
        same
    });
    faults.iter_mut().for_each(|fault| fault.entries.sort());
    faults
}

impl Fault {
    /// The object that the error names, if any, else `object`.
    pub(crate) fn new(object: &str, error: &Error, entries: Vec<EntryPath>) -> Self {
        let object = match error {
            Error::Corrupt { object, .. } | Error::WrongKey { object } | Error::NotFound { object } => object,
            _ => object,
        };
        let what = match error {
            Error::Corrupt { what, .. } => what.clone(),
            Error::NotFound { .. } => "is missing".into(),
            Error::Io { source, .. } => format!("cannot be read: {source}"),
            other => other.to_string(),
        };
        Fault { object: object.into(), what, entries }
    }
}

/// Compares headers with the catalogue and hashes content.
struct Check<'a> {
    progress: &'a dyn Progress,
    faults: Mutex<Vec<Fault>>,
}

impl Visitor<Vec<u8>> for Check<'_> {
    fn heads(&self) -> bool {
        true
    }

    fn select(&self, entry: Entry) -> Option<Entry> {
        Some(entry)
    }

    fn plain(&self, _: &mut Vec<u8>, what: Plain) -> Result<()> {
        match what {
            Plain::Entry(_) => self.progress.advance(0, 1),
            Plain::Zeroes(_, block) => self.progress.advance(block.extents.iter().map(|e| e.len).sum(), 0),
        }
        Ok(())
    }

    fn data(&self, buffer: &mut Vec<u8>, segment: &SegmentRef, task: &Task, data: &mut dyn Read) -> Result<()> {
        let object = segment.object();
        let faulty =
            |what| lock(&self.faults).push(Fault { object: object.clone(), what, entries: vec![task.path().clone()] });
        // What the catalogue says of it is bounded by the segment.
        buffer.resize(task.lengths().0 as usize, 0);
        if let Err(error) = data.read_exact(buffer) {
            faulty(format!("its segment cannot be opened: {error}"));
            return Ok(());
        }
        if let Some(what) = self.headers(task, buffer) {
            faulty(what);
        }
        if let Some(what) = self.content(task, data, buffer) {
            faulty(what);
        }
        Ok(())
    }

    fn damaged(&self, object: &str, error: Error, tasks: &[Task]) -> Result<()> {
        // Who has headers in it only is restored from the catalogue.
        let data = tasks.iter().filter(|task| !matches!(task, Task::Head(_)));
        let mut entries: Vec<EntryPath> = data.map(|task| task.path().clone()).collect();
        entries.sort();
        entries.dedup();
        lock(&self.faults).push(Fault::new(object, &error, entries));
        Ok(())
    }
}

impl Check<'_> {
    /// Hard links share what is wrong with their first names, and must have one.
    fn links(
        &self,
        object: &str,
        mut links: HashMap<EntryPath, Vec<EntryPath>>,
        catalogue: &SealedCatalogue,
    ) -> Result<()> {
        for fault in lock(&self.faults).iter_mut() {
            let more: Vec<_> = fault.entries.iter().filter_map(|path| links.get(path)).flatten().cloned().collect();
            fault.entries.extend(more);
        }
        for entry in catalogue.lines()? {
            let entry = entry?;
            if !matches!(entry.kind, EntryKind::Directory | EntryKind::HardLink) {
                links.remove(&entry.path);
            }
        }
        for (first, entries) in links {
            let what = format!("{first} is the first name of hard links, and no entry that can be one");
            lock(&self.faults).push(Fault { object: object.into(), what, entries });
        }
        Ok(())
    }

    /// What the headers in the stream say otherwise than the catalogue. Stock tar would make the entry from them.
    fn headers(&self, task: &Task, head: &[u8]) -> Option<String> {
        let differs = match task {
            Task::File(entry) => difference(entry, head),
            Task::Head(entry) => difference(entry, head),
            Task::Block(_, block) => block_difference(block, head),
        };
        differs.map(|what| format!("its tar header differs from the catalogue: {what}"))
    }

    fn content(&self, task: &Task, data: &mut dyn Read, buffer: &mut Vec<u8>) -> Option<String> {
        buffer.resize(256 << 10, 0);
        let (from, to, extents, wanted) = match task {
            Task::File(entry) => (0, entry.size, entry.extents.as_deref(), entry.content),
            Task::Block(file, block) => {
                let end = file.block_end(block);
                (block.offset, end, Some(&block.extents[..]), Some(block.content))
            }
            Task::Head(_) => {
                self.progress.advance(0, 1);
                return None;
            }
        };
        let whole = [Extent { offset: from, len: to - from }];
        let found = hash(data, from, to, extents.unwrap_or(&whole), buffer);
        self.progress.advance(to - from, u64::from(matches!(task, Task::File(_))));
        match (found, task) {
            (Ok(found), _) if Some(found) == wanted => None,
            (Ok(_), Task::Block(_, block)) => {
                Some(format!("its block at {} differs from its hash in the catalogue", block.offset))
            }
            (Ok(_), _) => Some("its content differs from its hash in the catalogue".to_owned()),
            (Err(error), _) => Some(format!("its segment cannot be opened: {error}")),
        }
    }
}

/// BLAKE3 of `from..to` of a file: data at its extents, zeroes elsewhere.
fn hash(data: &mut dyn Read, from: u64, to: u64, extents: &[Extent], buffer: &mut [u8]) -> io::Result<Digest> {
    let mut hasher = Zeroes::new();
    for extent in extents {
        hasher.up_to(extent.offset - from);
        let mut left = extent.len as usize;
        while left > 0 {
            let n = left.min(buffer.len());
            data.read_exact(&mut buffer[..n])?;
            hasher.update(&buffer[..n]);
            left -= n;
        }
    }
    hasher.up_to(to - from);
    Ok(hasher.finish())
}
