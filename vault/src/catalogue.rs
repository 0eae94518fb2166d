//! The catalogue: JSON lines from a header to an end mark, one per entry in walk order. Reading checks order and form, so that
//! whoever uses an entry knows that its folder came before it and that no name comes twice.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Cursor, Read};

use serde::{Deserialize, Serialize};

use crate::content::large_content;
use crate::contents::{Contents, RunId};
use crate::description::check_sizes;
use crate::entry::{Block, Blocks, Entry, EntryKind};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::{EntryPath, escape};
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
    /// Lengths of those beginnings of `last` that are folders: what the next entry may lie in.
    folders: Vec<usize>,
    entries: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, object: &str) -> Result<Self> {
        let header =
            Header { catalogue: 0, host: String::new(), serial: 0, segment_size: 0, block_size: 0, runs: Vec::new() };
        let mut lines = Lines {
            input,
            object: object.into(),
            header,
            line: Vec::new(),
            last: None,
            folders: Vec::new(),
            entries: 0,
            ended: false,
        };
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
        check_sizes(lines.header.segment_size, lines.header.block_size)
            .map_err(|error| Error::corrupt(object, format!("first line: {error}")))?;
        let runs = &lines.header.runs;
        let distinct: HashSet<&RunId> = runs.iter().collect();
        if distinct.len() != runs.len() {
            return Err(Error::corrupt(object, "first line: a run is listed twice"));
        }
        Ok(lines)
    }

    /// Reads the catalogue that has the name `object` in a vault: it must be of the host and the snapshot that the name says.
    fn of_snapshot(input: R, object: &str) -> Result<Self> {
        let lines = Lines::new(input, object)?;
        let Header { host, serial, .. } = &lines.header;
        let suffix = object.strip_prefix(&format!("catalogues/{host}/{serial}"));
        if suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with(['.', '-'])) {
            return Ok(lines);
        }
        let host = escape(host.as_bytes());
        Err(Error::corrupt(object, format!("it is the catalogue of snapshot {serial} of {host}")))
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

    /// Refuses an entry that lies in no folder: not in one at all, or below a link or a file.
    fn enter(&mut self, entry: &Entry) -> Result<()> {
        let path = entry.path.as_bytes();
        let last = self.last.as_ref().map_or(&[][..], EntryPath::as_bytes);
        while self
            .folders
            .pop_if(|len| path.get(..*len) != last.get(..*len) || (*len > 0 && path.get(*len) != Some(&b'/')))
            .is_some()
        {}
        if self.folders.last() != Some(&entry.path.split().0.len()) && !(entry.path.is_root() && self.entries == 0) {
            return Err(self.corrupt(format!("{} lies in no folder of the snapshot", entry.path)));
        }
        if entry.kind == EntryKind::Directory {
            self.folders.push(path.len());
        }
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.next_line()?;
        if self.line.starts_with(b"{\"end\":") {
            let end: End = serde_json::from_slice(&self.line).map_err(|e| self.corrupt(e))?;
            self.ended = true;
            if end.end != self.entries {
                return Err(self.corrupt(format!("the end mark counts {}", end.end)));
            }
            if !matches!(self.input.fill_buf(), Ok([])) {
                return Err(self.corrupt("the catalogue goes on after its end mark"));
            }
            return Ok(None);
        }
        let (mut entry, blocks) = Entry::parse_line(&self.line, self.header.block_size).map_err(|e| self.corrupt(e))?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Err(self.corrupt(format!("{} is out of order", entry.path)));
        }
        self.enter(&entry)?;
        if entry.blocks.is_none() && entry.size > self.header.segment_size {
            return Err(self.corrupt(format!("{} is larger than a segment and not in blocks", entry.path)));
        }
        if let Some(Blocks { size, list }) = &mut entry.blocks {
            check_sizes(self.header.segment_size, *size).map_err(|error| self.corrupt(error))?;
            let mut after = 0;
            for _ in 0..blocks {
                self.next_line()?;
                let block = Block::parse_line(&self.line, entry.size, *size);
                let block = block.map_err(|e| self.corrupt(e))?;
                if block.offset < after {
                    return Err(self.corrupt(format!("{}: blocks out of order", entry.path)));
                }
                after = block.offset + *size;
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
        contents.check()?;
        let reference = &contents.catalogue;
        let bytes = read_checked(vault.store.as_ref(), &reference.object, reference.size, &reference.sha256)?;
        let run = contents.runs.iter().find(|run| run.id == reference.run);
        let run = run.ok_or_else(|| Error::corrupt(&reference.object, "its run is not in the signed list"))?;
        let key = RunKey::open(run, vault.store.as_ref(), identities)?;
        // One byte more than there should be shows a catalogue that goes on.
        let opened = reference.opened.saturating_add(1);
        Ok(SealedCatalogue { bytes, key, object: reference.object.clone(), opened })
    }

    /// Goes through it once, so that a catalogue that is refused is refused before anything is written.
    pub(crate) fn check(&self) -> Result<()> {
        self.lines()?.try_for_each(|entry| entry.map(drop))
    }

    /// The lines as they are, unread.
    pub(crate) fn plain(&self) -> Result<impl Read + use<'_>> {
        open_sealed(&self.bytes[..], &self.key, CATALOGUE, self.opened)
    }

    pub(crate) fn lines(&self) -> Result<Lines<impl BufRead + use<'_>>> {
        let plain = open_sealed(&self.bytes[..], &self.key, CATALOGUE, self.opened)?;
        Lines::of_snapshot(BufReader::with_capacity(1 << 17, plain), &self.object)
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
        let input = BufReader::with_capacity(1 << 17, Box::new(plain) as _);
        Ok(Catalogue { lines: Lines::of_snapshot(input, &sealed.object)? })
    }
}
