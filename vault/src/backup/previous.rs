//! What earlier runs stored, from the host's cache folder: the catalogues in clear, as sources to join the walk with.
//!
//! The folder holds `<vault>-<host>.json` (state of the last complete run), the lines it points to, and for a run that was
//! cut its lines as far as they got and a journal of the segments it finished. It is only a cache: whatever in it cannot be
//! read is passed over, and costs reading the files again. It names files of the host, so it is for root alone (0600).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::catalogue::Lines;
use crate::contents::{Digest, RunId, RunRef, SegmentRef};
use crate::entry::{Blocks, Entry, Member, Time};
use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::store::Store;

/// A change within the same tick of the clock that stamps files would not show: files changed this shortly before a run
/// began, or later, are read again by the next run.
const TICK: u32 = 20_000_000;
/// How much of a run in progress may be missing from the cache when the machine stops.
const FLUSH: Duration = Duration::from_secs(1);

/// What a run knows of the segments and of earlier runs; also the journal of a run in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    vault: String,
    /// The run; its lines are in `<run>.lines`.
    pub(super) run: RunId,
    /// When it began, seconds and nanoseconds.
    pub(super) started: (i64, u32),
    /// All runs that its lines may name, in the catalogue's order.
    pub(super) runs: Vec<RunRef>,
    /// All segments that its lines may name.
    pub(super) segments: Vec<Stored>,
}

impl State {
    /// The state at the beginning of a run.
    pub(super) fn new(
        vault: &str,
        run: RunId,
        started: (i64, u32),
        runs: Vec<RunRef>,
        segments: &HashMap<(u32, u64), SegmentRef>,
    ) -> Self {
        let segments = segments.values().map(|segment| Stored { used: segment.opened, segment: segment.clone() });
        State { version: 1, vault: vault.into(), run, started, runs, segments: segments.collect() }
    }
}

/// A segment in the vault and how much of it the last catalogue uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) segment: SegmentRef,
    pub(super) used: u64,
}

