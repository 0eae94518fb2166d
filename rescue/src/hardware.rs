//! Controllers and cards that no driver has taken: what this stick cannot see, told before anybody trusts the list of disks.

use std::fs;
use std::path::Path;

use crate::kernel::sysfs;

/// A line for each storage controller, network card and USB controller on PCI below `sys` that has no driver.
pub fn without_driver(sys: &Path) -> Vec<String> {
    let entries = fs::read_dir(sys.join("bus/pci/devices")).into_iter().flatten().flatten();
    let mut lines: Vec<String> = entries.filter_map(|entry| line(&entry.path())).collect();
    lines.sort_unstable();
    lines
}

fn line(device: &Path) -> Option<String> {
    if device.join("driver").exists() {
        return None;
    }
    let class = sysfs(device.join("class"))?;
    let id = |name: &str| sysfs(device.join(name)).unwrap_or_default().trim_start_matches("0x").to_owned();
    let (what, effect) = match class.trim_start_matches("0x").get(..4)? {
        // IDE controllers without a disk have no driver on many boards, and SATA ones in their compatibility mode neither.
        class if class.starts_with("01") => (storage(class), "disks on it are not seen"),
        "0280" => return None,
        class if class.starts_with("02") => ("network card", "it cannot be used here"),
        "0c03" => ("USB controller", "sticks and keyboards on it are not seen"),
        _ => return None,
    };
    let address = device.file_name()?.to_string_lossy().into_owned();
    Some(format!(
        "{what} {}:{} at {address}: this stick has no driver that takes it; {effect}",
        id("vendor"),
        id("device")
    ))
}

fn storage(class: &str) -> &'static str {
    match class {
        "0101" => "IDE controller",
        "0104" => "RAID controller",
        "0106" => "SATA controller",
        "0107" => "SAS controller",
        "0108" => "NVMe controller",
        _ => "storage controller",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(sys: &Path, address: &str, class: &str, driver: bool) {
        let folder = sys.join("bus/pci/devices").join(address);
        fs::create_dir_all(&folder).unwrap();
        for (name, value) in [("class", class), ("vendor", "0x1000"), ("device", "0x005d")] {
            fs::write(folder.join(name), format!("{value}\n")).unwrap();
        }
        if driver {
            fs::create_dir(folder.join("driver")).unwrap();
        }
    }

    #[test]
    fn only_controllers_and_cards_that_nothing_drives_are_named() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        device(sys, "0000:00:02.0", "0x010601", true);
        device(sys, "0000:00:03.0", "0x030000", false);
        device(sys, "0000:01:00.0", "0x010400", false);
        device(sys, "0000:02:00.0", "0x020000", false);
        device(sys, "0000:03:00.0", "0x028000", false);
        let lines = without_driver(sys);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("RAID controller 1000:005d at 0000:01:00.0"), "{lines:?}");
        assert!(lines[1].starts_with("network card"), "{lines:?}");
        assert!(without_driver(&sys.join("none")).is_empty());
    }
}
