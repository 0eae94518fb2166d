//! Whatever snapshots come and go, and wherever prunes are cut: nothing that is named is ever removed, nothing is
//! removed before its grace is over, and in the end nothing is left over. In memory, with objects that hold nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use vault::{
    CatalogueRef, Contents, Digest, Error, Identities, InitOptions, Lock, ManifestName, Named, NewObject, Prune, RunId,
    RunRef, SegmentRef, Store, Totals, Vault,
};

const GRACE: u64 = 100;

/// Objects in a map; changes beyond `left` fail.
#[derive(Debug, Default, Clone)]
struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    left: Option<usize>,
}

impl Memory {
    fn change<T>(&self, name: &str, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> vault::Result<T> {
        let mut inner = self.0.lock().unwrap();
        if let Some(left) = &mut inner.left {
            let source = io::Error::other("cut");
            *left = left.checked_sub(1).ok_or(Error::Io { doing: "changing", object: name.into(), source })?;
        }
        Ok(change(&mut inner.objects))
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().objects.keys().cloned().collect()
    }

    fn get(&self, name: &str) -> vault::Result<Vec<u8>> {
        let found = self.0.lock().unwrap().objects.get(name).cloned();
        found.ok_or_else(|| Error::NotFound { object: name.into() })
    }
}

struct Object(Memory, Vec<u8>);

impl Write for Object {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject for Object {
    fn commit(self: Box<Self>, name: &str) -> vault::Result<()> {
        let Object(memory, bytes) = *self;
        memory.change(name, |objects| assert!(objects.insert(name.to_owned(), bytes).is_none(), "{name} is new"))
    }
}

impl Store for Memory {
    fn read(&self, name: &str, _: u64) -> vault::Result<Vec<u8>> {
        self.get(name)
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.get(name)?)))
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        Ok(self.get(name)?.len() as u64)
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        Ok(self.names().into_iter().filter(|name| name.starts_with(&format!("{prefix}/"))).collect())
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        Ok(Box::new(Object(self.clone(), Vec::new())))
    }
    fn sync(&self) -> vault::Result<()> {
        Ok(())
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        let removed = self.change(name, |objects| objects.remove(name))?;
        removed.map(drop).ok_or_else(|| Error::NotFound { object: name.into() })
    }
    fn append(&self, name: &str, _: &[u8]) -> vault::Result<()> {
        Err(Error::NotFound { object: name.into() })
    }
    fn lock(&self) -> vault::Result<Lock> {
        Err(Error::Locked { object: "lock".into() })
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A run stores some segments and names these, of which some are there already.
    Snapshot(BTreeSet<u8>),
    /// A prune, so much later, that removes the snapshots picked (never the last), cut after so many changes.
    Prune { later: u64, picked: u64, cut: Option<usize> },
}

fn event() -> impl Strategy<Value = Event> {
    let cut = prop_oneof![2 => Just(None), 1 => (0..12usize).prop_map(Some)];
    prop_oneof![
        proptest::collection::btree_set(0..12u8, 1..5).prop_map(Event::Snapshot),
        (1..150u64, any::<u64>(), cut).prop_map(|(later, picked, cut)| Event::Prune { later, picked, cut }),
    ]
}

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

fn run_of(number: u8) -> RunId {
    format!("{:032x}", number / 4).try_into().unwrap()
}

fn contents(serial: u64, named: &BTreeSet<u8>) -> Contents {
    let segment = |number: &u8| {
        let sha256 = digest(*number);
        SegmentRef { run: run_of(*number), number: (*number).into(), sha256, size: 1, opened: 1 }
    };
    let run = |id: RunId| RunRef { id, key_sha256: digest(0), key_size: 1 };
    let runs: BTreeSet<RunId> = named.iter().map(|number| run_of(*number)).collect();
    let object = format!("catalogues/host/{serial}");
    let catalogue = CatalogueRef { object, run: run_of(0), sha256: digest(0), size: 1, opened: 1 };
    let segments = named.iter().map(segment).collect();
    Contents {
        runs: runs.into_iter().map(run).collect(),
        segments,
        catalogue,
        private: Vec::new(),
        totals: Totals::default(),
    }
}

fn needs(contents: &Contents) -> BTreeSet<String> {
    let keys = contents.runs.iter().map(|run| run.id.key_name());
    contents.segments.iter().map(SegmentRef::object).chain(keys).chain([contents.catalogue.object.clone()]).collect()
}

