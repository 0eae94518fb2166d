//! Superblock, group descriptors and inodes of an ext filesystem, read by number. Read-only, every access bounded by the window.
//!
//! Beside `ext4-view`, which reads names and contents and does not show inode numbers, xattrs, device numbers or flags.

use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail, ensure};
use layout::ext::Ext;

use super::inode::Inode;
use crate::attest::window::Window;
use crate::capture::content;

const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_INLINE_DATA: u32 = 0x8000;

/// A filesystem's geometry.
#[derive(Debug)]
pub(super) struct Volume {
    window: Window,
    pub(super) block_size: u32,
    inode_size: u32,
    inodes: u32,
    inodes_per_group: u32,
    first_data_block: u32,
    descriptor_size: u32,
    wide: bool,
}

impl Volume {
    /// Opens a filesystem.
    ///
    /// # Errors
    /// When it is none, was not unmounted cleanly, or has a feature that is not read here.
    pub(super) fn open(window: Window) -> anyhow::Result<Self> {
        let ext: Ext = content::ext(&window)?;
        let mut bytes = [0; 1024];
        window.read_exact_at(&mut bytes, layout::ext::superblock::OFFSET)?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let incompat = u32_at(0x60);
        if incompat & INCOMPAT_RECOVER != 0 {
            bail!("it was not unmounted cleanly: its journal holds changes. Run e2fsck -p on a copy and compare that");
        }
        for (bit, name) in [(INCOMPAT_META_BG, "meta_bg"), (INCOMPAT_INLINE_DATA, "inline_data")] {
            ensure!(incompat & bit == 0, "it has the feature {name}, which is not read here");
        }
        let wide = incompat & INCOMPAT_64BIT != 0;
        let descriptor_size = if wide { u32::from(u16::from_le_bytes([bytes[0xfe], bytes[0xff]])) } else { 32 };
        ensure!((32..=1024).contains(&descriptor_size), "its group descriptors have {descriptor_size} bytes");
        let inodes_per_group = u32_at(0x28);
        ensure!(inodes_per_group > 0, "its groups hold no inodes");
        Ok(Self {
            window,
            block_size: ext.block_size,
            inode_size: ext.inode_size,
            inodes: u32_at(0),
            inodes_per_group,
            first_data_block: u32_at(0x14),
            descriptor_size,
            wide,
        })
    }

    /// Reads an inode.
    ///
    /// # Errors
    /// When there is no inode of that number, or it cannot be read.
    pub(super) fn inode(&self, number: u32) -> anyhow::Result<Inode> {
        let read = || {
            ensure!((1..=self.inodes).contains(&number), "there are {} inodes", self.inodes);
            let (group, index) = ((number - 1) / self.inodes_per_group, (number - 1) % self.inodes_per_group);
            let table = self.inode_table(group)?;
            let offset = table
                .checked_mul(self.block_size.into())
                .and_then(|start| start.checked_add(u64::from(index) * u64::from(self.inode_size)))
                .context("its inode table lies beyond every disk")?;
            let mut bytes = vec![0; self.inode_size as usize];
            self.window.read_exact_at(&mut bytes, offset)?;
            Inode::parse(number, bytes)
        };
        read().with_context(|| format!("reading inode {number}"))
    }

    /// First block of a group's inode table.
    fn inode_table(&self, group: u32) -> anyhow::Result<u64> {
        let start = (u64::from(self.first_data_block) + 1) * u64::from(self.block_size);
        let mut bytes = vec![0; self.descriptor_size as usize];
        self.window.read_exact_at(&mut bytes, start + u64::from(group) * u64::from(self.descriptor_size))?;
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|word| word.first_chunk().copied()).map_or(0, u32::from_le_bytes)
        };
        let high = if self.wide { word(0x28) } else { 0 };
        Ok(u64::from(word(0x8)) | u64::from(high) << 32)
    }

    /// Reads one block.
    ///
    /// # Errors
    /// When it lies outside the filesystem.
    pub(super) fn block(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size as usize];
        let offset = number.checked_mul(self.block_size.into()).context("a block number beyond every disk")?;
        self.window.read_exact_at(&mut bytes, offset).with_context(|| format!("reading block {number}"))?;
        Ok(bytes)
    }
}
