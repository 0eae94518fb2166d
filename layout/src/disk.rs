//! Disks: what identifies one, and which partition table it carries.

use serde::{Deserialize, Serialize};

use crate::dos::DosTable;
use crate::gpt::GptTable;

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Model name, trimmed; empty where the kernel knows none.
    pub model: String,
    /// Serial number, trimmed; the first thing that disks are matched by.
    pub serial: Option<String>,
    /// World wide name, where there is one.
    pub wwn: Option<String>,
    /// How it is attached, as the kernel says: `sata`, `nvme`, `usb`, `virtio`, `scsi`.
    pub transport: Option<String>,
    /// Bytes of a logical sector: the unit of every LBA on this disk.
    pub logical_sector: u32,
    /// Bytes of a physical sector.
    pub physical_sector: u32,
    /// The kernel calls the medium removable.
    pub removable: bool,
    /// Spinning platters.
    pub rotational: bool,
    /// What is at its start.
    pub table: Table,
}

/// A disk's partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "label")]
pub enum Table {
    /// None: blank, or a filesystem on the whole disk.
    None,
    /// GUID partition table.
    Gpt(GptTable),
    /// DOS (MBR) partition table.
    Dos(DosTable),
    /// A DOS partition table as earlier versions recorded it: named, and without what writing it needs.
    Mbr,
}
