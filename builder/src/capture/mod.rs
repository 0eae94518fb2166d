//! What this host is: storage, boot chain, network, identity and hardware, and which of its files an archive holds.
//!
//! Everything is read from the running system without stopping or changing it. Files of the kernel and the system are
//! read through [`Source`], so that a test can stand in for a host; devices are opened read-only. What is missing (no
//! firmware tables, no `lsblk`, a container) becomes a [`Gap`] with its reason, never a failure: whether the
//! capture suffices is decided by [`coverage`] alone.
//!
//! Knows nothing of sticks and signatures, and of vaults only that secrets are sealed in them.

pub mod aside;
mod block;
pub mod blocks;
mod boot;
mod btrfs;
pub(crate) mod content;
pub mod coverage;
mod efi;
pub mod exclusions;
pub mod guests;
mod hardware;
mod hidden;
mod identity;
mod luks;
pub mod namespace;
mod network;
pub(crate) mod pattern;
mod quotas;
mod reach;
mod source;
mod stacks;
pub mod still;
pub(crate) mod table;
mod zfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use layout::mountinfo::MountEntry;
use layout::{Bytes, Kind, Layout, crypttab, fstab, mountinfo, probe};
use manifest::host::{Coverage, Exclusion, Gap, Host, SwapFile};

use self::source::Source;

/// Something that may be missing from the capture.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// What it names.
    pub pattern: String,
    /// Why it may be missing.
    pub reason: String,
}

/// What to capture, and what may be missing.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the host: `/` but in tests.
    pub root: PathBuf,
    /// Waivers of the configuration: see [`coverage`] for what they may name.
    pub waivers: Vec<Waiver>,
    /// The stick that is written to, or a partition of it, by its device path.
    pub stick: Option<String>,
    /// Folders that are never archived: vaults on this host.
    pub vaults: Vec<PathBuf>,
    /// Lifeboat's own state folder; its cache is not archived.
    pub state: PathBuf,
    /// The configuration's own exclusions.
    pub exclude: Vec<String>,
    /// Volume keys of encrypted containers are kept, sealed, beside their headers.
    pub volume_keys: bool,
    /// Volumes whose blocks are archived: patterns.
    pub blocks: Vec<String>,
    /// What of the guests is captured.
    pub guests: guests::Policy,
    /// Whether filesystems are read from snapshots.
    pub snapshots: still::Policy,
    /// The run stores what it captures: it may clear away what one before has left.
    pub stores: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root: "/".into(),
            waivers: Vec::new(),
            stick: None,
            vaults: Vec::new(),
            state: "/var/lib/lifeboat".into(),
            exclude: Vec::new(),
            volume_keys: false,
            blocks: Vec::new(),
            guests: guests::Policy::default(),
            snapshots: still::Policy::default(),
            stores: false,
        }
    }
}

/// A captured host.
#[derive(Debug)]
pub struct Captured {
    /// What the manifest says of it.
    pub host: Host,
    /// What the archive is made of.
    pub roots: Roots,
    /// Headers and keys of encrypted containers, to be sealed.
    pub private: Vec<vault::Private>,
    /// Volumes that are archived block by block.
    pub volumes: Vec<blocks::Read>,
    /// How its filesystems are made to stand still.
    pub still: still::Plan,
    /// Mounts that the archive is read through; they end with this value.
    pub aside: aside::Aside,
}

/// What an archive of a host is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The folder that becomes the snapshot's root.
    pub root: PathBuf,
    /// Mount points below it that are descended into; any other mounted filesystem is kept as an empty folder.
    pub cross: Vec<PathBuf>,
    /// What is left out, and why.
    pub exclude: Vec<Exclusion>,
}

