//! Copying snapshots to another vault, object by object, without a key.
//!
//! Every object is hashed on its way and gets its name on the other side only when size and SHA-256 are the signed ones. What is there with
//! the right size is not copied again, so a copy that was cut goes on where it was. The manifest goes last, its signature right before it: until
//! then the other vault is what it was. Whether a manifest may be believed is for the caller to know.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::contents::{Contents, Digest};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::store::Store;
use crate::vault::{SMALL, Vault};
use crate::verify::{Fault, check_object};

/// Folders of objects that a snapshot is made of.
const FOLDERS: &[&str] = &["keys", "segments", "catalogues"];
/// Bytes that are carried at a time.
const BUFFER: usize = 1 << 20;

/// One object of a snapshot: what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name in the vault.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the object.
    pub sha256: Digest,
}

impl Contents {
    /// Every object that the snapshot needs: keys, segments, private parts, catalogue.
    pub fn parts(&self) -> Vec<Part> {
        let keys =
            self.runs.iter().map(|run| Part { name: run.id.key_name(), size: run.key_size, sha256: run.key_sha256 });
        let segments = self.segments.iter();
        let segments = segments.map(|one| Part { name: one.object(), size: one.size, sha256: one.sha256 });
        let catalogue = &self.catalogue;
        let catalogue = Part { name: catalogue.object.clone(), size: catalogue.size, sha256: catalogue.sha256 };
        let private = self.private.iter();
        let private = private.map(|one| Part { name: one.object(), size: one.size, sha256: one.sha256 });
        keys.chain(segments).chain(private).chain([catalogue]).collect()
    }
}

/// What a copy has to carry for one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyPlan {
    /// Not there yet.
    pub missing: Vec<Part>,
    /// There, but of another size: damaged or cut.
    pub damaged: Vec<Part>,
    /// There, with the right size.
    pub present: Vec<Part>,
}

impl CopyPlan {
    /// Bytes that have to be carried.
    pub fn bytes(&self) -> u64 {
        self.missing.iter().chain(&self.damaged).map(|part| part.size).sum()
    }
}

/// The vault that is copied to, and what it holds.
#[derive(Clone, Debug)]
pub struct CopyTarget {
    store: Arc<dyn Store>,
    held: HashMap<String, u64>,
}

impl CopyTarget {
    /// Lists what `store` holds.
    pub fn look(store: Arc<dyn Store>) -> Result<Self> {
        let mut held = HashMap::new();
        for folder in FOLDERS {
            held.extend(store.list_sizes(folder)?);
        }
        Ok(CopyTarget { store, held })
    }

    /// What of a snapshot is missing here. Nothing is read or written.
    pub fn plan(&self, contents: &Contents) -> CopyPlan {
        let mut plan = CopyPlan::default();
        for part in contents.parts() {
            match self.held.get(&part.name) {
                None => plan.missing.push(part),
                Some(size) if *size == part.size => plan.present.push(part),
                Some(_) => plan.damaged.push(part),
            }
        }
        plan
    }

    /// Takes what `plan` carries for granted, so that the next snapshot's plan does not carry it again.
    pub fn count(&mut self, plan: &CopyPlan) {
        self.held.extend(plan.missing.iter().chain(&plan.damaged).map(|part| (part.name.clone(), part.size)));
    }

    /// Carries what `plan` says, with `jobs` objects at a time, and makes it durable. The first error stops it; whatever is complete stays.
    ///
    /// # Errors
    /// [`crate::Kind::Corrupt`] when an object is not as signed where it comes from; nothing of it is stored.
    pub fn carry(&mut self, from: &Vault, plan: &CopyPlan, jobs: usize, progress: &dyn Progress) -> Result<()> {
        for part in &plan.damaged {
            self.store.remove(&part.name)?;
        }
        let parts: Vec<&Part> = plan.missing.iter().chain(&plan.damaged).collect();
        let (from, to) = (from.store.as_ref(), self.store.as_ref());
        side_by_side(&parts, jobs, &|part| carry_one(from, to, part, progress))?;
        self.store.sync()?;
        self.count(plan);
        Ok(())
    }

    /// Reads objects back and compares them with what was signed; those that differ are no longer counted as held.
    pub fn check(&mut self, parts: &[Part], jobs: usize, progress: &dyn Progress) -> Result<Vec<Fault>> {
        let faults = Mutex::new(Vec::new());
        let store = self.store.as_ref();
        let all: Vec<&Part> = parts.iter().collect();
        side_by_side(&all, jobs, &|part| {
            if let Err(error) = check_object(store, &part.name, part.size, &part.sha256) {
                faults.lock().unwrap_or_else(PoisonError::into_inner).push(Fault::new(&part.name, &error, Vec::new()));
            }
            progress.advance(part.size, 0);
            Ok(())
        })?;
        let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
        faults.sort_by(|a, b| a.object.cmp(&b.object));
        for fault in &faults {
            // A size that no object has, so that the next plan carries it again.
            self.held.entry(fault.object.clone()).and_modify(|size| *size = u64::MAX);
        }
        Ok(faults)
    }

    /// Puts a signed document under its name, the signature (`<name>.sig`) first. What a cut left of it is put right.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when another document has the name.
    pub fn put_signed(&self, name: &str, document: &[u8], signature: &[u8]) -> Result<()> {
        let store = self.store.as_ref();
        let beside = format!("{name}.sig");
        match found(store, name)? {
            Some(other) if other != document => return Err(Error::invalid(name, "holds something else already")),
            there => {
                if found(store, &beside)?.is_none_or(|other| other != signature) {
                    put_again(store, &beside, signature)?;
                }
                if there.is_none() {
                    store.write_new(name, document)?;
                }
            }
        }
        Ok(())
    }
}

/// The whole object; none when it is not there.
pub(crate) fn found(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>> {
    match store.read(name, SMALL) {
        Err(Error::NotFound { object }) if object == name => Ok(None),
        other => other.map(Some),
    }
}

/// Writes an object that may be there with other content.
fn put_again(store: &dyn Store, name: &str, bytes: &[u8]) -> Result<()> {
    match store.remove(name) {
        Err(Error::NotFound { .. }) | Ok(()) => store.write_new(name, bytes),
        other => other,
    }
}

/// Runs `work` over all parts on `jobs` threads; the first error ends it.
fn side_by_side(parts: &[&Part], jobs: usize, work: &(dyn Fn(&Part) -> Result<()> + Sync)) -> Result<()> {
    let (next, stop, first) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, parts.len().max(1)) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    if let Err(error) = work(part) {
                        stop.store(true, Ordering::Relaxed);
                        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Carries one object; it gets its name only when it is what was signed.
fn carry_one(from: &dyn Store, to: &dyn Store, part: &Part, progress: &dyn Progress) -> Result<()> {
    use sha2::Digest as _;
    let name = &part.name;
    let mut input = from.open(name)?.take(part.size.saturating_add(1));
    let mut output = to.create()?;
    let (mut hasher, mut size) = (sha2::Sha256::new(), 0);
    let mut buffer = vec![0; BUFFER.min(part.size as usize + 1)];
    loop {
        let n = input.read(&mut buffer).map_err(|error| Error::io("reading", name, error))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
        output.write_all(&buffer[..n]).map_err(|error| Error::io("writing", name, error))?;
        progress.advance(n as u64, 0);
    }
    if size != part.size || Digest(hasher.finalize().into()) != part.sha256 {
        return Err(Error::corrupt(
            name,
            "differs from what was signed where it is copied from; nothing of it was stored",
        ));
    }
    output.commit(name)
}
