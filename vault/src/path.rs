//! Names of entries: any bytes that Linux allows, and the escaped form in which the catalogue and messages show them.
//!
//! A path is relative to the root of the snapshot, has no leading or trailing slash, and is empty for the root itself.
//! In text, a byte below 0x20, 0x7f, `"`, `\`, `%` and any byte that is not part of valid UTF-8 is written `%XX`; everything
//! else stands for itself. So a JSON string that holds a name never needs an escape of its own, and `awk` can read it.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Path of an entry inside a snapshot. Made only from bytes that pass [`EntryPath::new`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    /// The root of the snapshot.
    pub fn root() -> Self {
        EntryPath(Vec::new())
    }

    /// A relative path without empty, `.` or `..` components and without NUL; empty means the root.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        let sound =
            |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && part.len() <= 255 && !part.contains(&0);
        (bytes.is_empty() || bytes.split(|b| *b == b'/').all(sound)).then_some(EntryPath(bytes))
    }

    /// Lenient form for arguments: leading, trailing and doubled slashes and `.` components are dropped; `..` is refused.
    pub fn from_argument(bytes: &[u8]) -> Option<Self> {
        let parts: Vec<&[u8]> = bytes.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
        EntryPath::new(parts.join(&b'/'))
    }

    /// The raw bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root of the snapshot.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.split().1
    }

    /// Parent path and last component.
    pub fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&[], &self.0),
        }
    }

    /// The path of a child. `name` comes from a directory listing, so it is one sound component.
    pub(crate) fn child(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        EntryPath(bytes)
    }

    /// Takes the value of another, in the memory that is there.
    pub(crate) fn become_like(&mut self, other: &EntryPath) {
        self.0.clone_from(&other.0);
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn is_at_or_below(&self, ancestor: &EntryPath) -> bool {
        ancestor.is_root()
            || (self.0.starts_with(&ancestor.0)
                && (self.0.len() == ancestor.0.len() || self.0[ancestor.0.len()] == b'/'))
    }

    /// The escaped form, see the module.
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }
}

/// Order of a catalogue: depth first, a folder before what is in it, siblings by bytes.
impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |b: u8| if b == b'/' { 0 } else { b };
        match self.0.iter().zip(&other.0).find(|(a, b)| a != b) {
            Some((a, b)) => key(*a).cmp(&key(*b)),
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.escaped())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({self})")
    }
}

impl Serialize for EntryPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.escaped())
    }
}

impl<'de> Deserialize<'de> for EntryPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unescape(&text)
            .and_then(EntryPath::new)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no path inside a snapshot")))
    }
}

fn plain(byte: u8) -> bool {
    !matches!(byte, 0..0x20 | 0x7f | b'"' | b'\\' | b'%')
}

/// Appends the escaped form of any bytes.
pub(crate) fn escape_into(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.iter().all(|b| plain(*b) && b.is_ascii()) {
        return out.extend_from_slice(bytes);
    }
    let hex = |out: &mut Vec<u8>, b: u8| {
        out.push(b'%');
        out.extend([b >> 4, b & 15].map(|n| b"0123456789ABCDEF"[usize::from(n)]));
    };
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            if plain(byte) { out.push(byte) } else { hex(out, byte) }
        }
        chunk.invalid().iter().for_each(|b| hex(out, *b));
    }
}

/// The escaped form of any bytes.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape_into(&mut out, bytes);
    String::from_utf8(out).unwrap_or_default()
}

/// The bytes of an escaped form; `None` where a `%` is not followed by two hexadecimal digits.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    if !text.contains('%') {
        return Some(text.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_survive_escaping(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = escape(&bytes);
            prop_assert!(text.bytes().all(plain_or_percent));
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }

    fn plain_or_percent(b: u8) -> bool {
        plain(b) || b == b'%'
    }

    #[test]
    fn paths_that_leave_the_snapshot_are_refused() {
        for bad in ["/", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\0b"] {
            assert_eq!(EntryPath::new(bad), None, "{bad:?}");
        }
        assert_eq!(EntryPath::new(vec![b'x'; 256]), None);
        assert!(EntryPath::new("").is_some() && EntryPath::new("a/b c/...").is_some());
    }

    #[test]
    fn a_folder_comes_right_before_what_is_in_it() {
        let path = |t: &str| EntryPath::new(t).unwrap();
        let mut paths = ["a.b", "a/c", "a", "", "a/b/c", "a/b", "b"].map(path);
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/c", "a.b", "b"].map(path));
    }
}
