//! Hosts that several scenarios restore: each is made, captured and lost once.

use crate::host::Layout;

const MIB: u64 = 1 << 20;

/// The host of `scripts/hosts/secure`: shim, signed GRUB and kernel. Captured under Secure Boot, its stick carries the same chain.
pub const SECURE: Layout = Layout {
    name: "secure",
    disks: &[("LBHOSTA", 1700 * MIB)],
    uefi: true,
    orders: &["--disk LBSECURE=LBHOSTA", "--disk LBENTRIES=LBHOSTA", "--disk LB4KN=LBHOSTA"],
    ..Layout::USUAL
};

/// Asked of it before the capture: `SecureBoot enabled`, or not.
pub const SECURE_STATE: &str = "mokutil --sb-state";

/// The host of `scripts/hosts/systemd-boot`: kernel and initramfs on the ESP, drivers for virtio disks in it.
pub const SYSTEMD_BOOT: Layout = Layout {
    name: "systemd-boot",
    disks: &[("LBHOSTA", 1400 * MIB)],
    uefi: true,
    orders: &["--disk LBSYSTEMD=LBHOSTA", "--disk LBDRIVER=LBHOSTA", "--disk LBSTUB=LBHOSTA"],
    ..Layout::USUAL
};

/// Done in it before the capture: it gets its boot entry, and loses the removable path.
pub const SYSTEMD_BOOT_ENTRY: &str =
    "set -e; if command -v grub-install; then exit 1; fi; bootctl install; rm -r /boot/efi/EFI/BOOT; efibootmgr";

/// The host of `scripts/hosts/lvm`, as Proxmox VE starts: by UEFI, with GRUB for BIOS beside it.
pub const LVM: Layout = Layout {
    name: "lvm",
    disks: &[("LBHOSTA", 2048 * MIB), ("LBHOSTB", 1280 * MIB)],
    uefi: true,
    orders: &["--disk LBNEWA=LBHOSTA --disk LBNEWB=LBHOSTB"],
    ..Layout::USUAL
};

impl Layout {
    /// Bytes of its first disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.disks[0].1
    }
}
