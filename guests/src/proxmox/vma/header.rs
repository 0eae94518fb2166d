//! The header: which devices there are, how large they are, and the configurations.

use std::collections::BTreeMap;

use super::{CLUSTER, MAGIC, array, sum, u32_at, u64_at};

/// Bytes before the blobs.
pub(super) const FIXED: usize = 12288;
/// Where its MD5 is.
pub(super) const SUM_AT: usize = 32;
/// Where pointers to names of configurations are, to their data, and the devices.
pub(super) const NAMES_AT: usize = 2044;
pub(super) const DATA_AT: usize = 3068;
pub(super) const DEVICES_AT: usize = 4096;
/// Bytes of a device's description.
pub(super) const DEVICE: usize = 32;
/// Entries of each table.
const TABLE: usize = 256;
/// A header of a machine has tens of kilobytes; a longer one than this is refused.
const LONGEST: usize = 16 << 20;

/// A configuration file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `qemu-server.conf`, `qemu-server.fw`.
    pub name: String,
    /// Its content.
    pub data: Vec<u8>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `drive-scsi0`.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

impl Device {
    /// Clusters that it has; the last may be shorter.
    #[must_use]
    pub fn clusters(&self) -> u64 {
        self.size.div_ceil(CLUSTER)
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Every extent has it too.
    pub uuid: [u8; 16],
    /// Seconds since 1970.
    pub created: u64,
    /// Configurations, in their order.
    pub configs: Vec<Config>,
    /// Devices by number.
    pub devices: BTreeMap<u8, Device>,
}

/// How long the header is, from its first [`FIXED`] bytes.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, String> {
    if !fixed.starts_with(MAGIC) {
        return Err("does not begin with VMA".to_owned());
    }
    match u32_at(fixed, 4) {
        1 => {}
        version => return Err(format!("is of version {version}; version 1 is known")),
    }
    let length = u32_at(fixed, 56) as usize;
    if !(FIXED..=LONGEST).contains(&length) {
        return Err(format!("says that it has {length} bytes; {FIXED} to {LONGEST} are possible"));
    }
    Ok(length)
}

impl Header {
    /// Reads a whole header.
    ///
    /// # Errors
    /// What is wrong with it: its sum, or what it says. Nothing after a header that is wrong has a meaning.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fixed = bytes.first_chunk::<FIXED>().ok_or("is cut off")?;
        if length(fixed)? != bytes.len() {
            return Err("is cut off".to_owned());
        }
        if sum(bytes, SUM_AT) != array::<16>(bytes, SUM_AT) {
            return Err("does not match its sum".to_owned());
        }
        let (offset, size) = (u32_at(bytes, 48) as usize, u32_at(bytes, 52) as usize);
        let end = offset.checked_add(size).filter(|end| offset >= FIXED && *end <= bytes.len());
        let blobs = Blobs(&bytes[offset.min(bytes.len())..end.ok_or("has its blobs outside of itself")?]);
        Ok(Self {
            uuid: array(bytes, 8),
            created: u64_at(bytes, 24),
            configs: configs(bytes, &blobs)?,
            devices: devices(bytes, &blobs)?,
        })
    }

    /// The number of the device with this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<u8> {
        self.devices.iter().find(|(_, device)| device.name == name).map(|(number, _)| *number)
    }
}

struct Blobs<'a>(&'a [u8]);

impl<'a> Blobs<'a> {
    fn get(&self, pointer: u32, of: &str) -> Result<&'a [u8], String> {
        let at = pointer as usize;
        let outside = || format!("points outside of its blobs for {of}");
        let length = self.0.get(at..at.saturating_add(2)).ok_or_else(outside)?;
        let length = usize::from(u16::from_le_bytes(array(length, 0)));
        self.0.get(at + 2..at + 2 + length).ok_or_else(outside)
    }

    /// A name ends with a zero byte, and is shown to people: nothing in it may act on their terminal.
    fn name(&self, pointer: u32, of: &str) -> Result<String, String> {
        let bytes = self.get(pointer, of)?;
        let name = std::str::from_utf8(bytes).map_err(|_| format!("has a name that is not UTF-8 for {of}"))?;
        let name = name.strip_suffix('\0').unwrap_or(name);
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(format!("has the name {name:?} for {of}"));
        }
        Ok(name.to_owned())
    }
}

fn configs(bytes: &[u8], blobs: &Blobs<'_>) -> Result<Vec<Config>, String> {
    let mut configs: Vec<Config> = Vec::new();
    for at in 0..TABLE {
        let of = format!("configuration {at}");
        let pointers = (u32_at(bytes, NAMES_AT + 4 * at), u32_at(bytes, DATA_AT + 4 * at));
        match pointers {
            (0, 0) => {}
            (0, _) | (_, 0) => return Err(format!("has a name without data, or data without a name, for {of}")),
            (name, data) => {
                configs.push(Config { name: blobs.name(name, &of)?, data: blobs.get(data, &of)?.to_vec() });
            }
        }
    }
    Ok(configs)
}

fn devices(bytes: &[u8], blobs: &Blobs<'_>) -> Result<BTreeMap<u8, Device>, String> {
    let mut devices: BTreeMap<u8, Device> = BTreeMap::new();
    for number in 0..=u8::MAX {
        let at = DEVICES_AT + DEVICE * usize::from(number);
        let (name, size) = (u32_at(bytes, at), u64_at(bytes, at + 8));
        if (name, size) == (0, 0) {
            continue;
        }
        let of = format!("device {number}");
        if name == 0 || size == 0 || number == 0 {
            return Err(format!("has a name without a size, a size without a name, or the number 0, for {of}"));
        }
        let device = Device { name: blobs.name(name, &of)?, size };
        if device.clusters() > 1 << 32 {
            return Err(format!("gives {of} {size} bytes, more than can be numbered"));
        }
        if devices.values().any(|other| other.name == device.name) {
            return Err(format!("has two devices {}", device.name));
        }
        devices.insert(number, device);
    }
    Ok(devices)
}
