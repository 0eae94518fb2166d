//! A recorded DOS table fitted onto another disk: the same rules as for a GPT, the extended partition drawn around its logical
//! ones, and no sector beyond what 32 bits count.

use super::{
    Geometry, MOST_BYTES, NewTable, Piece, SolveError, check_blocks, growing_place, is_sector, moved, needed, pieces,
    recorded_size, shift, translate,
};
use crate::disk::Table;
use crate::dos::{DosTable, MOST_SECTORS, disk_guid};
use crate::graph::{Kind, Layout, NodeId};
use crate::units::Bytes;

/// Fits the recorded disk `disk` onto `target`, as [`super::solve_gpt`] does. Gives the partitions, and what is kept beside them, in the
/// target's sectors.
///
/// # Errors
/// [`SolveError`].
pub fn solve_dos(
    layout: &Layout,
    disk: &NodeId,
    target: Geometry,
    growing: Option<&NodeId>,
) -> Result<(NewTable, DosTable), SolveError> {
    let (old_sector, table) = recorded_table(layout, disk)?;
    let mut pieces = pieces(layout, disk, u64::from(old_sector))?;
    check_described(&pieces, table, u64::from(old_sector))?;
    if !is_sector(target.logical_sector) {
        return Err(SolveError::TargetSector(target.logical_sector));
    }
    let sector = u64::from(target.logical_sector);
    let alignment = table.alignment.saturating_mul(u64::from(old_sector)).clamp(sector, 1 << 20);
    let alignment = if alignment.is_power_of_two() { alignment } else { 1 << 20 };
    let sectors = (target.size.0.min(MOST_BYTES) / sector).min(MOST_SECTORS);
    if sectors < 2 {
        return Err(SolveError::TooSmall { missing: needed(&pieces, target), reason: "the disk is tiny".to_owned() });
    }
    translate(&mut pieces, u64::from(old_sector), sector, 1)?;
    check_blocks(layout, &pieces, target.logical_sector)?;
    let place = growing_place(&pieces, growing);
    let usable_end = sectors * sector;
    let shift = shift(&pieces, place, usable_end, alignment, recorded_size(layout, disk) == target.size)?;
    let grown = place.and_then(|place| pieces.get(place));
    let move_by = |position: u64| match grown {
        Some(piece) if position > piece.start => position.saturating_add_signed(shift),
        _ => position,
    };
    let to_new = |lba: u64, what: &str| {
        let position = lba.saturating_mul(u64::from(old_sector));
        if !position.is_multiple_of(sector) {
            let (sector, recorded) = (target.logical_sector, old_sector);
            return Err(SolveError::SectorSize { what: what.to_owned(), sector, recorded });
        }
        Ok(move_by(position) / sector)
    };
    let mut dos = table.clone();
    for entry in &mut dos.entries {
        if let Some(at) = &mut entry.described_at {
            *at = to_new(*at, &format!("the description of partition {}", entry.number))?;
        }
    }
    let moved: Vec<_> =
        pieces.iter().enumerate().map(|(index, piece)| moved(piece, index, place, shift, sector)).collect();
    if let Some(extended) = &mut dos.extended {
        let end = extended.first_lba.saturating_add(extended.sectors).saturating_mul(u64::from(old_sector));
        extended.first_lba = to_new(extended.first_lba, "the extended partition")?;
        let logical =
            moved.iter().filter(|one| table.entry(one.entry.number).is_some_and(|e| e.described_at.is_some()));
        let least = logical.map(|one| one.entry.first_lba.saturating_add(one.entry.sectors)).max();
        let end = (move_by(end).min(usable_end) / sector).max(least.unwrap_or(0));
        extended.sectors = end.saturating_sub(extended.first_lba);
    }
    let mut new = NewTable {
        guid: disk_guid(table.signature),
        logical_sector: target.logical_sector,
        first_usable: 1,
        last_usable: sectors - 1,
        capacity: 0,
        active: false,
        partitions: moved,
    };
    new.partitions.sort_by_key(|partition| partition.entry.number);
    let partitions: Vec<_> = new.partitions.iter().map(|partition| partition.entry.clone()).collect();
    if dos.sectors(&partitions).is_none() {
        return Err(SolveError::Recorded("its logical partitions do not lie in the extended one".to_owned()));
    }
    Ok((new, dos))
}

