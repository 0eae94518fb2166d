//! A FAT filesystem as a tree of names and contents, through `fatfs`. FAT keeps no owners, modes or links, and its times have
//! two seconds and no zone: none of these is compared.

use std::collections::BTreeMap;
use std::io::Read as _;

use fatfs::{Dir, FileSystem, FsOptions};
use vault::{ContentHasher, Digest};

use super::window::Window;

/// Deeper folders are taken for a circle.
const DEEPEST: usize = 64;

/// An open filesystem with its names.
pub(super) struct FatTree {
    filesystem: FileSystem<Window>,
    /// What lies under each path without a leading slash.
    pub(super) entries: BTreeMap<String, FatEntry>,
}

/// A file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FatEntry {
    pub(super) folder: bool,
    pub(super) size: u64,
}

impl FatTree {
    /// Opens the filesystem in a window and reads all its folders.
    ///
    /// # Errors
    /// When it is none, or a folder cannot be read.
    pub(super) fn open(window: Window) -> anyhow::Result<Self> {
        let filesystem = FileSystem::new(window, FsOptions::new())?;
        let mut entries = BTreeMap::new();
        list(&filesystem.root_dir(), "", 0, &mut entries)?;
        Ok(Self { filesystem, entries })
    }

    /// Hashes a file's content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn hash(
        &self,
        path: &str,
        mut hasher: ContentHasher,
        progress: &dyn vault::Progress,
    ) -> anyhow::Result<Digest> {
        let mut file = self.filesystem.root_dir().open_file(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => {
                    hasher.update(&buffer[..count]);
                    progress.advance(count as u64, 0);
                }
            }
        }
    }
}

fn list(
    folder: &Dir<'_, Window>,
    path: &str,
    depth: usize,
    entries: &mut BTreeMap<String, FatEntry>,
) -> anyhow::Result<()> {
    anyhow::ensure!(depth < DEEPEST, "folders are nested more than {DEEPEST} deep below {path}");
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let child = if path.is_empty() { name } else { format!("{path}/{name}") };
        entries.insert(
            child.clone(),
            FatEntry { folder: entry.is_dir(), size: if entry.is_dir() { 0 } else { entry.len() } },
        );
        if entry.is_dir() {
            list(&entry.to_dir(), &child, depth + 1, entries)?;
        }
    }
    Ok(())
}
