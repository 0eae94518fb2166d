//! Sizes: the same disk, a larger one, a smaller one, other sectors.

use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, Table};
use crate::ext::Ext;
use crate::swap::Swap;

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
pub(super) const MIB: u64 = 1 << 20;

pub(super) fn ext(used: u64) -> Kind {
    Kind::Ext(Ext {
        fstype: "ext4".to_owned(),
        uuid: String::new(),
        label: String::new(),
        features: Vec::new(),
        block_size: 4096,
        inode_size: 256,
        inodes: 1,
        reserved_blocks: 0,
        blocks: 1,
        default_mount_options: Vec::new(),
        used: Bytes(used),
        details: crate::ext::Details::default(),
    })
}

pub(super) fn swap() -> Kind {
    Kind::Swap(Swap { uuid: String::new(), label: String::new() })
}

/// A 512-byte-sector disk; partitions as (type, start MiB, size MiB, what is on it).
pub(super) fn host(size_mib: u64, partitions: Vec<(&str, u64, u64, Option<Kind>)>) -> Layout {
    let disk = NodeId("disk:A".to_owned());
    let guid = Guid::new("11111111-2222-3333-4444-555555555555").unwrap();
    let table = GptTable {
        guid: guid.clone(),
        first_usable: 34,
        last_usable: size_mib * 2048 - 34,
        capacity: 128,
        alignment: 2048,
        boot_code: false,
        active: false,
    };
    let kind = Kind::Disk(Disk {
        model: String::new(),
        serial: Some("A".to_owned()),
        wwn: None,
        transport: None,
        logical_sector: 512,
        physical_sector: 512,
        removable: false,
        rotational: false,
        table: Table::Gpt(table),
    });
    let node = |id: &NodeId, on: Vec<NodeId>, size: u64, kind| Node {
        id: id.clone(),
        on,
        path: format!("/dev/{}", id.0),
        size: Bytes(size),
        kind,
    };
    let mut layout = Layout { nodes: vec![node(&disk, Vec::new(), size_mib * MIB, kind)], mounts: Vec::new() };
    for (index, (type_guid, start, length, on_it)) in partitions.into_iter().enumerate() {
        let part = NodeId(format!("part{}", index + 1));
        let entry = Partition {
            number: index as u32 + 1,
            type_guid: Guid::new(type_guid).unwrap(),
            guid: guid.clone(),
            name: String::new(),
            attributes: 0,
            first_lba: start * 2048,
            sectors: length * 2048,
        };
        layout.nodes.push(node(&part, vec![disk.clone()], length * MIB, Kind::Partition(entry)));
        if let Some(kind) = on_it {
            layout.nodes.push(node(&NodeId(format!("fs{}", index + 1)), vec![part], length * MIB, kind));
        }
    }
    layout
}

fn workstation() -> Layout {
    host(
        4096,
        vec![
            (ESP, 1, 128, None),
            (LINUX, 129, 2000, Some(ext(900 * MIB))),
            (LINUX, 2129, 1500, Some(ext(200 * MIB))),
            (SWAP, 3629, 400, Some(swap())),
        ],
    )
}

fn solve(layout: &Layout, mib: u64, sector: u32) -> Result<NewTable, SolveError> {
    let target = Geometry { size: Bytes(mib * MIB), logical_sector: sector };
    solve_gpt(layout, &NodeId("disk:A".to_owned()), target, None)
}

/// (first MiB, length in MiB) of each partition.
fn spans(table: &NewTable) -> Vec<(u64, u64)> {
    let span = |part| (table.start_of(part).0 / MIB, table.size_of(part).0 / MIB);
    table.partitions.iter().map(span).collect()
}

#[test]
fn the_same_size_keeps_every_lba() {
    let table = solve(&workstation(), 4096, 512).unwrap();
    assert_eq!(spans(&table), [(1, 128), (129, 2000), (2129, 1500), (3629, 400)]);
    assert_eq!((table.first_usable, table.last_usable), (34, 4096 * 2048 - 34));
}

#[test]
fn on_a_larger_disk_the_last_ext_grows_and_swap_moves_to_the_end() {
    let table = solve(&workstation(), 8192, 512).unwrap();
    // The last MiB holds the backup table.
    assert_eq!(spans(&table), [(1, 128), (129, 2000), (2129, 8191 - 400 - 2129), (8191 - 400, 400)]);
}

#[test]
fn a_marked_partition_grows_instead() {
    let target = Geometry { size: Bytes(8192 * MIB), logical_sector: 512 };
    let root = NodeId("part2".to_owned());
    let table = solve_gpt(&workstation(), &NodeId("disk:A".to_owned()), target, Some(&root)).unwrap();
    let grown = 8191 - 4029;
    assert_eq!(spans(&table)[1..], [(129, 2000 + grown), (2129 + grown, 1500), (3629 + grown, 400)]);
}

