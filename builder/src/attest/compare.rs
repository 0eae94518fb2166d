//! Entry against entry: what a catalogue says and what an image has. Pure.

use vault::{Digest, Entry, EntryKind, FLAGS_KEPT, Time};

use super::found::Found;

/// One way in which an entry differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unlike {
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Unlike {
    pub(super) fn new(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), found: found.into() }
    }
}

/// Every difference in metadata. `expected` is a first name, never a hard link.
pub(super) fn metadata(expected: &Entry, found: &Found) -> Vec<Unlike> {
    if expected.kind != found.kind {
        return vec![Unlike::new("type", kind(expected.kind), kind(found.kind))];
    }
    let mut unlike = Vec::new();
    let mut check = |what: &str, expected: String, found: String| {
        if expected != found {
            unlike.push(Unlike::new(what, expected, found));
        }
    };
    // Linux gives every symbolic link all permissions.
    if expected.kind != EntryKind::Symlink {
        check("mode", format!("{:04o}", expected.mode), format!("{:04o}", found.mode));
    }
    check("owner", expected.uid.to_string(), found.uid.to_string());
    check("group", expected.gid.to_string(), found.gid.to_string());
    let shown =
        |time: Time| if found.precise { format!("{}.{:09}", time.sec, time.nsec) } else { time.sec.to_string() };
    check("mtime", shown(expected.mtime), shown(found.mtime));
    check("size", expected.size.to_string(), found.size.to_string());
    if expected.kind == EntryKind::Symlink {
        check("target", bytes(expected.link.as_deref()), bytes(found.link.as_deref()));
    }
    let device = |numbers: Option<(u32, u32)>| {
        numbers.map_or_else(|| "none".into(), |(major, minor)| format!("{major}:{minor}"))
    };
    check("device number", device(expected.rdev), device(found.rdev));
    if matches!(expected.kind, EntryKind::File | EntryKind::Directory) {
        check("inode flags", format!("{:#x}", expected.flags & FLAGS_KEPT), format!("{:#x}", found.flags & FLAGS_KEPT));
        check("project", expected.project.to_string(), found.project.to_string());
    }
    unlike.extend(xattrs(&expected.xattrs, &found.xattrs));
    unlike
}

type Xattrs = [(Vec<u8>, Vec<u8>)];

fn xattrs(expected: &Xattrs, found: &Xattrs) -> Vec<Unlike> {
    let value =
        |list: &Xattrs, name: &[u8]| list.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut names: Vec<&[u8]> = expected.iter().chain(found).map(|(name, _)| name.as_slice()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names.into_iter().filter(|name| value(expected, name) != value(found, name));
    differing
        .map(|name| {
            let what = format!("xattr {}", String::from_utf8_lossy(name));
            Unlike::new(what, bytes(value(expected, name).as_deref()), bytes(value(found, name).as_deref()))
        })
        .collect()
}

/// Unequal contents, where both are known.
pub(super) fn content(expected: Option<Digest>, found: &Digest) -> Option<Unlike> {
    let expected = expected?;
    (expected != *found).then(|| Unlike::new("content", expected.to_string(), found.to_string()))
}

/// A type, for people.
pub(super) fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "folder",
        EntryKind::Symlink => "symbolic link",
        EntryKind::HardLink => "hard link",
        EntryKind::CharDevice => "character device",
        EntryKind::BlockDevice => "block device",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
    }
}

/// Bytes as text where they are printable, else in hexadecimal digits; at most 64 of them.
fn bytes(value: Option<&[u8]>) -> String {
    const SHOWN: usize = 64;
    let Some(value) = value else { return "none".into() };
    let cut = &value[..value.len().min(SHOWN)];
    let rest = if value.len() > SHOWN { format!("… ({} bytes)", value.len()) } else { String::new() };
    match std::str::from_utf8(cut) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}{rest}"),
        _ => format!("0x{}{rest}", cut.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
