//! What is in a tree, in four numbers: enough to see that two trees hold the same names, types, modes, sizes and times.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::tree::walk::{stretches, walk};

/// Everything below a folder; the folder itself does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Entries of all types.
    pub entries: u64,
    /// Regular files, each name of a hard-linked one.
    pub files: u64,
    /// Sum of their sizes in bytes, holes included.
    pub bytes: u64,
    /// Bytes of them that are no holes.
    pub data: u64,
    /// Sum of a hash of each entry's path, mode and type and, for a file, its size and its time of change in seconds.
    pub fingerprint: u64,
}

impl Tally {
    /// Counts what is below `folder`.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let mut tally = Self::default();
        walk(folder, &mut |path, metadata| {
            let mut hash = DefaultHasher::new();
            path.strip_prefix(folder)?.as_os_str().as_bytes().hash(&mut hash);
            metadata.mode().hash(&mut hash);
            tally.entries += 1;
            if metadata.is_file() {
                tally.files += 1;
                tally.bytes += metadata.len();
                tally.data += data(path, metadata)?;
                // Whole seconds: that is what tar's own format keeps.
                (metadata.len(), metadata.mtime()).hash(&mut hash);
            }
            tally.fingerprint = tally.fingerprint.wrapping_add(hash.finish());
            Ok(())
        })?;
        Ok(tally)
    }

    /// Checks that a restored tree is this one. Holes do not count: not every tool restores them.
    ///
    /// # Errors
    /// When it is not, with both.
    pub fn compare(&self, restored: &Self) -> anyhow::Result<()> {
        let same = Self { data: self.data, ..restored.clone() } == *self;
        same.then_some(())
            .with_context(|| format!("the restored tree is another one: {restored:?} instead of {self:?}"))
    }
}

/// Asks for holes only where the blocks are too few.
fn data(path: &Path, metadata: &Metadata) -> anyhow::Result<u64> {
    if metadata.blocks() * 512 >= metadata.len() {
        return Ok(metadata.len());
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(stretches(&file)?.iter().map(|(start, end)| end - start).sum())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_modes_and_sizes_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "12345").unwrap();
        let before = Tally::of(folder.path()).unwrap();
        assert_eq!((before.entries, before.files, before.bytes), (1, 1, 5));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o4755)).unwrap();
        let mode = Tally::of(folder.path()).unwrap();
        assert!(before.compare(&mode).is_err());
        std::fs::rename(&file, folder.path().join("b")).unwrap();
        assert!(mode.compare(&Tally::of(folder.path()).unwrap()).is_err());
        assert!(mode.compare(&mode).is_ok());
    }
}
