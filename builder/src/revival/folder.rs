//! The folder `/var/lib/lifeboat/guests`: what the rescue left, and what a run keeps there.
//!
//! ```text
//! revival.json              what is to come back; the rescue wrote it
//! offline.json              whose disks the rescue brought back itself
//! state/PLATFORM-ID.json    what became of a guest
//! aside/ID.conf, ID.fw      what it had before; ID.conf.1 and so on what lay there from earlier attempts
//! output/PLATFORM-ID.txt    what its platform's program said last
//! log.jsonl                 what happened, in order
//! done                      everything is decided: the unit does not run again
//! lock                      one run at a time
//! ```
//!
//! Everything in it is for root alone: configurations hold passwords. Files are whole or not there, and lie on the disk when a call
//! returns.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use manifest::Digest;
use manifest::host::{Guest, KEPT, Offline, OfflineGuest, Platform, PlatformKind, Revival};

use super::record::Record;
use crate::exit::{Exit, refusal};

/// The folder of a host.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A folder in which nobody else works until this is dropped.
#[derive(Debug)]
pub struct Locked {
    /// The folder.
    pub folder: Folder,
    _lock: File,
}

impl Folder {
    /// The folder below `root`.
    pub fn at(root: &Path) -> Self {
        let kept = root.join(KEPT.trim_start_matches('/'));
        Self { path: kept.parent().unwrap_or(root).to_owned() }
    }

    /// What is to come back, and its digest.
    ///
    /// # Errors
    /// When there is none (10), or it cannot be read (21).
    pub fn revival(&self) -> anyhow::Result<(Revival, Digest)> {
        let path = self.path.join("revival.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!(
                    "no guests are to come back on this host: a restore that brings a hypervisor back leaves {}",
                    path.display()
                );
                return Err(refusal(Exit::NoVault, message));
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let revival = serde_json::from_slice(&text).map_err(|error| {
            refusal(Exit::Corrupt, format!("reading {}: {error}; nothing was done", path.display()))
        })?;
        Ok((revival, Digest::of(&text)))
    }

    /// What the rescue says of the guests of this revival that it was to bring back itself; none where it was to bring back none.
    ///
    /// # Errors
    /// When its file is there and cannot be read; in words.
    pub fn offline(&self, revival: &Digest) -> Result<Vec<OfflineGuest>, String> {
        let path = self.path.join("offline.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("reading {}: {error}", path.display())),
        };
        let offline: Offline =
            serde_json::from_slice(&text).map_err(|error| format!("reading {}: {error}", path.display()))?;
        let is_meant = offline.schema == 1 && offline.revival == *revival;
        Ok(if is_meant { offline.guests } else { Vec::new() })
    }

