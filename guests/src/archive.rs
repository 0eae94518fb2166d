//! Archives of guests: what is in one, and whether all of it is.
//!
//! [`verify`] reads an archive once from its beginning to its end, in bounded memory, and reports every fault with its place. What is wrong
//! with the content is a [`Fault`]; only a medium that cannot be read is an [`Error`].

mod fault;
pub(crate) mod input;
mod lzop;
pub(crate) mod packing;
mod tar;

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

pub use self::fault::{Fault, Faults};
use self::input::{Input, Stop};
pub use self::packing::Packing;
use crate::proxmox::vma;

/// Why an archive could not be looked at, or an image not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The medium.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// Where an image goes to.
    #[error("writing the image of a device")]
    Write(#[source] io::Error),
    /// A device that is not in the archive.
    #[error("the archive has no device {asked}; it has {has}")]
    NoDevice {
        /// Its name.
        asked: String,
        /// Those that it has.
        has: String,
    },
    /// Found while an image was written, which is therefore not the device.
    #[error("the archive is damaged, and what was written is not the device: {}", .0.summary())]
    Damaged(Box<Report>),
}

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Disks of a virtual machine.
    Vma,
    /// Files of a container.
    Tar,
    /// Neither: it cannot be told.
    Unknown,
}

/// A disk in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name in the archive, `drive-scsi0`.
    pub name: String,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of it that are stored; the rest is zero.
    pub stored: u64,
    /// Bytes of it that are missing.
    pub missing: u64,
}

/// What was found in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it holds.
    pub form: Form,
    /// How it is compressed.
    pub packing: Packing,
    /// Whether the compression has a sum over all of the content: VMA and tar themselves have sums over their headers only.
    pub content_sum: bool,
    /// Bytes, decompressed.
    pub bytes: u64,
    /// Names of the configurations in it.
    pub configs: Vec<String>,
    /// Disks of a virtual machine.
    pub devices: Vec<Device>,
    /// Files, folders and the like of a container.
    pub members: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub faults: Faults,
}

impl Report {
    pub(crate) fn new(form: Form, packing: Packing, content_sum: bool) -> Self {
        let (configs, devices, faults) = (Vec::new(), Vec::new(), Faults::default());
        Self { form, packing, content_sum, bytes: 0, configs, devices, members: 0, faults }
    }

    /// Nothing is wrong.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// The first fault, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        match (self.faults.iter().next(), self.faults.count()) {
            (None, _) => "no fault".to_owned(),
            (Some(first), 1) => first.to_string(),
            (Some(first), count) => format!("{first}; and {} more", count - 1),
        }
    }
}

/// Reads all of an archive and reports what is wrong with it.
///
/// # Errors
/// When it cannot be read.
pub fn verify(read: impl Read) -> Result<Report, Error> {
    let opened = packing::open(read)?;
    let mut input = Input::new(opened.read);
    let mut report = Report::new(Form::Unknown, opened.packing, opened.content_sum);
    let looked = look(&mut input, &mut report);
    match looked {
        Ok(()) => {}
        Err(Stop::Io(error)) => return Err(Error::Read(error)),
        Err(Stop::Sink(error)) => return Err(Error::Write(error)),
        Err(Stop::Damaged(what)) => report.faults.add(format!("byte {} of the content", input.at()), what),
    }
    report.bytes = input.at();
    Ok(report)
}

/// Bytes that tell a VMA from a tar.
const FIRST: usize = 512;

fn look<R: Read>(input: &mut Input<R>, report: &mut Report) -> Result<(), Stop> {
    let mut first = [0; FIRST];
    let length = input.peek(&mut first)?;
    let first = &first[..length];
    if first.starts_with(vma::MAGIC) {
        report.form = Form::Vma;
        vma::walk(input, report, &mut |_, _, _| Ok(()))
    } else if tar::begins(first) {
        report.form = Form::Tar;
        tar::walk(input, report)
    } else if length == 0 {
        report.faults.add("the archive", "is empty");
        Ok(())
    } else {
        report.faults.add("the archive", "begins neither like a VMA nor like a tar");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_a_fault_and_no_panic() {
        for bytes in [&b""[..], b"x", b"VMA", &[0; 2000]] {
            let report = verify(bytes).unwrap();
            assert_eq!((report.form, report.sound()), (Form::Unknown, false));
        }
        assert_eq!(verify(&b""[..]).unwrap().summary(), "the archive: is empty");
    }

    /// A container's archive, packed by lzop and by bzip2.
    const PACKED: [&[u8]; 2] = [
        include_bytes!("../fixtures/packing/container.tar.lzo"),
        include_bytes!("../fixtures/packing/container.tar.bz2"),
    ];

    #[test]
    fn a_containers_archive_is_read_however_it_is_packed() {
        for packed in PACKED {
            let report = verify(packed).unwrap();
            assert!(report.sound() && report.content_sum, "{report:?}");
            assert_eq!((report.form, report.members), (Form::Tar, 5));
            assert_eq!(report.configs, ["etc/vzdump/pct.conf"]);
        }
    }

    fn content(packed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        packing::open(packed).ok()?.read.read_to_end(&mut out).ok().map(|_| out)
    }

    #[test]
    fn a_packed_archive_that_is_cut_or_changed_anywhere_is_damaged_and_no_medium_that_failed() {
        for packed in PACKED {
            for cut in (16..packed.len()).step_by(61) {
                let report = verify(&packed[..cut]).unwrap();
                assert!(report.summary().contains("cut off"), "cut at {cut}: {report:?}");
            }
            for at in (16..packed.len()).step_by(43) {
                let mut bad = packed.to_vec();
                bad[at] ^= 1 << (at % 8);
                let same = content(&bad).is_some_and(|found| Some(found) == content(packed));
                assert_eq!(verify(&bad[..]).unwrap().sound(), same, "byte {at}");
            }
        }
    }
}
