//! Volumes whose blocks are archived, because the configuration names them: what holds a guest's own disk, or nothing that is known here.

use std::path::PathBuf;

use layout::Layout;
use layout::blocks::Volume;
use manifest::host::{Coverage, Gap, Verdict};

use super::pattern::fits;
use super::{coverage, gap};

/// A volume that is read from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its device.
    pub device: PathBuf,
    /// The file of the snapshot that it becomes, from the snapshot's root.
    pub file: String,
}

/// Gives the word on every volume that `wanted` names, and what is to be read. A name that fits nothing is a gap.
pub(super) fn take_in(layout: &Layout, coverage: &mut Coverage, wanted: &[String], gaps: &mut Vec<Gap>) -> Vec<Read> {
    let mut reads = Vec::new();
    let mut used = vec![false; wanted.len()];
    for item in &mut coverage.items {
        let Some(node) = layout.node(&item.node) else {
            // A guest's volume that its platform's archives bring back was taken off the layout.
            for (used, wanted) in used.iter_mut().zip(wanted).filter(|(_, wanted)| fits(wanted, &item.path)) {
                *used = true;
                gaps.push(gap(
                    format!("blocks = [{wanted:?}]"),
                    format!(
                        "{} is a guest's volume, which is brought back by the guest's archive and not by its blocks",
                        item.path
                    ),
                ));
            }
            continue;
        };
        let Some(volume) = Volume::of(layout, node) else { continue };
        let names = [volume.names(), vec![node.path.clone()]].concat();
        let Some(index) = wanted.iter().position(|wanted| names.iter().any(|name| fits(wanted, name))) else {
            continue;
        };
        used[index] = true;
        if !matches!(item.verdict, Verdict::Uncovered { .. }) {
            continue;
        }
        item.verdict = match coverage::stands(layout, node) {
            Ok(()) => Verdict::Captured { how: "its blocks are archived, as they are when they are read".to_owned() },
            Err(reason) => Verdict::Uncovered { reason, system: false },
        };
        if matches!(item.verdict, Verdict::Captured { .. }) {
            reads.push(Read { device: PathBuf::from(volume.device), file: volume.file });
        }
    }
    let unused = wanted.iter().zip(&used).filter(|(_, used)| !**used);
    gaps.extend(unused.map(|(wanted, _)| {
        gap(
            format!("blocks = [{wanted:?}]"),
            "it names no active volume of LVM or ZFS that holds a guest's disk or something unknown",
        )
    }));
    reads
}

#[cfg(test)]
mod tests {
    use layout::disk::{Disk, Table};
    use layout::lvm::{Form, LogicalVolume, PhysicalVolume, VolumeGroup};
    use layout::{Bytes, Kind, Node, NodeId, Opaque};

    use super::*;

    #[test]
    fn a_volume_that_is_named_is_read_and_one_that_is_not_stays_uncovered() {
        let node = |id: &str, on: &str, path: &str, kind| Node {
            id: NodeId(id.to_owned()),
            on: if on.is_empty() { Vec::new() } else { vec![NodeId(on.to_owned())] },
            path: path.to_owned(),
            size: Bytes(1 << 30),
            kind,
        };
        let disk = Disk {
            model: String::new(),
            serial: Some("S".to_owned()),
            wwn: None,
            transport: None,
            logical_sector: 512,
            physical_sector: 512,
            removable: false,
            rotational: false,
            table: Table::None,
        };
        let pv = PhysicalVolume { uuid: "p".to_owned(), data_start: Bytes(1 << 20), extents: 100 };
        let vg = VolumeGroup {
            name: "vg".to_owned(),
            uuid: "g".to_owned(),
            extent: Bytes(4 << 20),
            free: 0,
            tags: Vec::new(),
        };
        let lv = |name: &str| {
            let form = Form::Linear;
            let (uuid, group, name) = (name.to_owned(), "vg".to_owned(), name.to_owned());
            Kind::Lv(LogicalVolume { uuid, group, name, form, writable: true, tags: Vec::new() })
        };
        let unknown = || Kind::Opaque(Opaque { what: "unknown".to_owned() });
        let nodes = vec![
            node("disk", "", "/dev/sda", Kind::Disk(disk)),
            node("pv", "disk", "/dev/sda", Kind::Pv(pv)),
            node("vg", "pv", "/dev/vg", Kind::Vg(vg)),
            node("one", "vg", "/dev/mapper/vg-one", lv("one")),
            node("two", "vg", "/dev/mapper/vg-two", lv("two")),
            node("raw:one", "one", "/dev/mapper/vg-one", unknown()),
            node("raw:two", "two", "/dev/mapper/vg-two", unknown()),
        ];
        let layout = Layout { nodes, mounts: Vec::new() };
        let mut coverage = coverage::coverage(&layout, &[], None);
        let mut gaps = Vec::new();
        let wanted = ["/dev/vg/one", "/dev/vg/three"].map(str::to_owned);
        let reads = take_in(&layout, &mut coverage, &wanted, &mut gaps);
        let [read] = reads.as_slice() else { panic!("{reads:?}") };
        assert_eq!(
            (read.device.to_str(), read.file.as_str()),
            (Some("/dev/mapper/vg-one"), "var/lib/lifeboat/volumes/lvm/vg/one")
        );
        assert!(coverage.restores(&NodeId("raw:one".to_owned())) && !coverage.restores(&NodeId("raw:two".to_owned())));
        assert!(gaps.len() == 1 && gaps[0].what.contains("three"), "{gaps:?}");
    }
}
