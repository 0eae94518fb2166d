//! Proxmox VE: the cluster's database as one consistent copy, the guests of this node, their volumes, and the newest archive of each.
//!
//! `/etc/pve` is a view of the database and is taken off, so that the folder under it is archived as it is: empty, and immutable. The copy is laid
//! over the database, and what SQLite keeps beside it is left out. Both are seen by this run only.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::Context as _;
use guests::coverage::{self, Backup, Finding, Weight, findings, newest};
use guests::inventory::{self, Kind, Role};
use guests::proxmox::cluster::Tree;
use guests::proxmox::inventory::Inventory;
use guests::proxmox::storage::{Storage, Storages};
use jiff::{SignedDuration, Zoned};
use manifest::host::{Archive, Exclusion, Gap, Guest, GuestKind, Held, Note, PlatformKind};

use super::archives::{Looked, backups, storages};
use super::offline::Wish;
use super::{Archives, Found, Hypervisor, One, Place, Policy, Volume, vzdump};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;
use crate::cluster;

/// The cluster's database.
pub const DATABASE: &str = "/var/lib/pve-cluster/config.db";
const VIEW: &str = "/etc/pve";
/// What SQLite keeps beside a database that is in use.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

pub(super) struct Proxmox;

impl Hypervisor for Proxmox {
    fn look(&self, source: &Source, policy: &Policy, aside: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        if !source.exists(DATABASE) {
            return None;
        }
        let mut found = Found::new(PlatformKind::Proxmox);
        // Before its view is taken off, which vzdump needs.
        dump(source, policy, gaps);
        match keep(source, aside) {
            Ok((tree, laid_over)) => {
                if laid_over {
                    let reason = "the copy of the database that is archived has what is in it";
                    found.exclude.extend(
                        BESIDE.map(|end| Exclusion { pattern: format!("{DATABASE}{end}"), reason: reason.into() }),
                    );
                } else if source.is_live() {
                    gaps.push(gap(
                        DATABASE,
                        "it is archived as it lies, without what is in its log: only root can lay a copy over it",
                    ));
                }
                fill(&mut found, source, &tree, policy, gaps);
            }
            Err(error) => {
                gaps.push(gap(DATABASE, format!("{error:#}; it is archived as it lies, and no guest is looked for")))
            }
        }
        Some(found)
    }
}

/// The files of the database, from a consistent copy, and whether the copy now lies over it.
fn keep(source: &Source, aside: &mut Aside) -> anyhow::Result<(Tree, bool)> {
    let database = source.path(DATABASE);
    if !source.is_live() || !aside.is_able() {
        return Ok((read(&database)?, false));
    }
    let copy = aside.folder().context("making a place for a copy of the cluster database")?.join("config.db");
    cluster::copy(&database, &copy)?;
    let tree = cluster::read(&copy)?;
    like(&database, &copy).context("giving the copy of the cluster database its owner and times")?;
    aside.lay_over(&copy, &database).with_context(|| format!("laying a copy over {DATABASE}"))?;
    aside.take_off(Path::new(VIEW));
    Ok((tree, true))
}

/// The files of a database that may be in use, from a consistent copy, which is removed again.
///
/// # Errors
/// When it cannot be copied, or its node would refuse it (21).
pub fn read(database: &Path) -> anyhow::Result<Tree> {
    let folder = tempfile::tempdir().context("making a folder for a copy of the cluster database")?;
    let copy = folder.path().join("config.db");
    cluster::copy(database, &copy)?;
    cluster::read(&copy)
}

/// Has vzdump make archives of guests, where the configuration says so and the run stores what it captures.
fn dump(source: &Source, policy: &Policy, gaps: &mut Vec<Gap>) {
    let Some(vzdump) = policy.vzdump.as_ref().filter(|_| policy.records.is_some() && source.is_live()) else { return };
    // A database that cannot be read is told by whoever archives it.
    let Ok(tree) = read(&source.path(DATABASE)) else { return };
    let (inventory, Ok(storages)) = (Inventory::of(&tree), storages(&tree)) else { return };
    let host = source.text("/etc/hostname").unwrap_or_default();
    let Some(node) = node(&host, &inventory.nodes) else { return };
    if storages.get(&vzdump.storage).is_none_or(|storage| !storage.is_on(&node) || !storage.holds("backup")) {
        let why = format!("it is no storage for backups on {node}; vzdump was not started");
        gaps.push(gap(format!("storage {} in [guests.vzdump]", vzdump.storage), why));
        return;
    }
    let guests: Vec<inventory::Guest> = inventory.guests.into_iter().filter(|guest| guest.node == node).collect();
    let (_, backups) = backups(&storages, &node, &source.path("/"));
    let most_age = SignedDuration::from_secs(policy.most_age);
    let wanted = vzdump::wanted(vzdump, &guests, &backups, Zoned::now().datetime(), most_age);
    vzdump::start(vzdump, &wanted, policy, gaps);
}

