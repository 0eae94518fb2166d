//! A catalogue without what was erased, its members where they lie now.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use super::recut::{LEVEL, Moved, NewRun};
use super::{Erase, ErasePlan, hit};
use crate::catalogue::{Header, SealedCatalogue, end_line};
use crate::contents::{CatalogueRef, Contents, Digest, RunId, RunRef, SegmentRef, Totals};
use crate::entry::{EntryKind, Member};
use crate::error::{Error, Result};
use crate::manifests::ManifestName;
use crate::seal::{CATALOGUE, SealWriter, Sealed};
use crate::vault::Vault;

/// Lines are passed on when they are this long together.
const CHUNK: usize = 1 << 18;

/// Writes the catalogue of `contents` anew as that of `name`, and says what the snapshot then consists of.
pub(super) fn rewrite(
    vault: &Vault,
    erase: &Erase<'_>,
    contents: &Contents,
    name: &ManifestName,
    plan: &ErasePlan,
    moved: &Moved,
) -> Result<Contents> {
    let catalogue = SealedCatalogue::read(vault, contents, erase.identities)?;
    let lines = catalogue.lines()?;
    let mut map = Map::new(contents, &lines.header.runs, plan, moved);
    let header = Header { runs: map.runs.iter().map(|run| run.id.clone()).collect(), ..lines.header.clone() };
    let own = NewRun::begin(vault)?;
    let mut writer = SealWriter::new(vault.store.as_ref(), &own.key, CATALOGUE, LEVEL)?;
    let object = name.catalogue();
    let failed = |error| Error::io("writing", object.clone(), error);
    let mut totals = Totals { entries: 0, files: 0, bytes: 0, sealed: 0, ..contents.totals.clone() };
    let mut text = header.line();
    for entry in lines {
        let mut entry = entry?;
        if hit(erase.paths, &entry.path) {
            continue;
        }
        let members =
            entry.blocks.iter_mut().flat_map(|blocks| &mut blocks.list).filter_map(|block| block.member.as_mut());
        for member in members.chain(entry.member.as_mut()) {
            map.follow(member)?;
        }
        totals.entries += 1;
        if entry.kind == EntryKind::File {
            totals.files += 1;
            totals.bytes += entry.size;
        }
        entry.write_lines(&mut text);
        if text.len() >= CHUNK {
            writer.write_all(&text).map_err(failed)?;
            text.clear();
        }
    }
    text.extend_from_slice(&end_line(totals.entries));
    writer.write_all(&text).map_err(failed)?;
    let Sealed { object: file, sha256, size, opened } = writer.finish().map_err(failed)?;
    file.commit(&object)?;
    let segments = map.segments()?;
    totals.sealed = segments.iter().map(|segment| segment.size).sum();
    totals.unchanged = totals.unchanged.min(totals.entries);
    let catalogue = CatalogueRef { object, run: own.run.id.clone(), sha256, size, opened };
    // Private parts are no entries: nothing of them is erased, and their runs stay known.
    let private = contents.private.clone();
    let sealed = |run: &&RunRef| private.iter().any(|part| part.run == run.id);
    let kept: Vec<RunRef> =
        contents.runs.iter().filter(sealed).filter(|run| !map.runs.contains(run)).cloned().collect();
    let runs = kept.into_iter().chain(map.runs).chain([own.run]).collect();
    Ok(Contents { runs, segments, catalogue, private, totals })
}

/// From the old catalogue's places to the new one's.
struct Map<'a> {
    /// Runs in the new catalogue's order.
    runs: Vec<RunRef>,
    /// Old segments by the old place of the run and number.
    old: HashMap<(u32, u64), &'a SegmentRef>,
    /// Segments by digest or, for those that were cut afresh, by kind and number.
    moved: &'a Moved,
    plan: &'a ErasePlan,
    /// Segments of the new snapshot, by the new place of the run and number.
    used: HashSet<(u32, u64)>,
    known: HashMap<(u32, u64), &'a SegmentRef>,
}

impl<'a> Map<'a> {
    fn new(contents: &'a Contents, old_runs: &[RunId], plan: &'a ErasePlan, moved: &'a Moved) -> Self {
        let stays = |segment: &&SegmentRef| !plan.cuts.contains_key(&segment.sha256);
        let needed: HashSet<&RunId> = contents.segments.iter().filter(stays).map(|segment| &segment.run).collect();
        let references: HashMap<&RunId, &RunRef> = contents.runs.iter().map(|run| (&run.id, run)).collect();
        let middle = old_runs.iter().filter(|run| needed.contains(run)).filter_map(|run| references.get(run).copied());
        let (first, last) = (moved.plain.as_ref().map(|new| &new.0), moved.links.as_ref().map(|new| &new.0));
        let runs: Vec<RunRef> = first.into_iter().chain(middle).chain(last).cloned().collect();
        let ordinals: HashMap<&RunId, u32> = old_runs.iter().zip(0..).collect();
        let old = contents.segments.iter().filter_map(|s| Some(((*ordinals.get(&s.run)?, s.number), s))).collect();
        let new: HashMap<&RunId, u32> = runs.iter().map(|run| &run.id).zip(0..).collect();
        let fresh = moved.plain.iter().chain(&moved.links).flat_map(|(_, segments)| segments);
        let all = contents.segments.iter().filter(stays).chain(fresh);
        let known = all.filter_map(|s| Some(((*new.get(&s.run)?, s.number), s))).collect();
        Map { runs, old, moved, plan, used: HashSet::new(), known }
    }

    fn ordinal(&self, run: &RunId) -> Option<u32> {
        self.runs.iter().zip(0..).find(|(known, _)| known.id == *run).map(|(_, ordinal)| ordinal)
    }

    /// Points a member to where it lies now.
    fn follow(&mut self, member: &mut Member) -> Result<()> {
        let piece = &mut member.piece;
        let segment = self.old.get(&(piece.run, piece.number)).copied();
        let place = segment.and_then(|segment| {
            let digest: Digest = segment.sha256;
            if !self.plan.cuts.contains_key(&digest) {
                return Some((self.ordinal(&segment.run)?, segment.number, piece.offset));
            }
            let (links, number, offset) = *self.moved.places.get(&(digest, piece.offset))?;
            let run = if links { &self.moved.links } else { &self.moved.plain };
            Some((self.ordinal(&run.as_ref()?.0.id)?, number, offset))
        });
        let what = || Error::corrupt("catalogue", "names a member that was not in it a moment ago");
        (piece.run, piece.number, piece.offset) = place.ok_or_else(what)?;
        self.used.insert((piece.run, piece.number));
        Ok(())
    }

    /// The segments that were followed to, in stream order.
    fn segments(&self) -> Result<Vec<SegmentRef>> {
        let mut used: Vec<_> = self.used.iter().copied().collect();
        used.sort_unstable();
        let find = |place: (u32, u64)| {
            let segment = self.known.get(&place).copied().cloned();
            segment.ok_or_else(|| Error::corrupt("catalogue", "names a segment that is not there"))
        };
        used.into_iter().map(find).collect()
    }
}