    /// Takes the folder for one run.
    ///
    /// # Errors
    /// When another run has it (11), or its folders cannot be made.
    pub fn lock(self) -> anyhow::Result<Locked> {
        let path = self.path.join("lock");
        let doing = || format!("taking the lock {}", path.display());
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).with_context(doing)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message =
                    "another run brings guests back; `lifeboat guests status` shows how far it is; nothing was done";
                return Err(refusal(Exit::Locked, message));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(doing),
        }
        for name in ["state", "aside", "output"] {
            let folder = self.path.join(name);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        sync(&self.path)?;
        Ok(Locked { folder: self, _lock: lock })
    }

    /// What became of a guest of this revival; waiting where nothing did.
    ///
    /// # Errors
    /// When its file is there and cannot be read.
    pub fn record(&self, revival: &Digest, platform: &Platform, guest: &Guest) -> anyhow::Result<Record> {
        let waiting = || Record::waiting(revival, platform, guest);
        let path = self.record_path(platform.kind, &guest.id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(waiting()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let record: Record = serde_json::from_slice(&text).with_context(|| {
            format!("reading {}; it is written whole, so somebody changed it: move it away", path.display())
        })?;
        Ok(if record.revival == *revival { record } else { waiting() })
    }

    /// Whether everything was decided in an earlier run for this revival.
    pub fn is_done(&self, revival: &Digest) -> bool {
        fs::read_to_string(self.path.join("done")).is_ok_and(|text| text.trim_end() == revival.as_str())
    }

    /// Where what a guest had is kept.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.path.join("aside").join(name)
    }

    /// Where a program's output goes.
    pub fn output(&self, kind: PlatformKind, id: &str) -> PathBuf {
        self.path.join("output").join(format!("{}-{id}.txt", Record::platform_word(kind)))
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    fn record_path(&self, kind: PlatformKind, id: &str) -> PathBuf {
        self.path.join("state").join(format!("{}-{id}.json", Record::platform_word(kind)))
    }
}

impl Locked {
    /// Writes what became of a guest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.folder.record_path(record.platform, &record.id);
        write(&path, &serde_json::to_vec_pretty(record)?)
    }

    /// Keeps `bytes` aside under `name`, and what lay there under a name with a number.
    ///
    /// # Errors
    /// When it cannot be written; what lay there is still there.
    pub fn put_aside(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.aside(name);
        match fs::read(&path) {
            Ok(same) if same == bytes => return Ok(()),
            Ok(_) => {
                let free = self.free(name);
                fs::rename(&path, &free)
                    .with_context(|| format!("renaming {} to {}", path.display(), free.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        write(&path, bytes)
    }

    /// Takes out of the way what lies aside under `name` from an earlier attempt.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn number_aside(&self, name: &str) -> anyhow::Result<()> {
        let path = self.folder.aside(name);
        if !path.try_exists().with_context(|| format!("looking at {}", path.display()))? {
            return Ok(());
        }
        fs::rename(&path, self.free(name)).with_context(|| format!("renaming {}", path.display()))?;
        sync(&self.folder.path.join("aside"))
    }

    /// Keeps `bytes` aside beside `name`, which stays as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_beside(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        write(&self.free(name), bytes)
    }

    /// Says that everything is decided, or that it is not.
    ///
    /// # Errors
    /// When it cannot be written or removed.
    pub fn set_done(&self, revival: &Digest, done: bool) -> anyhow::Result<()> {
        let path = self.folder.path.join("done");
        if done {
            return write(&path, format!("{revival}\n").as_bytes());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => sync(&self.folder.path),
        }
    }

    /// A name with a number that nothing has yet.
    fn free(&self, name: &str) -> PathBuf {
        let numbered = |number: u32| self.folder.aside(&format!("{name}.{number}"));
        (1..u32::MAX).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(u32::MAX))
    }
}

/// Writes a file that only root reads, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    written().with_context(|| format!("writing {}", path.display()))
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("syncing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_lies_aside_is_never_written_over() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib/lifeboat/guests")).unwrap();
        let locked = Folder::at(root.path()).lock().unwrap();
        let read = |name: &str| fs::read_to_string(locked.folder.aside(name)).unwrap_or_default();
        for text in ["first", "first", "second", "third"] {
            locked.put_aside("100.conf", text.as_bytes()).unwrap();
        }
        assert_eq!([read("100.conf"), read("100.conf.1"), read("100.conf.2")], ["third", "first", "second"]);
        locked.put_beside("100.conf", b"fourth").unwrap();
        locked.number_aside("100.conf").unwrap();
        assert_eq!([read("100.conf"), read("100.conf.3"), read("100.conf.4")], ["", "fourth", "third"]);
        let mode = fs::metadata(locked.folder.aside("100.conf.4")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Folder::at(root.path()).lock().unwrap_err();
        assert_eq!(crate::exit::exit_of(&second), Exit::Locked);
    }

    #[test]
    fn done_counts_for_one_revival_only() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib/lifeboat/guests")).unwrap();
        let locked = Folder::at(root.path()).lock().unwrap();
        let (this, other) = (Digest::of(b"this"), Digest::of(b"other"));
        locked.set_done(&other, true).unwrap();
        assert!(!locked.folder.is_done(&this) && locked.folder.is_done(&other));
        locked.set_done(&this, false).unwrap();
        locked.set_done(&this, false).unwrap();
        assert!(!locked.folder.is_done(&other));
    }
}
