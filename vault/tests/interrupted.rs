//! Runs that are cut, and vaults in filesystems that are not mounted.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::fs;
use std::io::{self, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tree::{Scratch, assert_same, noise, small_vault};
use vault::{Backup, Ext4Store, FolderStore, Kind, Lock, NewObject, Restore, Store, Vault};

/// A store on a medium that is pulled out, or is full, after so many bytes.
#[derive(Debug)]
struct Limited {
    inner: FolderStore,
    left: Arc<AtomicU64>,
    error: io::ErrorKind,
}

struct LimitedObject(Box<dyn NewObject>, Arc<AtomicU64>, io::ErrorKind);

impl Write for LimitedObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken =
            self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes.len() as u64));
        if taken.is_err() {
            return Err(self.2.into());
        }
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewObject for LimitedObject {
    fn commit(self: Box<Self>, name: &str) -> vault::Result<()> {
        self.0.commit(name)
    }
}

impl Store for Limited {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        self.inner.read(name, limit)
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        self.inner.open(name)
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        self.inner.size(name)
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        self.inner.list(prefix)
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        Ok(Box::new(LimitedObject(self.inner.create()?, self.left.clone(), self.error)))
    }
    fn sync(&self) -> vault::Result<()> {
        self.inner.sync()
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        self.inner.remove(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> vault::Result<()> {
        self.inner.append(name, bytes)
    }
    fn lock(&self) -> vault::Result<Lock> {
        self.inner.lock()
    }
}

#[test]
fn a_run_that_was_cut_leaves_the_vault_sound_and_the_next_reuses_what_was_finished() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    for at in 0..40 {
        fs::write(source.join(format!("file{at:02}")), noise(100_000, at)).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let backup = |vault: &Vault, serial, cache: &str| {
        let mut backup = Backup::new(&source, "host", serial);
        backup.cache = Some(scratch.path(cache));
        vault.backup(&backup)
    };
    let first = backup(&vault, 1, "one").unwrap();
    // A second host cache, so that the next runs begin from nothing.
    for (attempt, error) in [(1, io::ErrorKind::StorageFull), (2, io::ErrorKind::Other)] {
        let left = Arc::new(AtomicU64::new(1_500_000));
        let inner = FolderStore::new(scratch.path("vault"));
        let limited = Vault::open(Arc::new(Limited { inner, left, error })).unwrap();
        let kind = backup(&limited, 2, "two").unwrap_err().kind();
        assert_eq!(kind, if attempt == 1 { Kind::NoSpace } else { Kind::Io });
        assert_eq!(vault.check_data(&first.contents, &identities, &()).unwrap(), []);
        drop(vault.lock().unwrap());
        assert!(!scratch.path("vault/tmp").exists());
    }
    let second = backup(&vault, 2, "two").unwrap();
    assert_eq!(second.problems, []);
    assert!(second.contents.runs.len() >= 2, "{:?}", second.contents.runs);
    // How much was finished when the store failed is a matter of which worker was how far.
    assert!(second.contents.totals.added < 3_600_000, "{:?}", second.contents.totals);
    let dest = scratch.folder("dest");
    assert_eq!(vault.restore(&Restore::new(&second.contents, &identities, &dest)).unwrap().problems, []);
    assert_same(&source, &dest);
}

#[test]
fn a_vault_is_read_from_an_ext4_image_that_is_not_mounted() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    tree::zoo(&source);
    let (vault, identities) = small_vault(&scratch.path("stick/vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    vault.put_manifest("host", 1, b"{}", b"signature").unwrap();
    let image = scratch.path("image");
    let made = Command::new("/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(scratch.path("stick"))
        .arg(&image)
        .arg("64M")
        .status();
    assert!(made.unwrap().success());
    let store = Arc::new(Ext4Store::open(fs::File::open(&image).unwrap(), "vault").unwrap());
    let vault = Vault::open(store).unwrap();
    assert_eq!((vault.hosts().unwrap(), vault.serials("host").unwrap()), (vec!["host".to_owned()], vec![1]));
    assert_eq!(vault.manifest("host", 1).unwrap(), (b"{}".to_vec(), b"signature".to_vec()));
    assert_eq!(vault.check_sealed(&contents, &()).unwrap(), []);
    assert_eq!(vault.manifest("host", 2).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(vault.audit("host").unwrap(), b"");
    assert!(vault.put_manifest("host", 2, b"", b"").is_err());
    let dest = scratch.folder("dest");
    assert_eq!(vault.restore(&Restore::new(&contents, &identities, &dest)).unwrap().problems, []);
    assert_same(&source, &dest);
}
