//! What may be overwritten. A [`Target`] can be made only by passing every check, and only a target is written to.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use layout::Bytes;
use layout::serial::DiskNames;
use rustix::fs::OFlags;

use super::table::{SECTOR, SMALLEST};
use crate::exit::{Exit, refusal};

/// A file or device that may be overwritten as a whole.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// A block device, and not an image file.
    pub is_device: bool,
    /// A file that did not exist before.
    pub is_new: bool,
    /// What it is, for people.
    pub name: String,
    pub(super) file: File,
}

/// What the caller said of the target.
#[derive(Debug)]
pub struct Claims<'a> {
    /// Size of a file that does not exist yet.
    pub size: u64,
    /// A file that holds something may be overwritten.
    pub overwrite: bool,
    /// Serial number of the device.
    pub serial: Option<&'a str>,
    /// The target named a second time.
    pub fixed_disk: Option<&'a Path>,
}

impl Target {
    /// Checks that `path` may be overwritten.
    ///
    /// # Errors
    /// Exit 30 with the reason; nothing was changed.
    pub fn clear(path: &Path, claims: &Claims) -> anyhow::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_block_device() => device(path, claims),
            Ok(metadata) if metadata.is_file() => existing_file(path, metadata.len(), claims),
            Ok(_) => Err(no(format!("{} is neither a block device nor a file", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => new_file(path, claims.size),
            Err(error) => Err(error).with_context(|| format!("looking at {}", path.display())),
        }
    }
}

fn no(message: String) -> anyhow::Error {
    refusal(Exit::Guard, format!("{message}; nothing was changed"))
}

fn large_enough(path: &Path, size: u64) -> anyhow::Result<()> {
    if size >= SMALLEST {
        return Ok(());
    }
    Err(no(format!("{} has {}, and a stick needs {} at the least", path.display(), Bytes(size), Bytes(SMALLEST))))
}

fn new_file(path: &Path, size: u64) -> anyhow::Result<Target> {
    // A path below /dev that does not exist is a device that is not plugged in, not a file to be made.
    if path.starts_with("/dev") {
        return Err(refusal(Exit::NoVault, format!("{} does not exist; is the stick plugged in?", path.display())));
    }
    let size = size / SECTOR * SECTOR;
    large_enough(path, size)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("making {}", path.display()))?;
    file.set_len(size).with_context(|| format!("making {}", path.display()))?;
    Ok(Target {
        path: path.to_owned(),
        size,
        is_device: false,
        is_new: true,
        name: format!("{}, a new file", path.display()),
        file,
    })
}

fn existing_file(path: &Path, found: u64, claims: &Claims) -> anyhow::Result<Target> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let size = if found == 0 { claims.size } else { found } / SECTOR * SECTOR;
    large_enough(path, size)?;
    if found > 0 && !claims.overwrite && !is_blank(&file, found)? {
        return Err(no(format!("{} holds something; give --overwrite if it may be lost", path.display())));
    }
    file.set_len(size).with_context(|| format!("sizing {}", path.display()))?;
    Ok(Target { path: path.to_owned(), size, is_device: false, is_new: false, name: path.display().to_string(), file })
}

