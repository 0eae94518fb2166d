//! Hosts that several scenarios restore: each is made, captured and lost once.

use vm::Bus;

use crate::host::Layout;

const MIB: u64 = 1 << 20;

/// The host of `scripts/hosts/secure`: shim, signed GRUB and kernel. Captured under Secure Boot, its stick carries the same chain.
pub const SECURE: Layout = Layout {
    name: "secure",
    disks: &[("LBHOSTA", 1700 * MIB)],
    bus: Bus::Virtio,
    uefi: true,
    tpm: false,
    card: None,
    orders: &[&["LBSECURE=LBHOSTA"], &["LBENTRIES=LBHOSTA"], &["LB4KN=LBHOSTA"]],
};

/// Asked of it before the capture: `SecureBoot enabled`, or not.
pub const SECURE_STATE: &str = "mokutil --sb-state";

/// The host of `scripts/hosts/systemd-boot`: kernel and initramfs on the ESP, drivers for virtio disks in it.
pub const SYSTEMD_BOOT: Layout = Layout {
    name: "systemd-boot",
    disks: &[("LBHOSTA", 1400 * MIB)],
    bus: Bus::Virtio,
    uefi: true,
    tpm: false,
    card: None,
    orders: &[&["LBSYSTEMD=LBHOSTA"], &["LBDRIVER=LBHOSTA"]],
};

/// Done in it before the capture: it gets its boot entry, and loses the removable path.
pub const SYSTEMD_BOOT_ENTRY: &str =
    "set -e; if command -v grub-install; then exit 1; fi; bootctl install; rm -r /boot/efi/EFI/BOOT; efibootmgr";

impl Layout {
    /// Bytes of its first disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.disks[0].1
    }
}
