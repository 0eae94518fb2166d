//! Guests' devices against a layout, and the word on each guest.

use layout::lvm::{Form, LogicalVolume};
use layout::{Bytes, Mount};

use super::*;

fn lv(name: &str) -> Node {
    Node {
        id: NodeId(format!("lv:pve/{name}")),
        path: format!("/dev/pve/{name}"),
        size: Bytes::GIB,
        kind: Kind::Lv(LogicalVolume {
            uuid: name.to_owned(),
            group: "pve".to_owned(),
            name: name.to_owned(),
            form: Form::Linear,
            writable: true,
            tags: Vec::new(),
        }),
        on: Vec::new(),
    }
}

fn on(below: &str, name: &str) -> Node {
    let kind = Kind::Opaque(layout::Opaque { what: "ext4".to_owned() });
    Node {
        id: NodeId(name.to_owned()),
        path: format!("/dev/{name}"),
        size: Bytes::GIB,
        kind,
        on: vec![NodeId(format!("lv:pve/{below}"))],
    }
}

fn one(id: &str, archive: Option<Archive>, lost: Option<&str>) -> One {
    let guest = Guest {
        id: id.to_owned(),
        name: "web".to_owned(),
        kind: GuestKind::Machine,
        starts: true,
        order: None,
        archive,
        notes: Vec::new(),
    };
    let volume = |place| Volume { place, reason: "why".to_owned() };
    let lv = |name: &str| Place::Lv { group: "pve".to_owned(), name: name.to_owned() };
    let snapshots = Place::LvsLike { group: "pve".to_owned(), prefix: "snap_vm-100-disk-0_".to_owned() };
    let volumes = vec![volume(lv("vm-100-disk-0")), volume(lv("root")), volume(snapshots)];
    One { guest, archive: None, volumes, parts: Vec::new(), offline: None, lost: lost.map(str::to_owned) }
}

fn archive(held: Held) -> Archive {
    Archive {
        path: "/dump/a.vma".to_owned(),
        storage: "local".to_owned(),
        bytes: 1,
        made: String::new(),
        sha256: None,
        held,
        offline: Vec::new(),
    }
}

#[test]
fn a_guests_devices_go_with_all_that_lies_on_them_and_what_is_mounted_stays() {
    let names = ["vm-100-disk-0", "vm-100-disk-1", "snap_vm-100-disk-0_before", "root"];
    let mut nodes: Vec<Node> = names.into_iter().map(lv).collect();
    nodes.extend([on("vm-100-disk-0", "inside"), on("root", "system")]);
    let mount = Mount {
        node: NodeId("system".to_owned()),
        path: "/".to_owned(),
        fstype: "ext4".to_owned(),
        options: String::new(),
        subvolume: None,
    };
    let mut layout = Layout { nodes, mounts: vec![mount] };
    let found = Found { guests: vec![one("100", None, None)], ..Found::new(PlatformKind::Proxmox) };
    let items = Guests { found: vec![found], policy: Policy::default() }.take_out(&mut layout);
    let left: Vec<&str> = layout.nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(left, ["/dev/pve/vm-100-disk-1", "/dev/pve/root", "/dev/system"]);
    let told: Vec<&str> = items.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(told, ["/dev/pve/vm-100-disk-0", "/dev/pve/snap_vm-100-disk-0_before"]);
    assert!(items.iter().all(|item| matches!(item.verdict, Verdict::LeftOut { .. })));
}

#[test]
fn a_guest_that_would_be_lost_is_uncovered_unless_it_is_waived_by_number_or_name() {
    let waiver = |pattern: &str| [Waiver { pattern: pattern.to_owned(), reason: "r".to_owned() }];
    let word = |one: &One, waivers: &[Waiver], fail| word(one, PlatformKind::Proxmox, waivers, fail).verdict;
    let lost = one("100", None, Some("there is no backup of it"));
    assert!(matches!(word(&lost, &[], false), Verdict::Uncovered { system: false, .. }));
    assert!(matches!(word(&lost, &[], true), Verdict::Uncovered { system: true, .. }));
    for pattern in ["guest:100", "guest:web", "guest:*"] {
        assert!(matches!(word(&lost, &waiver(pattern), true), Verdict::Waived { .. }), "{pattern}");
    }
    assert!(matches!(word(&lost, &waiver("guest:10"), false), Verdict::Uncovered { .. }));
    let captured = one("100", Some(archive(Held::Captured)), None);
    assert!(matches!(word(&captured, &[], false), Verdict::Captured { how } if how.contains("at the first start")));
    let referenced = one("100", Some(archive(Held::Referenced)), None);
    assert!(matches!(word(&referenced, &[], false), Verdict::Captured { how } if how.contains("must survive")));
}
