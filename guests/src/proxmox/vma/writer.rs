//! Writes VMA archives, for tests: this crate's own, and scenarios that need a machine's archive. No program is built with it.

use std::io::{self, Read, Write};

use super::extent::{self, LENGTH, SLOTS, SLOTS_AT};
use super::header::{self, DATA_AT, DEVICE, DEVICES_AT, FIXED, NAMES_AT};
use super::{BLOCK, CLUSTER, MAGIC, sum};

/// An archive to write.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Its identity.
    pub uuid: [u8; 16],
    /// Seconds since 1970.
    pub created: u64,
    /// Names and contents.
    pub configs: Vec<(String, Vec<u8>)>,
    /// Numbers, names and sizes.
    pub devices: Vec<(u8, String, u64)>,
    /// Clusters that an extent gets: 59, or fewer for more extents.
    pub slots: usize,
}

impl Writer {
    /// An archive without devices.
    #[must_use]
    pub fn new(uuid: [u8; 16]) -> Self {
        Self { uuid, created: 1_700_000_000, configs: Vec::new(), devices: Vec::new(), slots: SLOTS }
    }

    /// With a configuration.
    #[must_use]
    pub fn config(mut self, name: &str, data: &[u8]) -> Self {
        self.configs.push((name.to_owned(), data.to_owned()));
        self
    }

    /// With a device; they count from 1.
    #[must_use]
    pub fn device(mut self, name: &str, size: u64) -> Self {
        let number = u8::try_from(self.devices.len() + 1).unwrap_or(u8::MAX);
        self.devices.push((number, name.to_owned(), size));
        self
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        // The first byte is unused: a pointer of 0 is none.
        let mut blobs = vec![0];
        let put = |bytes: &mut Vec<u8>, at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        let mut blob = |data: &[u8]| {
            let at = u32::try_from(blobs.len()).unwrap_or(u32::MAX);
            let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
            blobs.extend(length.to_le_bytes());
            blobs.extend(&data[..usize::from(length)]);
            at
        };
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 4, &1_u32.to_be_bytes());
        put(&mut bytes, 8, &self.uuid);
        put(&mut bytes, 24, &self.created.to_be_bytes());
        for (at, (name, data)) in self.configs.iter().enumerate() {
            put(&mut bytes, NAMES_AT + 4 * at, &blob(&[name.as_bytes(), &[0]].concat()).to_be_bytes());
            put(&mut bytes, DATA_AT + 4 * at, &blob(data).to_be_bytes());
        }
        for (number, name, size) in &self.devices {
            let at = DEVICES_AT + DEVICE * usize::from(*number);
            put(&mut bytes, at, &blob(&[name.as_bytes(), &[0]].concat()).to_be_bytes());
            put(&mut bytes, at + 8, &size.to_be_bytes());
        }
        let length = (FIXED + blobs.len()).next_multiple_of(512);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        put(&mut bytes, 48, &number(FIXED));
        put(&mut bytes, 52, &number(blobs.len()));
        put(&mut bytes, 56, &number(length));
        bytes.extend(blobs);
        bytes.resize(length, 0);
        seal_header(&mut bytes);
        bytes
    }

    /// Writes the whole archive; `disks` are the devices' contents in their order, and zeroes from where one ends.
    ///
    /// # Errors
    /// When a disk cannot be read or the archive not be written.
    pub fn write(&self, to: &mut impl Write, disks: &mut [&mut dyn Read]) -> io::Result<()> {
        to.write_all(&self.header())?;
        let mut extent = ExtentWriter::new(self.uuid, self.slots);
        for ((number, _, size), disk) in self.devices.iter().zip(disks) {
            for cluster in 0..u32::try_from(size.div_ceil(CLUSTER)).unwrap_or(u32::MAX) {
                let left = size - u64::from(cluster) * CLUSTER;
                let mut data = Vec::new();
                disk.by_ref().take(left.min(CLUSTER)).read_to_end(&mut data)?;
                data.resize(CLUSTER as usize, 0);
                extent.add(*number, cluster, &data);
                if extent.is_full() {
                    to.write_all(&extent.take())?;
                }
            }
        }
        if !extent.is_empty() {
            to.write_all(&extent.take())?;
        }
        to.flush()
    }

    /// The whole archive in memory.
    ///
    /// # Errors
    /// None: memory can be written.
    pub fn bytes(&self, disks: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut disks = disks.to_vec();
        let mut readers: Vec<&mut dyn Read> = disks.iter_mut().map(|disk| disk as &mut dyn Read).collect();
        let mut bytes = Vec::new();
        self.write(&mut bytes, &mut readers)?;
        Ok(bytes)
    }
}

/// One extent after the other.
#[derive(Clone, Debug)]
pub struct ExtentWriter {
    uuid: [u8; 16],
    most: usize,
    slots: Vec<u64>,
    blocks: Vec<u8>,
}

impl ExtentWriter {
    /// Extents of at most `most` clusters.
    #[must_use]
    pub fn new(uuid: [u8; 16], most: usize) -> Self {
        Self { uuid, most: most.min(SLOTS), slots: Vec::new(), blocks: Vec::new() }
    }

    /// Adds a cluster; what is zero in it is left out.
    pub fn add(&mut self, device: u8, cluster: u32, data: &[u8]) {
        let mut mask = 0_u64;
        for (bit, block) in data.chunks(BLOCK as usize).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                mask |= 1 << bit;
                self.blocks.extend(block);
            }
        }
        self.slots.push(mask << 48 | u64::from(device) << 32 | u64::from(cluster));
    }

    /// No cluster fits any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.most
    }

    /// There is no cluster in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The extent; the next one is empty.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[..4].copy_from_slice(extent::MAGIC);
        let blocks = u16::try_from(self.blocks.len() / BLOCK as usize).unwrap_or(u16::MAX);
        bytes[6..8].copy_from_slice(&blocks.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.uuid);
        for (at, slot) in self.slots.drain(..).enumerate() {
            bytes[SLOTS_AT + 8 * at..SLOTS_AT + 8 * at + 8].copy_from_slice(&slot.to_be_bytes());
        }
        seal_extent(&mut bytes);
        bytes.append(&mut self.blocks);
        bytes
    }
}

/// Gives the header, which is all of `bytes`, its sum again.
pub fn seal_header(bytes: &mut [u8]) {
    let sum = sum(bytes, header::SUM_AT);
    bytes[header::SUM_AT..header::SUM_AT + 16].copy_from_slice(&sum);
}

/// Gives the extent that `bytes` begin with its sum again.
pub fn seal_extent(bytes: &mut [u8]) {
    let sum = sum(&bytes[..LENGTH], extent::SUM_AT);
    bytes[extent::SUM_AT..extent::SUM_AT + 16].copy_from_slice(&sum);
}
