//! 100,000 single bits of a vault are flipped, one at a time: every bit of every small object, and of the segments as many as are
//! left. Each must be found by what `lifeboat verify` is made of, in memory, without an identity where that suffices.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use manifest::{
    AuditLog, Consistency, Digest, FORMAT, HostKey, Manifest, Scope, Serial, Signer, Source, Unverified, Verified,
    check_description, sign_description,
};
use vault::{
    Backup, Contents, Description, Error, FolderStore, Holder, Identities, InitOptions, Lock, NewObject, Store, Vault,
};

const HOST: &str = "node";
const FLIPS: usize = 100_000;

/// A vault in memory with one object changed. It can only be read.
#[derive(Debug)]
struct Changed {
    objects: Arc<BTreeMap<String, Vec<u8>>>,
    name: String,
    bytes: Vec<u8>,
}

impl Changed {
    fn get(&self, name: &str) -> vault::Result<&[u8]> {
        if name == self.name {
            return Ok(&self.bytes);
        }
        self.objects.get(name).map(Vec::as_slice).ok_or_else(|| Error::NotFound { object: name.into() })
    }
}

impl Store for Changed {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        match self.get(name)? {
            bytes if bytes.len() as u64 > limit => {
                Err(Error::Corrupt { object: name.into(), what: "too large".into() })
            }
            bytes => Ok(bytes.to_vec()),
        }
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.get(name)?.to_vec())))
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        self.get(name).map(|bytes| bytes.len() as u64)
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        Ok(self.objects.keys().filter(|name| name.starts_with(&format!("{prefix}/"))).cloned().collect())
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        Err(Error::NoSpace { object: "this vault".into() })
    }
    fn sync(&self) -> vault::Result<()> {
        Ok(())
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        Err(Error::NoSpace { object: name.into() })
    }
    fn append(&self, name: &str, _: &[u8]) -> vault::Result<()> {
        Err(Error::NoSpace { object: name.into() })
    }
    fn lock(&self) -> vault::Result<Lock> {
        Err(Error::Locked { object: "lock".into() })
    }
}

/// A small vault, and what its host remembers of it.
struct Site {
    objects: Arc<BTreeMap<String, Vec<u8>>>,
    key: HostKey,
    identities: Identities,
    audit_head: Digest,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("folder")).unwrap();
        for at in 0..12_u8 {
            let bytes: Vec<u8> =
                (0..2000).map(|n| Digest::of(&[at, n as u8, (n >> 8) as u8]).to_string().as_bytes()[0]).collect();
            fs::write(source.join(format!("folder/file{at}")), bytes).unwrap();
        }
        fs::write(source.join("large"), vec![7; 40_000]).unwrap();
        let identities = Identities::generate();
        let mut options = InitOptions::new(identities.recipients());
        (options.segment_size, options.block_size) = (16 << 10, 4 << 10);
        let key = HostKey::generate(HOST).unwrap();
        let holders = identities.recipients().into_iter().map(Holder::from).collect();
        let description = Description::first(&options, holders, "2023-11-14T22:13:20Z".into()).unwrap();
        let signature = sign_description(&key, &description.to_bytes().unwrap()).unwrap();
        let store = Arc::new(FolderStore::new(folder.path().join("vault")));
        let vault = Vault::init_described(store, &description, Some(&signature)).unwrap();
        let mut log = AuditLog::verify("", &[key.public()]).unwrap();
        for (operation, detail) in [("init", "vault"), ("backup", "snapshot 1")] {
            if operation == "backup" {
                back_up(&vault, &source, &key);
            }
            vault.audit_append(HOST, log.next(operation, detail, 0, &key).unwrap().trim_end()).unwrap();
            log = AuditLog::verify(vault.audit(HOST).unwrap(), &[key.public()]).unwrap();
        }
        let objects = objects_of(&folder.path().join("vault"));
        Self { objects: Arc::new(objects), key, identities, audit_head: log.head().clone() }
    }

    /// What is wrong with the vault when `name` holds `bytes`; `None` when nothing is found.
    fn fault(&self, name: &str, bytes: Vec<u8>) -> Option<String> {
        let store = Changed { objects: self.objects.clone(), name: name.into(), bytes };
        self.check(Arc::new(store)).err()
    }

    fn check(&self, store: Arc<dyn Store>) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let vault = Vault::open(store).map_err(|e| text(&e))?;
        let (json, signature) = vault.manifest(HOST, 1).map_err(|e| text(&e))?;
        let trusted = [self.key.public()];
        let signed = vault.description_signature().map_err(|e| text(&e))?.ok_or("no signature")?;
        let signers: Vec<Signer> = trusted.iter().cloned().map(Signer::from).collect();
        check_description(&signers, &vault.described().json, &signed, Timestamp::now()).map_err(|e| text(&e))?;
        let manifest: Verified<Manifest<Contents>> =
            Unverified { json: &json, signature: &signature }.verify(&trusted).map_err(|e| text(&e))?;
        if manifest.vault.as_str() != vault.id() {
            return Err("the id".into());
        }
        let log = vault.audit(HOST).map_err(|e| text(&e))?;
        let log = AuditLog::verify(&log, &trusted).map_err(|e| text(&e))?;
        if log.head() != self.audit_head {
            return Err("the audit log's head".into());
        }
        let mut faults = vault.check_sealed(&manifest.contents, &()).map_err(|e| text(&e))?;
        if faults.is_empty() {
            faults = vault.check_data(&manifest.contents, &self.identities, &()).map_err(|e| text(&e))?;
        }
        faults.first().map_or(Ok(()), |fault| Err(fault.to_string()))
    }
}

