//! A filesystem to hold what the one under `/tmp` may not: attributes of 64 KiB, project ids, files of 16 TB.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Scratch, set_xattr};

/// A folder on the most capable filesystem that this kernel and user allow, for as long as the value lives.
pub struct Ground {
    scratch: Scratch,
    mounted: bool,
}

impl Ground {
    /// XFS in a file, else memory, else the folder for temporary files as it is.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let (image, folder) = (scratch.path("image"), scratch.folder("ground"));
        std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        let xfs = succeeds(Command::new("mkfs.xfs").arg("-q").arg(&image))
            && succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder));
        let mounted = xfs || succeeds(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&folder));
        Ground { scratch, mounted }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path("ground").join(name)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    /// The largest attribute that a file takes here, up to the kernel's own limit of 64 KiB.
    pub fn largest_xattr(&self) -> usize {
        let probe = self.path("probe");
        std::fs::write(&probe, "").unwrap();
        let fits = |len: &usize| {
            rustix::fs::lsetxattr(&probe, "user.probe", &vec![1; *len], rustix::fs::XattrFlags::empty()).is_ok()
        };
        let largest = [65536, 60_000, 30_000, 4000, 2000].into_iter().find(fits).unwrap();
        std::fs::remove_file(&probe).unwrap();
        largest
    }

    /// The largest size that a file may have here, of those that matter.
    pub fn largest_file(&self) -> u64 {
        let probe = std::fs::File::create(self.path("probe")).unwrap();
        let fits = |size: &u64| probe.set_len(*size).is_ok();
        let largest = [(16 << 40) + 12_345, (16 << 40) - 4096, 8 << 40].into_iter().find(fits).unwrap();
        std::fs::remove_file(self.path("probe")).unwrap();
        largest
    }

    /// Gives a file or folder a project id, where there is such a thing.
    pub fn set_project(&self, path: &Path, project: u32) {
        succeeds(Command::new("chattr").arg("-p").arg(project.to_string()).arg(path));
    }

    /// Fills a file with one attribute as large as fits beside what it has.
    pub fn set_large_xattr(&self, path: &Path) {
        set_xattr(path, "user.large", &super::noise(self.largest_xattr(), 64));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.mounted {
            succeeds(Command::new("umount").arg("-l").arg(self.scratch.path("ground")));
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
