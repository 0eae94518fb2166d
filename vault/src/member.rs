//! Tar members: the header blocks of an entry, as stock tar reads them. Headers are made by the `tar` crate; what a ustar
//! header cannot say is in pax records before it (`path`, `linkpath`, `mtime`, `SCHILY.xattr.*`, GNU sparse format 1.0).

mod described;

use std::io::Write;

use tar::{EntryType, Header};

use self::described::Described;
use crate::entry::{Block, Entry, EntryKind, Extent};

/// Members and their data are padded to this.
pub(crate) const BLOCK: u64 = 512;
/// Largest number that seven octal digits hold.
const OCTAL_7: u64 = 0o7777777;
/// Folder name that members with blocks of large files have in the stream; no entry's data comes from such a name.
pub(crate) const BLOCK_FOLDER: &str = "lifeboat-blocks";

/// Bytes of padding after `len` bytes.
pub(crate) fn padding(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK
}

/// The header blocks for an entry, up to its data. `data` is how many bytes of data follow, padding not counted.
/// A file in blocks is written as one hole over its whole size, so that stock tar makes it with all its metadata.
pub(crate) fn headers(entry: &Entry, data: u64) -> Vec<u8> {
    let mut name = match entry.path.as_bytes() {
        b"" => b".".to_vec(),
        path => path.to_vec(),
    };
    if entry.kind == EntryKind::Directory {
        name.push(b'/');
    }
    let whole_hole = [Extent { offset: entry.size, len: 0 }];
    let sparse = match (&entry.extents, &entry.blocks) {
        (_, Some(_)) => Some(&whole_hole[..]),
        (extents, None) => extents.as_deref(),
    };
    let map = sparse.map(|extents| sparse_map(extents, entry.size)).unwrap_or_default();
    let mut pax = Vec::new();
    records(entry, &name, sparse.is_some(), &mut pax);

    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type(entry.kind));
    header.set_mode(entry.mode);
    header.set_uid(u64::from(entry.uid).min(OCTAL_7));
    header.set_gid(u64::from(entry.gid).min(OCTAL_7));
    header.set_size(map.len() as u64 + data);
    header.set_mtime(u64::try_from(entry.mtime.sec).unwrap_or(0).min(0o77777777777));
    if let Some((major, minor)) = entry.rdev {
        // Only ustar headers have these fields, and this is one.
        let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
    }
    set_text(&mut header.as_old_mut().name, if sparse.is_some() { b"GNUSparseFile.0/sparse" } else { &name });
    set_text(&mut header.as_old_mut().linkname, entry.link.as_deref().unwrap_or_default());
    header.set_cksum();

    let mut out = Vec::with_capacity(1024);
    if !pax.is_empty() {
        let mut extended = Header::new_ustar();
        extended.set_entry_type(EntryType::XHeader);
        extended.set_size(pax.len() as u64);
        set_text(&mut extended.as_old_mut().name, b"PaxHeaders/x");
        extended.set_cksum();
        out.extend_from_slice(extended.as_bytes());
        out.extend_from_slice(&pax);
        out.resize(out.len() + padding(pax.len() as u64) as usize, 0);
    }
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&map);
    out
}

