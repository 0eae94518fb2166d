//! What a block device holds, by the marks that its first bytes carry: for people, who must know what is about to be destroyed.

use layout::ext::Ext;
use layout::swap::Swap;

/// Bytes that [`name`] wants.
pub const LENGTH: usize = 128 * 1024;

/// Marks that need nothing but their place: offset, bytes, name.
const MARKS: [(usize, &[u8], &str); 9] = [
    (0, b"LUKS\xba\xbe", "LUKS (encrypted)"),
    (0, b"XFSB", "XFS"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"-FVE-FS-", "BitLocker (encrypted)"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "RAID member"),
    (0, &[0xfc, 0x4e, 0x2b, 0xa9], "RAID member"),
    (0x8001, b"CD001", "ISO 9660"),
];

/// A name for what begins with `start`; none where nothing is known.
pub fn name(start: &[u8]) -> Option<String> {
    let superblock = start.get(1024..2048).and_then(|bytes| Ext::parse(bytes).ok());
    if let Some(ext) = superblock {
        return Some(labelled(&ext.fstype, &ext.label));
    }
    if let Some(swap) = Swap::parse(start) {
        return Some(labelled("swap", &swap.label));
    }
    if let Some((_, _, name)) = MARKS.iter().find(|(at, mark, _)| start.get(*at..*at + mark.len()) == Some(mark)) {
        return Some((*name).to_owned());
    }
    if zfs(start) {
        return Some("ZFS pool member".to_owned());
    }
    let lvm = (0..4).any(|sector| start.get(sector * 512..sector * 512 + 8) == Some(b"LABELONE"));
    if lvm {
        return Some("LVM physical volume".to_owned());
    }
    fat(start)
}

/// The first label of ZFS keeps what it says of the pool at 16 KiB, as an XDR list that begins with the version.
fn zfs(start: &[u8]) -> bool {
    const LIST: usize = 16 << 10;
    start
        .get(LIST..LIST + 64)
        .is_some_and(|list| list.starts_with(&[1, 1]) && list.windows(7).any(|name| name == b"version"))
}

/// The label in a FAT boot sector: at 71 of FAT32, at 43 of the smaller ones.
fn fat(start: &[u8]) -> Option<String> {
    let sector = start.get(..512)?;
    let label = match (&sector[82..87], &sector[54..57]) {
        (b"FAT32", _) => &sector[71..82],
        (_, b"FAT") => &sector[43..54],
        _ => return None,
    };
    let label = String::from_utf8_lossy(label).trim().to_owned();
    Some(labelled("vfat", if label == "NO NAME" { "" } else { &label }))
}

fn labelled(what: &str, label: &str) -> String {
    if label.is_empty() { what.to_owned() } else { format!("{what} {label:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut start = vec![0; LENGTH];
        for (at, mark) in marks {
            start[*at..*at + mark.len()].copy_from_slice(mark);
        }
        start
    }

    #[test]
    fn what_is_about_to_be_destroyed_has_a_name() {
        for (marks, expected) in [
            (with(&[(0, b"LUKS\xba\xbe\0\x02")]), Some("LUKS (encrypted)")),
            (with(&[(512, b"LABELONE")]), Some("LVM physical volume")),
            (with(&[(3, b"NTFS    ")]), Some("NTFS")),
            (with(&[(16384, &[1, 1]), (16384 + 24, b"version")]), Some("ZFS pool member")),
            (with(&[(82, b"FAT32   "), (71, b"LIFEBOATESP")]), Some("vfat \"LIFEBOATESP\"")),
            (with(&[(54, b"FAT16   "), (43, b"NO NAME    ")]), Some("vfat")),
            (with(&[]), None),
            (Vec::new(), None),
        ] {
            assert_eq!(name(&marks).as_deref(), expected);
        }
    }
}
