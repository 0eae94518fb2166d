//! GRUB, by the restored system's own `grub-install`: for BIOS where the host had it, for UEFI under its own name, and in any case on the
//! removable path, which firmware tries when it remembers nothing. Boot entries are the affair of [`efi`](super::efi).

use std::path::Path;
use std::time::Duration;

use layout::Guid;
use layout::gpt::{ESP, Partition};
use layout::plan::{Device, Plan, Step};
use manifest::host::{Host, LoaderKind};

use super::{Adaptation, Room};
use crate::apply::TARGET;
use crate::screen::Screen;
use crate::stop::{Code, Result, Stop};

/// An emulated machine takes a minute for what hardware does in seconds.
const LIMIT: Duration = Duration::from_secs(600);
const REASON: &str = "boot loader installed by the restored system's grub-install";

/// Installs every variant that the host had or this machine needs.
///
/// # Errors
/// When one cannot be installed, or none is there at all.
pub fn install(screen: &Screen, room: &Room, host: &Host, plan: &Plan, done: &mut Adaptation) -> Result<()> {
    let had = |kind| host.boot.loaders.iter().any(|loader| loader.kind == kind);
    let modules = |platform: &str| Path::new(TARGET).join("usr/lib/grub").join(platform).is_dir();
    if !room.has("grub-install") {
        return Err(Stop::new(
            Code::Failed,
            "the restored system has no grub-install, and this version installs no other boot loader",
            "The files are restored. Open a shell and install the boot loader by hand.",
        ));
    }
    let boot_disks = || plan.disks.iter().filter(|disk| disk.starts_by_bios());
    if (had(LoaderKind::GrubI386Pc) || boot_disks().next().is_some()) && modules("i386-pc") {
        for disk in boot_disks() {
            run(screen, room.command("grub-install").args(["--target=i386-pc", "--recheck"]).arg(&disk.target.path))?;
            done.loaders.push(format!("i386-pc on {}", disk.target.path));
        }
    }
    if let Some(esp) = esp_path(plan)
        && modules("x86_64-efi")
    {
        install_efi(screen, room, host, esp, done)?;
    }
    if done.loaders.is_empty() {
        return Err(Stop::new(
            Code::Failed,
            "no boot loader could be installed: neither a BIOS boot partition, the gap behind a DOS table (on disks with sectors of 512 bytes), nor a \
             mounted ESP fits the GRUB variants of the restored system",
            "The files are restored. Open a shell and install the boot loader by hand.",
        ));
    }
    done.place("/boot/grub/", REASON);
    Ok(())
}

fn install_efi(screen: &Screen, room: &Room, host: &Host, esp: &str, done: &mut Adaptation) -> Result<()> {
    let directory = format!("--efi-directory={esp}");
    let base = || room.command("grub-install").args(["--target=x86_64-efi", &directory, "--recheck", "--no-nvram"]);
    let named = match host_label(host) {
        Some(label) => base().arg(format!("--bootloader-id={label}")),
        None => base(),
    };
    run(screen, named)?;
    run(screen, base().arg("--removable"))?;
    done.place(&format!("{}/", esp.trim_end_matches('/')), REASON);
    done.loaders.push(format!("x86_64-efi in {esp}, and on the removable path"));
    Ok(())
}

/// The file that firmware starts, as a path on the ESP with backslashes, and its entry's label: shim where it is there, else GRUB.
pub fn entry_file(host: &Host, esp: &Path) -> Option<(String, String)> {
    let folders = std::fs::read_dir(esp.join("EFI")).into_iter().flatten().flatten();
    let names: Vec<String> = folders.filter_map(|folder| folder.file_name().into_string().ok()).collect();
    let label = host_label(host).or_else(|| {
        let has_grub = |name: &&String| esp.join("EFI").join(name).join("grubx64.efi").is_file();
        names.iter().filter(|name| !name.eq_ignore_ascii_case("BOOT")).find(has_grub).cloned()
    })?;
    let file =
        ["shimx64.efi", "grubx64.efi"].into_iter().find(|file| esp.join("EFI").join(&label).join(file).is_file())?;
    Some((format!("\\EFI\\{label}\\{file}"), label))
}

