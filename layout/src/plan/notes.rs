//! What was recorded and does not come back, or comes back in another way: words for the person who reads the plan.

use crate::blocks::Volume;
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::luks::Luks;
use crate::lvm::{Form, LogicalVolume};
use crate::zfs::Pool;

/// A word on each recorded node that does not come back as it was.
pub(super) fn notes(
    layout: &Layout,
    restores: &dyn Fn(&NodeId) -> bool,
    wanted: &[NodeId],
    left: &[NodeId],
) -> Vec<String> {
    let mut notes = Vec::new();
    for (node, _) in layout.disks().filter(|(node, _)| !wanted.contains(&node.id) && !left.contains(&node.id)) {
        notes.push(format!("{} ({}) is not made again: nothing on it was captured", node.path, node.size));
    }
    for node in &layout.nodes {
        let below = layout.disks_below(&node.id);
        let made = |disk: &NodeId| wanted.contains(disk) || left.contains(disk);
        let here = !below.is_empty() && below.into_iter().all(made) && layout.survives(&node.id, left);
        let text = match &node.kind {
            Kind::Lv(LogicalVolume { form: Form::Snapshot { origin }, .. }) if here => {
                format!("does not come back: it is a snapshot of {origin}")
            }
            Kind::Luks(luks) if here => match luks_note(layout, node, luks) {
                Some(text) => text,
                None => continue,
            },
            Kind::Pool(Pool { hindrance: Some(hindrance), .. }) if here => format!("does not come back: {hindrance}"),
            Kind::Dataset(dataset) if here && dataset.encrypted => "does not come back: it is encrypted".to_owned(),
            Kind::Opaque(_) if restores(&node.id) && Volume::of(layout, node).is_some() => continue,
            Kind::Opaque(opaque) if here && lies_on_dataset(layout, node) => {
                format!("comes back as an empty volume: this version does not restore {}", opaque.what)
            }
            Kind::Opaque(opaque) if here => {
                format!("comes back as an empty partition: this version does not restore {}", opaque.what)
            }
            kind if kind.is_filesystem() && here && !restores(&node.id) => {
                "comes back empty: it was not captured".to_owned()
            }
            _ => continue,
        };
        notes.push(format!("{} ({}) {text}", node.path, node.size));
    }
    notes
}

/// A word on an array that comes back with fewer members, because a disk was left out.
pub(super) fn degraded(layout: &Layout, node: &Node, left: &[NodeId]) -> Option<String> {
    let Kind::Array(array) = &node.kind else { return None };
    let gone = node.on.iter().filter(|member| !layout.survives(member, left)).count();
    let name = array.path();
    (gone > 0 && layout.survives(&node.id, left)).then(|| {
        format!("{name} ({}) comes back degraded, without {gone} of its {} members: mdadm {name} --add DEVICE, once there is a disk", 
            array.level, array.devices)
    })
}

/// Whether a node is what a volume of ZFS holds.
fn lies_on_dataset(layout: &Layout, node: &Node) -> bool {
    node.on.iter().filter_map(|id| layout.node(id)).any(|below| matches!(below.kind, Kind::Dataset(_)))
}

/// What a person must know of a container beforehand.
fn luks_note(layout: &Layout, node: &Node, luks: &Luks) -> Option<String> {
    if let Some(hindrance) = &luks.hindrance {
        return Some(format!("comes back as an empty partition: {hindrance}"));
    }
    if layout.children(&node.id).next().is_none() {
        return Some("comes back as an empty partition: the container was not open when it was captured".to_owned());
    }
    luks.has_tpm().then(|| {
        "was opened by a TPM. Its enrolment holds on that machine only; elsewhere a passphrase opens it, and the new TPM is enrolled \
         at the first start, or by hand: systemd-cryptenroll --wipe-slot=tpm2 DEVICE, then systemd-cryptenroll --tpm2-device=auto DEVICE"
            .to_owned()
    })
}
