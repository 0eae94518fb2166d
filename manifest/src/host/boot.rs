//! How a machine starts: firmware, boot loaders, boot entries, kernel.

use std::fmt;

use layout::Guid;
use serde::{Deserialize, Serialize};

/// From the firmware to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootChain {
    /// How the running system was started.
    pub firmware: Firmware,
    /// Whether Secure Boot was enforced; none where the firmware does not say.
    pub secure_boot: Option<bool>,
    /// Boot loaders that are installed, for this firmware or another.
    pub loaders: Vec<Loader>,
    /// The firmware's boot entries; none on BIOS machines.
    pub efi: Option<EfiBoot>,
    /// The running kernel's command line.
    pub command_line: String,
    /// The kernel.
    pub kernel: Kernel,
    /// Kernel modules that were loaded, sorted.
    pub modules: Vec<String>,
}

/// How the running system was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// BIOS, or UEFI in its compatibility mode.
    Bios,
    /// UEFI.
    Uefi,
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

/// An installed boot loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loader {
    /// Which.
    pub kind: LoaderKind,
    /// The file, or the disk, that shows it.
    pub path: String,
}

/// Kinds of boot loaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderKind {
    /// GRUB for BIOS.
    GrubI386Pc,
    /// GRUB for UEFI.
    GrubX8664Efi,
    /// A distribution's signed shim in front of its signed GRUB.
    SignedShim,
    /// The path that firmware tries without an entry, `EFI/BOOT/BOOTX64.EFI`.
    RemovablePath,
    /// systemd-boot.
    SystemdBoot,
    /// A kernel that firmware starts itself: a unified kernel image in `EFI/Linux`.
    Kernel,
    /// Another program on the ESP.
    Other,
}

/// The firmware's boot entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfiBoot {
    /// The entry that started the running system.
    pub current: Option<u16>,
    /// The entry for the next start only.
    pub next: Option<u16>,
    /// Seconds that the firmware waits.
    pub timeout: Option<u16>,
    /// The order in which entries are tried.
    pub order: Vec<u16>,
    /// All entries, by number.
    pub entries: Vec<EfiEntry>,
}

/// One boot entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfiEntry {
    /// The `0001` of `Boot0001`.
    pub number: u16,
    /// The firmware tries it.
    pub active: bool,
    /// What the firmware's menu shows.
    pub label: String,
    /// GUID of the partition that it starts from.
    pub partition: Option<Guid>,
    /// The file on that partition, with backslashes.
    pub file: Option<String>,
    /// The whole variable without its attributes, in hexadecimal digits.
    pub raw: String,
}

/// The kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The running kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Its version, as `uname -v` prints it.
    pub version: String,
    /// Its file, where one of that release is in `/boot`.
    pub image: Option<String>,
    /// Its initramfs, likewise.
    pub initrd: Option<String>,
    /// Releases that have modules installed, sorted.
    pub installed: Vec<String>,
}
