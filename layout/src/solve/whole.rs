//! A disk without a partition table, which a filesystem, a swap area or a physical volume fills.

use super::{Geometry, NewTable, SolveError, check_blocks_on, is_sector, stack};
use crate::graph::{Layout, NodeId};
use crate::units::{Bytes, Guid};

/// Whether what fills the recorded disk `disk` has room on `target`. Gives a table without partitions.
///
/// # Errors
/// [`SolveError`] with the bytes that are missing.
pub fn solve_whole(layout: &Layout, disk: &NodeId, target: Geometry) -> Result<NewTable, SolveError> {
    let node = layout.node(disk).ok_or_else(|| SolveError::Recorded(format!("no disk {disk}")))?;
    if !is_sector(target.logical_sector) {
        return Err(SolveError::TargetSector(target.logical_sector));
    }
    check_blocks_on(layout, node, target.logical_sector)?;
    let least = layout.children(disk).find_map(|child| stack::least(layout, child)).unwrap_or(node.size.0);
    if target.size < node.size && target.size.0 < least {
        return Err(SolveError::TooSmall {
            missing: Bytes(least - target.size.0),
            reason: format!("{} holds content that needs {}", node.path, Bytes(least)),
        });
    }
    let guid = Guid::new("00000000-0000-0000-0000-000000000000");
    Ok(NewTable {
        guid: guid.map_err(|error| SolveError::Recorded(error.to_string()))?,
        logical_sector: target.logical_sector,
        first_usable: 0,
        last_usable: (target.size.0 / u64::from(target.logical_sector)).saturating_sub(1),
        capacity: 0,
        active: false,
        partitions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Table;
    use crate::graph::Kind;
    use crate::solve::tests::{MIB, ext, host};

    #[test]
    fn a_bare_disk_may_be_replaced_by_one_that_holds_its_content() {
        let mut layout = host(1000, vec![("0FC63DAF-8483-4772-8E79-3D69D8477DE4", 1, 999, Some(ext(300 * MIB)))]);
        let disk = NodeId("disk:A".to_owned());
        layout.nodes.remove(1);
        layout.nodes[1].on = vec![disk.clone()];
        if let Kind::Disk(found) = &mut layout.nodes[0].kind {
            found.table = Table::None;
        }
        let on = |mib, sector| solve_whole(&layout, &disk, Geometry { size: Bytes(mib * MIB), logical_sector: sector });
        assert!(on(1000, 512).is_ok() && on(2000, 4096).is_ok() && on(400, 512).is_ok());
        assert!(matches!(on(310, 512), Err(SolveError::TooSmall { .. })));
        assert!(matches!(on(1000, 8192), Err(SolveError::BlockSize { .. })));
    }
}
