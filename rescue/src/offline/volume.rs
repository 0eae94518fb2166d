//! One volume that a guest's disk is written into. What the archive does not store must read as zero afterwards, whatever the device holds
//! before.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use super::plan::{Before, Target};
use super::sum::{Sum, is_zero};

/// Bytes of zeroes that are written at once.
const PIECE: u64 = 1 << 20;

/// A volume that is being written.
pub struct Volume {
    file: File,
    size: u64,
    chunks: Option<Chunks>,
    sum: Sum,
}

impl Volume {
    /// Opens it, and zeroes it where it holds what was there before.
    ///
    /// # Errors
    /// When it cannot be opened or zeroed.
    pub fn open(path: &Path, target: &Target<'_>) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(path)?;
        let size = target.size.0;
        let chunks = match target.before {
            Before::Zeroes => None,
            Before::Chunks(chunk) => Some(Chunks::new(size, chunk.0)),
            Before::Anything => {
                wipe(&file, size)?;
                None
            }
        };
        Ok(Self { file, size, chunks, sum: Sum::default() })
    }

    /// Writes a block of the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, at: u64, block: &[u8]) -> io::Result<()> {
        if is_zero(block) {
            return Ok(());
        }
        if let Some((from, to)) = self.chunks.as_mut().and_then(|chunks| chunks.touch(at)) {
            zero(&self.file, from, to.min(self.size))?;
        }
        self.file.write_all_at(block, at)?;
        self.sum.add(at, block);
        Ok(())
    }

    /// Everything is on the disk; the sum of what was written.
    ///
    /// # Errors
    /// When the disk failed, or a pool is full.
    pub fn finish(self) -> io::Result<Sum> {
        self.file.sync_all()?;
        Ok(self.sum)
    }
}

/// Makes all of a device read as zeroes: by the kernel, which knows what the device can do, else by writing them.
fn wipe(file: &File, size: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::ZERO_RANGE, 0, size) {
        Ok(()) => Ok(()),
        Err(_) => zero(file, 0, size),
    }
}

fn zero(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeroes = vec![0; usize::try_from(PIECE.min(to.saturating_sub(from))).unwrap_or(0)];
    let mut at = from;
    while at < to {
        let piece = usize::try_from((to - at).min(PIECE)).unwrap_or(zeroes.len());
        file.write_all_at(&zeroes[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

/// Chunks of a pool that does not zero them: the first write to one shows what lay on the disk in the rest of it.
struct Chunks {
    bytes: u64,
    /// A bit for each that was written to.
    touched: Vec<u64>,
}

impl Chunks {
    fn new(size: u64, bytes: u64) -> Self {
        let bytes = bytes.max(1);
        let words = usize::try_from(size.div_ceil(bytes).div_ceil(64)).unwrap_or(0);
        Self { bytes, touched: vec![0; words] }
    }

    /// Where the chunk at `at` begins and ends, when it is written to for the first time.
    fn touch(&mut self, at: u64) -> Option<(u64, u64)> {
        let chunk = at / self.bytes;
        let word = self.touched.get_mut(usize::try_from(chunk / 64).ok()?)?;
        let bit = 1 << (chunk % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first.then(|| (chunk * self.bytes, (chunk + 1) * self.bytes))
    }
}
