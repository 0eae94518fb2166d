//! What a mounted btrfs tells beside its superblock: its subvolumes, the default one and its profiles, by the program `btrfs`; and what of its subvolumes is
//! archived from where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use exec::Command;
use layout::btrfs::{Btrfs, Place, Reach, Subvolume, listing};
use layout::lsblk::BlockDevice;
use layout::mountinfo::{MountEntry, visible};
use layout::probe::{Content, Probe};
use layout::{Kind, Layout, Node, NodeId};
use manifest::host::{Exclusion, Gap, Item, Verdict};

use super::source::Source;
use super::still::names;
use super::{gap, hidden};

/// Asks every mounted btrfs, at one of its mount points, and completes the descriptions of its devices.
pub(super) fn complete(
    source: &Source,
    devices: &[BlockDevice],
    mounts: &[MountEntry],
    probes: &mut BTreeMap<String, Probe>,
    gaps: &mut Vec<Gap>,
) {
    let mounted: Vec<&MountEntry> = visible(mounts).into_iter().filter(|entry| entry.fstype == "btrfs").collect();
    let mut asked: BTreeMap<String, Btrfs> = BTreeMap::new();
    let held = |probe: &Probe| match &probe.content {
        Content::Btrfs(btrfs, _) => Some(btrfs.clone()),
        _ => None,
    };
    for device in devices {
        let Some(mut btrfs) = probes.get(&device.kname).and_then(held) else { continue };
        let Some(mount) = mounted.iter().find(|entry| entry.source == device.path) else { continue };
        if asked.contains_key(&btrfs.uuid) || !source.is_live() {
            continue;
        }
        match ask(&mount.path, &mut btrfs) {
            Ok(()) => drop(asked.insert(btrfs.uuid.clone(), btrfs)),
            Err(error) => gaps.push(gap(format!("the subvolumes of {}", device.path), format!("{error:#}"))),
        }
    }
    for probe in probes.values_mut() {
        if let Content::Btrfs(btrfs, _) = &mut probe.content
            && let Some(complete) = asked.get(&btrfs.uuid)
        {
            btrfs.clone_from(complete);
        }
    }
    for uuid in asked.keys().filter(|uuid| source.exists(format!("/sys/fs/btrfs/{uuid}/qgroups"))) {
        gaps.push(gap(
            format!("quota groups of btrfs {uuid}"),
            "they are not brought back: turn quotas on again after a restore",
        ));
    }
}

fn ask(path: &str, btrfs: &mut Btrfs) -> anyhow::Result<()> {
    let read = |args: &[&str]| Command::new("btrfs").args(args.iter().copied()).arg(path).read();
    let (all, read_only) = (read(&listing::ALL)?, read(&listing::READ_ONLY)?);
    btrfs.take_listing(&all, &read_only, &read(&listing::DEFAULT)?, &read(&listing::USAGE)?);
    // Those of another run, which may be at work now.
    btrfs.subvolumes.retain(|one| !names::is_ours(&one.path));
    Ok(())
}

/// Looks into the subvolumes that no mount shows, and at what lies outside all subvolumes.
pub(super) fn look_aside(source: &Source, layout: &mut Layout, gaps: &mut Vec<Gap>) {
    let mounts = layout.mounts.clone();
    for node in layout.nodes.iter_mut().filter(|_| source.is_live()) {
        let Kind::Btrfs(btrfs) = &mut node.kind else { continue };
        let reach = Reach::of(btrfs, &node.id, &mounts);
        let unseen = |path: &&str| *reach.place(path) == Place::Unreached;
        let paths: Vec<String> = std::iter::once("")
            .chain(btrfs.subvolumes.iter().map(|one| one.path.as_str()))
            .filter(unseen)
            .map(str::to_owned)
            .collect();
        // Without the right to look, nothing can be said; a filesystem that is not mounted is told by its coverage.
        if paths.is_empty() || !mounts.iter().any(|mount| mount.node == node.id) {
            continue;
        }
        let Ok(bare) = hidden::bare(Path::new(&node.path), paths.iter().map(String::as_str)) else { continue };
        if paths[0].is_empty() && !bare.contains(&"") {
            gaps.push(gap(
                format!("files at the top of {}", node.path),
                "no mount shows them: they are not archived. Mount the filesystem with subvolid=5 to have them archived",
            ));
        }
        for one in &mut btrfs.subvolumes {
            one.bare = bare.contains(&one.path.as_str());
        }
    }
}

