//! Sticks: making one on a device or in a file, and refreshing its boot slot. Knows nothing of what is captured.
//!
//! [`Target::clear`] decides what may be overwritten. [`prepare`] collects everything that goes on the stick, so that nearly all that can fail
//! fails before the first write. [`Prepared::write`] writes table, ESP and data partition, and the boot code last; [`check`] reads all of it back.
//! [`refresh_if_due`] writes the boot slot that is not in use and switches to it: a cut at any moment leaves a stick that boots.

#[cfg(test)]
mod cut;
mod data;
mod esp;
mod grub;
mod guard;
mod keyboard;
mod long_names;
mod mend;
mod parts;
mod slice;
mod slot;
mod system;
mod table;

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use exec::Command;
use initramfs::Compression;
use layout::Guid;
use manifest::{BootFile, Serial, Signer, SlotName};
use vault::Vault;

use self::grub::Grub;
pub use self::grub::{INSTALL_SIGNED, signed_chain};
pub use self::guard::{Claims, Target};
pub use self::parts::{Parts, look, parts};
pub use self::slot::Owner;
use self::slot::{Slots, boot_file};
pub use self::system::{REQUIRED as REQUIRED_TOOLS, has_tool};
use self::system::{Sources, System};
pub use self::table::DATA_NUMBER;
use self::table::{Place, Places};
use crate::commands::Context;
use crate::medium::Stick;

/// Where the parts of a stick that was made earlier lie.
#[derive(Clone, Debug)]
pub struct Located {
    /// Its disk GUID.
    pub guid: Guid,
    /// Size of the whole medium in bytes.
    pub size: u64,
    /// The data partition.
    pub data: Place,
}

/// Recognises a stick by its partition table; none for anything else.
///
/// # Errors
/// When the file or device cannot be read.
pub fn locate(path: &Path) -> anyhow::Result<Option<Located>> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let size = file.seek(SeekFrom::End(0)).with_context(|| format!("reading {}", path.display()))?;
    Ok(table::guid_of(&file, size).map(|guid| Located { guid, size, data: Places::on(size).data }))
}

/// A new random GUID.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn new_guid() -> anyhow::Result<Guid> {
    let text =
        std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("asking the kernel for a random UUID")?;
    Ok(Guid::new(text.trim())?)
}

/// Everything that goes on a new stick, except the data.
pub struct Prepared {
    system: System,
    compressed: Vec<u8>,
    grub: Grub,
    esp_serial: u32,
    places: Places,
    /// A table of sizes, for people.
    pub sizes: String,
    /// What a person should know, and mend.
    pub notes: Vec<String>,
    /// What the stick cannot do on every machine. Many hosts need no more.
    hint: Option<String>,
}

/// Collects what goes on a stick of `size` bytes. Writes nothing.
///
/// # Errors
/// When something is missing; the error names the package to install.
pub fn prepare(
    root: &Path,
    rescue: &Path,
    compression: Compression,
    size: u64,
    guid: &Guid,
) -> anyhow::Result<Prepared> {
    let places = Places::on(size);
    // The first half of the stick's own GUID serves as the ESP's serial number: as unlikely to meet again.
    let esp_serial = u32::from_str_radix(&guid.as_str()[..8], 16).context("the stick's GUID")?;
    let grub = grub::build(root, esp_serial, places.bios)?;
    let system = System::collect(&Sources { root, rescue })?;
    let (compressed, sizes) = system.compress(compression)?;
    let notes = [grub.warnings.clone(), system.notes.clone()].concat();
    let hint = || format!("firmware that enforces Secure Boot refuses this stick: {INSTALL_SIGNED}");
    let hint = (!grub.signed && !grub.efi.is_empty()).then(hint);
    Ok(Prepared { system, compressed, grub, esp_serial, places, sizes, notes, hint })
}

impl Prepared {
    /// Release of the kernel that the stick carries.
    pub fn kernel(&self) -> &str {
        &self.system.release
    }

    /// All that there is to say, each in a line.
    pub fn words(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().chain(&self.hint)
    }

    /// Writes the stick; `staging` is what the data partition holds. The boot code comes last.
    ///
    /// # Errors
    /// When the medium cannot be written; it is then no stick, and says so by not booting.
    pub fn write(&self, target: &Target, owner: &Owner, staging: &Path) -> anyhow::Result<()> {
        let file = &target.file;
        erase_edges(file, target.size).context("clearing what was there")?;
        table::write(file, target.size, owner.stick, None)?;
        tell_kernel(target)?;
        data::make(target, self.places.data, staging)?;
        let slots = Slots::at(file, self.places.esp);
        slots.format(self.esp_serial, &self.grub.menu)?;
        let grub = self.grub.menu.iter().chain(&self.grub.efi);
        let common: Vec<BootFile> = grub.map(|(path, content)| boot_file(path.clone(), content)).collect();
        for slot in [SlotName::A, SlotName::B] {
            slots.write(slot, &self.system, &self.compressed, owner, &common)?;
        }
        slots.put(&self.grub.efi)?;
        if let Some(bios) = &self.grub.bios {
            file.write_all_at(&bios.core, self.places.bios.start).context("writing GRUB's core image")?;
            file.sync_all().context("writing out")?;
            table::write(file, target.size, owner.stick, Some(&bios.boot_code))?;
        }
        file.sync_all().with_context(|| format!("writing everything out to {}", target.name))
    }

