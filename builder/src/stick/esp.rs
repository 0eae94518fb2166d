//! The stick's ESP, written and read through `fatfs` without mounting it.

use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::Context as _;
use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::mend;
use super::slice::{Medium, Slice};
use super::table::Place;

/// Label of the volume.
const LABEL: &[u8; 11] = b"LIFEBOATESP";

/// The stick's ESP.
pub struct Esp<'a> {
    medium: &'a dyn Medium,
    place: Place,
}

impl<'a> Esp<'a> {
    /// The ESP at `place`.
    pub fn at(medium: &'a dyn Medium, place: Place) -> Self {
        Self { medium, place }
    }

    fn slice(&self) -> Slice<'a> {
        Slice::new(self.medium, self.place.start, self.place.len)
    }

    fn mounted(&self) -> anyhow::Result<FileSystem<Slice<'a>>> {
        FileSystem::new(self.slice(), FsOptions::new()).context("opening the ESP")
    }

    /// Makes the filesystem. `serial` is its volume serial number.
    ///
    /// # Errors
    /// When the medium cannot be written.
    pub fn format(&self, serial: u32) -> anyhow::Result<()> {
        let options = FormatVolumeOptions::new()
            .fat_type(FatType::Fat32)
            .bytes_per_cluster(4096)
            .volume_id(serial)
            .volume_label(*LABEL);
        fatfs::format_volume(self.slice(), options).context("making the ESP's filesystem")
    }

    /// Writes files, replacing those that are there, and leaves a filesystem that `fsck` has nothing to say about.
    ///
    /// # Errors
    /// When the medium cannot be written or is full.
    pub fn write(&self, files: &[(String, &[u8])]) -> anyhow::Result<()> {
        let filesystem = self.mounted()?;
        for (path, content) in files {
            put(&filesystem.root_dir(), path, content).with_context(|| format!("writing {path} on the ESP"))?;
        }
        filesystem.unmount().context("closing the ESP")?;
        mend::mend(&mut self.slice()).context("mending the ESP's folders")?;
        self.medium.sync().context("writing the ESP out")
    }

    /// Removes a folder and what is in it; nothing is done where there is none.
    ///
    /// # Errors
    /// When the medium cannot be written.
    pub fn remove_folder(&self, path: &str) -> anyhow::Result<()> {
        let filesystem = self.mounted()?;
        let removed = empty(&filesystem.root_dir(), path).with_context(|| format!("removing {path} from the ESP"));
        filesystem.unmount().context("closing the ESP")?;
        removed
    }

    /// Reads a file; none where there is no such file.
    ///
    /// # Errors
    /// When the medium cannot be read.
    pub fn read(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let filesystem = self.mounted()?;
        let mut content = Vec::new();
        let found = match filesystem.root_dir().open_file(path) {
            Ok(mut file) => file.read_to_end(&mut content).map(|_| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let found = found.with_context(|| format!("reading {path} on the ESP"))?;
        Ok(found.then_some(content))
    }

    /// Overwrites a file with content of the same length in place: one sector, which a medium writes whole or not at all.
    ///
    /// # Errors
    /// When the lengths differ or the medium cannot be written.
    pub fn overwrite(&self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        let filesystem = self.mounted()?;
        let overwrite = || -> anyhow::Result<()> {
            let root = filesystem.root_dir();
            let mut file = root.open_file(path)?;
            let mut old = Vec::new();
            file.read_to_end(&mut old)?;
            anyhow::ensure!(old.len() == content.len(), "{} bytes, where {} stand now", content.len(), old.len());
            std::io::Seek::rewind(&mut file)?;
            file.write_all(content)?;
            file.flush()?;
            Ok(())
        };
        overwrite().with_context(|| format!("overwriting {path} on the ESP"))?;
        filesystem.unmount().context("closing the ESP")?;
        self.medium.sync().context("writing the ESP out")
    }
}

type Folder<'a, 'b> = Dir<'a, Slice<'b>>;

fn put(root: &Folder, path: &str, content: &[u8]) -> std::io::Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder =
        folder.split('/').filter(|part| !part.is_empty()).try_fold(root.clone(), |at, part| at.create_dir(part))?;
    let mut file = folder.create_file(name)?;
    file.truncate()?;
    file.write_all(content)?;
    file.flush()
}

fn empty(root: &Folder, path: &str) -> std::io::Result<()> {
    let folder = match root.open_dir(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let names: Vec<String> = folder.iter().map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    for name in names.iter().filter(|name| *name != "." && *name != "..") {
        folder.remove(name)?;
    }
    Ok(())
}
