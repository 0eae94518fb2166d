//! What of ZFS an archive of files does not hold: its snapshots, named; and what shows a second time.

use layout::zfs::{Dataset, inherited};
use layout::{Kind, Layout, Node, NodeId};
use manifest::host::{Exclusion, Item, Verdict};

/// The datasets of a layout with their nodes.
fn datasets(layout: &Layout) -> impl Iterator<Item = (&Node, &Dataset)> {
    layout.nodes.iter().filter_map(|node| match &node.kind {
        Kind::Dataset(dataset) => Some((node, dataset)),
        _ => None,
    })
}

/// The word on the snapshots of datasets that come back.
pub(super) fn items(layout: &Layout) -> Vec<Item> {
    let with = datasets(layout).filter(|(_, dataset)| dataset.snapshots > 0);
    with.map(|(_, dataset)| {
        let newest = format!("{}@{}", dataset.name, dataset.newest_snapshot.as_deref().unwrap_or_default());
        let path = match dataset.snapshots {
            1 => newest.clone(),
            count => format!("{newest} and {} older", count - 1),
        };
        Item {
            node: NodeId(format!("snapshots:{}", dataset.name)),
            path,
            what: "ZFS snapshot".to_owned(),
            mount: None,
            verdict: Verdict::LeftOut {
                reason: "snapshots are not carried: the dataset is archived as it is now".to_owned(),
            },
        }
    })
    .collect()
}

/// Folders that show snapshots.
pub(super) fn exclusions(layout: &Layout) -> Vec<Exclusion> {
    let visible = datasets(layout).filter(|(_, dataset)| {
        let all = datasets(layout).map(|(_, dataset)| dataset);
        inherited(all, &dataset.name, "snapdir") == Some("visible")
    });
    let mounts = visible.flat_map(|(node, _)| layout.mounts.iter().filter(|mount| mount.node == node.id));
    mounts
        .map(|mount| Exclusion {
            pattern: format!("{}/.zfs", mount.path.trim_end_matches('/')),
            reason: "ZFS shows snapshots there".to_owned(),
        })
        .collect()
}
