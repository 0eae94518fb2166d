//! The targets, each held against the medians: reached, or missed and by how much.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::{Figures, Median};
use crate::report::Work;
use crate::statistics::ratio;
use crate::tool::Tool;
use crate::tree::{Tally, Tree};

/// Bytes that may be resident, in every case.
const MEMORY: f64 = 256e6;
/// A run with a small change may add this many times its share of the first backup's time and bytes.
const PROPORTIONAL: f64 = 3.0;
/// Seconds that no machine measures reliably, and bytes that a repository's own files take.
const LEAST_SECONDS: f64 = 0.5;
const LEAST_BYTES: f64 = 1e6;
const TREES: [Tree; 3] = [Tree::Root, Tree::Small, Tree::Image];

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub tree: Tree,
    pub work: Work,
    /// What is compared with what.
    pub what: String,
    /// Lifeboat's figure, in seconds or bytes.
    pub ours: f64,
    /// What it is held against.
    pub theirs: f64,
    /// `ours / theirs`.
    pub ratio: f64,
    /// The ratio to reach.
    pub limit: f64,
    pub reached: bool,
}

impl Verdict {
    /// `reached`, or `missed by 37 %` of the limit.
    pub fn word(&self) -> String {
        if self.reached {
            return "reached".to_owned();
        }
        let excess = (self.ratio / self.limit - 1.0) * 100.0;
        if excess < 1000.0 {
            format!("missed by {excess:.0} %")
        } else {
            format!("missed {:.0} times", self.ratio / self.limit)
        }
    }
}

/// All targets for which there are figures.
pub fn verdicts(figures: &Figures, trees: &BTreeMap<Tree, Tally>) -> Vec<Verdict> {
    let mut found = Vec::new();
    let ours = |tree, work| figures.get(tree, work, Tool::Lifeboat);
    let mut wall = |tree, work, peer: Option<&Median>, limit| {
        let (Some(ours), Some(peer)) = (ours(tree, work), peer) else { return };
        let what = format!("time, against {}", peer.tool.name());
        found.extend(verdict(tree, work, what, ours.wall, peer.wall, limit));
    };
    let named = |tool| figures.get(Tree::Root, Work::First, tool);
    wall(Tree::Root, Work::First, named(Tool::TarZstd), 1.0);
    wall(Tree::Root, Work::First, figures.fastest(Tree::Root, Work::First, Tool::keeps_snapshots), 1.0 / 2.5);
    wall(Tree::Root, Work::First, named(Tool::TarGzip), 1.0 / 12.0);
    for tree in TREES {
        wall(tree, Work::Unchanged, figures.fastest(tree, Work::Unchanged, Tool::keeps_snapshots), 0.5);
    }
    for tree in TREES {
        let repository = figures.fastest(tree, Work::Restore, Tool::keeps_snapshots);
        let any = figures.fastest(tree, Work::Restore, |_| true);
        wall(tree, Work::Restore, repository, 0.7);
        wall(tree, Work::Restore, any.filter(|any| Some(any.tool) != repository.map(|one| one.tool)), 0.7);
    }
    for tree in TREES {
        let tally = trees.get(&tree);
        found.extend(tally.into_iter().flat_map(|tally| proportional(figures, tree, tally)));
    }
    for (tree, work) in TREES.into_iter().flat_map(|tree| Work::ALL.map(|work| (tree, work))) {
        let memory = ours(tree, work).map(|ours| ours.memory);
        found.extend(
            memory.and_then(|memory| verdict(tree, work, "memory, against 256 MB".to_owned(), memory, MEMORY, 1.0)),
        );
    }
    for tree in TREES {
        let restic = figures.get(tree, Work::First, Tool::Restic);
        if let (Some(ours), Some(restic)) = (ours(tree, Work::First), restic) {
            let what = "repository, against restic".to_owned();
            found.extend(verdict(tree, Work::First, what, ours.repository, restic.repository, 1.05));
        }
    }
    found
}

