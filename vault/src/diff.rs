//! What differs between two snapshots: their catalogues, joined as they come, in constant memory.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::entry::Entry;
use crate::error::Result;

/// Something that differs between two entries of the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aspect {
    /// Type of the entry; a file that became another name of an earlier one counts.
    Type,
    /// Content of a file.
    Content,
    /// Target of a symlink, or first name of a hard link.
    Link,
    /// Numbers of a device.
    Device,
    /// Permission bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Time of modification.
    Time,
    /// Extended attributes: ACLs, capabilities, SELinux among them.
    Xattrs,
    /// Inode flags or project id.
    Flags,
}

impl Aspect {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Aspect::Type => "type",
            Aspect::Content => "content",
            Aspect::Link => "link",
            Aspect::Device => "device",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
            Aspect::Time => "time",
            Aspect::Xattrs => "xattrs",
            Aspect::Flags => "flags",
        }
    }

    /// Everything in which two entries differ. Access and change times, inode numbers, and where the holes are, do
    /// not count.
    pub fn between(before: &Entry, after: &Entry) -> Vec<Aspect> {
        let differs = [
            (Aspect::Type, before.kind != after.kind),
            (Aspect::Content, before.content != after.content),
            (Aspect::Link, before.link != after.link),
            (Aspect::Device, before.rdev != after.rdev),
            (Aspect::Mode, before.mode != after.mode),
            (Aspect::Owner, (before.uid, before.gid) != (after.uid, after.gid)),
            (Aspect::Time, before.mtime != after.mtime),
            (Aspect::Xattrs, before.xattrs != after.xattrs),
            (Aspect::Flags, (before.flags, before.project) != (after.flags, after.project)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// In the later snapshot only.
    Added(Box<Entry>),
    /// In the earlier snapshot only.
    Removed(Box<Entry>),
    /// In both, and not the same.
    Changed {
        /// As it was.
        before: Box<Entry>,
        /// As it is.
        after: Box<Entry>,
        /// In what they differ; never empty.
        what: Vec<Aspect>,
    },
}

/// Joins two catalogues, which are in walk order. An error of either ends it.
pub struct Diff<A: Iterator, B: Iterator> {
    before: Peekable<A>,
    after: Peekable<B>,
}

impl<A, B> Diff<A, B>
where
    A: Iterator<Item = Result<Entry>>,
    B: Iterator<Item = Result<Entry>>,
{
    /// What leads from `before` to `after`.
    pub fn new(before: A, after: B) -> Self {
        Diff { before: before.peekable(), after: after.peekable() }
    }

    fn step(&mut self) -> Result<Option<Option<Difference>>> {
        let order = match (self.before.peek(), self.after.peek()) {
            (None, None) => return Ok(None),
            // An error comes out of whichever side has it.
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(_)) => Ordering::Greater,
            (Some(Ok(before)), Some(Ok(after))) => before.path.cmp(&after.path),
        };
        let before = if order.is_le() { self.before.next().transpose()? } else { None };
        let after = if order.is_ge() { self.after.next().transpose()? } else { None };
        Ok(Some(match (before.map(Box::new), after.map(Box::new)) {
            (Some(before), Some(after)) => {
                let what = Aspect::between(&before, &after);
                (!what.is_empty()).then_some(Difference::Changed { before, after, what })
            }
            (Some(before), None) => Some(Difference::Removed(before)),
            (None, after) => after.map(Difference::Added),
        }))
    }
}

impl<A, B> Iterator for Diff<A, B>
where
    A: Iterator<Item = Result<Entry>>,
    B: Iterator<Item = Result<Entry>>,
{
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Result<Difference>> {
        loop {
            match self.step() {
                Ok(Some(None)) => {}
                Ok(found) => return found.flatten().map(Ok),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<A: Iterator, B: Iterator> std::fmt::Debug for Diff<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Diff")
    }
}
