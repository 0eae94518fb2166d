//! Hypervisors of this host: which guests they have, what brings each of them back, and which of the host's storage is theirs.
//!
//! One file for each platform, behind [`Hypervisor`]. Detection never fails a host that has none of them. What a platform's files mean is
//! the `guests` crate's to know; this looks for them, and weighs what it finds by the configuration's [`Policy`].

pub mod archives;
mod asking;
pub mod digests;
mod docker;
mod engine;
mod exports;
pub mod incus;
mod libvirt;
mod lxc;
mod offline;
mod parts;
mod podman;
pub mod proxmox;
pub mod standing;
pub mod vzdump;

use std::path::{Path, PathBuf};

use guests::printable::printable;
use layout::{Kind, Layout, Node, NodeId};
use manifest::host::{
    Archive, Coverage, Exclusion, Gap, Guest, GuestKind, Held, Item, Note, Platform, PlatformKind, Verdict,
};

use self::exports::Export;
use self::parts::Part;
use super::aside::Aside;
use super::pattern::fits;
use super::source::Source;
use super::{Waiver, gap};
use crate::interrupt::Flag;

/// What of the guests is captured, and what counts as a gap.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which of their archives are.
    pub archives: Archives,
    /// Seconds after which the newest backup of a guest is no recent one.
    pub most_age: i64,
    /// A guest that would not come back makes a run fail; else it is a warning.
    pub fail: bool,
    /// The libvirt that is asked in place of the system's own.
    pub libvirt: Option<String>,
    /// Disks of libvirt's running guests are made to lie still while they are read.
    pub snapshot: bool,
    /// Whether vzdump is started for guests of Proxmox, and how.
    pub vzdump: Option<vzdump::Vzdump>,
    /// Whether Incus is to export what lies on its pools, and how.
    pub incus: Option<incus::Exporting>,
    /// Becomes true when the run is to end early.
    pub stop: Option<Flag>,
    /// Guests that the rescue itself is to bring back, before the first start.
    pub offline: Vec<String>,
    /// Where it is on record what is under way with them; none for a run that stores nothing, and so touches no guest.
    pub records: Option<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            archives: Archives::All,
            most_age: 2 * 24 * 3600,
            fail: false,
            libvirt: None,
            snapshot: false,
            vzdump: None,
            incus: None,
            stop: None,
            offline: Vec::new(),
            records: None,
        }
    }
}

/// Which archives a snapshot holds, of those that lie on captured filesystems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archives {
    /// All of them.
    All,
    /// The newest of each guest.
    Newest,
    /// The newest of these guests.
    Of(Vec<String>),
    /// None: they are referenced, and must survive.
    None,
}

