//! What no path shows: files below a mount point, and files of a btrfs outside everything that is mounted. They are looked at through mounts that
//! are attached nowhere: no other program sees them, and they end with their descriptor.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layout::Layout;
use layout::mountinfo::{MountEntry, on_the_way, over_themselves, visible};
use manifest::host::{Coverage, Gap};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

use super::source::Source;
use super::{Options, exclusions, gap};

/// Folders that are looked into before a tree counts as one with files.
const MOST_FOLDERS: usize = 10_000;
/// A subvolume's own folder has this inode number.
const SUBVOLUME: u64 = 256;

/// A mount that is attached nowhere.
struct Aside(OwnedFd);

impl Aside {
    /// The filesystem that is mounted at `path`, without what is mounted over its folders.
    fn of_mount(path: &Path) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(Self(open_tree(CWD, path, flags)?))
    }

    /// The top of the btrfs on `device`, read-only.
    fn top_of(device: &Path) -> io::Result<Self> {
        let context = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", device)?;
        fsconfig_set_string(&context, "subvolid", "5")?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOATIME;
        Ok(Self(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
    }

    fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(inside.trim_start_matches('/'))
    }
}

/// Folders of captured filesystems that something is mounted over though they hold something: a filesystem, or another folder of one.
pub(super) fn below_mounts(
    source: &Source,
    layout: &Layout,
    coverage: &Coverage,
    options: &Options,
    mounts: &[MountEntry],
    gaps: &mut Vec<Gap>,
) {
    if !source.is_live() {
        return;
    }
    let themselves = over_themselves(mounts);
    let left_out = exclusions::of(options, &[], &[]);
    let is_left_out = |path: &str| left_out.iter().any(|above| on_the_way(&above.pattern, path));
    // Memory in the place of a folder: log2ram and its like.
    let in_memory = |entry: &MountEntry| matches!(entry.fstype.as_str(), "tmpfs" | "ramfs");
    let over = visible(mounts).into_iter().filter(|entry| !entry.is_pseudo() || in_memory(entry));
    let over = over.filter(|entry| !themselves.contains(entry) && !is_left_out(&entry.path));
    for mount in over.filter(|entry| entry.path != "/") {
        let above =
            layout.mounts.iter().filter(|other| other.path != mount.path && on_the_way(&other.path, &mount.path));
        let parent = above.max_by_key(|other| other.path.len()).filter(|parent| coverage.restores(&parent.node));
        let Some(parent) = parent else { continue };
        let inside = mount.path.strip_prefix(parent.path.trim_end_matches('/')).unwrap_or(&mount.path);
        // Without the right to look, or on a kernel before 5.2, nothing can be said.
        let Ok(aside) = Aside::of_mount(&source.path(&parent.path)) else { continue };
        let count = fs::read_dir(aside.path(inside)).map_or(0, Iterator::count);
        if count > 0 {
            gaps.push(gap(
                format!("the folder {} below its mount", mount.path),
                format!("it holds {count} entries of its own, which what is mounted hides: they are not archived"),
            ));
        }
    }
}

/// Which of these subvolumes of the btrfs on `device` hold nothing but folders and other subvolumes. The empty path is the top.
pub(super) fn bare<'a>(device: &Path, subvolumes: impl Iterator<Item = &'a str>) -> io::Result<Vec<&'a str>> {
    let top = Aside::top_of(device)?;
    let bare = subvolumes.filter(|path| {
        let mut left = MOST_FOLDERS;
        !has_files(&top.path(path), &mut left).unwrap_or(true)
    });
    Ok(bare.collect())
}

fn has_files(folder: &Path, left: &mut usize) -> io::Result<bool> {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return Ok(true);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            return Ok(true);
        }
        if entry.metadata()?.ino() != SUBVOLUME && has_files(&entry.path(), left)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_files_are_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let has = |limit: usize| has_files(folder.path(), &mut limit.clone()).unwrap();
        assert!(!has(MOST_FOLDERS));
        assert!(has(2), "what is too large to be looked through counts as one with files");
        fs::write(folder.path().join("a/b/file"), "").unwrap();
        assert!(has(MOST_FOLDERS));
    }
}
