//! Writes entry lines. By hand, for a run writes a million of them.

use super::base64::base64_into;
use super::{Entry, EntryKind, Extent, Member, Time};
use crate::contents::Digest;
use crate::path::escape_into;

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
pub(super) fn decimal(out: &mut Vec<u8>, mut value: u64) {
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

pub(super) fn digest(out: &mut Vec<u8>, name: &str, digest: &Digest) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(&digest.hex());
    out.push(b'"');
}

pub(super) fn member(out: &mut Vec<u8>, member: &Option<Member>) {
    if let Some(Member { piece, head }) = member {
        key(out, "member");
        numbers(out, &[piece.run.into(), piece.number, piece.offset, piece.len, *head]);
    }
}

pub(super) fn extents(out: &mut Vec<u8>, extents: &[Extent]) {
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
            number(out, "block_size", blocks.size);
            number(out, "blocks", blocks.list.len() as u64);
        }
        out.extend_from_slice(b"}\n");
        self.block_list().iter().for_each(|block| block.write_line(out));
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
}
