//! What lies in a folder, and what a run has added to it, in apparent bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

/// The files of a folder with their sizes and times of change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, (u64, SystemTime)>);

impl Listing {
    /// Lists `folder`, which may be a single file or not be there yet.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let mut listing = Self::default();
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_dir() {
                let entries = std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))?;
                for entry in entries {
                    open.push(entry?.path());
                }
            } else {
                listing.0.insert(path, (metadata.len(), metadata.modified()?));
            }
        }
        Ok(listing)
    }

    /// Sum of the sizes.
    pub fn size(&self) -> u64 {
        self.0.values().map(|(size, _)| size).sum()
    }

    /// Bytes written since `before`: new files, what files have grown by, and files that were written again.
    pub fn written_since(&self, before: &Self) -> u64 {
        let written = |(path, (size, time)): (&PathBuf, &(u64, SystemTime))| match before.0.get(path) {
            None => *size,
            Some((old, _)) if size > old => size - old,
            Some((_, old)) if time != old => *size,
            Some(_) => 0,
        };
        self.0.iter().map(written).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_grown_and_rewritten_files_count_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, length: usize| std::fs::write(folder.path().join(name), vec![0; length]).unwrap();
        let empty = Listing::of(&folder.path().join("absent")).unwrap();
        write("kept", 10);
        write("grown", 10);
        write("again", 10);
        write("removed", 10);
        let before = Listing::of(folder.path()).unwrap();
        assert_eq!((before.size(), before.written_since(&empty)), (40, 40));
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        write("deep/new", 7);
        write("grown", 13);
        write("again", 10);
        let later = SystemTime::now() + std::time::Duration::from_secs(2);
        std::fs::File::options().write(true).open(folder.path().join("again")).unwrap().set_modified(later).unwrap();
        std::fs::remove_file(folder.path().join("removed")).unwrap();
        let after = Listing::of(folder.path()).unwrap();
        assert_eq!((after.size(), after.written_since(&before)), (40, 7 + 3 + 10));
    }
}
