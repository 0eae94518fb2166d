//! A plan in words, as the tired admin reads it. Decides nothing.

use std::fmt;

use super::{Device, DiskPlan, Fill, Plan, Step};
use crate::gpt::ESP;
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::solve::NewPartition;
use crate::units::Bytes;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save { disk, regions } => {
                let size = regions.iter().map(|(_, length)| length.0).sum();
                write!(f, "save the old boot code, tables and headers of {disk} ({})", Bytes(size))
            }
            Self::Clear { disk, .. } => write!(f, "clear boot code and old signatures on {disk}"),
            Self::WriteGpt { disk, table } => {
                write!(f, "write the partition table of {disk} ({} partitions)", table.partitions.len())
            }
            Self::WriteDos { disk, table, .. } => {
                write!(f, "write the DOS partition table of {disk} ({} partitions)", table.partitions.len())
            }
            Self::MakeExt { device, ext, new, .. } => {
                write!(f, "make {} {} on {} ({new})", ext.fstype, ext.uuid, device.path())
            }
            Self::MakeXfs { device, xfs, new, .. } => write!(f, "make xfs {} on {} ({new})", xfs.uuid, device.path()),
            Self::MakeBtrfs { devices, btrfs } => {
                let names: Vec<String> = devices.iter().map(Device::path).collect();
                write!(f, "make btrfs {} on {}", btrfs.uuid, names.join(", "))?;
                match btrfs.subvolumes.len() {
                    0 => Ok(()),
                    count => write!(f, ", with {count} subvolumes"),
                }
            }
            Self::MakeArray { array, members } => {
                let names = members.iter().map(|member| member.as_ref().map_or("missing".into(), Device::path));
                let names: Vec<String> = names.collect();
                write!(f, "make {} {} over {}", array.level, array.path(), names.join(", "))
            }
            Self::MakeLuks { device, luks } => {
                write!(f, "write the saved LUKS{} header {} to {} and open it", luks.version, luks.uuid, device.path())
            }
            Self::MakePv { device, volume } => {
                write!(f, "make LVM physical volume {} on {}", volume.uuid, device.path())
            }
            Self::MakeVg { group, devices } => {
                let names: Vec<String> = devices.iter().map(Device::path).collect();
                write!(f, "make volume group {} over {}", group.name, names.join(", "))
            }
            Self::MakeLv { volume, size, .. } => write!(f, "make volume {} ({size})", volume.path()),
            Self::MakePool { pool, devices, .. } => {
                let names: Vec<String> = devices.iter().map(Device::path).collect();
                write!(f, "make ZFS pool {} on {}", pool.name, names.join(", "))
            }
            Self::MakeDataset { dataset } => match &dataset.volume {
                Some(volume) => write!(f, "make ZFS volume {} ({})", dataset.name, volume.size),
                None => write!(f, "make ZFS filesystem {}", dataset.name),
            },
            Self::FinishPool { pool, bootfs, settings } => {
                write!(f, "set {} properties on the pool {pool}", settings.len() + usize::from(bootfs.is_some()))
            }
            Self::MakeVfat { device, vfat, .. } => write!(f, "make FAT {} on {}", vfat.serial, device.path()),
            Self::MakeSwap { device, swap } => write!(f, "make swap {} on {}", swap.uuid, device.path()),
            Self::Mount { device, path, subvolume: Some(subvolume), .. } if !subvolume.is_empty() => {
                write!(f, "mount {subvolume} of {} at {path}", device.path())
            }
            Self::Mount { device, path, .. } => write!(f, "mount {} at {path}", device.path()),
            Self::Lock { device, subvolumes } => {
                write!(f, "make {} of {} read-only", subvolumes.join(", "), device.path())
            }
        }
    }
}

pub(super) fn describe_recorded(node: &Node) -> String {
    let serial = match &node.kind {
        Kind::Disk(disk) => disk.serial.as_deref(),
        _ => None,
    };
    format!("{} (serial {}, {})", node.path, serial.unwrap_or("none"), node.size)
}

pub(super) fn describe_content(layout: &Layout, partition: &NewPartition) -> String {
    let parts = describe_on(layout, &partition.node, 0);
    if !parts.is_empty() {
        return parts.join(" ");
    }
    match partition.entry.type_guid.as_str() {
        crate::gpt::BIOS_BOOT => "BIOS boot".to_owned(),
        ESP => "EFI system partition, no filesystem".to_owned(),
        _ => "no filesystem".to_owned(),
    }
}

pub(super) fn describe_whole(layout: &Layout, disk: &Node) -> String {
    describe_on(layout, &disk.id, 0).join(" ")
}

