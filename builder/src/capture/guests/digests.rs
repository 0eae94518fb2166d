//! Digests of archives, and the disks in them. An archive is never changed, so each is read once, and known again by its size and its times.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use guests::archive::{self, Device, Form};
use manifest::Digest;
use serde::{Deserialize, Serialize};

use crate::hashed::Hashed;

/// What people see meanwhile.
const READING: &str = "reading archives of guests";

/// What an archive is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    sha256: Digest,
    /// Its disks, where it was read as an archive and is sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<Device>>,
}

impl Known {
    fn of(meta: &fs::Metadata, sha256: Digest) -> Self {
        let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        Self { bytes: meta.size(), modified, changed, sha256, devices: None }
    }

    /// Whether it is the file that it was.
    fn is(&self, meta: &fs::Metadata) -> bool {
        *self == Self { devices: self.devices.clone(), ..Self::of(meta, self.sha256.clone()) }
    }
}

/// Digests by path. A file that is lost or damaged costs reading the archives once more.
pub struct Digests {
    file: PathBuf,
    known: BTreeMap<PathBuf, Known>,
    used: BTreeMap<PathBuf, Known>,
}

impl Digests {
    pub fn open(state: &Path) -> Self {
        let file = state.join("cache/archives.json");
        let known = fs::read(&file).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        Self { file, known, used: BTreeMap::new() }
    }

    /// The digest of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(&mut self, path: &Path) -> io::Result<Digest> {
        if let Some(known) = self.known(path) {
            return Ok(known);
        }
        let file = Hashed::open(path, READING)?;
        let meta = file.metadata()?;
        let sha256 = file.finish()?;
        self.used.insert(path.to_owned(), Known::of(&meta, sha256.clone()));
        Ok(sha256)
    }

    /// The digest of a file that was read before and has not changed since.
    pub fn known(&mut self, path: &Path) -> Option<Digest> {
        Some(self.unchanged(path)?.sha256)
    }

    /// The digest of a machine's archive that is sound, and the disks in it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn contents(&mut self, path: &Path) -> Result<(Digest, Vec<Device>), String> {
        if let Some(Known { sha256, devices: Some(devices), .. }) = self.unchanged(path) {
            return Ok((sha256, devices));
        }
        let unread = |error: io::Error| format!("cannot be read: {error}");
        let mut file = Hashed::open(path, READING).map_err(unread)?;
        let meta = file.metadata().map_err(unread)?;
        let report = archive::verify(&mut file);
        let sha256 = file.finish().map_err(unread)?;
        let report = report.map_err(|error| format!("cannot be read: {error}"))?;
        if !report.sound() {
            return Err(format!("is damaged: {}", report.summary()));
        }
        if report.form != Form::Vma {
            return Err("is none of a machine".to_owned());
        }
        let known = Known { devices: Some(report.devices.clone()), ..Known::of(&meta, sha256.clone()) };
        self.used.insert(path.to_owned(), known);
        Ok((sha256, report.devices))
    }

    /// What is known of a file that is as it was.
    fn unchanged(&mut self, path: &Path) -> Option<Known> {
        let known = self.used.get(path).or_else(|| self.known.get(path))?.clone();
        if !known.is(&fs::metadata(path).ok()?) {
            return None;
        }
        self.used.insert(path.to_owned(), known.clone());
        Some(known)
    }

    /// Keeps those of files that are still there.
    pub fn close(self) {
        let mut all = self.known.clone();
        all.extend(self.used);
        all.retain(|path, _| path.try_exists().unwrap_or(true));
        if all != self.known
            && let Ok(json) = serde_json::to_vec(&all)
        {
            // Only a memory: without it the next run reads them again.
            let _ = self.file.parent().map(fs::create_dir_all);
            let _ = fs::write(&self.file, json);
        }
    }
}