/// The cache folder of one host and vault.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    vault: String,
    state: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: &Path, vault: &str, host: &str) -> Result<Self> {
        let folder = folder.join(format!("vault-{vault}-{host}"));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|e| Error::io("making", folder.display().to_string(), e))?;
        Ok(Cache { state: folder.join("state.json"), folder, vault: vault.into() })
    }

    fn create(&self, name: &str) -> Result<File> {
        let path = self.folder.join(name);
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        made.map_err(|e| Error::io("writing", path.display().to_string(), e))
    }

    /// Begins the record of a run.
    pub(super) fn begin(&self, state: &State) -> Result<Journal> {
        let mut journal = self.create(&format!("{}.journal", state.run))?;
        write_line(&mut journal, state).map_err(|e| Error::io("writing", "journal", e))?;
        let lines = self.create(&format!("{}.lines", state.run))?;
        let lines = zstd::stream::write::Encoder::new(lines, 1).map_err(|e| Error::io("writing", "cache", e))?;
        Ok(Journal { journal, lines: Some(lines), flushed: Instant::now() })
    }

    /// Forgets a run that did not finish.
    pub(super) fn discard(&self, run: &RunId) -> Result<()> {
        for name in [format!("{run}.journal"), format!("{run}.lines")] {
            match fs::remove_file(self.folder.join(&name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("removing", name, e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a finished run the one that the next begins from, and removes the record of earlier ones.
    pub(super) fn finish(&self, state: &State) -> Result<()> {
        let failed = |e| Error::io("writing", self.state.display().to_string(), e);
        let mut file = self.create("state.new")?;
        write_line(&mut file, state).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(self.folder.join("state.new"), &self.state).map_err(failed)?;
        let keep = format!("{}.lines", state.run);
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            let name = entry.file_name();
            if name != *keep && name != *"state.json" {
                // What cannot be removed now is passed over by the next run and removed by it.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// The state of the last complete run.
    pub(super) fn complete(&self) -> Option<State> {
        let state: Option<State> = fs::read(&self.state).ok().and_then(|text| serde_json::from_slice(&text).ok());
        state.filter(|state| state.version == 1 && state.vault == self.vault)
    }

    /// Forgets everything: the next run is a full one.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).map_err(|e| Error::io("removing", self.folder.display().to_string(), e))
    }

    /// States of earlier runs, the oldest first. A damaged one is left out.
    fn states(&self) -> Vec<State> {
        let complete = self.complete();
        let mut states: Vec<State> = fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "journal"))
            .filter_map(|entry| journalled(&entry.path()))
            .filter(|state| state.version == 1 && state.vault == self.vault)
            .collect();
        states.sort_by_key(|state| state.started);
        states.retain(|state| complete.as_ref().is_none_or(|c| c.run != state.run && c.started <= state.started));
        complete.into_iter().chain(states).collect()
    }

    /// Everything that may be pointed to from earlier runs, as far as `store` still has it. Of what lies in thin
    /// segments, `rewrite` bytes may not be pointed to: they are read from the live tree and stored afresh, like
    /// whatever else is not in the vault.
    pub(super) fn load(&self, store: &dyn Store, rewrite: u64) -> Result<Previous> {
        let present: HashSet<String> = store.list("segments")?.into_iter().collect();
        let keys: HashSet<String> = store.list("keys")?.into_iter().collect();
        let mut previous = Previous::default();
        for state in self.states() {
            let common = previous.runs.len().min(state.runs.len());
            if previous.runs[..common] != state.runs[..common] {
                continue;
            }
            let Some(lines) = self.lines(&state.run) else { continue };
            if state.runs.len() > previous.runs.len() {
                previous.runs.clone_from(&state.runs);
            }
            let thin = thin(&state.segments, rewrite);
            for stored in state.segments {
                let run = previous.runs.iter().position(|run| run.id == stored.segment.run);
                let kept = present.contains(&stored.segment.object()) && keys.contains(&stored.segment.run.key_name());
                let thin = thin.contains(&stored.segment.sha256);
                if let (Some(run), true, false) = (run, kept, thin) {
                    previous.segments.insert((run as u32, stored.segment.number), stored.segment);
                }
            }
            let started = Time { sec: state.started.0, nsec: state.started.1 };
            previous.sources.push(Source { lines, peek: None, started });
        }
        Ok(previous)
    }

    fn lines(&self, run: &RunId) -> Option<PlainLines> {
        let file = File::open(self.folder.join(format!("{run}.lines"))).ok()?;
        let decoder: Box<dyn Read + Send> = Box::new(zstd::stream::read::Decoder::new(file).ok()?);
        Lines::new(BufReader::with_capacity(1 << 17, decoder), "cache").ok()
    }
}

/// Segments less than half of which is in use, the emptiest first, as long as what is in use of all of them stays
/// within `budget` bytes.
fn thin(segments: &[Stored], budget: u64) -> HashSet<Digest> {
    let share = |stored: &Stored| (u128::from(stored.used) << 32) / u128::from(stored.segment.opened.max(1));
    let mut thin: Vec<&Stored> =
        segments.iter().filter(|stored| stored.used.saturating_mul(2) < stored.segment.opened).collect();
    thin.sort_by_key(|stored| (share(stored), stored.segment.sha256));
    let within = thin.iter().scan(0u64, |sum, stored| {
        *sum = sum.saturating_add(stored.used);
        (*sum <= budget).then_some(stored.segment.sha256)
    });
    within.collect()
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// The state of a run that was cut: its first line, and a line for each segment that it finished.
fn journalled(path: &Path) -> Option<State> {
    let mut lines = BufReader::new(File::open(path).ok()?).lines();
    let mut state: State = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    // The last line may be torn.
    let finished = lines.map_while(|line| serde_json::from_str::<SegmentRef>(&line.ok()?).ok());
    let finished: Vec<_> = finished.map(|segment| Stored { used: segment.opened, segment }).collect();
    state.segments.extend(finished);
    Some(state)
}

/// The record of a run in progress.
pub(super) struct Journal {
    journal: File,
    /// `None` once it is finished.
    lines: Option<zstd::stream::write::Encoder<'static, File>>,
    flushed: Instant,
}

impl Journal {
    /// A segment is in the vault.
    pub(super) fn segment(journal: &mut File, segment: &SegmentRef) -> Result<()> {
        write_line(journal, segment).map_err(|e| Error::io("writing", "journal", e))
    }

    /// A handle for the thread that finishes segments.
    pub(super) fn segments(&self) -> Result<File> {
        self.journal.try_clone().map_err(|e| Error::io("writing", "journal", e))
    }

    pub(super) fn lines(&mut self, bytes: &[u8]) -> Result<()> {
        let flush = self.flushed.elapsed() > FLUSH;
        let mut write = || match &mut self.lines {
            Some(lines) => lines.write_all(bytes).and_then(|()| if flush { lines.flush() } else { Ok(()) }),
            None => Ok(()),
        };
        write().map_err(|e| Error::io("writing", "cache", e))?;
        if flush {
            self.flushed = Instant::now();
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let finished = self.lines.take().map_or(Ok(()), |lines| lines.finish().and_then(|file| file.sync_all()));
        finished.map_err(|e| Error::io("writing", "cache", e))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A run that failed: what it got done serves the next one.
        if let Some(lines) = &mut self.lines {
            let _ = lines.flush();
        }
    }
}

type PlainLines = Lines<BufReader<Box<dyn Read + Send>>>;

struct Source {
    lines: PlainLines,
    peek: Option<Entry>,
    started: Time,
}

impl Source {
    /// The entry of this path. Paths are asked for in walk order, so one pass serves them all.
    fn find(&mut self, path: &EntryPath) -> Option<Entry> {
        loop {
            if self.peek.is_none() {
                // The lines of a cut run end in the middle: as far as they go they are good.
                self.peek = self.lines.next().and_then(std::result::Result::ok);
            }
            match self.peek.as_ref()?.path.cmp(path) {
                std::cmp::Ordering::Less => self.peek = None,
                std::cmp::Ordering::Equal => return self.peek.take(),
                std::cmp::Ordering::Greater => return None,
            }
        }
    }
}

/// Earlier runs, to be joined with a walk.
#[derive(Default)]
pub(super) struct Previous {
    /// Runs in the catalogue's order.
    pub(super) runs: Vec<RunRef>,
    /// Segments that may be pointed to, by place of the run and number.
    pub(super) segments: HashMap<(u32, u64), SegmentRef>,
    sources: Vec<Source>,
}

/// What earlier runs say about a path.
pub(super) enum Match {
    /// It is as it was: point to the old extents.
    Unchanged(Box<Entry>),
    /// It was there, and parts of it may still be the same.
    Candidate(Box<Entry>),
    None,
}

impl Previous {
    fn has(&self, member: &Option<Member>) -> bool {
        member.as_ref().is_none_or(|m| self.segments.contains_key(&(m.piece.run, m.piece.number)))
    }

    /// Made to point to nothing that `other`, read a moment before, may not point to.
    pub(super) fn like(mut self, other: &Previous) -> Self {
        if self.runs != other.runs {
            return Previous::default();
        }
        self.segments.clone_from(&other.segments);
        self
    }

    /// Looks `now` up. Must be called in walk order.
    pub(super) fn find(&mut self, now: &Entry) -> Match {
        let mut sources = std::mem::take(&mut self.sources);
        let mut best = Match::None;
        for source in &mut sources {
            let Some(mut entry) = source.find(&now.path) else { continue };
            let whole = self.has(&entry.member);
            let same = trusted(&entry, source.started) && entry.is_unchanged(now);
            if let Some(Blocks { list: blocks, .. }) = &mut entry.blocks {
                let before = blocks.len();
                blocks.retain(|block| self.has(&block.member));
                if whole && blocks.len() == before && same {
                    best = Match::Unchanged(Box::new(entry));
                } else if (whole || !blocks.is_empty()) && !matches!(best, Match::Unchanged(_)) {
                    entry.member = entry.member.filter(|_| whole);
                    best = Match::Candidate(Box::new(entry));
                }
            } else if whole && same {
                best = Match::Unchanged(Box::new(entry));
            } else if whole && !matches!(best, Match::Unchanged(_)) {
                best = Match::Candidate(Box::new(entry));
            }
        }
        self.sources = sources;
        best
    }
}

/// Whether a later change would have to show in `ctime`.
fn trusted(entry: &Entry, started: Time) -> bool {
    // Filesystems that keep whole seconds: vfat even counts in twos.
    let slack = if entry.ctime.nsec == 0 { (2, 0) } else { (0, TICK) };
    let (sec, nsec) = match started.nsec.checked_sub(slack.1) {
        Some(nsec) => (started.sec - slack.0, nsec),
        None => (started.sec - slack.0 - 1, started.nsec + 1_000_000_000 - slack.1),
    };
    entry.ctime < Time { sec, nsec }
}
