//! Prove: what lies on the disk now, read back and compared with the catalogue, entry by entry.
//!
//! Metadata is read here with code of its own, not with the archive engine's, so that a mistake in the one is seen by the other.

mod inode;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use vault::{Entry, EntryKind, EntryPath, Identities, Progress, Vault, escape};

use crate::adapt::Adaptation;
use crate::apply::TARGET;
use crate::extra::{Paths, find_extra};
use crate::kernel;
use crate::screen::{Meter, Screen, Stage};
use crate::stop::{Code, OrStop, Result};
use crate::trust::Snapshot;

/// A path that is not as the snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The path, escaped as in the catalogue.
    pub path: String,
    /// What differs, or why it may.
    pub reason: String,
}

/// What the comparison found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proof {
    /// Entries compared.
    pub entries: u64,
    /// Differences that should not be.
    pub differences: Vec<Difference>,
    /// Differences that adapting made.
    pub adapted: Vec<Difference>,
}

impl Proof {
    fn add(&mut self, path: &[u8], what: String, adaptation: &Adaptation) {
        let shown = format!("/{}", escape(path));
        match adaptation.reason(path) {
            Some(reason) => self.adapted.push(Difference { path: shown, reason: format!("{reason} ({what})") }),
            None => self.differences.push(Difference { path: shown, reason: what }),
        }
    }
}

/// Compares the restored tree with the snapshot's catalogue, read from the disk and not from memory.
///
/// # Errors
/// When the catalogue or the disk cannot be read at all.
pub fn prove(
    screen: &Screen,
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    adaptation: &Adaptation,
    left_out: &[EntryPath],
) -> Result<Proof> {
    screen.stage(Stage::Prove);
    kernel::drop_caches().or_stop(Code::Io, "emptying the page cache", "Start again.")?;
    let meter = screen.meter("compared");
    meter.expect(snapshot.contents.totals.bytes, snapshot.contents.totals.entries);
    let comparison = Comparison {
        entries: Mutex::new(vault.catalogue(&snapshot.contents, key)?),
        found: Mutex::new((Proof::default(), Paths::default())),
        adaptation,
        left_out,
        meter: &meter,
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| comparison.work())).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Vec<_>>().into_iter().collect::<vault::Result<()>>()
    })?;
    let (mut proof, paths) = comparison.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut extra = Vec::new();
    find_extra(Path::new(TARGET), &mut Vec::new(), &|path| paths.has(path), &mut extra);
    for path in extra {
        proof.add(&path, "is not in the snapshot".to_owned(), adaptation);
    }
    proof.differences.sort_by(|one, other| one.path.cmp(&other.path));
    proof.adapted.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(proof)
}

/// A comparison on all cores: reading back is the longest part of a restore after writing.
struct Comparison<'a, E> {
    entries: Mutex<E>,
    found: Mutex<(Proof, Paths)>,
    adaptation: &'a Adaptation,
    /// Folders that come back empty.
    left_out: &'a [EntryPath],
    meter: &'a Meter,
}

impl<E: Iterator<Item = vault::Result<Entry>>> Comparison<'_, E> {
    /// One worker: takes some entries at a time until there are none.
    fn work(&self) -> vault::Result<()> {
        loop {
            let batch: Vec<Entry> = {
                let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.by_ref().take(BATCH).collect::<vault::Result<_>>()?
            };
            if batch.is_empty() {
                return Ok(());
            }
            let is_left_out =
                |path: &EntryPath| self.left_out.iter().any(|folder| path != folder && path.is_at_or_below(folder));
            for entry in batch.into_iter().filter(|entry| !is_left_out(&entry.path)) {
                let different = compare(Path::new(TARGET), &entry);
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                let (proof, paths) = &mut *found;
                paths.add(entry.path.as_bytes());
                proof.entries += 1;
                if let Some(what) = different {
                    proof.add(entry.path.as_bytes(), what, self.adaptation);
                }
                drop(found);
                self.meter.advance(entry.size, 1);
            }
        }
    }
}

/// Entries that a worker takes at once: few, because one of them may be large.
const BATCH: usize = 16;

/// Which `lost+found` folders a snapshot has.
///
/// # Errors
/// As the vault says.
pub fn lost_and_found(vault: &Vault, snapshot: &Snapshot, key: &Identities) -> Result<impl Fn(&[u8]) -> bool + use<>> {
    let mut paths = Paths::default();
    for entry in vault.catalogue(&snapshot.contents, key)? {
        let entry = entry?;
        if entry.path.name() == b"lost+found" {
            paths.add(entry.path.as_bytes());
        }
    }
    Ok(move |path: &[u8]| paths.has(path))
}

fn place(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// What differs between an entry and what lies at its path; none where nothing does.
fn compare(root: &Path, entry: &Entry) -> Option<String> {
    let path = place(root, entry.path.as_bytes());
    if entry.kind == EntryKind::HardLink {
        let first = place(root, entry.link.as_deref()?);
        return match (inode::number(&path), inode::number(&first)) {
            (Ok(own), Ok(other)) if own == other => None,
            (Ok(_), Ok(_)) => Some("is not a hard link to its first name".to_owned()),
            (Err(error), _) | (_, Err(error)) => Some(error.to_string()),
        };
    }
    match inode::compare(&path, entry) {
        Ok(None) => {}
        Ok(different) => return different,
        Err(error) => return Some(error.to_string()),
    }
    let wanted = entry.content?;
    match File::open(&path).and_then(|file| content(entry, file)) {
        Ok(found) if found == wanted => None,
        Ok(_) => Some("content differs".to_owned()),
        Err(error) => Some(format!("reading it: {error}")),
    }
}

/// The content hash of what should be the content of `entry`.
///
/// # Errors
/// When it cannot be read.
pub fn content(entry: &Entry, mut file: impl Read) -> std::io::Result<vault::Digest> {
    let mut hasher = entry.content_hasher();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
