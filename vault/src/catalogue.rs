//! The catalogue: JSON lines from a header to an end mark, one per entry in walk order. Reading checks order and form, so that
//! whoever uses an entry knows that its folder came before it and that no name comes twice.

use std::io::{BufRead, BufReader, Cursor, Read};

use serde::{Deserialize, Serialize};

use crate::content::large_content;
use crate::contents::{Contents, RunId};
use crate::entry::{Block, Entry};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::EntryPath;
use crate::seal::{CATALOGUE, RunKey, open_sealed, read_checked};
use crate::vault::{VERSION, Vault};

/// No line is longer: the largest hold all xattrs of an inode.
const LINE_LIMIT: u64 = 64 << 20;

/// First line of a catalogue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Version of the format.
    pub(crate) catalogue: u32,
    pub(crate) host: String,
    pub(crate) serial: u64,
    pub(crate) segment_size: u64,
    pub(crate) block_size: u64,
    /// Runs, by which `member` names segments. Only ever longer from one catalogue to the next.
    pub(crate) runs: Vec<RunId>,
}

impl Header {
    pub(crate) fn line(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Last line of a catalogue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: u64,
}

/// Last line of a catalogue of so many entries.
pub(crate) fn end_line(entries: u64) -> Vec<u8> {
    format!("{{\"end\":{entries}}}\n").into_bytes()
}

/// Reads entries from the plain lines of a catalogue.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    object: String,
    pub(crate) header: Header,
    line: Vec<u8>,
    last: Option<EntryPath>,
    entries: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, object: &str) -> Result<Self> {
        let header =
            Header { catalogue: 0, host: String::new(), serial: 0, segment_size: 0, block_size: 0, runs: Vec::new() };
        let mut lines =
            Lines { input, object: object.into(), header, line: Vec::new(), last: None, entries: 0, ended: false };
        lines.next_line()?;
        #[derive(Deserialize)]
        struct Version {
            catalogue: u32,
        }
        let bad = |e: serde_json::Error| Error::corrupt(object, format!("first line: {e}"));
        let version: Version = serde_json::from_slice(&lines.line).map_err(bad)?;
        if version.catalogue != VERSION {
            let what = format!("catalogue version {}", version.catalogue);
            return Err(Error::Unsupported { object: object.into(), what });
        }
        lines.header = serde_json::from_slice(&lines.line).map_err(bad)?;
        if lines.header.block_size == 0 {
            return Err(Error::corrupt(object, "block size 0"));
        }
        Ok(lines)
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.object, format!("entry {}: {what}", self.entries))
    }

    /// Reads one line, without its newline, into `self.line`.
    fn next_line(&mut self) -> Result<()> {
        self.line.clear();
        let read = (&mut self.input).take(LINE_LIMIT).read_until(b'\n', &mut self.line);
        read.map_err(|e| self.corrupt(format!("cannot be opened: {e}")))?;
        if self.line.pop() == Some(b'\n') { Ok(()) } else { Err(self.corrupt("the catalogue ends in the middle")) }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.next_line()?;
        if self.line.starts_with(b"{\"end\":") {
            let end: End = serde_json::from_slice(&self.line).map_err(|e| self.corrupt(e))?;
            self.ended = true;
            if end.end != self.entries {
                return Err(self.corrupt(format!("the end mark counts {}", end.end)));
            }
            return Ok(None);
        }
        let (mut entry, blocks) = Entry::parse_line(&self.line).map_err(|e| self.corrupt(e))?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Err(self.corrupt(format!("{} is out of order", entry.path)));
        }
        if let Some(list) = &mut entry.blocks {
            let mut after = 0;
            for _ in 0..blocks {
                self.next_line()?;
                let block = Block::parse_line(&self.line, entry.size, self.header.block_size);
                let block = block.map_err(|e| self.corrupt(e))?;
                if block.offset < after {
                    return Err(self.corrupt(format!("{}: blocks out of order", entry.path)));
                }
                after = block.offset + self.header.block_size;
                list.push(block);
            }
            let stored = list.iter().filter(|block| block.member.is_some());
            entry.content = Some(large_content(entry.size, stored.map(|block| (block.offset, block.content))));
        }
        match &mut self.last {
            Some(last) => last.become_like(&entry.path),
            None => self.last = Some(entry.path.clone()),
        }
        self.entries += 1;
        Ok(Some(entry))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.ended {
            return None;
        }
        let next = self.next_entry();
        self.ended |= next.is_err();
        next.transpose()
    }
}

/// A sealed catalogue that was read and checked against the signed digest; can be gone through any number of times.
pub(crate) struct SealedCatalogue {
    bytes: Vec<u8>,
    key: RunKey,
    object: String,
    opened: u64,
}

impl SealedCatalogue {
    pub(crate) fn read(vault: &Vault, contents: &Contents, identities: &Identities) -> Result<Self> {
        let reference = &contents.catalogue;
        let bytes = read_checked(vault.store.as_ref(), &reference.object, reference.size, &reference.sha256)?;
        let run = contents.runs.iter().find(|run| run.id == reference.run);
        let run = run.ok_or_else(|| Error::corrupt(&reference.object, "its run is not in the signed list"))?;
        let key = RunKey::open(run, vault.store.as_ref(), identities)?;
        Ok(SealedCatalogue { bytes, key, object: reference.object.clone(), opened: reference.opened })
    }

    pub(crate) fn lines(&self) -> Result<Lines<impl BufRead + use<'_>>> {
        let plain = open_sealed(&self.bytes[..], &self.key, CATALOGUE, self.opened)?;
        Lines::new(BufReader::with_capacity(1 << 17, plain), &self.object)
    }
}

/// The entries of a snapshot in walk order; see [`Vault::catalogue`].
pub struct Catalogue {
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalogue({} {})", self.lines.header.host, self.lines.header.serial)
    }
}

impl Catalogue {
    /// The host that the catalogue itself names.
    pub fn host(&self) -> &str {
        &self.lines.header.host
    }

    /// The serial that the catalogue itself names.
    pub fn serial(&self) -> u64 {
        self.lines.header.serial
    }
}

impl Iterator for Catalogue {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.lines.next()
    }
}

impl Vault {
    /// The entries of a snapshot, in walk order. The sealed catalogue is compared with the signed digest before it is opened.
    pub fn catalogue(&self, contents: &Contents, identities: &Identities) -> Result<Catalogue> {
        let sealed = SealedCatalogue::read(self, contents, identities)?;
        let plain = open_sealed(Cursor::new(sealed.bytes), &sealed.key, CATALOGUE, sealed.opened)?;
        Ok(Catalogue { lines: Lines::new(BufReader::with_capacity(1 << 17, Box::new(plain) as _), &sealed.object)? })
    }
}
