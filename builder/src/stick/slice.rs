//! A part of a file or device as if it were one of its own. Everything that is written to a stick goes through one, so that
//! nothing is written outside of it.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// What a stick is written to: a device, an image file, or in a test something that notes every write.
pub trait Medium: Debug {
    /// Reads at a place; as many bytes as come in one go.
    ///
    /// # Errors
    /// When the medium cannot be read.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes at a place; as many bytes as go in one go.
    ///
    /// # Errors
    /// When the medium cannot be written.
    fn write_at(&self, buffer: &[u8], at: u64) -> io::Result<usize>;
    /// Returns when all that was written is on the medium.
    ///
    /// # Errors
    /// When it cannot be brought there.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }

    fn write_at(&self, buffer: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// `len` bytes of `medium` from `start` on.
#[derive(Debug)]
pub struct Slice<'a> {
    medium: &'a dyn Medium,
    start: u64,
    len: u64,
    position: u64,
}

impl<'a> Slice<'a> {
    /// The bytes from `start` up to `start + len`.
    pub fn new(medium: &'a dyn Medium, start: u64, len: u64) -> Self {
        Self { medium, start, len, position: 0 }
    }

    fn room(&self, wanted: usize) -> usize {
        let left = self.len.saturating_sub(self.position);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let read = self.medium.read_at(&mut buffer[..room], self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let written = self.medium.write_at(&buffer[..room], self.start + self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_written_outside() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        let mut slice = Slice::new(&file, 10, 20);
        slice.seek(SeekFrom::End(-5)).unwrap();
        assert_eq!(slice.write(&[2; 50]).unwrap(), 5);
        assert_eq!(slice.write(&[2; 50]).unwrap(), 0);
        slice.rewind().unwrap();
        let mut bytes = Vec::new();
        slice.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [[1; 15].as_slice(), &[2; 5]].concat());
        let mut after = [0; 1];
        file.read_exact_at(&mut after, 30).unwrap();
        assert_eq!(after, [1]);
    }
}
