//! What a vault holds: catalogues, tar headers, key files, `vault.json`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use vault::fuzzing::{self, Header};
use vault::{Entry, EntryKind, Error, Extent, Identities, Lock, NewObject, Recipient, Store, Vault};

/// Plain lines of a catalogue. What is read and written again reads the same.
pub fn catalogue(data: &[u8]) {
    let Some((header, entries)) = fuzzing::catalogue(data) else { return };
    let mut last = None;
    for entry in &entries {
        assert!(last < Some(&entry.path), "{} is out of order", entry.path);
        last = Some(&entry.path);
    }
    read_again(header, &entries);
}

/// All of them at once: an entry alone would lie in no folder.
fn read_again(mut lines: Header, entries: &[Entry]) {
    for entry in entries {
        entry.write_lines(&mut lines);
    }
    let again = fuzzing::catalogue(&lines).map(|(_, entries)| entries);
    assert_eq!(again.as_deref(), Some(entries));
}

/// Tar headers of whatever entries a catalogue may hold: the `tar` crate reads from them what the entry says.
pub fn member(data: &[u8]) {
    let Some((_, entries)) = fuzzing::catalogue(data) else { return };
    for entry in entries.iter().filter(|entry| entry.kind != EntryKind::Socket) {
        let stored = entry.extents.as_deref().map_or(entry.size, |list| list.iter().map(|extent| extent.len).sum());
        let stored = if entry.blocks.is_some() { 0 } else { stored };
        let head = fuzzing::headers(entry, stored);
        assert_eq!(head.len() % 512, 0);
        check_headers(entry, stored, &head);
    }
}

fn check_headers(entry: &Entry, stored: u64, head: &[u8]) {
    let Member { header, records, map } = Member::read(head);
    let record = |key: &[u8]| records.get(key).map(Vec::as_slice);
    let sparse = record(b"GNU.sparse.name");
    assert_eq!(!map.is_empty(), sparse.is_some(), "only a sparse file has something between header and data");
    assert_eq!(header.entry_size().ok(), Some(map.len() as u64 + stored));
    let mut name = sparse.or(record(b"path")).map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec);
    if entry.kind == EntryKind::Directory {
        assert_eq!(name.pop(), Some(b'/'));
    }
    assert_eq!(name, if entry.path.is_root() { b"." } else { entry.path.as_bytes() });
    let link =
        record(b"linkpath").map(<[u8]>::to_vec).or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
    assert_eq!(link.unwrap_or_default(), entry.link.clone().unwrap_or_default());
    assert_eq!(header.mode().ok(), Some(entry.mode));
    for (key, field, wanted) in [("uid", header.uid(), entry.uid), ("gid", header.gid(), entry.gid)] {
        let found = record(key.as_bytes()).map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(found.or_else(|| Some(field.ok()?.to_string())), Some(wanted.to_string()), "{key}");
    }
    if let Some(numbers) = entry.rdev {
        let field = |number: std::io::Result<Option<u32>>| number.ok().flatten();
        assert_eq!(field(header.device_major()).zip(field(header.device_minor())), Some(numbers));
    }
    if let Some(real) = record(b"GNU.sparse.realsize") {
        assert_eq!(real, entry.size.to_string().as_bytes());
        check_map(entry, map);
    }
    let xattrs = records.keys().filter(|key| key.starts_with(b"SCHILY."));
    assert_eq!(xattrs.count(), if entry.kind == EntryKind::HardLink { 0 } else { entry.xattrs.len() });
}

/// The headers of one member, read as POSIX has them. The `tar` crate's own reader of pax records ends a value at a newline.
struct Member<'a> {
    header: tar::Header,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    map: &'a [u8],
}

impl<'a> Member<'a> {
    fn read(head: &'a [u8]) -> Self {
        let (mut header, mut rest) = Self::header(head);
        let mut records = BTreeMap::new();
        if header.entry_type() == tar::EntryType::XHeader {
            let size = header.entry_size().unwrap_or_else(|why| panic!("{why}")) as usize;
            let (pax, after) = rest.split_at(size.next_multiple_of(512));
            assert!(pax[size..].iter().all(|byte| *byte == 0));
            read_records(&pax[..size], &mut records);
            (header, rest) = Self::header(after);
        }
        Self { header, records, map: rest }
    }

