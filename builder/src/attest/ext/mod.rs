//! An ext filesystem as a tree of entries. Two readers look at it: `ext4-view` at names, metadata and contents, and our own at
//! the inodes, which alone sees inode numbers, xattrs, device numbers and flags. Where both see a thing they must agree.
//!
//! `ext4-view` 1.0 takes inodes with times before 1970 for damaged. Those, and what lies below such folders, are read by our
//! own reader alone.

mod blocks;
mod folder;
mod inode;
mod volume;
mod xattr;

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use ext4_view::{DirEntry, Ext4};
use vault::{ContentHasher, Digest, EntryKind, Progress};

use self::inode::Inode;
use self::volume::Volume;
use super::found::Found;
use super::window::Window;

/// Bytes read from a file at once.
const CHUNK: usize = 1 << 20;
/// The root folder's inode, by definition.
const ROOT: u32 = 2;

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
        let inode = self.volume.inode(ROOT)?;
        let found = self.found(Vec::new(), &inode, false)?;
        if !found.beyond_view {
            agree(&found, &self.view.metadata("/")?, &inode)?;
        }
        Ok(found)
    }

    /// What is in the folder that was found as `folder`, sorted by name.
    ///
    /// # Errors
    /// When it cannot be read, or the two readers disagree.
    pub(super) fn children(&self, folder: &Found) -> anyhow::Result<Vec<Found>> {
        let names = self.volume.folder(&self.volume.inode(folder.inode)?)?;
        let mut seen = if folder.beyond_view { None } else { Some(self.seen_by_view(&folder.path)?) };
        let mut entries = Vec::new();
        for (name, number) in names {
            let path = if folder.path.is_empty() { name.clone() } else { [&folder.path[..], b"/", &name].concat() };
            let inode = self.volume.inode(number)?;
            let found = self.found(path, &inode, folder.beyond_view).with_context(|| format!("inode {number}"))?;
            if let Some(seen) = &mut seen {
                let entry =
                    seen.remove(&name).with_context(|| format!("{} is seen by one reader only", shown(&found.path)))?;
                if !found.beyond_view {
                    agree(&found, &entry.metadata()?, &inode)?;
                }
            }
            entries.push(found);
        }
        ensure!(
            seen.is_none_or(|seen| seen.is_empty()),
            "{} has names that one reader does not see",
            shown(&folder.path)
        );
        Ok(entries)
    }

    fn seen_by_view(&self, folder: &[u8]) -> anyhow::Result<BTreeMap<Vec<u8>, DirEntry>> {
        let mut entries = BTreeMap::new();
        for entry in self.view.read_dir(absolute(folder).as_slice())? {
            let entry = entry?;
            let name: Vec<u8> = entry.file_name().as_ref().to_vec();
            if name != b"." && name != b".." {
                entries.insert(name, entry);
            }
        }
        Ok(entries)
    }

    fn found(&self, path: Vec<u8>, inode: &Inode, below_beyond: bool) -> anyhow::Result<Found> {
        let kind = inode.kind().context("it is of no known type")?;
        let (mtime, precise) = inode.mtime();
        Ok(Found {
            kind,
            mode: inode.mode(),
            uid: inode.uid(),
            gid: inode.gid(),
            size: if kind == EntryKind::File { inode.size() } else { 0 },
            mtime,
            precise,
            link: if kind == EntryKind::Symlink { Some(self.volume.target(inode)?) } else { None },
            rdev: matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice).then(|| inode.device()),
            xattrs: self.volume.xattrs(inode)?,
            flags: inode.flags(),
            project: inode.project(),
            inode: inode.number,
            beyond_view: below_beyond || inode.beyond_view(),
            path,
        })
    }

    /// Hashes a file's content: through `ext4-view` where it can reach the file, which it does by its path.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn hash(
        &self,
        found: &Found,
        mut hasher: ContentHasher,
        progress: &dyn Progress,
    ) -> anyhow::Result<Digest> {
        if found.beyond_view {
            let inode = self.volume.inode(found.inode)?;
            self.volume.stream(&inode, |bytes| {
                hasher.update(bytes);
                progress.advance(bytes.len() as u64, 0);
            })?;
            return Ok(hasher.finish());
        }
        let mut file = self.view.open(absolute(&found.path).as_slice())?;
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
        let inode = self.inode_at(path)?;
        (inode.kind() == Some(EntryKind::File)).then(|| self.volume.content(&inode).ok())?
    }

    /// The names in a folder; none where there is no such folder.
    pub(super) fn names(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let folder = self.inode_at(path).filter(|inode| inode.kind() == Some(EntryKind::Directory));
        let names = folder.and_then(|folder| self.volume.folder(&folder).ok()).unwrap_or_default();
        names.into_keys().collect()
    }

    /// The inode at a path without symlinks on the way.
    fn inode_at(&self, path: &[u8]) -> Option<Inode> {
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).try_fold(
            self.volume.inode(ROOT).ok()?,
            |at, part| {
                at.kind().filter(|kind| *kind == EntryKind::Directory)?;
                self.volume.inode(*self.volume.folder(&at).ok()?.get(part)?).ok()
            },
        )
    }
}

/// Two readers that were written apart must see the same.
fn agree(found: &Found, seen: &ext4_view::Metadata, inode: &Inode) -> anyhow::Result<()> {
    let same = u32::from(seen.mode()) == found.mode
        && seen.uid() == found.uid
        && seen.gid() == found.gid
        && seen.len() == inode.size()
        && seen.modified().seconds() == found.mtime.sec
        && seen.modified().nanoseconds() == found.mtime.nsec;
    ensure!(same, "two readers disagree about the metadata of {}", shown(&found.path));
    Ok(())
}

fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// A path as messages show it.
fn shown(path: &[u8]) -> String {
    vault::EntryPath::new(path).map_or_else(|| String::from_utf8_lossy(path).into_owned(), |path| path.to_string())
}

#[cfg(test)]
mod tests;
