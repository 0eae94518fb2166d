//! Guests against what a plan for the disks makes: which fit, which do not, and why.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use layout::Layout;
use layout::lvm::VolumeGroup;
use manifest::host::{
    BootChain, Coverage, Firmware, GuestKind, Hardware, Held, Identity, Item, Kernel, Network, OsRelease, Platform,
    Verdict,
};

use super::*;

const MIB: u64 = 1 << 20;

/// A plan that makes the group pve with a root and a thin pool of 256 MiB.
fn disks(zero: bool) -> Plan {
    let group =
        VolumeGroup { uuid: "g".to_owned(), name: "pve".to_owned(), extent: Bytes(4 * MIB), free: 0, tags: Vec::new() };
    let pool = Form::ThinPool { chunk: Bytes(65_536), metadata: Bytes(8 * MIB), zero, discards: "passdown".to_owned() };
    let volume = |name: &str, form, size| Step::MakeLv {
        volume: LogicalVolume {
            uuid: "v".to_owned(),
            group: "pve".to_owned(),
            name: name.to_owned(),
            form,
            writable: true,
            tags: Vec::new(),
        },
        size: Bytes(size),
        extent: Bytes(4 * MIB),
    };
    let before = vec![
        Step::MakeVg { group, devices: Vec::new() },
        volume("root", Form::Linear, 1200 * MIB),
        volume("data", pool, 256 * MIB),
    ];
    let (disks, after, last, untouched) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Plan { disks, before, after, last, blocks: Vec::new(), untouched, notes: Vec::new(), without: Vec::new() }
}

fn disk(volume: &str, pool: Option<&str>, bytes: u64, stored: u64) -> OfflineDisk {
    OfflineDisk {
        device: "drive-scsi0".to_owned(),
        bytes,
        stored,
        group: "pve".to_owned(),
        pool: pool.map(str::to_owned),
        volume: volume.to_owned(),
    }
}

fn guest(id: &str, offline: Vec<OfflineDisk>) -> Guest {
    let archive = Archive {
        path: format!("/dump/{id}.vma"),
        storage: "local".to_owned(),
        bytes: 1,
        made: String::new(),
        sha256: None,
        held: Held::Captured,
        offline,
    };
    Guest {
        id: id.to_owned(),
        name: "mail".to_owned(),
        kind: GuestKind::Machine,
        starts: true,
        order: None,
        archive: Some(archive),
        notes: Vec::new(),
    }
}

fn host(guests: Vec<Guest>) -> Host {
    let platform = Platform {
        kind: PlatformKind::Proxmox,
        node: "pve1".to_owned(),
        cluster: Vec::new(),
        guests,
        notes: Vec::new(),
    };
    let text = String::new;
    Host {
        identity: Identity {
            hostname: text(),
            machine_id: None,
            os: OsRelease { id: text(), version: text(), codename: text(), name: text() },
            architecture: text(),
            dmi: None,
        },
        layout: Layout { nodes: Vec::new(), mounts: Vec::new() },
        coverage: Coverage { items: Vec::new(), exclusions: Vec::new(), unused_waivers: Vec::new() },
        boot: BootChain {
            firmware: Firmware::Bios,
            secure_boot: None,
            loaders: Vec::new(),
            efi: None,
            command_line: text(),
            kernel: Kernel { release: text(), version: text(), image: None, initrd: None, installed: Vec::new() },
            modules: Vec::new(),
        },
        network: Network { interfaces: Vec::new(), routes: Vec::new(), nameservers: Vec::new(), search: Vec::new() },
        hardware: Hardware { cpu: text(), cpus: 1, memory: Bytes(0), hypervisor: None, pci: Vec::new() },
        fstab: Vec::new(),
        swap_files: Vec::new(),
        containers: Vec::new(),
        guests: vec![platform],
        gaps: Vec::new(),
    }
}

/// Why each guest cannot be brought back; none for one that can.
fn refusals(host: &Host, plan_for_disks: &Plan) -> Vec<Option<String>> {
    plan(host, plan_for_disks, None).into_iter().map(|planned| planned.targets.err()).collect()
}

#[test]
fn volumes_are_made_by_the_platforms_names_and_in_whole_extents() {
    let disks = disks(true);
    let two = vec![disk("vm-100-disk-0", Some("data"), 9 * MIB, MIB), disk("vm-100-disk-1", None, 4 * MIB, MIB)];
    let host = host(vec![guest("100", two), guest("101", Vec::new())]);
    let planned = plan(&host, &disks, None);
    assert_eq!(planned.len(), 1, "who is not named comes back at the first start");
    let targets = planned[0].targets.as_ref().unwrap();
    let made = |at: usize| targets[at].volume.lvcreate(targets[at].size, targets[at].extent).join(" ");
    assert_eq!(made(0), "lvcreate --yes --name vm-100-disk-0 --type thin --virtualsize 12582912b --thinpool data pve");
    assert_eq!(
        made(1),
        "lvcreate --yes --name vm-100-disk-1 --type linear --extents 1 --wipesignatures y --zero y --addtag pve-vm-100 pve"
    );
    assert_eq!(targets[0].volume.path(), "/dev/mapper/pve-vm--100--disk--0");
    assert_eq!((targets[0].before, targets[1].before), (Before::Zeroes, Before::Anything));
    let shown = planned[0].to_string();
    assert!(
        shown.contains("guest 100 mail")
            && shown.contains("pve/vm-100-disk-0 in pool data, 12.0 MiB, 1.00 MiB of it data"),
        "{shown}"
    );
}

