//! One entry as it was found in an image.

use vault::{EntryKind, Time};

/// What an image has under one name.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Path inside its filesystem, without a leading slash.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Bytes of a file's content.
    pub(super) size: u64,
    pub(super) mtime: Time,
    /// The filesystem keeps nanoseconds.
    pub(super) precise: bool,
    pub(super) link: Option<Vec<u8>>,
    pub(super) rdev: Option<(u32, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) flags: u32,
    pub(super) project: u32,
    pub(super) inode: u32,
    /// `ext4-view` cannot read it.
    pub(super) beyond_view: bool,
}
