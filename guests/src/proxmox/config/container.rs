//! Options of a container that say where its data lies, and what it uses of the host.

use super::{attached, is_numbered, place, size_of, unused};
use crate::inventory::{Guest, Place, Role, Volume};
use crate::proxmox::text::Properties;

/// Takes what one option says.
pub(super) fn take(guest: &mut Guest, key: &str, value: &str) -> Result<(), String> {
    match key {
        "rootfs" => guest.volumes.push(mounted(key, value)?),
        _ if is_numbered(key, &["mp"]) => guest.volumes.push(mounted(key, value)?),
        _ if is_numbered(key, &["unused"]) => guest.volumes.push(unused(key, value)?),
        _ if is_numbered(key, &["dev"]) => {
            let properties = Properties::parse(value, "path")?;
            let path = properties.first.as_deref().ok_or("no device is named")?;
            guest.attached.push(attached(key, format!("the host's device {path}")));
        }
        "hookscript" => guest.attached.push(attached(key, format!("script {value}"))),
        "lxc.mount.entry" | "lxc.mount.fstab" | "lxc.rootfs.path" => {
            let source = value.split_ascii_whitespace().next().unwrap_or(value);
            // Filesystems of the kernel have no data.
            if !["proc", "sysfs", "tmpfs", "cgroup", "devpts", "mqueue"].contains(&source) {
                guest.attached.push(attached(key, format!("the host's {source}")));
            }
        }
        _ => {}
    }
    Ok(())
}

fn mounted(slot: &str, value: &str) -> Result<Volume, String> {
    let properties = Properties::parse(value, "volume")?;
    let place = place(properties.first.as_deref().ok_or("no volume is named")?)?;
    let root = slot == "rootfs";
    let role = match &place {
        Place::Path(path) if path.starts_with("/dev/") => Role::DeviceMount,
        Place::Path(_) => Role::Bind,
        Place::Storage { .. } if root => Role::Root,
        Place::Storage { .. } => Role::MountPoint,
    };
    let target = if root { Some("/".to_owned()) } else { properties.get("mp").map(str::to_owned) };
    if target.is_none() {
        return Err("mp= is missing".to_owned());
    }
    // The root is always in; what is mounted only where it is asked for, and never what is the host's.
    let asked = properties.boolean("backup", false)?;
    let in_backup = role == Role::Root || role == Role::MountPoint && asked;
    let size = size_of(&properties)?;
    Ok(Volume { slot: slot.to_owned(), role, place: Some(place), size, target, in_backup })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_say_whether_a_backup_holds_them() {
        let role = |slot, value| mounted(slot, value).map(|volume| (volume.role, volume.in_backup));
        assert_eq!(role("rootfs", "local-lvm:vm-101-disk-0,size=8G"), Ok((Role::Root, true)));
        assert_eq!(role("mp0", "local-lvm:vm-101-disk-1,mp=/srv,size=8G"), Ok((Role::MountPoint, false)));
        assert_eq!(role("mp0", "local-lvm:vm-101-disk-1,mp=/srv,backup=1,size=8G"), Ok((Role::MountPoint, true)));
        assert_eq!(role("mp0", "/srv/data,mp=/data,backup=1"), Ok((Role::Bind, false)));
        assert_eq!(role("mp0", "volume=/srv/data,mp=/data"), Ok((Role::Bind, false)));
        assert_eq!(role("mp0", "/dev/sdb1,mp=/data"), Ok((Role::DeviceMount, false)));
        assert_eq!(role("mp0", "local:101/a.raw").unwrap_err(), "mp= is missing");
    }
}