/// Bytes of a disk that a DOS table cannot reach.
#[must_use]
pub fn out_of_reach(target: Geometry) -> Bytes {
    Bytes(target.size.0.saturating_sub(MOST_SECTORS.saturating_mul(u64::from(target.logical_sector))))
}

fn recorded_table<'a>(layout: &'a Layout, disk: &NodeId) -> Result<(u32, &'a DosTable), SolveError> {
    let node = layout.node(disk).ok_or_else(|| SolveError::Recorded(format!("no disk {disk}")))?;
    match &node.kind {
        Kind::Disk(found) => match &found.table {
            Table::Dos(table) if is_sector(found.logical_sector) => Ok((found.logical_sector, table)),
            Table::Dos(_) => Err(SolveError::Recorded(format!("{disk} has an impossible sector size"))),
            _ => Err(SolveError::NotGpt(format!("{} had no DOS table", node.path))),
        },
        _ => Err(SolveError::Recorded(format!("{disk} is not a disk"))),
    }
}

/// A sector that describes a logical partition lies in the extended one, in front of its partition and in no other.
fn check_described(pieces: &[Piece], table: &DosTable, sector: u64) -> Result<(), SolveError> {
    let wrong = |what: String| Err(SolveError::Recorded(what));
    for piece in pieces {
        let number = piece.entry.number;
        let Some(entry) = table.entry(number) else {
            return wrong(format!("partition {number} is not in the DOS table"));
        };
        let (Some(at), Some(extended)) = (entry.described_at, &table.extended) else { continue };
        let position = at.saturating_mul(sector);
        let inside = |other: &Piece| other.start <= position && position < other.end;
        if at < extended.first_lba || position >= piece.start || pieces.iter().any(inside) {
            return wrong(format!("the logical partition {number} is described at sector {at}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dos::{DosEntry, Extended};
    use crate::solve::tests::{MIB, ext, host, swap};

    const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

    /// A primary partition of 100 MiB, and an extended one with two logical partitions of 200 and 300 MiB; 700 MiB in all.
    fn with_logical(grows: bool) -> Layout {
        let last = if grows { ext(100 * MIB) } else { swap() };
        let mut layout = host(
            700,
            vec![(LINUX, 1, 100, Some(ext(50 * MIB))), (LINUX, 102, 200, Some(swap())), (LINUX, 303, 300, Some(last))],
        );
        let entry = |number, at: Option<u64>| DosEntry {
            number,
            kind: 0x83,
            active: number == 1,
            described_at: at.map(|mib| mib * 2048),
        };
        for (node, number) in
            layout.nodes.iter_mut().filter(|node| matches!(node.kind, Kind::Partition(_))).zip([1, 5, 6])
        {
            if let Kind::Partition(partition) = &mut node.kind {
                partition.number = number;
            }
        }
        if let Kind::Disk(disk) = &mut layout.nodes[0].kind {
            disk.table = Table::Dos(DosTable {
                signature: 0x1a2b_3c4d,
                alignment: 2048,
                boot_code: true,
                entries: vec![entry(1, None), entry(5, Some(101)), entry(6, Some(302))],
                extended: Some(Extended {
                    number: 2,
                    kind: 5,
                    active: false,
                    first_lba: 101 * 2048,
                    sectors: 599 * 2048,
                }),
            });
        }
        layout
    }

    fn solve(layout: &Layout, mib: u64, sector: u32) -> Result<(NewTable, DosTable), SolveError> {
        let target = Geometry { size: Bytes(mib * MIB), logical_sector: sector };
        solve_dos(layout, &NodeId("disk:A".to_owned()), target, None)
    }

    /// (number, first MiB, MiB) of each partition, then of the extended one; and where logical ones are described.
    fn spans((new, dos): &(NewTable, DosTable)) -> (Vec<(u32, u64, u64)>, Vec<u64>) {
        let sector = u64::from(new.logical_sector);
        let mut spans: Vec<(u32, u64, u64)> = new
            .partitions
            .iter()
            .map(|one| (one.entry.number, new.start_of(one).0 / MIB, new.size_of(one).0 / MIB))
            .collect();
        let extended = dos.extended.as_ref().unwrap();
        spans.push((extended.number, extended.first_lba * sector / MIB, extended.sectors * sector / MIB));
        (spans, dos.entries.iter().filter_map(|entry| entry.described_at).map(|at| at * sector / MIB).collect())
    }

    #[test]
    fn the_same_size_keeps_every_sector() {
        let layout = with_logical(true);
        let (new, dos) = solve(&layout, 700, 512).unwrap();
        let Kind::Disk(disk) = &layout.nodes[0].kind else { panic!("no disk") };
        assert_eq!(disk.table, Table::Dos(dos));
        assert_eq!(new.guid, disk_guid(0x1a2b_3c4d));
    }

    #[test]
    fn the_extended_partition_grows_and_shrinks_with_the_last_logical_one() {
        let layout = with_logical(true);
        let larger = spans(&solve(&layout, 1000, 512).unwrap());
        assert_eq!(larger, (vec![(1, 1, 100), (5, 102, 200), (6, 303, 697), (2, 101, 899)], vec![101, 302]));
        let smaller = spans(&solve(&layout, 500, 512).unwrap());
        assert_eq!(smaller, (vec![(1, 1, 100), (5, 102, 200), (6, 303, 197), (2, 101, 399)], vec![101, 302]));
        assert!(matches!(solve(&layout, 400, 512), Err(SolveError::TooSmall { .. })));
    }

    #[test]
    fn what_lies_behind_a_primary_partition_that_grows_moves_with_its_descriptions() {
        let found = spans(&solve(&with_logical(false), 1000, 512).unwrap());
        // The first partition gets what the disk has more, and what was unused at its end.
        assert_eq!(found.0[0], (1, 1, 497));
        assert_eq!((found.0[1], found.0[2], found.0[3].1), ((5, 499, 200), (6, 700, 300), 498));
        assert_eq!(found.1, [498, 699]);
    }

    #[test]
    fn positions_are_kept_on_larger_sectors_where_they_can_be() {
        let layout = with_logical(true);
        let (new, dos) = solve(&layout, 700, 4096).unwrap();
        assert_eq!((new.partitions[0].entry.first_lba, dos.entries[1].described_at), (256, Some(101 * 256)));
        let mut odd = layout;
        if let Kind::Disk(disk) = &mut odd.nodes[0].kind
            && let Table::Dos(table) = &mut disk.table
        {
            table.entries[2].described_at = Some(303 * 2048 - 63);
        }
        assert!(matches!(solve(&odd, 700, 4096), Err(SolveError::SectorSize { .. })));
        assert!(solve(&odd, 700, 512).is_ok());
    }

    #[test]
    fn nothing_lies_beyond_what_32_bits_count() {
        let (new, _) = solve(&with_logical(true), 4 << 20, 512).unwrap();
        let last = &new.partitions[2].entry;
        assert!(last.first_lba + last.sectors <= MOST_SECTORS);
        assert!(last.first_lba + last.sectors > MOST_SECTORS - 4096);
        let lost = out_of_reach(Geometry { size: Bytes(4 << 40), logical_sector: 512 });
        assert_eq!(lost, Bytes((2 << 40) + 512));
        assert_eq!(out_of_reach(Geometry { size: Bytes(1 << 40), logical_sector: 512 }), Bytes(0));
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        for at in [1, 150 * 2048, 400 * 2048] {
            let mut layout = with_logical(true);
            if let Kind::Disk(disk) = &mut layout.nodes[0].kind
                && let Table::Dos(table) = &mut disk.table
            {
                table.entries[2].described_at = Some(at);
            }
            assert!(matches!(solve(&layout, 700, 512), Err(SolveError::Recorded(_))), "{at}");
        }
    }
}
