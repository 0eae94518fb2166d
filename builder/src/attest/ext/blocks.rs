//! From an inode to the blocks of its content: extent trees and block maps.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};

use super::inode::Inode;
use super::volume::Volume;

const EXTENT_MAGIC: u16 = 0xf30a;
/// An extent of more blocks than this was allocated and never written: it reads as zeroes.
const LONGEST_WRITTEN: u16 = 32768;
/// Deepest extent tree that the kernel makes.
const DEEPEST: u16 = 5;
/// Folders and xattr values larger than this are taken for damage.
const LARGEST: u64 = 1 << 30;

impl Volume {
    /// The whole content of a folder, a symlink or an xattr's own inode.
    ///
    /// # Errors
    /// When its map is damaged, or it is larger than 1 GiB.
    pub(super) fn content(&self, inode: &Inode) -> anyhow::Result<Vec<u8>> {
        let size = inode.size();
        ensure!(size <= LARGEST, "inode {} has {size} bytes, too many to be read at once", inode.number);
        let mut bytes = Vec::with_capacity(usize::try_from(size)?);
        self.stream(inode, |block| bytes.extend_from_slice(block))?;
        Ok(bytes)
    }

    /// Gives the content of an inode to `take`, a block at a time, holes as zeroes.
    ///
    /// # Errors
    /// When its map is damaged, or a block cannot be read.
    pub(super) fn stream(&self, inode: &Inode, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let (size, block_size) = (inode.size(), u64::from(self.block_size));
        let wanted = size.div_ceil(block_size);
        let mut map = BTreeMap::new();
        if inode.uses_extents() {
            self.extents(inode.block_area(), None, wanted, &mut map)?;
        } else {
            self.block_map(inode, wanted, &mut map)?;
        }
        let hole = vec![0; self.block_size as usize];
        for logical in 0..wanted {
            let length = usize::try_from(block_size.min(size - logical * block_size))?;
            match map.get(&logical) {
                Some(physical) => take(&self.block(*physical)?[..length]),
                None => take(&hole[..length]),
            }
        }
        Ok(())
    }

    /// Adds an extent node's blocks. A node is below `above`, so that a tree with a circle ends.
    fn extents(
        &self,
        node: &[u8],
        above: Option<u16>,
        wanted: u64,
        map: &mut BTreeMap<u64, u64>,
    ) -> anyhow::Result<()> {
        let u16_at = |at: usize| u16::from_le_bytes([node[at], node[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([node[at], node[at + 1], node[at + 2], node[at + 3]]);
        ensure!(node.len() >= 12 && u16_at(0) == EXTENT_MAGIC, "an extent node without its magic number");
        let (count, depth) = (usize::from(u16_at(2)), u16_at(6));
        ensure!(12 * (count + 1) <= node.len(), "an extent node with {count} entries");
        ensure!(above.map_or(depth <= DEEPEST, |above| depth < above), "an extent tree that does not end");
        for at in (1..=count).map(|index| 12 * index) {
            let logical = u64::from(u32_at(at));
            if depth > 0 {
                let child = u64::from(u32_at(at + 4)) | u64::from(u16_at(at + 8)) << 32;
                self.extents(&self.block(child)?, Some(depth), wanted, map)?;
                continue;
            }
            let length = u16_at(at + 4);
            let physical = u64::from(u32_at(at + 8)) | u64::from(u16_at(at + 6)) << 32;
            if length <= LONGEST_WRITTEN {
                let blocks = u64::from(length).min(wanted.saturating_sub(logical));
                map.extend((0..blocks).map(|index| (logical + index, physical + index)));
            }
        }
        Ok(())
    }

    /// Twelve direct blocks, then one, two and three levels of blocks of numbers.
    fn block_map(&self, inode: &Inode, wanted: u64, map: &mut BTreeMap<u64, u64>) -> anyhow::Result<()> {
        let numbers = words(inode.block_area());
        let mut next = 0;
        for (index, &number) in numbers.iter().enumerate() {
            let level = index.saturating_sub(11) as u32;
            self.mapped(number, level, wanted, &mut next, map)?;
        }
        if next < wanted {
            bail!("inode {} has more content than its block map can hold", inode.number);
        }
        Ok(())
    }

    fn mapped(
        &self,
        number: u32,
        level: u32,
        wanted: u64,
        next: &mut u64,
        map: &mut BTreeMap<u64, u64>,
    ) -> anyhow::Result<()> {
        if *next >= wanted {
            return Ok(());
        }
        let per_block = u64::from(self.block_size / 4);
        if number == 0 {
            *next += per_block.pow(level);
        } else if level == 0 {
            map.insert(*next, number.into());
            *next += 1;
        } else {
            for child in words(&self.block(number.into())?) {
                self.mapped(child, level - 1, wanted, next, map)?;
            }
        }
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}
