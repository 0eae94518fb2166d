//! The rules that hold between the fields of an entry.

use super::place::{HEADER, checked_sum};
use super::{Entry, EntryKind, first_name};

impl Entry {
    /// The rules that hold between fields.
    pub(super) fn check(&self) -> Result<(), String> {
        let file = self.kind == EntryKind::File;
        let linked = matches!(self.kind, EntryKind::Symlink | EntryKind::HardLink);
        let device = matches!(self.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let fits = self.link.is_some() == linked
            && self.rdev.is_some() == device
            && (self.member.is_none() == (self.kind == EntryKind::Socket))
            && (file || (self.extents.is_none() && self.blocks.is_none() && self.content.is_none() && self.size == 0))
            && (!file || self.content.is_some() != self.blocks.is_some())
            && !(self.blocks.is_some() && self.extents.is_some())
            && self.size <= i64::MAX as u64
            // The kernel's numbers have 12 and 20 bits; no tar header holds the largest of 32.
            && self.rdev.is_none_or(|(major, minor)| major < 1 << 12 && minor < 1 << 20)
            && (!self.path.is_root() || self.kind == EntryKind::Directory);
        if !fits {
            return Err(format!("fields do not fit type {:?}", self.kind.letter()));
        }
        if self.uid == u32::MAX || self.gid == u32::MAX {
            return Err("owner -1, which is nobody".into());
        }
        if self.kind == EntryKind::HardLink {
            first_name(self).map_err(|error| error.to_string())?;
        }
        // So an entry takes no more memory than its member takes room.
        let extents = self.extents.as_ref().map_or(0, Vec::len) as u64;
        let xattrs: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.member.is_some_and(|member| member.head < HEADER + 4 * extents + xattrs as u64)
            && self.kind != EntryKind::HardLink
        {
            return Err("extents and attributes that its headers do not have room for".into());
        }
        if let (true, None, Some(member)) = (file, &self.blocks, &self.member) {
            let stored = match &self.extents {
                Some(list) => checked_sum(list, 0, self.size)?,
                None => self.size,
            };
            if member.head.checked_add(stored).is_none_or(|end| end > member.piece.len) {
                return Err(format!("{stored} bytes of data do not fit the member"));
            }
        }
        Ok(())
    }
}
