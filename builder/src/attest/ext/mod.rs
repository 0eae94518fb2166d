//! An ext filesystem as a tree of entries: names, kinds and contents by `ext4-view`, the rest of each inode by our own reader.

mod blocks;
mod folder;
mod inode;
mod volume;
mod xattr;

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use ext4_view::Ext4;
use vault::{ContentHasher, Digest, EntryKind};

use self::inode::Inode;
use self::volume::Volume;
use super::found::Found;
use super::window::Window;

/// Bytes read from a file at once.
const CHUNK: usize = 1 << 20;

/// An open filesystem.
pub(super) struct ExtTree {
    view: Ext4,
    volume: Volume,
}

impl ExtTree {
    /// Opens the filesystem in a window.
    ///
    /// # Errors
    /// When it is none, was not unmounted cleanly, or has features that cannot be read.
    pub(super) fn open(window: Window) -> anyhow::Result<Self> {
        let volume = Volume::open(window.clone())?;
        Ok(Self { view: Ext4::load(Box::new(window))?, volume })
    }

    /// The root folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn root(&self) -> anyhow::Result<Found> {
        // Inode 2 is the root folder by definition.
        let inode = self.volume.inode(2)?;
        let metadata = self.view.metadata("/")?;
        self.found(Vec::new(), &metadata, &inode)
    }

    /// What is in the folder that was found as `folder`, sorted by name.
    ///
    /// # Errors
    /// When it cannot be read, or the two readers disagree.
    pub(super) fn children(&self, folder: &Found) -> anyhow::Result<Vec<Found>> {
        let numbers = self.volume.folder(&self.volume.inode(folder.inode)?)?;
        let path = absolute(&folder.path);
        let mut entries = Vec::new();
        for entry in self.view.read_dir(path.as_slice())? {
            let entry = entry?;
            let name: Vec<u8> = entry.file_name().as_ref().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            let child = if folder.path.is_empty() { name.clone() } else { [&folder.path[..], b"/", &name].concat() };
            let number = numbers.get(&name).with_context(|| format!("{} has no inode number", vault_path(&child)))?;
            let inode = self.volume.inode(*number)?;
            let metadata = entry.metadata()?;
            entries.push(self.found(child, &metadata, &inode).with_context(|| format!("inode {number}"))?);
        }
        ensure!(entries.len() == numbers.len(), "{} has names that only one reader sees", vault_path(&folder.path));
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    fn found(&self, path: Vec<u8>, metadata: &ext4_view::Metadata, inode: &Inode) -> anyhow::Result<Found> {
        let kind = inode.kind().context("it is of no known type")?;
        let (mtime, precise) = inode.mtime();
        let same = metadata.mode() == inode.mode() as u16
            && metadata.uid() == inode.uid()
            && metadata.gid() == inode.gid()
            && metadata.len() == inode.size()
            && metadata.modified().seconds() == mtime.sec;
        if !same {
            bail!("two readers of {} disagree about its metadata", vault_path(&path));
        }
        let link = match kind {
            EntryKind::Symlink => {
                let target = self.view.read_link(absolute(&path).as_slice())?;
                Some(AsRef::<[u8]>::as_ref(&target).to_vec())
            }
            _ => None,
        };
        Ok(Found {
            kind,
            mode: inode.mode(),
            uid: inode.uid(),
            gid: inode.gid(),
            size: if kind == EntryKind::File { inode.size() } else { 0 },
            mtime,
            precise,
            link,
            rdev: matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice).then(|| inode.device()),
            xattrs: self.volume.xattrs(inode)?,
            flags: inode.flags(),
            project: inode.project(),
            inode: inode.number,
            path,
        })
    }

    /// Hashes a file's content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn hash(
        &self,
        path: &[u8],
        mut hasher: ContentHasher,
        progress: &dyn vault::Progress,
    ) -> anyhow::Result<Digest> {
        let mut file = self.view.open(absolute(path).as_slice())?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read_bytes(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => {
                    hasher.update(&buffer[..count]);
                    progress.advance(count as u64, 0);
                }
            }
        }
    }

    /// A small file's content; `None` where there is none of that name.
    pub(super) fn read(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.view.read(absolute(path).as_slice()).ok()
    }

    /// The names in a folder; none where there is no such folder.
    pub(super) fn names(&self, path: &[u8]) -> BTreeSet<Vec<u8>> {
        let entries = self.view.read_dir(absolute(path).as_slice()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().as_ref().to_vec()).filter(|name| name != b"." && name != b"..").collect()
    }
}

fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// A path as messages show it.
fn vault_path(path: &[u8]) -> String {
    vault::EntryPath::new(path).map_or_else(|| String::from_utf8_lossy(path).into_owned(), |path| path.to_string())
}

#[cfg(test)]
mod tests;
