//! The archive of a guest in the restored tree: that it is the one that was signed, and what of it goes into which volume.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use guests::archive::Error;
use guests::proxmox::vma;
use manifest::Digest;
use manifest::host::Archive;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use sha2::{Digest as _, Sha256};

use super::plan::Target;
use super::volume::Volume;
use crate::stop::with_sources;

/// An archive that is there, with the length that was recorded.
pub struct Opened<'a> {
    file: Hashed,
    archive: &'a Archive,
    digest: &'a Digest,
}

impl<'a> Opened<'a> {
    /// Opens it below `root`.
    ///
    /// # Errors
    /// In words.
    pub fn of(root: &Path, archive: &'a Archive) -> Result<Self, String> {
        let path = &archive.path;
        let digest = archive.sha256.as_ref().ok_or("the snapshot has no digest of its archive")?;
        let file = below(root, path).map_err(|error| format!("opening its archive {path}: {error}"))?;
        let meta = file.metadata().map_err(|error| format!("opening its archive {path}: {error}"))?;
        if !meta.is_file() || meta.len() != archive.bytes {
            return Err(format!("its archive {path} is not the file of {} bytes that was recorded", archive.bytes));
        }
        Ok(Self { file: Hashed { file, hash: Sha256::new() }, archive, digest })
    }

    /// Reads it to its end, checks all of it, and writes each disk into its volume.
    ///
    /// # Errors
    /// In words; then what was written is worth nothing.
    pub fn unpack(
        mut self,
        targets: &[Target<'_>],
        volumes: &mut [Volume],
        advance: &dyn Fn(u64),
    ) -> Result<(), String> {
        let path = &self.archive.path;
        let place = |device: &str| targets.iter().position(|target| target.disk.device == device);
        let unpacked = vma::unpack(&mut self.file, &mut |device, at, block| {
            let Some(place) = place(device) else { return Ok(()) };
            // One that is larger than its volume is refused below; nothing of it is written past the end.
            if at.saturating_add(block.len() as u64) > targets[place].size.0 {
                return Err(io::Error::other(format!("{device} is larger than its volume")));
            }
            advance(block.len() as u64);
            volumes[place].put(at, block)
        });
        let report = match unpacked {
            Ok(report) => report,
            Err(Error::Damaged(report)) => return Err(format!("its archive {path} is damaged: {}", report.summary())),
            Err(error) => return Err(format!("its archive {path}: {}", with_sources(&error))),
        };
        let digest = self.file.finish().map_err(|error| format!("reading its archive {path}: {error}"))?;
        if digest != *self.digest {
            return Err(format!("its archive {path} is not the one that was recorded: its digest differs"));
        }
        for target in targets {
            let found = report.devices.iter().find(|device| device.name == target.disk.device);
            if found.is_none_or(|device| device.size != target.disk.bytes) {
                return Err(format!(
                    "its archive {path} has no disk {} of {} bytes",
                    target.disk.device, target.disk.bytes
                ));
            }
        }
        Ok(())
    }
}

/// Opens a file of the restored system as that system would: a link leads to its own files, and never out of it.
fn below(root: &Path, path: &str) -> io::Result<File> {
    let folder = OpenOptions::new().read(true).open(root)?;
    // A pipe of this name would hold whoever opens it.
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(&folder, path.trim_start_matches('/'), how, Mode::empty(), ResolveFlags::IN_ROOT)?.into())
}

struct Hashed {
    file: File,
    hash: Sha256,
}

impl Hashed {
    /// Reads what is left, and gives the digest of all of it.
    fn finish(mut self) -> io::Result<Digest> {
        let mut buffer = vec![0; 1 << 20];
        while self.read(&mut buffer)? > 0 {}
        Ok(Digest::from_hash(&self.hash.finalize()))
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
