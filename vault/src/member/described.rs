//! What the headers of a tar member say, read as stock tar reads them, to compare them with the catalogue. Knows no entries.

use std::collections::BTreeMap;

use tar::Header;

use super::{BLOCK, padding};
use crate::path::escape;

/// Everything that tar makes of one member but its data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// By name of the property, in the words of a message.
    properties: BTreeMap<String, Vec<u8>>,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

impl Described {
    /// Reads the headers of one member, all of `head`.
    pub(super) fn read(head: &[u8]) -> Result<Self, String> {
        let (mut records, mut rest) = (Records::new(), head);
        loop {
            let (header, after) = take_header(rest)?;
            rest = after;
            if header.as_bytes()[156] != b'x' {
                return described(&header, records, rest);
            }
            let size = header.entry_size().map_err(|e| e.to_string())?;
            let padded = size.checked_add(padding(size)).and_then(|n| usize::try_from(n).ok());
            let records_end =
                padded.filter(|end| *end <= rest.len()).ok_or("its pax header is longer than its headers")?;
            read_records(&rest[..size as usize], &mut records)?;
            rest = &rest[records_end..];
        }
    }

    /// The first thing that is said otherwise.
    pub(super) fn difference(&self, wanted: &Described) -> Option<String> {
        let names = self.properties.keys().chain(wanted.properties.keys());
        let name = names.filter(|name| self.properties.get(*name) != wanted.properties.get(*name)).min()?;
        let shown = |value: Option<&Vec<u8>>| match value {
            None => "none".to_owned(),
            Some(value) if matches!(&name[..], "name" | "link target") => format!("\"{}\"", escape(value)),
            Some(value) if value.len() > 100 => format!("{} bytes", value.len()),
            Some(value) => escape(value),
        };
        Some(format!("{name} {} instead of {}", shown(self.properties.get(name)), shown(wanted.properties.get(name))))
    }
}

fn take_header(bytes: &[u8]) -> Result<(Header, &[u8]), String> {
    let block = bytes.get(..BLOCK as usize).ok_or("there is no tar header")?;
    let header = Header::from_byte_slice(block).clone();
    let sum: u32 =
        block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    if header.cksum().ok() != Some(sum) {
        return Err("there is no tar header with a right checksum".into());
    }
    Ok((header, &bytes[BLOCK as usize..]))
}

/// Records `length keyword=value\n`; the length counts the whole record.
fn read_records(mut bytes: &[u8], records: &mut Records) -> Result<(), String> {
    const BAD: &str = "a malformed pax record";
    while !bytes.is_empty() {
        let digits = bytes.iter().position(|b| *b == b' ').ok_or(BAD)?;
        let len: usize = std::str::from_utf8(&bytes[..digits]).ok().and_then(|d| d.parse().ok()).ok_or(BAD)?;
        let record = bytes.get(digits + 1..len).and_then(|record| record.strip_suffix(b"\n")).ok_or(BAD)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or(BAD)?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        bytes = &bytes[len..];
    }
    Ok(())
}

fn described(header: &Header, mut records: Records, rest: &[u8]) -> Result<Described, String> {
    let text = |error: std::io::Error| error.to_string();
    let number = |value: u64| value.to_string().into_bytes();
    let mut all = BTreeMap::new();
    let sparse = records.remove(&b"GNU.sparse.major"[..]);
    records.remove(&b"GNU.sparse.minor"[..]);
    let real = records.remove(&b"GNU.sparse.realsize"[..]);
    let plain = records.remove(&b"path"[..]).unwrap_or_else(|| header.path_bytes().into_owned());
    let mut name = records.remove(&b"GNU.sparse.name"[..]).filter(|_| sparse.is_some()).unwrap_or(plain);
    if name.len() > 1 && name.ends_with(b"/") {
        name.pop();
    }
    all.insert("name".into(), name);
    all.insert("type".into(), vec![header.as_bytes()[156]]);
    let link = records.remove(&b"linkpath"[..]).or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
    all.insert("link target".into(), link.unwrap_or_default());
    all.insert("mode".into(), format!("{:o}", header.mode().map_err(text)?).into_bytes());
    let mut owner = |keyword: &str, field: u64| {
        let value = records.remove(keyword.as_bytes()).unwrap_or_else(|| number(field));
        all.insert(keyword.to_owned(), value);
    };
    owner("uid", header.uid().map_err(text)?);
    owner("gid", header.gid().map_err(text)?);
    let mtime = records.remove(&b"mtime"[..]);
    let mtime = match mtime {
        Some(mtime) => shortest(mtime),
        None => number(header.mtime().map_err(text)?),
    };
    all.insert("mtime".into(), mtime);
    let device = |field: std::io::Result<Option<u32>>| field.ok().flatten().unwrap_or(0);
    let device = format!("{}:{}", device(header.device_major()), device(header.device_minor()));
    all.insert("device".into(), device.into_bytes());
    if sparse.is_some() {
        all.insert("real size".into(), real.unwrap_or_default());
        all.insert("map of holes".into(), rest.to_vec());
    } else if !rest.is_empty() {
        return Err("its headers are shorter than the catalogue says".into());
    }
    let size = header.entry_size().map_err(text)?;
    let data = size.checked_sub(rest.len() as u64).ok_or("its data is shorter than its map of holes")?;
    all.insert("size".into(), number(data));
    // What is left are extended attributes, ACLs, and what this program does not know but tar may.
    all.extend(records.into_iter().map(|(keyword, value)| (escape(&keyword), value)));
    Ok(Described { properties: all })
}

/// A decimal fraction without zeroes at its end.
fn shortest(mut decimal: Vec<u8>) -> Vec<u8> {
    if decimal.contains(&b'.') {
        while decimal.ends_with(b"0") {
            decimal.pop();
        }
        if decimal.ends_with(b".") {
            decimal.pop();
        }
    }
    decimal
}
