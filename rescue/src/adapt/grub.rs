//! GRUB, by the restored system's own `grub-install`: for BIOS where the host had it, for UEFI with a boot entry where this machine
//! runs UEFI, and in any case on the removable path, which firmware tries when it remembers nothing.

use std::path::Path;
use std::time::Duration;

use layout::Guid;
use layout::gpt::{BIOS_BOOT, ESP};
use layout::plan::{Device, Plan, Step};
use manifest::host::{Host, LoaderKind};

use super::{Adaptation, Room, efi};
use crate::apply::TARGET;
use crate::kernel;
use crate::screen::Screen;
use crate::stop::{Code, DiskState, Result, Stop};

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
    DiskState::Bootable.set();
    let boot_disks = || {
        plan.disks.iter().filter(|disk| disk.table.partitions.iter().any(|p| p.entry.type_guid.as_str() == BIOS_BOOT))
    };
    if (had(LoaderKind::GrubI386Pc) || boot_disks().next().is_some()) && modules("i386-pc") {
        for disk in boot_disks() {
            run(screen, room.command("grub-install").args(["--target=i386-pc", "--recheck"]).arg(&disk.target.path))?;
            done.loaders.push(format!("i386-pc on {}", disk.target.path));
        }
    }
    if let Some(esp) = esp_path(plan)
        && modules("x86_64-efi")
    {
        install_efi(screen, room, host, plan, esp, done)?;
    }
    if done.loaders.is_empty() {
        return Err(Stop::new(
            Code::Failed,
            "no boot loader could be installed: neither a BIOS boot partition nor a mounted ESP fits the GRUB variants of the \
             restored system",
            "The files are restored. Open a shell and install the boot loader by hand.",
        ));
    }
    done.place("/boot/grub/", REASON);
    Ok(())
}

fn install_efi(screen: &Screen, room: &Room, host: &Host, plan: &Plan, esp: &str, done: &mut Adaptation) -> Result<()> {
    let directory = format!("--efi-directory={esp}");
    let base = || room.command("grub-install").args(["--target=x86_64-efi", &directory, "--recheck"]);
    let variables = efi::reachable();
    let label = host_label(host);
    let mut named = base();
    if let Some(label) = &label {
        named = named.arg(format!("--bootloader-id={label}"));
    }
    let members = esp_members(plan);
    // grub-install makes no entry for an array; each of its members gets one below.
    run(screen, if variables && members.is_empty() { named } else { named.arg("--no-nvram") })?;
    run(screen, base().args(["--removable", "--no-nvram"]))?;
    done.place(&format!("{}/", esp.trim_end_matches('/')), REASON);
    done.loaders.push(format!("x86_64-efi in {esp}, and on the removable path"));
    if variables && !members.is_empty() {
        entries(screen, room, esp, label.as_deref(), &members, done);
    }
    if variables {
        let alive: Vec<Guid> = plan
            .disks
            .iter()
            .flat_map(|disk| disk.table.partitions.iter().map(|partition| partition.entry.guid.clone()))
            .collect();
        efi::tidy(&alive, label.as_deref()).into_iter().for_each(|line| done.loaders.push(line));
    } else if kernel::uefi() {
        done.not_adapted.push("UEFI variables cannot be written: the disk starts by the removable path".to_owned());
    }
    Ok(())
}

/// The folder name that the host's GRUB had on its ESP (`EFI/debian/grubx64.efi`), which is also its entry's label. None: `grub-install`
/// takes the distribution's.
fn host_label(host: &Host) -> Option<String> {
    let grub = host.boot.loaders.iter().find(|loader| loader.kind == LoaderKind::GrubX8664Efi)?;
    let path = grub.path.replace('\\', "/");
    let mut parts = path.split('/').rev();
    parts.next()?;
    let folder = parts.next()?;
    let parent = parts.next()?;
    (parent.eq_ignore_ascii_case("EFI") && !folder.eq_ignore_ascii_case("BOOT")).then(|| folder.to_owned())
}

fn esp_path(plan: &Plan) -> Option<&str> {
    plan.after.iter().find_map(|step| match step {
        Step::Mount { path, device, .. } => is_esp(plan, device).then_some(path.as_str()),
        _ => None,
    })
}

/// Makes a boot entry for the ESP on each member of an array: the machine then starts from any of them. The first member's comes first.
fn entries(screen: &Screen, room: &Room, esp: &str, label: Option<&str>, members: &[&Device], done: &mut Adaptation) {
    let label = label.unwrap_or("debian");
    let folder = Path::new(TARGET).join(esp.trim_start_matches('/')).join("EFI").join(label);
    let loader = if folder.join("shimx64.efi").exists() { "shimx64.efi" } else { "grubx64.efi" };
    for device in members.iter().rev() {
        let Device::Partition { disk, number } = device else { continue };
        let loader = format!("\\EFI\\{label}\\{loader}");
        let command = room.command("efibootmgr").args(["--create", "--disk", disk, "--part", &number.to_string()]);
        match run(screen, command.args(["--label", label, "--loader", &loader])) {
            Ok(()) => done.loaders.push(format!("boot entry {label:?} for {}", device.path())),
            Err(error) => done.not_adapted.push(format!("no boot entry for {}: {error}", device.path())),
        }
    }
}

/// The members of the array that the ESP is; none where it is a partition.
fn esp_members(plan: &Plan) -> Vec<&Device> {
    let arrays = plan.after.iter().filter_map(|step| match step {
        Step::MakeArray { members, .. } => Some(members.iter().flatten()),
        _ => None,
    });
    arrays.flatten().filter(|member| is_esp(plan, member)).collect()
}

fn is_esp(plan: &Plan, device: &Device) -> bool {
    if let Device::Made { path } = device {
        // An array is made last where its members are ESPs.
        let made = |step: &Step| matches!(step, Step::MakeArray { array, .. } if array.path() == *path);
        return plan.after.iter().any(made);
    }
    let Device::Partition { disk, number } = device else { return false };
    let mut disks = plan.disks.iter().filter(|planned| planned.target.path == *disk);
    disks.any(|planned| {
        let mut parts = planned.table.partitions.iter();
        parts.any(|part| part.entry.number == *number && part.entry.type_guid.as_str() == ESP)
    })
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
    #[test]
    fn modules_are_looked_for_in_the_target_and_nowhere_else() {
        // An absolute path in `join` would replace the target root.
        assert!(!std::path::Path::new("usr/lib/grub").is_absolute());
    }
}
