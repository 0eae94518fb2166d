//! A store that fails for good after so many changes, as a medium that is pulled out, and counts what is read.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vault::{FolderStore, Lock, NewObject, Store};

/// A folder behind a counter of changes: new objects, names given, removals, appends.
#[derive(Debug)]
pub struct Failing {
    inner: FolderStore,
    left: Arc<AtomicUsize>,
    /// Names of objects that were read.
    pub read: Mutex<Vec<String>>,
}

impl Failing {
    /// Fails at the change after `changes`.
    pub fn after(folder: impl Into<PathBuf>, changes: usize) -> Self {
        Failing { inner: FolderStore::new(folder), left: Arc::new(changes.into()), read: Mutex::default() }
    }

    /// Never fails in a test's life.
    pub fn never(folder: impl Into<PathBuf>) -> Self {
        Failing::after(folder, usize::MAX)
    }

    /// Names of the objects that were read since the last call.
    pub fn take_read(&self) -> Vec<String> {
        std::mem::take(&mut self.read.lock().unwrap())
    }

    fn note(&self, name: &str) {
        self.read.lock().unwrap().push(name.to_owned());
    }
}

fn spend(left: &AtomicUsize) -> io::Result<()> {
    let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    spent.map(drop).map_err(|_| io::Error::other("pulled out"))
}

fn failed(object: &str) -> impl FnOnce(io::Error) -> vault::Error {
    let object = object.to_owned();
    move |source| vault::Error::Io { doing: "writing", object, source }
}

struct Object(Box<dyn NewObject>, Arc<AtomicUsize>);

impl Write for Object {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewObject for Object {
    fn commit(self: Box<Self>, name: &str) -> vault::Result<()> {
        spend(&self.1).map_err(failed(name))?;
        self.0.commit(name)
    }
}

impl Store for Failing {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        self.note(name);
        self.inner.read(name, limit)
    }
    fn open(&self, name: &str) -> vault::Result<Box<dyn Read + Send>> {
        self.note(name);
        self.inner.open(name)
    }
    fn size(&self, name: &str) -> vault::Result<u64> {
        self.inner.size(name)
    }
    fn list(&self, prefix: &str) -> vault::Result<Vec<String>> {
        self.inner.list(prefix)
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        spend(&self.left).map_err(failed("tmp"))?;
        Ok(Box::new(Object(self.inner.create()?, self.left.clone())))
    }
    fn sync(&self) -> vault::Result<()> {
        self.inner.sync()
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        spend(&self.left).map_err(failed(name))?;
        self.inner.remove(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> vault::Result<()> {
        spend(&self.left).map_err(failed(name))?;
        self.inner.append(name, bytes)
    }
    fn lock(&self) -> vault::Result<Lock> {
        self.inner.lock()
    }
}
