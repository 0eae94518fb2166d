//! Reads entry lines in the form that this program writes: fields in their order, no spaces, no escapes. A million lines are
//! read in every run and several times in a restore, and a general parser takes most of the time that takes.
//!
//! It decides nothing by itself: what it does not know it leaves to the general parser, and what it reads it reads alike.

use std::str::from_utf8;

use crate::contents::Digest;
use crate::entry::{Blocks, Entry, EntryKind, Extent, Member, Piece, Time, base64_decode};
use crate::path::{EntryPath, unescape};

/// What is left of a line.
struct Scan<'a>(&'a [u8]);

/// The entry of a line, not yet checked, and how many block lines follow. `None`: let the general parser see.
pub(crate) fn entry(line: &[u8], block_size: u64) -> Option<(Entry, u64)> {
    let mut scan = Scan(line);
    let scan = &mut scan;
    let path = scan.field("{\"path\":")?.bytes()?;
    let path = EntryPath::new(path)?;
    let kind = EntryKind::from_letter(scan.field(",\"type\":")?.text()?)?;
    let mode = scan.field(",\"mode\":")?.octal()?;
    let uid = scan.field(",\"uid\":")?.number()?;
    let gid = scan.field(",\"gid\":")?.number()?;
    let size = scan.optional(",\"size\":", Scan::long)?.unwrap_or(0);
    let mtime = scan.field(",\"mtime\":")?.time()?;
    let atime = scan.field(",\"atime\":")?.time()?;
    let ctime = scan.field(",\"ctime\":")?.time()?;
    let inode = scan.field(",\"inode\":")?.long()?;
    let link = scan.optional(",\"link\":", Scan::bytes)?;
    let rdev = scan.optional(",\"rdev\":", Scan::pair)?;
    let xattrs = scan.optional(",\"xattrs\":", Scan::xattrs)?.unwrap_or_default();
    let flags = scan.optional(",\"flags\":", Scan::number)?.unwrap_or(0);
    let project = scan.optional(",\"project\":", Scan::number)?.unwrap_or(0);
    let content = scan.optional(",\"blake3\":", Scan::digest)?;
    let member = scan.optional(",\"member\":", Scan::member)?;
    let extents = scan.optional(",\"extents\":", Scan::extents)?;
    let own_size = scan.optional(",\"block_size\":", Scan::long)?;
    let blocks = scan.optional(",\"blocks\":", Scan::long)?;
    let sound = scan.0 == b"}"
        && (own_size.is_none() || blocks.is_some())
        && mode <= 0o7777
        && link.as_ref().is_none_or(|l| !l.is_empty() && !l.contains(&0));
    let entry = Entry {
        path,
        kind,
        mode,
        uid,
        gid,
        size,
        mtime,
        atime,
        ctime,
        inode,
        link,
        rdev,
        xattrs,
        flags,
        project,
        content,
        member,
        extents,
        blocks: blocks.map(|_| Blocks { size: own_size.unwrap_or(block_size), list: Vec::new() }),
    };
    sound.then_some((entry, blocks.unwrap_or(0)))
}

impl<'a> Scan<'a> {
    fn field(&mut self, name: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(name.as_bytes())?;
        Some(self)
    }

