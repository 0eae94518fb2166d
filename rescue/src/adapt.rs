//! Adapt: what must differ on this machine. Boot loaders, firmware entries, the package system's idea of the boot disk; and a word on
//! everything else that does not fit. Nothing else is changed.

mod crypttab;
mod debconf;
mod efi;
mod esp;
mod files;
mod fstab;
mod grub;
mod hypervisor;
mod initramfs;
mod network;
mod room;
mod swapfile;
pub mod tpm;
mod zfs;

use std::path::Path;

use layout::plan::Plan;
use manifest::host::Host;
use manifest::{Membership, Serial};
use serde::Serialize;

use crate::apply::TARGET;
use crate::cards::Cards;
use crate::screen::{Screen, Stage};
use crate::stop::Result;
use crate::{disks, kernel};

pub use hypervisor::{is_waived, leave_word};
pub use room::Room;

/// A path, or all below it, that differs from the snapshot on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adapted {
    /// The path in the restored system; with a slash at its end it stands for everything below.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What adapting did and what it left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Adaptation {
    /// Places that differ on purpose.
    pub places: Vec<Adapted>,
    /// Boot loaders that were installed: `i386-pc on /dev/vda`, `x86_64-efi`.
    pub loaders: Vec<String>,
    /// What was not adapted and may need a hand.
    pub not_adapted: Vec<String>,
}

impl Adaptation {
    fn place(&mut self, path: &str, reason: &str) {
        self.places.push(Adapted { path: path.to_owned(), reason: reason.to_owned() });
    }

    /// Why `path` (without a leading slash) differs on purpose; none where it should not.
    pub fn reason(&self, path: &[u8]) -> Option<&str> {
        let fits = |place: &&Adapted| {
            let wanted = place.path.trim_start_matches('/').as_bytes();
            match wanted.strip_suffix(b"/") {
                Some(folder) => path == folder || path.starts_with(wanted),
                None => path == wanted,
            }
        };
        self.places.iter().find(fits).map(|place| place.reason.as_str())
    }
}

/// Adapts the restored system below the target root, everything mounted.
///
/// # Errors
/// When a boot loader cannot be installed: then the disk does not boot.
pub fn adapt(
    screen: &Screen,
    host: &Host,
    plan: &Plan,
    renewals: &[tpm::Renewal],
    snapshot: Serial,
    membership: Option<Membership>,
) -> Result<Adaptation> {
    screen.stage(Stage::Adapt);
    let mut done = Adaptation::default();
    fstab::check(plan, &mut done);
    let renewed = tpm::renew(Path::new(TARGET), &host.layout, renewals, &mut done);
    crypttab::check(plan, &renewed, &mut done);
    network::rename(Path::new(TARGET), &Cards::of(&host.network), &mut done);
    swapfile::make(host, &mut done);
    zfs::renew_cache(plan, &mut done);
    {
        let room = Room::open()?;
        hypervisor::adapt(Path::new(TARGET), &room, host, snapshot.0, membership, &mut done);
        debconf::update(screen, &room, plan, host, &mut done);
        initramfs::renew(screen, &room, plan, &mut done);
        let entries = loaders(screen, &room, host, plan, &mut done)?;
        settle(entries, &mut done);
        room.close()?;
    }
    for line in &done.loaders {
        screen.say(&format!("  boot loader: {line}"));
    }
    for line in &done.not_adapted {
        screen.say(&format!("  not adapted: {line}"));
    }
    Ok(done)
}

/// Puts the boot loaders in place and gives the boot entries that start them.
fn loaders(
    screen: &Screen,
    room: &Room,
    host: &Host,
    plan: &Plan,
    done: &mut Adaptation,
) -> Result<Vec<efi::LoadOption>> {
    let recorded = efi::recorded(host, plan);
    let mounted = grub::esp_path(plan);
    if let Some(mounted) = mounted
        && esp::is_meant(host)
    {
        let mut entries = esp::finish(mounted, recorded, done)?;
        if entries.is_empty() {
            // New disks come last in the firmware's own order, behind its shell: a host without entries gets one for each ESP.
            let places = grub::esp_guids(plan).filter_map(|(path, guid)| Some((path, efi::place(plan, &guid)?)));
            entries.extend(places.filter_map(|(path, place)| esp::entry(path, place)));
        }
        // Copies of it on other disks, as Proxmox's boot tool keeps them. The machine starts without them.
        for other in grub::esp_paths(plan).filter(|path| *path != mounted) {
            if let Err(stop) = esp::finish(other, Vec::new(), done) {
                done.not_adapted.push(stop.to_string());
            }
        }
        esp::check_bios(host, done);
        return Ok(entries);
    }
    grub::install(screen, room, host, plan, done)?;
    let Some(mounted) = mounted else {
        if kernel::uefi() {
            done.not_adapted.push(
                "this machine runs UEFI, and what came back starts by BIOS only: switch its firmware to BIOS (legacy, CSM)".to_owned(),
            );
        }
        return Ok(Vec::new());
    };
    let folder = Path::new(TARGET).join(mounted.trim_start_matches('/'));
    let there = |option: &efi::LoadOption| {
        let file = option.file.as_deref().unwrap_or_default().replace('\\', "/");
        folder.join(file.trim_start_matches('/')).is_file()
    };
    let mut entries: Vec<_> = recorded.into_iter().filter(there).collect();
    // A host that started by BIOS, or by the removable path, has no entry of its own; and each member of a mirrored ESP needs one.
    if let Some((file, label)) = grub::entry_file(host, &folder) {
        let partitions = grub::esp_partitions(plan);
        let mirrored = partitions.len() > 1;
        let places = partitions.iter().filter_map(|guid| efi::place(plan, guid));
        let none = entries.is_empty();
        let entered = |entries: &[efi::LoadOption], place: &efi::Place| {
            entries.iter().any(|entry| entry.partition.as_ref().is_some_and(|known| known.guid == place.guid))
        };
        for place in places {
            if (none || mirrored) && !entered(&entries, &place) {
                entries.push(efi::LoadOption::new(&label, place, &file, Vec::new()));
            }
        }
    }
    Ok(entries)
}

/// Whether firmware that runs UEFI finds something to start.
pub fn has_esp(plan: &Plan) -> bool {
    grub::esp_path(plan).is_some()
}

/// Writes the boot entries where this machine keeps any. A machine that takes none starts by the removable path.
fn settle(entries: Vec<efi::LoadOption>, done: &mut Adaptation) {
    if !kernel::uefi() {
        return;
    }
    let Some(store) = efi::Store::of_firmware() else {
        done.not_adapted.push("UEFI variables cannot be reached: the disk starts by the removable path".to_owned());
        return;
    };
    match efi::settle(&store, &entries, &disks::partition_guids()) {
        Ok(lines) => done.loaders.extend(lines),
        Err(error) => done.not_adapted.push(format!(
            "UEFI variables cannot be written ({error}): the disk starts by the removable path; free space in the firmware's setup, then \
             run grub-install or efibootmgr in the restored system"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_covers_itself_and_with_a_slash_what_is_below() {
        let mut done = Adaptation::default();
        done.place("/boot/grub/", "boot loader");
        done.place("/var/cache/debconf/config.dat", "boot disk");
        assert_eq!(done.reason(b"boot/grub"), Some("boot loader"));
        assert_eq!(done.reason(b"boot/grub/i386-pc/core.img"), Some("boot loader"));
        assert_eq!(done.reason(b"boot/grub2"), None);
        assert_eq!(done.reason(b"boot"), None);
        assert_eq!(done.reason(b"var/cache/debconf/config.dat"), Some("boot disk"));
    }
}
