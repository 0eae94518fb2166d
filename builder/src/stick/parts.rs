//! What a stick would be made from, and what one that was made holds: looked at, and nothing written.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use initramfs::Firmware;
use manifest::{BootSlot, Signer, SlotName, Verified};

use super::grub::{self, EspFile};
use super::slot::Slots;
use super::system::{Sources, System};
use super::table::{Places, SMALLEST};

/// What a stick would be made from.
pub struct Parts {
    /// Release of the kernel.
    pub kernel: String,
    /// What a person should know of tools and modules.
    pub notes: Vec<String>,
    /// Firmware that this host's own drivers name.
    pub firmware: Vec<Firmware>,
    /// Firmware, BIOS or UEFI, that would not start the stick, and why.
    pub loaders: Vec<String>,
}

/// Collects what a stick would be made from, and lets it go again.
///
/// # Errors
/// When no stick can be made.
pub fn parts(root: &Path, rescue: Option<&Path>) -> anyhow::Result<Parts> {
    let rescue = super::rescue_program(rescue)?;
    let system = System::collect(&Sources { root, rescue: &rescue })?;
    let loaders = grub::build(root, 0, Places::on(SMALLEST).bios)?.warnings;
    Ok(Parts { kernel: system.release, notes: system.notes, firmware: system.firmware, loaders })
}

/// A stick as it is.
pub struct Look {
    /// The slot that GRUB starts.
    pub active: SlotName,
    /// Both slots, every file checked.
    pub slots: Vec<(SlotName, anyhow::Result<Verified<BootSlot>>)>,
    /// What UEFI firmware starts, by its path.
    pub loaders: Vec<EspFile>,
}

/// Looks at a stick.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn look(path: &Path, trusted: &[Signer]) -> anyhow::Result<Look> {
    let located = super::locate(path)?.context("no Lifeboat stick")?;
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let slots = Slots::at(&file, Places::on(located.size).esp);
    let names = ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi"];
    let loaders = names.iter().filter_map(|name| {
        let content = slots.file(name).ok().flatten()?;
        Some(((*name).to_owned(), content))
    });
    Ok(Look {
        active: slots.active()?,
        slots: [SlotName::A, SlotName::B].map(|slot| (slot, slots.check(slot, trusted))).into_iter().collect(),
        loaders: loaders.collect(),
    })
}
