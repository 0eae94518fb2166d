//! One inode's fields.

use anyhow::ensure;
use vault::{EntryKind, Time};

/// Extents are used, not block maps.
const EXTENTS_FLAG: u32 = 0x8_0000;

/// An inode as it lies on disk.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    bytes: Vec<u8>,
}

impl Inode {
    pub(super) fn parse(number: u32, bytes: Vec<u8>) -> anyhow::Result<Self> {
        ensure!(bytes.len() >= 128, "an inode has at least 128 bytes");
        let inode = Self { number, bytes };
        ensure!(inode.u16(0x1a) > 0, "it is in use by a name and marked as deleted");
        Ok(inode)
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    /// Bytes behind the first 128 that hold fields; what follows holds xattrs.
    fn extra(&self) -> usize {
        if self.bytes.len() < 130 { 0 } else { usize::from(self.u16(0x80)) }
    }

    /// A field behind the first 128 bytes; `None` where this inode has no room for it.
    fn extra_u32(&self, at: usize) -> Option<u32> {
        (128 + self.extra() >= at + 4 && self.bytes.len() >= at + 4).then(|| self.u32(at))
    }

    pub(super) fn kind(&self) -> Option<EntryKind> {
        Some(match self.u16(0) >> 12 {
            0x1 => EntryKind::Fifo,
            0x2 => EntryKind::CharDevice,
            0x4 => EntryKind::Directory,
            0x6 => EntryKind::BlockDevice,
            0x8 => EntryKind::File,
            0xa => EntryKind::Symlink,
            0xc => EntryKind::Socket,
            _ => return None,
        })
    }

    pub(super) fn mode(&self) -> u32 {
        u32::from(self.u16(0)) & 0o7777
    }

    pub(super) fn uid(&self) -> u32 {
        u32::from(self.u16(0x2)) | u32::from(self.u16(0x78)) << 16
    }

    pub(super) fn gid(&self) -> u32 {
        u32::from(self.u16(0x18)) | u32::from(self.u16(0x7a)) << 16
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(self.u32(0x4)) | u64::from(self.u32(0x6c)) << 32
    }

    /// Last modification, and whether there is room for nanoseconds. Two bits of the extra field reach beyond 2038.
    pub(super) fn mtime(&self) -> (Time, bool) {
        let seconds = i64::from(self.u32(0x10).cast_signed());
        match self.extra_u32(0x88) {
            Some(extra) => (Time { sec: seconds + (i64::from(extra & 3) << 32), nsec: extra >> 2 }, true),
            None => (Time { sec: seconds, nsec: 0 }, false),
        }
    }

    /// Whether `ext4-view` 1.0 takes this inode for damaged: it refuses seconds with the highest bit set, which are times
    /// before 1970 and, with the extra bits, from 2038 on.
    pub(super) fn beyond_view(&self) -> bool {
        let classic = [0x8, 0xc, 0x10].map(|at| self.u32(at));
        let created = self.extra_u32(0x90).unwrap_or(0);
        classic.into_iter().chain([created]).any(|seconds| seconds > i32::MAX.cast_unsigned())
    }

    pub(super) fn flags(&self) -> u32 {
        self.u32(0x20)
    }

    pub(super) fn project(&self) -> u32 {
        self.extra_u32(0x9c).unwrap_or(0)
    }

    /// Major and minor number: 8 bits each in the first word, or 12 and 20 bits in the second.
    pub(super) fn device(&self) -> (u32, u32) {
        match (self.u32(0x28), self.u32(0x2c)) {
            (0, new) => ((new & 0xf_ff00) >> 8, (new & 0xff) | (new >> 12 & 0xf_ff00)),
            (old, _) => (old >> 8 & 0xff, old & 0xff),
        }
    }

    pub(super) fn uses_extents(&self) -> bool {
        self.flags() & EXTENTS_FLAG != 0
    }

    /// The 60 bytes that hold the extent tree's root, the block map, or a short symlink.
    pub(super) fn block_area(&self) -> &[u8] {
        &self.bytes[0x28..0x64]
    }

    /// The block of xattrs, 0 for none.
    pub(super) fn xattr_block(&self) -> u64 {
        u64::from(self.u32(0x68)) | u64::from(self.u16(0x76)) << 32
    }

    /// What lies behind the fields: xattrs with their magic number in front.
    pub(super) fn xattr_area(&self) -> &[u8] {
        self.bytes.get(128 + self.extra()..).unwrap_or_default()
    }
}
