//! Debian's package system remembers which disk GRUB was installed on; with a dead disk's name the next update of GRUB asks, or fails.

use layout::plan::{DiskPlan, Plan};
use manifest::host::Host;

use super::{Adaptation, Room};
use crate::screen::Screen;

const QUESTION: &str = "grub-pc/install_devices";

/// Replaces the answer where it names a disk that is not here. A failure is named; it does not keep the system from starting.
pub fn update(screen: &Screen, room: &Room, plan: &Plan, host: &Host, done: &mut Adaptation) {
    if !room.has("debconf-communicate") {
        return;
    }
    let ask = |line: String| room.command("debconf-communicate").arg("grub-pc").stdin(format!("{line}\n")).read();
    let Ok(answer) = ask(format!("GET {QUESTION}")) else { return };
    // `0 VALUE`; any other code: there is no such question.
    let Some(old) = answer.trim_end().strip_prefix("0 ").map(str::trim).filter(|old| !old.is_empty()) else { return };
    let devices: Vec<&str> = old.split(", ").collect();
    let disk = plan.disks.iter().find(|disk| holds_root(disk, host));
    let (Some(disk), false) = (disk, devices.iter().all(|device| lives(device, plan))) else { return };
    let new = by_id(disk).unwrap_or_else(|| disk.target.path.clone());
    screen.say(&format!("  {QUESTION}: {new} instead of {old}"));
    match ask(format!("SET {QUESTION} {new}")) {
        Ok(_) => {
            done.place("/var/cache/debconf/", "debconf's grub-pc/install_devices named a disk that is gone");
        }
        Err(error) => done.not_adapted.push(format!("debconf's {QUESTION} still names {old}: {error}")),
    }
}

fn holds_root(disk: &DiskPlan, host: &Host) -> bool {
    let root = host.layout.mount_at("/").map(|mount| host.layout.disks_below(&mount.node)).unwrap_or_default();
    root.contains(&disk.recorded)
}

/// Whether a device that debconf names is one of the restored disks: by its serial number, or by its present name.
fn lives(device: &str, plan: &Plan) -> bool {
    plan.disks.iter().any(|disk| {
        let serial = disk.target.disk.serial.as_deref();
        disk.target.path == device
            || (device.starts_with("/dev/disk/by-id/") && serial.is_some_and(|serial| device.ends_with(serial)))
    })
}

/// The name that udev gives the disk in /dev/disk/by-id; there is no udev here to ask. Only the buses with a plain rule.
fn by_id(disk: &DiskPlan) -> Option<String> {
    let serial = disk.target.disk.serial.as_deref()?;
    let model = disk.target.disk.model.as_str();
    let tame = |text: &str| text.replace([' ', '/'], "_");
    match disk.target.disk.transport.as_deref()? {
        "virtio" => Some(format!("/dev/disk/by-id/virtio-{}", tame(serial))),
        "nvme" if !model.is_empty() => Some(format!("/dev/disk/by-id/nvme-{}_{}", tame(model), tame(serial))),
        // The kernel cuts SATA models off at 16 characters, udev does not: the name would be wrong.
        "sata" if model.len() < 16 => Some(format!("/dev/disk/by-id/ata-{}_{}", tame(model), tame(serial))),
        _ => None,
    }
}
