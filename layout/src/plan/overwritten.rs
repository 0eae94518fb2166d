//! What a restore is about to overwrite that says what was there: partition tables, boot code, headers, superblocks. Small, and saved first.
//!
//! Contents of filesystems are not among it. LVM, ext, XFS, btrfs, swap, LUKS and RAID 1.1 and 1.2 keep their headers within the first MiB of
//! what they lie on, RAID 0.9 and 1.0 within the last; a LUKS2 header with its key slots has 16 MiB.

use super::DiskPlan;
use crate::gpt::BIOS_BOOT;
use crate::matching::Held;
use crate::solve::NewTable;
use crate::units::Bytes;

/// What is cleared, and saved, at the edges of a disk and of what lies on it.
pub const EDGE: Bytes = Bytes(1 << 20);
/// A LUKS2 header with its key slots, as cryptsetup makes it.
const LUKS: Bytes = Bytes(16 << 20);

impl DiskPlan {
    /// The stretches to be saved: first byte and length, in disk order, not overlapping.
    pub(super) fn overwritten(&self) -> Vec<(Bytes, Bytes)> {
        let size = self.target.size.0;
        let mut found = vec![(0, EDGE.0), (size.saturating_sub(EDGE.0), EDGE.0)];
        for held in &self.target.holds {
            let end = held.start.0.saturating_add(held.size.0);
            found.push((held.start.0, header(held).0.min(held.size.0)));
            found.push((end.saturating_sub(EDGE.0.min(held.size.0)), EDGE.0));
        }
        // Where clearing writes zeroes, in the middle of what lies there now.
        for partition in &self.table.partitions {
            let (start, length) = (self.table.start_of(partition).0, self.table.size_of(partition).0);
            found.push((start, EDGE.0));
            found.push((start.saturating_add(length).saturating_sub(EDGE.0), EDGE.0));
        }
        found.extend(boot_partitions(&self.table).map(|(start, length)| (start.0, length.0)));
        merge(found, size)
    }
}

/// The BIOS boot partitions of a table: first byte and length.
pub(super) fn boot_partitions(table: &NewTable) -> impl Iterator<Item = (Bytes, Bytes)> {
    let boot = table.partitions.iter().filter(|partition| partition.entry.type_guid.as_str() == BIOS_BOOT);
    boot.map(|partition| (table.start_of(partition), table.size_of(partition)))
}

fn header(held: &Held) -> Bytes {
    if held.what.starts_with("LUKS") { LUKS } else { EDGE }
}

fn merge(mut found: Vec<(u64, u64)>, size: u64) -> Vec<(Bytes, Bytes)> {
    found.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, length) in found {
        let end = start.saturating_add(length).min(size);
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ if start < end => merged.push((start, end)),
            _ => {}
        }
    }
    merged.into_iter().map(|(start, end)| (Bytes(start), Bytes(end - start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_merged_and_end_with_the_disk() {
        let merged = merge(vec![(8, 4), (0, 4), (2, 4), (20, 9), (40, 4), (6, 1)], 25);
        let plain: Vec<(u64, u64)> = merged.into_iter().map(|(start, length)| (start.0, length.0)).collect();
        assert_eq!(plain, [(0, 7), (8, 4), (20, 5)]);
    }

    #[test]
    fn a_luks_header_is_saved_with_its_key_slots() {
        let held =
            |what: &str| Held { path: String::new(), start: Bytes(0), size: Bytes(1 << 30), what: what.to_owned() };
        assert_eq!(header(&held("LUKS (encrypted)")), LUKS);
        assert_eq!(header(&held("LVM physical volume")), EDGE);
    }
}
