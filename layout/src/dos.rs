//! DOS (MBR) partition tables: primary partitions, an extended one with logical partitions in it, the boot flag, the disk's signature. Sectors are
//! read and written by the callers.
//!
//! A partition of such a table is a [`Partition`] as one of a GPT is, so that whatever lies on it is told the same way: its type is the GPT's type of
//! the same meaning ([`type_of`]), and its GUID is made of the disk's signature and its number ([`guid_of`]). What only a DOS table has is
//! kept beside the partitions, by their numbers, in [`DosTable`].

mod read;
mod write;

use serde::{Deserialize, Serialize};

use crate::gpt::{ESP, Partition};
use crate::units::Guid;

pub use read::DosError;

/// Most sectors that an entry can count.
pub const MOST_SECTORS: u64 = u32::MAX as u64;
/// Bytes of a sector that hold a table, whatever the size of the disk's sectors.
pub const LENGTH: usize = 512;
/// Types of an extended partition.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// The number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;
/// DOS types and the GPT types of the same meaning.
const TYPES: &[(u8, &str)] = &[
    (0x07, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    (0x0b, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    (0x0c, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    (0x82, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"),
    (0x83, "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    (0x8e, "E6D6D379-F507-44C2-A23C-238F2A3DF928"),
    (0xef, ESP),
    (0xfd, "A19D880F-05FC-4D3B-A006-743F0F84911E"),
];

/// A DOS table, but for what its partitions have in common with those of a GPT, which are nodes of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DosTable {
    /// The disk's signature, by which fstab and boot loaders may name its partitions: PARTUUID `SIGNATURE-NN`, both in hexadecimal digits.
    pub signature: u32,
    /// Largest power of two in sectors that all partitions start on, at most 1 MiB worth.
    pub alignment: u64,
    /// The first sector holds boot code, and a boot loader may lie in the gap behind it.
    pub boot_code: bool,
    /// What only a DOS table says of its partitions, by number.
    pub entries: Vec<DosEntry>,
    /// The partition that holds the logical ones.
    pub extended: Option<Extended>,
}

/// What only a DOS table says of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DosEntry {
    /// The partition's number: 1 to 4, and from 5 for logical ones.
    pub number: u32,
    /// Type.
    pub kind: u8,
    /// The boot flag.
    pub active: bool,
    /// Where the sector lies that describes it, of a logical partition.
    pub described_at: Option<u64>,
}

/// An extended partition, which holds logical ones and nothing of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extended {
    /// Its number, 1 to 4.
    pub number: u32,
    /// Type.
    pub kind: u8,
    /// The boot flag.
    pub active: bool,
    /// First LBA.
    pub first_lba: u64,
    /// Length in logical sectors.
    pub sectors: u64,
}

impl DosTable {
    /// The PARTUUID of one of its partitions, as fstab writes it.
    #[must_use]
    pub fn part_uuid(&self, number: u32) -> String {
        format!("{:08x}-{number:02x}", self.signature)
    }

    /// What is kept beside the partition of this number.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<&DosEntry> {
        self.entries.iter().find(|entry| entry.number == number)
    }
}

/// The GPT's type of the same meaning. Types without one get a GUID of their own, so that they stay apart.
#[must_use]
pub fn type_of(kind: u8) -> Guid {
    let known = TYPES.iter().find(|(dos, _)| *dos == kind).map(|(_, guid)| (*guid).to_owned());
    guid(&known.unwrap_or_else(|| format!("{kind:08X}-0000-0000-0000-000000000000")))
}

/// The GUID of a partition of the disk with this signature.
#[must_use]
pub fn guid_of(signature: u32, number: u32) -> Guid {
    guid(&format!("{signature:08X}-{:04X}-0000-0000-000000000000", number & 0xffff))
}

/// Of a disk that has no GUID of its own.
#[must_use]
pub fn disk_guid(signature: u32) -> Guid {
    guid_of(signature, 0)
}

fn guid(text: &str) -> Guid {
    Guid::new(text).unwrap_or_else(|_| unreachable!("made of hexadecimal digits in their places"))
}

fn partition(signature: u32, number: u32, kind: u8, first_lba: u64, sectors: u64) -> Partition {
    Partition {
        number,
        type_guid: type_of(kind),
        guid: guid_of(signature, number),
        name: String::new(),
        attributes: 0,
        first_lba,
        sectors,
    }
}
