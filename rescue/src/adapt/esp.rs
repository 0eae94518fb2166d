//! Loaders that lie on the ESP as plain files: systemd-boot, unified kernel images, kernels that firmware starts themselves. They came back
//! with the ESP's files; what is left is to see that everything they name is there, and to fill the removable path.

use std::fs;
use std::path::{Path, PathBuf};

use layout::disk::{Disk, Table};
use layout::fstab::FstabEntry;
use manifest::host::{Host, LoaderKind};

use super::Adaptation;
use super::efi::{LoadOption, Place};
use crate::apply::TARGET;
use crate::report::put_back;
use crate::stop::{Code, DiskState, OrStop, Result, Stop};

const REMOVABLE: &str = "EFI/BOOT/BOOTX64.EFI";
const SYSTEMD_BOOT: &str = "EFI/systemd/systemd-bootx64.efi";
const NEXT: &str = "The files are restored. Open a shell and install the boot loader by hand.";

/// Whether the host started by such a loader: it has one, and no GRUB.
pub fn is_meant(host: &Host) -> bool {
    let had = |kinds: &[LoaderKind]| host.boot.loaders.iter().any(|loader| kinds.contains(&loader.kind));
    had(&[LoaderKind::SystemdBoot, LoaderKind::Kernel, LoaderKind::Other])
        && !had(&[LoaderKind::GrubI386Pc, LoaderKind::GrubX8664Efi])
}

/// Checks the ESP that is mounted at `esp` in the restored system; gives the entries that start something.
///
/// # Errors
/// When nothing on it can be started.
pub fn finish(esp: &str, entries: Vec<LoadOption>, done: &mut Adaptation) -> Result<Vec<LoadOption>> {
    let folder = Path::new(TARGET).join(esp.trim_start_matches('/'));
    let (sound, lost): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| {
        let file = entry.file.as_deref().unwrap_or_default().replace('\\', "/");
        folder.join(file.trim_start_matches('/')).is_file()
    });
    for entry in lost {
        let file = entry.file.unwrap_or_default();
        done.not_adapted.push(format!("boot entry {:?}: {file} is not on the restored ESP", entry.label));
    }
    if let Some(made) = fill_removable(&folder)? {
        done.place(&format!("{}/{made}", esp.trim_end_matches('/')), "systemd-boot on the removable path");
    }
    if sound.is_empty() && !folder.join(REMOVABLE).is_file() {
        return Err(Stop::new(Code::Failed, format!("nothing on the restored ESP at {esp} can be started"), NEXT));
    }
    DiskState::Bootable.set();
    done.not_adapted.extend(lacking(&folder, &Path::new(TARGET).join("boot")));
    let removable = if folder.join(REMOVABLE).is_file() { ", and on the removable path" } else { "" };
    done.loaders.push(format!("as recorded, in {esp}{removable}"));
    Ok(sound)
}

/// A word on boot code that the host had beside such a loader: what installed it is not known here.
pub fn check_bios(host: &Host, done: &mut Adaptation) {
    let boots = |disk: &Disk| matches!(&disk.table, Table::Gpt(table) if table.boot_code);
    if host.layout.disks().any(|(_, disk)| boots(disk)) {
        done.not_adapted.push(
            "the host's disks had boot code for BIOS too, which is not installed: it starts by UEFI. On Proxmox VE `proxmox-boot-tool reinit` \
             in the restored system installs it"
                .to_owned(),
        );
    }
}

/// An entry for what lies on the ESP that is mounted at `esp` in the restored system: systemd-boot, else the removable path.
pub fn entry(esp: &str, place: Place) -> Option<LoadOption> {
    let folder = Path::new(TARGET).join(esp.trim_start_matches('/'));
    let (file, label) = [(SYSTEMD_BOOT, "Linux Boot Manager"), (REMOVABLE, "Linux")]
        .into_iter()
        .find(|(file, _)| folder.join(file).is_file())?;
    Some(LoadOption::new(label, place, &format!("\\{}", file.replace('/', "\\")), Vec::new()))
}