#[test]
fn a_pool_that_does_not_zero_its_chunks_is_told_by_its_chunk() {
    let disks = disks(false);
    let host = host(vec![guest("100", vec![disk("vm-100-disk-0", Some("data"), MIB, MIB)])]);
    let planned = plan(&host, &disks, None);
    assert_eq!(planned[0].targets.as_ref().unwrap()[0].before, Before::Chunks(Bytes(65_536)));
}

#[test]
fn what_the_plan_does_not_make_or_has_no_room_for_is_named() {
    let other = OfflineDisk { group: "other".to_owned(), ..disk("vm-100-disk-0", None, MIB, 0) };
    let cases = [
        (other, "volume group other is not made here"),
        (disk("vm-100-disk-0", Some("fast"), MIB, 0), "thin pool pve/fast is not made here"),
        (disk("vm-100-disk-0", Some("root"), MIB, 0), "thin pool pve/root is not made here"),
        (disk("root", Some("data"), MIB, 0), "the volume pve/root is another one's"),
        (disk("--force", Some("data"), MIB, 0), "is no volume that can be made"),
        (disk("../x", Some("data"), MIB, 0), "is no volume that can be made"),
        (disk("vm-100-disk-0", Some("data"), 0, 0), "is no volume that can be made"),
        (disk("vm-100-disk-0", None, u64::MAX, 0), "larger than any volume"),
        (
            disk("vm-100-disk-0", Some("data"), 1 << 40, 257 * MIB),
            "257 MiB are to go into the pool pve/data with what the host has there, and it has 256 MiB",
        ),
    ];
    for (disk, words) in cases {
        let found = refusals(&host(vec![guest("100", vec![disk])]), &disks(true)).remove(0).unwrap_or_default();
        assert!(found.contains(words), "{words:?} is not in {found:?}");
    }
    let twice = vec![disk("vm-100-disk-0", Some("data"), MIB, 0), disk("vm-100-disk-0", Some("data"), MIB, 0)];
    assert!(refusals(&host(vec![guest("100", twice)]), &disks(true))[0].is_some());
}

#[test]
fn guests_share_the_room_of_a_pool_and_one_that_does_not_fit_takes_none_of_it() {
    let one = |id: &str, stored| guest(id, vec![disk(&format!("vm-{id}-disk-0"), Some("data"), 1 << 40, stored * MIB)]);
    let found = refusals(&host(vec![one("100", 200), one("101", 100), one("102", 56)]), &disks(true));
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false], "{found:?}");
}

#[test]
fn what_the_host_itself_has_in_a_pool_is_counted() {
    let mut plan = disks(true);
    let volume = LogicalVolume {
        uuid: "v".to_owned(),
        group: "pve".to_owned(),
        name: "raw".to_owned(),
        form: Form::Thin { pool: "data".to_owned() },
        writable: true,
        tags: Vec::new(),
    };
    let device = layout::plan::Device::Made { path: volume.path() };
    plan.before.push(Step::MakeLv { volume, size: Bytes(200 * MIB), extent: Bytes(4 * MIB) });
    let host = host(vec![guest("100", vec![disk("vm-100-disk-0", Some("data"), 128 * MIB, 100 * MIB)])]);
    assert!(super::plan(&host, &plan, None)[0].targets.is_ok());
    plan.blocks.push(layout::plan::Fill { device, file: "f".to_owned(), size: Bytes(200 * MIB), zeroed: true });
    let refused = super::plan(&host, &plan, None)[0].targets.as_ref().unwrap_err().clone();
    assert!(refused.contains("with what the host has there"), "{refused}");
}

#[test]
fn a_guest_that_is_waived_or_that_a_cluster_may_run_is_left_alone() {
    let mut host = host(vec![guest("100", vec![disk("vm-100-disk-0", Some("data"), MIB, 0)])]);
    let disks = disks(true);
    assert_eq!(plan(&host, &disks, Some(Membership::Same)).len(), 1);
    assert_eq!(plan(&host, &disks, Some(Membership::Seed)).len(), 1);
    assert!(plan(&host, &disks, Some(Membership::Removed)).is_empty());
    host.coverage.items.push(Item {
        node: layout::NodeId("guest:Proxmox VE:100".to_owned()),
        path: String::new(),
        what: String::new(),
        mount: None,
        verdict: Verdict::Waived { pattern: "guest:100".to_owned(), reason: String::new() },
    });
    assert!(plan(&host, &disks, None).is_empty());
}