/// Gives `copy` the owner, the permissions and the times of `original`.
pub(super) fn like(original: &Path, copy: &Path) -> std::io::Result<()> {
    let meta = fs::metadata(original)?;
    chown(copy, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(copy, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    let times = fs::FileTimes::new().set_modified(meta.modified()?).set_accessed(meta.accessed()?);
    fs::File::options().write(true).open(copy)?.set_times(times)
}

/// The cluster's name for this host: its own name, or that of the only node.
#[must_use]
pub fn node(host: &str, nodes: &[String]) -> Option<String> {
    let short = host.split('.').next().unwrap_or_default();
    match nodes {
        _ if nodes.iter().any(|node| node == short) => Some(short.to_owned()),
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn fill(found: &mut Found, source: &Source, tree: &Tree, policy: &Policy, gaps: &mut Vec<Gap>) {
    let inventory = Inventory::of(tree);
    let host = source.text("/etc/hostname").unwrap_or_default();
    let Some(node) = node(&host, &inventory.nodes) else {
        gaps.push(gap(
            DATABASE,
            format!("it has no node {host}; it has {}: no guest is looked for", inventory.nodes.join(", ")),
        ));
        return;
    };
    found.node.clone_from(&node);
    if tree.is_clustered() {
        found.cluster.clone_from(&inventory.nodes);
    }
    let storages = match storages(tree) {
        Ok(storages) => storages,
        Err(error) => {
            gaps.push(gap("storage.cfg of the cluster", error));
            return;
        }
    };
    let (looked, backups) = backups(&storages, &node, &source.path("/"));
    found.notes.extend(looked.iter().filter_map(unlooked));
    for unread in inventory.unread.iter().filter(|unread| unread.node == node) {
        gaps.push(gap(format!("guest {}", unread.id), &unread.why));
    }
    let guests: Vec<inventory::Guest> = inventory.guests.into_iter().filter(|guest| guest.node == node).collect();
    let judged =
        coverage::Policy { now: Zoned::now().datetime(), most_age: SignedDuration::from_secs(policy.most_age) };
    let findings = findings(&guests, &backups, judged);
    for guest in &guests {
        let own: Vec<&Finding> = findings.iter().filter(|finding| finding.guest == guest.id).collect();
        let mut one = one(guest, &own, &backups, &storages, source);
        one.offline = policy.offline.contains(&guest.id).then(|| Wish::of(guest, &storages));
        found.guests.push(one);
    }
    found.exclude.extend(left_out(policy, &guests, &backups));
    found.exclude.extend(images(found, &guests, &storages));
}

/// A storage that may hold backups and was not looked into.
fn unlooked(looked: &Looked) -> Option<Note> {
    let why = looked.why.as_ref()?;
    Some(Note {
        gap: false,
        text: format!("storage {} ({}) was not looked into for backups: {why}", looked.id, looked.place),
    })
}

fn one(
    guest: &inventory::Guest,
    findings: &[&Finding],
    backups: &[Backup],
    storages: &Storages,
    source: &Source,
) -> One {
    let archive = newest(guest, backups).map(|backup| archive(backup, storages, source));
    let volumes = match &archive {
        Some(archive) => volumes(guest, storages, archive),
        None => Vec::new(),
    };
    // A guest without a disk needs no backup: its configuration is in the database.
    let has_data = guest.volumes.iter().any(|volume| matches!(volume.role, Role::Disk | Role::Root));
    let gaps = findings.iter().filter(|finding| finding.weight == Weight::Gap && has_data);
    let lost: Vec<&str> = gaps.map(|finding| finding.text.as_str()).collect();
    let notes = findings.iter().map(|finding| Note { gap: finding.weight == Weight::Gap, text: finding.text.clone() });
    let kind = match guest.kind {
        Kind::Machine => GuestKind::Machine,
        Kind::Container => GuestKind::Container,
    };
    One {
        guest: Guest {
            id: guest.id.clone(),
            name: guest.name.clone(),
            kind,
            starts: guest.starts,
            order: guest.order,
            archive: None,
            notes: notes.collect(),
        },
        archive,
        volumes,
        parts: Vec::new(),
        offline: None,
        lost: (!lost.is_empty()).then(|| lost.join("; ")),
    }
}

fn archive(backup: &Backup, storages: &Storages, source: &Source) -> Archive {
    let on = |storage: &&Storage| storage.dump().is_some_and(|dump| Path::new(&backup.place).starts_with(dump));
    Archive {
        path: backup.place.clone(),
        storage: storages.iter().find(on).map(|storage| storage.id.clone()).unwrap_or_default(),
        bytes: fs::metadata(source.path(&backup.place)).map_or(0, |meta| meta.len()),
        made: backup.made.to_string(),
        sha256: None,
        held: Held::Referenced,
        offline: Vec::new(),
    }
}

/// Block devices of a guest that its archive brings back, or that the platform makes anew.
fn volumes(guest: &inventory::Guest, storages: &Storages, archive: &Archive) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for volume in &guest.volumes {
        let made_anew = volume.role == Role::Generated;
        let Some(inventory::Place::Storage { storage, volume: name }) =
            volume.place.as_ref().filter(|_| volume.in_backup || made_anew)
        else {
            continue;
        };
        let Some(storage) = storages.get(storage) else { continue };
        let reason = if made_anew {
            format!("a volume of guest {} that is made anew at its start", guest.id)
        } else {
            format!("a volume of guest {}, which comes back from {}", guest.id, archive.path)
        };
        match (storage.kind.as_str(), storage.get("vgname"), storage.get("pool")) {
            ("lvm" | "lvmthin", Some(group), _) => {
                let snapshots = format!("a snapshot of a volume of guest {}: no backup holds it", guest.id);
                volumes.push(Volume { place: Place::Lv { group: group.to_owned(), name: name.clone() }, reason });
                let place = Place::LvsLike { group: group.to_owned(), prefix: format!("snap_{name}_") };
                volumes.push(Volume { place, reason: snapshots });
            }
            ("zfspool", _, Some(pool)) => volumes.push(Volume { place: Place::Zvol(format!("{pool}/{name}")), reason }),
            _ => {}
        }
    }
    volumes
}

/// Archives that the policy leaves out.
fn left_out(policy: &Policy, guests: &[inventory::Guest], backups: &[Backup]) -> Vec<Exclusion> {
    let newest: Vec<(&str, &str)> =
        guests.iter().filter_map(|guest| Some((guest.id.as_str(), newest(guest, backups)?.place.as_str()))).collect();
    let stays = |backup: &Backup| match &policy.archives {
        Archives::All => true,
        Archives::None => false,
        Archives::Newest => newest.iter().any(|(_, place)| *place == backup.place),
        Archives::Of(wanted) => {
            newest.iter().any(|(guest, place)| *place == backup.place && wanted.iter().any(|one| one == guest))
        }
    };
    let reason = "an archive of a guest that the configuration does not ask for";
    let left = backups.iter().filter(|backup| !stays(backup));
    left.map(|backup| Exclusion { pattern: backup.place.clone(), reason: reason.to_owned() }).collect()
}

/// Disk images in folders: one that is read while its guest writes to it is worth nothing where there is a backup of the guest.
fn images(found: &Found, guests: &[inventory::Guest], storages: &Storages) -> Vec<Exclusion> {
    let mut images = Vec::new();
    for guest in guests {
        let Some(archive) =
            found.guests.iter().find(|one| one.guest.id == guest.id).and_then(|one| one.archive.as_ref())
        else {
            continue;
        };
        for volume in guest.volumes.iter().filter(|volume| volume.in_backup) {
            let Some(inventory::Place::Storage { storage, volume: name }) = &volume.place else { continue };
            let Some(folder) = storages.get(storage).and_then(Storage::path) else { continue };
            let reason = format!("a volume of guest {}, which comes back from {}", guest.id, archive.path);
            images.push(Exclusion { pattern: format!("{folder}/images/{name}"), reason });
        }
    }
    images
}
