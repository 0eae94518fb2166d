//! What of each segment is still named, what is to be erased, and what lies in it unnamed.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use super::{ErasePlan, hit};
use crate::catalogue::SealedCatalogue;
use crate::contents::{Contents, Digest, RunId, RunRef, SegmentRef};
use crate::entry::{Entry, EntryKind};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::member::BLOCK_FOLDER;
use crate::path::EntryPath;
use crate::seal::{RunKey, open_sealed, read_checked};
use crate::vault::Vault;

/// Names of shared content that are reported; more say nothing new.
const SHARED: usize = 20;

/// A segment and what stays of it.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) segment: SegmentRef,
    run: RunRef,
    /// Offset and length of the members that stay, in order.
    pub(super) stays: Vec<(u64, u64)>,
    /// Members that go.
    goes: Vec<(u64, u64)>,
}

impl Cut {
    /// Bytes that stay.
    pub(super) fn remaining(&self) -> u64 {
        self.stays.iter().map(|(_, len)| len).sum()
    }

    /// The whole tar stream of the segment, which is compared with its digest first.
    pub(super) fn open(&self, vault: &Vault, identities: &Identities) -> Result<Vec<u8>> {
        let (segment, store) = (&self.segment, vault.store.as_ref());
        let key = RunKey::open(&self.run, store, identities)?;
        let sealed = read_checked(store, &segment.object(), segment.size, &segment.sha256)?;
        let mut plain = Vec::new();
        let opened = open_sealed(&sealed[..], &key, segment.number, segment.opened)?.read_to_end(&mut plain);
        match opened {
            Ok(len) if len as u64 == segment.opened => Ok(plain),
            _ => Err(Error::corrupt(segment.object(), "does not open to what the signed list says")),
        }
    }

    /// Stretches between the members that stay: what no catalogue names.
    fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for (offset, len) in self.stays.iter().copied().chain([(self.segment.opened, 0)]) {
            if offset > at {
                gaps.push((at, offset));
            }
            at = at.max(offset + len);
        }
        gaps
    }
}

