//! The disks of this machine, as the kernel shows them in /sys, and what is on them now. Reads only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use layout::disk::{Disk, Table};
use layout::matching::{Barred, Held, Present, drop_shared_serials};
use layout::serial::DiskNames;
use layout::{Bytes, Guid};

use crate::kernel::sysfs;
use crate::{signature, system};

/// Kernel names that are no disks of the machine.
const NOT_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];
/// Names of the partitions that a stick has; another stick is recognised by them.
const STICK_LABELS: [&str; 2] = ["LIFEBOAT", "LIFEBOATESP"];

/// Kernel names of the whole disks that have a medium, sorted.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_disk = |name: &str| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)) && !is_hidden(name);
    names.retain(|name| is_disk(name) && size_of(name) > 0);
    names.sort_unstable();
    names
}

/// Whether the kernel keeps a device to itself: one of several paths to an NVMe namespace, which has a disk of its own and no node.
pub fn is_hidden(name: &str) -> bool {
    sysfs(Path::new("/sys/class/block").join(name).join("hidden")).as_deref() == Some("1")
}

/// What lies on every medium but the disk `but`, each in a line, for people.
pub fn contents(but: &str) -> Vec<String> {
    let media = names().into_iter().filter(|name| name != but);
    let held = media.flat_map(|name| holds(&name, &Path::new("/sys/block").join(&name)));
    held.map(|held| format!("{}: {}, {}", held.path, held.what, held.size)).collect()
}

/// Every disk with what is on it; the one named `stick` is barred, and so is any other stick.
pub fn present(stick: &str) -> Vec<Present> {
    let mut present: Vec<Present> = names().iter().map(|name| describe(name, name == stick)).collect();
    drop_shared_serials(&mut present);
    present
}

fn describe(name: &str, is_stick: bool) -> Present {
    let sys = Path::new("/sys/block").join(name);
    let path = format!("/dev/{name}");
    let logical_sector = number(&sys.join("queue/logical_block_size")).unwrap_or(512) as u32;
    let holds = holds(name, &sys);
    let other_stick =
        holds.iter().any(|held| STICK_LABELS.iter().any(|label| held.what.contains(&format!(" {label:?}"))));
    let barred = if is_stick {
        Some(Barred::Stick)
    } else if other_stick {
        Some(Barred::OtherStick)
    } else if sysfs(sys.join("ro")).as_deref() == Some("1") {
        Some(Barred::ReadOnly)
    } else if !holders(name).is_empty() {
        Some(Barred::InUse)
    } else {
        None
    };
    let names = disk_names(&sys);
    let disk = Disk {
        model: sysfs(sys.join("device/model")).unwrap_or_default(),
        serial: names.serial(),
        wwn: names.wwn(),
        transport: transport(&sys),
        logical_sector,
        physical_sector: number(&sys.join("queue/physical_block_size")).unwrap_or(512) as u32,
        // A card in a slot is not called removable, and is.
        removable: sysfs(sys.join("removable")).as_deref() == Some("1")
            || sysfs(sys.join("device/type")).as_deref() == Some("SD"),
        rotational: sysfs(sys.join("queue/rotational")).as_deref() == Some("1"),
        // What is on it stands in `holds`; the old table is of no use to the planner.
        table: Table::None,
    };
    Present { path, size: Bytes(size_of(name)), disk, holds, barred }
}

fn number(path: &Path) -> Option<u64> {
    sysfs(path)?.parse().ok()
}

/// Size in bytes; /sys counts in 512 bytes whatever the sectors are.
fn size_of(name: &str) -> u64 {
    number(&Path::new("/sys/block").join(name).join("size")).unwrap_or(0) * 512
}

/// Logical sector size of a disk, as `gpt` wants it.
pub fn sector_of(name: &str) -> LogicalBlockSize {
    match number(&Path::new("/sys/block").join(name).join("queue/logical_block_size")) {
        Some(4096) => LogicalBlockSize::Lb4096,
        _ => LogicalBlockSize::Lb512,
    }
}

/// The GUID of a disk's GPT; none where it has no GPT that can be read.
pub fn guid_of(name: &str) -> Option<Guid> {
    let disk = GptConfig::new().logical_block_size(sector_of(name)).open(format!("/dev/{name}")).ok()?;
    Guid::new(&disk.guid().to_string()).ok()
}