    /// A field that need not be there. The outer `None`: it is there in a form that is not known here.
    fn optional<T>(&mut self, name: &str, value: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.field(name) {
            Some(scan) => value(scan).map(Some),
            None => Some(None),
        }
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == wanted).then_some(())
    }

    /// A string without escapes of JSON.
    fn text(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let end = self.0.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        self.byte(b'"')?;
        from_utf8(text).ok()
    }

    /// A string in the catalogue's escaped form.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        unescape(self.text()?)
    }

    fn octal(&mut self) -> Option<u32> {
        let digits = self.text()?.as_bytes();
        let sound = (1..=8).contains(&digits.len()) && digits.iter().all(|b| matches!(b, b'0'..=b'7'));
        sound.then(|| digits.iter().fold(0, |value, digit| value << 3 | u32::from(digit - b'0')))
    }

    fn long(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|b| !b.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        // JSON knows no leading zeroes; twenty digits may be too many.
        let sound = (1..20).contains(&digits.len()) && (digits.len() == 1 || digits[0] != b'0');
        self.0 = rest;
        sound.then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    fn number(&mut self) -> Option<u32> {
        self.long()?.try_into().ok()
    }

    fn pair(&mut self) -> Option<(u32, u32)> {
        self.byte(b'[')?;
        let first = self.number()?;
        self.byte(b',')?;
        let second = self.number()?;
        self.byte(b']')?;
        Some((first, second))
    }

    fn time(&mut self) -> Option<Time> {
        self.byte(b'[')?;
        let negative = self.0.first() == Some(&b'-');
        self.0 = &self.0[usize::from(negative)..];
        let seconds = i64::try_from(self.long()?).ok()?;
        if negative && seconds == 0 {
            return None;
        }
        self.byte(b',')?;
        let nsec = self.number()?;
        self.byte(b']')?;
        (nsec < 1_000_000_000).then_some(Time { sec: if negative { -seconds } else { seconds }, nsec })
    }

    fn digest(&mut self) -> Option<Digest> {
        Digest::parse(self.text()?)
    }

    fn member(&mut self) -> Option<Member> {
        self.byte(b'[')?;
        let run = self.number()?;
        let mut rest = [0; 4];
        for value in &mut rest {
            self.byte(b',')?;
            *value = self.long()?;
        }
        self.byte(b']')?;
        let [number, offset, len, head] = rest;
        (head <= len && offset.checked_add(len).is_some())
            .then_some(Member { piece: Piece { run, number, offset, len }, head })
    }

    fn extents(&mut self) -> Option<Vec<Extent>> {
        self.byte(b'[')?;
        let mut extents = Vec::new();
        while self.0.first() != Some(&b']') {
            if !extents.is_empty() {
                self.byte(b',')?;
            }
            self.byte(b'[')?;
            let offset = self.long()?;
            self.byte(b',')?;
            let len = self.long()?;
            self.byte(b']')?;
            extents.push(Extent { offset, len });
        }
        self.byte(b']')?;
        Some(extents)
    }

    /// Attributes in the order of their escaped names, which shows that none comes twice.
    fn xattrs(&mut self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        self.byte(b'{')?;
        let mut xattrs = Vec::new();
        let mut last = "";
        while self.0.first() != Some(&b'}') {
            if !xattrs.is_empty() {
                self.byte(b',')?;
            }
            let name = self.text()?;
            self.byte(b':')?;
            xattrs.push((unescape(name)?, base64_decode(self.text()?)?));
            if xattrs.len() > 1 && last >= name {
                return None;
            }
            last = name;
        }
        self.byte(b'}')?;
        xattrs.sort();
        Some(xattrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines with every field, as they are written.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let time = || (any::<i64>(), 0u32..1_000_000_000).prop_map(|(sec, nsec)| Time { sec, nsec });
        let bytes = || proptest::collection::vec(1u8.., 1..20);
        let path = bytes().prop_filter_map("no path", EntryPath::new);
        let times = (time(), time(), time());
        let numbers = (0u32..0o10000, any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>());
        let rest = (
            proptest::option::of(bytes()),
            proptest::option::of((any::<u32>(), any::<u32>())),
            proptest::collection::btree_map(bytes(), bytes(), 0..3),
            (any::<u32>(), any::<u32>()),
            proptest::option::of(any::<[u8; 32]>()),
            proptest::option::of((any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>())),
            proptest::option::of(proptest::collection::vec((any::<u64>(), any::<u64>()), 0..3)),
            0usize..8,
            proptest::option::of(any::<u64>()),
        );
        (path, times, numbers, rest).prop_map(|(path, times, (mode, uid, gid, size, inode), rest)| {
            let (link, rdev, xattrs, (flags, project), content, member, extents, kind, block_size) = rest;
            let letters = ["f", "d", "l", "h", "c", "b", "p", "s"];
            let entry = Entry {
                path,
                kind: EntryKind::from_letter(letters[kind]).unwrap(),
                mode,
                uid,
                gid,
                size,
                mtime: times.0,
                atime: times.1,
                ctime: times.2,
                inode,
                link,
                rdev,
                xattrs: xattrs.into_iter().collect(),
                flags,
                project,
                content: content.map(Digest),
                member: member
                    .map(|(run, number, offset, len, head)| Member { piece: Piece { run, number, offset, len }, head }),
                extents: extents.map(|list| list.into_iter().map(|(offset, len)| Extent { offset, len }).collect()),
                blocks: block_size.map(|size| Blocks { size, list: Vec::new() }),
            };
            let mut line = Vec::new();
            entry.write_lines(&mut line);
            line.pop();
            line
        })
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_the_general_parser_reads_it(line in line(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut changed = line.clone();
            changed[at.index(line.len())] = byte;
            let mut cut = line.clone();
            cut.remove(at.index(line.len()));
            for line in [line, changed, cut] {
                if let Some((entry, blocks)) = entry(&line, 4096) {
                    prop_assert_eq!(Entry::parse_any(&line, 4096), Ok((entry, blocks)), "{}", String::from_utf8_lossy(&line));
                }
            }
        }
    }

    #[test]
    fn the_usual_lines_are_not_left_to_the_general_parser() {
        let line = br#"{"path":"a/b%0A","type":"f","mode":"0644","uid":0,"gid":0,"size":5,"mtime":[-5,7],"atime":[5,7],"ctime":[5,7],"inode":9,"xattrs":{"user.a":"MQ=="},"blake3":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","member":[0,1,2,1024,512],"extents":[[0,2],[3,4]]}"#;
        assert!(entry(line, 4096).is_some());
    }
}
