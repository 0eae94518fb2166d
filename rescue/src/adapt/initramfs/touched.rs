//! What a tool of the restored system changed while it ran, by times and sizes: just that differs from the snapshot on purpose. Does not know
//! which tool it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Depth of folders that is looked at; a kernel's modules have eight.
const DEEPEST: usize = 32;

/// Seconds and nanoseconds of the last change of content and of metadata, and the size.
type Mark = (i64, i64, i64, i64, u64);

/// Some folders as they were.
pub struct Marks {
    root: PathBuf,
    folders: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Mark>,
}

impl Marks {
    /// Notes what lies in `folders` below `root`, and the folders themselves. One that is not there may come to be.
    pub fn of(root: &Path, folders: Vec<PathBuf>) -> Self {
        let seen = all(&folders);
        Self { root: root.to_owned(), folders, seen }
    }

    /// What is new, changed or gone since then: paths from the root, with a slash in front.
    pub fn changed(&self) -> Vec<String> {
        let now = all(&self.folders);
        let paths: BTreeSet<&PathBuf> = self.seen.keys().chain(now.keys()).collect();
        let differs = paths.into_iter().filter(|path| self.seen.get(*path) != now.get(*path));
        differs.filter_map(|path| Some(format!("/{}", path.strip_prefix(&self.root).ok()?.display()))).collect()
    }
}

fn all(folders: &[PathBuf]) -> BTreeMap<PathBuf, Mark> {
    let mut seen = BTreeMap::new();
    for folder in folders {
        note(folder, 0, &mut seen);
    }
    seen
}

/// Links are noted and not followed.
fn note(path: &Path, depth: usize, seen: &mut BTreeMap<PathBuf, Mark>) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    let mark = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec(), found.size());
    seen.insert(path.to_owned(), mark);
    if found.is_dir() && depth < DEEPEST {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            note(&entry.path(), depth + 1, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_changed_or_gone_is_told_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("boot/kept")).unwrap();
        fs::create_dir(path("var")).unwrap();
        for name in ["boot/kept/file", "boot/image", "boot/backup"] {
            fs::write(path(name), "old").unwrap();
        }
        std::os::unix::fs::symlink("/", path("boot/kept/out")).unwrap();
        let marks = Marks::of(root.path(), vec![path("boot"), path("gone")]);
        assert_eq!(marks.changed(), Vec::<String>::new());
        // Times have the resolution of the kernel's clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path("boot/image"), "newer").unwrap();
        fs::remove_file(path("boot/backup")).unwrap();
        fs::create_dir_all(path("boot/made")).unwrap();
        fs::create_dir(path("gone")).unwrap();
        fs::write(path("var/elsewhere"), "").unwrap();
        assert_eq!(marks.changed(), ["/boot", "/boot/backup", "/boot/image", "/boot/made", "/gone"]);
    }
}
