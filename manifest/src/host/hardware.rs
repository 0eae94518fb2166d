//! What a machine is made of. Its disks are in the layout.

use layout::Bytes;
use serde::{Deserialize, Serialize};

/// Processor, memory, devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// The processor's model name.
    pub cpu: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory that the kernel manages.
    pub memory: Bytes,
    /// The hypervisor, where the machine is a virtual one and says so.
    pub hypervisor: Option<String>,
    /// Devices on PCI, by address.
    pub pci: Vec<PciDevice>,
}

/// One PCI function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PciDevice {
    /// Its address: `0000:00:1f.2`.
    pub address: String,
    /// Class code, six hexadecimal digits.
    pub class: String,
    /// Vendor, four hexadecimal digits.
    pub vendor: String,
    /// Device, four hexadecimal digits.
    pub device: String,
    /// The driver that the running kernel used for it.
    pub driver: Option<String>,
}
