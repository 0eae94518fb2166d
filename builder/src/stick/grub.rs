//! GRUB for both firmwares, from the host's own packages and without GRUB's installer.
//!
//! BIOS: `boot.img` in the MBR points to a core image in the BIOS boot partition; the fields that say where are GRUB's own
//! (boot/i386/pc/boot.S, diskboot.S). UEFI: the distribution's signed chain where the host has it, else an image of our own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use exec::Command;

use super::table::{Place, SECTOR};
use crate::exit::{Exit, refusal};

const GRUB_CFG: &str = include_str!("../../../templates/grub/grub.cfg");
const EARLY_CFG: &str = include_str!("../../../templates/grub/early.cfg");
/// What the menu needs. Both images carry it, so that no module is loaded from the stick.
const MODULES: &[&str] = &[
    "part_gpt",
    "part_msdos",
    "fat",
    "ext2",
    "normal",
    "configfile",
    "linux",
    "search",
    "search_fs_uuid",
    "test",
    "serial",
    "terminal",
    "echo",
    "halt",
    "reboot",
    "minicmd",
    "gzio",
    "all_video",
    "gfxterm",
];
/// Where boot.img holds the LBA of the core image, and the jump that must not be taken.
const CORE_LBA: usize = 0x5c;
const BOOT_DRIVE: usize = 0x64;
const DRIVE_CHECK: usize = 0x66;
/// Where the core image's first sector says where the rest of it lies: LBA, then a count of sectors.
const REST_LBA: usize = 0x1f4;
const REST_SECTORS: usize = 0x1fc;

/// A file for the ESP: its path there and its content.
pub type EspFile = (String, Vec<u8>);

/// GRUB for one stick.
pub struct Grub {
    /// Boot code and core image for BIOS, where the host has GRUB for it.
    pub bios: Option<Bios>,
    /// The menu.
    pub menu: Vec<EspFile>,
    /// What UEFI firmware starts.
    pub efi: Vec<EspFile>,
    /// What is missing, for people.
    pub warnings: Vec<String>,
    /// Whether firmware that enforces Secure Boot starts it.
    pub signed: bool,
}

/// GRUB for BIOS.
pub struct Bios {
    /// The first 440 bytes of LBA 0.
    pub boot_code: [u8; 440],
    /// The core image, whole sectors.
    pub core: Vec<u8>,
}

/// Builds GRUB from the packages below `root` for an ESP with this volume serial number.
///
/// # Errors
/// When there is GRUB for neither firmware (exit 1), or it cannot be built.
pub fn build(root: &Path, esp_serial: u32, bios_place: Place) -> anyhow::Result<Grub> {
    let esp = format!("{:04X}-{:04X}", esp_serial >> 16, esp_serial & 0xffff);
    let mut grub = Grub { bios: None, menu: Vec::new(), efi: Vec::new(), warnings: Vec::new(), signed: false };
    grub.menu.push(("boot/grub/grub.cfg".into(), GRUB_CFG.replace("@ESP@", &esp).into_bytes()));
    let work = tempfile::tempdir().context("making a temporary folder")?;
    let early = work.path().join("early.cfg");
    std::fs::write(&early, EARLY_CFG.replace("@ESP@", &esp)).context("writing GRUB's early configuration")?;
    let maker = Maker { root, work: work.path(), early: &early };
    match signed_chain(root)? {
        Some(chain) => {
            grub.efi.extend(chain);
            grub.signed = true;
        }
        None => match maker.image("x86_64-efi", "grub-efi-amd64-bin")? {
            Ok(image) => grub.efi.push(("EFI/BOOT/BOOTX64.EFI".into(), image)),
            Err(warning) => grub.warnings.push(warning),
        },
    }
    match maker.bios(bios_place)? {
        Ok(bios) => grub.bios = Some(bios),
        Err(warning) => grub.warnings.push(warning),
    }
    if grub.warnings.len() == 2 {
        let message = format!(
            "{} holds GRUB for no firmware: install grub-pc-bin and grub-efi-amd64-bin (sticks are made on Debian and its relatives); nothing was \
             changed",
            root.display()
        );
        return Err(refusal(Exit::Failed, message));
    }
    Ok(grub)
}

/// What to do where the chain is not there.
pub const INSTALL_SIGNED: &str = "install shim-signed and grub-efi-amd64-signed, then make the stick anew";

