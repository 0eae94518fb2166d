//! The host's block devices: from `lsblk`, and from sysfs what lsblk leaves open or where it is missing.

use std::path::Path;

use exec::Command;
use layout::Bytes;
use layout::lsblk::{self, BlockDevice};
use layout::serial::DiskNames;
use manifest::host::Gap;

use super::gap;
use super::source::Source;

const SYSFS: &str = "/sys/class/block";

/// All block devices. Serial numbers and names come from the kernel by the rule of [`DiskNames`], so that the rescue,
/// which has no udev, finds the same ones.
pub(super) fn devices(source: &Source, gaps: &mut Vec<Gap>) -> Vec<BlockDevice> {
    let mut devices = if source.is_live() { listed(gaps) } else { None }.unwrap_or_else(|| walk(source));
    if devices.is_empty() {
        gaps.push(gap("block devices", "neither lsblk nor /sys/class/block lists any"));
    }
    for device in &mut devices {
        complete(source, device);
    }
    devices
}

fn listed(gaps: &mut Vec<Gap>) -> Option<Vec<BlockDevice>> {
    let list = |columns: &str| -> anyhow::Result<Vec<BlockDevice>> {
        let text = Command::new("lsblk").args(["--json", "--bytes", "--output", columns]).read()?;
        Ok(lsblk::parse(&text)?)
    };
    let found = list(lsblk::COLUMNS).or_else(|first| list(lsblk::COLUMNS_AT_LEAST).map_err(|_| first));
    match found {
        Ok(devices) => Some(devices),
        Err(error) => {
            gaps.push(gap("lsblk", format!("{error:#}; block devices are read from /sys instead")));
            None
        }
    }
}

/// The devices as sysfs shows them, disks before their partitions.
fn walk(source: &Source) -> Vec<BlockDevice> {
    let mut devices: Vec<BlockDevice> = source.names(SYSFS).iter().map(|name| from_sysfs(source, name)).collect();
    devices.sort_by_key(|device| !device.parents.is_empty());
    devices
}

fn from_sysfs(source: &Source, kname: &str) -> BlockDevice {
    let folder = Path::new(SYSFS).join(kname);
    let parents = if source.exists(folder.join("partition")) {
        let real = source.real(&folder);
        let disk = real.as_deref().and_then(Path::parent).and_then(Path::file_name);
        disk.map(|name| name.to_string_lossy().into_owned()).into_iter().collect()
    } else {
        source.names(folder.join("slaves"))
    };
    let dm = source.text(folder.join("dm/uuid")).and_then(|uuid| uuid.split('-').next().map(str::to_lowercase));
    let kind = match dm {
        _ if source.exists(folder.join("partition")) => "part".to_owned(),
        Some(kind) => kind,
        None => source.text(folder.join("md/level")).unwrap_or_else(|| {
            let prefix = kname.trim_end_matches(|c: char| c.is_ascii_digit());
            match prefix {
                "loop" => "loop".into(),
                "sr" => "rom".into(),
                _ => "disk".into(),
            }
        }),
    };
    BlockDevice {
        kname: kname.to_owned(),
        path: match source.text(folder.join("dm/name")) {
            Some(name) => format!("/dev/mapper/{name}"),
            None => format!("/dev/{kname}"),
        },
        number: source.text(folder.join("dev")).unwrap_or_default(),
        kind,
        // sysfs counts in units of 512 bytes whatever the sector size is.
        size: Bytes(source.number(folder.join("size")).unwrap_or(0) * 512),
        removable: source.number(folder.join("removable")) == Some(1),
        rotational: source.number(folder.join("queue/rotational")) == Some(1),
        parents,
        ..BlockDevice::default()
    }
}

/// Fills in from sysfs what names a disk and how its sectors are.
fn complete(source: &Source, device: &mut BlockDevice) {
    let folder = Path::new(SYSFS).join(&device.kname);
    let sector = |name: &str| source.number(folder.join(name)).and_then(|size| u32::try_from(size).ok());
    device.logical_sector = sector("queue/logical_block_size").or(device.logical_sector);
    device.physical_sector = sector("queue/physical_block_size").or(device.physical_sector);
    if device.kind != "disk" {
        return;
    }
    let real = source.real(&folder);
    let usb = real.as_deref().and_then(|path| {
        let device = path.ancestors().find(|folder| source.exists(folder.join("idVendor")))?;
        source.text(device.join("serial"))
    });
    let names = DiskNames {
        usb,
        block: source.text(folder.join("serial")),
        device: source.text(folder.join("device/serial")),
        vpd: source.bytes(folder.join("device/vpd_pg80")).ok(),
        udev: device.serial.take(),
        wwid: source.text(folder.join("wwid")).or_else(|| source.text(folder.join("device/wwid"))),
    };
    device.serial = names.serial();
    device.wwn = names.wwn().or(device.wwn.take());
    device.model = source.text(folder.join("device/model")).or(device.model.take());
    device.transport = real.as_deref().and_then(transport).map(str::to_owned).or(device.transport.take());
}

/// How a disk is attached, by the path of its device in sysfs.
fn transport(path: &Path) -> Option<&'static str> {
    let named = |prefix: &str| {
        path.components().any(|part| {
            let rest = part.as_os_str().to_str().and_then(|name| name.strip_prefix(prefix));
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    // USB first: a USB disk is a SCSI host too, and a SATA disk hangs on a SCSI host as well.
    [("usb", "usb"), ("nvme", "nvme"), ("mmc", "mmc"), ("ata", "sata"), ("virtio", "virtio"), ("host", "scsi")]
        .into_iter()
        .find_map(|(prefix, name)| named(prefix).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_a_disk_is_attached_is_read_off_its_path() {
        for (path, expected) in [
            ("/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", Some("sata")),
            ("/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host3/target3:0:0/3:0:0:0/block/sdb", Some("usb")),
            ("/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", Some("nvme")),
            ("/sys/devices/pci0000:00/0000:00:03.0/virtio0/block/vda", Some("virtio")),
            ("/sys/devices/pci0000:00/0000:00:04.0/virtio1/host2/target2:0:0/2:0:0:1/block/sdc", Some("virtio")),
            ("/sys/devices/platform/80860F14:00/mmc_host/mmc0/mmc0:0001/block/mmcblk0", Some("mmc")),
            ("/sys/devices/virtual/block/dm-0", None),
        ] {
            assert_eq!(transport(Path::new(path)), expected, "{path}");
        }
    }
}
