//! The boot chain: firmware, installed boot loaders, boot entries, kernel and modules.

use layout::gpt::ESP;
use layout::{Kind, Layout};
use manifest::host::{BootChain, Firmware, Gap, Kernel, Loader, LoaderKind};

use super::source::Source;
use super::{efi, gap};

/// Programs on an ESP that are no loaders of their own: key management, fallback, firmware updates, GRUB behind shim.
const HELPERS: &[&str] = &["mmx64.efi", "fbx64.efi", "fwupdx64.efi"];

/// Reads the boot chain of the running system.
pub(super) fn chain(source: &Source, layout: &Layout, gaps: &mut Vec<Gap>) -> BootChain {
    let uefi = source.exists("/sys/firmware/efi");
    let efi = if uefi { efi::boot(source) } else { None };
    if uefi && efi.is_none() {
        gaps.push(gap("EFI boot entries", "/sys/firmware/efi/efivars is empty or not mounted"));
    }
    let mut loaders = grub(source);
    for esp in esp_mounts(layout) {
        loaders.extend(on_esp(source, &esp));
    }
    loaders.sort_by(|one, other| (one.kind, &one.path).cmp(&(other.kind, &other.path)));
    if loaders.is_empty() {
        gaps.push(gap("boot loader", "none was found in /boot and on the ESPs"));
    }
    BootChain {
        firmware: if uefi { Firmware::Uefi } else { Firmware::Bios },
        secure_boot: if uefi { efi::secure_boot(source) } else { None },
        loaders,
        efi,
        command_line: source.text("/proc/cmdline").unwrap_or_default(),
        kernel: kernel(source, gaps),
        modules: modules(&source.text("/proc/modules").unwrap_or_default()),
    }
}

/// GRUB's core images, which `grub-install` leaves for each platform that it was run for.
fn grub(source: &Source) -> Vec<Loader> {
    let cores = [
        (LoaderKind::GrubI386Pc, "i386-pc/core.img"),
        (LoaderKind::GrubX8664Efi, "x86_64-efi/core.efi"),
        (LoaderKind::GrubX8664Efi, "x86_64-efi/grub.efi"),
    ];
    let files = ["/boot/grub", "/boot/grub2"].into_iter().flat_map(|folder| {
        cores.iter().map(move |(kind, file)| Loader { kind: *kind, path: format!("{folder}/{file}") })
    });
    files.filter(|loader| source.exists(&loader.path)).collect()
}

/// Where FAT filesystems on partitions of ESP type are mounted.
fn esp_mounts(layout: &Layout) -> Vec<String> {
    let is_esp = |mount: &&layout::Mount| {
        let node = layout.node(&mount.node).filter(|node| matches!(node.kind, Kind::Vfat(_)));
        // Not always on the partition itself: an ESP may be an array.
        let below = node.into_iter().flat_map(|node| layout.below(&node.id));
        below
            .into_iter()
            .any(|parent| matches!(&parent.kind, Kind::Partition(partition) if partition.type_guid.as_str() == ESP))
    };
    layout.mounts.iter().filter(is_esp).map(|mount| mount.path.clone()).collect()
}

fn on_esp(source: &Source, mount: &str) -> Vec<Loader> {
    let mut loaders = Vec::new();
    // FAT keeps the case that was written and ignores it.
    let efi = source.names(mount).into_iter().find(|name| name.eq_ignore_ascii_case("efi"));
    let Some(efi) = efi.map(|name| format!("{}/{name}", mount.trim_end_matches('/'))) else { return loaders };
    for vendor in source.names(&efi) {
        for file in source.names(format!("{efi}/{vendor}")) {
            let name = file.to_ascii_lowercase();
            if !name.ends_with(".efi") || HELPERS.contains(&name.as_str()) {
                continue;
            }
            let kind = match (vendor.to_ascii_lowercase().as_str(), name.as_str()) {
                ("boot", "bootx64.efi") => LoaderKind::RemovablePath,
                (_, "shimx64.efi") => LoaderKind::SignedShim,
                (_, "grubx64.efi") => LoaderKind::GrubX8664Efi,
                (_, "systemd-bootx64.efi") => LoaderKind::SystemdBoot,
                _ => LoaderKind::Other,
            };
            loaders.push(Loader { kind, path: format!("{efi}/{vendor}/{file}") });
        }
    }
    loaders
}

fn kernel(source: &Source, gaps: &mut Vec<Gap>) -> Kernel {
    let (release, version) = if source.is_live() {
        let name = rustix::system::uname();
        (name.release().to_string_lossy().into_owned(), name.version().to_string_lossy().into_owned())
    } else {
        let read = |name: &str| source.text(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        (read("osrelease"), read("version"))
    };
    let first = |names: &[String]| names.iter().find(|path| source.exists(path)).cloned();
    let image = first(&[format!("/boot/vmlinuz-{release}"), format!("/usr/lib/modules/{release}/vmlinuz")]);
    let initrd = first(&[format!("/boot/initrd.img-{release}"), format!("/boot/initramfs-{release}.img")]);
    let mut installed = source.names("/usr/lib/modules");
    installed.extend(source.names("/lib/modules"));
    installed.sort();
    installed.dedup();
    if image.is_none() {
        gaps.push(gap("kernel", format!("/boot holds no image of the running kernel {release}")));
    }
    if !installed.contains(&release) {
        gaps.push(gap("kernel modules", format!("none are installed for the running kernel {release}")));
    }
    Kernel { release, version, image, initrd, installed }
}

fn modules(text: &str) -> Vec<String> {
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_ascii_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names
}
