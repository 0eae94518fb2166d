//! Guests that the rescue itself is to bring back, before the first start of a restored node: whether it can, and from which disk of the
//! archive to which volume.
//!
//! What cannot be is told at the capture, where it can still be changed; the guest then comes back at the first start as the others do.

use guests::archive::Device;
use guests::inventory::{Guest, Kind, Place, Role};
use guests::proxmox::storage::{Storage, Storages};
use layout::lvm::{Form, LogicalVolume};
use layout::plan::makes_again;
use layout::{Kind as Node, Layout};
use manifest::host::{Archive, Coverage, Held, OfflineDisk};

use super::One;
use super::digests::Digests;
use crate::capture::source::Source;

/// The disks of a guest, as its configuration has them; or why none of them can come back so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish(Result<Vec<Wanted>, String>);

/// A disk that the guest cannot be without.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    slot: String,
    group: String,
    pool: Option<String>,
    volume: String,
}

impl Wish {
    /// That of a guest which the configuration names.
    pub(super) fn of(guest: &Guest, storages: &Storages) -> Self {
        Self(wanted(guest, storages))
    }
}

fn wanted(guest: &Guest, storages: &Storages) -> Result<Vec<Wanted>, String> {
    if guest.kind == Kind::Container {
        return Err("it is a container, and only machines can".to_owned());
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for disk in guest.volumes.iter().filter(|disk| matches!(disk.role, Role::Disk | Role::Firmware)) {
        let slot = &disk.slot;
        let (storage, volume) = match &disk.place {
            Some(Place::Storage { storage, volume }) => (storage, volume),
            Some(Place::Path(path)) => return Err(format!("its {slot} is the host's own {path}")),
            None => continue,
        };
        if !disk.in_backup {
            return Err(format!("its {slot} is in no backup"));
        }
        let kept =
            storages.get(storage).ok_or_else(|| format!("its {slot} is on storage {storage}, which there is not"))?;
        let (group, pool) =
            place(kept).ok_or_else(|| format!("its {slot} is on storage {storage}, which is no LVM"))?;
        if !is_plain(volume) || wanted.iter().any(|other| other.volume == *volume && other.group == group) {
            return Err(format!("its {slot} is the volume {volume}, which is no volume of its own"));
        }
        wanted.push(Wanted { slot: slot.clone(), group, pool, volume: volume.clone() });
    }
    if wanted.is_empty() { Err("it has no disk".to_owned()) } else { Ok(wanted) }
}

/// Group and pool of a storage on LVM.
fn place(storage: &Storage) -> Option<(String, Option<String>)> {
    let group = storage.get("vgname")?.to_owned();
    match storage.kind.as_str() {
        "lvm" => Some((group, None)),
        "lvmthin" => Some((group, Some(storage.get("thinpool")?.to_owned()))),
        _ => None,
    }
}

/// A name that LVM takes, and no clone's, which names its origin too.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte))
}

/// Gives the guest's archive the disks that the rescue is to bring back, and its digest; a guest for which it cannot is named.
pub(super) fn settle(one: &mut One, source: &Source, layout: &Layout, coverage: &Coverage, digests: &mut Digests) {
    let Some(Wish(wanted)) = one.offline.take() else { return };
    let settled = wanted.and_then(|wanted| {
        let archive = one.guest.archive.as_mut().ok_or("there is no backup of it")?;
        if archive.held != Held::Captured {
            return Err(format!("its newest backup, {}, is not in the snapshot", archive.path));
        }
        wanted.iter().try_for_each(|disk| is_made(disk, layout, coverage))?;
        let (digest, devices) = digests
            .contents(&source.path(&archive.path))
            .map_err(|why| format!("its newest backup, {}, {why}", archive.path))?;
        archive.offline = wanted.into_iter().map(|disk| paired(disk, &devices, archive)).collect::<Result<_, _>>()?;
        archive.sha256 = Some(digest);
        Ok(())
    });
    if let Err(why) = settled {
        one.lose(&format!("it is to come back before the first start (offline), and cannot: {why}; it would come back at the first start"));
    }
}

/// Whether a restore makes what the disk's volume is made in.
fn is_made(disk: &Wanted, layout: &Layout, coverage: &Coverage) -> Result<(), String> {
    let Wanted { slot, group, pool, .. } = disk;
    let found = layout.nodes.iter().find(|node| matches!(&node.kind, Node::Vg(one) if one.name == *group));
    if !found.is_some_and(|node| makes_again(layout, &|id| coverage.restores(id), &node.id)) {
        return Err(format!("its {slot} is in the volume group {group}, which a restore does not make"));
    }
    let is_pool = |volume: &LogicalVolume, name: &str| {
        volume.group == *group && volume.name == name && matches!(volume.form, Form::ThinPool { .. })
    };
    match pool {
        Some(pool)
            if !layout.nodes.iter().any(|node| matches!(&node.kind, Node::Lv(volume) if is_pool(volume, pool))) =>
        {
            Err(format!("its {slot} is in the thin pool {group}/{pool}, which a restore does not make"))
        }
        _ => Ok(()),
    }
}

/// The disk in the archive that belongs on the volume.
fn paired(disk: Wanted, devices: &[Device], archive: &Archive) -> Result<OfflineDisk, String> {
    let Wanted { slot, group, pool, volume } = disk;
    let named = |end: &str| devices.iter().find(|device| device.name == format!("drive-{slot}{end}"));
    // The state of a TPM is read through a device of its own.
    let found = named("").or_else(|| named("-backup").filter(|_| slot.starts_with("tpmstate")));
    let found = found.ok_or_else(|| format!("its newest backup, {}, has no {slot}", archive.path))?;
    let Device { name: device, size: bytes, stored, .. } = found.clone();
    Ok(OfflineDisk { device, bytes, stored, group, pool, volume })
}

#[cfg(test)]
mod tests;
