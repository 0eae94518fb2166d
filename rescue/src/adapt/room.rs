//! The restored system as a place to run its own tools in: /dev, /proc, /sys, /run and, under UEFI, its variables.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::apply::TARGET;
use crate::kernel;
use crate::stop::{Code, OrStop, Result};

/// Mounts below the target root, undone when it is closed or dropped.
pub struct Room {
    mounted: Vec<PathBuf>,
}

impl Room {
    /// Makes the room.
    ///
    /// # Errors
    /// When one of its mounts fails.
    pub fn open() -> Result<Self> {
        let mut room = Self { mounted: Vec::new() };
        for source in ["/dev", "/proc", "/sys"] {
            room.bind(source)?;
        }
        if Path::new(kernel::EFIVARS).read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            room.bind(kernel::EFIVARS)?;
        }
        let run = Path::new(TARGET).join("run");
        mount("tmpfs", &run, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None).or_stop(
            Code::Io,
            format!("mounting {}", run.display()),
            "Open a shell and look at the mount points.",
        )?;
        room.mounted.push(run);
        Ok(room)
    }

    fn bind(&mut self, source: &str) -> Result<()> {
        let target = Path::new(TARGET).join(source.trim_start_matches('/'));
        let doing = || format!("binding {source} to {}", target.display());
        let advice = "Open a shell and look at the mount points.";
        // /dev, /proc and /sys are in every snapshot of a host; efivars is inside the bound /sys.
        if !target.exists() {
            fs::create_dir_all(&target).or_stop(Code::Io, doing(), advice)?;
        }
        mount_bind(source, &target).or_stop(Code::Io, doing(), advice)?;
        self.mounted.push(target);
        Ok(())
    }

    /// A command inside the room.
    pub fn command(&self, program: &str) -> exec::Command {
        exec::Command::new(program)
            .chroot(TARGET)
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
    }

    /// Whether the restored system has this program.
    pub fn has(&self, program: &str) -> bool {
        ["usr/sbin", "usr/bin", "sbin", "bin"]
            .iter()
            .any(|folder| Path::new(TARGET).join(folder).join(program).is_file())
    }

    /// Undoes the mounts.
    ///
    /// # Errors
    /// When one is still in use.
    pub fn close(mut self) -> Result<()> {
        while let Some(path) = self.mounted.pop() {
            unmount(&path, UnmountFlags::empty()).or_stop(
                Code::Io,
                format!("unmounting {}", path.display()),
                "A tool of the restored system is still running. Open a shell and end it.",
            )?;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        while let Some(path) = self.mounted.pop() {
            // After a failure; detached is as good as unmounted for what comes next, which is the end.
            let _ = unmount(&path, UnmountFlags::DETACH);
        }
    }
}
