//! A vault in a folder of the host: the usual store, on a stick, a disk or a network share.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, RenameFlags};

use super::{Lock, NewObject, Store, check_name};
use crate::error::{Error, Result};

/// Folder for objects that are being written; whatever is in it when a writer takes the lock is from a cut run.
const TEMPORARY: &str = "tmp";
/// Dirty pages are handed to the device in steps of this size, so that the sync at the end has little left to wait for.
const WRITEBACK: u64 = 8 << 20;

/// Objects as files below one folder.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: PathBuf,
    /// Folders that got a new name since the last [`Store::sync`].
    dirty: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl FolderStore {
    /// A store below `root`, which is made on the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        FolderStore { root: root.into(), dirty: Arc::default() }
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    fn open_file(&self, name: &str) -> Result<File> {
        File::open(self.file(name)?).map_err(|source| Error::io("opening", name, source))
    }

    fn mark(&self, folder: &Path) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
    }

    /// Removes an object, not yet durably.
    fn unlink(&self, name: &str) -> Result<()> {
        let path = self.file(name)?;
        fs::remove_file(&path).map_err(|e| Error::io("removing", name, e))?;
        if let Some(folder) = path.parent() {
            self.mark(folder);
        }
        Ok(())
    }

    /// Makes `folder` and its parents, and remembers where a name was added.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.make_folder(parent)?;
            self.mark(parent);
        }
        match fs::create_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn collect(&self, folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.collect(&entry.path(), &name, names)?;
            } else {
                names.push(name);
            }
        }
        Ok(())
    }
}

impl Store for FolderStore {
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open_file(name)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io("reading", name, e))?;
        if bytes.len() as u64 > limit {
            return Err(Error::corrupt(name, format!("larger than the {limit} bytes it may have")));
        }
        Ok(bytes)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.open_file(name)?))
    }

    fn expect(&self, name: &str) {
        // Advisory: whatever fails here shows when it is read.
        if let Ok(file) = self.open_file(name) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        }
    }

    fn size(&self, name: &str) -> Result<u64> {
        fs::metadata(self.file(name)?).map(|meta| meta.len()).map_err(|e| Error::io("reading", name, e))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        match self.collect(&self.file(prefix)?, prefix, &mut names) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| Error::io("listing", prefix, e))?,
        }
        names.sort();
        Ok(names)
    }

    fn create(&self) -> Result<Box<dyn NewObject>> {
        let folder = self.root.join(TEMPORARY);
        self.make_folder(&folder).map_err(|e| Error::io("making", TEMPORARY, e))?;
        let mut random = [0; 8];
        crate::seal::random(&mut random)?;
        let path = folder.join(format!("{:016x}", u64::from_le_bytes(random)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io("making", TEMPORARY, e))?;
        Ok(Box::new(Writing { store: self.clone(), path, file, written: 0, handed_over: 0 }))
    }

    fn sync(&self) -> Result<()> {
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in dirty {
            let synced = File::open(&folder).and_then(|f| f.sync_all());
            synced.map_err(|e| Error::io("syncing", folder.display().to_string(), e))?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.unlink(name)?;
        self.sync()
    }

    /// With one sync for all of them: a prune removes thousands.
    fn remove_all(&self, names: &[&str]) -> Result<()> {
        for name in names {
            match self.unlink(name) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.sync()
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name)?;
        let parent = path.parent().unwrap_or(&self.root);
        let append = || {
            self.make_folder(parent)?;
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        append().map_err(|e| Error::io("appending to", name, e))?;
        self.mark(parent);
        self.sync()
    }

    fn lock(&self) -> Result<Lock> {
        let io = |e: io::Error| Error::io("locking", "lock", e);
        // Opened for writing so that it works over NFS too; flock is let go by the kernel however the process ends.
        self.make_folder(&self.root).map_err(io)?;
        let path = self.root.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Locked { object: "lock".into() }),
            other => other.map_err(|e| io(e.into()))?,
        }
        match fs::remove_dir_all(self.root.join(TEMPORARY)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("emptying", TEMPORARY, e)),
            _ => {}
        }
        Ok(Lock::held(file))
    }
}

/// An object under its temporary name.
struct Writing {
    store: FolderStore,
    path: PathBuf,
    file: File,
    written: u64,
    handed_over: u64,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.written += n as u64;
        if self.written - self.handed_over >= WRITEBACK {
            // Starts writing out the pages that were just dirtied, without waiting; being dirty they also stay in the
            // cache. Advisory: where it fails, the sync does the work.
            let fresh = std::num::NonZeroU64::new(self.written - self.handed_over);
            let _ = rustix::fs::fadvise(&self.file, self.handed_over, fresh, rustix::fs::Advice::DontNeed);
            self.handed_over = self.written;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject for Writing {
    fn commit(mut self: Box<Self>, name: &str) -> Result<()> {
        let target = self.store.file(name)?;
        let folder = target.parent().unwrap_or(&self.store.root).to_owned();
        let commit = || {
            self.file.sync_all()?;
            self.store.make_folder(&folder)?;
            rename_new(&self.path, &target)
        };
        match commit() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::invalid(name, "exists already; objects of a vault are written once"));
            }
            other => other.map_err(|e| Error::io("writing", name, e))?,
        }
        self.store.mark(&folder);
        self.path = PathBuf::new();
        Ok(())
    }
}

/// Renames unless the target exists.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // vfat and some network filesystems know no flags; the writers' lock makes the look before safe.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        other => other.map_err(Into::into),
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn an_object_is_written_once_and_names_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path().join("vault"));
        store.write_new("segments/ab/x", b"one").unwrap();
        assert_eq!(store.write_new("segments/ab/x", b"two").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(store.read("segments/ab/x", 3).unwrap(), b"one");
        assert_eq!(store.read("segments/ab/x", 2).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.list("segments").unwrap(), ["segments/ab/x"]);
        for name in ["../x", "/etc/passwd", "a//b", ".hidden", "a/../b", ""] {
            assert_eq!(store.read(name, 9).unwrap_err().kind(), Kind::Invalid, "{name:?}");
        }
    }

    #[test]
    fn a_second_writer_is_locked_out_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let first = store.lock().unwrap();
        assert_eq!(FolderStore::new(folder.path()).lock().unwrap_err().kind(), Kind::Locked);
        drop(first);
        let _second = FolderStore::new(folder.path()).lock().unwrap();
    }

    #[test]
    fn what_a_cut_run_left_half_written_is_gone_at_the_next_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let mut cut = store.create().unwrap();
        cut.write_all(b"half").unwrap();
        std::mem::forget(cut);
        let _lock = store.lock().unwrap();
        assert!(!folder.path().join(TEMPORARY).exists());
    }
}
