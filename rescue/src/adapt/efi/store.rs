//! The boot manager's variables as efivarfs shows them: a file each, four bytes of attributes in front of the content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::option::LoadOption;
use crate::kernel::EFIVARS;

/// The vendor GUID of the firmware's own variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Kept over power cycles, readable while the system starts and runs.
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];

/// A folder of variables.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// This machine's; none where it has none, or they cannot be reached.
    pub fn of_firmware() -> Option<Self> {
        let folder = Path::new(EFIVARS);
        let reachable = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        reachable.then(|| Self { folder: folder.to_owned() })
    }

    #[cfg(test)]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{GLOBAL}"))
    }

    /// A variable's content; none where there is no such variable.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        Some(fs::read(self.path(name)).ok()?.get(ATTRIBUTES.len()..)?.to_vec())
    }

    /// Writes a variable and reads it back: some firmware takes what it does not keep.
    ///
    /// # Errors
    /// When the store is full or read-only, or gives back something else.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        if self.read(name).is_some_and(|old| old == content) {
            return Ok(());
        }
        let path = self.path(name);
        make_mutable(&path);
        // One call: a variable is written whole or not at all.
        let bytes = [&ATTRIBUTES[..], content].concat();
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.write_all(&bytes)?;
        if file.metadata()?.len() != bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        drop(file);
        let back = self.read(name);
        if back.as_deref() == Some(content) { Ok(()) } else { Err(io::Error::other("it reads back as something else")) }
    }

    /// Removes a variable; one that is not there is no error.
    ///
    /// # Errors
    /// When the firmware refuses.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        make_mutable(&path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Every boot entry that can be read, by number.
    pub fn entries(&self) -> Vec<(u16, LoadOption)> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let number = |name: String| {
            let digits = name.strip_suffix(GLOBAL)?.strip_suffix('-')?.strip_prefix("Boot")?;
            (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok())?
        };
        let mut numbers: Vec<u16> = files.filter_map(|file| number(file.file_name().into_string().ok()?)).collect();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| Some((number, LoadOption::read(&self.read(&name(number))?)?))).collect()
    }

    /// A number that no entry has, readable or not.
    pub fn free_number(&self) -> Option<u16> {
        (0..=u16::MAX).find(|number| !self.path(&name(*number)).exists())
    }

    /// The order in which entries are tried.
    pub fn order(&self) -> Vec<u16> {
        let bytes = self.read("BootOrder").unwrap_or_default();
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Sets the order.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn set_order(&self, order: &[u16]) -> io::Result<()> {
        self.write("BootOrder", &order.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
    }
}

/// The name of an entry's variable.
pub fn name(number: u16) -> String {
    format!("Boot{number:04X}")
}

/// The kernel makes variables immutable, so that `rm -r` does not brick machines.
fn make_mutable(path: &Path) {
    if let Ok(file) = File::open(path) {
        let flags = rustix::fs::ioctl_getflags(&file).unwrap_or(rustix::fs::IFlags::empty());
        if flags.contains(rustix::fs::IFlags::IMMUTABLE) {
            let _ = rustix::fs::ioctl_setflags(&file, flags - rustix::fs::IFlags::IMMUTABLE);
        }
    }
}
