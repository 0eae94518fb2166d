//! libvirt: the domains of its QEMU driver, where their disks lie, and what of it is in no file of the tree.
//!
//! Definitions, firmware variables, TPMs, secrets and saved memory are files of the tree. A domain that is transient has no file of its
//! own: its definition is put into one ([`super::exports`]). A disk that its guest writes to while it is read is torn, and the guest is
//! lost by that, unless its disks lie still for the time of the capture ([`still`]). When `virsh` does not answer, libvirt's own files
//! tell the rest ([`files`]).

mod chain;
mod files;
pub mod still;
mod told;

use guests::libvirt::{Disk, Place};
use manifest::host::{Exclusion, Gap, GuestKind, PlatformKind};

use self::told::{Seen, Told};
use super::asking::Asking;
use super::parts::Part;
use super::{Found, Hypervisor, One, Policy, printable};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;

/// Definitions of domains; it is there where the driver is.
const FOLDER: &str = "/etc/libvirt/qemu";
const URI: &str = "qemu:///system";
/// State of TPMs, by UUID.
const TPMS: &str = "/var/lib/libvirt/swtpm";

pub(super) struct Libvirt;

impl Hypervisor for Libvirt {
    fn look(&self, source: &Source, policy: &Policy, aside: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        if !source.exists(FOLDER) && policy.libvirt.is_none() {
            return None;
        }
        let mut found = Found::new(PlatformKind::Libvirt);
        let uri = policy.libvirt.as_deref().unwrap_or(URI);
        let asking = Asking::of("virsh", &["--quiet", "--readonly", "--connect", uri]).filter(|_| source.is_live());
        let mut still = still::Still::begin(policy, uri, aside, gaps);
        let told = match asking.as_ref().ok_or_else(|| "virsh is not installed".to_owned()).and_then(told::ask) {
            Ok(told) => told,
            Err(why) => {
                still.give_up(&why);
                let told = files::read(source, gaps);
                if !told.seen.is_empty() {
                    found.note(format!("libvirt does not answer, and its files were read instead: {why}"));
                }
                told
            }
        };
        // Before disks are made to lie still: a definition that names overlays is none to come back with.
        if let Some(asking) = Asking::of("virsh", &["--quiet", "--connect", uri]).filter(|_| source.is_live()) {
            told::exports(&asking, &told, &mut found, gaps);
        }
        fill(&mut found, &told, asking.as_ref(), source, &mut still, aside);
        others(&mut found, source);
        still.keep_until_read(aside);
        (!found.guests.is_empty() || !found.notes.is_empty()).then_some(found)
    }
}

fn fill(
    found: &mut Found,
    told: &Told,
    asking: Option<&Asking>,
    source: &Source,
    still: &mut still::Still,
    aside: &mut Aside,
) {
    for seen in &told.seen {
        let mut one = one(seen, asking, source);
        let written: Vec<&Disk> = seen.domain.disks.iter().filter(|disk| is_written(disk)).collect();
        if seen.active && !written.is_empty() {
            match still.lay(seen, &written, source, aside) {
                Ok(laid) => {
                    one.note(laid.note);
                    let reason = "what a guest writes while its disks lie still for this snapshot; it is put into them afterwards";
                    found.exclude.extend(
                        laid.overlays.into_iter().map(|pattern| Exclusion { pattern, reason: reason.to_owned() }),
                    );
                }
                Err(why) => one.lose(&torn(&written, &why)),
            }
        }
        found.guests.push(one);
    }
}

/// Domains of other drivers, which this does not ask for.
fn others(found: &mut Found, source: &Source) {
    for (folder, driver) in [("/etc/libvirt/lxc", "LXC"), ("/etc/libvirt/libxl", "Xen")] {
        let domains = source.names(folder).into_iter().filter(|name| name.ends_with(".xml")).count();
        if domains > 0 {
            found.note(format!(
                "{domains} domains of libvirt's {driver} driver are defined in {folder}: they are not looked at"
            ));
        }
    }
}

fn torn(disks: &[&Disk], why: &str) -> String {
    let disks: Vec<String> =
        disks.iter().map(|disk| format!("{} ({})", disk.target, printable(&disk.place.to_string()))).collect();
    format!(
        "it runs, and is not sure to come back from disks that it writes to while they are read: {}; {why}",
        disks.join(", ")
    )
}

/// Whether the guest can change it. What is no file of the host has a word of its own.
fn is_written(disk: &Disk) -> bool {
    !disk.read_only && matches!(disk.place, Place::File(_) | Place::Volume { .. })
}

fn one(seen: &Seen, asking: Option<&Asking>, source: &Source) -> One {
    let domain = &seen.domain;
    let mut one = One::new(&domain.uuid, &domain.name, GuestKind::Machine);
    one.guest.starts = seen.starts;
    one.note(match (seen.active, seen.saved, seen.persistent) {
        (true, _, true) => "it runs",
        (true, _, false) => "it runs, and is defined only while it does",
        (false, true, _) => "it is saved: it goes on where it was",
        (false, false, _) => "it is off",
    });
    for disk in &domain.disks {
        parts(&mut one, disk, asking, source);
    }
    // Made at the first start.
    let made = domain.firmware.iter().filter(|file| source.exists(file));
    one.parts.extend(made.map(|file| Part::needed("firmware variables", file)));
    let tpm = format!("{TPMS}/{}", domain.uuid);
    if domain.tpm && source.exists(&tpm) {
        one.parts.push(Part::needed("TPM", tpm));
    }
    one.parts.extend(domain.folders.iter().map(|folder| Part::used("shared folder", folder)));
    for device in &domain.devices {
        one.note(format!(
            "a device of the host is passed through ({}): another machine has another one",
            printable(device)
        ));
    }
    one
}

fn parts(one: &mut One, disk: &Disk, asking: Option<&Asking>, source: &Source) {
    let what = format!("{} {}", printable(&disk.device), printable(&disk.target));
    let medium = matches!(disk.device.as_str(), "cdrom" | "floppy");
    let path = match &disk.place {
        Place::Empty => return,
        Place::File(path) | Place::Block(path) => path.clone(),
        Place::Volume { pool, volume } => match path_of_volume(asking, pool, volume, source) {
            Ok(path) => path,
            Err(why) => {
                return one.lose(&format!(
                    "its {what} is {}, and where that lies cannot be told: {why}",
                    printable(&disk.place.to_string())
                ));
            }
        },
        Place::Other(_) if medium => {
            return one.note(format!("its {what} is in {}", printable(&disk.place.to_string())));
        }
        Place::Other(_) => {
            return one.lose(&format!("its {what} lies in {}: back it up there", printable(&disk.place.to_string())));
        }
    };
    one.note(format!("{what}: {}", printable(&path)));
    if medium {
        one.parts.push(Part::used(what, &path));
        return;
    }
    match chain::below(disk, &path, source) {
        Ok(below) => one
            .parts
            .extend(below.into_iter().map(|below| Part::needed(format!("{what} builds on a file that"), below))),
        Err(why) => one.lose(&format!("what its {what} builds on cannot be told: {why}")),
    }
    one.parts.push(Part::needed(what, path));
}

fn path_of_volume(asking: Option<&Asking>, pool: &str, volume: &str, source: &Source) -> Result<String, String> {
    asking.map_or_else(|| files::path(source, pool, volume), |asking| told::path(asking, pool, volume))
}

#[cfg(test)]
mod tests;
