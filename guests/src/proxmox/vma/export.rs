//! Devices of an archive, block by block, and one of them as a raw image.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::Header;
use super::walk::{Sink, walk};
use crate::archive::input::{Input, Stop};
use crate::archive::{Error, Form, Report, packing};

/// Gives what is stored of every device to `sink`, by the device's name and the place on it, in pieces of at most a block, and checks the
/// whole archive meanwhile. What is not given is zero; what is given may be.
///
/// # Errors
/// When the archive cannot be read, `sink` fails, or the archive is damaged anywhere: then what was given must not be used.
pub fn unpack(read: impl Read, sink: Sink<'_>) -> Result<Report, Error> {
    let opened = packing::open(read)?;
    let mut report = Report::new(Form::Vma, opened.packing, opened.content_sum);
    let mut input = Input::new(opened.read);
    let walked = walk(&mut input, &mut report, sink);
    report.bytes = input.at();
    match walked {
        Ok(()) => {}
        Err(Stop::Io(error)) => return Err(Error::Read(error)),
        Err(Stop::Sink(error)) => return Err(Error::Write(error)),
        Err(Stop::Damaged(what)) => report.faults.add(format!("byte {} of the content", report.bytes), what),
    }
    if report.sound() { Ok(report) } else { Err(Error::Damaged(Box::new(report))) }
}

/// Writes the device `name` to `target`, whose beginning is byte 0 of the disk, and checks the whole archive meanwhile.
///
/// Blocks of zeroes are passed over, so that an image is sparse: **the target must read as zeroes** (a new file, a new volume). The last byte
/// is written in any case, so that a file gets its full length.
///
/// # Errors
/// As [`unpack`], or when the archive has no such device.
pub fn export<T: Write + Seek>(read: impl Read, name: &str, target: &mut T) -> Result<Report, Error> {
    let mut image = Image { target, at: None, end: 0 };
    let report = unpack(read, &mut |device, at, block| if device == name { image.put(at, block) } else { Ok(()) })?;
    let Some(device) = report.devices.iter().find(|device| device.name == name) else {
        let names: Vec<&str> = report.devices.iter().map(|device| device.name.as_str()).collect();
        return Err(Error::NoDevice { asked: name.to_owned(), has: names.join(", ") });
    };
    image.finish(device.size).map_err(Error::Write)?;
    Ok(report)
}

/// Where the blocks go.
struct Image<'a, T> {
    target: &'a mut T,
    /// Where the target stands, once it is known.
    at: Option<u64>,
    /// The furthest byte that was written.
    end: u64,
}

impl<T: Write + Seek> Image<'_, T> {
    fn put(&mut self, at: u64, block: &[u8]) -> io::Result<()> {
        if self.at != Some(at) {
            self.target.seek(SeekFrom::Start(at))?;
        }
        self.at = None;
        self.target.write_all(block)?;
        let end = at + block.len() as u64;
        (self.at, self.end) = (Some(end), self.end.max(end));
        Ok(())
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        if self.end < size {
            self.put(size - 1, &[0])?;
        }
        self.target.flush()
    }
}

impl Header {
    /// Reads the header of an archive, whatever its compression, and nothing of what follows.
    ///
    /// # Errors
    /// When it cannot be read; the inner error says what is wrong with the header.
    pub fn read(read: impl Read) -> Result<Result<Self, String>, Error> {
        let mut input = Input::new(packing::open(read)?.read);
        match super::walk::read_header(&mut input) {
            Ok(Ok(header)) => Ok(Ok(header)),
            Ok(Err(what)) => Ok(Err(format!("the header of the archive {what}"))),
            Err(Stop::Io(error) | Stop::Sink(error)) => Err(Error::Read(error)),
            Err(Stop::Damaged(what)) => Ok(Err(what)),
        }
    }
}