#[test]
fn a_smaller_disk_shrinks_down_to_content_and_margin_and_names_what_is_missing_below() {
    let table = solve(&workstation(), 3000, 512).unwrap();
    assert_eq!(spans(&table)[2], (2129, 2999 - 400 - 2129));
    let error = solve(&workstation(), 2700, 512).unwrap_err();
    // 200 MiB of content and 64 MiB of margin; 2699 - 400 - 2129 = 170 MiB are there.
    assert_eq!(
        error,
        SolveError::TooSmall {
            missing: Bytes((264 - 170) * MIB),
            reason: "/dev/part3 holds content that needs 264 MiB".to_owned()
        }
    );
}

#[test]
fn a_disk_that_nothing_can_shrink_on_is_refused_with_the_bytes_missing() {
    let layout = host(1024, vec![(ESP, 1, 128, None), (SWAP, 129, 800, Some(swap()))]);
    let error = solve(&layout, 512, 512).unwrap_err();
    let SolveError::TooSmall { missing, .. } = error else { panic!("{error}") };
    assert_eq!(missing, Bytes(929 * MIB - (512 * MIB - 33 * 512)));
    assert_eq!(spans(&solve(&layout, 2048, 512).unwrap()), [(1, 128), (129, 800)]);
}

#[test]
fn sectors_of_4096_bytes_keep_byte_positions_and_move_bios_boot_inwards() {
    let mut layout = workstation();
    if let Kind::Partition(entry) = &mut layout.nodes[1].kind {
        entry.type_guid = Guid::new(BIOS_BOOT).unwrap();
        (entry.first_lba, entry.sectors) = (34, 2014);
    }
    let table = solve(&layout, 4096, 4096).unwrap();
    assert_eq!((table.partitions[0].entry.first_lba, table.partitions[0].entry.sectors), (6, 250));
    assert_eq!(spans(&table)[1..], [(129, 2000), (2129, 1500), (3629, 400)]);
}

#[test]
fn a_partition_off_the_larger_sectors_is_refused_by_name() {
    let mut layout = workstation();
    if let Kind::Partition(entry) = &mut layout.nodes[2].kind {
        entry.first_lba += 1;
        entry.sectors -= 1;
    }
    let text = solve(&layout, 4096, 4096).unwrap_err().to_string();
    assert!(text.starts_with("/dev/part2 does not start on a sector of 4096 bytes"), "{text}");
}

#[test]
fn small_blocks_are_refused_on_large_sectors() {
    let mut layout = workstation();
    if let Kind::Ext(ext) = &mut layout.nodes[3].kind {
        ext.block_size = 1024;
    }
    assert!(matches!(solve(&layout, 4096, 4096), Err(SolveError::BlockSize { block: 1024, .. })));
}

#[test]
fn hostile_tables_are_refused_not_obeyed() {
    for (first, sectors) in [(u64::MAX, 2), (2048, 0), (u64::MAX / 512, u64::MAX / 512)] {
        let mut layout = workstation();
        if let Kind::Partition(entry) = &mut layout.nodes[1].kind {
            (entry.first_lba, entry.sectors) = (first, sectors);
        }
        assert!(matches!(solve(&layout, 4096, 512), Err(SolveError::Recorded(_))), "{first} {sectors}");
    }
    let mut layout = workstation();
    if let Kind::Partition(entry) = &mut layout.nodes[1].kind {
        entry.sectors += 2048;
    }
    assert!(solve(&layout, 4096, 512).unwrap_err().to_string().contains("overlap"));
}

proptest! {
    #[test]
    fn whatever_the_disk_partitions_stay_inside_apart_and_no_smaller_than_allowed(
        mib in 600u64..20_000, sector in prop::sample::select(vec![512u32, 4096]), odd in 0u64..8
    ) {
        let layout = workstation();
        let size = Bytes(mib * MIB + odd * 4096);
        let target = Geometry { size, logical_sector: sector };
        let Ok(table) = solve_gpt(&layout, &NodeId("disk:A".to_owned()), target, None) else {
            prop_assert!(mib < 2900);
            return Ok(());
        };
        let mut next = table.first_usable;
        for part in &table.partitions {
            prop_assert!(part.entry.first_lba >= next);
            prop_assert_eq!(table.start_of(part).0 % MIB, 0);
            next = part.entry.first_lba + part.entry.sectors;
        }
        prop_assert!(next <= table.last_usable + 1);
        prop_assert!(table.last_usable < size.0 / u64::from(sector));
        prop_assert!(table.size_of(&table.partitions[2]).0 >= 264 * MIB);
        for (index, old) in [(0, 128), (1, 2000), (3, 400)] {
            prop_assert_eq!(table.size_of(&table.partitions[index]).0, old * MIB);
        }
    }
}
