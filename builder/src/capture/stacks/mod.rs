//! What the tools of arrays and volumes say of this host, beside the devices' own bytes. One file a tool.
//!
//! A tool is asked only where a device shows that it has something to tell. One that is missing or fails is a gap:
//! its devices then stay nameless members, which coverage calls uncovered.

mod lvm;
mod md;
mod zfs;

use layout::lsblk::BlockDevice;
use layout::probe::Stacks;
use manifest::host::Gap;

use super::source::Source;

/// Asks the tools.
pub(super) fn stacks(source: &Source, devices: &[BlockDevice], gaps: &mut Vec<Gap>) -> Stacks {
    if !source.is_live() {
        return Stacks::default();
    }
    Stacks {
        lvm: lvm::report(devices, gaps),
        arrays: md::arrays(source, devices, gaps),
        zfs: zfs::report(source, devices, gaps),
        ..Stacks::default()
    }
}

/// The name in `devices` of the device that a tool calls `path`: tools know one device by several names (`/dev/md/root`, `/dev/dm-3`).
fn known(path: &str, devices: &[BlockDevice]) -> Option<String> {
    if devices.iter().any(|device| device.path == path) {
        return Some(path.to_owned());
    }
    let real = std::fs::canonicalize(path).ok()?;
    let kname = real.file_name()?.to_str()?;
    devices.iter().find(|device| device.kname == kname).map(|device| device.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kname: &str, path: &str) -> BlockDevice {
        BlockDevice { kname: kname.into(), path: path.into(), ..BlockDevice::default() }
    }

    #[test]
    fn a_device_by_another_name_is_found_by_the_kernels() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("dm-3");
        std::fs::write(&node, "").unwrap();
        let link = folder.path().join("sealed");
        std::os::unix::fs::symlink(&node, &link).unwrap();
        let devices = [device("dm-3", "/dev/mapper/sealed"), device("sda", "/dev/sda")];
        assert_eq!(known(link.to_str().unwrap(), &devices).as_deref(), Some("/dev/mapper/sealed"));
        assert_eq!(known("/dev/sda", &devices).as_deref(), Some("/dev/sda"));
        assert_eq!(known("/nowhere", &devices), None);
    }
}