/// The header of a member that holds `data` bytes of a block of a large file.
pub(crate) fn block_header(inode: u64, offset: u64, data: u64) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data);
    set_text(&mut header.as_old_mut().name, format!("{BLOCK_FOLDER}/{inode:016x}/{offset:016x}").as_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// What `head`, the headers of a member, says otherwise than the entry; `None` where they agree. Another writer may put the same
/// in other words, so what they say is compared, not the bytes.
pub(crate) fn difference(entry: &Entry, head: &[u8]) -> Option<String> {
    let data = match (&entry.extents, &entry.blocks) {
        (Some(extents), None) => extents.iter().map(|e| e.len).sum(),
        (None, None) => entry.size,
        _ => 0,
    };
    let wanted = headers(entry, data);
    if head == wanted {
        return None;
    }
    match (Described::read(head), Described::read(&wanted)) {
        (Ok(found), Ok(wanted)) => found.difference(&wanted),
        (Err(what), _) | (_, Err(what)) => Some(what),
    }
}

/// The same for a member with a block of a large file.
pub(crate) fn block_difference(block: &Block, head: &[u8]) -> Option<String> {
    let inode = head.get(BLOCK_FOLDER.len() + 1..).and_then(|name| std::str::from_utf8(name.get(..16)?).ok());
    // Written when the file had another inode, it may still hold the block.
    let inode = inode.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let data = block.extents.iter().map(|e| e.len).sum();
    (head != block_header(inode, block.offset, data))
        .then(|| format!("it is not that of the block at {}", block.offset))
}

fn entry_type(kind: EntryKind) -> EntryType {
    match kind {
        // Sockets never get here: they have no member.
        EntryKind::File | EntryKind::Socket => EntryType::Regular,
        EntryKind::Directory => EntryType::Directory,
        EntryKind::Symlink => EntryType::Symlink,
        EntryKind::HardLink => EntryType::Link,
        EntryKind::CharDevice => EntryType::Char,
        EntryKind::BlockDevice => EntryType::Block,
        EntryKind::Fifo => EntryType::Fifo,
    }
}

/// A header field is cut at its end; the full text is then in a pax record.
fn set_text(field: &mut [u8; 100], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// GNU sparse 1.0 map: decimal numbers, one per line, padded to a block. It ends with an empty stretch at the size when
/// the file ends with a hole.
fn sparse_map(extents: &[Extent], size: u64) -> Vec<u8> {
    let end = extents.last().map_or(0, |e| e.offset + e.len);
    let tail = (end < size || extents.is_empty()).then_some(Extent { offset: size, len: 0 });
    let mut map = format!("{}\n", extents.len() + usize::from(tail.is_some())).into_bytes();
    for extent in extents.iter().chain(&tail) {
        // Writing to a Vec cannot fail.
        let _ = write!(map, "{}\n{}\n", extent.offset, extent.len);
    }
    map.resize(map.len() + padding(map.len() as u64) as usize, 0);
    map
}

fn records(entry: &Entry, name: &[u8], sparse: bool, out: &mut Vec<u8>) {
    if sparse {
        record(out, b"GNU.sparse.major", b"1");
        record(out, b"GNU.sparse.minor", b"0");
        record(out, b"GNU.sparse.name", name);
        record(out, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
    } else if name.len() > 100 {
        record(out, b"path", name);
    }
    if entry.link.as_ref().is_some_and(|link| link.len() > 100) {
        record(out, b"linkpath", entry.link.as_deref().unwrap_or_default());
    }
    for (key, value) in [("uid", entry.uid), ("gid", entry.gid)] {
        if u64::from(value) > OCTAL_7 {
            record(out, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    if entry.mtime.nsec != 0 || !(0..=0o77777777777).contains(&entry.mtime.sec) {
        record(out, b"mtime", decimal(entry.mtime.sec, entry.mtime.nsec).as_bytes());
    }
    if entry.kind == EntryKind::HardLink {
        return;
    }
    for (xattr, value) in &entry.xattrs {
        // GNU tar takes ACLs as text and as nothing else: told to restore ACLs it removes those that came as attributes.
        let (keyword, text) = match &xattr[..] {
            b"system.posix_acl_access" => ("SCHILY.acl.access", acl_text(value)),
            b"system.posix_acl_default" => ("SCHILY.acl.default", acl_text(value)),
            _ => ("", None),
        };
        match text {
            Some(text) => record(out, keyword.as_bytes(), text.as_bytes()),
            None => record(out, &[b"SCHILY.xattr.", &xattr_keyword(xattr)[..]].concat(), value),
        }
    }
}

/// A time as a decimal fraction: -1.5 s is second -2 and 500,000,000 ns in the kernel's form.
fn decimal(sec: i64, nsec: u32) -> String {
    match (sec, nsec) {
        (sec, 0) => sec.to_string(),
        (sec, nsec) if sec < 0 => format!("-{}.{:09}", -(sec + 1), 1_000_000_000 - nsec),
        (sec, nsec) => format!("{sec}.{nsec:09}"),
    }
}

/// GNU tar writes `=` and `%` in the names of attributes as `%3D` and `%25`: a keyword ends at the first `=`.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => out.extend_from_slice(b"%3D"),
            b'%' => out.extend_from_slice(b"%25"),
            other => out.push(*other),
        }
    }
    out
}

/// The text form of an ACL in the kernel's form (`linux/posix_acl_xattr.h`): version 2, then per entry tag, permissions, id.
fn acl_text(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    let mut text = String::new();
    if entries.len() % 8 != 0 {
        return None;
    }
    for entry in entries.chunks_exact(8) {
        let (tag, permissions) = (u16::from_le_bytes([entry[0], entry[1]]), entry[2]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let who = match tag {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let letter = |bit: u8, letter: char| if permissions & bit != 0 { letter } else { '-' };
        text += &format!("{who}:{}{}{}\n", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'));
    }
    Some(text)
}

/// One pax record, `length keyword=value\n`; the length counts its own digits.
fn record(out: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    let rest = keyword.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    let _ = write!(out, "{len} ");
    out.extend_from_slice(keyword);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::EntryPath;

    #[test]
    fn a_record_counts_its_own_digits() {
        for len in 0..2000 {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; len]);
            let text = String::from_utf8(out.clone()).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0.parse::<usize>().unwrap(), out.len());
        }
    }

    #[test]
    fn headers_in_other_words_agree_and_a_false_one_is_told() {
        let line = br#"{"path":"a/f","type":"f","mode":"0644","uid":7,"gid":8,"size":9,"mtime":[5,0],"atime":[5,0],"ctime":[5,0],"inode":3,"xattrs":{"user.x":"AQ=="},"blake3":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","member":[0,1,0,2048,1536]}"#;
        let (entry, _) = Entry::parse_line(line, 1 << 20).unwrap();
        let mut nine = Entry { mtime: crate::Time { sec: 5, nsec: 10 }, ..entry.clone() };
        assert_eq!(difference(&entry, &headers(&entry, 9)), None);
        assert_eq!(difference(&entry, &headers(&nine, 9)).unwrap(), "mtime 5.00000001 instead of 5");
        nine.mtime = entry.mtime;
        nine.path = EntryPath::new("b/f").unwrap();
        assert_eq!(difference(&entry, &headers(&nine, 9)).unwrap(), "name \"b/f\" instead of \"a/f\"");
        assert_eq!(difference(&entry, &headers(&entry, 10)).unwrap(), "size 10 instead of 9");
        // The same name and time, said by pax records too.
        let mut pax = Vec::new();
        record(&mut pax, b"path", b"a/f");
        record(&mut pax, b"mtime", b"5.000");
        record(&mut pax, b"SCHILY.xattr.user.x", &[1]);
        let mut head = headers(&entry, 9);
        let mut wordy = head[..512].to_vec();
        wordy[124..136].copy_from_slice(format!("{:011o}\0", pax.len()).as_bytes());
        let sum: u32 =
            wordy.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
        wordy[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        wordy.extend_from_slice(&pax);
        wordy.resize(1024, 0);
        wordy.extend_from_slice(&head[head.len() - 512..]);
        assert_eq!(difference(&entry, &wordy), None);
        head[520] ^= 1;
        assert!(difference(&entry, &head).is_some());
        assert!(difference(&entry, &headers(&entry, 9)[..1000]).is_some());
    }

    #[test]
    fn times_are_decimal_fractions_on_both_sides_of_1970() {
        assert_eq!(decimal(-2, 500_000_000), "-1.500000000");
        assert_eq!(decimal(-1, 999_999_999), "-0.000000001");
        assert_eq!(decimal(-1, 0), "-1");
        assert_eq!(decimal(5_000_000_000, 7), "5000000000.000000007");
    }

    #[test]
    fn an_acl_is_written_as_text_and_a_malformed_one_not_at_all() {
        let acl =
            [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 210, 4, 0, 0, 32, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(acl_text(&acl).unwrap(), "user::rwx\nuser:1234:r-x\nother::---\n");
        assert_eq!(acl_text(&acl[..20]), Some("user::rwx\nuser:1234:r-x\n".into()));
        assert_eq!(acl_text(&acl[..19]), None);
        assert_eq!(acl_text(b""), None);
    }

    #[test]
    fn a_map_tells_of_a_hole_at_the_end() {
        let map = |extents: &[Extent], size| {
            String::from_utf8(sparse_map(extents, size)).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(map(&[], 9), "1\n9\n0\n");
        assert_eq!(map(&[Extent { offset: 4, len: 5 }], 9), "1\n4\n5\n");
        assert_eq!(map(&[Extent { offset: 4, len: 5 }], 20), "2\n4\n5\n20\n0\n");
    }
}
