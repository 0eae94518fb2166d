//! Keeps a guest from starting with its host, by the file that says that it does. What was there is kept aside, or said.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use manifest::host::{Guest, PlatformKind};

use super::folder::Locked;

const AUTOSTART: &str = "etc/libvirt/qemu/autostart";
const CONTAINERS: &str = "var/lib/lxc";
const STARTS: &str = "lxc.start.auto";

/// Keeps it from starting; what was done, and how it is undone.
///
/// # Errors
/// In words, when it starts with the host as before.
pub fn hold(locked: &Locked, root: &Path, kind: PlatformKind, guest: &Guest) -> Result<String, String> {
    match kind {
        PlatformKind::Libvirt => machine(&root.join(AUTOSTART), guest),
        PlatformKind::Lxc => container(locked, &root.join(CONTAINERS).join(&guest.id).join("config"), guest),
        other => Err(format!("guests of {other} are not kept from starting")),
    }
}

/// libvirt starts what it finds a link for.
fn machine(folder: &Path, guest: &Guest) -> Result<String, String> {
    if guest.name.is_empty() || guest.name.contains('/') {
        return Err(format!("{:?} is no name of a machine", guest.name));
    }
    let link = folder.join(format!("{}.xml", guest.name));
    match fs::remove_file(&link) {
        Ok(()) => Ok(format!("it does not start with the host any more, until `virsh autostart {}`", guest.name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok("it does not start with the host".to_owned()),
        Err(error) => Err(format!("removing {}: {error}", link.display())),
    }
}

fn container(locked: &Locked, config: &Path, guest: &Guest) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", config.display());
    let text = match fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok("it does not start with the host".to_owned()),
        Err(error) => return Err(failed(error)),
    };
    let says_so = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == STARTS);
    if !text.lines().any(says_so) {
        return Ok("it does not start with the host".to_owned());
    }
    let aside = format!("lxc-{}.config", guest.id);
    locked.put_aside(&aside, text.as_bytes()).map_err(|error| format!("{error:#}"))?;
    let lines = text.lines().map(|line| if says_so(line) { format!("{STARTS} = 0\n") } else { format!("{line}\n") });
    replace(config, &lines.collect::<String>()).map_err(failed)?;
    let aside = locked.folder.aside(&aside);
    Ok(format!("it does not start with the host any more; its configuration as it was is {}", aside.display()))
}

/// Gives a file another text, whole or not at all; owner and permissions stay.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("lifeboat");
    // With its permissions.
    fs::copy(path, &new)?;
    let meta = fs::metadata(path)?;
    chown(&new, Some(meta.uid()), Some(meta.gid()))?;
    fs::write(&new, text)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)
}