/// Where a distribution has shim, signed GRUB and MokManager, the name that firmware and shim look for, and whether a stick starts only with it. Ubuntu's
/// MokManager has another name than Debian's.
const CHAIN: &[(&[&str], &str, bool)] = &[
    (&["usr/lib/shim/shimx64.efi.signed"], "EFI/BOOT/BOOTX64.EFI", true),
    (&["usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"], "EFI/BOOT/grubx64.efi", true),
    (&["usr/lib/shim/mmx64.efi.signed", "usr/lib/shim/mmx64.efi"], "EFI/BOOT/mmx64.efi", false),
];

/// The distribution's shim, signed GRUB and MokManager, under the names that firmware and shim look for; none where one is missing without which a
/// stick does not start.
///
/// # Errors
/// When one cannot be read.
pub fn signed_chain(root: &Path) -> anyhow::Result<Option<Vec<EspFile>>> {
    let mut files = Vec::new();
    for (sources, place, is_needed) in CHAIN {
        match sources.iter().map(|source| root.join(source)).find(|source| source.is_file()) {
            Some(source) => files.push(((*place).to_owned(), read(&source)?)),
            None if *is_needed => return Ok(None),
            None => {}
        }
    }
    Ok(Some(files))
}

struct Maker<'a> {
    root: &'a Path,
    work: &'a Path,
    early: &'a Path,
}

impl Maker<'_> {
    fn folder(&self, platform: &str) -> PathBuf {
        self.root.join("usr/lib/grub").join(platform)
    }

    /// An image with everything in it, or a warning that names the package to install.
    fn image(&self, platform: &str, package: &str) -> anyhow::Result<Result<Vec<u8>, String>> {
        let folder = self.folder(platform);
        if !folder.join("normal.mod").is_file() {
            let firmware = if platform == "i386-pc" { "BIOS" } else { "UEFI" };
            return Ok(Err(format!("the stick does not boot under {firmware}: install {package} and make it anew")));
        }
        let Some(program) = exec::find("grub-mkimage") else {
            return Ok(Err(format!("grub-mkimage is missing: install grub-common and {package}")));
        };
        let disk: &[&str] = if platform == "i386-pc" { &["biosdisk"] } else { &["efi_gop"] };
        let output = self.work.join(platform);
        Command::new(program)
            .args(["-O", platform, "-p", "/boot/grub", "-d"])
            .arg(&folder)
            .arg("-c")
            .arg(self.early)
            .arg("-o")
            .arg(&output)
            .args(disk)
            .args(MODULES)
            .run()
            .with_context(|| format!("building GRUB for {platform}"))?;
        Ok(Ok(read(&output)?))
    }

    fn bios(&self, place: Place) -> anyhow::Result<Result<Bios, String>> {
        let core = match self.image("i386-pc", "grub-pc-bin")? {
            Ok(core) => core,
            Err(warning) => return Ok(Err(warning)),
        };
        let boot = read(&self.folder("i386-pc").join("boot.img"))?;
        embed(&boot, core, place).map(Ok)
    }
}

/// Ties boot code and core image to the place where the core image will lie.
fn embed(boot: &[u8], mut core: Vec<u8>, place: Place) -> anyhow::Result<Bios> {
    let sector = usize::try_from(SECTOR)?;
    core.resize(core.len().next_multiple_of(sector), 0);
    anyhow::ensure!(core.len() as u64 <= place.len, "GRUB's core image of {} bytes does not fit", core.len());
    anyhow::ensure!(core.len() > sector && boot.len() >= 440, "GRUB's images are too short to be what they should be");
    let lba = place.start / SECTOR;
    let rest = u16::try_from(core.len() / sector - 1).context("GRUB's core image is too large")?;
    core[REST_LBA..REST_LBA + 8].copy_from_slice(&(lba + 1).to_le_bytes());
    core[REST_SECTORS..REST_SECTORS + 2].copy_from_slice(&rest.to_le_bytes());
    let mut boot_code = [0; 440];
    boot_code.copy_from_slice(&boot[..440]);
    boot_code[CORE_LBA..CORE_LBA + 8].copy_from_slice(&lba.to_le_bytes());
    boot_code[BOOT_DRIVE] = 0xff;
    boot_code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(Bios { boot_code, core })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}
