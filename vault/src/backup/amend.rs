//! The host's cache after an erasure: what was erased leaves it too, and the next run still finds what is stored where.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::previous::{Cache, State, Stored};
use crate::catalogue::SealedCatalogue;
use crate::contents::{Contents, RunId, SegmentRef};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::vault::Vault;

impl Vault {
    /// Brings the cache of `host` in `folder` up to an amended newest snapshot: `before` is what its manifest said,
    /// `after` what it says now. What cut runs left is removed, and all of it where the cache is of another snapshot.
    /// Without a cache nothing is done.
    ///
    /// # Errors
    /// When the catalogue cannot be opened, or the folder cannot be written.
    pub fn amend_cache(
        &self,
        folder: &Path,
        host: &str,
        before: &Contents,
        after: &Contents,
        identities: &Identities,
    ) -> Result<()> {
        if !folder.join(format!("vault-{}-{host}", self.id())).is_dir() {
            return Ok(());
        }
        let cache = Cache::new(folder, self.id(), host)?;
        match cache.complete().filter(|state| state.run == before.catalogue.run) {
            None => cache.remove(),
            Some(state) if before == after => cache.finish(&state),
            Some(state) => self.write_cache(&cache, state.started, after, identities),
        }
    }

    /// Makes the cache as the run that wrote this snapshot would have left it.
    fn write_cache(
        &self,
        cache: &Cache,
        started: (i64, u32),
        contents: &Contents,
        identities: &Identities,
    ) -> Result<()> {
        let catalogue = SealedCatalogue::read(self, contents, identities)?;
        let lines = catalogue.lines()?;
        let find = |id: &RunId| contents.runs.iter().find(|run| run.id == *id).cloned();
        let runs: Option<Vec<_>> = lines.header.runs.iter().map(find).collect();
        let runs = runs.ok_or_else(|| Error::corrupt(&contents.catalogue.object, "names a run without a key"))?;
        let ordinals: HashMap<&RunId, u32> = runs.iter().map(|run| &run.id).zip(0..).collect();
        let place = |segment: &SegmentRef| ordinals.get(&segment.run).map(|ordinal| (*ordinal, segment.number));
        let mut used: HashMap<(u32, u64), u64> = HashMap::new();
        for entry in lines {
            let entry = entry?;
            for member in entry.block_list().iter().filter_map(|block| block.member).chain(entry.member) {
                *used.entry((member.piece.run, member.piece.number)).or_default() += member.piece.len;
            }
        }
        let stored = |segment: &SegmentRef| {
            let used = place(segment).and_then(|place| used.get(&place)).copied().unwrap_or(0);
            Stored { segment: segment.clone(), used }
        };
        let segments = contents.segments.iter().map(stored).collect();
        let mut state = State::new(self.id(), contents.catalogue.run.clone(), started, runs, &HashMap::new());
        state.segments = segments;
        let mut journal = cache.begin(&state)?;
        let mut plain = catalogue.plain()?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match plain.read(&mut buffer).map_err(|e| Error::io("reading", &contents.catalogue.object, e))? {
                0 => break,
                n => journal.lines(&buffer[..n])?,
            }
        }
        journal.finish()?;
        cache.finish(&state)
    }
}