/// Goes through the catalogues of all snapshots.
pub(super) struct Survey<'a> {
    vault: &'a Vault,
    paths: &'a [EntryPath],
    identities: &'a Identities,
    segments: HashMap<Digest, Cut>,
    erased: Vec<u64>,
    shared: Vec<(EntryPath, EntryPath)>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(vault: &'a Vault, paths: &'a [EntryPath], identities: &'a Identities) -> Self {
        Survey { vault, paths, identities, segments: HashMap::new(), erased: Vec::new(), shared: Vec::new() }
    }

    /// Takes in one snapshot.
    pub(super) fn snapshot(&mut self, contents: &Contents) -> Result<()> {
        let catalogue = SealedCatalogue::read(self.vault, contents, self.identities)?;
        let lines = catalogue.lines()?;
        let places = self.places(contents, &lines.header.runs)?;
        let mut erased = 0;
        for entry in lines {
            let entry = entry?;
            let goes = hit(self.paths, &entry.path);
            erased += u64::from(goes);
            self.note_shared(&entry, goes);
            for member in entry.block_list().iter().filter_map(|block| block.member).chain(entry.member) {
                let digest = places.get(&(member.piece.run, member.piece.number));
                let cut = digest.and_then(|digest| self.segments.get_mut(digest)).ok_or_else(|| {
                    let what = format!("{} lies in a segment that is not in the signed list", entry.path);
                    Error::corrupt(&contents.catalogue.object, what)
                })?;
                let list = if goes { &mut cut.goes } else { &mut cut.stays };
                list.push((member.piece.offset, member.piece.len));
            }
        }
        self.erased.push(erased);
        // Snapshots mostly name the same: what is known already is not kept twice.
        for cut in self.segments.values_mut() {
            for list in [&mut cut.stays, &mut cut.goes] {
                list.sort_unstable();
                list.dedup();
            }
        }
        Ok(())
    }

    /// Which segment a catalogue means by place of the run and number.
    fn places(&mut self, contents: &Contents, runs: &[RunId]) -> Result<HashMap<(u32, u64), Digest>> {
        let ordinals: HashMap<&RunId, u32> = runs.iter().zip(0..).collect();
        let keys: HashMap<&RunId, &RunRef> = contents.runs.iter().map(|run| (&run.id, run)).collect();
        let mut places = HashMap::new();
        for segment in &contents.segments {
            let (Some(ordinal), Some(run)) = (ordinals.get(&segment.run), keys.get(&segment.run)) else {
                return Err(Error::corrupt(segment.object(), "its run is not in the signed list"));
            };
            places.insert((*ordinal, segment.number), segment.sha256);
            self.segments.entry(segment.sha256).or_insert_with(|| Cut {
                segment: segment.clone(),
                run: (*run).clone(),
                stays: Vec::new(),
                goes: Vec::new(),
            });
        }
        Ok(places)
    }

    /// Of several names of one inode either all go, or the content stays.
    fn note_shared(&mut self, entry: &Entry, goes: bool) {
        let first = entry.link.as_ref().filter(|_| entry.kind == EntryKind::HardLink).cloned().and_then(EntryPath::new);
        let Some(first) = first.filter(|first| hit(self.paths, first) != goes) else { return };
        let pair = if goes { (entry.path.clone(), first) } else { (first, entry.path.clone()) };
        if self.shared.len() < SHARED && !self.shared.contains(&pair) {
            self.shared.push(pair);
        }
    }

    /// Decides which segments are cut.
    pub(super) fn finish(self) -> Result<ErasePlan> {
        let mut cuts = BTreeMap::new();
        for (digest, cut) in self.segments {
            if cut.goes.iter().any(|member| cut.stays.binary_search(member).is_ok()) && self.shared.is_empty() {
                return Err(Error::corrupt(
                    cut.segment.object(),
                    "holds data that is to be erased under another name too",
                ));
            }
            if !cut.goes.is_empty() || holds_unnamed(&cut, self.vault, self.paths, self.identities)? {
                cuts.insert(digest, cut);
            }
        }
        Ok(ErasePlan { erased: self.erased, shared: self.shared, cuts })
    }
}

/// Whether what no catalogue names of a segment is, or may be, what is to be erased.
fn holds_unnamed(cut: &Cut, vault: &Vault, paths: &[EntryPath], identities: &Identities) -> Result<bool> {
    let gaps = cut.gaps();
    if gaps.is_empty() {
        return Ok(false);
    }
    let opened = cut.open(vault, identities)?;
    Ok(gaps.iter().any(|(from, to)| is_suspect(&opened[*from as usize..*to as usize], paths)))
}

/// Looks at the names of the members in a stretch of tar stream. A block of a large file does not tell whose it is:
/// it counts, and so does what cannot be read.
fn is_suspect(stream: &[u8], paths: &[EntryPath]) -> bool {
    let mut archive = tar::Archive::new(stream);
    let Ok(members) = archive.entries() else { return true };
    for member in members {
        let Ok(mut member) = member else { return true };
        let sparse = member.pax_extensions().ok().flatten().and_then(|extensions| {
            let mut names = extensions.flatten().filter(|record| record.key_bytes() == b"GNU.sparse.name");
            names.next().map(|record| record.value_bytes().to_vec())
        });
        let name = sparse.unwrap_or_else(|| member.path_bytes().into_owned());
        let link = member.link_name_bytes().map(std::borrow::Cow::into_owned);
        let named = |name: &[u8]| EntryPath::from_argument(name).is_none_or(|path| hit(paths, &path));
        let hard = member.header().entry_type() == tar::EntryType::Link;
        if name.starts_with(BLOCK_FOLDER.as_bytes()) || named(&name) || (hard && link.is_some_and(|link| named(&link)))
        {
            return true;
        }
    }
    false
}
