//! A run that is cut at every single operation on its store, in every way that a medium can fail: what was signed before stays
//! whole, and the next run goes through and takes up what was finished.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tree::{Scratch, describe, noise, small_vault};
use vault::{Backup, Contents, FolderStore, Identities, Lock, NewObject, Restore, Store, Vault};

/// How a medium fails at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// It does not happen, and nothing after it. An append leaves half a line.
    Before,
    /// It happens, its success is not seen any more, and nothing happens after it.
    After,
    /// As `After`, and names that were given since the last sync are lost.
    Unsynced,
    /// It alone does not happen.
    Once,
}

/// A folder on a medium that fails at one operation.
#[derive(Debug)]
struct Medium {
    inner: FolderStore,
    cut: Cut,
    /// Operations until it fails.
    left: AtomicU64,
    unsynced: Mutex<Vec<String>>,
}

/// What becomes of one operation.
enum Fate {
    Done,
    Refused,
    DoneUnseen,
}

impl Medium {
    fn new(folder: &Path, cut: Cut, left: u64) -> Arc<Self> {
        let inner = FolderStore::new(folder);
        Arc::new(Medium { inner, cut, left: AtomicU64::new(left), unsynced: Mutex::default() })
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn fate(&self) -> Fate {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (before, self.cut) {
            (Ok(1), Cut::Before | Cut::Once) => Fate::Refused,
            (Ok(1), Cut::After | Cut::Unsynced) => Fate::DoneUnseen,
            (Ok(_), _) | (Err(_), Cut::Once) => Fate::Done,
            (Err(_), _) => Fate::Refused,
        }
    }

    /// Does `work`, unless the medium fails now or has failed.
    fn step<T>(&self, work: impl FnOnce() -> vault::Result<T>) -> vault::Result<T> {
        match self.fate() {
            Fate::Done => work(),
            Fate::Refused => Err(gone()),
            Fate::DoneUnseen => {
                work()?;
                if self.cut == Cut::Unsynced {
                    for name in self.unsynced.lock().unwrap().drain(..) {
                        self.inner.remove(&name)?;
                    }
                }
                Err(gone())
            }
        }
    }
}

fn gone() -> vault::Error {
    vault::Error::Io { doing: "using", object: "the medium".into(), source: io::ErrorKind::Other.into() }
}

struct MediumObject {
    medium: Arc<Medium>,
    inner: Box<dyn NewObject>,
}

impl Write for MediumObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let MediumObject { medium, inner } = self;
        let written = medium.step(|| Ok(inner.write(bytes)));
        written.map_err(io::Error::other)?
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl NewObject for MediumObject {
    fn commit(self: Box<Self>, name: &str) -> vault::Result<()> {
        let MediumObject { medium, inner } = *self;
        medium.step(|| {
            inner.commit(name)?;
            medium.unsynced.lock().unwrap().push(name.to_owned());
            Ok(())
        })
    }
}

/// The store needs an owner that its objects can share.
#[derive(Debug)]
struct Shared(Arc<Medium>);

impl Store for Shared {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        self.0.step(|| self.0.inner.read(name, limit))
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        self.0.step(|| self.0.inner.open(name))
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        self.0.step(|| self.0.inner.size(name))
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        self.0.step(|| self.0.inner.list(prefix))
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        let inner = self.0.step(|| self.0.inner.create())?;
        Ok(Box::new(MediumObject { medium: self.0.clone(), inner }))
    }
    fn sync(&self) -> vault::Result<()> {
        self.0.step(|| {
            self.0.inner.sync()?;
            self.0.unsynced.lock().unwrap().clear();
            Ok(())
        })
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        self.0.step(|| self.0.inner.remove(name))
    }
    fn append(&self, name: &str, bytes: &[u8]) -> vault::Result<()> {
        let appended = self.0.step(|| self.0.inner.append(name, bytes));
        if appended.is_err() && self.0.cut == Cut::Before {
            self.0.inner.append(name, &bytes[..bytes.len() / 2])?;
        }
        appended
    }
    fn lock(&self) -> vault::Result<Lock> {
        self.0.step(|| self.0.inner.lock())
    }
}

type Listing = BTreeMap<Vec<u8>, String>;

/// A vault with one snapshot, a source that has changed since, and a state folder, to be copied for every cut.
struct Scene {
    scratch: Scratch,
    identities: Identities,
    first: Contents,
    before: Listing,
    now: Listing,
    /// Bytes that the second run adds when nothing cuts it.
    added: u64,
}