/// What a small change adds to a run, beyond a run without one, against its share of the first backup.
fn proportional(figures: &Figures, tree: Tree, tally: &Tally) -> Vec<Verdict> {
    let ours = |work| figures.get(tree, work, Tool::Lifeboat);
    let (Some(first), Some(unchanged), Some(changed)) = (ours(Work::First), ours(Work::Unchanged), ours(Work::Changed))
    else {
        return Vec::new();
    };
    // Holes cost nobody anything: an image's share is of what it holds.
    let content = tally.data as f64;
    let Some(share) = changed.changed.and_then(|changed| ratio(changed, content)) else { return Vec::new() };
    let percent = share * 100.0;
    let mut verdicts = Vec::new();
    let mut add = |what, of: &dyn Fn(&Median) -> f64, least: f64| {
        let added = (of(changed) - of(unchanged)).max(0.0);
        let allowed = (PROPORTIONAL * share * of(first)).max(least);
        let what = format!(
            "{what} added by a change of {percent:.2} %, against {PROPORTIONAL:.0} times that share of the first"
        );
        verdicts.extend(verdict(tree, Work::Changed, what, added, allowed, 1.0));
    };
    add("time", &|one| one.wall, LEAST_SECONDS);
    add("bytes", &|one| one.written, LEAST_BYTES);
    verdicts
}

fn verdict(tree: Tree, work: Work, what: String, ours: f64, theirs: f64, limit: f64) -> Option<Verdict> {
    let ratio = ratio(ours, theirs)?;
    Some(Verdict { tree, work, what, ours, theirs, ratio, limit, reached: ratio <= limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::measurement;

    fn find<'a>(verdicts: &'a [Verdict], work: Work, what: &str) -> &'a Verdict {
        verdicts.iter().find(|one| one.work == work && one.what.starts_with(what)).unwrap()
    }

    #[test]
    fn a_target_is_reached_at_its_limit_and_missed_beyond_it() {
        let of = |tool, wall| measurement(Tree::Root, Work::First, tool, 1, wall);
        let mut all =
            vec![of(Tool::Lifeboat, 4.0), of(Tool::TarZstd, 3.2), of(Tool::Restic, 11.0), of(Tool::Rustic, 10.0)];
        all[2].repository = 900;
        let verdicts = verdicts(&Figures::of(&all), &BTreeMap::new());
        let zstd = find(&verdicts, Work::First, "time, against tar-zstd");
        assert_eq!((zstd.reached, zstd.word().as_str()), (false, "missed by 25 %"));
        let peer = find(&verdicts, Work::First, "time, against rustic");
        assert_eq!((peer.reached, peer.ratio), (true, 0.4));
        assert!(find(&verdicts, Work::First, "memory").reached);
        assert!(!find(&verdicts, Work::First, "repository").reached);
    }

    #[test]
    fn a_change_may_cost_its_share_and_no_more() {
        let of = |work, wall, written| {
            let mut one = measurement(Tree::Small, work, Tool::Lifeboat, 1, wall);
            (one.written, one.changed_bytes) = (written, (work == Work::Changed).then_some(10_000_000));
            one
        };
        let all = [
            of(Work::First, 100.0, 500_000_000),
            of(Work::Unchanged, 2.0, 1_000_000),
            of(Work::Changed, 4.0, 21_000_000),
        ];
        let tally = Tally { bytes: 1_000_000_000, data: 1_000_000_000, ..Tally::default() };
        let verdicts = verdicts(&Figures::of(&all), &BTreeMap::from([(Tree::Small, tally)]));
        // One per cent of 100 s, three times: 3 s, of which 2 are taken; of 500 MB: 15 MB, but 20 are taken.
        let time = find(&verdicts, Work::Changed, "time");
        assert!(time.reached && (time.ours, time.theirs) == (2.0, 3.0), "{time:?}");
        let bytes = find(&verdicts, Work::Changed, "bytes");
        assert!(!bytes.reached && bytes.ours == 20_000_000.0, "{bytes:?}");
    }
}
