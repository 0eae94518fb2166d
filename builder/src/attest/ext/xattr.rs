//! Extended attributes: behind an inode's fields, in a block of their own, or each in an inode of its own.

use anyhow::{Context as _, bail, ensure};

use super::inode::Inode;
use super::volume::Volume;

const MAGIC: u32 = 0xea02_0000;
/// Bytes before the entries in a block.
const BLOCK_HEADER: usize = 32;

impl Volume {
    /// Names and values, sorted by name, as `getxattr` gives them.
    ///
    /// # Errors
    /// When an entry points outside its area.
    pub(super) fn xattrs(&self, inode: &Inode) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        let area = inode.xattr_area();
        if area.first_chunk() == Some(&MAGIC.to_le_bytes()) {
            self.entries(&area[4..], 0, &mut found)?;
        }
        if inode.xattr_block() != 0 {
            let block = self.block(inode.xattr_block())?;
            ensure!(
                block.first_chunk() == Some(&MAGIC.to_le_bytes()),
                "inode {} has a damaged xattr block",
                inode.number
            );
            self.entries(&block, BLOCK_HEADER, &mut found)?;
        }
        found.sort();
        Ok(found)
    }

    /// Reads entries from `at` on; values lie at offsets from the start of `area`.
    fn entries(&self, area: &[u8], mut at: usize, found: &mut Vec<(Vec<u8>, Vec<u8>)>) -> anyhow::Result<()> {
        // Four zero bytes end the list; so does the end of the area.
        while let Some(entry) = area.get(at..at + 16).filter(|entry| entry[..4] != [0; 4]) {
            let u32_at = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            let (name_length, index) = (usize::from(entry[0]), entry[1]);
            let offset = usize::from(u16::from_le_bytes([entry[2], entry[3]]));
            let (own_inode, size) = (u32_at(4), u32_at(8) as usize);
            let name = area.get(at + 16..at + 16 + name_length).context("an xattr name that is cut")?;
            let value = if own_inode == 0 {
                area.get(offset..offset.saturating_add(size)).context("an xattr value that is cut")?.to_vec()
            } else {
                let value = self.content(&self.inode(own_inode)?)?;
                ensure!(value.len() == size, "an xattr value of another length than recorded");
                value
            };
            if let Some(prefix) = prefix(index, name)? {
                let value = if prefix.starts_with("system.posix_acl_") { acl(&value)? } else { value };
                found.push(([prefix.as_bytes(), name].concat(), value));
            }
            at += (16 + name_length).next_multiple_of(4);
        }
        Ok(())
    }
}

/// What an index stands for; `None` for what is stored as an xattr and shown as none.
fn prefix(index: u8, name: &[u8]) -> anyhow::Result<Option<&'static str>> {
    Ok(Some(match index {
        0 => "",
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        // Content of a small file.
        7 if name == b"data" => return Ok(None),
        7 => "system.",
        8 => "system.richacl",
        9 => return Ok(None),
        other => bail!("an xattr of the unknown class {other}"),
    }))
}

/// An ACL as `getxattr` gives it: version 2, entries of eight bytes. On disk entries without an id have four.
fn acl(stored: &[u8]) -> anyhow::Result<Vec<u8>> {
    const WITH_ID: [u16; 2] = [0x02, 0x08];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let mut rest = stored.get(4..).context("an ACL that is cut")?;
    while let [tag_low, tag_high, perm_low, perm_high, after @ ..] = rest {
        bytes.extend([*tag_low, *tag_high, *perm_low, *perm_high]);
        if WITH_ID.contains(&u16::from_le_bytes([*tag_low, *tag_high])) {
            let (id, after) = after.split_at_checked(4).context("an ACL that is cut")?;
            bytes.extend(id);
            rest = after;
        } else {
            bytes.extend([0xff; 4]);
            rest = after;
        }
    }
    ensure!(rest.is_empty(), "an ACL that is cut");
    Ok(bytes)
}