/// The whole of a run, as the command does it: lock, backup, manifest, audit line.
fn run(vault: &Vault, source: &Path, cache: &Path) -> vault::Result<Contents> {
    let _lock = vault.lock()?;
    let serial = vault.serials("host")?.last().map_or(1, |last| last + 1);
    let mut backup = Backup::new(source, "host", serial);
    backup.cache = Some(cache.to_owned());
    let done = vault.backup(&backup)?;
    assert_eq!(done.problems, []);
    let json = serde_json::to_vec(&done.contents).unwrap();
    vault.put_manifest("host", serial, &json, b"signature")?;
    vault.audit_append("host", &format!("snapshot {serial} {}", "x".repeat(30)))?;
    Ok(done.contents)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

impl Scene {
    fn new() -> Self {
        let scratch = Scratch::new();
        let source = scratch.folder("source");
        fs::write(source.join("large"), noise(300_000, 1)).unwrap();
        for at in 0..4 {
            fs::write(source.join(format!("f{at}")), noise(60_000, at)).unwrap();
        }
        std::os::unix::fs::symlink("f0", source.join("link")).unwrap();
        fs::hard_link(source.join("f1"), source.join("same")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let (vault, identities) = small_vault(&scratch.path("vault"));
        let first = run(&vault, &source, &scratch.path("cache")).unwrap();
        let before = describe(&source);
        for at in 0..6 {
            fs::write(source.join(format!("g{at}")), noise(90_000, 100 + at)).unwrap();
        }
        fs::write(source.join("large"), [noise(300_000, 1), noise(200_000, 2)].concat()).unwrap();
        fs::remove_file(source.join("link")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let now = describe(&source);
        let mut scene = Scene { scratch, identities, first, before, now, added: 0 };
        let (folder, cache) = scene.fresh_copy();
        let vault = Vault::open(Arc::new(FolderStore::new(folder))).unwrap();
        scene.added = run(&vault, &source, &cache).unwrap().totals.added;
        scene
    }

    fn fresh_copy(&self) -> (PathBuf, PathBuf) {
        let (folder, cache) = (self.scratch.path("cut"), self.scratch.path("cut-cache"));
        copy(&self.scratch.path("vault"), &folder);
        copy(&self.scratch.path("cache"), &cache);
        (folder, cache)
    }

    fn restored(&self, vault: &Vault, contents: &Contents) -> Listing {
        let dest = self.scratch.path("dest");
        let _ = fs::remove_dir_all(&dest);
        fs::create_dir(&dest).unwrap();
        assert_eq!(vault.restore(&Restore::new(contents, &self.identities, &dest)).unwrap().problems, []);
        describe(&dest)
    }

    /// Every snapshot that has a manifest is whole, and the first is still what it was.
    fn sound(&self, vault: &Vault) {
        for serial in vault.serials("host").unwrap() {
            let (json, signature) = vault.manifest("host", serial).unwrap();
            assert_eq!(signature, b"signature");
            let contents: Contents = serde_json::from_slice(&json).unwrap();
            assert_eq!(vault.check_sealed(&contents, &()).unwrap(), []);
            assert_eq!(vault.check_data(&contents, &self.identities, &()).unwrap(), []);
        }
        assert!(self.restored(vault, &self.first) == self.before);
    }

    /// Cuts a run at operation `at` and lets the next one finish. Returns how many bytes that one added; `None` when the first
    /// was done before that many operations.
    fn cut(&self, cut: Cut, at: u64) -> Option<u64> {
        let (folder, cache) = self.fresh_copy();
        let source = self.scratch.path("source");
        // Opening comes before, so that what is counted is the run.
        let medium = Medium::new(&folder, cut, u64::MAX);
        let vault = Vault::open(Arc::new(Shared(medium.clone()))).unwrap();
        medium.left.store(at, Ordering::SeqCst);
        let result = run(&vault, &source, &cache);
        if !medium.has_failed() {
            result.unwrap();
            return None;
        }
        assert!(result.is_err(), "{cut:?} at {at}: the failure was not noticed");
        drop(vault);

        let clean = Vault::open(Arc::new(FolderStore::new(&folder))).unwrap();
        self.sound(&clean);
        let next = run(&clean, &source, &cache).unwrap_or_else(|error| panic!("{cut:?} at {at}: {error}"));
        assert!(self.restored(&clean, &next) == self.now, "{cut:?} at {at}");
        assert_eq!(clean.check_data(&next, &self.identities, &()).unwrap(), []);
        let audit = String::from_utf8(clean.audit("host").unwrap()).unwrap();
        assert!(audit.lines().all(|line| line.ends_with('x')), "{cut:?} at {at}: {audit}");
        Some(next.totals.added)
    }

    fn cut_everywhere(&self, cut: Cut) {
        let mut added = Vec::new();
        while let Some(bytes) = self.cut(cut, added.len() as u64 + 1) {
            added.push(bytes);
        }
        assert!(added.len() > 25, "a run is more than {} operations", added.len());
        assert_eq!(added[0], self.added);
        // With the manifest the only thing missing, there is nothing left to store; half way, less than all of it, unless
        // power fails before the first sync.
        let late = &added[added.len() - 4..];
        assert!(late.iter().all(|bytes| *bytes == 0), "{late:?}");
        let some = added.iter().any(|bytes| (1..self.added).contains(bytes));
        assert!(some || cut == Cut::Unsynced, "{added:?}");
    }
}

#[test]
fn a_run_whose_medium_vanishes_at_any_operation_costs_nothing_that_was_there() {
    Scene::new().cut_everywhere(Cut::Before);
}

#[test]
fn a_run_that_is_killed_after_any_operation_costs_nothing_that_was_there() {
    Scene::new().cut_everywhere(Cut::After);
}

#[test]
fn a_run_whose_power_fails_and_unsynced_names_are_lost_costs_nothing_that_was_there() {
    Scene::new().cut_everywhere(Cut::Unsynced);
}

#[test]
fn a_run_with_one_failing_operation_ends_with_an_error_and_costs_nothing_that_was_there() {
    Scene::new().cut_everywhere(Cut::Once);
}