    fn header(bytes: &'a [u8]) -> (tar::Header, &'a [u8]) {
        let (block, rest) = bytes.split_at(512);
        let header = tar::Header::from_byte_slice(block).clone();
        let sum = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
        assert_eq!(header.cksum().ok(), Some(block.iter().enumerate().map(sum).sum()));
        (header, rest)
    }
}

/// `length keyword=value` and a newline, where the length is that of the whole record.
fn read_records(mut bytes: &[u8], records: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    while !bytes.is_empty() {
        let read = || {
            let space = bytes.iter().position(|byte| *byte == b' ')?;
            let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
            let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            Some((len, record[..equals].to_vec(), record[equals + 1..].to_vec()))
        };
        let (len, key, value) = read().unwrap_or_else(|| panic!("a malformed pax record: {}", bytes.escape_ascii()));
        assert!(records.insert(key, value).is_none(), "a pax record comes twice");
        bytes = &bytes[len..];
    }
}

/// The map of a sparse file tells its extents, and its end.
fn check_map(entry: &Entry, map: &[u8]) {
    let text = std::str::from_utf8(map).unwrap_or_else(|why| panic!("{why}"));
    let mut numbers = text.trim_end_matches('\0').lines().map(|line| line.parse::<u64>());
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or_else(|| panic!("{}: its map is cut", entry.path));
    let count = next();
    let found: Vec<Extent> = (0..count).map(|_| Extent { offset: next(), len: next() }).collect();
    assert!(found.last().is_some_and(|last| last.offset + last.len == entry.size));
    let data = found.into_iter().filter(|extent| extent.len > 0);
    let wanted = entry.extents.iter().flatten().filter(|extent| extent.len > 0);
    assert!(data.eq(wanted.copied()));
}

/// Key files, recipients and identity files: nobody's key opens what is not an age file to it.
pub fn key_file(data: &[u8]) {
    let identities = Identities::from_file_text(IDENTITY).unwrap_or_else(|why| panic!("{why}"));
    let _ = fuzzing::open_age(&identities, data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(recipient) = text.parse::<Recipient>() {
        assert!(recipient.to_string().parse::<Recipient>().is_ok());
    }
    if let Ok(found) = Identities::from_file_text(text) {
        let again = Identities::from_file_text(&found.to_file_text());
        assert!(again.is_ok_and(|again| again.recipients() == found.recipients()));
    }
}

/// Made for this test; it opens nothing else.
const IDENTITY: &str = include_str!("../corpus/identity.txt");

/// `vault.json`.
pub fn vault_json(data: &[u8]) {
    if let Ok(vault) = Vault::open(Arc::new(Lone(data.to_vec()))) {
        assert_eq!(vault.id().len(), 32);
    }
}

/// A store in which every object that is asked for has the same bytes, and none is listed.
#[derive(Debug)]
struct Lone(Vec<u8>);

fn read_only(name: &str) -> Error {
    Error::NoSpace { object: name.into() }
}

impl Store for Lone {
    fn read(&self, name: &str, limit: u64) -> vault::Result<Vec<u8>> {
        if self.0.len() as u64 > limit { Err(read_only(name)) } else { Ok(self.0.clone()) }
    }
    fn open(&self, _: &str) -> vault::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.clone())))
    }
    fn size(&self, _: &str) -> vault::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn list(&self, _: &str) -> vault::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn create(&self) -> vault::Result<Box<dyn NewObject>> {
        Err(read_only("new"))
    }
    fn sync(&self) -> vault::Result<()> {
        Ok(())
    }
    fn remove(&self, name: &str) -> vault::Result<()> {
        Err(read_only(name))
    }
    fn append(&self, name: &str, _: &[u8]) -> vault::Result<()> {
        Err(read_only(name))
    }
    fn lock(&self) -> vault::Result<Lock> {
        Err(read_only("lock"))
    }
}
