//! Sizes of what lies on partitions: filesystems, arrays, volume groups and their volumes. Knows nodes as numbers only.
//!
//! Two questions: how small may a node become, and how large is each volume when its group got more or less room.

use std::collections::BTreeMap;

use super::SolveError;
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::lvm::{Form, VolumeGroup};
use crate::units::Bytes;

/// Free space that a shrunk filesystem keeps: a twentieth of its content and no less than this.
const LEAST_MARGIN: u64 = 64 << 20;
/// Room on a member of an array that its metadata takes at most.
const MEMBER_HEADROOM: u64 = 128 << 20;
/// A graph with a circle (a hostile manifest) is not followed further than this.
const DEEPEST: usize = 16;

/// Bytes that a node may shrink to; none where it cannot be made in another size. Its own size where it may only grow.
pub(super) fn least(layout: &Layout, node: &Node) -> Option<u64> {
    least_at(layout, node, 0)
}

fn least_at(layout: &Layout, node: &Node, depth: usize) -> Option<u64> {
    if depth > DEEPEST {
        return None;
    }
    let on_it = || layout.children(&node.id).find_map(|child| least_at(layout, child, depth + 1));
    match &node.kind {
        Kind::Ext(ext) => Some(ext.used.0.saturating_add((ext.used.0 / 20).max(LEAST_MARGIN))),
        Kind::Xfs(xfs) => Some(xfs.least().0),
        // Which of several devices a smaller filesystem would do without is not for us to choose.
        Kind::Btrfs(_) if node.on.len() > 1 => None,
        Kind::Btrfs(btrfs) => Some(btrfs.least().0),
        Kind::Array(array) => {
            let whole = on_it()?;
            let share = match (array.level.as_str(), u64::from(array.devices.max(1))) {
                ("raid1", _) => whole,
                ("raid4" | "raid5", count) => whole / count.saturating_sub(1).max(1),
                ("raid6", count) => whole / count.saturating_sub(2).max(1),
                ("raid10", count) => whole.saturating_mul(2) / count,
                (_, count) => whole / count,
            };
            Some(share.saturating_add(MEMBER_HEADROOM))
        }
        Kind::Luks(luks) if luks.hindrance.is_none() => Some(luks.size_for(on_it()?)),
        Kind::Pv(volume) => {
            let (group, found) = layout.children(&node.id).find_map(|child| Some((child, group(child)?)))?;
            // Which of several physical volumes a smaller group would do without is not for us to choose.
            if group.on.len() != 1 {
                return Some(node.size.0);
            }
            let spares = layout.children(&group.id).map(|child| spare(layout, found, child));
            let spared = spares.fold(found.free, u64::saturating_add);
            let extents = volume.extents.saturating_sub(spared);
            Some(extents.saturating_mul(found.extent.0).saturating_add(volume.data_start.0))
        }
        Kind::Lv(_) => on_it(),
        Kind::Pool(pool) if pool.hindrance.is_none() => {
            // Where it cannot be told which vdev gives way, none does.
            let largest = || node.on.iter().filter_map(|id| layout.node(id)).map(|below| below.size.0).max();
            pool.least().map(|least| least.0).or_else(largest)
        }
        _ => None,
    }
}

fn group(node: &Node) -> Option<&VolumeGroup> {
    match &node.kind {
        Kind::Vg(group) => Some(group),
        _ => None,
    }
}

/// Extents that a volume can do without.
fn spare(layout: &Layout, group: &VolumeGroup, node: &Node) -> u64 {
    match (&node.kind, least(layout, node)) {
        (Kind::Lv(volume), Some(least)) if matches!(volume.form, Form::Linear | Form::Other { .. }) => {
            group.extents_for(node.size).saturating_sub(group.extents_for(Bytes(least)))
        }
        _ => 0,
    }
}

/// The size of each volume of the group `node` when its physical volumes have `extents` in all, `recorded` before.
///
/// More room goes to the thin pool, or else to the last volume with a filesystem that can grow; less is taken from free extents first, then from
/// the volumes with filesystems, the last one first, down to their content.
///
/// # Errors
/// [`SolveError::TooSmall`] with the bytes that are missing.
pub fn volumes(
    layout: &Layout,
    node: &Node,
    recorded: u64,
    extents: u64,
) -> Result<BTreeMap<NodeId, Bytes>, SolveError> {
    let Some(group) = group(node) else { return Ok(BTreeMap::new()) };
    let on_it: Vec<&Node> = layout.children(&node.id).filter(|child| matches!(child.kind, Kind::Lv(_))).collect();
    let mut sizes: BTreeMap<NodeId, Bytes> = on_it.iter().map(|child| (child.id.clone(), child.size)).collect();
    if extents >= recorded {
        let more = extents - recorded;
        let pool = on_it.iter().find(|child| form(child).is_some_and(|form| matches!(form, Form::ThinPool { .. })));
        let grown = pool.or_else(|| on_it.iter().rev().find(|child| least(layout, child).is_some()));
        if let Some(grown) = grown {
            let step = match form(grown) {
                Some(Form::Mirrored { copies }) => u64::from((*copies).max(1)),
                Some(Form::Striped { stripes, .. }) => u64::from((*stripes).max(1)),
                _ => 1,
            };
            let gain = match form(grown) {
                Some(Form::Mirrored { .. }) => more / step,
                _ => more - more % step,
            };
            sizes.insert(grown.id.clone(), Bytes(grown.size.0.saturating_add(gain.saturating_mul(group.extent.0))));
        }
        return Ok(sizes);
    }
    let mut missing = (recorded - extents).saturating_sub(group.free);
    for child in on_it.iter().rev() {
        let taken = spare(layout, group, child).min(missing);
        missing -= taken;
        sizes.insert(child.id.clone(), Bytes(child.size.0.saturating_sub(taken.saturating_mul(group.extent.0))));
    }
    if missing > 0 {
        return Err(SolveError::TooSmall {
            missing: Bytes(missing.saturating_mul(group.extent.0)),
            reason: format!("the volumes of the group {} hold more", group.name),
        });
    }
    Ok(sizes)
}

fn form(node: &Node) -> Option<&Form> {
    match &node.kind {
        Kind::Lv(volume) => Some(&volume.form),
        _ => None,
    }
}
