//! The newc cpio archive of a tree: the same entries make the same bytes.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::tree::{Entry, Group, Node, Tree};

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// An archive, cut where one group ends and the next begins; the parts in order are the archive.
#[derive(Clone, Debug)]
pub struct Archive {
    parts: Vec<(Group, Vec<u8>)>,
}

impl Archive {
    /// The parts in order.
    #[must_use]
    pub fn parts(&self) -> &[(Group, Vec<u8>)] {
        &self.parts
    }

    /// The whole archive.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }
}

impl Tree {
    /// The archive: by group, and by path inside a group. Directories and links come first of all, so that a parent always
    /// precedes what lies in it.
    #[must_use]
    pub fn archive(&self) -> Archive {
        let mut inode = 0;
        let mut parts: Vec<(Group, Vec<u8>)> = Vec::new();
        for group in Group::ALL {
            let mut bytes = Vec::new();
            for (path, entry) in self.entries().filter(|(_, entry)| entry.group == group) {
                inode += 1;
                append(&mut bytes, inode, path, entry);
            }
            if group == Group::Modules {
                header(&mut bytes, TRAILER, &Fields { links: 1, ..Fields::default() });
            }
            parts.push((group, bytes));
        }
        Archive { parts }
    }
}

#[derive(Default)]
struct Fields {
    inode: u32,
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

fn append(bytes: &mut Vec<u8>, inode: u32, path: &Path, entry: &Entry) {
    let (kind, links, content, device): (u32, u32, &[u8], (u32, u32)) = match &entry.node {
        Node::Directory => (DIRECTORY, 2, &[], (0, 0)),
        Node::File(content) => (REGULAR, 1, content, (0, 0)),
        Node::Link(target) => (LINK, 1, target.as_os_str().as_bytes(), (0, 0)),
        Node::CharDevice { major, minor } => (CHAR_DEVICE, 1, &[], (*major, *minor)),
    };
    // Paths in an archive are relative: the kernel unpacks below its root.
    let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
    // Files are read into memory whole, and the budget is a hundredth of what the field holds.
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    header(bytes, name, &Fields { inode, mode: kind | entry.mode, links, size, device });
    bytes.extend_from_slice(content);
    pad(bytes);
}

/// `070701`, then thirteen fields of eight hexadecimal digits, the name with its zero byte, and zeroes up to a multiple of four. Every
/// part of an archive is a multiple of four long, so the padding is right for the whole as well.
fn header(bytes: &mut Vec<u8>, name: &[u8], fields: &Fields) {
    bytes.extend_from_slice(b"070701");
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    let (major, minor) = fields.device;
    // Inode, mode, owner, group, links, time, size, the device it lies on, the device it is, name size, checksum.
    for field in [fields.inode, fields.mode, 0, 0, fields.links, 0, fields.size, 0, 0, major, minor, name_size, 0] {
        bytes.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    bytes.extend_from_slice(name);
    bytes.push(0);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(order: &[usize]) -> Vec<u8> {
        let mut tree = Tree::new();
        for step in order {
            match step {
                0 => tree.file(Path::new("/init"), 0o755, b"program".to_vec(), Group::Rescue),
                1 => tree.link(Path::new("/bin"), Path::new("usr/bin")),
                _ => tree.char_device(Path::new("/dev/console"), 0o600, 5, 1),
            }
            .unwrap();
        }
        tree.archive().bytes()
    }

    #[test]
    fn the_order_in_which_entries_were_added_does_not_show() {
        assert_eq!(sample(&[0, 1, 2]), sample(&[2, 1, 0]));
    }

    #[test]
    fn every_header_starts_on_a_multiple_of_four_and_the_trailer_is_last() {
        let bytes = sample(&[0, 1, 2]);
        let headers = bytes.windows(6).enumerate().filter(|(_, window)| window == b"070701");
        let positions: Vec<usize> = headers.map(|(at, _)| at).collect();
        assert_eq!(positions.len(), 5, "bin, dev, dev/console, init and the trailer");
        assert!(positions.iter().all(|at| at % 4 == 0));
        assert_eq!(&bytes[positions[4] + 110..positions[4] + 120], TRAILER);
        assert_eq!(bytes.len() % 4, 0);
    }
}