/// Each captured btrfs of a layout with where its subvolumes are read.
fn all(layout: &Layout, restores: impl Fn(&NodeId) -> bool) -> Vec<(&Node, &Btrfs, Reach)> {
    let captured = layout.nodes.iter().filter(|node| restores(&node.id));
    captured
        .filter_map(|node| match &node.kind {
            Kind::Btrfs(btrfs) => Some((node, btrfs, Reach::of(btrfs, &node.id, &layout.mounts))),
            _ => None,
        })
        .collect()
}

/// The word on subvolumes whose files do not come back. `waived` finds the waiver of a name.
pub(super) fn items(
    layout: &Layout,
    restores: impl Fn(&NodeId) -> bool,
    waived: impl Fn(&str) -> Option<Verdict>,
) -> Vec<Item> {
    let mut items = Vec::new();
    for (node, btrfs, reach) in all(layout, restores) {
        for one in &btrfs.subvolumes {
            let verdict = match word(btrfs, one, reach.place(&one.path)) {
                Some(verdict @ Verdict::Uncovered { .. }) => waived(&waiver_name(one)).unwrap_or(verdict),
                Some(verdict) => verdict,
                None => continue,
            };
            items.push(Item {
                node: NodeId(format!("{}/{}", node.id, one.path)),
                path: format!("{} of {}", one.path, node.path),
                what: "btrfs subvolume".to_owned(),
                mount: None,
                verdict,
            });
        }
    }
    items
}

/// What a waiver calls a subvolume.
pub(super) fn waiver_name(subvolume: &Subvolume) -> String {
    format!("SUBVOLUME={}", subvolume.path)
}

fn word(btrfs: &Btrfs, one: &Subvolume, place: &Place) -> Option<Verdict> {
    let left_out = |reason: String| Some(Verdict::LeftOut { reason });
    let origin = one.origin.as_ref().and_then(|uuid| btrfs.subvolumes.iter().find(|other| other.uuid == *uuid));
    match (place, origin) {
        (Place::At(_), _) => None,
        (Place::Unreached, _) if one.bare => None,
        (Place::Copy, Some(origin)) if origin.read_only => Some(Verdict::Uncovered {
            reason: format!(
                "a read-only snapshot of {}, which is an older one: a backup that was received, most likely. It is not archived; waive it as {}",
                origin.path,
                waiver_name(one)
            ),
            system: false,
        }),
        (Place::Copy, _) => {
            let of = origin.map_or("another subvolume".to_owned(), |origin| origin.path.clone());
            left_out(format!("a read-only snapshot of {of}, which is archived as it is now"))
        }
        (Place::InCopy, _) => left_out("it lies in a read-only snapshot".to_owned()),
        (Place::Unreached, Some(origin)) => left_out(format!("a snapshot of {} that is not mounted", origin.path)),
        (Place::Unreached, None) => Some(Verdict::Uncovered {
            reason: format!(
                "it is not mounted, so that its files cannot be read, and comes back empty: mount it, or waive it as {}",
                waiver_name(one)
            ),
            system: false,
        }),
    }
}

/// Paths below which a subvolume shows that is archived from elsewhere, or not at all.
pub(super) fn exclusions(layout: &Layout, restores: impl Fn(&NodeId) -> bool) -> Vec<Exclusion> {
    let mut list = Vec::new();
    for (_, btrfs, reach) in all(layout, restores) {
        for (path, subvolume) in &reach.hidden {
            let reason = match reach.place(subvolume) {
                Place::At(place) => format!("the subvolume {subvolume}, which is archived from {place}"),
                _ if btrfs.subvolumes.iter().any(|one| one.path == *subvolume) => {
                    format!("the read-only snapshot {subvolume}")
                }
                _ => continue,
            };
            list.push(Exclusion { pattern: path.clone(), reason });
        }
    }
    list
}

