//! A guest's disks: which its configuration names, which of them are there, and where restored ones go.
//!
//! Only what holds the guest's data counts: no CD, no drive that is made anew at each start, nothing unused, nothing of the host's own
//! paths.

use std::collections::BTreeSet;
use std::path::Path;

use guests::inventory::{Kind, Place, Role};
use guests::proxmox::config::Config;
use guests::proxmox::storage::Storages;
use manifest::host::{Guest, GuestKind};

use super::tools::Tools;

/// The disks of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volumes {
    /// By slot, storage and name; none where there is no configuration.
    wanted: Option<Vec<(String, String, String)>>,
    kind: GuestKind,
}

/// Which disks are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// None.
    None,
    /// All of them.
    All(Vec<String>),
    /// Only some; or disks that no configuration names.
    Part {
        /// These are.
        there: Vec<String>,
        /// These are not.
        missing: Vec<String>,
    },
}

/// The disks that a configuration names.
///
/// # Errors
/// When it cannot be read; in words.
pub fn of(guest: &Guest, node: &str, config: Option<&str>) -> Result<Volumes, String> {
    let Some(text) = config else { return Ok(Volumes { wanted: None, kind: guest.kind }) };
    let kind = if guest.kind == GuestKind::Machine { Kind::Machine } else { Kind::Container };
    let read =
        Config::parse(&format!("{}.conf", guest.id), kind, text).and_then(|config| config.guest(&guest.id, node));
    let read = read.map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let data = |role| matches!(role, Role::Disk | Role::Firmware | Role::Root | Role::MountPoint);
    let wanted = read.volumes.into_iter().filter(|volume| data(volume.role)).filter_map(|volume| match volume.place {
        Some(Place::Storage { storage, volume: name }) => Some((volume.slot, storage, name)),
        _ => None,
    });
    Ok(Volumes { wanted: Some(wanted.collect()), kind: guest.kind })
}

impl Volumes {
    /// The storage that the program is told: the only one that there is; a container's root, for it has but one for all.
    pub fn target(&self) -> Option<&str> {
        let wanted = self.wanted.as_deref().unwrap_or_default();
        let storages: BTreeSet<&str> = wanted.iter().map(|(_, storage, _)| storage.as_str()).collect();
        match self.kind {
            GuestKind::Machine if storages.len() == 1 => storages.first().copied(),
            GuestKind::Machine => None,
            GuestKind::Container => {
                wanted.iter().find(|(slot, ..)| slot == "rootfs").map(|(_, storage, _)| storage.as_str())
            }
        }
    }

    /// Volumes that go to another storage than theirs.
    pub fn moved(&self) -> Vec<String> {
        let Some(target) = self.target() else { return Vec::new() };
        let wanted = self.wanted.iter().flatten().filter(|(_, storage, _)| storage != target);
        wanted
            .map(|(slot, storage, _)| {
                format!("{slot} lay on storage {storage}; what is restored of it goes to {target}")
            })
            .collect()
    }

    /// Asks the storages.
    ///
    /// # Errors
    /// When one cannot be asked; in words.
    pub fn presence(&self, pve: &Path, node: &str, tools: &Tools) -> Result<Presence, String> {
        let Some(wanted) = &self.wanted else { return unnamed(pve, node, tools) };
        let storages: BTreeSet<&str> = wanted.iter().map(|(_, storage, _)| storage.as_str()).collect();
        let mut found = BTreeSet::new();
        for storage in storages {
            found.extend(tools.volumes(storage)?);
        }
        let names = wanted.iter().map(|(_, storage, name)| format!("{storage}:{name}"));
        let (there, missing): (Vec<String>, Vec<String>) = names.partition(|name| found.contains(name));
        Ok(match (there.is_empty(), missing.is_empty()) {
            (true, _) => Presence::None,
            (false, true) => Presence::All(there),
            (false, false) => Presence::Part { there, missing },
        })
    }
}

/// Disks of a guest that has no configuration, on all storages of the node that hold any.
fn unnamed(pve: &Path, node: &str, tools: &Tools) -> Result<Presence, String> {
    let path = pve.join("storage.cfg");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("reading {}: {error}", path.display())),
    };
    let storages = Storages::parse("storage.cfg", &text).map_err(|error| error.to_string())?;
    let mut there = Vec::new();
    for storage in storages.iter().filter(|one| one.is_enabled() && one.is_on(node)) {
        if storage.holds("images") || storage.holds("rootdir") {
            there.extend(tools.volumes(&storage.id)?);
        }
    }
    let missing = vec!["its configuration".to_owned()];
    Ok(if there.is_empty() { Presence::None } else { Presence::Part { there, missing } })
}

/// The disks in what `pvesm list` prints: the first word of each line after the first. Backups of the guest are no disks of it.
pub fn listed(text: &str) -> Vec<String> {
    let names = text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next());
    let disk = |name: &&str| {
        let volume = name.split_once(':').map_or("", |(_, volume)| volume);
        !volume.is_empty()
            && !["backup/", "iso/", "vztmpl/", "snippets/", "import/"].iter().any(|kind| volume.starts_with(kind))
    };
    names.filter(disk).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(kind: GuestKind, config: &str) -> Volumes {
        let (id, name) = ("100".to_owned(), String::new());
        let guest = Guest { id, name, kind, starts: true, order: None, archive: None, notes: Vec::new() };
        of(&guest, "pve1", Some(config)).unwrap()
    }

    #[test]
    fn a_machine_goes_to_its_storage_where_it_has_only_one() {
        let target = |config: &str| volumes(GuestKind::Machine, config).target().map(str::to_owned);
        let one = "scsi0: fast:vm-100-disk-0,size=1G\nefidisk0: fast:vm-100-disk-1\nide2: local:iso/a.iso,media=cdrom\n\
                   unused0: slow:vm-100-disk-9\n";
        assert_eq!(target(one).as_deref(), Some("fast"));
        assert_eq!(target("scsi0: fast:vm-100-disk-0\nscsi1: slow:vm-100-disk-1\n"), None);
        assert_eq!(target("cores: 1\n"), None);
    }

    #[test]
    fn a_container_goes_where_its_root_was() {
        let one = volumes(
            GuestKind::Container,
            "rootfs: fast:vm-100-disk-0\nmp0: slow:vm-100-disk-1,mp=/srv\nmp1: /bind,mp=/b\n",
        );
        assert_eq!(one.target(), Some("fast"));
        assert_eq!(one.moved(), ["mp0 lay on storage slow; what is restored of it goes to fast"]);
    }

    #[test]
    fn backups_in_a_list_are_no_disks() {
        let text = "Volid                                          Format  Type      Size VMID\n\
                    local:100/vm-100-disk-0.qcow2                  qcow2   images    4 100\n\
                    local:backup/vzdump-qemu-100-2024_01_02-03_04_05.vma.zst vma.zst backup 9 100\n\
                    pbs:backup/vm/100/2024-01-02T03:04:05Z pbs-vm backup 9 100\n";
        assert_eq!(listed(text), ["local:100/vm-100-disk-0.qcow2"]);
        assert!(listed("").is_empty() && listed("\n\nnonsense\n").is_empty());
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_named() {
        let (id, name, kind) = ("100".to_owned(), String::new(), GuestKind::Machine);
        let guest = Guest { id, name, kind, starts: true, order: None, archive: None, notes: Vec::new() };
        let why = of(&guest, "pve1", Some("cipassword hunter2\n")).unwrap_err();
        assert!(why.contains("100.conf, line 1") && !why.contains("hunter2"), "{why}");
    }
}
