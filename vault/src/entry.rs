//! One entry of a snapshot, as the catalogue holds it, and its JSON line. See `docs/FORMAT.md`, "Catalogue".
//!
//! A line is written by hand into a buffer (a million of them per run) and read by [`scan`], or where its form is not the usual
//! one with `serde_json`, unknown fields refused.

use std::borrow::Cow;

use serde::Deserialize;

use crate::contents::Digest;
use crate::error::Error;
use crate::path::{EntryPath, escape, escape_into, unescape};
use crate::scan;

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

/// A time as the kernel keeps it: whole seconds since 1970, rounded down, and nanoseconds from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub sec: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

/// A stretch of an opened segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Place of the run in the catalogue's list of runs.
    pub run: u32,
    /// Number of the segment in that run.
    pub number: u64,
    /// First byte in the opened segment.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// A stretch of a file that holds data; what lies between such stretches is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Extent {
    /// First byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Where a tar member lies: its headers, then its data, then padding to 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The whole member.
    pub piece: Piece,
    /// Bytes before the data: headers, and the map of a sparse file.
    pub head: u64,
}

/// One block of a large file (see [`Entry::blocks`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// First byte in the file, a multiple of the vault's block size.
    pub offset: u64,
    /// BLAKE3 of the block's whole content, holes read as zeroes.
    pub content: Digest,
    /// Where the data lies; `None` when all of it is zeroes.
    pub member: Option<Member>,
    /// Stretches of the file with data, in order; in the member they follow each other. When `member` is `None` they are
    /// zeroes that occupy space, as opposed to holes.
    pub extents: Vec<Extent>,
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
    /// Blocks of a large file; `None` for every other. A block that is missing is a hole.
    pub blocks: Option<Vec<Block>>,
}

/// Appends `"name":` with a comma before it.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    key(out, name);
    out.push(b'"');
    escape_into(out, bytes);
    out.push(b'"');
}

/// Appends a number in decimal; `write!` takes several times as long, and a line has two dozen numbers.
fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    decimal(out, value);
}

/// Appends `[a,b,…]`.
fn numbers(out: &mut Vec<u8>, values: &[u64]) {
    for (at, value) in values.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        decimal(out, *value);
    }
    out.push(b']');
}

fn time(out: &mut Vec<u8>, name: &str, time: Time) {
    key(out, name);
    out.push(b'[');
    if time.sec < 0 {
        out.push(b'-');
    }
    decimal(out, time.sec.unsigned_abs());
    out.push(b',');
    decimal(out, time.nsec.into());
    out.push(b']');
}

fn digest(out: &mut Vec<u8>, name: &str, digest: &Digest) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(&digest.hex());
    out.push(b'"');
}

fn member(out: &mut Vec<u8>, member: &Option<Member>) {
    if let Some(Member { piece, head }) = member {
        key(out, "member");
        numbers(out, &[piece.run.into(), piece.number, piece.offset, piece.len, *head]);
    }
}

fn extents(out: &mut Vec<u8>, extents: &[Extent]) {
    key(out, "extents");
    out.push(b'[');
    for (at, extent) in extents.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        numbers(out, &[extent.offset, extent.len]);
    }
    out.push(b']');
}