/// Captures a host.
///
/// # Errors
/// When its mount table cannot be read: without it nothing can be said about what an archive would hold.
pub fn host(options: &Options) -> anyhow::Result<Captured> {
    let source = Source::new(&options.root);
    let mut gaps = Vec::new();
    if options.stores && source.is_live() {
        let left = still::sweep().stayed.into_iter();
        gaps.extend(left.map(|why| gap("a snapshot that an earlier run has left", why)));
    }
    let mut aside = aside::Aside::begin(&source);
    let guests = guests::look(&source, &options.guests, &mut aside, &mut gaps);
    let mut mounts = mountinfo::parse(&mounted(&source)?);
    let swaps = fstab::parse_swaps(&source.text("/proc/swaps").unwrap_or_default());
    let fstab = fstab::parse(&source.text("/etc/fstab").unwrap_or_default());
    let crypttab = crypttab::parse(&source.text("/etc/crypttab").unwrap_or_default());

    let mut devices = block::devices(&source, &mut gaps);
    // Those of another run, which may be at work now.
    still::names::hide(&mut devices);
    let mut probes = content::probes(&source, &devices, &mut gaps);
    btrfs::complete(&source, &devices, &mounts, &mut probes, &mut gaps);
    let volatile = crypttab.iter().filter(|entry| entry.is_volatile()).map(|entry| entry.name.clone()).collect();
    let stacks = probe::Stacks { volatile, ..stacks::stacks(&source, &devices, &mut gaps) };
    let mut layout = probe::assemble(&devices, &probes, &stacks, &mounts);
    if aside.open(&layout, options, &mut gaps) {
        mounts = mountinfo::parse(&mounted(&source)?);
        layout = probe::assemble(&devices, &probes, &stacks, &mounts);
    }
    measure_mounted(&source, &mut layout);
    btrfs::look_aside(&source, &mut layout, &mut gaps);
    let (containers, private) = luks::keep(&source, &mut layout, &crypttab, options.volume_keys, &mut gaps);

    let theirs = guests.take_out(&mut layout);
    let mut coverage = coverage::coverage(&layout, &options.waivers, options.stick.as_deref());
    coverage.items.extend(theirs);
    let volumes = blocks::take_in(&layout, &mut coverage, &options.blocks, &mut gaps);
    let cross = reach::reached(&mounts, coverage::crossed(&layout, &coverage), &mut coverage, &mut gaps);
    gaps.extend(beside_files(&source, &layout, options, &mounts, &mut coverage));
    let still = still::Plan::new(options, &layout, &cross, source.is_live());
    let swap_files: Vec<SwapFile> = swaps
        .into_iter()
        .filter(|swap| swap.file)
        // The kernel does not count the page that holds the header.
        .map(|swap| SwapFile { path: swap.path, size: Bytes(swap.size.0 + 4096) })
        .collect();
    coverage.exclusions = exclusions::of(options, &swap_files, &fstab);
    coverage.exclusions.extend(btrfs::exclusions(&layout, |node| coverage.restores(node)));
    coverage.exclusions.extend(zfs::exclusions(&layout));
    coverage.exclusions.extend(guests.exclusions());
    btrfs::remove_left_out(&mut layout, &coverage.items, &mut gaps);
    coverage::remove_left_out(&mut layout, &coverage);
    let guests = guests.settle(&source, &layout, &mut coverage, &options.waivers, &options.state, &mut gaps);
    gaps.extend(fragile_names(&fstab));
    if source.is_live() {
        gaps.extend(missing_tools(&layout));
    }

    let roots = Roots { root: options.root.clone(), cross, exclude: coverage.exclusions.clone() };
    let boot = boot::chain(&source, &layout, &mut gaps);
    let network = network::state(&source, &mut gaps);
    let hardware = hardware::profile(&source);
    let identity = identity::identity(&source, &mut gaps);
    let host =
        Host { identity, layout, coverage, boot, network, hardware, fstab, swap_files, containers, guests, gaps };
    Ok(Captured { host, roots, private, volumes, still, aside })
}

/// What the kernel says is mounted.
fn mounted(source: &Source) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    source.bytes("/proc/self/mountinfo").context("reading /proc/self/mountinfo")
}

/// Superblocks of mounted filesystems lag behind; the kernel's own count does not.
fn measure_mounted(source: &Source, layout: &mut Layout) {
    let used: BTreeMap<_, _> = layout
        .mounts
        .iter()
        .filter_map(|mount| {
            let found = rustix::fs::statvfs(source.path(&mount.path)).ok().filter(|_| source.is_live())?;
            Some((mount.node.clone(), Bytes(found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize)))
        })
        .collect();
    for node in &mut layout.nodes {
        if let Some(used) = used.get(&node.id) {
            match &mut node.kind {
                Kind::Ext(ext) => ext.used = *used,
                Kind::Xfs(xfs) => xfs.used = *used,
                Kind::Btrfs(btrfs) => btrfs.used = *used,
                Kind::Vfat(vfat) => vfat.used = *used,
                _ => {}
            }
        }
    }
}

/// What captured filesystems have beside the files that are archived. It may be waived by the name that it is told by.
fn beside_files(
    source: &Source,
    layout: &Layout,
    options: &Options,
    mounts: &[MountEntry],
    coverage: &mut Coverage,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    hidden::below_mounts(source, layout, coverage, options, mounts, &mut gaps);
    gaps.extend(quotas::limits(layout, coverage));
    gaps.extend(quotas::encrypted(source, layout, coverage));
    gaps.retain(|gap| {
        let waiver = options.waivers.iter().find(|waiver| pattern::fits(&waiver.pattern, &gap.what));
        coverage.unused_waivers.retain(|unused| waiver.is_none_or(|waiver| waiver.pattern != *unused));
        waiver.is_none()
    });
    gaps
}

/// Programs without which a stick that this host makes cannot make this layout again.
fn missing_tools(layout: &Layout) -> impl Iterator<Item = Gap> {
    let missing = layout::plan::required_tools(layout).into_iter().filter(|tool| exec::find(tool).is_none());
    missing
        .map(|tool| gap(tool, "it is not installed, and a stick made here cannot make this storage again without it"))
}

/// Lines of fstab that may mean another device on another machine.
fn fragile_names(fstab: &[fstab::FstabEntry]) -> impl Iterator<Item = Gap> {
    fstab.iter().filter(|entry| entry.names_kernel_device()).map(|entry| Gap {
        what: format!("/etc/fstab: {} at {}", entry.spec, entry.path),
        why: "it names a device by order of discovery, which may be another one on other hardware: name it by UUID"
            .into(),
    })
}

/// A gap, from an error.
fn gap(what: impl Into<String>, why: impl std::fmt::Display) -> Gap {
    Gap { what: what.into(), why: why.to_string() }
}

/// The absolute path of `path` in the host, as text.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