/// Whether the first MiB, where tables and filesystems begin, and the last are empty.
fn is_blank(file: &File, size: u64) -> anyhow::Result<bool> {
    let mut edge = vec![0; usize::try_from(size.min(1 << 20))?];
    for at in [0, size - edge.len() as u64] {
        file.read_exact_at(&mut edge, at).context("reading what the file holds")?;
        if edge.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn device(path: &Path, claims: &Claims) -> anyhow::Result<Target> {
    let node = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
    let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sys = Path::new("/sys/class/block").join(&name);
    if sys.join("partition").exists() {
        return Err(no(format!("{} is a partition; a stick is a whole disk", path.display())));
    }
    unused(path, &sys)?;
    meant(path, &sys, claims)?;
    // O_EXCL on a block device fails while the kernel or anybody else uses it: the last word on "unmounted".
    let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
    let claimed = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(&node);
    drop(claimed.map_err(|error| no(format!("{} is in use: {error}", path.display())))?);
    let file = OpenOptions::new().read(true).write(true).open(&node);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let size = attribute(&sys, "size").parse::<u64>().unwrap_or(0) * 512;
    large_enough(path, size)?;
    let sector = attribute(&sys, "queue/logical_block_size");
    if sector != SECTOR.to_string() {
        return Err(no(format!("{} has sectors of {sector} bytes; sticks of {SECTOR} only", path.display())));
    }
    let model = attribute(&sys, "device/model");
    let name = format!("{} ({model}, serial {}, {})", node.display(), serial(&sys).unwrap_or_default(), Bytes(size));
    Ok(Target { path: node, size, is_device: true, is_new: false, name, file })
}

/// Refuses a disk that carries anything in use: mounts, swap, or another device on top (LVM, RAID, LUKS).
fn unused(path: &Path, sys: &Path) -> anyhow::Result<()> {
    let mut parts = vec![sys.to_owned()];
    for entry in fs::read_dir(sys).with_context(|| format!("reading {}", sys.display()))? {
        let entry = entry?.path();
        if entry.join("partition").exists() {
            parts.push(entry);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for part in parts {
        let part_name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = attribute(&part, "dev");
        let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(2)).any(|device| device == number);
        let swap = swaps.lines().any(|line| line.split_whitespace().next() == Some(&format!("/dev/{part_name}")));
        let holders = fs::read_dir(part.join("holders")).into_iter().flatten().next().is_some();
        if mounted || swap || holders || is_root_device(&number) {
            let how = if mounted { "mounted" } else { "in use" };
            return Err(no(format!("{} may not be overwritten: {part_name} is {how}", path.display())));
        }
    }
    Ok(())
}

/// The device of `/` by its number; a mount table can name it otherwise (`/dev/root`).
fn is_root_device(number: &str) -> bool {
    let Ok(root) = fs::metadata("/") else { return true };
    format!("{}:{}", rustix::fs::major(root.dev()), rustix::fs::minor(root.dev())) == number
}

/// Refuses a disk that the caller has not identified: by serial number, and a fixed disk by naming it twice.
fn meant(path: &Path, sys: &Path, claims: &Claims) -> anyhow::Result<()> {
    let usb = sys.canonicalize().is_ok_and(|real| real.to_string_lossy().contains("/usb"));
    let removable = attribute(sys, "removable") == "1" || usb;
    if !removable && claims.fixed_disk != Some(path) {
        let message = format!(
            "{} is a fixed disk; if it is really meant, name it again with --fixed-disk {}",
            path.display(),
            path.display()
        );
        return Err(no(message));
    }
    let found = serial(sys);
    match (claims.serial, found) {
        (Some(claimed), Some(found)) if claimed.trim() == found => Ok(()),
        (Some(claimed), None) if claimed.trim().is_empty() && claims.fixed_disk == Some(path) => Ok(()),
        (Some(claimed), found) => {
            let found = found.unwrap_or_else(|| "none".into());
            Err(no(format!("{} has the serial number {found:?}, not {claimed:?}", path.display())))
        }
        (None, found) => {
            let found = found.unwrap_or_else(|| "none: name the disk with --fixed-disk and give --serial ''".into());
            Err(refusal(
                Exit::Approval,
                format!(
                    "{} needs its serial number as consent (--serial); it is {found}; nothing was changed",
                    path.display()
                ),
            ))
        }
    }
}

fn serial(sys: &Path) -> Option<String> {
    let real = sys.canonicalize().ok()?;
    let usb = real.ancestors().find(|folder| folder.join("idVendor").exists());
    DiskNames {
        usb: usb.map(|folder| attribute(folder, "serial")).filter(|text| !text.is_empty()),
        block: Some(attribute(sys, "serial")).filter(|text| !text.is_empty()),
        device: Some(attribute(sys, "device/serial")).filter(|text| !text.is_empty()),
        vpd: fs::read(sys.join("device/vpd_pg80")).ok(),
        ..DiskNames::default()
    }
    .serial()
}

fn attribute(folder: &Path, name: &str) -> String {
    let mut text = String::new();
    let read = File::open(folder.join(name)).and_then(|mut file| file.read_to_string(&mut text));
    if read.is_err() { String::new() } else { text.trim().to_owned() }
}
