//! Digests of archives that are referenced. An archive is never changed, so each is read once, and known again by its size and its times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use manifest::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vault::Progress as _;

use crate::progress::Bar;

/// What an archive is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    sha256: Digest,
}

impl Known {
    fn of(meta: &fs::Metadata, sha256: Digest) -> Self {
        let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        Self { bytes: meta.size(), modified, changed, sha256 }
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
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        let sha256 = digest(&mut file, meta.size())?;
        self.used.insert(path.to_owned(), Known::of(&meta, sha256.clone()));
        Ok(sha256)
    }

    /// The digest of a file that was read before and has not changed since.
    pub fn known(&mut self, path: &Path) -> Option<Digest> {
        let known = self.known.get(path)?.clone();
        if Known::of(&fs::metadata(path).ok()?, known.sha256.clone()) != known {
            return None;
        }
        self.used.insert(path.to_owned(), known.clone());
        Some(known.sha256)
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

fn digest(file: &mut File, bytes: u64) -> io::Result<Digest> {
    let bar = Bar::new("reading archives of guests");
    bar.expect(bytes, 0);
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = io::Read::read(file, &mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bar.advance(read as u64, 0);
    }
    bar.finish();
    let digest = vault::Digest(hash.finalize().into()).to_string();
    digest.parse().map_err(|_| io::Error::other("a digest that is none"))
}
