//! A stream that counts, can be looked into ahead, and tells a medium that fails from content that is damaged.

use std::io::{self, Read};

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The medium failed.
    Io(io::Error),
    /// The compressed stream is damaged, or cut off.
    Damaged(String),
    /// Where the content goes to failed.
    Sink(io::Error),
}

/// The error of a decompressor is content; that of the system is the medium.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error().is_some() => Stop::Io(error),
            io::ErrorKind::UnexpectedEof => Stop::Damaged("the compressed stream is cut off".to_owned()),
            _ => Stop::Damaged(format!("the compressed stream is damaged: {error}")),
        }
    }
}

/// A stream and the place in it.
pub(crate) struct Input<R> {
    inner: R,
    at: u64,
    ahead: Vec<u8>,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, at: 0, ahead: Vec::new() }
    }

    /// Bytes that were taken out of it.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Copies the first bytes, which are read again afterwards: as many as there are. To be called once, before anything is read.
    pub(crate) fn peek(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let length = read_full(&mut self.inner, buffer)?;
        self.ahead = buffer[..length].to_vec();
        Ok(length)
    }

    /// Fills the buffer; fewer bytes than that only at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let ahead = self.ahead.len().min(buffer.len());
        buffer[..ahead].copy_from_slice(&self.ahead[..ahead]);
        self.ahead.drain(..ahead);
        self.at += ahead as u64;
        let read = read_full(&mut self.inner, &mut buffer[ahead..])?;
        self.at += read as u64;
        Ok(ahead + read)
    }

    /// Reads over `length` bytes: how many there were.
    pub(crate) fn skip(&mut self, length: u64) -> Result<u64, Stop> {
        let mut buffer = [0; 16 << 10];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let read = self.fill(&mut buffer[..part])?;
            left -= read as u64;
            if read < part {
                break;
            }
        }
        Ok(length - left)
    }
}

fn read_full(read: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Stop> {
    let mut length = 0;
    while length < buffer.len() {
        match read.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_peeked_at_is_read_again_and_counted_once() {
        let mut input = Input::new(&b"0123456789"[..]);
        let mut first = [0; 4];
        assert_eq!(input.peek(&mut first).unwrap(), 4);
        assert_eq!(input.at(), 0);
        let mut all = [0; 6];
        assert_eq!(input.fill(&mut all).unwrap(), 6);
        assert_eq!(&all, b"012345");
        assert_eq!((input.skip(100).unwrap(), input.at()), (4, 10));
    }

    #[test]
    fn a_medium_that_fails_is_no_damage() {
        assert!(matches!(Stop::from(io::Error::from_raw_os_error(5)), Stop::Io(_)));
        assert!(matches!(Stop::from(io::Error::other("checksum")), Stop::Damaged(_)));
    }
}
