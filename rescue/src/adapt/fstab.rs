//! fstab: every line must find its device on this machine. UUIDs, labels and PARTUUIDs come back, so most do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use layout::fstab::{FstabEntry, parse};
use layout::plan::{Plan, Step};

use super::Adaptation;
use crate::apply::TARGET;

/// Names every line that finds nothing.
pub fn check(plan: &Plan, done: &mut Adaptation) {
    let Ok(text) = fs::read_to_string(Path::new(TARGET).join("etc/fstab")) else {
        done.not_adapted.push("/etc/fstab: the restored system has none".to_owned());
        return;
    };
    let known = Known::of(plan);
    for entry in parse(&text).iter().filter(|entry| known.misses(entry)) {
        let nofail = entry.options.split(',').any(|option| option == "nofail" || option == "noauto");
        let effect = if nofail { "it is skipped at start" } else { "the start waits for it" };
        done.not_adapted
            .push(format!("/etc/fstab: {} for {} is not on this machine; {effect}", entry.spec, entry.path));
    }
}

/// What the new disks answer to.
#[derive(Default)]
pub(super) struct Known {
    uuids: BTreeSet<String>,
    labels: BTreeSet<String>,
    part_uuids: BTreeSet<String>,
    part_labels: BTreeSet<String>,
}

impl Known {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut known = Self::default();
        for step in plan.before.iter().chain(&plan.after) {
            let (uuid, label) = match step {
                Step::MakeExt { ext, .. } => (&ext.uuid, &ext.label),
                Step::MakeXfs { xfs, .. } => (&xfs.uuid, &xfs.label),
                Step::MakeBtrfs { btrfs, .. } => (&btrfs.uuid, &btrfs.label),
                Step::MakeVfat { vfat, .. } => (&vfat.serial, &vfat.label),
                Step::MakeSwap { swap, .. } => (&swap.uuid, &swap.label),
                Step::MakeLuks { luks, .. } => (&luks.uuid, &luks.label),
                _ => continue,
            };
            known.uuids.insert(uuid.to_lowercase());
            known.labels.insert(label.clone());
        }
        for (disk, partition) in
            plan.disks.iter().flat_map(|disk| disk.table.partitions.iter().map(move |one| (disk, one)))
        {
            known.part_uuids.insert(match &disk.dos {
                Some(dos) => dos.part_uuid(partition.entry.number),
                None => partition.entry.guid.as_str().to_lowercase(),
            });
            known.part_labels.insert(partition.entry.name.clone());
        }
        known
    }

    #[cfg(test)]
    pub(super) fn with_uuid(uuid: &str) -> Self {
        Self { uuids: [uuid.to_owned()].into(), ..Self::default() }
    }

    pub(super) fn misses(&self, entry: &FstabEntry) -> bool {
        let value = |name: &str| entry.spec.strip_prefix(name).map(|value| value.trim_matches('"').to_owned());
        if let Some(uuid) = value("UUID=").or_else(|| value("/dev/disk/by-uuid/")) {
            !self.uuids.contains(&uuid.to_lowercase())
        } else if let Some(label) = value("LABEL=").or_else(|| value("/dev/disk/by-label/")) {
            !self.labels.contains(&label)
        } else if let Some(uuid) = value("PARTUUID=").or_else(|| value("/dev/disk/by-partuuid/")) {
            !self.part_uuids.contains(&uuid.to_lowercase())
        } else if let Some(label) = value("PARTLABEL=") {
            !self.part_labels.contains(&label)
        } else if entry.spec.starts_with("/dev/disk/by-") {
            true
        } else {
            // Kernel names move; network shares and pseudo-filesystems have no device.
            entry.names_kernel_device() && !Path::new(&entry.spec).exists()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_whose_device_did_not_come_back_are_named() {
        let known = Known {
            uuids: ["aaaa-1".to_owned(), "abcd-1234".to_owned()].into(),
            labels: ["home".to_owned()].into(),
            part_uuids: ["11111111-2222-3333-4444-555555555555".to_owned()].into(),
            part_labels: BTreeSet::new(),
        };
        let text = "UUID=AAAA-1 / ext4 defaults 0 1\nUUID=ABCD-1234 /boot/efi vfat umask=0077 0 1\n\
                    LABEL=home /home ext4 defaults 0 2\nPARTUUID=11111111-2222-3333-4444-555555555555 none swap sw 0 0\n\
                    UUID=gone /data ext4 nofail 0 2\nLABEL=away /mnt ext4 defaults 0 2\n\
                    tmpfs /tmp tmpfs defaults 0 0\nserver:/x /nfs nfs defaults 0 0\n/dev/disk/by-id/ata-X /y ext4 defaults 0 0\n";
        let missed: Vec<String> =
            parse(text).iter().filter(|entry| known.misses(entry)).map(|e| e.path.clone()).collect();
        assert_eq!(missed, ["/data", "/mnt", "/y"]);
    }
}
