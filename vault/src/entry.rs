//! One entry of a snapshot, as the catalogue holds it, and its JSON line. See `docs/FORMAT.md`, "Catalogue".
//!
//! [`line`] writes it; [`scan`] reads it, or where its form is not the usual one [`json`]; [`check`] holds the rules.

mod base64;
mod block;
mod check;
mod json;
mod kind;
mod line;
mod place;

pub(crate) use base64::base64_decode;
pub use block::{Block, Blocks};
pub use kind::EntryKind;
pub use place::{Extent, Member, Piece};

use crate::content::ContentHasher;
use crate::contents::Digest;
use crate::error::Error;
use crate::path::EntryPath;
use crate::scan;

/// A time as the kernel keeps it: whole seconds since 1970, rounded down, and nanoseconds from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub sec: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

/// An entry of a snapshot with everything that Linux restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Size in bytes of a regular file, else 0.
    pub size: u64,
    /// Last modification.
    pub mtime: Time,
    /// Last access, as it was when the entry was stored.
    pub atime: Time,
    /// Last change of metadata; not restorable, tells the next run whether something changed.
    pub ctime: Time,
    /// Inode number; for the next run only.
    pub inode: u64,
    /// Target of a symlink, or path of the first name of a hard link, as bytes.
    pub link: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub rdev: Option<(u32, u32)>,
    /// Extended attributes, sorted by name: ACLs, capabilities, SELinux, trusted and user ones.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Inode flags as `FS_IOC_GETFLAGS` gives them, masked to those that can be set.
    pub flags: u32,
    /// Project id.
    pub project: u32,
    /// BLAKE3 of the content of a regular file that is not large, holes read as zeroes. For a large file it is made from
    /// its blocks, see [`crate::ContentHasher`].
    pub content: Option<Digest>,
    /// The tar member; `None` for sockets, which tar cannot hold.
    pub member: Option<Member>,
    /// Stretches with data of a regular file with holes; `None` when it has none.
    pub extents: Option<Vec<Extent>>,
    /// Blocks of a large file; `None` for every other.
    pub blocks: Option<Blocks>,
}

impl Entry {
    /// Parses an entry line. Returns how many block lines follow; [`Entry::blocks`] is then `Some` and empty. `block_size` is
    /// that of a large file that has none of its own.
    pub(crate) fn parse_line(line: &[u8], block_size: u64) -> Result<(Entry, u64), String> {
        let (entry, blocks) = match scan::entry(line, block_size) {
            Some(read) => read,
            None => Entry::parse_any(line, block_size)?,
        };
        entry.check()?;
        Ok((entry, blocks))
    }

    /// Blocks of a large file, by offset; of others none.
    pub fn block_list(&self) -> &[Block] {
        self.blocks.as_ref().map_or(&[], |blocks| &blocks.list)
    }

    /// First byte after one of its blocks.
    pub(crate) fn block_end(&self, block: &Block) -> u64 {
        let size = self.blocks.as_ref().map_or(0, |blocks| blocks.size);
        self.size.min(block.offset + size)
    }

    /// Computes what [`Entry::content`] holds, from the bytes of a file that should be as this one.
    pub fn content_hasher(&self) -> ContentHasher {
        ContentHasher::new(self.size, self.blocks.as_ref().map(|blocks| blocks.size))
    }

    /// Whether this entry stands for the same inode content and metadata as a listing that shows these values.
    pub(crate) fn is_unchanged(&self, other: &Entry) -> bool {
        (self.kind, self.size, self.inode, self.mtime, self.ctime)
            == (other.kind, other.size, other.inode, other.mtime, other.ctime)
    }
}

/// The path that a hard link names.
pub(crate) fn first_name(entry: &Entry) -> crate::Result<EntryPath> {
    let path = entry.link.clone().and_then(EntryPath::new).filter(|first| *first < entry.path);
    path.ok_or_else(|| Error::corrupt("catalogue", format!("{} is a hard link to nothing before it", entry.path)))
}