/// Takes snapshots that are left out off the layout: they are not made again.
pub(super) fn remove_left_out(layout: &mut Layout, items: &[Item], gaps: &mut Vec<Gap>) {
    let left_out = items.iter().filter(|item| matches!(item.verdict, Verdict::LeftOut { .. }));
    let gone: BTreeSet<String> = left_out.map(|item| item.node.0.clone()).collect();
    for node in &mut layout.nodes {
        let Kind::Btrfs(btrfs) = &mut node.kind else { continue };
        btrfs.subvolumes.retain(|one| !gone.contains(&format!("{}/{}", node.id, one.path)));
        if !btrfs.default.is_empty() && !btrfs.subvolumes.iter().any(|one| one.path == btrfs.default) {
            gaps.push(gap(
                format!("the default subvolume {} of {}", btrfs.default, node.path),
                "it is a snapshot that is left out; after a restore the top of the filesystem is the default",
            ));
            btrfs.default.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use layout::{Bytes, Mount};

    use super::*;

    const FS: &str = "fs:1";

    fn host(mounts: &[(&str, &str)]) -> Layout {
        let superblock = include_bytes!("../../../layout/fixtures/btrfs/plain.superblock");
        let mut btrfs = Btrfs::parse(superblock).unwrap().0;
        btrfs.take_listing(
            include_str!("../../../layout/fixtures/btrfs/inside.all"),
            include_str!("../../../layout/fixtures/btrfs/inside.read-only"),
            include_str!("../../../layout/fixtures/btrfs/plain.default"),
            include_str!("../../../layout/fixtures/btrfs/plain.usage"),
        );
        let mounts = mounts.iter().map(|(subvolume, path)| Mount {
            node: NodeId(FS.into()),
            path: (*path).to_owned(),
            fstype: "btrfs".to_owned(),
            options: "rw".to_owned(),
            subvolume: Some((*subvolume).to_owned()),
        });
        let node = Node {
            id: NodeId(FS.into()),
            on: Vec::new(),
            path: "/dev/vda1".to_owned(),
            size: Bytes::GIB,
            kind: Kind::Btrfs(btrfs),
        };
        Layout { nodes: vec![node], mounts: mounts.collect() }
    }

    fn verdicts(layout: &Layout, waived: &str) -> Vec<(String, &'static str)> {
        let waive = |name: &str| {
            (name == waived).then(|| Verdict::Waived { pattern: name.to_owned(), reason: "a test".to_owned() })
        };
        let items = items(layout, |_| true, waive);
        let word = |verdict: &Verdict| match verdict {
            Verdict::Captured { .. } => "captured",
            Verdict::Waived { .. } => "waived",
            Verdict::LeftOut { .. } => "left out",
            Verdict::Uncovered { .. } => "uncovered",
        };
        items.iter().map(|item| (item.node.0.clone(), word(&item.verdict))).collect()
    }

    #[test]
    fn every_subvolume_that_does_not_come_back_has_a_word() {
        let layout = host(&[("@", "/"), ("@home", "/home")]);
        let named: Vec<(String, &str)> =
            [("before", "left out"), ("locked", "waived"), ("with path in it", "uncovered"), ("writable", "left out")]
                .map(|(path, word)| (format!("{FS}/{path}"), word))
                .into();
        assert_eq!(verdicts(&layout, "SUBVOLUME=locked"), named);
        assert!(exclusions(&layout, |_| true).is_empty());
    }

    #[test]
    fn with_the_top_mounted_nothing_is_archived_twice_and_no_snapshot() {
        let layout = host(&[("@", "/"), ("", "/mnt/top")]);
        assert_eq!(verdicts(&layout, ""), [(format!("{FS}/before"), "left out")]);
        let list = exclusions(&layout, |_| true);
        let patterns: Vec<&str> = list.iter().map(|one| one.pattern.as_str()).collect();
        assert_eq!(patterns, ["/mnt/top/@", "/mnt/top/before"]);
        assert!(list[0].reason.ends_with("archived from /"), "{}", list[0].reason);
    }

    #[test]
    fn a_subvolume_that_only_holds_others_needs_no_word() {
        let mut layout = host(&[("@", "/"), ("@home", "/home")]);
        if let Kind::Btrfs(btrfs) = &mut layout.nodes[0].kind {
            btrfs.subvolumes.iter_mut().filter(|one| one.path.starts_with("with")).for_each(|one| one.bare = true);
        }
        assert!(!verdicts(&layout, "").iter().any(|(name, _)| name.contains("with path")));
    }

    #[test]
    fn snapshots_that_are_left_out_are_not_made_again() {
        let mut layout = host(&[("@", "/"), ("@home", "/home")]);
        let items = items(&layout, |_| true, |_| None);
        let mut gaps = Vec::new();
        if let Kind::Btrfs(btrfs) = &mut layout.nodes[0].kind {
            btrfs.default = "before".to_owned();
        }
        remove_left_out(&mut layout, &items, &mut gaps);
        let Kind::Btrfs(btrfs) = &layout.nodes[0].kind else { panic!("no btrfs") };
        let paths: Vec<&str> = btrfs.subvolumes.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["@", "@/folder/sub", "@/inner", "@/inner/deep", "@home", "locked", "with path in it"]);
        assert_eq!((btrfs.default.as_str(), gaps.len()), ("", 1));
    }
}
