//! Swap files: they are left out of the archive, and fstab names them. Each is made anew with its old size.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use manifest::host::{Host, SwapFile};
use rustix::fs::{FallocateFlags, IFlags};

use super::Adaptation;
use crate::apply::TARGET;
use crate::report::put_back;

/// Makes every recorded swap file. One that cannot be made costs swap space and not the restore: it is named.
pub fn make(host: &Host, done: &mut Adaptation) {
    for file in &host.swap_files {
        match make_one(Path::new(TARGET), file) {
            Ok(()) => done.place(&file.path, "a swap file, made anew"),
            Err(why) => done.not_adapted.push(format!("the swap file {} could not be made: {why}", file.path)),
        }
    }
}

fn make_one(root: &Path, file: &SwapFile) -> io::Result<()> {
    let (folder, path) = place(root, &file.path)?;
    let times = fs::symlink_metadata(&folder)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    // btrfs takes no file for swap whose blocks move on writing, and lets that be said of an empty file alone. Others have no such flag.
    if let Ok(flags) = rustix::fs::ioctl_getflags(&made) {
        let _ = rustix::fs::ioctl_setflags(&made, flags | IFlags::NOCOW);
    }
    // Real blocks: the kernel refuses a swap file with holes.
    let result = rustix::fs::fallocate(&made, FallocateFlags::empty(), 0, file.size.0).map_err(io::Error::from);
    drop(made);
    let result = result.and_then(|()| {
        let program = exec::find("mkswap").unwrap_or_else(|| "mkswap".into());
        exec::Command::new(program).arg(&path).run().map(drop).map_err(io::Error::other)
    });
    if result.is_err() {
        fs::remove_file(&path)?;
    }
    put_back(&folder, &times)?;
    result
}

/// The folder and the path of a swap file below `root`. Links on the way must not lead out of it.
fn place(root: &Path, path: &str) -> io::Result<(PathBuf, PathBuf)> {
    let outside = || io::Error::new(io::ErrorKind::InvalidInput, "its path leads out of the restored system");
    let path = Path::new(path).strip_prefix("/").map_err(|_| outside())?;
    let name = path.file_name().ok_or_else(outside)?;
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(outside());
    }
    let root = root.canonicalize()?;
    let folder = root.join(path).parent().ok_or_else(outside)?.canonicalize()?;
    if folder.starts_with(&root) { Ok((folder.clone(), folder.join(name))) } else { Err(outside()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use layout::Bytes;

    use super::*;

    fn swap(path: &str) -> SwapFile {
        SwapFile { path: path.to_owned(), size: Bytes(4 << 20) }
    }

    #[test]
    fn a_swap_file_is_whole_private_and_has_a_header() {
        let root = tempfile::tempdir().unwrap();
        let before = fs::symlink_metadata(root.path()).unwrap();
        make_one(root.path(), &swap("/swapfile")).unwrap();
        let made = fs::symlink_metadata(root.path().join("swapfile")).unwrap();
        assert_eq!((made.len(), made.permissions().mode() & 0o777), (4 << 20, 0o600));
        assert!(made.blocks() * 512 >= 4 << 20, "it has no holes");
        let bytes = fs::read(root.path().join("swapfile")).unwrap();
        assert_eq!(&bytes[4086..4096], b"SWAPSPACE2");
        let after = fs::symlink_metadata(root.path()).unwrap();
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
    }

    #[test]
    fn nothing_is_made_outside_or_over_a_file() {
        let root = tempfile::tempdir().unwrap();
        symlink("/tmp", root.path().join("link")).unwrap();
        fs::write(root.path().join("there"), "kept").unwrap();
        for path in ["/../swapfile", "swapfile", "/", "/link/lifeboat-swapfile", "/missing/swapfile", "/there"] {
            assert!(make_one(root.path(), &swap(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read(root.path().join("there")).unwrap(), b"kept");
    }
}
