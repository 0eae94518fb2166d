//! Removing snapshots, and the objects that no manifest names any more. Plans first, touching nothing; then applies.
//!
//! Nothing here knows keep rules or signatures: the caller says which snapshots stay and which go, and must name every
//! manifest of the vault, of every host. What a manifest that stays names is never touched. Anything that is odd (a
//! listing that fails, a manifest nobody read, an object that is named and not there) ends the plan before anything
//! is removed.
//!
//! **Grace.** An object that is not named waits before it is removed, for somebody may be reading it, and a run that
//! was cut will point to it. How long it has not been named cannot be told from its time: it is written down in an
//! object of its own, `unused/<id>.json`, by the prune that first finds it unnamed. A prune that finds it named drops
//! it from there.
//!
//! **Order.** A cut leaves a vault that verifies, and the next prune finishes: the note of what is unused first;
//! then, for each snapshot, manifest, signature, catalogue (a signature without a manifest is no snapshot; a manifest
//! without a signature would be a broken one); then the objects whose grace is over; old notes last. Of several notes
//! on an object the latest counts.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::contents::Contents;
use crate::error::{Error, Result};
use crate::manifests::ManifestName;
use crate::progress::Progress;
use crate::vault::{SMALL, Vault};

const NOTES: &str = "unused";
const NOTE_VERSION: u32 = 1;
/// Objects that are removed between two looks at the progress.
const BATCH: usize = 256;

/// A manifest that was read, and verified, by the caller.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    /// Where it lies.
    pub name: ManifestName,
    /// What it names.
    pub contents: &'a Contents,
}

/// What is to stay and what is to go. Together, every manifest in the vault.
#[derive(Debug, Clone)]
pub struct Prune<'a> {
    /// Manifests that stay.
    pub keep: &'a [Named<'a>],
    /// Manifests that go.
    pub remove: &'a [Named<'a>],
    /// How long an object must have been unnamed before it is removed, in seconds.
    pub grace: u64,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// An object that no manifest will name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its name in the vault.
    pub object: String,
    /// Its size in bytes.
    pub size: u64,
    /// Since when it has not been named, in seconds since 1970.
    pub since: u64,
}

/// What a prune does, in full. Holds as long as the lock under which it was made.
#[derive(Debug, Clone)]
pub struct PrunePlan {
    /// Manifests that are removed, oldest first, with their signatures and catalogues.
    pub snapshots: Vec<ManifestName>,
    /// Objects that are removed: catalogues of those snapshots, and what was unnamed for longer than the grace time.
    pub objects: Vec<Unused>,
    /// Objects that are removed by a later prune, when their grace is over.
    pub waiting: Vec<Unused>,
    /// The note to be written, and those that it takes the place of.
    note: BTreeMap<String, u64>,
    old_notes: Vec<String>,
}

/// `unused/<id>.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    version: u32,
    /// Object, and since when it has not been named, in seconds since 1970.
    unused: BTreeMap<String, u64>,
}

impl PrunePlan {
    /// Bytes that are free afterwards.
    pub fn freed(&self) -> u64 {
        self.objects.iter().map(|unused| unused.size).sum()
    }

    /// Bytes that are free when the grace of everything is over, beyond [`freed`](Self::freed).
    pub fn freed_later(&self) -> u64 {
        self.waiting.iter().map(|unused| unused.size).sum()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.objects.is_empty()
    }
}

/// Names of every object that a snapshot needs, the manifest and its signature apart.
fn objects_of(contents: &Contents) -> impl Iterator<Item = String> {
    let keys = contents.runs.iter().map(|run| run.id.key_name());
    let segments = contents.segments.iter().map(crate::SegmentRef::object);
    let private = contents.private.iter().map(crate::PrivateRef::object);
    keys.chain(segments).chain(private).chain([contents.catalogue.object.clone()])
}

impl Vault {
    /// Works out what a prune removes. Touches nothing. To be applied, it must be made under [`Vault::lock`].
    ///
    /// # Errors
    /// When anything cannot be listed, a manifest is there that `prune` does not name, or an object is missing that a
    /// manifest which stays names ([`crate::Kind::Corrupt`]).
    pub fn plan_prune(&self, prune: &Prune<'_>) -> Result<PrunePlan> {
        let signatures = self.lone_signatures(prune)?;
        let listed = self.list_objects()?;
        let kept: HashSet<String> = prune.keep.iter().flat_map(|named| objects_of(named.contents)).collect();
        if let Some(missing) = kept.iter().find(|object| !listed.contains(*object)) {
            return Err(Error::corrupt(
                missing,
                "is named by a snapshot that stays, and is missing; nothing was removed",
            ));
        }
        let (noted, old_notes) = self.notes()?;
        let going: HashSet<String> = prune.remove.iter().flat_map(|named| objects_of(named.contents)).collect();
        let catalogues: HashSet<&String> = prune.remove.iter().map(|named| &named.contents.catalogue.object).collect();
        let mut plan =
            PrunePlan { snapshots: Vec::new(), objects: vec![], waiting: vec![], note: BTreeMap::new(), old_notes };
        plan.snapshots.extend(prune.remove.iter().map(|named| named.name.clone()));
        plan.snapshots.sort();
        for object in listed.into_iter().chain(signatures).filter(|object| !kept.contains(object)) {
            // Named until now: its grace begins, whatever was noted before it was named again.
            let noted = noted.get(&object).filter(|_| !going.contains(&object));
            let since = noted.copied().unwrap_or(prune.now).min(prune.now);
            let size = self.store.size(&object)?;
            // Without its manifest a catalogue serves nobody, and it is small: it goes at once.
            if catalogues.contains(&object) || since.saturating_add(prune.grace) <= prune.now {
                plan.objects.push(Unused { object, size, since });
            } else {
                plan.note.insert(object.clone(), since);
                plan.waiting.push(Unused { object, size, since });
            }
        }
        plan.objects.sort_by_key(|unused| (rank(&unused.object), unused.object.clone()));
        plan.waiting.sort_by(|a, b| a.object.cmp(&b.object));
        Ok(plan)
    }

