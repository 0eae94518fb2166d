//! Size solving: a recorded GPT fitted onto a disk of another size or sector size.
//!
//! Same size: the same LBAs. Larger: one partition grows. Smaller: the same partition shrinks, down to its content plus a
//! margin; below that the disk is refused with the number of bytes that are missing. Partitions after the one that gives way move with it,
//! in whole steps of the alignment. Knows disks as numbers only.

use serde::{Deserialize, Serialize};

use crate::gpt::{BIOS_BOOT, ESP, GptTable, Partition};
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::units::{Bytes, Guid};

pub mod dos;
pub mod stack;
pub mod whole;

/// Bytes of one partition entry.
const ENTRY: u64 = 128;
/// Protective MBR and header before the entries.
const LEADING: u64 = 2;
/// Largest logical sector of any disk, in bytes.
const MOST_SECTOR: u32 = 64 << 10;
/// No disk ends beyond this: positions and their differences are then numbers with a sign, too.
const MOST_BYTES: u64 = i64::MAX as u64 / 2;

/// The disk that a table is fitted onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size in bytes.
    pub size: Bytes,
    /// Bytes of a logical sector.
    pub logical_sector: u32,
}

/// A table as it will be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTable {
    /// The disk's GUID, the recorded one.
    pub guid: Guid,
    /// Bytes of a logical sector of the disk it is for.
    pub logical_sector: u32,
    /// First LBA that partitions may use.
    pub first_usable: u64,
    /// Last LBA that partitions may use.
    pub last_usable: u64,
    /// Number of entries.
    pub capacity: u32,
    /// The protective record is marked active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// Partitions in order of their numbers, in the disk's own sectors.
    pub partitions: Vec<NewPartition>,
}

/// A partition as it will be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPartition {
    /// The recorded node that it is.
    pub node: NodeId,
    /// Its entry.
    pub entry: Partition,
    /// Its recorded size in bytes.
    pub old_size: Bytes,
}

impl NewTable {
    /// A partition's size in bytes.
    #[must_use]
    pub fn size_of(&self, partition: &NewPartition) -> Bytes {
        Bytes(partition.entry.sectors * u64::from(self.logical_sector))
    }

    /// A partition's first byte.
    #[must_use]
    pub fn start_of(&self, partition: &NewPartition) -> Bytes {
        Bytes(partition.entry.first_lba * u64::from(self.logical_sector))
    }
}

/// Why a table does not fit a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// The disk is too small.
    #[error("{missing} ({} bytes) are missing: {reason}", .missing.0)]
    TooSmall {
        /// Bytes that are missing.
        missing: Bytes,
        /// Why no partition can give way further.
        reason: String,
    },
    /// Something does not start or end on the disk's larger sectors.
    #[error("{what} does not start on a sector of {sector} bytes; choose a disk with sectors of {recorded} bytes")]
    SectorSize {
        /// The partition.
        what: String,
        /// The disk's logical sector.
        sector: u32,
        /// The recorded disk's.
        recorded: u32,
    },
    /// A filesystem that cannot live on the disk's larger sectors.
    #[error(
        "{what} has blocks of {block} bytes, fewer than the {sector} bytes of this disk's sectors; choose a disk with sectors of {block} bytes or less"
    )]
    BlockSize {
        /// The filesystem.
        what: String,
        /// Bytes of its blocks.
        block: u32,
        /// The disk's logical sector.
        sector: u32,
    },
    /// The disk reports sectors that no disk has.
    #[error("the disk reports sectors of {0} bytes, which is no size of a sector")]
    TargetSector(u32),
    /// The recorded disk has no table of the kind that is asked for.
    #[error("{0}")]
    NotGpt(String),
    /// The recorded table contradicts itself.
    #[error("the recorded partition table contradicts itself: {0}")]
    Recorded(String),
}

/// A recorded partition with what it carries, in bytes.
struct Piece<'a> {
    node: &'a Node,
    entry: &'a Partition,
    start: u64,
    end: u64,
    /// Bytes that it may not shrink below; none where it neither grows nor shrinks.
    least: Option<u64>,
}

