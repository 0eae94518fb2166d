//! Options of a virtual machine that say where its data lies, and what it uses of the host.

use super::{attached, is_numbered, place, size_of, unused};
use crate::inventory::{Guest, Place, Role, Volume};
use crate::proxmox::text::Properties;

/// Buses that disks are on.
const BUSES: &[&str] = &["ide", "sata", "scsi", "virtio"];

/// Takes what one option says.
pub(super) fn take(guest: &mut Guest, key: &str, value: &str) -> Result<(), String> {
    match key {
        _ if is_numbered(key, BUSES) => {
            let volume = drive(key, value)?;
            if let Some(Place::Path(path)) = volume.place.as_ref().filter(|_| volume.role == Role::Disk) {
                guest.attached.push(attached(key, format!("the host's {path} as a disk")));
            }
            guest.volumes.push(volume);
        }
        _ if is_numbered(key, &["efidisk", "tpmstate"]) => {
            guest.volumes.push(Volume { role: Role::Firmware, in_backup: true, ..drive(key, value)? });
        }
        _ if is_numbered(key, &["unused"]) => guest.volumes.push(unused(key, value)?),
        _ if is_numbered(key, &["hostpci", "usb", "serial", "parallel", "virtiofs"]) => device(guest, key, value)?,
        "hookscript" => guest.attached.push(attached(key, format!("script {value}"))),
        "args" => guest.attached.push(attached(key, "further arguments of QEMU's, which may name things of the host")),
        _ => {}
    }
    Ok(())
}

fn drive(slot: &str, value: &str) -> Result<Volume, String> {
    let properties = Properties::parse(value, "file")?;
    let file = properties.first.as_deref().ok_or("no volume is named")?;
    let removable = properties.get("media") == Some("cdrom") || file == "cdrom";
    let place = match file {
        "none" => None,
        "cdrom" => Some(Place::Path("/dev/cdrom".to_owned())),
        other => Some(place(other)?),
    };
    let generated = matches!(&place, Some(Place::Storage { volume, .. }) if is_cloudinit(volume));
    let role = match () {
        () if generated => Role::Generated,
        () if removable => Role::Removable,
        () if place.is_none() => return Err("an empty drive is a disk".to_owned()),
        () => Role::Disk,
    };
    let in_backup = role == Role::Disk && properties.boolean("backup", true)?;
    Ok(Volume { slot: slot.to_owned(), role, place, size: size_of(&properties)?, target: None, in_backup })
}

/// `vm-100-cloudinit`, `100/vm-100-cloudinit.qcow2`.
fn is_cloudinit(volume: &str) -> bool {
    let name = volume.rsplit('/').next().unwrap_or(volume);
    let name = name.strip_prefix("vm-").and_then(|rest| rest.split_once('-')).map_or("", |(_, rest)| rest);
    name == "cloudinit" || name.starts_with("cloudinit.")
}

/// A device of the host; one that QEMU makes itself is none.
fn device(guest: &mut Guest, key: &str, value: &str) -> Result<(), String> {
    if key.starts_with("virtiofs") {
        let folder = Properties::parse(value, "dirid")?;
        let name = folder.first.as_deref().unwrap_or(value);
        guest.attached.push(attached(key, format!("the host's directory mapping {name}")));
        return Ok(());
    }
    if !key.starts_with("hostpci") && !key.starts_with("usb") {
        if value != "socket" {
            guest.attached.push(attached(key, format!("the host's {value}")));
        }
        return Ok(());
    }
    let properties = Properties::parse(value, "host")?;
    let host = properties.first.as_deref().filter(|host| *host != "spice");
    let what = match (host, properties.get("mapping")) {
        (_, Some(mapping)) => format!("the host's device mapping {mapping}"),
        (Some(host), None) => format!("the host's device {host}"),
        (None, None) => return Ok(()),
    };
    guest.attached.push(attached(key, what));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_init_drive_is_told_by_its_name() {
        assert!(is_cloudinit("vm-100-cloudinit") && is_cloudinit("100/vm-100-cloudinit.qcow2"));
        assert!(!is_cloudinit("vm-100-disk-0") && !is_cloudinit("iso/my-cloudinit.iso") && !is_cloudinit("vm-100"));
    }

    #[test]
    fn drives_say_whether_a_backup_holds_them() {
        let role = |value| drive("scsi0", value).map(|volume| (volume.role, volume.in_backup));
        assert_eq!(role("local-lvm:vm-100-disk-0,size=32G"), Ok((Role::Disk, true)));
        assert_eq!(role("local-lvm:vm-100-disk-0,backup=0,size=32G"), Ok((Role::Disk, false)));
        assert_eq!(role("/dev/disk/by-id/ata-X,size=1T"), Ok((Role::Disk, true)));
        assert_eq!(role("none,media=cdrom"), Ok((Role::Removable, false)));
        assert_eq!(role("cdrom,media=cdrom"), Ok((Role::Removable, false)));
        assert_eq!(role("local:iso/debian.iso,media=cdrom,size=1K"), Ok((Role::Removable, false)));
        assert_eq!(role("local-lvm:vm-100-cloudinit,media=cdrom"), Ok((Role::Generated, false)));
        assert_eq!(role("none").unwrap_err(), "an empty drive is a disk");
        assert_eq!(role("vm-100-disk-0").unwrap_err(), "\"vm-100-disk-0\" is neither a path nor a volume");
        assert_eq!(role("local:a,backup=2").unwrap_err(), "backup=2 is neither yes nor no");
        assert_eq!(role("local:a,size=big").unwrap_err(), "size=big is no size");
        assert_eq!(role("size=1G").unwrap_err(), "no volume is named");
    }
}