    /// Removes what the plan says. The caller holds [`Vault::lock`] since before the plan was made.
    ///
    /// # Errors
    /// When the store fails; the vault then verifies, and another prune goes on from there.
    pub fn prune(&self, plan: &PrunePlan, progress: &dyn Progress) -> Result<()> {
        progress.expect(plan.freed(), plan.objects.len() as u64);
        if !plan.note.is_empty() {
            self.write_note(&plan.note)?;
        }
        for name in &plan.snapshots {
            self.store.remove_all(&[&name.object()])?;
            self.store.remove_all(&[&name.signature()])?;
        }
        // All of one rank before any of the next.
        for rank in plan.objects.chunk_by(|a, b| rank(&a.object) == rank(&b.object)) {
            for batch in rank.chunks(BATCH) {
                let names: Vec<&str> = batch.iter().map(|unused| unused.object.as_str()).collect();
                self.store.remove_all(&names)?;
                progress.advance(batch.iter().map(|unused| unused.size).sum(), batch.len() as u64);
            }
        }
        let notes: Vec<&str> = plan.old_notes.iter().map(String::as_str).collect();
        self.store.remove_all(&notes)
    }

    /// Signatures without a manifest. Refuses manifests that the caller does not name, and names that are none of a
    /// manifest: what nobody has read may name anything.
    fn lone_signatures(&self, prune: &Prune<'_>) -> Result<Vec<String>> {
        let known: HashSet<&ManifestName> = prune.keep.iter().chain(prune.remove).map(|named| &named.name).collect();
        let mut rest = Vec::new();
        for object in self.store.list("manifests")? {
            let json = object.strip_suffix(".sig").unwrap_or(&object);
            match ManifestName::parse(json) {
                Some(name) if known.contains(&name) => {}
                Some(_) if json != object => rest.push(object),
                Some(_) => return Err(Error::corrupt(object, "is a manifest that was not read; nothing was removed")),
                None => return Err(Error::corrupt(object, "is no manifest's name; nothing was removed")),
            }
        }
        Ok(rest)
    }

    /// Objects by their names. What is not named as an object of a vault is not ours, and stays.
    fn list_objects(&self) -> Result<HashSet<String>> {
        let mut listed = HashSet::new();
        for folder in ["segments", "keys", "catalogues"] {
            listed.extend(self.store.list(folder)?.into_iter().filter(|object| is_object(object)));
        }
        Ok(listed)
    }

    /// What earlier prunes noted, and in which objects. A note that cannot be read counts as none: then grace begins
    /// anew.
    fn notes(&self) -> Result<(HashMap<String, u64>, Vec<String>)> {
        let mut noted: HashMap<String, u64> = HashMap::new();
        let objects = self.store.list(NOTES)?;
        for object in &objects {
            let Ok(note) = serde_json::from_slice::<Note>(&self.store.read(object, SMALL)?) else { continue };
            for (object, since) in note.unused {
                let latest = noted.entry(object).or_default();
                *latest = since.max(*latest);
            }
        }
        Ok((noted, objects))
    }

    fn write_note(&self, unused: &BTreeMap<String, u64>) -> Result<()> {
        let mut id = [0; 8];
        crate::seal::random(&mut id)?;
        let object = format!("{NOTES}/{:016x}.json", u64::from_le_bytes(id));
        let note = Note { version: NOTE_VERSION, unused: unused.clone() };
        let text = serde_json::to_vec(&note).map_err(|e| Error::invalid(&object, e.to_string()))?;
        self.store.write_new(&object, &text)
    }
}

/// Catalogues first, keys last: what is opened by a key goes before the key.
fn rank(object: &str) -> u8 {
    match object.split('/').next() {
        Some("keys") => 2,
        Some("segments") => 1,
        _ => 0,
    }
}

/// Whether this is how a segment, a key or a catalogue is named.
fn is_object(name: &str) -> bool {
    let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("segments"), Some(folder), Some(digest), None) => hex(digest, 64) && digest.get(..2) == Some(folder),
        (Some("keys"), Some(key), None, None) => key.strip_suffix(".age").is_some_and(|run| hex(run, 32)),
        (Some("catalogues"), Some(host), Some(serial), None) => {
            ManifestName::parse(&format!("manifests/{host}/{serial}.json")).is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_an_object_is_ever_a_candidate() {
        let digest = "ab".repeat(32);
        for ours in [format!("segments/ab/{digest}"), format!("keys/{}.age", "0".repeat(32)), "catalogues/h/7.1".into()]
        {
            assert!(is_object(&ours), "{ours}");
        }
        let strange = [
            format!("segments/cd/{digest}"),
            format!("segments/{digest}"),
            "keys/mine.age".into(),
            "catalogues/h/7.old".into(),
            "catalogues/h/x/7".into(),
        ];
        for other in strange {
            assert!(!is_object(&other), "{other}");
        }
    }
}