/// Fits the recorded disk `disk` onto `target`. `growing` names the partition that gives way; none: the last one with something
/// that can be made in another size. ESP, BIOS boot and swap never do.
///
/// # Errors
/// [`SolveError`] when it does not fit, with the bytes that are missing.
pub fn solve_gpt(
    layout: &Layout,
    disk: &NodeId,
    target: Geometry,
    growing: Option<&NodeId>,
) -> Result<NewTable, SolveError> {
    let (old_sector, table) = recorded_table(layout, disk)?;
    let mut pieces = pieces(layout, disk, u64::from(old_sector))?;
    if !is_sector(target.logical_sector) {
        return Err(SolveError::TargetSector(target.logical_sector));
    }
    let sector = u64::from(target.logical_sector);
    let alignment = table.alignment.saturating_mul(u64::from(old_sector)).clamp(sector, 1 << 20);
    // A power of two by its definition; a hostile manifest may say otherwise.
    let alignment = if alignment.is_power_of_two() { alignment.max(sector) } else { 1 << 20 };

    let array = (u64::from(table.capacity.clamp(128, 4096)) * ENTRY).div_ceil(sector);
    let sectors = target.size.0.min(MOST_BYTES) / sector;
    let first_usable = LEADING + array;
    let Some(usable_end) = sectors.checked_sub(array + 1).filter(|end| *end > first_usable) else {
        return Err(SolveError::TooSmall { missing: needed(&pieces, target), reason: "the disk is tiny".to_owned() });
    };

    translate(&mut pieces, u64::from(old_sector), sector, first_usable)?;
    check_blocks(layout, &pieces, target.logical_sector)?;
    let place = growing_place(&pieces, growing);
    let shift = shift(&pieces, place, usable_end * sector, alignment, recorded_size(layout, disk) == target.size)?;
    let partitions =
        pieces.iter().enumerate().map(|(index, piece)| moved(piece, index, place, shift, sector)).collect();
    let mut table = NewTable {
        guid: table.guid.clone(),
        logical_sector: target.logical_sector,
        first_usable,
        last_usable: usable_end - 1,
        capacity: table.capacity.clamp(128, 4096),
        active: table.active,
        partitions,
    };
    table.partitions.sort_by_key(|partition| partition.entry.number);
    Ok(table)
}

fn is_sector(bytes: u32) -> bool {
    bytes.is_power_of_two() && (512..=MOST_SECTOR).contains(&bytes)
}

fn recorded_table<'a>(layout: &'a Layout, disk: &NodeId) -> Result<(u32, &'a GptTable), SolveError> {
    let node = layout.node(disk).ok_or_else(|| SolveError::Recorded(format!("no disk {disk}")))?;
    match &node.kind {
        Kind::Disk(found) => match &found.table {
            crate::disk::Table::Gpt(table) if is_sector(found.logical_sector) => Ok((found.logical_sector, table)),
            crate::disk::Table::Gpt(_) => Err(SolveError::Recorded(format!("{disk} has an impossible sector size"))),
            _ => Err(SolveError::NotGpt(format!("{} had no GPT", node.path))),
        },
        _ => Err(SolveError::Recorded(format!("{disk} is not a disk"))),
    }
}

fn recorded_size(layout: &Layout, disk: &NodeId) -> Bytes {
    layout.node(disk).map_or(Bytes(0), |node| node.size)
}

/// The disk's partitions by position, in bytes, checked against overlap and overflow.
fn pieces<'a>(layout: &'a Layout, disk: &'a NodeId, sector: u64) -> Result<Vec<Piece<'a>>, SolveError> {
    let mut pieces = Vec::new();
    for node in layout.children(disk) {
        let Kind::Partition(entry) = &node.kind else { continue };
        let start = entry.first_lba.checked_mul(sector);
        let end = entry.first_lba.checked_add(entry.sectors).and_then(|lba| lba.checked_mul(sector));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= MOST_BYTES)) else {
            return Err(SolveError::Recorded(format!("{} ends beyond any disk", node.path)));
        };
        if entry.number == 0 || entry.number > 4096 || end <= start {
            return Err(SolveError::Recorded(format!("{} has no number or no length", node.path)));
        }
        pieces.push(Piece { node, entry, start, end, least: least(layout, node, entry) });
    }
    pieces.sort_by_key(|piece| piece.start);
    if let Some(pair) = pieces.windows(2).find(|pair| pair[0].end > pair[1].start) {
        return Err(SolveError::Recorded(format!("{} and {} overlap", pair[0].node.path, pair[1].node.path)));
    }
    let mut numbers: Vec<u32> = pieces.iter().map(|piece| piece.entry.number).collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SolveError::Recorded("two partitions have the same number".to_owned()));
    }
    Ok(pieces)
}

/// Bytes that a partition may shrink to; none where its content cannot be made in another size.
fn least(layout: &Layout, node: &Node, entry: &Partition) -> Option<u64> {
    if [ESP, BIOS_BOOT].contains(&entry.type_guid.as_str()) {
        return None;
    }
    layout.children(&node.id).find_map(|child| stack::least(layout, child))
}