/// A hypervisor, as a capture meets it.
trait Hypervisor {
    /// Looks at it; none where this host has none of it. What cannot be read becomes a gap.
    fn look(&self, source: &Source, policy: &Policy, aside: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found>;
}

/// All but Proxmox, which has archives of its own.
const OTHERS: &[&dyn Hypervisor] = &[&libvirt::Libvirt, &lxc::Lxc, &incus::Incus, &docker::Docker, &podman::Podman];

/// What a platform has.
struct Found {
    kind: PlatformKind,
    node: String,
    cluster: Vec<String>,
    guests: Vec<One>,
    notes: Vec<Note>,
    /// What of the tree is left out.
    exclude: Vec<Exclusion>,
    /// What is in no file of the tree, and is put into one.
    exports: Vec<Export>,
}

impl Found {
    /// Nothing yet.
    fn new(kind: PlatformKind) -> Self {
        Self {
            kind,
            node: String::new(),
            cluster: Vec::new(),
            guests: Vec::new(),
            notes: Vec::new(),
            exclude: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// What the manifest says of it.
    fn platform(self) -> Platform {
        let Self { kind, node, cluster, notes, .. } = self;
        Platform { kind, node, cluster, guests: self.guests.into_iter().map(|one| one.guest).collect(), notes }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(Note { gap: false, text: text.into() });
    }
}

/// A guest, and what of the host's storage is its own.
struct One {
    guest: Guest,
    /// Its newest backup.
    archive: Option<Archive>,
    /// Block devices that its backup brings back, or that are made anew.
    volumes: Vec<Volume>,
    /// What of the host it lies on.
    parts: Vec<Part>,
    /// It is to come back before the first start.
    offline: Option<offline::Wish>,
    /// Why it would not come back as it is, if so.
    lost: Option<String>,
}

impl One {
    /// A guest whose data lies on the host itself.
    fn new(id: impl Into<String>, name: &str, kind: GuestKind) -> Self {
        let name = printable(name);
        let guest = Guest { id: id.into(), name, kind, starts: false, order: None, archive: None, notes: Vec::new() };
        Self { guest, archive: None, volumes: Vec::new(), parts: Vec::new(), offline: None, lost: None }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.guest.notes.push(Note { gap: false, text: text.into() });
    }

    /// It would not come back as it is.
    fn lose(&mut self, why: &str) {
        self.guest.notes.push(Note { gap: true, text: why.to_owned() });
        self.lost = Some(match self.lost.take() {
            Some(lost) => format!("{lost}; {why}"),
            None => why.to_owned(),
        });
    }
}

/// A block device of a guest.
struct Volume {
    place: Place,
    /// Why it is not captured.
    reason: String,
}

enum Place {
    /// A logical volume.
    Lv { group: String, name: String },
    /// Logical volumes whose names begin so.
    LvsLike { group: String, prefix: String },
    /// A volume of a ZFS pool.
    Zvol(String),
}

impl Place {
    fn is(&self, node: &Node) -> bool {
        match (self, &node.kind) {
            (Self::Lv { group, name }, Kind::Lv(lv)) => lv.group == *group && lv.name == *name,
            (Self::LvsLike { group, prefix }, Kind::Lv(lv)) => lv.group == *group && lv.name.starts_with(prefix),
            (Self::Zvol(name), Kind::Dataset(dataset)) => dataset.volume.is_some() && dataset.name == *name,
            _ => false,
        }
    }
}

/// Everything that was found.
pub(super) struct Guests {
    found: Vec<Found>,
    policy: Policy,
}

/// Looks for every platform.
pub(super) fn look(source: &Source, policy: &Policy, aside: &mut Aside, gaps: &mut Vec<Gap>) -> Guests {
    let all = std::iter::once(&(&proxmox::Proxmox as &dyn Hypervisor)).chain(OTHERS);
    let found = all.filter_map(|one| one.look(source, policy, aside, gaps)).collect();
    Guests { found, policy: policy.clone() }
}

/// Guests of all platforms but Proxmox, as far as they are known without a capture: where the host's own storage is not captured is told
/// by a backup.
pub fn beside_proxmox(root: &Path, policy: &Policy) -> (Vec<Platform>, Vec<Gap>) {
    let (mut aside, mut gaps) = (Aside::default(), Vec::new());
    let source = Source::new(root);
    let found = OTHERS.iter().filter_map(|one| one.look(&source, policy, &mut aside, &mut gaps));
    (found.map(Found::platform).collect(), gaps)
}

impl Guests {
    /// Takes the guests' own devices, with all that lies on them, off the layout: a restore makes what they lay on and leaves it empty,
    /// and each comes back with its guest. Gives the word on each.
    pub(super) fn take_out(&self, layout: &mut Layout) -> Vec<Item> {
        let volumes = || self.found.iter().flat_map(|found| &found.guests).flat_map(|one| &one.volumes);
        let owned: Vec<(NodeId, &str)> = layout
            .nodes
            .iter()
            .filter_map(|node| Some((node.id.clone(), volumes().find(|volume| volume.place.is(node))?.reason.as_str())))
            .collect();
        let mounted = |id: &NodeId| {
            let on_it = |node: &NodeId| node == id || layout.below(node).iter().any(|below| below.id == *id);
            layout.mounts.iter().any(|mount| on_it(&mount.node))
        };
        // What is mounted is the host's, whoever else may name it.
        let owned: Vec<(NodeId, &str)> = owned.into_iter().filter(|(id, _)| !mounted(id)).collect();
        let items = owned.iter().filter_map(|(id, reason)| Some(item(layout.node(id)?, reason))).collect();
        let gone = |node: &Node| {
            let below = layout.below(&node.id);
            owned.iter().any(|(id, _)| node.id == *id || below.iter().any(|below| below.id == *id))
        };
        let gone: Vec<NodeId> = layout.nodes.iter().filter(|node| gone(node)).map(|node| node.id.clone()).collect();
        layout.nodes.retain(|node| !gone.contains(&node.id));
        items
    }

    /// What of the tree is left out for them.
    pub(super) fn exclusions(&self) -> Vec<Exclusion> {
        self.found.iter().flat_map(|found| found.exclude.clone()).collect()
    }

    /// The word on each guest, and what the manifest says of them. `coverage` is that of the storage; archives that it does not bring
    /// back are referenced by their digest, kept in `state`.
    pub(super) fn settle(
        self,
        source: &Source,
        layout: &Layout,
        coverage: &mut Coverage,
        waivers: &[Waiver],
        state: &Path,
        gaps: &mut Vec<Gap>,
    ) -> Vec<Platform> {
        let mut digests = digests::Digests::open(state);
        let mut platforms = Vec::new();
        for mut found in self.found {
            exports::keep(&mut found, state, |path| is_captured(layout, coverage, path), gaps);
            for one in &mut found.guests {
                parts::settle(one, found.kind, source, layout, coverage);
                one.guest.archive = one.archive.take().map(|mut archive| {
                    let lies = source.lies(&archive.path).unwrap_or_else(|| PathBuf::from(&archive.path));
                    if is_captured(layout, coverage, Path::new(&archive.path)) && is_captured(layout, coverage, &lies) {
                        archive.held = Held::Captured;
                        // The vault has digests of its own; that of the whole file is there where vzdump's hook took it.
                        archive.sha256 = digests.known(&source.path(&archive.path));
                    } else {
                        match digests.of(&source.path(&archive.path)) {
                            Ok(digest) => archive.sha256 = Some(digest),
                            Err(error) => gaps.push(gap(&archive.path, format!("it cannot be read: {error}"))),
                        }
                    }
                    archive
                });
                if waiver(&one.guest, waivers).is_none() {
                    offline::settle(one, source, layout, coverage, &mut digests);
                }
                let item = word(one, found.kind, waivers, self.policy.fail);
                coverage.unused_waivers.retain(|waiver| !names(&one.guest).iter().any(|name| fits(waiver, name)));
                coverage.items.push(item);
            }
            platforms.push(found.platform());
        }
        digests.close();
        let known = |id: &&String| {
            platforms
                .iter()
                .any(|one| one.kind == PlatformKind::Proxmox && one.guests.iter().any(|guest| guest.id == **id))
        };
        let unknown = self.policy.offline.iter().filter(|id| !known(id));
        gaps.extend(unknown.map(|id| {
            gap(
                format!("guest {id}"),
                "it is to come back before the first start (offline), and this host has no such guest of Proxmox",
            )
        }));
        platforms
    }
}

/// The word on a guest's own device.
fn item(node: &Node, reason: &str) -> Item {
    let verdict = Verdict::LeftOut { reason: reason.to_owned() };
    Item { node: node.id.clone(), path: node.path.clone(), what: "guest's volume".to_owned(), mount: None, verdict }
}

/// By which a waiver names a guest.
fn names(guest: &Guest) -> [String; 2] {
    [format!("guest:{}", guest.id), format!("guest:{}", guest.name)]
}

fn waiver<'a>(guest: &Guest, waivers: &'a [Waiver]) -> Option<&'a Waiver> {
    waivers.iter().find(|waiver| names(guest).iter().any(|name| fits(&waiver.pattern, name)))
}

fn word(one: &One, kind: PlatformKind, waivers: &[Waiver], fail: bool) -> Item {
    let guest = &one.guest;
    let verdict = match (&one.lost, waiver(guest, waivers), &guest.archive) {
        (_, Some(waiver), _) => Verdict::Waived { pattern: waiver.pattern.clone(), reason: waiver.reason.clone() },
        (Some(reason), ..) => Verdict::Uncovered { reason: reason.clone(), system: fail },
        (None, _, Some(archive)) if archive.held == Held::Referenced => {
            Verdict::Captured { how: format!("from {}, which is not in the snapshot and must survive", archive.path) }
        }
        (None, _, Some(archive)) if !archive.offline.is_empty() => {
            Verdict::Captured { how: format!("from {}, by the rescue, before the first start", archive.path) }
        }
        (None, _, Some(archive)) => Verdict::Captured { how: format!("from {}, at the first start", archive.path) },
        (None, _, None) => Verdict::Captured { how: "its files are archived".to_owned() },
    };
    Item {
        node: NodeId(format!("guest:{kind}:{}", guest.id)),
        path: format!("guest {} {}", guest.id, guest.name).trim_end().to_owned(),
        what: kind.to_string(),
        mount: None,
        verdict,
    }
}

/// Whether the archive of the tree holds `path`.
fn is_captured(layout: &Layout, coverage: &Coverage, path: &Path) -> bool {
    let left_out = |exclusion: &Exclusion| {
        exclusion.pattern.parse::<vault::Exclusion>().is_ok_and(|exclusion| {
            let above = path.ancestors().filter_map(|path| {
                use std::os::unix::ffi::OsStrExt as _;
                vault::EntryPath::from_argument(path.as_os_str().as_bytes())
            });
            above.filter(|path| !path.is_root()).any(|path| exclusion.matches(&path))
        })
    };
    let above = layout.mounts.iter().filter(|mount| path.starts_with(&mount.path));
    let mount = above.max_by_key(|mount| PathBuf::from(&mount.path).components().count());
    mount.is_some_and(|mount| coverage.restores(&mount.node)) && !coverage.exclusions.iter().any(left_out)
}

#[cfg(test)]
mod tests;
