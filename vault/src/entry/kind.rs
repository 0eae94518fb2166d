//! Types of entries and the letters that the catalogue has for them.

/// Type of an entry, with the letter that the catalogue uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// `f`
    File,
    /// `d`
    Directory,
    /// `l`
    Symlink,
    /// `h`: another name of an earlier entry, of any type but a directory.
    HardLink,
    /// `c`
    CharDevice,
    /// `b`
    BlockDevice,
    /// `p`
    Fifo,
    /// `s`
    Socket,
}

impl EntryKind {
    const LETTERS: [(EntryKind, char); 8] = [
        (EntryKind::File, 'f'),
        (EntryKind::Directory, 'd'),
        (EntryKind::Symlink, 'l'),
        (EntryKind::HardLink, 'h'),
        (EntryKind::CharDevice, 'c'),
        (EntryKind::BlockDevice, 'b'),
        (EntryKind::Fifo, 'p'),
        (EntryKind::Socket, 's'),
    ];

    /// The letter in the catalogue.
    pub fn letter(self) -> char {
        Self::LETTERS.iter().find(|(kind, _)| *kind == self).map_or('?', |(_, letter)| *letter)
    }

    pub(crate) fn from_letter(text: &str) -> Option<Self> {
        Self::LETTERS.iter().find(|(_, letter)| text == letter.encode_utf8(&mut [0; 4])).map(|(kind, _)| *kind)
    }
}