    /// Reads everything but the data back from the medium and compares.
    ///
    /// # Errors
    /// When the medium gives back something else than was written.
    pub fn check(&self, target: &Target, owner: &Owner) -> anyhow::Result<()> {
        // What is read next comes from the medium and not from memory.
        if let Ok(file) = target.file.try_clone() {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
        if target.is_device {
            Command::new(exec::find("blockdev").context("blockdev is missing: install util-linux")?)
                .arg("--flushbufs")
                .arg(&target.path)
                .run()
                .context("dropping the device's buffers")?;
        }
        table::check(&target.file, target.size, owner.stick)?;
        if let Some(bios) = &self.grub.bios {
            let mut core = vec![0; bios.core.len()];
            target.file.read_exact_at(&mut core, self.places.bios.start).context("reading GRUB's core image back")?;
            anyhow::ensure!(core == bios.core, "GRUB's core image reads back as something else: the medium is failing");
        }
        let slots = Slots::at(&target.file, self.places.esp);
        slots.check(SlotName::A, owner.signers)?;
        slots.check(SlotName::B, owner.signers)?;
        Ok(())
    }
}

/// Overwrites what tables and filesystem signatures would be found by: the first MiBs and the last.
fn erase_edges(file: &File, size: u64) -> std::io::Result<()> {
    let zeroes = vec![0; 1 << 20];
    for at in [0, 1 << 20, 2 << 20, size - (1 << 20)] {
        file.write_all_at(&zeroes, at)?;
    }
    file.sync_all()
}

fn tell_kernel(target: &Target) -> anyhow::Result<()> {
    if !target.is_device {
        return Ok(());
    }
    Command::new(exec::find("blockdev").context("blockdev is missing: install util-linux")?)
        .arg("--rereadpt")
        .arg(&target.path)
        .run()
        .with_context(|| format!("making the kernel read the new table of {}", target.name))?;
    Ok(())
}

/// What a refresh did.
pub struct Refresh {
    /// A slot was written.
    pub done: bool,
    /// The files that the stick boots with now.
    pub boot_files: Vec<BootFile>,
}

/// Writes the other boot slot and switches to it if kernel, tools or rescue are no longer those of the slot in use.
///
/// # Errors
/// When the slot in use is not what this host signed, or the medium cannot be written; the slot in use stays as it is.
pub fn refresh_if_due(
    context: &Context,
    stick: &Stick,
    vault: &Vault,
    rescue: Option<&Path>,
) -> anyhow::Result<Refresh> {
    let key = context.state.host_key()?;
    let trusted = context.state.trusted()?;
    let file = OpenOptions::new().read(true).write(true).open(stick.target());
    let file = file.with_context(|| format!("opening {}", stick.target().display()))?;
    let slots = Slots::at(&file, Places::on(stick.size()).esp);
    let active = slots.active()?;
    // Every file, and before anything is written: what is signed below was verified here or built here.
    let current = slots.check(active, &trusted).with_context(|| format!("boot slot {active} of the stick"))?;
    anyhow::ensure!(
        current.slot == active && current.stick == *stick.guid(),
        "boot slot {active} is that of another stick"
    );
    let rescue = rescue_program(rescue)?;
    let system = System::collect(&Sources { root: Path::new("/"), rescue: &rescue })?;
    let host_name = context.config.host_name()?;
    let newest = vault.serials(host_name.as_str())?.into_iter().max().unwrap_or(0);
    let owner = Owner {
        stick: stick.guid(),
        vault: &vault.id().parse()?,
        host_name: &host_name,
        key: &key,
        signers: &trusted,
        newest: Serial(newest),
    };
    if current.inputs == owner.inputs(&system)? {
        return Ok(Refresh { done: false, boot_files: current.files.clone() });
    }
    let own = format!("lifeboat/{active}/");
    let common: Vec<BootFile> = current.files.iter().filter(|file| !file.path.starts_with(&own)).cloned().collect();
    let (compressed, _) = system.compress(compression(context, None))?;
    let written = slots.write(active.other(), &system, &compressed, &owner, &common)?;
    slots.check(active.other(), &trusted)?;
    slots.switch_to(active.other())?;
    Ok(Refresh { done: true, boot_files: written.files })
}

/// How the initramfs is compressed: as asked, else as configured, else small.
pub fn compression(context: &Context, asked: Option<crate::cli::Compression>) -> Compression {
    use crate::cli::Compression as Asked;
    match asked {
        Some(Asked::Zstd) => Compression::Zstd,
        Some(Asked::Xz) => Compression::Xz,
        None if context.config.compress.as_deref() == Some("zstd") => Compression::Zstd,
        None => Compression::Xz,
    }
}

/// The rescue program: the one named, the one beside this program, or the installed one.
///
/// # Errors
/// When there is none.
pub fn rescue_program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("lifeboat-rescue"));
    let places = beside.into_iter().chain([PathBuf::from("/usr/lib/lifeboat/lifeboat-rescue")]);
    places.into_iter().find(|path| path.is_file()).context(
        "the rescue program lifeboat-rescue is neither beside lifeboat nor in /usr/lib/lifeboat: name it with --rescue",
    )
}

/// The files that the new stick boots with, as the slot in use describes them.
///
/// # Errors
/// When the slot cannot be read or is refused.
pub fn boot_files(target: &Target, trusted: &[Signer]) -> anyhow::Result<Vec<BootFile>> {
    let slots = Slots::at(&target.file, Places::on(target.size).esp);
    Ok(slots.check(slots.active()?, trusted)?.files.clone())
}
