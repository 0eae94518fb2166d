//! A folder's names with their inode numbers, and a symlink's target. Hashed folders read the same way: their index blocks look like free entries.

use std::collections::BTreeMap;

use anyhow::ensure;

use super::inode::Inode;
use super::volume::Volume;

/// Shorter targets lie in the inode itself.
const SHORT_TARGET: u64 = 60;

impl Volume {
    /// What a symlink points to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn target(&self, inode: &Inode) -> anyhow::Result<Vec<u8>> {
        if inode.size() < SHORT_TARGET && !inode.uses_extents() {
            return Ok(inode.block_area()[..usize::try_from(inode.size())?].to_vec());
        }
        self.content(inode)
    }

    /// Names and inode numbers, without `.` and `..`.
    ///
    /// # Errors
    /// When an entry's length does not fit its block.
    pub(super) fn folder(&self, inode: &Inode) -> anyhow::Result<BTreeMap<Vec<u8>, u32>> {
        let content = self.content(inode)?;
        let mut names = BTreeMap::new();
        for block in content.chunks(self.block_size as usize) {
            let mut at = 0;
            while at + 8 <= block.len() {
                let number = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
                let length = match usize::from(u16::from_le_bytes([block[at + 4], block[at + 5]])) {
                    // A block of 64 KiB does not fit the field.
                    0 | 65535 => block.len() - at,
                    length => length,
                };
                let name_length = usize::from(block[at + 6]);
                let sound = length >= 8 && at + length <= block.len() && 8 + name_length <= length;
                ensure!(
                    sound,
                    "folder inode {} has an entry of {length} bytes for a name of {name_length}",
                    inode.number
                );
                let name = &block[at + 8..at + 8 + name_length];
                if number != 0 && !matches!(name, b"" | b"." | b"..") {
                    names.insert(name.to_vec(), number);
                }
                at += length;
            }
        }
        Ok(names)
    }
}
