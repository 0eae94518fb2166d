//! The drivers that this host's disks and network cards run with, as sysfs shows them: what a rescue system needs on this very machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Modules that drive disks and wired network cards, and the buses that those hang on. Empty below a root without sysfs.
pub fn drivers(root: &Path) -> BTreeSet<String> {
    let devices = root.join("sys/devices");
    let Ok(devices) = devices.canonicalize() else { return BTreeSet::new() };
    let mut names = BTreeSet::new();
    for class in ["block", "net"] {
        let entries = fs::read_dir(root.join("sys/class").join(class)).into_iter().flatten().flatten();
        for device in entries.filter_map(|entry| entry.path().canonicalize().ok()) {
            // The rescue has no radio: it would need firmware by the hundred megabytes, and a password.
            if device.join("wireless").exists() || device.join("phy80211").exists() {
                continue;
            }
            let above = device.ancestors().take_while(|folder| folder.starts_with(&devices));
            names.extend(above.filter_map(driver));
        }
    }
    names
}

/// The module that drives a device; none where nothing does, or where what does is built into the kernel.
fn driver(device: &Path) -> Option<String> {
    let module = fs::read_link(device.join("driver/module")).ok()?;
    Some(module.file_name()?.to_string_lossy().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_disk_brings_its_own_driver_and_those_of_every_bus_above_it() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path().join("sys");
        let controller = sys.join("devices/pci0000:00/0000:00:02.0");
        let disk = controller.join("ata1/host0/target0:0:0/0:0:0:0");
        fs::create_dir_all(disk.join("block/sda")).unwrap();
        fs::create_dir_all(controller.join("net/wlan0/wireless")).unwrap();
        for (device, module) in [(&controller, "ahci"), (&disk, "sd-mod")] {
            let driver = sys.join("bus/x/drivers").join(module);
            fs::create_dir_all(&driver).unwrap();
            fs::create_dir_all(sys.join("module").join(module)).unwrap();
            symlink(format!("../../../../module/{module}"), driver.join("module")).unwrap();
            symlink(&driver, device.join("driver")).unwrap();
        }
        fs::create_dir_all(sys.join("class/block")).unwrap();
        symlink(disk.join("block/sda"), sys.join("class/block/sda")).unwrap();
        assert_eq!(drivers(root.path()).into_iter().collect::<Vec<_>>(), ["ahci", "sd_mod"]);
        assert!(drivers(&root.path().join("none")).is_empty());
    }
}
