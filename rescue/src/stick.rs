//! The stick: found by the GUID of its partition table, its ESP read without a mount, its data partition mounted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};
use layout::Guid;
use layout::gpt::ESP;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::disks;
use crate::stop::{Code, OrStop, Result, Stop};

/// Where the data partition is mounted.
pub const DATA: &str = "/mnt/stick";

/// A stick that was found.
#[derive(Clone, Debug)]
pub struct Stick {
    /// Kernel name of the disk: `sda`.
    pub disk: String,
    esp: PathBuf,
    data: PathBuf,
}

impl Stick {
    /// Looks for the disk whose partition table has `guid`; none while it is not there.
    ///
    /// # Errors
    /// When several disks have it, or its partitions are not a stick's.
    pub fn find(guid: &Guid) -> Result<Option<Self>> {
        let found: Vec<String> =
            disks::names().into_iter().filter(|name| disks::guid_of(name).as_ref() == Some(guid)).collect();
        match found.as_slice() {
            [] => Ok(None),
            [disk] => Self::at(disk),
            several => Err(Stop::new(
                Code::Guard,
                format!("{} have the same disk GUID {guid}: one is a copy of the stick", several.join(" and ")),
                "Leave only one of them plugged in and start again.",
            )),
        }
    }

    fn at(disk: &str) -> Result<Option<Self>> {
        let table = gpt::GptConfig::new().logical_block_size(disks::sector_of(disk)).open(format!("/dev/{disk}"));
        let table = table.or_stop(Code::Io, format!("reading the partition table of the stick /dev/{disk}"), REPLUG)?;
        let kernel = disks::partitions(disk);
        let node = |number: Option<u32>| {
            let number = number?;
            kernel.iter().find(|partition| partition.number == number).map(|partition| partition.path.clone())
        };
        let is_esp = |guid: String| guid.eq_ignore_ascii_case(ESP);
        let parts = table.partitions();
        let esp =
            parts.iter().find(|(_, part)| is_esp(part.part_type_guid.guid.to_string())).map(|(number, _)| *number);
        // The data partition is the last one by its place.
        let data = parts.iter().max_by_key(|(_, part)| part.first_lba).map(|(number, _)| *number);
        // The kernel may still be reading the table: then the stick is not there yet.
        Ok(match (node(esp), node(data)) {
            (Some(esp), Some(data)) if esp != data && esp.exists() && data.exists() => {
                Some(Self { disk: disk.to_owned(), esp, data })
            }
            _ => None,
        })
    }

    /// Reads a file of the ESP.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read_boot_file(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.with_boot_file(path, |reader| reader.read_to_end(&mut bytes).map(drop))?;
        Ok(bytes)
    }

    /// Gives a file of the ESP to `work` as a stream.
    ///
    /// # Errors
    /// As `work`, and when the file is not there.
    pub fn with_boot_file<T>(&self, path: &str, work: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> io::Result<T> {
        let volume = FileSystem::new(ReadOnly(File::open(&self.esp)?), FsOptions::new().update_accessed_date(false))?;
        let root = volume.root_dir();
        let mut file = root.open_file(path)?;
        work(&mut file)
    }

    /// Mounts the data partition, read-only.
    ///
    /// # Errors
    /// When the kernel cannot mount it.
    pub fn mount(&self) -> Result<()> {
        fs::create_dir_all(DATA).or_stop(Code::Failed, format!("making {DATA}"), REPLUG)?;
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
        // A stick that was pulled out has a journal to replay, which a read-only mount does as well; the device is still writable.
        mount(&self.data, DATA, "ext4", flags, None).or_stop(
            Code::NoMedium,
            format!("mounting the stick's data partition {}", self.data.display()),
            REPLUG,
        )
    }

    /// Makes the mounted data partition writable.
    ///
    /// # Errors
    /// When the stick has a write protection, or a damaged filesystem.
    pub fn make_writable(&self) -> Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
        mount_remount(DATA, flags, "").or_stop(
            Code::Io,
            format!("making the stick's data partition {} writable", self.data.display()),
            "Remove the stick's write protection, or check the partition with e2fsck, and start again.",
        )
    }

    /// Lets go of the stick, everything written.
    pub fn unmount(&self) {
        rustix::fs::sync();
        if unmount(DATA, UnmountFlags::empty()).is_err() {
            // Something (a shell) is still in it: read-only is as safe to unplug.
            let _ = mount_remount(DATA, MountFlags::RDONLY, "");
        }
    }

    /// The device of the data partition.
    pub fn data_device(&self) -> &Path {
        &self.data
    }

    /// A path on the data partition.
    pub fn data(&self, path: &str) -> PathBuf {
        Path::new(DATA).join(path)
    }
}

const REPLUG: &str = "Plug the stick into another port and start again; if it fails again, use another copy of it.";

/// Writes a file so that it is either there in full or not at all, and on the medium when this returns.
///
/// # Errors
/// When the medium is full or fails.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    File::open(folder)?.sync_all()
}

/// A device that `fatfs` can read and cannot write, whatever it believes.
pub struct ReadOnly<T>(pub T);

impl<T: Read> Read for ReadOnly<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<T: Seek> Seek for ReadOnly<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl<T> Write for ReadOnly<T> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