/// The GUIDs of all partitions on all disks of this machine.
pub fn partition_guids() -> BTreeSet<Guid> {
    let tables = names()
        .into_iter()
        .filter_map(|name| GptConfig::new().logical_block_size(sector_of(&name)).open(format!("/dev/{name}")).ok());
    let guids = tables.flat_map(|disk| {
        let parts = disk.partitions().values().map(|partition| partition.part_guid.to_string());
        parts.collect::<Vec<String>>()
    });
    guids.filter_map(|guid| Guid::new(&guid).ok()).collect()
}

/// The places where the kernel shows what a disk is called; which of them counts is one rule for capture and restore.
fn disk_names(sys: &Path) -> DiskNames {
    let usb = ancestors(sys).into_iter().find(|folder| folder.join("idVendor").exists());
    DiskNames {
        usb: usb.and_then(|device| sysfs(device.join("serial"))),
        block: sysfs(sys.join("serial")),
        device: sysfs(sys.join("device/serial")),
        vpd: fs::read(sys.join("device/vpd_pg80")).ok(),
        udev: None,
        wwid: sysfs(sys.join("wwid")).or_else(|| sysfs(sys.join("device/wwid"))),
    }
}

fn transport(sys: &Path) -> Option<String> {
    let folders = ancestors(sys);
    let names: Vec<String> =
        folders.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let has = |prefix: &str| {
        names.iter().any(|name| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
        })
    };
    let kind = match () {
        () if has("usb") => "usb",
        () if has("nvme") => "nvme",
        () if has("ata") => "sata",
        () if has("virtio") => "virtio",
        () if has("host") => "scsi",
        () => return None,
    };
    Some(kind.to_owned())
}

/// The device's folder in /sys/devices and those above it, nearest first.
fn ancestors(sys: &Path) -> Vec<PathBuf> {
    let Ok(real) = fs::canonicalize(sys) else { return Vec::new() };
    real.ancestors().map(Path::to_owned).collect()
}

/// A partition as the kernel has it.
pub struct KernelPartition {
    /// Its number.
    pub number: u32,
    /// Its node: `/dev/vda2`.
    pub path: PathBuf,
    /// First byte on the disk.
    pub start: Bytes,
    /// Size in bytes.
    pub size: Bytes,
}

/// A disk's partitions as the kernel has them, in disk order.
pub fn partitions(name: &str) -> Vec<KernelPartition> {
    let sys = Path::new("/sys/block").join(name);
    let entries = fs::read_dir(sys).into_iter().flatten().flatten();
    let mut partitions: Vec<KernelPartition> = entries
        .filter_map(|entry| {
            let folder = entry.path();
            Some(KernelPartition {
                number: u32::try_from(number(&folder.join("partition"))?).ok()?,
                path: Path::new("/dev").join(entry.file_name()),
                start: Bytes(number(&folder.join("start"))? * 512),
                size: Bytes(number(&folder.join("size"))? * 512),
            })
        })
        .collect();
    partitions.sort_by_key(|partition| partition.start);
    partitions
}

/// What lies on a disk or its partitions in the kernel now: arrays and volumes that were started, by name.
pub fn holders(name: &str) -> Vec<String> {
    let sys = Path::new("/sys/class/block");
    let parts = partitions(name).into_iter().filter_map(|part| Some(part.path.file_name()?.to_str()?.to_owned()));
    let folders = std::iter::once(name.to_owned()).chain(parts).map(|name| sys.join(name).join("holders"));
    let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn holds(name: &str, sys: &Path) -> Vec<Held> {
    let found: Vec<Held> = partitions(name)
        .into_iter()
        .map(|partition| Held {
            path: partition.path.display().to_string(),
            start: partition.start,
            size: partition.size,
            what: what(&partition.path).unwrap_or_else(|| "nothing known".to_owned()),
        })
        .collect();
    if !found.is_empty() {
        return found;
    }
    let path = Path::new("/dev").join(sys.file_name().unwrap_or_default());
    let whole = |what| Held { path: path.display().to_string(), start: Bytes(0), size: Bytes(size_of(name)), what };
    what(&path).map(whole).into_iter().collect()
}

fn what(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut start = vec![0; signature::LENGTH];
    let mut filled = 0;
    file.seek(SeekFrom::Start(0)).ok()?;
    while filled < start.len() {
        match file.read(&mut start[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
    }
    let name = signature::name(&start[..filled])?;
    Some(match system::on(path) {
        Some(system) => format!("{name}: {system}"),
        None => name,
    })
}