impl Entry {
    /// Appends the line of this entry, and after it one line for each block.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"path\":\"");
        escape_into(out, self.path.as_bytes());
        out.extend_from_slice(b"\",\"type\":\"");
        // Every letter is one byte.
        out.push(self.kind.letter() as u8);
        out.extend_from_slice(b"\",\"mode\":\"");
        out.extend([9, 6, 3, 0].map(|shift| b'0' + (self.mode >> shift & 7) as u8));
        out.push(b'"');
        number(out, "uid", self.uid.into());
        number(out, "gid", self.gid.into());
        if self.kind == EntryKind::File {
            number(out, "size", self.size);
        }
        time(out, "mtime", self.mtime);
        time(out, "atime", self.atime);
        time(out, "ctime", self.ctime);
        number(out, "inode", self.inode);
        if let Some(link) = &self.link {
            text(out, "link", link);
        }
        if let Some((major, minor)) = self.rdev {
            key(out, "rdev");
            numbers(out, &[major.into(), minor.into()]);
        }
        if !self.xattrs.is_empty() {
            self.write_xattrs(out);
        }
        if self.flags != 0 {
            number(out, "flags", self.flags.into());
        }
        if self.project != 0 {
            number(out, "project", self.project.into());
        }
        if let (Some(content), None) = (self.content, &self.blocks) {
            digest(out, "blake3", &content);
        }
        member(out, &self.member);
        if let Some(list) = &self.extents {
            extents(out, list);
        }
        if let Some(blocks) = &self.blocks {
            number(out, "blocks", blocks.len() as u64);
        }
        out.extend_from_slice(b"}\n");
        self.blocks.iter().flatten().for_each(|block| block.write_line(out));
    }

    fn write_xattrs(&self, out: &mut Vec<u8>) {
        key(out, "xattrs");
        for (at, (name, value)) in self.xattrs.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
            escape_into(out, name);
            out.extend_from_slice(b"\":\"");
            base64_into(out, value);
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// Whether this entry stands for the same inode content and metadata as a listing that shows these values.
    pub(crate) fn is_unchanged(&self, other: &Entry) -> bool {
        (self.kind, self.size, self.inode, self.mtime, self.ctime)
            == (other.kind, other.size, other.inode, other.mtime, other.ctime)
    }
}

impl Block {
    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"block\":");
        decimal(out, self.offset);
        digest(out, "blake3", &self.content);
        member(out, &self.member);
        extents(out, &self.extents);
        out.extend_from_slice(b"}\n");
    }
}

/// An entry line as it is in JSON, before the checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    mode: Cow<'a, str>,
    uid: u32,
    gid: u32,
    #[serde(default)]
    size: u64,
    mtime: (i64, u32),
    atime: (i64, u32),
    ctime: (i64, u32),
    inode: u64,
    #[serde(borrow, default)]
    link: Option<Cow<'a, str>>,
    #[serde(default)]
    rdev: Option<(u32, u32)>,
    #[serde(borrow, default)]
    xattrs: Option<RawXattrs<'a>>,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    project: u32,
    #[serde(default, borrow)]
    blake3: Option<Cow<'a, str>>,
    #[serde(default)]
    member: Option<(u32, u64, u64, u64, u64)>,
    #[serde(default)]
    extents: Option<Vec<Extent>>,
    #[serde(default)]
    blocks: Option<u64>,
}

type RawXattrs<'a> = std::collections::BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// A block line as it is in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock<'a> {
    block: u64,
    #[serde(borrow)]
    blake3: Cow<'a, str>,
    #[serde(default)]
    member: Option<(u32, u64, u64, u64, u64)>,
    extents: Vec<Extent>,
}

fn time_of((sec, nsec): (i64, u32)) -> Result<Time, String> {
    if nsec < 1_000_000_000 { Ok(Time { sec, nsec }) } else { Err(format!("{nsec} nanoseconds")) }
}

/// Bytes of a tar header.
const HEADER: u64 = 512;

fn member_of(raw: Option<(u32, u64, u64, u64, u64)>) -> Result<Option<Member>, String> {
    let Some((run, number, offset, len, head)) = raw else { return Ok(None) };
    if !(HEADER..=len).contains(&head) || offset.checked_add(len).is_none() {
        return Err(format!("member of {len} bytes with {head} bytes of headers at {offset}"));
    }
    Ok(Some(Member { piece: Piece { run, number, offset, len }, head }))
}

/// Checks that extents are in order, within `from..to`, and returns their sum.
fn checked_sum(extents: &[Extent], from: u64, to: u64) -> Result<u64, String> {
    let (mut at, mut sum) = (from, 0);
    for extent in extents {
        let sound = |end: &u64| *end <= to && extent.offset >= at && extent.len > 0;
        let end = extent.offset.checked_add(extent.len).filter(sound);
        at = end.ok_or_else(|| format!("extent of {} bytes at {} out of order or range", extent.len, extent.offset))?;
        sum += extent.len;
    }
    Ok(sum)
}

