//! The measurements of each tool on each work, as medians over the rounds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{Measurement, Work};
use crate::statistics;
use crate::tool::Tool;
use crate::tree::Tree;

/// What a tool's work cost, over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Median {
    pub tree: Tree,
    pub work: Work,
    pub tool: Tool,
    /// How many rounds.
    pub rounds: usize,
    /// Median of the seconds.
    pub wall: f64,
    /// The shortest and the longest.
    pub wall_spread: (f64, f64),
    /// Median of the processor seconds.
    pub cpu: f64,
    /// The highest of all rounds, in bytes: a limit that holds only on average is none.
    pub memory: f64,
    /// Median of the bytes added to the repository.
    pub written: f64,
    /// Median of the repository's bytes afterwards.
    pub repository: f64,
    /// Median of the bytes that had changed.
    pub changed: Option<f64>,
    /// `wall` as a multiple of Lifeboat's.
    pub ratio: Option<f64>,
}

/// All medians.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<(Tree, Work, Tool), Median>);

impl Figures {
    /// Computes them.
    pub fn of(measurements: &[Measurement]) -> Self {
        let mut groups: BTreeMap<(Tree, Work, Tool), Vec<&Measurement>> = BTreeMap::new();
        for one in measurements {
            groups.entry((one.tree, one.work, one.tool)).or_default().push(one);
        }
        let mut figures =
            Self(groups.into_iter().filter_map(|(key, group)| Some((key, summary(key, &group)?))).collect());
        let ours = figures.clone();
        for ((tree, work, _), median) in &mut figures.0 {
            let lifeboat = ours.get(*tree, *work, Tool::Lifeboat);
            median.ratio = lifeboat.and_then(|lifeboat| statistics::ratio(median.wall, lifeboat.wall));
        }
        figures
    }

    /// The figures of one tool.
    pub fn get(&self, tree: Tree, work: Work, tool: Tool) -> Option<&Median> {
        self.0.get(&(tree, work, tool))
    }

    /// The figures of all tools, in their order.
    pub fn tools(&self, tree: Tree, work: Work) -> Vec<&Median> {
        self.0.values().filter(|one| one.tree == tree && one.work == work).collect()
    }

    /// The one of the tools that `peer` accepts, Lifeboat aside, with the shortest median wall.
    pub fn fastest(&self, tree: Tree, work: Work, peer: impl Fn(Tool) -> bool) -> Option<&Median> {
        let peers = self.tools(tree, work).into_iter().filter(|one| one.tool != Tool::Lifeboat && peer(one.tool));
        peers.min_by(|a, b| a.wall.total_cmp(&b.wall))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Median> {
        self.0.values().cloned().collect()
    }
}

fn summary((tree, work, tool): (Tree, Work, Tool), group: &[&Measurement]) -> Option<Median> {
    let values = |of: &dyn Fn(&Measurement) -> f64| group.iter().map(|one| of(one)).collect::<Vec<f64>>();
    let median = |of: &dyn Fn(&Measurement) -> f64| statistics::median(&values(of));
    let changed: Vec<f64> = group.iter().filter_map(|one| Some(one.changed_bytes? as f64)).collect();
    Some(Median {
        tree,
        work,
        tool,
        rounds: group.len(),
        wall: median(&|one| one.usage.wall)?,
        wall_spread: statistics::spread(&values(&|one| one.usage.wall))?,
        cpu: median(&|one| one.usage.cpu)?,
        memory: statistics::spread(&values(&|one| one.usage.memory as f64))?.1,
        written: median(&|one| one.written as f64)?,
        repository: median(&|one| one.repository as f64)?,
        changed: statistics::median(&changed),
        ratio: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::measurement;

    #[test]
    fn medians_ratios_and_the_fastest_peer() {
        let of = |tool, round, wall| measurement(Tree::Root, Work::First, tool, round, wall);
        let mut all = vec![
            of(Tool::Lifeboat, 1, 2.0),
            of(Tool::Lifeboat, 2, 9.0),
            of(Tool::Lifeboat, 3, 2.5),
            of(Tool::Restic, 1, 10.0),
            of(Tool::TarZstd, 1, 5.0),
        ];
        all[1].usage.memory = 300_000_000;
        let figures = Figures::of(&all);
        let ours = figures.get(Tree::Root, Work::First, Tool::Lifeboat).unwrap();
        assert_eq!((ours.wall, ours.wall_spread, ours.rounds), (2.5, (2.0, 9.0), 3));
        assert_eq!(ours.memory, 300_000_000.0);
        assert_eq!(figures.get(Tree::Root, Work::First, Tool::Restic).unwrap().ratio, Some(4.0));
        let fastest = |peer: fn(Tool) -> bool| figures.fastest(Tree::Root, Work::First, peer).unwrap().tool;
        assert_eq!(fastest(|_| true), Tool::TarZstd);
        assert_eq!(fastest(Tool::keeps_snapshots), Tool::Restic);
    }
}
