//! A folder for secrets that must be files. `/tmp` of the rescue is a tmpfs: what lies there ends with the machine, and with this value.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::stop::{Code, OrStop, Result};

const MORE: &str = "Start again with more memory.";

/// The folder; removed with all that is in it when this is dropped.
pub struct Memory(PathBuf);

impl Memory {
    /// Makes the folder.
    pub fn at(path: &Path) -> Result<Self> {
        make(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A file with these bytes; one that is there is replaced.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.0.join(name);
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(bytes)
        };
        write().or_stop(Code::Failed, format!("writing {}", path.display()), MORE)?;
        Ok(path)
    }

    /// An empty folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        // One that is not there is as good as removed.
        let _ = fs::remove_dir_all(&path);
        make(&path)?;
        Ok(path)
    }
}

fn make(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.or_stop(Code::Failed, format!("making {}", path.display()), MORE)
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
