//! What is read of machines: partition tables, the output of tools, superblocks; and plans over layouts that somebody recorded.

use std::collections::BTreeMap;
use std::io::Cursor;

use layout::ext::Ext;
use layout::matching::Present;
use layout::plan::{plan as make_plan, required_tools};
use layout::serial::DiskNames;
use layout::swap::Swap;
use layout::vfat::volume::Volume;
use layout::{Guid, Layout, blkid, fstab, gpt as table, lsblk, mountinfo, probe as probing};

/// What tools print and disks begin with; every parser gets the same bytes.
pub fn probe(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mounts = mountinfo::parse(data);
    let _ = mountinfo::visible(&mounts).len();
    if let Ok(devices) = lsblk::parse(&text) {
        walk(&probing::assemble(&devices, &BTreeMap::new(), &probing::Stacks::default(), &mounts));
    }
    let _ = blkid::parse(&text);
    let _ = (fstab::parse(&text).len(), fstab::parse_swaps(&text).len());
    if let Ok(guid) = Guid::new(&text) {
        assert_eq!(Guid::new(guid.as_str()).as_ref(), Ok(&guid));
    }
    let _ = Ext::parse(data).is_ok();
    let _ = Swap::parse(data);
    if let Ok(volume) = Volume::parse(data.get(..512).unwrap_or(data)) {
        let part = |range: &std::ops::Range<u64>| {
            let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
            data.get(clamp(range.start)..clamp(range.end)).unwrap_or_default()
        };
        let _ = volume.describe(part(&volume.table), part(&volume.root));
    }
    let names = DiskNames { vpd: Some(data.to_vec()), wwid: Some(text.clone().into_owned()), ..DiskNames::default() };
    let _ = (names.serial(), names.wwn());
    let _ = table::FirstSector::read(data);
}

/// A partition table as the capture reads it, on sectors of both sizes.
pub fn gpt(data: &[u8]) {
    for sector in [512, 4096] {
        if let Ok(found) = super::table::read(&mut Cursor::new(data.to_vec()), sector) {
            assert!(found.partitions.iter().all(|partition| partition.sectors > 0));
        }
    }
}

/// A recorded layout and the disks of another machine, as a pair in JSON.
pub fn plan(data: &[u8]) {
    let Ok((layout, present)) = serde_json::from_slice::<(Layout, Vec<Present>)>(data) else { return };
    walk(&layout);
    if let Ok(plan) = make_plan(&layout, &|_| true, &present, &[]) {
        let _ = plan.to_string();
        let barred = |path: &str| present.iter().any(|disk| disk.path == path && disk.barred.is_some());
        assert!(!plan.disks.iter().any(|disk| barred(&disk.target.path)), "a plan that writes to a barred disk");
    }
}

/// Everything that is asked of a layout.
pub(crate) fn walk(layout: &Layout) {
    for node in &layout.nodes {
        let _ = (layout.children(&node.id).count(), layout.disks_below(&node.id).len());
    }
    let _ = (layout.disks().count(), layout.mount_at("/").is_some(), required_tools(layout).len());
}
