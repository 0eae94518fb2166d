//! Which guests the rescue brings back itself, and into which volumes: from the signed words on them and the plan for the disks. Touches
//! nothing.

use std::collections::BTreeMap;
use std::fmt;

use layout::Bytes;
use layout::lvm::{Form, LogicalVolume};
use layout::plan::{Plan, Step};
use manifest::host::{Archive, Guest, OfflineDisk, PlatformKind};
use manifest::{Host, Membership};

use crate::adapt::is_waived;

/// A guest that is to be there at the first start.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The guest.
    pub guest: &'a Guest,
    /// What it comes back from.
    pub archive: &'a Archive,
    /// Its volumes; or why it cannot be, in words.
    pub targets: Result<Vec<Target<'a>>, String>,
}

/// A volume that is made, and the disk that goes into it.
#[derive(Debug)]
pub struct Target<'a> {
    /// The disk in the archive.
    pub disk: &'a OfflineDisk,
    /// The volume.
    pub volume: LogicalVolume,
    /// Its size: the disk's, in whole extents.
    pub size: Bytes,
    /// Bytes of an extent of its group.
    pub extent: Bytes,
    /// What it holds when it is made.
    pub before: Before,
}

/// What a new volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Zeroes: a pool that zeroes new chunks.
    Zeroes,
    /// Zeroes until a chunk of this size is first written to; then, around what was written, what lay on the disk.
    Chunks(Bytes),
    /// What lay on the disk.
    Anything,
}

/// What the plan for the disks makes, and how much of it the host itself and guests have taken.
struct Room<'a> {
    plan: &'a Plan,
    /// Bytes that are stored, by group and pool.
    taken: BTreeMap<(String, String), u64>,
    /// Volumes, by group and name.
    named: Vec<(String, String)>,
}

/// Plans all guests that the snapshot has so; none for a node that has left its cluster, which may run them.
pub fn plan<'a>(host: &'a Host, plan: &Plan, membership: Option<Membership>) -> Vec<Planned<'a>> {
    if membership == Some(Membership::Removed) {
        return Vec::new();
    }
    let mut room = Room::of(plan);
    let platforms = host.guests.iter().filter(|platform| platform.kind == PlatformKind::Proxmox);
    let guests = platforms.flat_map(|platform| &platform.guests);
    let meant = guests.filter(|guest| !is_waived(host, PlatformKind::Proxmox, guest));
    let archives = meant.filter_map(|guest| Some((guest, guest.archive.as_ref()?)));
    let offline = archives.filter(|(_, archive)| !archive.offline.is_empty());
    offline.map(|(guest, archive)| Planned { guest, archive, targets: room.targets(guest, archive) }).collect()
}

impl<'p> Room<'p> {
    /// Before any guest: a pool that runs full takes the host's own filesystems on it along.
    fn of(plan: &'p Plan) -> Self {
        let mut taken: BTreeMap<(String, String), u64> = BTreeMap::new();
        for step in plan.before.iter().chain(&plan.after) {
            if let Step::MakeLv { volume: volume @ LogicalVolume { form: Form::Thin { pool }, .. }, .. } = step {
                let stored = taken.entry((volume.group.clone(), pool.clone())).or_default();
                *stored = stored.saturating_add(held(plan, &volume.path()));
            }
        }
        Self { plan, taken, named: Vec::new() }
    }

