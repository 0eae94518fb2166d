//! Plans of hosts with ZFS: Proxmox's own layout, on disks of other sizes.

use std::collections::BTreeMap;

use super::tests::{captured, disk, ext, mount, node, part, present};
use super::*;
use crate::disk::Table;
use crate::gpt::{BIOS_BOOT, ESP, GptTable};
use crate::graph::Opaque;
use crate::units::Guid;
use crate::zfs::{Dataset, Form as VdevForm, GUEST, Role, Vdev, Volume};

const ZFS: &str = "6A898CC3-1DD2-11B2-99A6-080020736631";

fn table() -> Table {
    Table::Gpt(GptTable {
        guid: Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap(),
        first_usable: 34,
        last_usable: 2048 * 4096 - 34,
        capacity: 128,
        alignment: 2,
        boot_code: false,
        active: false,
    })
}

fn pool(used_mib: u64) -> Pool {
    Pool {
        guid: "1".to_owned(),
        name: "rpool".to_owned(),
        ashift: 12,
        features: vec!["async_destroy".to_owned()],
        properties: BTreeMap::new(),
        bootfs: Some("rpool/ROOT".to_owned()),
        vdevs: vec![Vdev { role: Role::Data, form: VdevForm::Mirror, devices: 2, missing: 0 }],
        used: Bytes(used_mib << 20),
        hindrance: None,
    }
}

fn dataset(name: &str, properties: &[(&str, &str)], volume_mib: Option<u64>) -> Kind {
    Kind::Dataset(Dataset {
        name: name.to_owned(),
        volume: volume_mib.map(|mib| Volume { size: Bytes(mib << 20), block: Bytes(16384) }),
        properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        encrypted: name.contains("secret"),
        origin: None,
        snapshots: 0,
        newest_snapshot: None,
        used: Bytes(0),
    })
}

/// Two disks with a mirrored pool: root, a read-only dataset, an encrypted one, a volume with ext4 and a guest's disk.
fn host(used_mib: u64) -> Layout {
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        nodes.push(node(name, &[], 4096, Kind::Disk(disk(&name.to_uppercase(), table()))));
        nodes.push(node(&format!("{name}1"), &[name], 1, part(1, BIOS_BOOT, 0, 1)));
        nodes.push(node(&format!("{name}2"), &[name], 512, part(2, ESP, 1, 512)));
        nodes.push(node(&format!("{name}3"), &[name], 3580, part(3, ZFS, 513, 3580)));
    }
    nodes.extend([
        node("pool", &["a3", "b3"], 3584, Kind::Pool(pool(used_mib))),
        node("own", &["pool"], 3584, dataset("rpool", &[("atime", "off")], None)),
        node("root", &["pool"], 3584, dataset("rpool/ROOT", &[("mountpoint", "/")], None)),
        node("locked", &["pool"], 3584, dataset("rpool/locked", &[("readonly", "on"), ("quota", "70")], None)),
        node("secret", &["pool"], 3584, dataset("rpool/secret", &[("readonly", "on")], None)),
        node("vm-1", &["pool"], 64, dataset("rpool/vm-1", &[], Some(64))),
        node("guest", &["vm-1"], 64, Kind::Opaque(Opaque { what: GUEST.to_owned() })),
        node("vm-2", &["pool"], 32, dataset("rpool/vm-2", &[], Some(32))),
        node("files", &["vm-2"], 32, ext("u-files")),
    ]);
    let mounts = vec![mount("root", "/", "zfs"), mount("files", "/srv", "ext4"), mount("locked", "/locked", "zfs")];
    Layout { nodes, mounts }
}

fn plan_onto(layout: &Layout, mib: u64) -> Result<Plan, PlanError> {
    let restores = |id: &NodeId| !matches!(id.0.as_str(), "secret" | "guest");
    plan(layout, &restores, &[present("/dev/vda", "A", mib), present("/dev/vdb", "B", mib)], &[])
}

fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(Step::to_string).filter(|step| !step.starts_with("save") && !step.starts_with("clear")).collect()
}

#[test]
fn a_pool_is_made_with_its_datasets_and_locked_when_all_is_done() {
    let plan = plan_onto(&host(1000), 4096).unwrap();
    assert_eq!(
        words(&plan.before),
        [
            "write the partition table of /dev/vda (3 partitions)",
            "write the partition table of /dev/vdb (3 partitions)",
            "make ZFS pool rpool on /dev/vda3, /dev/vdb3",
            "make ZFS filesystem rpool/ROOT",
            "make ZFS filesystem rpool/locked",
            "make ZFS volume rpool/vm-1 (64.0 MiB)",
            "make ZFS volume rpool/vm-2 (32.0 MiB)",
            "make ext4 u-files on /dev/zvol/rpool/vm-2 (32.0 MiB)",
            "mount rpool/ROOT at /",
            "mount /dev/zvol/rpool/vm-2 at /srv",
            "mount rpool/locked at /locked",
        ]
    );
    assert_eq!(words(&plan.last), ["set 3 properties on the pool rpool"]);
    let text = plan.to_string();
    assert!(text.contains("ZFS pool rpool with 6 datasets and /"), "{text}");
    assert!(text.contains("does not come back: it is encrypted"), "{text}");
    assert!(text.contains("comes back as an empty volume: this version does not restore guest's disk"), "{text}");
}

#[test]
fn the_stick_needs_the_tools_of_pools() {
    let tools = required_tools(&host(1000));
    assert!(tools.contains(&"zpool") && tools.contains(&"zfs"), "{tools:?}");
}

#[test]
fn a_pool_takes_a_larger_disk_and_shrinks_to_its_content_with_room() {
    let size = |mib: u64| {
        let plan = plan_onto(&host(1000), mib).unwrap();
        plan.disks[0].table.partitions[2].entry.sectors / 2048
    };
    assert!(size(8192) > 7600 && size(2048) < 1600);
    let error = plan_onto(&host(1000), 1500).unwrap_err().to_string();
    assert!(error.contains("bytes) are missing"), "{error}");
}

#[test]
fn a_pool_that_cannot_be_made_again_is_named_and_nothing_of_it_is_made() {
    let mut layout = host(1000);
    for node in &mut layout.nodes {
        if let Kind::Pool(pool) = &mut node.kind {
            pool.hindrance = Some("its part draid is odd".to_owned());
        }
    }
    let plan = plan_onto(&layout, 4096).unwrap();
    assert!(
        plan.notes.iter().any(|note| note.contains("rpool") || note.contains("its part draid is odd")),
        "{:?}",
        plan.notes
    );
    assert!(!words(&plan.before).iter().any(|step| step.contains("ZFS") || step.contains("mount")));
}

#[test]
fn a_pool_of_small_sectors_is_refused_on_a_disk_of_large_ones() {
    let mut layout = host(1000);
    for node in &mut layout.nodes {
        if let Kind::Pool(pool) = &mut node.kind {
            pool.ashift = 9;
        }
    }
    let mut large = [present("/dev/vda", "A", 4096), present("/dev/vdb", "B", 4096)];
    large.iter_mut().for_each(|disk| disk.disk.logical_sector = 4096);
    assert!(plan(&layout, &captured, &large, &[]).is_err());
}