/// What lies on a node, and on that, for people. A graph with a circle (a hostile manifest) ends too.
fn describe_on(layout: &Layout, id: &NodeId, depth: usize) -> Vec<String> {
    let mut parts = Vec::new();
    for node in layout.children(id).filter(|_| depth < 16) {
        parts.push(describe_node(node));
        // Its datasets would fill the screen.
        if let Kind::Pool(_) = node.kind {
            parts.push(format!("with {} datasets", layout.children(&node.id).count()));
            let root =
                layout.mount_at("/").filter(|mount| layout.below(&mount.node).iter().any(|one| one.id == node.id));
            parts.extend(root.map(|_| "and /".to_owned()));
            continue;
        }
        parts.extend(
            layout.mounts.iter().filter(|mount| mount.node == node.id).map(|mount| format!("at {}", mount.path)),
        );
        let above = describe_on(layout, &node.id, depth + 1);
        if !above.is_empty() {
            parts.push(format!("({})", above.join(" ")));
        }
    }
    parts
}

fn describe_node(node: &Node) -> String {
    let (what, id, label) = match &node.kind {
        Kind::Ext(ext) => (ext.fstype.as_str(), ext.uuid.as_str(), ext.label.as_str()),
        Kind::Xfs(xfs) => ("xfs", xfs.uuid.as_str(), xfs.label.as_str()),
        Kind::Btrfs(btrfs) => ("btrfs", btrfs.uuid.as_str(), btrfs.label.as_str()),
        Kind::Vfat(vfat) => ("vfat", vfat.serial.as_str(), vfat.label.as_str()),
        Kind::Swap(swap) => ("swap", swap.uuid.as_str(), swap.label.as_str()),
        Kind::Array(array) => return format!("{} {}", array.level, array.short_name()),
        Kind::Luks(luks) => return format!("LUKS{} {}", luks.version, luks.uuid),
        Kind::Volatile(volatile) => return format!("{} with a new key at each start", volatile.name),
        Kind::Pv(_) => return "LVM".to_owned(),
        Kind::Vg(group) => return format!("group {}", group.name),
        Kind::Lv(volume) => return format!("volume {}", volume.name),
        Kind::Pool(pool) => return format!("ZFS pool {}", pool.name),
        Kind::Dataset(dataset) => return format!("dataset {}", dataset.name),
        Kind::Opaque(opaque) => return format!("{} (not restored)", opaque.what),
        Kind::Disk(_) | Kind::Partition(_) => return String::new(),
    };
    // The first digits tell filesystems apart; all of them do not fit on a line.
    let id: String = id.chars().take(9).collect();
    let id = id.trim_end_matches('-');
    if label.is_empty() { format!("{what} {id}") } else { format!("{what} {id} {label:?}") }
}

/// A name that a table of 80 columns has room for.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['~']).collect()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl fmt::Display for DiskPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (&self.old, &self.target);
        let (old_size, new_size) = (old.size.to_string(), new.size.to_string());
        let serial = |serial: &Option<String>| serial.clone().unwrap_or_default();
        writeln!(f, "           {:<30} HERE, AND OVERWRITTEN", "recorded")?;
        for (what, old, new) in [
            ("disk", old.path.as_str(), new.path.as_str()),
            ("serial", &serial(&old.serial), &serial(&new.disk.serial)),
            ("model", &old.model, &new.disk.model),
            ("size", &old_size, &new_size),
        ] {
            writeln!(f, "  {what:<8} {:<30} {}", short(or_none(old), 29), short(or_none(new), 38))?;
        }
        if let (None, Some(wwn)) = (&new.disk.serial, &new.disk.wwn) {
            writeln!(f, "  It has no serial number of its own; its world wide name is {wwn}")?;
        }
        writeln!(f, "  Chosen because {}.", self.why)?;
        if new.holds.is_empty() {
            writeln!(f, "  It holds nothing that is known here.")?;
        } else {
            writeln!(f, "  DESTROYED is what it holds now:")?;
        }
        for held in &new.holds {
            writeln!(f, "    {:<16} {:>9}  {}", held.path, held.size.to_string(), held.what)?;
        }
        writeln!(f, "  MADE is:")?;
        writeln!(f, "    {:<4} {:>9}    {:>9}  content", "part", "recorded", "now")?;
        if let ([], [content]) = (self.table.partitions.as_slice(), self.contents.as_slice()) {
            writeln!(f, "    {:<4} {:>9}    {:>9}  {content}", "all", "", self.target.size.to_string())?;
        }
        for (partition, content) in self.table.partitions.iter().zip(&self.contents) {
            let (old, new) = (partition.old_size.to_string(), self.table.size_of(partition).to_string());
            let sign = if old == new { "  " } else { "->" };
            writeln!(f, "    {:<4} {old:>9} {sign} {new:>9}  {content}", partition.entry.number)?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for disk in &self.disks {
            write!(f, "{disk}")?;
        }
        for Fill { device, size, .. } in &self.blocks {
            writeln!(f, "FILLED with its archived blocks is {} ({size})", device.path())?;
        }
        for disk in &self.untouched {
            let why = disk.barred.map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(f, "Not touched, and set read-only: {disk}{why}")?;
        }
        for note in &self.notes {
            writeln!(f, "Note: {note}")?;
        }
        Ok(())
    }
}