fn back_up(vault: &Vault, source: &Path, key: &HostKey) {
    let contents = vault.backup(&Backup::new(source, HOST, 1)).unwrap().contents;
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    let manifest = Manifest {
        format: FORMAT,
        vault: vault.id().parse().unwrap(),
        host_name: HOST.parse().unwrap(),
        serial: Serial(1),
        previous: None,
        tool: "test".into(),
        started: time,
        finished: time,
        stale_after: None,
        scope: Scope::Tree,
        sources: vec![Source {
            path: "/source".into(),
            entries: contents.totals.entries,
            bytes: contents.totals.bytes,
            consistency: Consistency::Live,
        }],
        host: None,
        problems: Vec::new(),
        boot_files: Vec::new(),
        amended: Vec::new(),
        contents,
    };
    let (json, signature) = manifest::seal(&manifest, key).unwrap();
    vault.put_manifest(HOST, 1, &json, &signature).unwrap();
}

/// Every file of a vault, but for the lock and what cut runs leave.
fn objects_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for path in fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true => open.push(path),
                false if name == "lock" => {}
                false => drop(objects.insert(name, fs::read(&path).unwrap())),
            }
        }
    }
    objects
}

/// Which bits: every one outside the segments; of the segments every n-th, so that there are 100,000 in all.
fn bits(objects: &BTreeMap<String, Vec<u8>>) -> Vec<(&str, usize)> {
    let all = |segments: bool| -> Vec<(&str, usize)> {
        let wanted = objects.iter().filter(|(name, _)| name.starts_with("segments/") == segments);
        wanted.flat_map(|(name, bytes)| (0..bytes.len() * 8).map(|bit| (name.as_str(), bit))).collect()
    };
    let (mut bits, segments) = (all(false), all(true));
    let rest = FLIPS.checked_sub(bits.len()).unwrap();
    assert!(segments.len() >= rest && rest > FLIPS / 4, "{} bits, {} in segments", bits.len(), segments.len());
    bits.extend((0..rest).map(|at| segments[at * segments.len() / rest]));
    bits
}

#[test]
fn of_100_000_flipped_bits_none_is_missed() {
    let site = Site::new();
    assert_eq!(site.fault("nothing", Vec::new()), None, "the vault is sound before");
    let bits = bits(&site.objects);
    assert_eq!(bits.len(), FLIPS);
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let missed: Vec<(&str, usize)> = std::thread::scope(|scope| {
        let work = || {
            let mut missed = Vec::new();
            while let Some((name, bit)) = bits.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut bytes = site.objects[*name].clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if site.fault(name, bytes).is_none() {
                    missed.push((*name, *bit));
                }
            }
            missed
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(missed, [], "bits that nothing noticed");
}
