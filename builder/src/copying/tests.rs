//! A copy is cut at every operation on the target, one after the other.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use manifest::Signer;
use vault::{FolderStore, Holder, Identities, InitOptions, Lock, NewObject, Store, Vault};

use super::*;
use crate::commands::Context;
use crate::config::Config;
use crate::description;
use crate::hooks::Hooks;
use crate::identity::Recovered;
use crate::snapshot::{self, Subject};
use crate::state::State;

/// A store that fails from some operation on: the line or the stick is gone.
#[derive(Clone, Debug)]
struct Cut {
    inner: FolderStore,
    left: Arc<AtomicI64>,
}

impl Cut {
    fn after(folder: &Path, operations: i64) -> Self {
        Self { inner: FolderStore::new(folder), left: Arc::new(AtomicI64::new(operations)) }
    }

    fn tick(&self) -> vault::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(vault::Error::Io { doing: "reaching", object: "target".into(), source: io::Error::other("cut") })
    }
}

struct CutObject(Box<dyn NewObject>, Cut);

impl Write for CutObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.tick().map_err(io::Error::other)?;
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewObject for CutObject {
    fn commit(self: Box<Self>, name: &str) -> vault::Result<()> {
        self.1.tick()?;
        self.0.commit(name)
    }
}

impl Store for Cut {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        self.tick()?;
        self.inner.read(name, limit)
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        self.tick()?;
        self.inner.open(name)
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        self.tick()?;
        self.inner.size(name)
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        self.tick()?;
        self.inner.list(prefix)
    }
    fn list_sizes(&self, prefix: &str) -> vault::Result<Vec<(String, u64)>> {
        self.tick()?;
        self.inner.list_sizes(prefix)
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        self.tick()?;
        Ok(Box::new(CutObject(self.inner.create()?, self.clone())))
    }
    fn sync(&self) -> vault::Result<()> {
        self.tick()?;
        self.inner.sync()
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        self.tick()?;
        self.inner.remove(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> vault::Result<()> {
        self.tick()?;
        self.inner.append(name, bytes)
    }
    fn lock(&self) -> vault::Result<Lock> {
        self.inner.lock()
    }
}

/// A vault with two small snapshots, ready to be copied.
fn source(folder: &Path) -> Opened {
    let context = Context {
        config: Config { version: 1, host_name: Some("node".into()), ..Config::default() },
        state: State::at(folder.join("state")),
        json: false,
        storage: Default::default(),
    };
    let host: HostName = "node".parse().unwrap();
    let key = context.state.host_key_or_new(&host).unwrap();
    let mut options = InitOptions::new(Vec::new());
    (options.segment_size, options.block_size) = (64 << 10, 16 << 10);
    let holders = Identities::generate().recipients().into_iter().map(Holder::from).collect();
    let recovered = Recovered { holders, ..Recovered::default() };
    let store = Arc::new(FolderStore::new(folder.join("vault")));
    let vault = description::init(&context.state, store, &key, &recovered, &options).unwrap();
    std::fs::create_dir(folder.join("tree")).unwrap();
    for at in 0..2 {
        std::fs::write(folder.join(format!("tree/{at}")), vec![at; 20_000]).unwrap();
        let root = folder.join("tree");
        let subject = || {
            Ok(Subject {
                root,
                streams: Vec::new(),
                nothing: None,
                cross: Vec::new(),
                exclude: Vec::new(),
                private: Vec::new(),
                host: None,
                problems: Vec::new(),
                manner: snapshot::Manner::default(),
                still: None,
                aside: Default::default(),
            })
        };
        let hooks = Hooks::new(&context, "vault".into(), true).unwrap();
        snapshot::take(&context, &vault, &hooks, subject, Vec::new()).unwrap();
    }
    Opened::with(vault, host, vec![key.public().into()], folder.join("vault").into())
}

fn copy(from: &Opened, store: Arc<dyn Store>, to: &Path) -> anyhow::Result<Done> {
    let _lock = store.lock()?;
    let known = |from: &Opened| from.serials()?.into_iter().map(|serial| from.manifest(serial)).collect();
    let mut plan = plan(from, std::slice::from_ref(&from.host), &Pick::All, store, &to.to_owned().into(), known)?;
    apply(&mut plan, from, 1, false, &())
}

/// Every snapshot that is there must be whole.
fn assert_sound(folder: &Path, host: &HostName, trusted: &[Signer]) -> usize {
    let Ok(vault) = Vault::open(Arc::new(FolderStore::new(folder))) else { return 0 };
    let opened = Opened::with(vault, host.clone(), trusted.to_vec(), folder.to_owned().into());
    let serials = opened.serials().unwrap();
    for serial in &serials {
        let manifest = opened.manifest(*serial).unwrap();
        assert_eq!(opened.vault.check_sealed(&manifest.contents, &()).unwrap(), []);
    }
    serials.len()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let store = FolderStore::new(folder);
    let folders = ["keys", "segments", "catalogues", "manifests", "audit", "identities"];
    let names = folders
        .iter()
        .flat_map(|folder| store.list(folder).unwrap())
        .chain(["vault.json", "vault.json.sig"].map(str::to_owned));
    names.map(|name| (name.clone(), store.read(&name, u64::MAX).unwrap())).collect()
}

#[test]
fn a_copy_that_is_cut_anywhere_leaves_whole_snapshots_and_the_next_one_completes_it() {
    let folder = tempfile::tempdir().unwrap();
    let from = source(folder.path());
    let wanted = files(&folder.path().join("vault"));
    let mut seen = [false; 3];
    for operations in 0.. {
        let to = folder.path().join(format!("copy{operations}"));
        std::fs::create_dir(&to).unwrap();
        let whole = copy(&from, Arc::new(Cut::after(&to, operations)), &to).is_ok();
        seen[assert_sound(&to, &from.host, from.trusted())] = true;
        copy(&from, Arc::new(FolderStore::new(&to)), &to).unwrap();
        assert_eq!(files(&to), wanted, "cut after {operations} operations");
        std::fs::remove_dir_all(&to).unwrap();
        if whole {
            assert!(operations > 40, "{operations}");
            break;
        }
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn an_amended_manifest_takes_the_place_of_the_first_and_never_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let from = source(folder.path());
    let to = folder.path().join("copy");
    std::fs::create_dir(&to).unwrap();
    let store = FolderStore::new(&to);
    copy(&from, Arc::new(store.clone()), &to).unwrap();
    let old = files(&folder.path().join("vault"));
    // Amending signs the snapshot's manifest anew, under a name with a revision, and removes the first.
    let key = State::at(folder.path().join("state")).host_key().unwrap();
    let mut amended: Manifest = (*from.manifest(Serial(2)).unwrap()).clone();
    amended.tool = "amended".into();
    let (json, signature) = manifest::seal(&amended, &key).unwrap();
    let original = FolderStore::new(folder.path().join("vault"));
    for (name, bytes) in [("manifests/node/2.1.json", &json), ("manifests/node/2.1.json.sig", &signature)] {
        store.write_new(name, bytes).unwrap();
    }
    store.remove("manifests/node/2.json").unwrap();
    store.remove("manifests/node/2.json.sig").unwrap();
    let before = files(&to);
    copy(&from, Arc::new(store.clone()), &to).unwrap();
    assert_eq!(files(&to), before, "the older manifest came back");
    for name in ["manifests/node/2.json", "manifests/node/2.json.sig"] {
        assert!(old.contains_key(name));
        assert!(original.size(name).is_ok());
    }
}
