//! A file that is hashed while something reads it, and shown to people meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use manifest::Digest;
use sha2::{Digest as _, Sha256};
use vault::Progress as _;

use crate::progress::Bar;

/// A file, from its beginning.
pub struct Hashed {
    file: File,
    hash: Sha256,
    bar: Bar,
}

impl Hashed {
    /// Opens it; `doing` is what people see.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, doing: &'static str) -> io::Result<Self> {
        let file = File::open(path)?;
        let bar = Bar::new(doing);
        bar.expect(file.metadata()?.len(), 0);
        Ok(Self { file, hash: Sha256::new(), bar })
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads what is left, and gives the digest of all of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn finish(mut self) -> io::Result<Digest> {
        let mut buffer = vec![0; 1 << 20];
        while self.read(&mut buffer)? > 0 {}
        self.bar.finish();
        Ok(Digest::from_hash(&self.hash.finalize()))
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bar.advance(read as u64, 0);
        Ok(read)
    }
}