/// Turns byte positions into ones that the target's sectors allow. Sectors that shrink always fit; where they grow, only a BIOS boot
/// partition, which nothing refers to by position, is moved inwards.
fn translate(pieces: &mut [Piece], old: u64, new: u64, first_usable: u64) -> Result<(), SolveError> {
    if old >= new {
        return Ok(());
    }
    for piece in pieces.iter_mut() {
        if piece.entry.type_guid.as_str() == BIOS_BOOT {
            piece.start = piece.start.next_multiple_of(new).max(first_usable * new);
        }
        piece.end -= piece.end % new;
        if piece.start % new != 0 || piece.end <= piece.start {
            return Err(SolveError::SectorSize {
                what: piece.node.path.clone(),
                sector: new as u32,
                recorded: old as u32,
            });
        }
    }
    Ok(())
}

fn check_blocks(layout: &Layout, pieces: &[Piece], sector: u32) -> Result<(), SolveError> {
    pieces.iter().try_for_each(|piece| check_blocks_on(layout, piece.node, sector))
}

/// A filesystem with smaller blocks than the sectors below it cannot be mounted.
fn check_blocks_on(layout: &Layout, below: &Node, sector: u32) -> Result<(), SolveError> {
    for child in layout.children(&below.id) {
        let (name, block) = match &child.kind {
            Kind::Ext(ext) => (ext.fstype.as_str(), ext.block_size),
            Kind::Xfs(xfs) => ("xfs", xfs.block_size),
            Kind::Btrfs(btrfs) => ("btrfs", btrfs.sector_size),
            Kind::Pool(pool) if (1..32).contains(&pool.ashift) => ("zfs", 1 << pool.ashift),
            _ => continue,
        };
        if block < sector {
            return Err(SolveError::BlockSize { what: format!("{name} on {}", below.path), block, sector });
        }
    }
    Ok(())
}

/// Index of the partition that gives way.
fn growing_place(pieces: &[Piece], growing: Option<&NodeId>) -> Option<usize> {
    match growing {
        Some(id) => pieces.iter().position(|piece| piece.node.id == *id && piece.least.is_some()),
        None => pieces.iter().rposition(|piece| piece.least.is_some()),
    }
}

/// Bytes by which the growing partition becomes larger (or smaller) and by which everything behind it moves.
fn shift(
    pieces: &[Piece],
    place: Option<usize>,
    usable_end: u64,
    alignment: u64,
    same_size: bool,
) -> Result<i64, SolveError> {
    let Some(last) = pieces.last() else { return Ok(0) };
    if last.end <= usable_end && same_size {
        return Ok(0);
    }
    let Some(place) = place else {
        if last.end <= usable_end {
            return Ok(0);
        }
        return Err(SolveError::TooSmall {
            missing: Bytes(last.end - usable_end),
            reason: "no partition on it can be made smaller".to_owned(),
        });
    };
    let piece = &pieces[place];
    // What lies behind moves by whole steps; the last partition itself ends on one.
    let room = usable_end as i64 - last.end as i64;
    let step = alignment as i64;
    let behind = place + 1 < pieces.len();
    let shift = if behind {
        room.div_euclid(step) * step
    } else {
        let end = (usable_end - usable_end % alignment) as i64;
        // A partition that ended off the grid keeps its end rather than lose a few sectors.
        if room >= 0 { (end - last.end as i64).max(0) } else { end - last.end as i64 }
    };
    let size = (piece.end - piece.start) as i64 + shift;
    let least = piece.least.unwrap_or(u64::MAX);
    if shift < 0 && !u64::try_from(size).is_ok_and(|size| size >= least) {
        return Err(SolveError::TooSmall {
            missing: Bytes(least.saturating_add_signed(size.saturating_neg())),
            reason: format!("{} holds content that needs {}", piece.node.path, Bytes(least)),
        });
    }
    Ok(shift)
}

fn moved(piece: &Piece, index: usize, place: Option<usize>, shift: i64, sector: u64) -> NewPartition {
    let starts = place.is_some_and(|place| index > place);
    let ends = place.is_some_and(|place| index >= place);
    let start = piece.start.saturating_add_signed(if starts { shift } else { 0 });
    let end = piece.end.saturating_add_signed(if ends { shift } else { 0 });
    NewPartition {
        node: piece.node.id.clone(),
        entry: Partition { first_lba: start / sector, sectors: (end - start) / sector, ..piece.entry.clone() },
        old_size: piece.node.size,
    }
}

fn needed(pieces: &[Piece], target: Geometry) -> Bytes {
    Bytes(pieces.iter().map(|piece| piece.end - piece.start).sum::<u64>().saturating_sub(target.size.0))
}

#[cfg(test)]
mod tests;
