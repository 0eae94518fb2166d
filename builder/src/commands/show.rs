//! `lifeboat show`: one snapshot in full, and what is left out by rule.

use std::fmt::Write as _;

use layout::{Bytes, Kind, Layout, Node};
use manifest::host::{Coverage, Verdict};
use manifest::{Consistency, Host, Verified};

use crate::capture::exclusions;
use crate::cli::Show;
use crate::commands::Context;
use crate::exit::Exit;
use crate::reading::{Manifest, Opened};

/// Times as people read them.
const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read or the manifest is refused.
pub fn run(context: &Context, args: &Show) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let manifest = opened.choose(&args.snapshot)?;
    context.print::<Manifest>(&manifest, || text(&manifest))?;
    Ok(Exit::Done)
}

fn text(manifest: &Verified<Manifest>) -> String {
    let totals = &manifest.contents.totals;
    let mut text = format!(
        "snapshot {} of {}, signed by {}\ntaken      {} to {}\ncontent    {} entries, {} in {} segments; {} written by this run\n",
        manifest.serial,
        manifest.host_name,
        manifest.signer().fingerprint(),
        manifest.started.strftime(TIME),
        manifest.finished.strftime(TIME),
        totals.entries,
        Bytes(totals.bytes),
        manifest.contents.segments.len(),
        Bytes(totals.added_sealed),
    );
    text += &read(manifest);
    if let Some(stale) = manifest.stale_after {
        let _ = writeln!(text, "stale from {}", stale.strftime(TIME));
    }
    if let Some(host) = &manifest.host {
        text += &machine(host);
        text += &storage(&host.layout);
        text += &containers(host);
        text += &coverage(&host.coverage);
    }
    for problem in &manifest.problems {
        let _ = writeln!(text, "warning    {}: {}", problem.object, problem.what);
    }
    text += "\nleft out of every host snapshot by rule:\n";
    for exclusion in exclusions::defaults() {
        let _ = writeln!(text, "  {:<34} {}", exclusion.pattern, exclusion.reason);
    }
    text
}

/// What was read from snapshots, and what live.
fn read(manifest: &Verified<Manifest>) -> String {
    let of = |wanted: Consistency| {
        let sources = manifest.sources.iter().filter(|source| source.consistency == wanted);
        sources.map(|source| source.path.as_str()).collect::<Vec<_>>().join(", ")
    };
    let words = [("from snapshots", of(Consistency::Snapshot)), ("live", of(Consistency::Live))];
    let words = words.into_iter().filter(|(_, paths)| !paths.is_empty());
    words.fold(String::new(), |text, (how, paths)| format!("{text}read       {how}: {paths}\n"))
}

fn machine(host: &Host) -> String {
    format!(
        "system     {}, kernel {}, {} firmware\nmachine    {}, {} processors, {}\n",
        host.identity.os.name,
        host.boot.kernel.release,
        host.boot.firmware,
        host.hardware.cpu,
        host.hardware.cpus,
        host.hardware.memory,
    )
}

/// Disks, and what lies on them.
pub fn storage(layout: &Layout) -> String {
    let mut text = String::from("\nstorage:\n");
    for (disk, _) in layout.disks() {
        tree(layout, disk, 1, &mut text);
    }
    text
}

fn tree(layout: &Layout, node: &Node, depth: usize, text: &mut String) {
    // No real stack of storage is as deep as this; a circle in the graph would be.
    if depth > 16 {
        return;
    }
    let mount = layout.mounts.iter().find(|mount| mount.node == node.id);
    let place = mount.map_or(String::new(), |mount| format!(" on {}", mount.path));
    let _ = writeln!(text, "{:indent$}{} {}{place}", "", describe(node), node.size, indent = depth * 2);
    for child in layout.children(&node.id) {
        tree(layout, child, depth + 1, text);
    }
}

fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Disk(disk) => {
            format!("{} {} serial {}", node.path, disk.model, disk.serial.as_deref().unwrap_or("none"))
        }
        Kind::Partition(partition) => format!("{} {:?}", node.path, partition.name),
        Kind::Ext(ext) => format!("{} {}", ext.fstype, ext.uuid),
        Kind::Xfs(xfs) => format!("xfs {}", xfs.uuid),
        Kind::Btrfs(btrfs) => format!("btrfs {}, {} subvolumes", btrfs.uuid, btrfs.subvolumes.len()),
        Kind::Vfat(vfat) => format!("vfat {}", vfat.serial),
        Kind::Array(array) => format!("{} {}", array.level, array.short_name()),
        Kind::Pv(volume) => format!("LVM physical volume {}", volume.uuid),
        Kind::Vg(group) => format!("volume group {}", group.name),
        Kind::Lv(volume) => format!("volume {}", volume.name),
        Kind::Pool(pool) => format!("ZFS pool {}", pool.name),
        Kind::Dataset(dataset) if dataset.volume.is_some() => format!("ZFS volume {}", dataset.name),
        Kind::Dataset(dataset) => format!("zfs {}", dataset.name),
        Kind::Swap(swap) => format!("swap {}", swap.uuid),
        Kind::Luks(luks) => format!("LUKS{} {} {}", luks.version, luks.uuid, luks.cipher),
        Kind::Volatile(volatile) => format!("{} with a new key at each start", volatile.name),
        Kind::Opaque(opaque) => opaque.what.clone(),
    }
}

/// What opens each encrypted container in a restore.
fn containers(host: &Host) -> String {
    let heading = if host.containers.is_empty() { "" } else { "\nencrypted containers, their headers kept sealed:\n" };
    host.containers.iter().fold(heading.to_owned(), |text, container| {
        format!("{text}  {:<20} {} {}\n", container.name, container.uuid, container.opened_by())
    })
}

/// The word on each object.
pub fn coverage(coverage: &Coverage) -> String {
    let mut text = String::from("\ncoverage:\n");
    for item in &coverage.items {
        let word = match &item.verdict {
            Verdict::Captured { how } => format!("captured ({how})"),
            Verdict::Waived { pattern, reason } => format!("waived by {pattern:?}: {reason}"),
            Verdict::LeftOut { reason } => format!("left out: {reason}"),
            Verdict::Uncovered { reason, .. } => format!("NOT CAPTURED: {reason}"),
        };
        let place = item.mount.as_deref().unwrap_or("");
        let _ = writeln!(text, "  {:<20} {:<14} {place:<16} {word}", item.path, item.what);
    }
    text
}
