//! The kernel's side of being PID 1: its filesystems, its command line, block device ioctls, and the end.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

/// Mounts the kernel's filesystems. Those that are there already (a nested run) are left as they are.
pub fn mount_own() -> io::Result<()> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let device = MountFlags::NOSUID;
    for (source, target, fstype, flags) in [
        ("proc", "/proc", "proc", plain),
        ("sysfs", "/sys", "sysfs", plain),
        ("devtmpfs", "/dev", "devtmpfs", device),
        ("devpts", "/dev/pts", "devpts", device | MountFlags::NOEXEC),
        ("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV),
        ("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV),
    ] {
        fs::create_dir_all(target)?;
        match mount(source, target, fstype, flags, None) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(io::Error::other(format!("mounting {target}: {error}"))),
        }
    }
    fs::create_dir_all("/mnt")?;
    fs::create_dir_all("/target")
}

/// Whether the machine was booted by UEFI.
pub fn uefi() -> bool {
    Path::new("/sys/firmware/efi").is_dir()
}

/// Where UEFI variables lie when [`mount_efivars`] succeeded.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Mounts UEFI variables; false where the machine has none or they cannot be reached.
pub fn mount_efivars() -> bool {
    if !uefi() {
        return false;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    matches!(mount("efivarfs", EFIVARS, "efivarfs", flags, None), Ok(()) | Err(rustix::io::Errno::BUSY))
}

/// Whether the firmware enforces Secure Boot; none where it does not say.
pub fn secure_boot() -> Option<bool> {
    let variable = Path::new(EFIVARS).join("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    // Four bytes of attributes stand in front.
    Some(fs::read(variable).ok()?.get(4)? == &1)
}

/// Keeps the kernel's messages off the consoles (they stay in its buffer), so that the rescue's lines stay readable.
pub fn quiet() {
    // A kernel without this file prints more, and that is all.
    let _ = fs::write("/proc/sys/kernel/printk", "1 4 1 7");
}

/// The value of `name=` on the kernel's command line.
pub fn parameter(cmdline: &str, name: &str) -> Option<String> {
    cmdline.split_ascii_whitespace().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// The kernel's command line.
pub fn cmdline() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

/// Seconds since the machine was switched on, as the kernel counts.
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// A file of /sys without its white space; none where it is missing or empty.
pub fn sysfs(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

const BLKROSET: rustix::ioctl::Opcode = 0x125d;
const BLKROGET: rustix::ioctl::Opcode = 0x125e;
const BLKRRPART: rustix::ioctl::Opcode = 0x125f;

/// Makes a block device read-only in the kernel, or writable again.
#[expect(unsafe_code, reason = "rustix has no wrapper for BLKROSET")]
pub fn set_read_only(path: &Path, read_only: bool) -> io::Result<()> {
    let device = File::open(path)?;
    // SAFETY: BLKROSET (linux/fs.h) takes a pointer to an int, which `Setter` passes for the length of the call.
    unsafe {
        let request = rustix::ioctl::Setter::<BLKROSET, std::ffi::c_int>::new(std::ffi::c_int::from(read_only));
        rustix::ioctl::ioctl(device.as_fd(), request)?;
    }
    Ok(())
}

/// Whether the kernel refuses writes to a block device.
#[expect(unsafe_code, reason = "rustix has no wrapper for BLKROGET")]
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    let device = File::open(path)?;
    // SAFETY: BLKROGET (linux/fs.h) writes an int to the pointer that `Getter` passes for the length of the call.
    let flag = unsafe {
        let request = rustix::ioctl::Getter::<BLKROGET, std::ffi::c_int>::new();
        rustix::ioctl::ioctl(device.as_fd(), request)?
    };
    Ok(flag != 0)
}

/// Makes the kernel read a disk's partition table again. Busy devices are tried again for a while: the kernel
/// or a tool may still hold a partition of the old table open.
#[expect(unsafe_code, reason = "rustix has no wrapper for BLKRRPART")]
pub fn read_partitions_again(disk: &File) -> io::Result<()> {
    let mut tries = 0;
    loop {
        // SAFETY: BLKRRPART (linux/fs.h) takes no argument.
        let result = unsafe { rustix::ioctl::ioctl(disk.as_fd(), rustix::ioctl::NoArg::<BLKRRPART>::new()) };
        match result {
            Err(rustix::io::Errno::BUSY) if tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            result => return Ok(result?),
        }
    }
}

/// Drops the page cache, so that what is compared was read from the disk.
pub fn drop_caches() -> io::Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
}

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Start again, from the restored disk.
    Reboot,
    /// Switch off.
    PowerOff,
}

impl End {
    /// The word in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "power-off",
        }
    }

    /// Ends the machine. Returns only when the kernel refuses.
    pub fn now(self) -> io::Error {
        rustix::fs::sync();
        let command = match self {
            Self::Reboot => rustix::system::RebootCommand::Restart,
            Self::PowerOff => rustix::system::RebootCommand::PowerOff,
        };
        match rustix::system::reboot(command) {
            Ok(()) => io::Error::other("the machine is still running"),
            Err(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_whole_words() {
        let line = "quiet lifeboat.silence=5 xlifeboat.slot=b lifeboat.slot=a";
        assert_eq!(parameter(line, "lifeboat.slot").as_deref(), Some("a"));
        assert_eq!(parameter(line, "lifeboat.silence").as_deref(), Some("5"));
        assert_eq!(parameter(line, "lifeboat"), None);
    }
}
