//! What lies on the target and is not in the snapshot: found when the restore is compared, removed when a restore that was cut goes on.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use vault::{Identities, Vault};

use crate::apply::TARGET;
use crate::stop::{Code, OrStop, Result};
use crate::trust::Snapshot;

/// A set of paths by their hashes: a million of them fit in a small memory.
#[derive(Default)]
pub struct Paths {
    state: RandomState,
    seen: HashSet<u64>,
}

impl Paths {
    /// Adds one.
    pub fn add(&mut self, path: &[u8]) {
        self.seen.insert(self.state.hash_one(path));
    }

    /// Whether it was added.
    pub fn has(&self, path: &[u8]) -> bool {
        self.seen.contains(&self.state.hash_one(path))
    }
}

/// Depth that a tree may have before the search for what is extra gives up on a branch.
const DEEPEST: usize = 4096;

/// Adds to `extra` what lies below `folder` and is not `known`, by its path; what is below something unknown is not looked at.
pub fn find_extra(folder: &Path, path: &mut Vec<u8>, known: &dyn Fn(&[u8]) -> bool, extra: &mut Vec<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(entry.file_name().as_bytes());
        if !known(path) {
            extra.push(path.clone());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && path.len() < DEEPEST {
            find_extra(&entry.path(), path, known, extra);
        }
        path.truncate(length);
    }
}

/// Removes from the target what an earlier attempt left and the snapshot does not have: half-written files, what adapting added.
/// To be done before the trees are restored, because it changes the times of folders. Gives how many it removed.
///
/// # Errors
/// When the catalogue cannot be read, or something cannot be removed.
pub fn remove(vault: &Vault, snapshot: &Snapshot, key: &Identities) -> Result<usize> {
    let mut paths = Paths::default();
    for entry in vault.catalogue(&snapshot.contents, key)? {
        paths.add(entry?.path.as_bytes());
    }
    let advice = "Start the stick again; the restore begins anew.";
    remove_below(Path::new(TARGET), &|path| paths.has(path)).or_stop(
        Code::Io,
        "removing what a cut restore left",
        advice,
    )
}

fn remove_below(root: &Path, known: &dyn Fn(&[u8]) -> bool) -> io::Result<usize> {
    let mut extra = Vec::new();
    find_extra(root, &mut Vec::new(), known, &mut extra);
    for path in &extra {
        let path = root.join(std::ffi::OsStr::from_bytes(path));
        if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(extra.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use super::*;

    #[test]
    fn only_what_the_snapshot_does_not_have_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["etc/kept", "etc/left", "boot/grub/i386-pc/core.img", "var/lib/lifeboat/restores/x.json"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink("/", root.join("etc/out")).unwrap();
        let known: [&[u8]; 6] = [b"etc", b"etc/kept", b"boot", b"boot/grub", b"var", b"var/lib"];
        assert_eq!(remove_below(root, &|path| known.contains(&path)).unwrap(), 4);
        let mut extra = Vec::new();
        find_extra(root, &mut Vec::new(), &|path| known.contains(&path), &mut extra);
        assert!(extra.is_empty() && root.join("etc/kept").exists() && root.join("boot/grub").exists());
    }
}