    /// The volumes of one guest. One that does not fit takes no room from the others.
    fn targets<'a>(&mut self, guest: &Guest, archive: &'a Archive) -> Result<Vec<Target<'a>>, String> {
        let mut taken = self.taken.clone();
        let mut targets: Vec<Target<'a>> = Vec::new();
        for disk in &archive.offline {
            let name = (disk.group.clone(), disk.volume.clone());
            if !is_plain(&disk.group) || !is_plain(&disk.volume) || disk.bytes == 0 {
                return Err(format!("{:?} is no volume that can be made", disk.volume));
            }
            let other =
                targets.iter().any(|other| other.volume.name == disk.volume && other.volume.group == disk.group);
            if other || self.named.contains(&name) || self.volume(&disk.group, &disk.volume).is_some() {
                return Err(format!("the volume {}/{} is another one's", disk.group, disk.volume));
            }
            let target = self.target(guest, disk)?;
            if let Some(pool) = &disk.pool {
                let stored = taken.entry((disk.group.clone(), pool.clone())).or_default();
                *stored = stored.saturating_add(disk.stored);
                let size = self.volume(&disk.group, pool).map_or(0, |(_, size)| size.0);
                if *stored > size {
                    let (stored, size) = (Bytes(*stored), Bytes(size));
                    return Err(format!(
                        "{stored} are to go into the pool {}/{pool} with what the host has there, and it has {size}",
                        disk.group
                    ));
                }
            }
            targets.push(target);
        }
        self.taken = taken;
        self.named.extend(targets.iter().map(|target| (target.volume.group.clone(), target.volume.name.clone())));
        Ok(targets)
    }

    fn target<'a>(&self, guest: &Guest, disk: &'a OfflineDisk) -> Result<Target<'a>, String> {
        let group = self.plan.before.iter().find_map(|step| match step {
            Step::MakeVg { group, .. } if group.name == disk.group => Some(group),
            _ => None,
        });
        let group = group.ok_or_else(|| format!("the volume group {} is not made here", disk.group))?;
        let (form, before) = match &disk.pool {
            None => (Form::Linear, Before::Anything),
            Some(pool) => match self.volume(&disk.group, pool) {
                Some((LogicalVolume { form: Form::ThinPool { zero, chunk, .. }, .. }, _)) => {
                    (Form::Thin { pool: pool.clone() }, if *zero { Before::Zeroes } else { Before::Chunks(*chunk) })
                }
                _ => return Err(format!("the thin pool {}/{pool} is not made here", disk.group)),
            },
        };
        // By it the platform knows whose volume it is, where its storage asks for that; thin ones it knows by their names.
        let tags = if disk.pool.is_none() { vec![format!("pve-vm-{}", guest.id)] } else { Vec::new() };
        let size = group.extents_for(Bytes(disk.bytes)).checked_mul(group.extent.0);
        let size = Bytes(size.ok_or_else(|| format!("{} is larger than any volume", disk.volume))?);
        let volume = LogicalVolume {
            uuid: String::new(),
            group: disk.group.clone(),
            name: disk.volume.clone(),
            form,
            writable: true,
            tags,
        };
        Ok(Target { disk, volume, size, extent: group.extent, before })
    }

    /// A volume that the plan makes, and its size.
    fn volume(&self, group: &str, name: &str) -> Option<(&LogicalVolume, Bytes)> {
        self.plan.before.iter().chain(&self.plan.after).find_map(|step| match step {
            Step::MakeLv { volume, size, .. } if volume.group == group && volume.name == name => Some((volume, *size)),
            _ => None,
        })
    }
}

/// Bytes that the restore of the host stores on a device; of blocks it may be less.
fn held(plan: &Plan, device: &str) -> u64 {
    let files = plan.before.iter().chain(&plan.after).filter_map(|step| match step {
        Step::MakeExt { device: on, ext, .. } if on.path() == device => Some(ext.used.0),
        Step::MakeXfs { device: on, xfs, .. } if on.path() == device => Some(xfs.used.0),
        _ => None,
    });
    let blocks = plan.blocks.iter().filter(|fill| fill.device.path() == device).map(|fill| fill.size.0);
    files.chain(blocks).fold(0, u64::saturating_add)
}

/// A name that is one to LVM: no option, no path, no pattern.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte))
}

impl fmt::Display for Planned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guest, archive, targets } = self;
        let name = if guest.name.is_empty() { String::new() } else { format!(" {}", guest.name) };
        match targets {
            Ok(targets) => {
                write!(f, "guest {}{name} is brought back before the first start, from {}:", guest.id, archive.path)?;
                for Target { disk, size, .. } in targets {
                    let pool = disk.pool.as_ref().map(|pool| format!(" in pool {pool}")).unwrap_or_default();
                    let stored = Bytes(disk.stored);
                    write!(f, "\n    volume {}/{}{pool}, {size}, {stored} of it data", disk.group, disk.volume)?;
                }
                Ok(())
            }
            Err(why) => write!(
                f,
                "guest {}{name} CANNOT be brought back before the first start: {why}; it comes back at the first start",
                guest.id
            ),
        }
    }
}

#[cfg(test)]
mod tests;
