//! Snapshots of this host's storage that runs have left: they hold room, and slow down what they are of.

use super::Finding;
use crate::capture::still;

const AREA: &str = "snapshots";

/// Removes those of runs that are at work no more.
pub fn look() -> Vec<Finding> {
    let left = still::sweep();
    let removed = left
        .removed
        .into_iter()
        .map(|what| Finding::note(AREA, format!("{what}, which a run that was cut had left, was removed")));
    let stayed = left.stayed.into_iter().map(|what| {
        let remedy = "remove it by hand; nothing is read from it any more";
        Finding::warning(AREA, format!("a run that was cut has left a snapshot: {what}"), remedy)
    });
    removed.chain(stayed).collect()
}