/// A vault and what a bystander sees of it.
struct World {
    memory: Memory,
    vault: Vault,
    now: u64,
    serial: u64,
    /// When each object was last named by a manifest.
    named_at: HashMap<String, u64>,
}

impl World {
    fn new() -> Self {
        let memory = Memory::default();
        let options = InitOptions::new(Identities::generate().recipients());
        let vault = Vault::init(Arc::new(memory.clone()), &options).unwrap();
        World { memory, vault, now: 1000, serial: 0, named_at: HashMap::new() }
    }

    fn snapshots(&self) -> Vec<(ManifestName, Contents)> {
        let read = |name: ManifestName| {
            let contents = serde_json::from_slice(&self.vault.manifest_named(&name).unwrap().0).unwrap();
            (name, contents)
        };
        self.vault.manifest_names().unwrap().into_iter().map(read).collect()
    }

    fn look(&mut self) {
        for (_, contents) in self.snapshots() {
            self.named_at.extend(needs(&contents).into_iter().map(|object| (object, self.now)));
        }
    }

    fn snapshot(&mut self, named: &BTreeSet<u8>) {
        self.serial += 1;
        let contents = contents(self.serial, named);
        for object in needs(&contents).difference(&self.memory.names()) {
            self.vault.store().write_new(object, b"x").unwrap();
        }
        self.vault.put_manifest("host", self.serial, &serde_json::to_vec(&contents).unwrap(), b"s").unwrap();
        self.look();
    }

    fn prune(&mut self, later: u64, picked: u64, grace: u64, cut: Option<usize>) {
        self.now += later;
        self.look();
        let all = self.snapshots();
        let goes = |at: usize| at + 1 < all.len() && picked >> (at % 64) & 1 == 1;
        let named: Vec<_> = all.iter().map(|(name, contents)| Named { name: name.clone(), contents }).collect();
        let (remove, keep): (Vec<_>, Vec<_>) = named.into_iter().enumerate().partition(|(at, _)| goes(*at));
        let strip = |list: Vec<(usize, _)>| list.into_iter().map(|(_, named)| named).collect::<Vec<_>>();
        let (keep, remove) = (strip(keep), strip(remove));
        let plan = self.vault.plan_prune(&Prune { keep: &keep, remove: &remove, grace, now: self.now }).unwrap();
        let before = self.memory.names();
        self.memory.0.lock().unwrap().left = cut;
        let done = self.vault.prune(&plan, &());
        self.memory.0.lock().unwrap().left = None;
        assert!(done.is_ok() || cut.is_some(), "{done:?}");
        let after = self.memory.names();
        for (name, contents) in self.snapshots() {
            assert!(needs(&contents).is_subset(&after), "{name:?} lacks something");
        }
        for removed in before.difference(&after).filter(|name| name.starts_with("seg") || name.starts_with("key")) {
            let named = self.named_at.get(removed).copied().unwrap_or(0);
            assert!(named + grace <= self.now, "{removed} was named at {named}, and removed at {}", self.now);
        }
    }
}

proptest! {
    #[test]
    fn nothing_goes_too_early_and_in_the_end_everything_unused_is_gone(
        events in proptest::collection::vec(event(), 1..25),
    ) {
        let mut world = World::new();
        world.snapshot(&BTreeSet::from([0]));
        for event in &events {
            match event {
                Event::Snapshot(named) => world.snapshot(named),
                Event::Prune { later, picked, cut } => world.prune(*later, *picked, GRACE, *cut),
            }
        }
        world.prune(1, u64::MAX, 0, None);
        let left = world.snapshots();
        prop_assert_eq!(left.len(), 1);
        let mut expected = needs(&left[0].1);
        expected.extend([left[0].0.object(), left[0].0.signature(), "vault.json".into()]);
        prop_assert_eq!(world.memory.names(), expected);
    }

    #[test]
    fn two_prunes_a_grace_apart_free_everything(named in proptest::collection::btree_set(0..12u8, 1..9)) {
        let mut world = World::new();
        world.snapshot(&named);
        world.snapshot(&BTreeSet::from([3]));
        world.prune(1, u64::MAX, GRACE, None);
        world.prune(GRACE, u64::MAX, GRACE, None);
        let expected = needs(&world.snapshots()[0].1);
        let left = world.memory.names();
        prop_assert_eq!(left.iter().filter(|name| name.starts_with("segments")).count(), 1);
        prop_assert!(expected.is_subset(&left) && !left.iter().any(|name| name.starts_with("unused")));
    }
}