impl Entry {
    /// Parses an entry line. Returns how many block lines follow; [`Entry::blocks`] is then `Some` and empty.
    pub(crate) fn parse_line(line: &[u8]) -> Result<(Entry, u64), String> {
        let (entry, blocks) = match scan::entry(line) {
            Some(read) => read,
            None => Entry::parse_any(line)?,
        };
        entry.check()?;
        Ok((entry, blocks))
    }

    /// Parses a line in any form that JSON allows; the rules between fields are not yet checked.
    pub(crate) fn parse_any(line: &[u8]) -> Result<(Entry, u64), String> {
        let raw: RawEntry<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let path = unescape(&raw.path).and_then(EntryPath::new).ok_or("path leaves the snapshot or is malformed")?;
        let kind = EntryKind::from_letter(&raw.kind).ok_or_else(|| format!("entry type {:?}", raw.kind))?;
        let mode = u32::from_str_radix(&raw.mode, 8).ok().filter(|m| *m <= 0o7777).ok_or("mode")?;
        let content = raw.blake3.map(|t| Digest::parse(&t).ok_or("blake3")).transpose()?;
        let link =
            raw.link.map(|t| unescape(&t).filter(|l| !l.is_empty() && !l.contains(&0)).ok_or("link")).transpose()?;
        let mut xattrs = Vec::new();
        for (name, value) in raw.xattrs.into_iter().flatten() {
            let name = unescape(&name).filter(|name| (1..=255).contains(&name.len()) && !name.contains(&0));
            xattrs.push((name.ok_or("xattr name")?, base64_decode(&value).ok_or("xattr value")?));
        }
        xattrs.sort();
        if let Some(pair) = xattrs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("the xattr {} comes twice", escape(&pair[0].0)));
        }
        let entry = Entry {
            path,
            kind,
            mode,
            uid: raw.uid,
            gid: raw.gid,
            size: raw.size,
            mtime: time_of(raw.mtime)?,
            atime: time_of(raw.atime)?,
            ctime: time_of(raw.ctime)?,
            inode: raw.inode,
            link,
            rdev: raw.rdev,
            xattrs,
            flags: raw.flags,
            project: raw.project,
            content,
            member: member_of(raw.member)?,
            extents: raw.extents,
            blocks: raw.blocks.map(|_| Vec::new()),
        };
        Ok((entry, raw.blocks.unwrap_or(0)))
    }

    /// The rules that hold between fields.
    fn check(&self) -> Result<(), String> {
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

impl Block {
    /// Parses a block line of a file of `size` bytes.
    pub(crate) fn parse_line(line: &[u8], size: u64, block_size: u64) -> Result<Block, String> {
        let raw: RawBlock<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let content = Digest::parse(&raw.blake3).ok_or("blake3")?;
        if !raw.block.is_multiple_of(block_size) || raw.block >= size {
            return Err(format!("block at {} of a file of {size} bytes", raw.block));
        }
        let member = member_of(raw.member)?;
        let stored = checked_sum(&raw.extents, raw.block, size.min(raw.block + block_size))?;
        if member.is_some_and(|m| m.head.checked_add(stored).is_none_or(|end| end > m.piece.len)) {
            return Err(format!("{stored} bytes of data do not fit the member"));
        }
        Ok(Block { offset: raw.block, content, member, extents: raw.extents })
    }
}

/// The path that a hard link names.
pub(crate) fn first_name(entry: &Entry) -> crate::Result<EntryPath> {
    let path = entry.link.clone().and_then(EntryPath::new).filter(|first| *first < entry.path);
    path.ok_or_else(|| Error::corrupt("catalogue", format!("{} is a hard link to nothing before it", entry.path)))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends standard base64 with padding (the form that `setfattr -v 0s…` takes).
fn base64_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = BASE64[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { digit } else { b'=' });
        }
    }
}

pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    for chunk in body.chunks(4) {
        let mut word = 0u32;
        for byte in chunk {
            word = word << 6 | BASE64.iter().position(|b| b == byte)? as u32;
        }
        word <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}