/// Puts systemd-boot where firmware looks when it remembers nothing; gives what was made, from the ESP's root. What lies there already
/// came back with the ESP and stays. The folder around it keeps its time.
fn fill_removable(esp: &Path) -> Result<Option<&'static str>> {
    let (from, to) = (esp.join(SYSTEMD_BOOT), esp.join(REMOVABLE));
    if to.is_file() || !from.is_file() {
        return Ok(None);
    }
    let folder = esp.join("EFI/BOOT");
    let (around, made) = if folder.is_dir() { (folder.clone(), REMOVABLE) } else { (esp.join("EFI"), "EFI/BOOT/") };
    let copy = || -> std::io::Result<()> {
        let times = fs::symlink_metadata(&around)?;
        fs::create_dir_all(&folder)?;
        fs::copy(&from, &to)?;
        fs::File::open(&to)?.sync_all()?;
        put_back(&around, &times)
    };
    copy().or_stop(Code::Io, format!("writing {}", to.display()), NEXT)?;
    Ok(Some(made))
}

/// Files that boot entries on the ESP, or on a boot partition of their own, name and that are not there.
fn lacking(esp: &Path, boot: &Path) -> Vec<String> {
    let folders = [esp, boot].map(|root| (root, root.join("loader/entries")));
    let mut lines = Vec::new();
    for (root, folder) in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            lines.extend(faults(&text, root).into_iter().map(|fault| format!("loader/entries/{name}: {fault}")));
        }
    }
    lines
}

/// What is wrong with an entry (Boot Loader Specification, type 1) whose paths count from `root`.
fn faults(text: &str, root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once([' ', '\t']) else { continue };
        let value = value.trim();
        match key {
            "linux" | "initrd" | "efi" if !below(root, value).is_file() => faults.push(format!("{value} is not there")),
            "options" => faults.extend(fragile_root(value)),
            _ => {}
        }
    }
    faults
}

/// A root that is named by order of discovery, which may be another disk on this machine.
fn fragile_root(options: &str) -> Option<String> {
    let spec = options.split_ascii_whitespace().find_map(|word| word.strip_prefix("root="))?;
    let entry = FstabEntry { spec: spec.into(), path: "/".into(), fstype: String::new(), options: String::new() };
    entry.names_kernel_device().then(|| format!("root={spec} may be another device here: name it by UUID"))
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_names_what_is_gone_or_a_name_of_the_kernel_s_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("debian")).unwrap();
        fs::write(root.path().join("debian/linux"), "x").unwrap();
        let text = "title Debian\nlinux /debian/linux\ninitrd /debian/initrd\noptions root=/dev/sda2 ro\n";
        let faults = faults(text, root.path());
        assert_eq!(faults[0], "/debian/initrd is not there");
        assert!(faults[1].contains("/dev/sda2"), "{faults:?}");
        assert!(super::faults("linux /debian/linux\noptions root=UUID=1 ro\n", root.path()).is_empty());
    }

    #[test]
    fn the_removable_path_is_filled_once_and_never_overwritten() {
        let esp = tempfile::tempdir().unwrap();
        assert_eq!(fill_removable(esp.path()).unwrap(), None);
        fs::create_dir_all(esp.path().join("EFI/systemd")).unwrap();
        fs::write(esp.path().join(SYSTEMD_BOOT), "loader").unwrap();
        let time = || fs::metadata(esp.path().join("EFI")).unwrap().modified().unwrap();
        let before = time();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(fill_removable(esp.path()).unwrap(), Some("EFI/BOOT/"));
        assert_eq!(time(), before, "the folder around it is as it was");
        fs::write(esp.path().join(SYSTEMD_BOOT), "newer").unwrap();
        assert_eq!(fill_removable(esp.path()).unwrap(), None);
        assert_eq!(fs::read_to_string(esp.path().join(REMOVABLE)).unwrap(), "loader");
        fs::remove_file(esp.path().join(REMOVABLE)).unwrap();
        assert_eq!(fill_removable(esp.path()).unwrap(), Some(REMOVABLE));
    }
}