/// The folder name that the host's GRUB had on its ESP (`EFI/debian/grubx64.efi`), which is also its entry's label. None: `grub-install`
/// takes the distribution's.
fn host_label(host: &Host) -> Option<String> {
    // Behind shim GRUB lies on the removable path, too: that folder is no name.
    let grubs = host.boot.loaders.iter().filter(|loader| loader.kind == LoaderKind::GrubX8664Efi);
    grubs.filter_map(|grub| vendor_folder(&grub.path)).find(|folder| !folder.eq_ignore_ascii_case("BOOT"))
}

/// The `debian` of `EFI/debian/grubx64.efi`.
fn vendor_folder(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let mut parts = path.split('/').rev();
    parts.next()?;
    let folder = parts.next()?;
    parts.next()?.eq_ignore_ascii_case("EFI").then(|| folder.to_owned())
}

/// Where the ESP is mounted in the restored system.
pub fn esp_path(plan: &Plan) -> Option<&str> {
    esp_paths(plan).next()
}

/// Where all of them are mounted, where there are several.
pub fn esp_paths(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.after.iter().filter_map(|step| match step {
        Step::Mount { path, device, .. } => is_esp(plan, device).then_some(path.as_str()),
        _ => None,
    })
}

/// Each ESP that is a partition, with where it is mounted.
pub fn esp_guids(plan: &Plan) -> impl Iterator<Item = (&str, Guid)> {
    plan.after.iter().filter_map(|step| match step {
        Step::Mount { path, device, .. } if is_esp(plan, device) => {
            Some((path.as_str(), partition(plan, device)?.guid.clone()))
        }
        _ => None,
    })
}

/// The partitions that the ESP consists of: itself, or the members of the array that it is. The machine can be started from each.
pub fn esp_partitions(plan: &Plan) -> Vec<Guid> {
    let esp = plan.after.iter().find_map(|step| match step {
        Step::Mount { device, .. } if is_esp(plan, device) => Some(device),
        _ => None,
    });
    let members = plan.after.iter().filter_map(|step| match (step, esp) {
        (Step::MakeArray { array, members }, Some(Device::Made { path })) if array.path() == *path => Some(members),
        _ => None,
    });
    let parts = members.flatten().flatten().chain(esp);
    parts.filter_map(|device| Some(partition(plan, device)?.guid.clone())).collect()
}

fn partition<'a>(plan: &'a Plan, device: &Device) -> Option<&'a Partition> {
    let Device::Partition { disk, number } = device else { return None };
    let planned = plan.disks.iter().find(|planned| planned.target.path == *disk)?;
    planned.table.partitions.iter().map(|part| &part.entry).find(|entry| entry.number == *number)
}

/// Whether a device is a partition of ESP type, or an array of such.
fn is_esp(plan: &Plan, device: &Device) -> bool {
    if let Device::Made { path } = device {
        // An array is made last where its members are ESPs.
        let made = |step: &Step| matches!(step, Step::MakeArray { array, .. } if array.path() == *path);
        return plan.after.iter().any(made);
    }
    partition(plan, device).is_some_and(|entry| entry.type_guid.as_str() == ESP)
}

fn run(screen: &Screen, command: exec::Command) -> Result<()> {
    screen.say(&format!("  {command}"));
    let ran = command.limit(LIMIT).run();
    ran.map(drop).map_err(|error| {
        Stop::new(
            Code::Failed,
            error.to_string(),
            "The files are restored and the boot loader is not. Open a shell, or start the restore again.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::vendor_folder;

    #[test]
    fn a_loader_is_called_by_its_folder_on_the_esp() {
        assert_eq!(vendor_folder("/boot/efi/EFI/proxmox/grubx64.efi").as_deref(), Some("proxmox"));
        assert_eq!(vendor_folder("/efi/efi/BOOT/grubx64.efi").as_deref(), Some("BOOT"));
        assert_eq!(vendor_folder("/boot/grub/x86_64-efi/core.efi"), None);
    }

    #[test]
    fn modules_are_looked_for_in_the_target_and_nowhere_else() {
        // An absolute path in `join` would replace the target root.
        assert!(!std::path::Path::new("usr/lib/grub").is_absolute());
    }
}
